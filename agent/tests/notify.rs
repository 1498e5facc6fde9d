//! The agent under a service manager, as far as its notification socket shows: nothing here is systemd's,
//! the packages' system test has the real one.

mod stage;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};

use stage::{Centre, Folder, broker, until};

/// A service manager that listens.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn in_folder(folder: &Folder) -> Manager {
        let socket = UnixDatagram::bind(folder.path("notify")).expect("a socket");
        socket.set_nonblocking(true).expect("ours");
        Manager { socket, heard: Vec::new() }
    }

    /// Whether a message was heard that `wanted` accepts; those before it are forgotten.
    fn has(&mut self, wanted: impl Fn(&str) -> bool) -> bool {
        let mut bytes = [0; 4096];
        while let Ok(n) = self.socket.recv(&mut bytes) {
            self.heard.push(String::from_utf8_lossy(&bytes[..n]).into_owned());
        }
        let at = self.heard.iter().position(|message| wanted(message));
        at.map(|at| self.heard.drain(..=at)).is_some()
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").arg(name).arg(child.id().to_string()).status().expect("runs").success());
}

#[tokio::test]
async fn the_service_manager_hears_of_every_turn_and_that_the_work_moves() {
    let broker = broker();
    let folder = Folder::new(broker);
    let centre = Centre::on(broker, folder.public_key()).await;
    let mut manager = Manager::in_folder(&folder);
    let mut command = Command::new(env!("CARGO_BIN_EXE_vardpuls-agent"));
    command.args(["run", "--config"]).arg(folder.path("agent.toml"));
    command.env("NOTIFY_SOCKET", folder.path("notify")).env("WATCHDOG_USEC", "300000").env_remove("WATCHDOG_PID");
    let mut agent = Running(command.spawn().expect("runs"));
    until("ready", || manager.has(|m| m == "READY=1\n")).await;
    until("alive", || manager.has(|m| m == "WATCHDOG=1\n")).await;
    let status = format!("STATUS=connected to mqtt://{broker}; 1 report waits for its receipt\n");
    until("how it goes", || manager.has(|m| m == status)).await;
    until("still alive", || manager.has(|m| m == "WATCHDOG=1\n")).await;

    let config = fs::read_to_string(folder.path("agent.toml")).expect("readable");
    fs::write(folder.path("agent.toml"), config.replace("staffed = 10", "staffed = 12")).expect("writable");
    signal(&agent.0, "-HUP");
    until("reloading", || {
        manager.has(|m| {
            let since_boot =
                m.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|t| t.trim_end().parse::<u64>().ok());
            since_boot.is_some_and(|usec| usec > 0)
        })
    })
    .await;
    until("ready again", || manager.has(|m| m == "READY=1\n")).await;
    until("the new config", || centre.reports().iter().any(|r| r.wards[&1].staffed == 12)).await;

    fs::write(folder.path("agent.toml"), "rubbish").expect("writable");
    signal(&agent.0, "-HUP");
    until("reloading", || manager.has(|m| m.starts_with("RELOADING=1\n"))).await;
    until("ready with the old config", || manager.has(|m| m == "READY=1\n")).await;

    signal(&agent.0, "-TERM");
    until("stopping", || manager.has(|m| m == "STOPPING=1\n")).await;
    let mut status = None;
    until("the end", || {
        status = agent.0.try_wait().expect("a child of ours");
        status.is_some()
    })
    .await;
    assert_eq!(status.and_then(|s| s.code()), Some(0));
}
