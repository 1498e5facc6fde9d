//! The preview: the exact bytes that would leave the hospital, for a data protection officer.
//!
//! In: the config; every source is read once. Out: text or JSON. Nothing is sent and nothing is
//! kept. What is explained is read back from the signed bytes, not from what they were made of.

use std::fmt::Write as _;

use serde::Serialize;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::count::Counts;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::report::{Position, Report};
use vardpuls_shared::roster::{Roster, Ward};
use vardpuls_shared::signed::{Envelope, Kind};
use vardpuls_shared::topic::Topic;

use crate::census::{Census, Snapshot};
use crate::config::Config;
use crate::signer::{Signer, SignerError};
use crate::source::{self, Observation, SourceError};

/// One source, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The source's name.
    pub source: String,
    /// What it says, or why it cannot be read.
    pub result: Result<Observation, SourceError>,
}

/// Everything that would be sent, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Preview {
    /// Who would report.
    pub hospital: HospitalId,
    /// What the sources gave.
    pub sources: Vec<SourceLine>,
    /// The report; none while no source that counts patients can be read.
    pub report: Option<Message>,
    /// The list of wards, sent at each connection.
    pub roster: Message,
}

/// What one source gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SourceLine {
    /// Its name.
    pub name: String,
    /// When what it says held.
    pub observed_at: Option<Time>,
    /// For how many wards it gives counts.
    pub wards: usize,
    /// Why it cannot be read.
    pub error: Option<String>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Message {
    /// The MQTT topic.
    pub topic: String,
    /// Its size, signed, all in.
    pub bytes: usize,
    /// How many wards it is about.
    pub wards: usize,
    /// The bytes that would be sent.
    pub hex: String,
    /// The payload in CBOR's diagnostic notation.
    pub diagnostic: String,
    /// The payload, field by field.
    pub fields: Vec<Field>,
}

/// One field of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Field {
    /// What it is.
    pub name: String,
    /// What stands there.
    pub value: String,
    /// What it means.
    pub meaning: String,
}

/// Reads every source, makes what would be sent, and renders it.
pub async fn run(config: &Config, clock: &Clock, json: bool) -> Result<String, SignerError> {
    let signer = Signer::load(config)?;
    let readings = read(config, clock).await;
    let now = clock.now();
    let snapshot = snapshot(config, &readings, now);
    // The place of the report in the outbox is only known when it is kept there.
    let position = Position { epoch: now.0, sequence: 1 };
    let report = snapshot.map(|snapshot| signer.report(position, &snapshot));
    let preview = of(config, &readings, report.as_deref(), signer.roster());
    if json {
        let text = serde_json::to_string_pretty(&preview).expect("names and numbers are always JSON");
        Ok(text + "\n")
    } else {
        Ok(render(&preview))
    }
}

/// Reads every source once, in the order of the config.
pub async fn read(config: &Config, clock: &Clock) -> Vec<Reading> {
    let mut readings = Vec::with_capacity(config.sources.len());
    for source in &config.sources {
        readings.push(Reading { source: source.name.clone(), result: source::read_once(source, clock).await });
    }
    readings
}

/// What the sources give together; none while no source that counts patients can be read.
pub fn snapshot(config: &Config, readings: &[Reading], now: Time) -> Option<Snapshot> {
    let mut census = Census::new(&config.wards, &config.sources);
    for reading in readings {
        if let Ok(observation) = &reading.result {
            census.update(&reading.source, observation.clone());
        }
    }
    census.counts(now)
}

/// Explains the signed bytes of a report and of a roster.
pub fn of(config: &Config, readings: &[Reading], report: Option<&[u8]>, roster: &[u8]) -> Preview {
    let source = |reading: &Reading| SourceLine {
        name: reading.source.clone(),
        observed_at: reading.result.as_ref().ok().map(|o| o.at),
        wards: reading.result.as_ref().map_or(0, |o| o.wards.len()),
        error: reading.result.as_ref().err().map(ToString::to_string),
    };
    let payload = |kind, bytes| Envelope::open(kind, bytes).expect("signed by us a moment ago").unverified_payload();
    let wards = Roster::decode(payload(Kind::Roster, roster)).expect("encoded by us a moment ago");
    let hospital = &config.hospital;
    Preview {
        hospital: hospital.clone(),
        sources: readings.iter().map(source).collect(),
        report: report.map(|bytes| {
            let payload = payload(Kind::Report, bytes);
            let report = Report::decode(payload).expect("encoded by us a moment ago");
            let fields = report_fields(&report, &wards);
            message(&Topic::Report(hospital.clone()), bytes, payload, report.wards.len(), fields)
        }),
        roster: message(
            &Topic::Roster(hospital.clone()),
            roster,
            payload(Kind::Roster, roster),
            wards.wards.len(),
            roster_fields(&wards, config),
        ),
    }
}

fn message(topic: &Topic, bytes: &[u8], payload: &[u8], wards: usize, fields: Vec<Field>) -> Message {
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail, here and below.
        let _ = write!(hex, "{byte:02x}");
    }
    let diagnostic = minicbor::display(payload).to_string();
    Message { topic: topic.to_string(), bytes: bytes.len(), wards, hex, diagnostic, fields }
}

fn field(name: impl Into<String>, value: impl Into<String>, meaning: impl Into<String>) -> Field {
    Field { name: name.into(), value: value.into(), meaning: meaning.into() }
}

fn report_fields(report: &Report, roster: &Roster) -> Vec<Field> {
    let Position { epoch, sequence } = report.position;
    let mut fields = vec![
        field("hospital", report.hospital.as_str(), "who reports"),
        field(
            "epoch",
            epoch.to_string(),
            "milliseconds since 1970 when the outbox began; here the time of this preview",
        ),
        field("sequence", sequence.to_string(), "the report's number in that outbox; here the first"),
        field("observed at", report.observed_at.0.to_string(), report.observed_at.to_string()),
        field("valid for", report.valid_for.to_string(), "seconds that the counts may be relied on"),
        field(
            "roster version",
            report.roster_version.to_string(),
            format!("{:08x}, which list of wards", report.roster_version),
        ),
    ];
    for (index, counts) in &report.wards {
        let ward = roster.ward(*index).map_or("not in the roster".to_owned(), name_of);
        fields.push(field(format!("ward {index}"), numbers(counts), format!("{ward}: {}", words(counts))));
    }
    let absent = roster.wards.iter().filter(|w| !report.wards.contains_key(&w.index));
    fields.extend(
        absent.map(|w| field(format!("ward {}", w.index), "absent", format!("{}: unknown, not zero", name_of(w)))),
    );
    fields
}

fn roster_fields(roster: &Roster, config: &Config) -> Vec<Field> {
    let mut fields = vec![
        field("hospital", roster.hospital.as_str(), "whose wards"),
        field("version", roster.version.to_string(), format!("{:08x}, taken from the list itself", roster.version)),
    ];
    for ward in &roster.wards {
        let mut meaning = format!("care type {}", ward.care);
        if let Some(group) = config.wards.iter().find(|w| w.ward.index == ward.index && w.is_group()) {
            let members: Vec<_> = group.members.iter().map(ToString::to_string).collect();
            let _ = write!(meaning, ", one ward out of {}, which are not sent", members.join(", "));
        }
        if let Some(place) = ward.place {
            let (latitude, longitude) = place.degrees();
            let _ = write!(meaning, ", at {latitude} {longitude}");
        }
        for capability in &ward.capabilities {
            let _ = write!(meaning, ", {}", capability.name().unwrap_or("a capability without name"));
        }
        if let Some(contact) = &ward.contact {
            let _ = write!(meaning, ", contact: {contact}");
        }
        fields.push(field(format!("ward {}", ward.index), name_of(ward), meaning));
    }
    fields
}

fn name_of(ward: &Ward) -> String {
    format!("{} ({})", ward.id, ward.name)
}

fn numbers(counts: &Counts) -> String {
    let mut text = format!("{} {}", counts.staffed, counts.occupied);
    for (extra, count) in &counts.extras {
        let _ = write!(text, " {}:{count}", extra.0);
    }
    text
}

fn words(counts: &Counts) -> String {
    let mut text = format!("staffed {}, occupied {}", counts.staffed, counts.occupied);
    for (extra, count) in &counts.extras {
        let _ = write!(text, ", {} {count}", extra.name().unwrap_or("extra"));
    }
    text
}

/// The preview as text for people.
pub fn render(preview: &Preview) -> String {
    let mut out = format!("What {} would send now. Nothing was sent.\n\nSources\n", preview.hospital);
    for source in &preview.sources {
        let said = match (&source.error, source.observed_at) {
            (Some(error), _) => format!("not read: {error}"),
            (None, Some(at)) => format!("{} wards, observed at {at}", source.wards),
            (None, None) => "nothing".to_owned(),
        };
        let _ = writeln!(out, "  {}: {said}", source.name);
    }
    match &preview.report {
        Some(report) => render_message(&mut out, "Report", report),
        None => out.push_str("\nReport\n  none: no source that counts patients can be read\n"),
    }
    render_message(&mut out, "Roster", &preview.roster);
    out
}

fn render_message(out: &mut String, title: &str, message: &Message) {
    let per_ward = match message.wards {
        0 => String::new(),
        wards => {
            let tenths = message.bytes * 10 / wards;
            format!(", {}.{} a ward", tenths / 10, tenths % 10)
        }
    };
    let _ = writeln!(out, "\n{title}: {} bytes signed, {} wards{per_ward}", message.bytes, message.wards);
    let _ = writeln!(out, "  topic {}", message.topic);
    for field in &message.fields {
        let _ = writeln!(out, "  {:<16}{:<23} {}", field.name, field.value, field.meaning);
    }
    let _ = writeln!(out, "  the payload as CBOR\n    {}", message.diagnostic);
    out.push_str("  the bytes: the payload in its signed envelope (COSE_Sign1: header, payload, signature)\n");
    for line in message.hex.as_bytes().chunks(64) {
        let _ = writeln!(out, "    {}", String::from_utf8_lossy(line));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vardpuls_shared::key::SigningKey;

    use super::*;
    use crate::source::{FileFault, Origin, WardObservation};

    fn config() -> Config {
        let text = r#"
            hospital = "SE0000000000-0001"
            name = "H"
            region = "01"
            state-dir = "s"
            key-file = "k"
            centre-key = "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
            broker = { url = "mqtt://localhost" }
            ward = [
                { index = 1, id = "a", name = "Ward A", care = "icu", staffed = 10, contact = "bed coordinator" },
                { index = 2, id = "b", name = "Ward B", care = "general" },
            ]
            source = [
                { name = "beds", kind = "csv", path = "b", columns = { ward = "w", occupied = "o", ventilated = "v" } },
                { name = "staff", kind = "csv", path = "t", columns = { ward = "w", staffed = "s" } },
            ]
        "#;
        Config::parse(Path::new("agent.toml"), text).expect("right")
    }

    fn readings() -> Vec<Reading> {
        let at = Time(1_700_000_000_000);
        let mut ward = WardObservation { at, occupied: Some(9), ..WardObservation::default() };
        ward.extras.insert(vardpuls_shared::count::Extra::VENTILATED, 4);
        let wards = [("a".parse().expect("an id"), ward)].into();
        vec![
            Reading { source: "beds".into(), result: Ok(Observation { at, wards, ..Observation::default() }) },
            Reading {
                source: "staff".into(),
                result: Err(SourceError::new(Origin::File("t".into()), FileFault::Missing)),
            },
        ]
    }

    fn preview(readings: &[Reading]) -> Preview {
        let config = config();
        let key = SigningKey::from_seed(&[7; 32]);
        let signer = Signer::new(key, config.roster(), config.report.valid_for).expect("a small roster");
        let now = Time(1_700_000_060_000);
        let report =
            snapshot(&config, readings, now).map(|s| signer.report(Position { epoch: now.0, sequence: 1 }, &s));
        of(&config, readings, report.as_deref(), signer.roster())
    }

    #[test]
    fn every_byte_is_shown_and_every_field_explained() {
        let preview = preview(&readings());
        let report = preview.report.as_ref().expect("a report");
        assert_eq!((report.hex.len(), report.wards), (report.bytes * 2, 1));
        let text = render(&preview);
        for expected in [
            "What SE0000000000-0001 would send now. Nothing was sent.",
            "beds: 1 wards, observed at 2023-11-14T22:13:20.000Z",
            "staff: not read: t: there is no such file",
            "topic vardpuls/v1/report/SE0000000000-0001",
            "1700000000000           2023-11-14T22:13:20.000Z",
            "10 9 6:4                a (Ward A): staffed 10, occupied 9, ventilated 4",
            "absent                  b (Ward B): unknown, not zero",
            "contact: bed coordinator",
            "1700000060000, 1, 1700000000000, 180,",
        ] {
            assert!(text.contains(expected), "no {expected:?} in\n{text}");
        }
        let hex: String =
            text.lines().map(str::trim).filter(|line| line.bytes().all(|b| b.is_ascii_hexdigit())).collect();
        assert_eq!(hex, format!("{}{}", report.hex, preview.roster.hex));
    }

    #[test]
    fn without_a_patient_count_there_is_a_roster_but_no_report() {
        let preview = preview(&readings()[1..]);
        assert_eq!(preview.report, None);
        assert!(render(&preview).contains("none: no source that counts patients can be read"));
        let json = serde_json::to_value(&preview).expect("JSON");
        assert_eq!(json["sources"][0]["error"].as_str().map(|e| e.starts_with("t: there is no such file")), Some(true));
    }
}
