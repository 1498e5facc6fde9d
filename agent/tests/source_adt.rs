//! The ADT listener as a process over a real socket, killed at random: what was answered is kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vardpuls_agent::config::{Config, SourceKind};
use vardpuls_agent::source::adt::event::Act;
use vardpuls_agent::source::adt::frame::{Framer, Piece, framed};
use vardpuls_agent::source::adt::store::Store;
use vardpuls_agent::source::adt::visits::{Kept, Visits};
use vardpuls_agent::status::socket;
use vardpuls_shared::clock::Time;

const PATIENCE: Duration = Duration::from_mins(1);
const SENDERS: usize = 4;
const KILLS: usize = 8;
/// How many messages a sender has on their way at once.
const AHEAD: usize = 16;
const WARDS: [&str; 3] = ["KIR3", "MED1", "IVA"];

/// A hospital with one listener, and an agent that may be killed.
struct Hospital {
    folder: TempDir,
    agent: Mutex<Option<Child>>,
}

impl Hospital {
    fn new() -> Hospital {
        let folder = TempDir::new().expect("a folder");
        let (mut wards, mut places) = (String::new(), String::new());
        for (n, place) in WARDS.iter().enumerate() {
            let _ =
                write!(wards, "[[ward]]\nindex = {n}\nid = \"w{n}\"\nname = \"W\"\ncare = \"general\"\nstaffed = 9\n");
            let _ = writeln!(places, "{place} = \"w{n}\"");
        }
        let text = format!(
            "hospital = \"h\"\nname = \"H\"\nregion = \"01\"\nstate-dir = \"state\"\nkey-file = \"agent.key\"\n\
             centre-key = \"ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"\n\
             broker = {{ url = \"mqtt://127.0.0.1:1\" }}\n{wards}\
             [[source]]\nname = \"pas\"\nkind = \"adt\"\nlisten = \"127.0.0.1:0\"\nzone = \"UTC\"\nassume-empty = true\n\
             [source.places]\n{places}"
        );
        fs::write(folder.path().join("agent.toml"), text).expect("writable");
        let hospital = Hospital { folder, agent: Mutex::new(None) };
        assert!(hospital.command("keygen").stdout(Stdio::null()).status().expect("runs").success());
        hospital
    }

    fn config_file(&self) -> PathBuf {
        self.folder.path().join("agent.toml")
    }

    fn command(&self, word: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vardpuls-agent"));
        command.arg(word).arg("--config").arg(self.config_file()).env_remove("NOTIFY_SOCKET").stderr(Stdio::null());
        command
    }

    fn agent(&self) -> MutexGuard<'_, Option<Child>> {
        self.agent.lock().expect("whole")
    }

    fn start(&self) {
        *self.agent() = Some(self.command("run").spawn().expect("runs"));
    }

    fn kill(&self) {
        if let Some(mut agent) = self.agent().take() {
            agent.kill().expect("a child of ours");
            agent.wait().expect("a child of ours");
        }
    }

    /// Where the agent listens, as it says itself; none while it does not.
    fn listens(&self) -> Option<SocketAddr> {
        let status = socket::ask(&self.folder.path().join("state/status.sock")).ok()??;
        status.sources.get("pas")?.adt.as_ref()?.listens.parse().ok()
    }

    /// The visits on disk, while no agent runs.
    fn kept(&self) -> (Store, Kept) {
        Store::open(&self.folder.path().join("state"), "pas", Time(0)).expect("a store")
    }
}

impl Drop for Hospital {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Lets the senders end with it.
struct Ends<'e>(&'e AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One message of a sender: its visits come, move twice, and some leave.
#[derive(Debug, Clone)]
struct Told {
    visit: String,
    act: Act,
    at: Time,
    bytes: Vec<u8>,
}

fn told(sender: usize, number: usize) -> Told {
    let (trigger, act, ward) = [
        ("A01", Act::Admit, 0),
        ("A02", Act::Transfer, 1),
        ("A21", Act::Leave, 1),
        ("A02", Act::Transfer, 2),
        ("A03", Act::Discharge, 2),
    ][number % 5];
    // Every third visit stays.
    let (visit, stays) = (number / 5, (number / 5).is_multiple_of(3) && act == Act::Discharge);
    let (trigger, act) = if stays { ("A22", Act::Return) } else { (trigger, act) };
    let (visit, place) = (format!("{sender}-{visit}"), WARDS[(ward + sender) % WARDS.len()]);
    let (day, hour, minute) = (1 + number / 1440, number / 60 % 24, number % 60);
    let stamp = format!("202601{day:02}{hour:02}{minute:02}00");
    let at = Time(1_767_225_600_000 + 60_000 * u64::try_from(number).expect("small"));
    let bytes = format!(
        "MSH|^~\\&|PAS|H|VP||{stamp}||ADT^{trigger}|{sender}-{number}|P|2.5\rEVN|{trigger}|{stamp}\rPID|1\r\
         PV1|1|I|{place}{}{visit}\r",
        "|".repeat(16)
    );
    Told { visit, act, at, bytes: bytes.into_bytes() }
}

/// Sends from `answered` on until `enough`, with several on their way, and counts what is answered AA.
fn send(hospital: &Hospital, sender: usize, answered: &AtomicUsize, enough: &AtomicBool) {
    while !enough.load(Ordering::Relaxed) {
        let Some(address) = hospital.listens() else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        // Whatever ends the connection: what was not answered is sent again.
        let _ = converse(address, sender, answered, enough);
    }
}

fn converse(address: SocketAddr, sender: usize, answered: &AtomicUsize, enough: &AtomicBool) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut framer, mut pieces, mut part) = (Framer::new(4096), Vec::new(), vec![0; 4096]);
    let mut sent = answered.load(Ordering::Relaxed);
    while !enough.load(Ordering::Relaxed) {
        let mut out = Vec::new();
        while sent < answered.load(Ordering::Relaxed) + AHEAD {
            framed(&told(sender, sent).bytes, &mut out);
            sent += 1;
        }
        stream.write_all(&out)?;
        let read = stream.read(&mut part)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        framer.push(&part[..read], &mut pieces);
        for piece in pieces.drain(..) {
            let Piece::Message(answer) = piece else { panic!("{piece:?}") };
            let next = answered.load(Ordering::Relaxed);
            let expected = format!("\rMSA|AA|{sender}-{next}|");
            let text = String::from_utf8(answer).expect("text");
            assert!(text.contains(&expected), "{text} does not answer {sender}-{next}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Everything that was answered is among what is kept.
fn hold(kept: &(Store, Kept), answered: &[usize]) {
    let visits: BTreeMap<_, _> = kept.1.visits.iter().map(|(key, visit)| (*key, visit)).collect();
    for (sender, number) in answered.iter().enumerate() {
        for number in 0..*number {
            let told = told(sender, number);
            let visit = visits.get(&kept.0.secret().hide(told.visit.as_bytes()));
            let is_kept =
                visit.is_some_and(|v| v.statements().iter().any(|s| s.act == told.act && s.when.recorded == told.at));
            assert!(is_kept, "{}, {number} of {sender}, was answered and is not kept", told.visit);
        }
    }
}

fn rules(config_file: &Path) -> vardpuls_agent::source::adt::visits::Rules {
    let config = Config::load(config_file).expect("a good config");
    let SourceKind::Adt(spec) = &config.sources[0].kind else { panic!("one source, ADT") };
    spec.rules.clone()
}

#[test]
fn a_killed_agent_has_everything_that_it_answered() {
    let hospital = Hospital::new();
    let (answered, enough) = ([const { AtomicUsize::new(0) }; SENDERS], AtomicBool::new(false));
    let total = || answered.iter().map(|n| n.load(Ordering::Relaxed)).sum::<usize>();
    let read = || answered.iter().map(|n| n.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let mut rng = fastrand::Rng::with_seed(5);
    std::thread::scope(|scope| {
        // Also where an assertion fails.
        let _enough = Ends(&enough);
        for (sender, answered) in answered.iter().enumerate() {
            let (hospital, enough) = (&hospital, &enough);
            scope.spawn(move || send(hospital, sender, answered, enough));
        }
        for round in 0..KILLS {
            hospital.start();
            let until = total() + rng.usize(20..250);
            let deadline = Instant::now() + PATIENCE;
            while total() < until && Instant::now() < deadline {
                std::thread::sleep(Duration::from_micros(rng.u64(50..3000)));
            }
            assert!(total() >= until, "round {round}: {} answers and no more", total());
            hospital.kill();
            // An answer that was on its way is counted a moment later; it is held to in the next round.
            let counted = read();
            hold(&hospital.kept(), &counted);
        }
    });
    let (counted, (store, kept)) = (read(), hospital.kept());
    hold(&(store, kept.clone()), &counted);

    // Nothing else is there but what was on its way.
    let statements: usize = kept.visits.iter().map(|(_, visit)| visit.statements().len()).sum();
    assert!((total()..=total() + SENDERS * AHEAD).contains(&statements), "{statements} kept, {} answered", total());
    let counts = Visits::new(rules(&hospital.config_file()), kept).counts();
    let patients: usize = counts.values().map(|count| usize::from(count.occupied)).sum();
    let expected: usize = counted.iter().map(|n| present(*n)).sum();
    assert!(patients.abs_diff(expected) <= SENDERS * AHEAD, "{patients} patients, {expected} by what was answered");
}

/// How many visits stand after so many messages of a sender.
fn present(messages: usize) -> usize {
    let whole = messages / 5;
    whole.div_ceil(3) + usize::from(!messages.is_multiple_of(5))
}
