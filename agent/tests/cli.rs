//! The binary from outside: keys, permissions, signals, exit statuses.

mod stage;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use stage::{Centre, Folder, broker, until};
use vardpuls_agent::outbox::{Limits, Outbox};
use vardpuls_shared::clock::Time;

const LIMITS: Limits = Limits { max_age: Duration::from_hours(24), max_bytes: 1 << 20 };

fn agent(folder: &Folder, command: &[&str]) -> Command {
    let mut agent = Command::new(env!("CARGO_BIN_EXE_vardpuls-agent"));
    agent.args(command).arg("--config").arg(folder.path("agent.toml")).env_remove("NOTIFY_SOCKET");
    agent
}

fn done(folder: &Folder, command: &[&str]) -> Output {
    agent(folder, command).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running agent that does not outlive its test.
struct Running(Child);

impl Running {
    fn start(folder: &Folder) -> Running {
        Running(agent(folder, &["run"]).stderr(Stdio::inherit()).spawn().expect("runs"))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.0.id().to_string()).status().expect("runs");
        assert!(sent.success());
    }

    async fn exit(&mut self) -> Option<i32> {
        let mut status = None;
        until("the agent ends", || {
            status = self.0.try_wait().expect("a child of ours");
            status.is_some()
        })
        .await;
        status.and_then(|s| s.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn nowhere() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port")
}

#[test]
fn keygen_makes_a_private_key_prints_its_card_and_never_overwrites() {
    let folder = Folder::new(nowhere());
    fs::remove_file(folder.path("agent.key")).expect("ours");
    let made = done(&folder, &["keygen"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let permissions = fs::metadata(folder.path("agent.key")).expect("there").permissions();
    assert_eq!(permissions.mode() & 0o777, 0o600);
    let card: toml::Table = text(&made.stdout).parse().expect("TOML");
    assert_eq!(card["hospital"].as_str(), Some(stage::HOSPITAL));
    assert_eq!(card["public-key"].as_str(), Some(folder.public_key().to_string().as_str()));

    let key = fs::read(folder.path("agent.key")).expect("readable");
    let again = done(&folder, &["keygen"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("not overwritten"), "{}", text(&again.stderr));
    assert_eq!(fs::read(folder.path("agent.key")).expect("readable"), key);
    assert_eq!(done(&folder, &["keygen", "--card-only"]).stdout, made.stdout);
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_file_and_the_command() {
    let folder = Folder::new(nowhere());
    fs::set_permissions(folder.path("agent.key"), fs::Permissions::from_mode(0o644)).expect("ours");
    let refused = done(&folder, &["run"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("agent.key") && said.contains("0644") && said.contains("chmod 600"), "{said}");
}

#[test]
fn without_a_key_run_says_how_to_make_one() {
    let folder = Folder::new(nowhere());
    fs::remove_file(folder.path("agent.key")).expect("ours");
    let refused = done(&folder, &["run"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("keygen"), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn a_look_at_the_outbox_does_not_keep_an_agent_from_starting() {
    let folder = Folder::new(nowhere());
    Outbox::open(&folder.path("state"), LIMITS, Time(1)).expect("makes it");
    // As `status` and `check` hold it, but longer.
    let look = redb::Database::builder().open_read_only(folder.path("state/outbox.redb")).expect("opens");
    let log = fs::File::create(folder.path("log")).expect("writable");
    let mut starting = agent(&folder, &["run"]);
    let _running = Running(starting.env("RUST_LOG", "debug").stderr(log).spawn().expect("runs"));
    let says = |what: &str| fs::read_to_string(folder.path("log")).expect("readable").contains(what);
    until("it waits", || says("the outbox is in use")).await;
    drop(look);
    until("it starts", || says("agent starts")).await;
}

#[test]
fn a_wrong_config_names_file_line_and_key() {
    let folder = Folder::new(nowhere());
    let good = fs::read_to_string(folder.path("agent.toml")).expect("readable");
    fs::write(folder.path("agent.toml"), good.replace("heartbeat", "hartbeat")).expect("writable");
    let refused = done(&folder, &["check"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stdout) + &text(&refused.stderr);
    assert!(said.contains("agent.toml") && said.contains("line ") && said.contains("hartbeat"), "{said}");
}

#[test]
fn check_and_preview_read_the_sources_and_send_nothing() {
    let folder = Folder::new(nowhere());
    let checked = text(&done(&folder, &["check"]).stdout);
    assert!(checked.contains("source beds: 1 wards"), "{checked}");
    let shown = done(&folder, &["preview"]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    assert!(text(&shown.stdout).contains("iva-1"), "{}", text(&shown.stdout));
    assert!(!folder.path("state/outbox.redb").exists(), "looking must not begin an outbox");
}

#[tokio::test]
async fn sigterm_drains_and_the_next_run_goes_on_where_this_one_stopped() {
    let broker = broker();
    let folder = Folder::new(broker);
    let centre = Centre::on(broker, folder.public_key()).await;
    let mut agent = Running::start(&folder);
    until("report 1", || centre.sequences() == [1] && centre.presence().as_deref() == Some("online")).await;

    let status = done(&folder, &["status"]);
    assert!(status.status.success());
    assert!(text(&status.stdout).contains("connected"), "{}", text(&status.stdout));
    let second = done(&folder, &["run"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("another agent runs"), "{}", text(&second.stderr));

    agent.signal("-TERM");
    assert_eq!(agent.exit().await, Some(0));
    until("offline", || centre.presence().as_deref() == Some("offline")).await;
    let status = done(&folder, &["status", "--json"]);
    assert_eq!(status.status.code(), Some(1));
    let contents: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!((contents["next"].as_u64(), contents["held"].to_string()), (Some(2), "[1]".to_owned()));

    centre.forget();
    let mut agent = Running::start(&folder);
    until("report 2 and report 1 again", || {
        let mut seen = centre.sequences();
        seen.sort_unstable();
        seen.dedup();
        seen == [1, 2]
    })
    .await;
    agent.signal("-TERM");
    assert_eq!(agent.exit().await, Some(0));
}

#[tokio::test]
async fn sighup_reloads_and_a_bad_config_leaves_the_old_one_in_force() {
    let broker = broker();
    let folder = Folder::new(broker);
    let centre = Centre::on(broker, folder.public_key()).await;
    let mut agent = Running::start(&folder);
    until("report 1", || centre.sequences() == [1]).await;
    let good = fs::read_to_string(folder.path("agent.toml")).expect("readable");
    fs::write(folder.path("agent.toml"), "rubbish").expect("writable");
    agent.signal("-HUP");
    folder.drop_counts(6);
    until("still reporting", || centre.reports().iter().any(|r| r.wards[&1].occupied == 6)).await;
    fs::write(folder.path("agent.toml"), good.replace("staffed = 10", "staffed = 12")).expect("writable");
    agent.signal("-HUP");
    until("the new config", || centre.reports().iter().any(|r| r.wards[&1].staffed == 12)).await;
    agent.signal("-TERM");
    assert_eq!(agent.exit().await, Some(0));
}

#[tokio::test]
async fn a_killed_agent_loses_nothing() {
    let broker = broker();
    let folder = Folder::new(broker);
    let centre = Centre::on(broker, folder.public_key()).await;
    let agent = Running::start(&folder);
    until("report 1", || centre.sequences() == [1]).await;
    agent.signal("-KILL");
    drop(agent);
    let status = done(&folder, &["status"]);
    assert!(text(&status.stdout).contains("1 reports without receipt"), "{}", text(&status.stdout));
    centre.forget();
    let _agent = Running::start(&folder);
    until("report 1 again", || centre.sequences().contains(&1)).await;
}

#[tokio::test]
async fn a_crash_leaves_no_picture_of_the_memory() {
    let folder = Folder::new(nowhere());
    // As generous as this machine can be with core files, so that it is the agent that forbids them.
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        r#"ulimit -c "$(ulimit -Hc)"; exec "$0" "$@""#,
        env!("CARGO_BIN_EXE_vardpuls-agent"),
        "run",
        "--config",
    ]);
    shell.arg(folder.path("agent.toml")).env_remove("NOTIFY_SOCKET").current_dir(folder.path("."));
    let mut agent = Running(shell.spawn().expect("runs"));
    until("the agent runs", || folder.path("state/status.sock").exists()).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.0.id())).expect("a process of ours");
    let core: Vec<_> = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .expect("a limit")
        .split_whitespace()
        .collect();
    assert_eq!(core, ["0", "0", "bytes"]);
    agent.signal("-ABRT");
    let mut status = None;
    until("the end", || {
        status = agent.0.try_wait().expect("a child of ours");
        status.is_some()
    })
    .await;
    let status = status.expect("just seen");
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
}
