//! Our HL7 reader beside hl7-parser's: every field of the segments that a census needs, on messages that others wrote.
//!
//! Where the two disagree the reason must be one of [`Difference`]; a new kind fails. The recorded messages are not part
//! of this repository: `tests/system/run adt` unpacks them and names their folder in `VARDPULS_ADT`. Without it the
//! simulated sender's messages are compared, and the other test is shown as ignored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hl7_parser::Message as Theirs;
use vardpuls_agent::source::adt::hl7::{Message as Ours, Name};
use vardpuls_shared::clock::Time;
use vardpuls_tests::adt::sender::Sender;
use vardpuls_tests::adt::truth::{Plan, simulate};

const NAMES: [(Name, &str, usize); 5] = [
    (Name::Msh, "MSH", 21),
    (Name::Evn, "EVN", 7),
    (Name::Pv1, "PV1", 52),
    (Name::Npu, "NPU", 2),
    (Name::Mrg, "MRG", 7),
];

/// Why the two disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// It refuses the whole message; we read it.
    TheyRefuse,
    /// It ends at what it does not know, a blank line as a rule, and says nothing; we read on.
    TheyStop,
    /// MSH-2 has more than four characters, as from version 2.7 on: it takes the fifth for MSH-3, and all of the header
    /// moves on by one.
    LongEncoding,
    /// MSH-2 has fewer than four characters: it takes the separator of fields for one of them.
    ShortEncoding,
    /// Neither reads it.
    BothRefuse,
}

/// The fields of one message as each reads them: segment and its number, field, value.
type Fields = BTreeMap<(&'static str, usize, usize), String>;

fn ours(message: &Ours<'_>) -> Fields {
    let mut fields = Fields::new();
    for (name, text, most) in NAMES {
        let header = (name == Name::Msh).then(|| message.header());
        let segments = header.into_iter().chain(message.segments().filter(|segment| segment.name == name));
        for (at, segment) in segments.enumerate() {
            for number in 2..=most {
                let raw = String::from_utf8_lossy(segment.field(number).raw).into_owned();
                if !raw.is_empty() {
                    fields.insert((text, at, number), raw);
                }
            }
        }
    }
    fields
}

fn theirs(message: &Theirs<'_>) -> Fields {
    let mut fields = Fields::new();
    for (_, text, most) in NAMES {
        for at in 0..message.segment_count(text) {
            let segment = message.segment_n(text, at + 1).expect("counted a moment ago");
            for number in 2..=most {
                let raw = segment.field(number).map(|field| field.raw_value().to_owned()).unwrap_or_default();
                if !raw.is_empty() {
                    fields.insert((text, at, number), raw);
                }
            }
        }
    }
    fields
}

fn compare(text: &str) -> Result<Option<Difference>, String> {
    let (one, other) = (Ours::parse(text.as_bytes()), Theirs::parse_with_lenient_newlines(text, true));
    let (one, other) = match (one, other) {
        (None, Err(_)) => return Ok(Some(Difference::BothRefuse)),
        (Some(_), Err(_)) => return Ok(Some(Difference::TheyRefuse)),
        (None, Ok(_)) => return Err("we refuse what it reads".to_owned()),
        (Some(one), Ok(other)) => (one, other),
    };
    let read = other.segments().map(|segment| segment.raw_value().len() + 1).sum::<usize>();
    let (one, other) = (ours(&one), theirs(&other));
    if one == other {
        return Ok(None);
    }
    let stopped = read < text.trim_end().len() && other.iter().all(|(at, value)| one.get(at) == Some(value));
    if stopped {
        return Ok(Some(Difference::TheyStop));
    }
    let differ: Vec<_> = one.keys().chain(other.keys()).filter(|at| one.get(at) != other.get(at)).collect();
    let encoding = one.get(&("MSH", 0, 2)).map_or(0, String::len);
    if encoding > 4 && differ.iter().all(|(name, ..)| *name == "MSH") {
        return Ok(Some(Difference::LongEncoding));
    }
    if encoding < 4 {
        return Ok(Some(Difference::ShortEncoding));
    }
    let at = differ[0];
    Err(format!("{at:?}: we read {:?}, it reads {:?}", one.get(at), other.get(at)))
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path()) {
        if entry.is_dir() { walk(&entry, files) } else { files.push(entry) }
    }
}

#[test]
#[ignore = "needs the recorded messages: tests/system/run adt"]
fn recorded_messages_are_read_alike_or_the_reason_is_known() {
    let folder = std::env::var_os("VARDPULS_ADT").expect("VARDPULS_ADT names the folder of the messages");
    let mut files = Vec::new();
    walk(Path::new(&folder), &mut files);
    let (mut alike, mut known, mut unknown) = (0, BTreeMap::new(), Vec::new());
    for file in &files {
        let bytes = fs::read(file).expect("readable");
        // It takes text only: both read what the bytes are in UTF-8.
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => encoding_rs::WINDOWS_1252.decode(e.as_bytes()).0.into_owned(),
        };
        match compare(&text) {
            Ok(None) => alike += 1,
            Ok(Some(difference)) => *known.entry(difference).or_insert(0) += 1,
            Err(reason) => unknown.push(format!("{}: {reason}", file.display())),
        }
    }
    println!("{} messages: {alike} read alike, {known:?}", files.len());
    assert!(unknown.is_empty(), "{} are read otherwise:\n{}", unknown.len(), unknown.join("\n"));
    assert!(alike * 10 > files.len() * 8, "{alike} of {} are no comparison", files.len());
}

#[test]
fn simulated_messages_are_read_alike() {
    let plan = Plan {
        seed: 7,
        days: 2,
        a_day: 100,
        grain: Duration::from_secs(1),
        from: Time(1_768_176_000_000),
        history: true,
    };
    let days = simulate(plan);
    let mut alike = 0;
    for seed in 0..20 {
        let sender = Sender::with_seed(seed);
        for (n, told) in days.told.iter().enumerate() {
            let text = sender.charset.0.decode(&sender.write(told, n as u64, 0)).0.into_owned();
            assert_eq!(compare(&text), Ok(None), "{text:?}");
            alike += 1;
        }
    }
    assert!(alike > 1000);
}
