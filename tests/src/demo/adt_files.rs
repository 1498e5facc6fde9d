//! The demo on a folder of HL7 messages: an agent's listener on a real socket, one message a file, at any depth.
//!
//! In: a folder, of which nothing is believed. Out: a last line that says how many messages there were, how they were
//! answered, why, and how often a count changed. All that is in the folder is sent, whatever it is.
//!
//! Each message is sent after the last one was answered, so that a change of a count has one cause. Whether that is an
//! ADT message is judged here, from its first line, and not by the agent's reader.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;
use vardpuls_agent::source::adt::event::{Class, Habits};
use vardpuls_agent::source::adt::frame::framed;
use vardpuls_agent::source::adt::hl7::{self, Message, Name};
use vardpuls_agent::source::adt::place::{Map, PlaceName};
use vardpuls_agent::source::adt::reason::Reason;
use vardpuls_agent::source::adt::visits::Rules;
use vardpuls_shared::clock::Clock;
use vardpuls_shared::hospital::WardId;

use super::{DemoError, Place};
use crate::adt::mllp::{Answer, Line};
use crate::adt::station::{self, Station};

/// A file is read up to here; what is longer than the listener takes needs not be sent whole.
const READ: u64 = 4 * station::MOST as u64;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait for an answer that the message itself does not ask for.
const NONE_WANTED: Duration = Duration::from_millis(100);
/// How many places of the messages become wards.
const MAX_WARDS: usize = 1000;
/// Patient classes that count here: inpatients and emergencies.
const CLASSES: [&[u8]; 2] = [b"I", b"E"];

/// What became of everything.
#[derive(Debug, Default)]
struct Outcome {
    messages: u64,
    answers: BTreeMap<String, u64>,
    /// Messages that ask for no answer, and got none.
    silent: u64,
    unanswered: Vec<PathBuf>,
    reasons: BTreeMap<Reason, u64>,
    changed: u64,
    /// Files that are no ADT and changed a count.
    wrongly: Vec<PathBuf>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered = |code: &str| {
            let of_kind = self.answers.iter().filter(|(given, _)| given.ends_with(code));
            of_kind.map(|(_, n)| n).sum::<u64>()
        };
        let (aa, ae, ar) = (answered("A"), answered("E"), answered("R"));
        write!(f, "{} messages: answered AA {aa}, AE {ae}, AR {ar}", self.messages)?;
        if self.silent > 0 {
            write!(f, ", {} asked for no answer", self.silent)?;
        }
        write!(f, ", not answered {}; by reason:", self.unanswered.len())?;
        for (n, (reason, times)) in self.reasons.iter().enumerate() {
            write!(f, "{} {} {times}", if n > 0 { "," } else { "" }, reason.name())?;
        }
        write!(f, "; counts changed {} times, {} of them by what is no ADT", self.changed, self.wrongly.len())
    }
}

/// Sends everything in a folder.
pub(super) async fn run(folder: &Path, place: &Place, shutdown: &CancellationToken) -> Result<(), DemoError> {
    let mut files = Vec::new();
    walk(folder, &mut files)?;
    files.sort();
    let rules = rules(&files)?;
    println!(
        "Vardpuls demo: {} files of {} to an agent's MLLP listener; {} places become wards, classes I and E count.",
        files.len(),
        folder.display(),
        rules.map.wards().len()
    );
    let outcome = send(&files, rules, &place.folder.join("adt"), shutdown).await?;
    for (files, what) in
        [(&outcome.unanswered, "was not answered"), (&outcome.wrongly, "is no ADT and changed a count")]
    {
        for file in files {
            println!("{} {what}", file.display());
        }
    }
    println!("{outcome}");
    let is_whole = !shutdown.is_cancelled() && outcome.unanswered.is_empty() && outcome.wrongly.is_empty();
    if is_whole { Ok(()) } else { Err(DemoError::AdtFiles) }
}

/// Every file, without following links to folders, which may go in circles.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), DemoError> {
    let named = |reason| DemoError::Folder { file: folder.to_owned(), reason };
    for entry in fs::read_dir(folder).map_err(named)? {
        let entry = entry.map_err(named)?;
        let path = entry.path();
        if entry.file_type().map_err(named)?.is_dir() {
            walk(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, DemoError> {
    use io::Read as _;
    let mut bytes = Vec::new();
    let read = fs::File::open(file).and_then(|open| open.take(READ).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|reason| DemoError::Folder { file: file.to_owned(), reason })
}

/// A ward for every place that the messages name.
fn rules(files: &[PathBuf]) -> Result<Rules, DemoError> {
    let mut wards: BTreeMap<PlaceName, WardId> = BTreeMap::new();
    for file in files {
        let bytes = read(file)?;
        let Some(message) = Message::parse(&bytes) else { continue };
        let charset = hl7::charset(message.header()).unwrap_or(encoding_rs::WINDOWS_1252);
        for visit in message.segments().filter(|segment| segment.name == Name::Pv1) {
            let name = PlaceName::new(&visit.field(3).component(1).text(charset), "");
            let number = wards.len() + 1;
            if !name.point_of_care.is_empty() && number <= MAX_WARDS {
                let id = format!("ward-{number}").parse().expect("a ward's id");
                wards.entry(name).or_insert(id);
            }
        }
    }
    let day = Duration::from_hours(24);
    Ok(Rules {
        map: Map::new(wards, [].into()),
        classes: CLASSES.iter().filter_map(|class| Class::new(class)).collect(),
        assume_empty: true,
        tombstone: 7 * day,
        longest_stay: 400 * day,
    })
}

async fn send(
    files: &[PathBuf],
    rules: Rules,
    state: &Path,
    shutdown: &CancellationToken,
) -> Result<Outcome, DemoError> {
    let socket = |reason| DemoError::Socket { reason };
    let processing = ["P", "T", "D"].map(str::to_owned).to_vec();
    let habits = Habits { charset: encoding_rs::WINDOWS_1252, zone: TimeZone::UTC, registrations: false, processing };
    let station = Station::start(state, rules, habits, Clock::System).await.map_err(socket)?;
    let (mut outcome, mut line) = (Outcome::default(), None);
    for file in files {
        if shutdown.is_cancelled() {
            break;
        }
        let bytes = read(file)?;
        let before = station.picture.borrow().counts.clone();
        let answers = match converse(&mut line, station.address, &bytes).await {
            Ok(answers) => answers,
            Err(e) => {
                println!("{}: {e}", file.display());
                line = None;
                Vec::new()
            }
        };
        outcome.messages += 1;
        match answers.first() {
            Some(answer) => *outcome.answers.entry(answer.code.clone()).or_default() += 1,
            None if wants_none(&bytes) => outcome.silent += 1,
            None => outcome.unanswered.push(file.clone()),
        }
        // The picture is there before the answer.
        if station.picture.borrow().counts != before {
            outcome.changed += 1;
            if !is_adt(&bytes) {
                outcome.wrongly.push(file.clone());
            }
        }
    }
    outcome.reasons = station.tally.read().reasons;
    // A panic of the listener is the finding that this is for.
    station.stop().await.map_err(socket)?;
    Ok(outcome)
}

/// Sends one message and hears its answers. What has marks of MLLP in it gets a connection of its own: how many messages
/// the listener finds there is not known.
async fn converse(line: &mut Option<Line>, address: std::net::SocketAddr, bytes: &[u8]) -> io::Result<Vec<Answer>> {
    let patience = if wants_none(bytes) { NONE_WANTED } else { PATIENCE };
    let mut own = None;
    let line = if bytes.iter().any(|byte| matches!(byte, 0x0b | 0x1c)) { &mut own } else { line };
    let line = match line {
        Some(line) => line,
        None => line.insert(Line::connect(address).await?),
    };
    let mut frame = Vec::new();
    framed(bytes, &mut frame);
    let answers = match line.exchange(&frame, patience).await {
        Err(e) if e.kind() == io::ErrorKind::TimedOut => Vec::new(),
        other => other?,
    };
    Ok(answers.iter().filter_map(|answer| Answer::read(answer)).collect())
}

/// The fields of the first line, MSH-1 first.
fn header(bytes: &[u8]) -> Option<(Vec<&[u8]>, u8)> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let bytes = bytes.strip_prefix(b"\x0b").unwrap_or(bytes).trim_ascii_start();
    let line = bytes.split(|b| matches!(b, b'\r' | b'\n')).next()?.strip_prefix(b"MSH")?;
    let (separator, rest) = line.split_first()?;
    let fields: Vec<&[u8]> = [b"".as_slice()].into_iter().chain(rest.split(|b| b == separator)).collect();
    let component = fields.get(1)?.first().copied().unwrap_or(b'^');
    Some((fields, component))
}

fn is_adt(bytes: &[u8]) -> bool {
    let Some((fields, component)) = header(bytes) else { return false };
    fields.get(8).is_some_and(|kind| kind.split(|b| *b == component).next().unwrap_or_default().trim_ascii() == b"ADT")
}

/// Whether MSH-15 and MSH-16 may forbid every answer.
fn wants_none(bytes: &[u8]) -> bool {
    let Some((fields, _)) = header(bytes) else { return false };
    let wanted = |at: usize| fields.get(at).map(|field| field.trim_ascii()).unwrap_or_default();
    let (accept, application) = (wanted(14), wanted(15));
    !(accept.is_empty() && application.is_empty()) && accept != b"AL" && application != b"AL"
}
