//! Against a peer that sends the examples of MS-TDS, byte for byte.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::prelogin::{Encryption, HEADER};
use super::*;

const LONG: Duration = Duration::from_secs(30);

/// MS-TDS 4.4, "Login Response".
const LOGIN: &str = "0401016100000100E31B0001066D0061007300740065007200066D0061007300740065007200AB580045160000020025004300680061006E0067006500\
    640020006400610074006100620061007300650020\
    0063006F006E007400650078007400200074006F00200027006D006100730074006500720027002E00000000000000E3080007050904D0003400E31700020A7500\
    73005F0065006E0067006C0069007300680000E31300040434003000390036000434003000390036\
    00AB5C0047160000010027004300680061006E0067006500640020006C0061006E00670075006100670065002000730065007400740069006E0067002000\
    74006F002000750073005F0065006E0067006C006900730068002E00000000000000AD36000172\
    090002164D006900630072006F0073006F00660074002000530051004C002000530065007200760065007200000000000000\
    0000FD000000000000000000000000";
/// MS-TDS 4.7, "SQL Batch Server Response": one column `bar`, one row `foo`.
const ROWS: &str = "04010033000001008101000000000020\
    00A703000904D0003403620061007200D10300666F6FFD1000C1000100000000000000";
/// A bare DONE, as after a SET.
const DONE: &str = "0401001500000100FD000000000000000000000000";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

/// A server in clear that answers each message with the next of these; what it was sent comes out at its end.
async fn server(answers: Vec<Vec<u8>>) -> (Server, JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut heard = Vec::new();
        for answer in answers {
            let mut header = [0; HEADER];
            stream.read_exact(&mut header).await.expect("a header");
            let mut payload = vec![0; prelogin::announced(header).expect("a packet").1];
            stream.read_exact(&mut payload).await.expect("a payload");
            heard.push(payload);
            stream.write_all(&answer).await.expect("answered");
        }
        heard
    });
    let server = Server {
        host: "127.0.0.1".into(),
        port,
        socket: None,
        name: "ehr".into(),
        username: "reader".into(),
        password_file: None::<PathBuf>,
        tls: None,
    };
    (server, task)
}

/// The text of a batch, after its headers.
fn batch(payload: &[u8]) -> String {
    let units: Vec<u16> = payload[22..].chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    String::from_utf16(&units).expect("text")
}

#[tokio::test]
async fn the_examples_of_the_specification_are_a_login_and_a_row() {
    let plain = prelogin::answer(Encryption::NotSupported);
    let answers = vec![plain, bytes(LOGIN), bytes(DONE), bytes(DONE), bytes(ROWS), bytes(DONE)];
    let (server, task) = server(answers).await;
    let mut opened = Mssql::open(&server, LONG).await.expect("opened");
    let rows = opened.query("select 'foo' as 'bar'", LONG, 10).await.expect("rows");
    assert_eq!((rows.columns, rows.values), (vec!["bar".to_owned()], vec![vec![Some("foo".to_owned())]]));

    let heard = task.await.expect("no panic");
    assert_eq!(heard[0], prelogin::question(Encryption::NotSupported)[HEADER..], "one PRELOGIN, ours");
    assert_ne!(heard[1][26] & 0x20, 0, "the login announces that it only reads");
    let said: Vec<String> = heard[2..].iter().map(|payload| batch(payload)).collect();
    assert!(said[0].contains("READ COMMITTED") && said[0].ends_with("LOCK_TIMEOUT 30000"), "{said:?}");
    assert_eq!(said[1..], ["BEGIN TRANSACTION", "select 'foo' as 'bar'", "ROLLBACK TRANSACTION"]);
}

#[tokio::test]
async fn more_rows_than_can_be_meant_are_refused() {
    let plain = prelogin::answer(Encryption::NotSupported);
    let (server, _task) = server(vec![plain, bytes(LOGIN), bytes(DONE), bytes(DONE), bytes(ROWS)]).await;
    let mut opened = Mssql::open(&server, LONG).await.expect("opened");
    assert_eq!(opened.query("select 'foo' as 'bar'", LONG, 0).await.map(drop), Err(SqlFault::TooManyRows(0)));
}

/// A place whose queue is full, where Linux answers nobody; the streams keep it so.
async fn silent() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 2], 0).into()).expect("a port");
    let listener = socket.listen(1).expect("listens");
    let place = listener.local_addr().expect("bound");
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(place)).await {
        waiting.push(stream.expect("connected"));
    }
    (place, listener, waiting)
}

#[tokio::test]
async fn of_several_addresses_the_one_that_answers_is_taken() {
    let (dead, _listener, _waiting) = silent().await;
    let alive = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let place = alive.local_addr().expect("bound");
    let [one, other] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(|host| SocketAddr::from((host, 1)));
    for addresses in [vec![place, dead], vec![dead, one, place], vec![other, dead, place, dead]] {
        let stream = timeout(LONG, first(addresses.into_iter())).await.expect("in time").expect("connected");
        assert_eq!(stream.peer_addr().expect("connected"), place);
    }
    let refused = first([one, other].into_iter()).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(first([].into_iter()).await.is_err());
}

/// tiberius knows servers that we have not seen: what it would say to them is what we say.
#[tokio::test]
async fn our_first_words_are_those_of_tiberius() {
    let (ours, mut theirs) = tokio::io::duplex(4096);
    let mut config = Config::new();
    config.encryption(EncryptionLevel::NotSupported);
    let task = tokio::spawn(Client::connect(config, ours.compat()));
    let mut said = prelogin::question(Encryption::NotSupported);
    let mut theirs_said = vec![0; said.len()];
    theirs.read_exact(&mut theirs_said).await.expect("a PRELOGIN");
    task.abort();
    // But for the number of the packet and the version of the program.
    let version = HEADER + 26..HEADER + 32;
    for words in [&mut said, &mut theirs_said] {
        words[6] = 0;
        words[version.clone()].fill(0);
    }
    assert_eq!(said, theirs_said);
}
