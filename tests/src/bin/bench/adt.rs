//! The ADT listener: from the socket to a durable answer, a restart, a year's memory, and what reading a message costs.
//!
//! Listener and senders share this process and machine: the rates hold both. What is sent is made before the clock runs.

mod traffic;

use std::fs::File;
use std::hint::black_box;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use vardpuls_agent::source::adt::event;
use vardpuls_agent::source::adt::frame::framed;
use vardpuls_agent::source::adt::hl7::Message;
use vardpuls_agent::source::adt::reason::Reason;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_tests::adt::mllp::Line;
use vardpuls_tests::adt::station::Station;

use self::traffic::{Traffic, habits, rules};
use crate::fixture::median;
use crate::table::{Bar, Row};

const PATIENCE: Duration = Duration::from_mins(1);
/// Connections of the pipelined senders, and messages that each has on its way.
const SENDERS: usize = 8;
const AHEAD: usize = 256;
const PIPELINED: usize = 200_000;
const ALONE: usize = 3000;
const OPEN: usize = 2000;
const BEDS: usize = 1000;
const QUARTERS: u64 = 4;
const READ: usize = 20_000;
const ROUNDS: usize = 7;
const NOW: Time = Time(1_790_000_000_000);

pub(crate) fn measure() -> Result<Vec<Row>, String> {
    // As the agent has it: one thread for sockets, one for the store; the senders have a runtime of their own.
    let agent = runtime(1)?;
    let senders = runtime(1)?;
    let mut rows = vec![pipelined(&agent, &senders)?, alone(&agent, &senders)?, restart(&agent, &senders)?];
    rows.extend(reading()?);
    rows.push(year(&agent, &senders)?);
    Ok(rows)
}

fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, String> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    built.map_err(text)
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

#[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
fn a_second(times: usize, since: Instant) -> f64 {
    times as f64 / since.elapsed().as_secs_f64()
}

fn start(agent: &tokio::runtime::Runtime, state: &Path, clock: Clock) -> Result<Station, String> {
    agent.block_on(Station::start(state, rules(), habits(), clock)).map_err(text)
}

/// Sends frames over one line, so many ahead of the answers.
async fn push(line: &mut Line, frames: &[Vec<u8>], ahead: usize) -> Result<(), String> {
    let (mut sent, mut answered) = (0, 0);
    while answered < frames.len() {
        // Half of them at a time: a sender writes when it has something to write.
        if sent - answered <= ahead / 2 && sent < frames.len() {
            let next = (answered + ahead).min(frames.len());
            line.send(&frames[sent..next].concat()).await.map_err(text)?;
            sent = next;
        }
        for answer in line.answers(PATIENCE).await.map_err(text)? {
            if !answer.windows(7).any(|part| part == b"MSA|AA|") {
                return Err(format!("not answered AA: {}", String::from_utf8_lossy(&answer)));
            }
            answered += 1;
        }
    }
    Ok(())
}

fn pipelined(agent: &tokio::runtime::Runtime, senders: &tokio::runtime::Runtime) -> Result<Row, String> {
    let folder = tempfile::tempdir().map_err(text)?;
    let station = start(agent, folder.path(), Clock::System)?;
    let mut traffic = Traffic::new(BEDS, 1, NOW);
    let mut shares = vec![Vec::new(); SENDERS];
    for _ in 0..PIPELINED {
        let (bed, message) = traffic.next();
        // All of a bed over one line, as an engine sends all of a visit.
        shares[bed % SENDERS].push(frame(&message));
    }
    let address = station.address;
    let began = Instant::now();
    senders.block_on(async {
        let mut tasks = JoinSet::new();
        for frames in shares {
            tasks.spawn(async move {
                let mut line = Line::connect(address).await.map_err(text)?;
                push(&mut line, &frames, AHEAD).await
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.map_err(text)??;
        }
        Ok::<_, String>(())
    })?;
    let rate = a_second(PIPELINED, began);
    agent.block_on(station.stop()).map_err(text)?;
    Ok(Row {
        what: format!("ADT, socket to durable answer, {SENDERS} senders, {AHEAD} messages ahead"),
        value: format!("{rate:.0} messages/s"),
        beside: format!("{:.0} fsync/s", fsyncs(folder.path())?),
        ratio: Some(rate),
        bar: Some(Bar::AtLeast(20_000.0)),
    })
}

fn alone(agent: &tokio::runtime::Runtime, senders: &tokio::runtime::Runtime) -> Result<Row, String> {
    let folder = tempfile::tempdir().map_err(text)?;
    let station = start(agent, folder.path(), Clock::System)?;
    let mut traffic = Traffic::new(BEDS, 2, NOW);
    let frames: Vec<Vec<u8>> = (0..ALONE).map(|_| frame(&traffic.next().1)).collect();
    let address = station.address;
    let before = fsyncs(folder.path())?;
    let began = Instant::now();
    senders.block_on(async {
        let mut line = Line::connect(address).await.map_err(text)?;
        push(&mut line, &frames, 1).await
    })?;
    let rate = a_second(ALONE, began);
    let after = fsyncs(folder.path())?;
    agent.block_on(station.stop()).map_err(text)?;
    Ok(Row {
        what: "the same, one sender that waits for each answer".into(),
        value: format!("{rate:.0} messages/s"),
        beside: format!("{before:.0} and {after:.0} fsync/s before and after"),
        ratio: Some(rate),
        bar: Some(Bar::AtLeast(1000.0)),
    })
}

/// How often a second a page can be written and synced in a folder, here and now.
fn fsyncs(folder: &Path) -> Result<f64, String> {
    let mut file = File::create(folder.join("fsync")).map_err(text)?;
    file.set_len(4096).map_err(text)?;
    let (began, mut times) = (Instant::now(), 0u32);
    while began.elapsed() < Duration::from_secs(1) {
        file.rewind().and_then(|()| file.write_all(&[times.to_le_bytes()[0]; 4096])).map_err(text)?;
        file.sync_data().map_err(text)?;
        times += 1;
    }
    Ok(f64::from(times) / began.elapsed().as_secs_f64())
}

fn restart(agent: &tokio::runtime::Runtime, senders: &tokio::runtime::Runtime) -> Result<Row, String> {
    let folder = tempfile::tempdir().map_err(text)?;
    let station = start(agent, folder.path(), Clock::System)?;
    let mut traffic = Traffic::new(OPEN * 2, 3, NOW);
    let mut frames = Vec::new();
    while traffic.open() < OPEN {
        frames.push(frame(&traffic.next().1));
    }
    let address = station.address;
    senders.block_on(async { push(&mut Line::connect(address).await.map_err(text)?, &frames, AHEAD).await })?;
    agent.block_on(station.stop()).map_err(text)?;
    let mut took = Vec::new();
    let mut kept = 0;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let mut station = start(agent, folder.path(), Clock::System)?;
        agent.block_on(station.picture.wait_for(|picture| !picture.counts.is_empty())).map_err(text)?;
        took.push(began.elapsed().as_secs_f64());
        let patients: usize = station.picture.borrow().counts.values().map(|count| usize::from(count.occupied)).sum();
        if patients != OPEN {
            return Err(format!("{patients} patients after a restart, {OPEN} before"));
        }
        kept = station.picture.borrow().visits;
        agent.block_on(station.stop()).map_err(text)?;
    }
    let median = median(took);
    Ok(Row {
        what: format!("the listener's restart with {OPEN} open visits"),
        value: format!("{:.0} ms", median * 1000.0),
        beside: format!("{kept} visits kept"),
        ratio: Some(median),
        bar: Some(Bar::AtMost(1.0)),
    })
}

fn reading() -> Result<Vec<Row>, String> {
    let mut traffic = Traffic::new(BEDS, 4, NOW);
    let messages: Vec<Vec<u8>> = (0..READ).map(|_| traffic.next().1).collect();
    let bytes: usize = messages.iter().map(Vec::len).sum();
    let habits = habits();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for message in &messages {
            let message = Message::parse(message).ok_or("no message")?;
            black_box(event::read(&message, &habits, NOW).map_err(Reason::text)?);
        }
        ours.push(a_second(READ, began));
        let began = Instant::now();
        for message in &messages {
            let message = std::str::from_utf8(message).map_err(text)?;
            let message = hl7_parser::Message::parse(message).map_err(text)?;
            let visit = message.segment("PV1").ok_or("no PV1")?;
            black_box((visit.field(2), visit.field(3), visit.field(19)));
        }
        theirs.push(a_second(READ, began));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let what = |other: &str| format!("reading ADT, {} bytes each, beside {other}", bytes / READ);
    let row = |other: &str, rate: f64| Row {
        what: what(other),
        value: format!("{ours:.0} messages/s"),
        beside: format!("{rate:.0} messages/s {other}"),
        ratio: Some(ours / rate),
        bar: None,
    };
    let mut rows = vec![row("hl7-parser", theirs)];
    rows.extend(python(&messages)?.map(|rate| row("python-hl7", rate)));
    Ok(rows)
}

/// python-hl7 on the same messages, where it is installed; `VARDPULS_PYTHON` names a Python that has it.
fn python(messages: &[Vec<u8>]) -> Result<Option<f64>, String> {
    const SCRIPT: &str = include_str!("adt/python_hl7.py");
    let python = std::env::var("VARDPULS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_it = Command::new(&python).args(["-c", "import hl7"]).output().is_ok_and(|o| o.status.success());
    if !has_it {
        eprintln!(
            "python-hl7 is not installed for {python}: pip install hl7, or name one that has it in VARDPULS_PYTHON"
        );
        return Ok(None);
    }
    let mut file = tempfile::NamedTempFile::new().map_err(text)?;
    for message in messages {
        file.write_all(message).and_then(|()| file.write_all(b"\x00")).map_err(text)?;
    }
    let output = Command::new(&python).arg("-c").arg(SCRIPT).arg(file.path()).output().map_err(text)?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().map(Some).map_err(|_| format!("python-hl7: {}", String::from_utf8_lossy(&output.stderr)))
}

/// A year of a hospital in some minutes: its clock is set, so that old visits go as they would.
fn year(agent: &tokio::runtime::Runtime, senders: &tokio::runtime::Runtime) -> Result<Row, String> {
    let folder = tempfile::tempdir().map_err(text)?;
    let clock = Clock::standing_at(NOW);
    let station = start(agent, folder.path(), clock.clone())?;
    let mut traffic = Traffic::new(BEDS, 5, NOW);
    let address = station.address;
    let mut line = senders.block_on(Line::connect(address)).map_err(text)?;
    let (mut resident, mut visits, mut messages) = (Vec::new(), Vec::new(), 0);
    for quarter in 1..=QUARTERS {
        let end = NOW.plus(Duration::from_hours(24 * 365 * quarter / QUARTERS));
        while traffic.now() < end {
            let hours = traffic.now().plus(Duration::from_hours(6));
            let mut frames = Vec::new();
            while traffic.now() < hours {
                frames.push(frame(&traffic.next().1));
            }
            messages += frames.len();
            clock.set(traffic.now());
            senders.block_on(push(&mut line, &frames, AHEAD))?;
            agent.block_on(station.keeper.expire());
        }
        resident.push(crate::idle::kilobytes(std::process::id(), "VmRSS")?);
        visits.push(station.picture.borrow().visits);
    }
    agent.block_on(station.stop()).map_err(text)?;
    let growth = resident[resident.len() - 1] / resident[0];
    let megabytes = |kilobytes: &f64| format!("{:.1}", kilobytes / 1024.0);
    Ok(Row {
        what: format!("a year of {BEDS} beds, {messages} messages: resident memory at the quarters' ends, MB"),
        value: resident.iter().map(megabytes).collect::<Vec<_>>().join(", "),
        beside: format!("visits kept {visits:?}; senders and bench included"),
        ratio: Some(growth),
        bar: Some(Bar::AtMost(1.1)),
    })
}

fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    framed(message, &mut frame);
    frame
}
