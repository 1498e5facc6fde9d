//! What the agent tells about itself: one JSON document, kept up to date by every part, served on
//! a Unix socket and rendered by `vardpuls-agent status`.
//!
//! The socket `status.sock` lies in the state folder, mode 0600. Whoever connects gets the document
//! and the end of the stream; nothing is ever read from it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::hospital::HospitalId;

use crate::outbox::{Contents, Refused, Summary};

/// How long a reader of the socket may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Who reports.
    pub hospital: HospitalId,
    /// The signing key's fingerprint.
    pub fingerprint: String,
    /// The version of the agent.
    pub agent: String,
    /// The agent's clock when this was asked for.
    pub now: Time,
    /// The way to the broker.
    pub connection: Connection,
    /// Each source, by name.
    pub sources: BTreeMap<String, Source>,
    /// The newest report.
    pub report: Option<LastReport>,
    /// Why the last report could not be kept or sent, while that lasts.
    pub report_error: Option<String>,
    /// The newest receipt that was believed.
    pub receipt: Option<LastReceipt>,
    /// How many messages on the receipt topic were not believed.
    pub receipts_not_believed: u64,
    /// Why the last of them was not.
    pub last_not_believed: Option<String>,
    /// What the outbox holds and what became of the rest.
    pub outbox: Option<Summary>,
    /// Reports that the centre will not take, since the start; the newest hundred.
    pub refused: Vec<Refused>,
    /// The version of the roster that reports refer to.
    pub roster: String,
}

/// The way to the broker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Connection {
    /// Its address.
    pub broker: String,
    /// Whether it stands.
    pub connected: bool,
    /// When it last came or went.
    pub since: Option<Time>,
    /// Why the last one ended, or did not come about.
    pub last_error: Option<String>,
    /// How often it was lost or could not be made, since the start.
    pub failures: u64,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Source {
    /// When it last said something new.
    pub read_at: Option<Time>,
    /// For how many wards it then gave counts.
    pub wards: usize,
    /// How many wards it then spoiled by a cell that cannot be read; the log names them.
    pub spoiled: usize,
    /// What is wrong with it now.
    pub error: Option<String>,
    /// How many readings failed, since the start.
    pub errors: u64,
}

/// The newest report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastReport {
    /// Its outbox's epoch.
    pub epoch: u64,
    /// Its sequence.
    pub sequence: u64,
    /// When it was made.
    pub at: Time,
    /// When its counts held.
    pub observed_at: Time,
    /// How many wards it vouches for.
    pub wards: usize,
}

/// The newest receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastReceipt {
    /// When it came, by this clock.
    pub at: Time,
    /// When the centre gave it, by its own.
    pub issued_at: Time,
}

/// The status as the agent's parts share it.
#[derive(Debug, Clone)]
pub struct Board(Arc<Mutex<Status>>);

impl Board {
    /// A board on which nothing has happened yet.
    pub fn new(hospital: HospitalId, fingerprint: String, broker: String, roster_version: u32) -> Board {
        Board(Arc::new(Mutex::new(Status {
            hospital,
            fingerprint,
            agent: env!("CARGO_PKG_VERSION").into(),
            now: Time::default(),
            connection: Connection { broker, ..Connection::default() },
            sources: BTreeMap::new(),
            report: None,
            report_error: None,
            receipt: None,
            receipts_not_believed: 0,
            last_not_believed: None,
            outbox: None,
            refused: Vec::new(),
            roster: format!("{roster_version:08x}"),
        })))
    }

    /// Changes it.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// As it stands.
    pub fn read(&self, now: Time) -> Status {
        let status = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Status { now, ..status }
    }
}

/// The socket of a state folder.
pub fn socket(state_dir: &Path) -> PathBuf {
    state_dir.join("status.sock")
}

/// Binds the socket. The outbox must be open: its lock makes this agent the only one here, so that
/// a socket that already lies there is left over.
pub fn bind(state_dir: &Path) -> io::Result<UnixListener> {
    let path = socket(state_dir);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers on the socket until shutdown.
pub async fn serve(listener: UnixListener, board: Board, clock: Clock, shutdown: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((mut stream, _)) => {
                let text = serde_json::to_vec_pretty(&board.read(clock.now())).unwrap_or_default();
                // A reader that does not read only loses its own answer.
                let _ = tokio::time::timeout(PATIENCE, async {
                    stream.write_all(&text).await?;
                    stream.shutdown().await
                })
                .await;
            }
            Err(e) => {
                warn!(error = %e, "status socket");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

/// Asks the agent that runs on `state_dir`; none when there is none.
pub fn ask(state_dir: &Path) -> io::Result<Option<Status>> {
    let mut stream = match UnixStream::connect(socket(state_dir)) {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
        Err(e) => return Err(e),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(Some(serde_json::from_str(&text)?))
}

/// The document as lines for people.
pub fn render(status: &Status) -> String {
    let mut out = String::new();
    let mut line = |word: &str, text: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{word:<14}{text}");
    };
    let connection = &status.connection;
    line("hospital", status.hospital.to_string());
    line("fingerprint", status.fingerprint.clone());
    let since = connection.since.map_or(String::new(), |t| format!(" since {t}"));
    let state = if connection.connected { "connected" } else { "not connected" };
    line("broker", format!("{}, {state}{since}", connection.broker));
    if let Some(e) = &connection.last_error {
        line("", format!("last error: {e}"));
    }
    for (name, source) in &status.sources {
        let read = source.read_at.map_or("never read".into(), |t| format!("read {t}, {} wards", source.wards));
        let spoiled = if source.spoiled > 0 { format!(", {} spoiled", source.spoiled) } else { String::new() };
        line("source", format!("{name}: {read}{spoiled}, {} errors", source.errors));
        if let Some(e) = &source.error {
            line("", e.clone());
        }
    }
    line("roster", format!("version {}", status.roster));
    line(
        "last report",
        match &status.report {
            Some(r) => format!("{} at {}, {} wards, observed {}", r.sequence, r.at, r.wards, r.observed_at),
            None => "none since the start".into(),
        },
    );
    if let Some(e) = &status.report_error {
        line("", e.clone());
    }
    line(
        "last receipt",
        match &status.receipt {
            Some(r) => format!("at {}", r.at),
            None => "none since the start".into(),
        },
    );
    if let Some(e) = &status.last_not_believed {
        line("", format!("{} messages were not believed; the last: {e}", status.receipts_not_believed));
    }
    if let Some(outbox) = &status.outbox {
        out.push_str(&render_outbox(outbox, &status.refused));
    }
    out
}

/// The outbox of a stopped agent as lines for people.
pub fn render_contents(contents: &Contents) -> String {
    render_outbox(&contents.summary(), &contents.refused)
}

fn render_outbox(outbox: &Summary, refused: &[Refused]) -> String {
    let mut out = String::new();
    let oldest = outbox.oldest.map_or(String::new(), |t| format!(", the oldest from {t}"));
    let _ = writeln!(out, "{:<14}{} reports without receipt, {} bytes{oldest}", "outbox", outbox.held, outbox.bytes);
    let _ = writeln!(
        out,
        "{:<14}{} receipted, {} refused, {} dropped",
        "", outbox.released, outbox.refused, outbox.dropped
    );
    if outbox.dropped > 0 {
        let _ =
            writeln!(out, "{:<14}dropped reports are a gap in the centre's history: see [outbox] in the config", "");
    }
    for report in refused {
        let _ =
            writeln!(out, "{:<14}{} {} at {}: {}", "refused", report.sequence, report.reason, report.at, report.remedy);
    }
    out
}
