//! Against a peer that does the server's part by MS-TDS, with rustls as its TLS.

use std::io::{Read as _, Write as _};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use tokio::io::DuplexStream;

use super::*;

/// What a peer offers, and whom a client that trusts it would believe.
struct Peer {
    config: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

fn peer(name: &str) -> Peer {
    let mut params = CertificateParams::new([]).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, format!("Who signs for {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new([name.to_owned()]).expect("a name").signed_by(&key, &ca).expect("signed");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("fits");
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).expect("a root");
    Peer { config: Arc::new(config), client: client(roots).expect("versions") }
}

async fn packet(stream: &mut DuplexStream) -> io::Result<(u8, Vec<u8>)> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await?;
    let (kind, length) = prelogin::announced(header).expect("a packet");
    assert!(length <= LONGEST - HEADER);
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Ok((kind, payload))
}

/// The server's part, to the end of the handshake: an answer, then records in packets of at most `chunk` bytes of the kind `kind`.
async fn serve(
    mut stream: DuplexStream,
    config: Arc<ServerConfig>,
    chunk: usize,
    kind: u8,
) -> io::Result<(DuplexStream, ServerConnection)> {
    assert_eq!(packet(&mut stream).await?, (prelogin::PRELOGIN, prelogin::question(Encryption::On).split_off(HEADER)));
    stream.write_all(&prelogin::answer(Encryption::Required)).await?;
    let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
    loop {
        let mut records = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut records)?;
        }
        for part in records.chunks(chunk) {
            stream.write_all(&prelogin::header(kind, true, part.len())).await?;
            stream.write_all(part).await?;
        }
        if !tls.is_handshaking() {
            return Ok((stream, tls));
        }
        let (kind, payload) = packet(&mut stream).await?;
        assert_eq!(kind, prelogin::PRELOGIN, "records of the handshake travel in packets");
        tls.read_tls(&mut payload.as_slice())?;
        if let Err(e) = tls.process_new_packets() {
            return Err(io::Error::other(e));
        }
    }
}

#[tokio::test]
async fn the_handshake_travels_in_packets_and_what_follows_bare() {
    for chunk in [LONGEST - HEADER, 100, 1] {
        let Peer { config, client } = peer("db.hospital.example");
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let server = tokio::spawn(serve(theirs, config, chunk, prelogin::PRELOGIN));
        let mut stream = encrypted(ours, "db.hospital.example", client).await.expect("encrypted");
        let (mut bare, mut tls) = server.await.expect("no panic").expect("a handshake");
        assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));

        stream.write_all(b"login").await.expect("written");
        stream.flush().await.expect("flushed");
        let mut heard = [0; 5];
        while tls.reader().read(&mut heard).is_err() {
            let mut record = vec![0; 5];
            bare.read_exact(&mut record).await.expect("a record");
            assert_eq!(record[0], 23, "a record of application data, without a packet around it");
            let length = record.len() + usize::from(u16::from_be_bytes([record[3], record[4]]));
            record.resize(length, 0);
            bare.read_exact(&mut record[5..]).await.expect("the rest of it");
            tls.read_tls(&mut record.as_slice()).expect("taken");
            tls.process_new_packets().expect("deciphered");
        }
        assert_eq!(&heard, b"login");
        tls.writer().write_all(b"welcome").expect("taken");
        let mut records = Vec::new();
        tls.write_tls(&mut records).expect("enciphered");
        bare.write_all(&records).await.expect("written");
        let mut heard = [0; 7];
        stream.read_exact(&mut heard).await.expect("heard");
        assert_eq!(&heard, b"welcome");
    }
}

/// What becomes of a client that trusts `trusted` and wants to speak with `host`, where `peer` answers.
async fn fault(peer: &Peer, trusted: &Peer, host: &str, kind: u8) -> SqlFault {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let server = tokio::spawn(serve(theirs, peer.config.clone(), LONGEST - HEADER, kind));
    let found = encrypted(ours, host, trusted.client.clone()).await.expect_err("refused");
    server.abort();
    found
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let (right, other) = (peer("db.hospital.example"), peer("other.hospital.example"));
    let unknown = fault(&right, &other, "db.hospital.example", prelogin::PRELOGIN).await;
    assert!(matches!(&unknown, SqlFault::Tls(why) if why.contains("UnknownIssuer")), "{unknown}");
    let misnamed = fault(&right, &right, "other.hospital.example", prelogin::PRELOGIN).await;
    assert!(matches!(&misnamed, SqlFault::Tls(why) if why.contains("not valid for name")), "{misnamed}");
    let numbered = fault(&right, &right, "127.0.0.1", prelogin::PRELOGIN).await;
    assert!(matches!(&numbered, SqlFault::Tls(_)), "{numbered}");
    let strange = fault(&right, &right, "db.hospital.example", 0x04).await;
    assert!(matches!(&strange, SqlFault::Unreachable(_)), "{strange}");
    let nameless = fault(&right, &right, "no name", prelogin::PRELOGIN).await;
    assert!(matches!(&nameless, SqlFault::Tls(_)), "{nameless}");
}

/// What becomes of a client that asks for encryption, or for none, of a peer that answers with these bytes and no more.
async fn answered(bytes: &[u8], tls: bool) -> Result<(), SqlFault> {
    let (mut ours, mut theirs) = tokio::io::duplex(1 << 16);
    theirs.write_all(bytes).await.expect("written");
    theirs.shutdown().await.expect("shut");
    if tls { encrypted(ours, "h", peer("h").client).await.map(drop) } else { plain(&mut ours).await }
}

#[tokio::test]
async fn an_answer_decides_and_what_is_none_is_named() {
    use Encryption::{NotSupported, Off, On, Required};
    for kind in [Off, NotSupported] {
        assert_eq!(answered(&prelogin::answer(kind), true).await, Err(SqlFault::NoEncryption));
        assert_eq!(answered(&prelogin::answer(kind), false).await, Ok(()));
    }
    for kind in [On, Required] {
        let broken = answered(&prelogin::answer(kind), true).await;
        assert!(matches!(&broken, Err(SqlFault::Tls(why)) if why.contains("hung up")), "{broken:?}");
        assert_eq!(answered(&prelogin::answer(kind), false).await, Err(SqlFault::EncryptionNeeded));
    }
    for (bytes, words) in [
        (&b""[..], "eof"),
        (&b"\x04\x01\x00"[..], "eof"),
        (&b"\x04\x01\x00\x2b\x00\x00\x01\x00\x00"[..], "eof"),
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "not those of SQL Server"),
        (&b"\x04\x01\xff\xff\x00\x00\x01\x00"[..], "65535 bytes"),
        (&b"\x04\x01\x00\x09\x00\x00\x01\x00\xff"[..], "nothing about encryption"),
    ] {
        for tls in [true, false] {
            let found = answered(bytes, tls).await;
            assert!(matches!(&found, Err(SqlFault::Unreachable(why)) if why.contains(words)), "{bytes:?}: {found:?}");
        }
    }
    // A record that never ends, and one that is none.
    for rest in [&b"\x12\x01\x00\x04"[..], &b"\x12\x01\xff\xff\x00\x00\x00\x00garbage"[..], &[0x12; 5000][..]] {
        let found = answered(&[&prelogin::answer(On), rest].concat(), true).await;
        assert!(matches!(&found, Err(SqlFault::Tls(_) | SqlFault::Unreachable(_))), "{found:?}");
    }
}
