//! The doctor: planted faults, each found at its step, by its name, with its remedy. Real broker, real TLS, real files.

mod stage;

use std::collections::HashMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use stage::tls::{Authority, Pair, before};
use stage::{Centre, Folder, HOSPITAL, broker, broker_for, centre_key, until};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vardpuls_agent::check::{Finding, Level, check, render, render_json};
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::key::SigningKey;
use vardpuls_shared::refusal::Refusal;

/// What the check says of a folder, by the machine's clock.
async fn checked(folder: &Folder) -> Vec<Finding> {
    check(&folder.path("agent.toml"), &Clock::System).await
}

/// The finding of this step and level, with these words in what was found and in the remedy.
#[track_caller]
fn assert_finding(findings: &[Finding], step: &str, level: Level, what: &str, remedy: &str) {
    let fits = |f: &&Finding| f.step == step && f.level == level && f.what.contains(what) && f.remedy.contains(remedy);
    assert!(
        findings.iter().any(|f| fits(&f)),
        "no {level} at {step} with {what:?}, {remedy:?} in\n{}",
        render(findings)
    );
    // Where something is wrong, something is to be done.
    for f in findings.iter().filter(|f| f.level >= Level::Warning) {
        assert!(!f.remedy.is_empty(), "no remedy: {f:?}");
    }
}

/// The steps that did not go well, in their order.
fn bad(findings: &[Finding]) -> Vec<(&str, Level)> {
    findings.iter().filter(|f| f.level != Level::Ok).map(|f| (f.step.as_str(), f.level)).collect()
}

/// A hospital that is well: a broker, a centre that knows it, a state folder.
async fn well() -> (Folder, Centre) {
    let broker = broker();
    let folder = Folder::new(broker);
    fs::create_dir(folder.path("state")).expect("made");
    let centre = Centre::on(broker, folder.public_key()).await;
    centre.feed(Clock::System.now(), true).await;
    (folder, centre)
}

/// The same behind TLS: the listener shows `pair`, the hospital trusts `authority`.
async fn well_with_tls(authority: &Authority, pair: &Pair, host: &str) -> (Folder, Centre, JoinSet<()>) {
    let broker = broker();
    let (listener, open) = before(broker, pair).await;
    let folder = Folder::new(listener);
    fs::create_dir(folder.path("state")).expect("made");
    fs::write(folder.path("ca.pem"), &authority.pem).expect("writable");
    let secure = format!("\"mqtts://{host}:{}\"\nca-file = \"ca.pem\"", listener.port());
    folder.change_config(&format!("\"mqtt://{listener}\""), &secure);
    let centre = Centre::on(broker, folder.public_key()).await;
    centre.feed(Clock::System.now(), true).await;
    (folder, centre, open)
}

fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port")
}

#[tokio::test]
async fn a_well_hospital_has_no_complaint_and_nothing_stays_behind() {
    let (folder, centre) = well().await;
    let findings = checked(&folder).await;
    assert_eq!(bad(&findings), [], "{}", render(&findings));
    let steps: Vec<_> = findings.iter().map(|f| f.step.as_str()).collect();
    let expected = [
        "config",
        "key",
        "state-dir",
        "disk",
        "agent",
        "broker",
        "name",
        "tcp",
        "login",
        "clock",
        "enrolment",
        "source beds",
        "report",
    ];
    assert_eq!(steps, expected);
    assert_eq!(fs::read_dir(folder.path("state")).expect("there").count(), 0);
    assert_eq!((centre.sequences().len(), centre.presence()), (0, None), "nothing was published");
    let lines = render(&findings);
    assert_eq!(lines.lines().filter(|line| !line.starts_with(' ')).count(), findings.len());
    let json: serde_json::Value = serde_json::from_str(&render_json(&findings)).expect("JSON");
    assert_eq!((json[0]["step"].as_str(), json[0]["level"].as_str()), (Some("config"), Some("ok")));
}

#[tokio::test]
async fn tls_says_who_issued_the_certificate_for_whom_and_until_when() {
    let authority = Authority::new("Region CA");
    let (folder, _centre, _open) =
        well_with_tls(&authority, &authority.issue("localhost", (2060, 1)), "localhost").await;
    let findings = checked(&folder).await;
    assert_eq!(bad(&findings), [], "{}", render(&findings));
    assert_finding(&findings, "tls", Level::Ok, "for localhost, issued by Region CA, valid until 2060-01-01", "");
}

#[tokio::test]
async fn faults_of_the_brokers_certificate() {
    let (ours, theirs) = (Authority::new("Region CA"), Authority::new("Other CA"));
    let (folder, _c, _o) = well_with_tls(&ours, &ours.issue("localhost", (2024, 1)), "localhost").await;
    let findings = checked(&folder).await;
    assert_finding(&findings, "tls", Level::Failed, "expired at 2024-01-01", "operator has to renew");
    assert_finding(&findings, "login", Level::NotTried, "cannot be reached", "");

    let (folder, _c, _o) = well_with_tls(&ours, &ours.issue("broker.example", (2060, 1)), "localhost").await;
    let findings = checked(&folder).await;
    assert_finding(&findings, "tls", Level::Failed, "for broker.example", "add localhost to it");

    let (folder, _c, _o) = well_with_tls(&ours, &theirs.issue("localhost", (2060, 1)), "localhost").await;
    let findings = checked(&folder).await;
    assert_finding(&findings, "tls", Level::Failed, "issued by Other CA: no authority in", "put it into ca-file");
}

#[tokio::test]
async fn a_certificate_that_ends_within_thirty_days_is_a_warning() {
    let authority = Authority::new("Region CA");
    let (folder, centre, _open) =
        well_with_tls(&authority, &authority.issue("localhost", (2060, 1)), "localhost").await;
    let then: Time = "2059-12-15T00:00:00Z".parse().expect("a time");
    centre.feed(then, true).await;
    let findings = check(&folder.path("agent.toml"), &Clock::standing_at(then)).await;
    assert_finding(&findings, "tls", Level::Warning, "expires in 17 days", "renew");
    assert_finding(&findings, "login", Level::Ok, "client id", "");
}

#[tokio::test]
async fn faults_of_the_agents_own_certificate() {
    let authority = Authority::new("Region CA");
    let (folder, _c, _o) = well_with_tls(&authority, &authority.issue("localhost", (2060, 1)), "localhost").await;
    let own = "ca-file = \"ca.pem\"\nclient-cert-file = \"own.pem\"\nclient-key-file = \"own.key\"";
    folder.change_config("ca-file = \"ca.pem\"", own);
    let place = |pair: &Pair, key: &Pair| {
        fs::write(folder.path("own.pem"), &pair.certificate).expect("writable");
        fs::write(folder.path("own.key"), &key.key).expect("writable");
        fs::set_permissions(folder.path("own.key"), fs::Permissions::from_mode(0o600)).expect("ours");
    };
    let (good, other) = (authority.issue(HOSPITAL, (2060, 1)), authority.issue("SE-other", (2060, 1)));
    place(&good, &good);
    let findings = checked(&folder).await;
    assert_eq!(bad(&findings), [], "{}", render(&findings));
    assert_finding(&findings, "certificate", Level::Ok, "valid until 2060-01-01", "");

    let expired = authority.issue(HOSPITAL, (2024, 1));
    place(&expired, &expired);
    assert_finding(
        &checked(&folder).await,
        "certificate",
        Level::Failed,
        "expired at 2024-01-01",
        "have a new one issued",
    );
    place(&good, &other);
    let findings = checked(&folder).await;
    assert_finding(&findings, "certificate", Level::Failed, "client-key-file is not the key", "made together");
    assert_finding(&findings, "tls", Level::NotTried, "files of the broker section", "");
    place(&other, &other);
    fs::set_permissions(folder.path("own.key"), fs::Permissions::from_mode(0o644)).expect("ours");
    let findings = checked(&folder).await;
    assert_finding(&findings, "certificate", Level::Warning, "is for SE-other", "common name");
    assert_finding(&findings, "certificate", Level::Warning, "read by everybody", "chmod o=");
    fs::remove_file(folder.path("own.pem")).expect("ours");
    assert_finding(&checked(&folder).await, "broker", Level::Failed, "own.pem", "check that the file is there");
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_told_from_a_bad_certificate() {
    let (folder, _centre) = well().await;
    fs::write(folder.path("ca.pem"), Authority::new("Region CA").pem).expect("writable");
    folder.change_config("\"mqtt://127.0.0.1", "\"mqtts://127.0.0.1");
    folder.change_config("[report]", "ca-file = \"ca.pem\"\n[report]");
    assert_finding(&checked(&folder).await, "tls", Level::Failed, "no handshake", "TLS port");
}

#[tokio::test]
async fn a_wrong_login_is_refused_by_name_and_the_right_one_is_taken() {
    let address = broker_for(Some(HashMap::from([(HOSPITAL.to_owned(), "right".to_owned())])));
    let folder = Folder::new(address);
    let login = format!("username = \"{HOSPITAL}\"\npassword-file = \"password\"\n[report]");
    folder.change_config("[report]", &login);
    fs::write(folder.path("password"), "wrong\n").expect("writable");
    fs::set_permissions(folder.path("password"), fs::Permissions::from_mode(0o600)).expect("ours");
    // The broker may still be starting.
    until("the broker listens", || std::net::TcpStream::connect(address).is_ok()).await;
    let findings = checked(&folder).await;
    assert_finding(&findings, "login", Level::Failed, &format!("username {HOSPITAL:?}"), "password-file");
    assert!(!render(&findings).contains("wrong"), "a password is shown");
    fs::write(folder.path("password"), "right\n").expect("writable");
    assert_finding(&checked(&folder).await, "login", Level::Ok, HOSPITAL, "");
    fs::remove_file(folder.path("password")).expect("ours");
    assert_finding(&checked(&folder).await, "broker", Level::Failed, "broker.password-file", "file is there");
}

#[tokio::test]
async fn a_refused_connection_and_an_unknown_host_name_whom_to_ask() {
    let folder = Folder::new(nowhere());
    let findings = checked(&folder).await;
    assert_finding(&findings, "tcp", Level::Failed, "nothing listens on port", "whether the broker runs");
    assert_finding(&findings, "login", Level::NotTried, "cannot be reached", "");
    assert_finding(&findings, "clock", Level::NotTried, "nothing that the centre signed", "");
    assert_finding(&findings, "source beds", Level::Ok, "1 wards", "");
    // RFC 6761: a name that never is.
    folder.change_config("\"mqtt://127.0.0.1", "\"mqtt://broker.invalid");
    let findings = checked(&folder).await;
    assert_finding(&findings, "name", Level::Failed, "broker.invalid", "resolv.conf");
    assert_finding(&findings, "tcp", Level::NotTried, "name failed", "");
}

#[tokio::test]
async fn a_clock_ten_minutes_off_is_found_either_way() {
    let (folder, centre) = well().await;
    let now = Clock::System.now();
    let minutes = |n: i64| Clock::standing_at(Time(now.0.saturating_add_signed(n * 60_000)));
    let behind = check(&folder.path("agent.toml"), &minutes(-10)).await;
    assert_finding(&behind, "clock", Level::Failed, "behind the centre's", "timedatectl");
    // One ahead is told from a silent centre by a message that comes live.
    let speaking = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            centre.feed(now, true).await;
        }
    };
    let (file, clock) = (folder.path("agent.toml"), minutes(10));
    let ahead = tokio::select! {
        ahead = check(&file, &clock) => ahead,
        () = speaking => unreachable!("it speaks for ever"),
    };
    assert_finding(&ahead, "clock", Level::Failed, "ahead of the centre's", "timedatectl");
}

#[tokio::test]
async fn a_hospital_that_was_never_enrolled_is_told_so() {
    let broker = broker();
    let folder = Folder::new(broker);
    let centre = Centre::on(broker, folder.public_key()).await;
    centre.feed(Clock::System.now(), false).await;
    let findings = checked(&folder).await;
    assert_finding(&findings, "enrolment", Level::Failed, "never enrolled", "keygen --card-only");
    assert_finding(&findings, "clock", Level::Ok, "the centre's", "");
    assert_finding(&findings, "state-dir", Level::Warning, "not there yet", "make it");
}

#[tokio::test]
async fn a_wrong_centre_key_is_named() {
    let (folder, _centre) = well().await;
    let other = SigningKey::from_seed(&[9; 32]).public().to_string();
    folder.change_config(&centre_key().public().to_string(), &other);
    assert_finding(
        &checked(&folder).await,
        "centre-key",
        Level::Failed,
        "the feed is signed by key",
        "correct centre-key",
    );
}

#[tokio::test]
async fn a_running_agent_is_asked_not_disturbed_and_a_revoked_key_is_named_also_after_it_stopped() {
    let (folder, centre) = well().await;
    let (_reload, reloads) = mpsc::channel(1);
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(vardpuls_agent::run(folder.config(), reloads, Clock::System, shutdown.clone()));
    until("a report", || !centre.reports().is_empty()).await;
    let epoch = centre.reports()[0].position.epoch;
    let now = || Clock::System.now();
    centre.receipt(epoch, &centre_key(), |r| (r.stored, r.issued_at) = (vec![(1, 1)], now())).await;
    folder.until_status("a receipt", |s| s.receipt.is_some()).await;

    let findings = checked(&folder).await;
    assert_eq!(bad(&findings), [], "{}", render(&findings));
    assert_finding(&findings, "login", Level::Ok, "the running agent is logged in", "");
    assert_finding(&findings, "clock", Level::Ok, "by the newest receipt", "");
    assert_finding(&findings, "enrolment", Level::Ok, "1 reports are receipted", "");
    let connection = folder.status().await.expect("still runs").connection;
    assert!(connection.connected && connection.failures == 0, "the check pushed the agent off: {connection:?}");

    folder.change_config("valid-for = \"180s\"", "valid-for = \"300s\"");
    assert_finding(&checked(&folder).await, "agent", Level::Warning, "an older config", "systemctl reload");
    folder.change_config("valid-for = \"300s\"", "valid-for = \"180s\"");

    folder.drop_counts(6);
    until("report 2", || centre.sequences().contains(&2)).await;
    let late = Time(now().0 - 600_000);
    centre.receipt(epoch, &centre_key(), |r| (r.refused, r.issued_at) = (vec![(2, Refusal::RevokedKey)], late)).await;
    folder.until_status("the refusal", |s| !s.refused.is_empty()).await;
    let findings = checked(&folder).await;
    assert_finding(&findings, "enrolment", Level::Failed, "revoked this key", "make a new key");
    shutdown.cancel();
    running.await.expect("no panic").expect("a clean end");
    assert_finding(&checked(&folder).await, "enrolment", Level::Failed, "revoked this key", "make a new key");
}

#[tokio::test]
async fn faults_of_config_key_and_folder() {
    let (folder, _centre) = well().await;
    fs::set_permissions(folder.path("agent.key"), fs::Permissions::from_mode(0o644)).expect("ours");
    assert_finding(&checked(&folder).await, "key", Level::Failed, "can be read by others (mode 0644)", "chmod 600");
    fs::rename(folder.path("agent.key"), folder.path("key")).expect("ours");
    assert_finding(&checked(&folder).await, "key", Level::Failed, "there is no such file", "keygen");
    // Also for root, who may read everything, a folder is no key.
    fs::create_dir(folder.path("agent.key")).expect("made");
    fs::set_permissions(folder.path("agent.key"), fs::Permissions::from_mode(0o700)).expect("ours");
    assert_finding(&checked(&folder).await, "key", Level::Failed, "agent.key", "agent's user may read it");
    fs::set_permissions(folder.path("state"), fs::Permissions::from_mode(0o777)).expect("ours");
    assert_finding(&checked(&folder).await, "state-dir", Level::Warning, "written to by others", "chmod 700");
    folder.change_config("heartbeat", "hartbeat");
    let findings = checked(&folder).await;
    assert_finding(&findings, "config", Level::Failed, "hartbeat", "");
    assert_eq!(findings.len(), 1);
}

#[tokio::test]
async fn faults_of_a_source_and_of_what_it_gives() {
    let (folder, _centre) = well().await;
    let write = |text: &str| fs::write(folder.path("beds.csv"), text).expect("writable");
    write("ward,beds\niva-1,5\n");
    let findings = checked(&folder).await;
    assert_finding(&findings, "source beds", Level::Failed, "no column \"occupied\"", "columns.occupied");
    assert_finding(&findings, "report", Level::NotTried, "no source", "");
    write("ward,occupied\niva-1,many\n");
    let findings = checked(&folder).await;
    assert_finding(&findings, "source beds", Level::Warning, "ward iva-1 is absent: line 2, column \"occupied\"", "");
    assert_finding(&findings, "report", Level::Warning, "0 of 1 wards", "unknown to the centre");
    write("ward,occupied\niva-1,5\nAvd 9,1\n");
    assert_finding(
        &checked(&folder).await,
        "source beds",
        Level::Warning,
        "not in the config: \"Avd 9\"",
        "[source.wards]",
    );
    fs::remove_file(folder.path("beds.csv")).expect("ours");
    assert_finding(&checked(&folder).await, "source beds", Level::Failed, "there is no such file", "check path");
}

#[tokio::test]
async fn the_program_says_it_in_its_exit_status_and_in_json() {
    let (folder, _centre) = well().await;
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vardpuls-agent"));
        command.args(["check", "--json", "--config"]).arg(folder.path("agent.toml"));
        tokio::task::spawn_blocking(move || command.output().expect("runs"))
    };
    let output = run().await.expect("no panic");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    folder.change_config("\"mqtt://127.0.0.1", "\"mqtt://127.0.0.2");
    let output = run().await.expect("no panic");
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let tcp = findings.as_array().and_then(|all| all.iter().find(|f| f["step"] == "tcp")).expect("a line");
    assert_eq!((output.status.code(), tcp["level"].as_str()), (Some(1), Some("failed")));
}
