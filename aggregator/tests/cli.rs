//! The program as a person and a service manager use it.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use vardpuls_shared::card::Card;
use vardpuls_shared::key::PublicKey;

const CONFIG: &str = "key-file = \"centre.key\"\nhospitals-dir = \"hospitals.d\"\n\
    [broker]\nlisten = \"127.0.0.1:0\"\n[alerts]\noperators-file = \"operators.toml\"\n[http]\nlisten = \"127.0.0.1:0\"\n";

fn centre() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("aggregator.toml"), CONFIG).expect("writes");
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vardpuls-aggregator"));
    command.args(arguments).arg("--config").arg(folder.join("aggregator.toml"));
    command
}

fn run(folder: &TempDir, arguments: &[&str]) -> Output {
    command(folder.path(), arguments).output().expect("starts")
}

/// What was printed, when the exit status was `status`.
fn printed(output: Output, status: i32) -> String {
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).concat();
    assert_eq!(output.status.code(), Some(status), "{text}");
    text
}

fn card(folder: &TempDir) -> PathBuf {
    let (hospital, region) = ("SE2321000016-1003".parse().expect("valid"), "01".parse().expect("valid"));
    let card = Card::new(hospital, "Karolinska universitetssjukhuset Solna".into(), region, PublicKey([7; 32]));
    let file = folder.path().join("card.toml");
    std::fs::write(&file, card.render()).expect("writes");
    file
}

#[test]
fn a_centre_is_set_up_with_keygen_and_enrol_and_then_checks_well() {
    let folder = centre();
    let before = printed(run(&folder, &["check"]), 1);
    assert!(
        before.contains("failed   the key file") && before.contains("make it with: vardpuls-aggregator keygen"),
        "{before}"
    );

    let made = printed(run(&folder, &["keygen"]), 0);
    let key = made.lines().find(|line| line.starts_with("centre-key = \"ed25519:")).expect("the public key");
    let permissions = std::fs::metadata(folder.path().join("centre.key")).expect("a file").permissions();
    assert_eq!(permissions.mode() & 0o777, 0o600);
    let again = printed(run(&folder, &["keygen"]), 1);
    assert!(again.contains("exists and is not overwritten"), "{again}");

    let card = card(&folder);
    let card = card.to_str().expect("UTF-8");
    let enrolled = printed(run(&folder, &["enrol", card]), 0);
    assert!(enrolled.contains("SE2321000016-1003 (Karolinska") && enrolled.contains(key), "{enrolled}");
    printed(run(&folder, &["enrol", card]), 0);

    let unknown = printed(run(&folder, &["check"]), 1);
    assert!(unknown.contains("failed   operators"), "{unknown}");
    let made = command(folder.path(), &["token", "Anna Berg", "--role", "operator"]).output().expect("starts");
    assert!(made.status.success());
    let block = String::from_utf8(made.stdout).expect("UTF-8");
    assert!(block.contains("token-sha256"), "{block}");
    std::fs::write(folder.path().join("operators.toml"), block).expect("writes");

    let well = printed(run(&folder, &["check"]), 0);
    assert!(well.lines().all(|line| line.starts_with("ok       ")), "{well}");
    assert!(well.contains("1 with a token") && well.contains("rules that ship"), "{well}");
    assert!(well.contains("nation Sverige, 21 regions") && well.contains("keys: 1"), "{well}");
    assert!(!folder.path().join("vardpuls.db").exists(), "check makes nothing");

    // The same from inside the folder, as the README writes it.
    let mut inside = Command::new(env!("CARGO_BIN_EXE_vardpuls-aggregator"));
    inside.args(["check", "--config", "aggregator.toml"]).current_dir(folder.path());
    printed(inside.output().expect("starts"), 0);
}

#[test]
fn check_names_everything_that_is_wrong() {
    let folder = centre();
    printed(run(&folder, &["keygen"]), 0);
    let key = folder.path().join("centre.key");
    std::fs::set_permissions(key, PermissionsExt::from_mode(0o644)).expect("changes the mode");
    std::fs::write(folder.path().join("hospitals.d/h.toml"), "hospital = \"h\"\nname = 3\n").expect("writes");
    std::fs::write(folder.path().join("vardpuls.db"), "not a database ".repeat(100)).expect("writes");
    let wrong = printed(run(&folder, &["check"]), 1);
    for expected in ["chmod 600", "h.toml, line 2, name: invalid type", "vardpuls.db is not a database"] {
        assert!(
            wrong.lines().any(|line| line.starts_with("failed   ") && line.contains(expected)),
            "{expected} in {wrong}"
        );
    }

    std::fs::write(folder.path().join("aggregator.toml"), format!("{CONFIG}lissten = 1\n")).expect("writes");
    for command in ["check", "run", "keygen"] {
        let wrong = printed(run(&folder, &[command]), 1);
        assert!(wrong.contains("aggregator.toml, line 9, http.lissten: unknown field `lissten`"), "{wrong}");
    }
}

#[test]
fn a_card_with_another_fingerprint_is_refused() {
    let folder = centre();
    printed(run(&folder, &["keygen"]), 0);
    let file = card(&folder);
    let text = std::fs::read_to_string(&file).expect("reads").replace("fingerprint = \"", "fingerprint = \"0");
    std::fs::write(&file, text).expect("writes");
    let refused = printed(run(&folder, &["enrol", file.to_str().expect("UTF-8")]), 1);
    assert!(refused.contains("card.toml, line 5, fingerprint: is not that of the public key"), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path().join("hospitals.d")).expect("lists").count(), 0);
}

/// A running aggregator, killed when the test ends however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn run_tells_the_service_manager_refuses_a_second_one_and_ends_on_sigterm() {
    let folder = centre();
    printed(run(&folder, &["keygen"]), 0);
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("binds");
    manager.set_read_timeout(Some(Duration::from_secs(30))).expect("sets");
    let told = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).expect("told in time");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut first = command(folder.path(), &["run"]);
    let mut first = Running(first.env("NOTIFY_SOCKET", &socket).stderr(Stdio::null()).spawn().expect("starts"));
    assert!(told().contains("READY=1"));
    let how = told();
    assert!(how.starts_with("STATUS=") && how.contains("no hospital is enrolled"), "{how}");
    let sent = Command::new("kill").args(["-HUP", &first.0.id().to_string()]).status().expect("sends");
    assert!(sent.success());
    while !told().starts_with("RELOADING=1\nMONOTONIC_USEC=") {}
    while !told().contains("READY=1") {}

    let second = printed(run(&folder, &["run"]), 1);
    assert!(second.contains("is open in another aggregator; stop that one"), "{second}");

    let sent = Command::new("kill").args(["-TERM", &first.0.id().to_string()]).status().expect("sends");
    assert!(sent.success());
    while !told().contains("STOPPING=1") {}
    assert_eq!(first.0.wait().expect("ends").code(), Some(0));
}

#[test]
fn the_network_listener_needs_names_and_check_tells_of_its_certificate_and_logins() {
    let folder = centre();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writes");
    let network = "[broker.network]\nlisten = \"0.0.0.0:0\"\ncert-file = \"broker.pem\"\nkey-file = \"broker.key\"\n";
    write("aggregator.toml", &format!("{CONFIG}{network}"));
    let nobody = printed(run(&folder, &["check"]), 1);
    assert!(nobody.contains("broker.network: nobody could log in: give client-ca-file"), "{nobody}");

    write("aggregator.toml", &format!("{CONFIG}{network}logins-file = \"logins.toml\"\n"));
    let made = run(&folder, &["login", "SE2321000016-1003"]);
    assert!(made.status.success());
    let password = String::from_utf8(made.stderr).expect("UTF-8");
    assert!(password.lines().any(|line| line.starts_with("vp_") && line.len() == 46), "{password}");
    let block = String::from_utf8(made.stdout).expect("UTF-8");
    assert!(block.contains("token-sha256") && !block.contains("vp_"), "{block}");
    write("logins.toml", &block);
    let again = printed(run(&folder, &["login", "SE2321000016-1003"]), 1);
    assert!(again.contains("stands in") && again.contains("already"), "{again}");

    let without = printed(run(&folder, &["check"]), 1);
    assert!(without.contains("failed   cannot read") && without.contains("broker.pem"), "{without}");
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec!["broker.example".to_owned()]).expect("a name");
    params.distinguished_name.push(rcgen::DnType::CommonName, "broker.example");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2090, 1, 1);
    write("broker.pem", &params.self_signed(&key).expect("a certificate").pem());
    write("broker.key", &key.serialize_pem());
    let well = printed(run(&folder, &["check"]), 1); // there is no key of the centre, among other things
    assert!(well.contains("ok       broker certificate CN=broker.example"), "{well}");
    assert!(well.contains("issued by CN=broker.example") && well.contains("until 2090-01-01"), "{well}");
    assert!(well.contains("logins.toml, 1\n") && well.contains("takes 2000 clients, 50 from one address"), "{well}");
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    write("broker.pem", &params.self_signed(&key).expect("a certificate").pem());
    let ended = printed(run(&folder, &["check"]), 1);
    assert!(ended.contains("failed   broker certificate") && ended.contains("it has ended"), "{ended}");
}
