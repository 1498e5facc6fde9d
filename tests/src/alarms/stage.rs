//! The centre as a process that can be killed at any moment and started again: same folder, same ports.
//!
//! ```text
//! stage.strike(When::AfterSending(2 ms), |stage| …)   do something, kill -9, start again
//! stage.settled(what, |alerts| …)                     wait until it stands so, everybody has heard, and all agree
//! ```

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vardpuls_shared::hospital::HospitalId;

use super::account;
use super::hook::Hook;
use super::hospitals::{Hospitals, card};
use super::listener::{Listener, Word};
use crate::centre::{CentreError, Folder, Setup};

/// How long anything may take; far more than it does.
const WITHIN: Duration = Duration::from_mins(1);

/// Raised and cleared at once, so that a test decides when. A hospital's first ward is general, its second intensive
/// care, its third emergency; the region's rule silences the first.
const RULES: &str = r#"
[[rule]]
name = "full"
title = "Hospital full"
scope = "hospital"
care = ["general"]
measure = "occupancy"
raise = { at = 95, for = "0s" }
clear = { at = 90, for = "0s" }
severity = "severe"
response = "Call."
inhibited-by = ["region-full"]

[[rule]]
name = "icu-full"
title = "Intensive care full"
scope = "hospital"
care = ["icu"]
measure = "occupancy"
raise = { at = 95, for = "0s" }
clear = { at = 90, for = "0s" }
severity = "critical"
latch = true
response = "Call."

[[rule]]
name = "region-full"
title = "Emergency departments full"
scope = "region"
care = ["emergency"]
measure = "occupancy"
raise = { at = 95, for = "0s" }
clear = { at = 90, for = "0s" }
severity = "critical"
response = "Call."
"#;

/// When the centre is killed.
#[derive(Debug, Clone, Copy)]
pub enum When {
    /// So long after something was sent, whether it has been taken or not.
    AfterSending(Duration),
    /// When the webhook has heard of it and has not answered yet: between the commit and the receiver's place.
    Heard,
    /// When it has been done, and everybody has heard.
    Done,
}

impl When {
    /// Before, at and after.
    pub const ALL: [When; 7] = [
        When::AfterSending(Duration::ZERO),
        When::AfterSending(Duration::from_millis(2)),
        When::AfterSending(Duration::from_millis(5)),
        When::AfterSending(Duration::from_millis(12)),
        When::AfterSending(Duration::from_millis(30)),
        When::Heard,
        When::Done,
    ];
}

/// The centre's process, killed when it is dropped.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // SIGKILL; an error says that it is dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything.
pub struct Stage {
    /// Who reports.
    pub hospitals: Hospitals,
    /// Their names.
    pub ids: Vec<HospitalId>,
    folder: Folder,
    root: PathBuf,
    program: PathBuf,
    http: SocketAddr,
    token: String,
    hook: Hook,
    listener: Listener,
    centre: Arc<Mutex<Option<Running>>>,
}

/// A free port below those that the system gives to connections: nobody takes it while the centre is dead.
fn free_port() -> std::io::Result<SocketAddr> {
    loop {
        let addr = SocketAddr::from(([127, 0, 0, 1], fastrand::u16(15_000..32_000)));
        match TcpListener::bind(addr) {
            Ok(_) => return Ok(addr),
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(e) => return Err(e),
        }
    }
}

fn private(file: &PathBuf, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(file, text)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))
}

impl Stage {
    /// Two hospitals of region 01, calm and heard; `program` is the aggregator.
    pub fn set(root: PathBuf, program: PathBuf) -> Result<Stage, CentreError> {
        let fault = |e: std::io::Error| CentreError::Start(e.to_string());
        let (http, mqtt) = (free_port().map_err(fault)?, free_port().map_err(fault)?);
        let setup =
            Setup { http, mqtt, nation_file: None, feed_gap: "200ms", sample_every: "1h", notice: "test".into() };
        let folder = Folder::create(&root, &setup)?;
        let hook = Hook::listen().map_err(fault)?;
        fs::write(root.join("rules.toml"), RULES).map_err(fault)?;
        private(&root.join("operators.toml"), "").map_err(fault)?;
        private(&root.join("hook.secret"), "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").map_err(fault)?;
        folder.amend("alerts", [("rules-file", "rules.toml"), ("operators-file", "operators.toml")])?;
        let config = fs::read_to_string(&folder.config_file).map_err(fault)?;
        let url = format!("http://{}/", hook.addr);
        let config =
            format!("{config}\n[[webhook]]\nname = \"hook\"\nurl = \"{url}\"\nsecret-file = \"hook.secret\"\n");
        fs::write(&folder.config_file, config).map_err(fault)?;
        let token = Command::new(&program)
            .args(["token", "Anna", "--role", "administrator", "--config"])
            .arg(&folder.config_file)
            .output()
            .map_err(fault)?;
        private(&root.join("operators.toml"), &String::from_utf8_lossy(&token.stdout)).map_err(fault)?;
        let token = String::from_utf8_lossy(&token.stderr)
            .split_whitespace()
            .find(|word| word.starts_with("vp_"))
            .map(str::to_owned)
            .ok_or_else(|| CentreError::Start("no token was made".into()))?;
        let ids: Vec<HospitalId> = ["a", "b"].map(|id| id.parse().expect("within the alphabet")).to_vec();
        for id in &ids {
            folder.enrol(&card(id, "01"))?;
        }
        let hospitals = Hospitals::report(&ids, mqtt);
        let listener = Listener::listen(mqtt, folder.public_key);
        let centre = Arc::default();
        let stage = Stage { hospitals, ids, folder, root, program, http, token, hook, listener, centre };
        stage.begin();
        stage.wait_for("two fresh hospitals", || stage.fresh() == Some(2));
        Ok(stage)
    }

    fn begin(&self) {
        self.hook.begin_life();
        let log = File::options().create(true).append(true).open(self.root.join("log")).expect("a log");
        let child = Command::new(&self.program)
            .args(["run", "--config"])
            .arg(&self.folder.config_file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn();
        let running = Running(child.expect("the centre starts"));
        *self.centre.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        self.wait_for("a ready centre", || self.get("/readyz").is_some());
    }

    /// SIGKILL.
    pub fn kill(&self) {
        *self.centre.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Kills the centre and starts it again.
    pub fn restart(&self) {
        self.kill();
        self.begin();
    }

    /// Waits until it holds.
    pub fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + WITHIN;
        while !holds() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(self.root.join("log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(15).collect();
                panic!("{what}: not within {WITHIN:?}; the centre's log, the newest line first:\n{}", tail.join("\n"));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn get(&self, path: &str) -> Option<Value> {
        let request = ureq::get(&format!("http://{}{path}", self.http));
        let mut answer = request.header("Authorization", &format!("Bearer {}", self.token)).call().ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn fresh(&self) -> Option<u64> {
        self.get("/api/v1/status")?["nation"]["coverage"]["fresh"].as_u64()
    }

    /// What stands, as `/api/v1/alerts` has it.
    pub fn alerts(&self) -> Option<Value> {
        self.get("/api/v1/alerts").filter(|alerts| alerts["alerts"].is_array())
    }

    /// The whole journal.
    pub fn journal(&self) -> Option<Vec<Value>> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let page = self.get(&format!("/api/v1/journal?after={}&limit=1000", all.len()))?;
            let entries = page["entries"].as_array()?;
            if entries.is_empty() {
                return Some(all);
            }
            all.extend(entries.iter().cloned());
        }
    }

    /// An administrator's act. False where the centre declined it or died over it.
    pub fn act(&self, path: &str, body: &Value) -> bool {
        let request = ureq::post(&format!("http://{}{path}", self.http));
        request.header("Authorization", &format!("Bearer {}", self.token)).send_json(body).is_ok()
    }

    /// Ends the drill.
    pub fn end_exercise(&self) -> bool {
        let request = ureq::delete(&format!("http://{}/api/v1/exercise", self.http));
        request.header("Authorization", &format!("Bearer {}", self.token)).call().is_ok()
    }

    /// Does something, kills the centre, and starts it again. `done`: it is done.
    pub fn strike<T>(&self, when: When, act: impl Fn(&Stage) -> T + Sync, done: impl Fn(&Value) -> bool) {
        match when {
            When::AfterSending(delay) => {
                thread::scope(|s| {
                    // It may wait for an answer that never comes.
                    s.spawn(|| drop(act(self)));
                    thread::sleep(delay);
                    self.kill();
                });
            }
            When::Heard => {
                let (struck, centre) = (Arc::new(Mutex::new(false)), self.centre.clone());
                let told = struck.clone();
                self.hook.strike_at_next(move || {
                    *centre.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = true;
                });
                act(self);
                self.wait_for("a post to strike at", || *struck.lock().unwrap_or_else(PoisonError::into_inner));
            }
            When::Done => {
                act(self);
                self.settled("what was done", done);
                self.kill();
            }
        }
        self.begin();
    }

    /// Waits until it stands so and everybody has heard; everybody's account agrees with the journal, and the next
    /// life stands where this one stood.
    pub fn settled(&self, what: &str, stands: impl Fn(&Value) -> bool) {
        let before = self.agreed(what, &stands);
        self.restart();
        let after = self.agreed(what, &stands);
        assert_eq!(before, after, "{what}: the next life stands where this one stood");
    }

    /// What stands and the journal, once both hold still and everybody has heard.
    fn agreed(&self, what: &str, stands: &impl Fn(&Value) -> bool) -> (Value, Vec<Value>) {
        let mut agreed = None;
        let mut fault = String::new();
        let mut holds = || {
            let (Some(alerts), Some(journal)) = (self.alerts(), self.journal()) else { return false };
            let said = account::said(&journal);
            let wrong = account::fault_of_posts(&said, &self.hook.posts())
                .or_else(|| account::fault_of_words(&said, &self.listener.words()));
            assert!(account::is_whole(&journal), "{what}: the journal has a gap");
            if let Some(wrong) = wrong {
                fault = wrong;
                return false;
            }
            if alerts["number"].as_u64() != Some(journal.len() as u64) || !stands(&alerts) {
                fault = format!("stands: {alerts}");
                return false;
            }
            agreed = Some((alerts, journal));
            true
        };
        let deadline = Instant::now() + WITHIN;
        while !holds() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let Some(agreed) = agreed else { panic!("{what}: not within {WITHIN:?}: {fault}") };
        agreed
    }

    /// Every word that was heard on MQTT.
    pub fn words(&self) -> Vec<Word> {
        self.listener.words()
    }
}

/// The open alarm of a rule at a target.
pub fn alarm<'a>(alerts: &'a Value, rule: &str, target: &str) -> Option<&'a Value> {
    let is = |alert: &&Value| alert["rule"] == json!(rule) && alert["target"] == json!(target);
    alerts["alerts"].as_array()?.iter().find(is)
}
