//! A simulated hospital's CSV drop, and the agent's setup that reads it.
//!
//! In: wards and counts. Out: bytes as a Swedish ward system might export them (semicolons, Swedish headers, every
//! second hospital in windows-1252), put in place by rename so that no reader meets half a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use toml::Table;
use vardpuls_shared::clock::Time;
use vardpuls_shared::count::{Counts, Extra};

use super::{Hospital, Pace, Setup, table};
use crate::nation;

/// The file that a simulated hospital's system exports, in its drops folder.
pub const FILE: &str = "vardplatser.csv";

/// What the agent calls this source.
pub(super) const NAME: &str = "vardplatser";

/// Our word and the export's header, in the order of the columns.
pub(super) const COLUMNS: [(&str, &str, Option<Extra>); 11] = [
    ("ward", "Avdelning", None),
    ("time", "Tid (UTC)", None),
    ("decided", "Fastställda", Some(Extra::DECIDED)),
    ("staffed", "Disponibla", None),
    ("occupied", "Belagda", None),
    ("blocked", "Spärrade", Some(Extra::BLOCKED)),
    ("over_capacity", "Överbeläggning", Some(Extra::OVER_CAPACITY)),
    ("outlying", "Utlokaliserade", Some(Extra::OUTLYING)),
    ("discharge_ready", "Utskrivningsklara", Some(Extra::DISCHARGE_READY)),
    ("boarding", "Väntar på vårdplats", Some(Extra::BOARDING)),
    ("ventilated", "Respirator", Some(Extra::VENTILATED)),
];

/// How the simulated hospitals report: often, so that there is something to see.
const PACE: Pace = Pace {
    heartbeat: Duration::from_secs(20),
    min_gap: Duration::from_secs(1),
    jitter: Duration::from_secs(2),
    valid_for: Duration::from_secs(90),
};

/// Half of the hospitals' systems still write windows-1252.
fn is_old(hospital: &nation::Hospital) -> bool {
    hospital.id.as_str().bytes().map(u32::from).sum::<u32>().is_multiple_of(2)
}

/// What the agent of a simulated hospital shall be, whatever it reads.
pub(super) fn reading(hospital: &nation::Hospital, sources: Vec<Table>) -> Setup {
    let wards = hospital.wards.iter().map(|ward| {
        let mut entry = table([
            ("id", ward.id.as_str()),
            ("name", ward.name.as_str()),
            ("care", ward.care().name()),
            ("contact", ward.contact()),
        ]);
        entry.insert("index".into(), i64::from(ward.index).into());
        entry.insert("latitude".into(), hospital.position.0.into());
        entry.insert("longitude".into(), hospital.position.1.into());
        let capabilities = ward.capabilities.iter().filter_map(|c| c.name());
        entry.insert("capabilities".into(), capabilities.collect::<Vec<_>>().into());
        entry
    });
    Setup {
        hospital: hospital.id.clone(),
        name: hospital.name.clone(),
        region: hospital.region.clone(),
        pace: PACE,
        wards: wards.collect::<Vec<Table>>(),
        sources,
    }
}

/// The agent of a simulated hospital whose system exports to `drops`.
pub fn setup(hospital: &nation::Hospital, drops: &Path) -> Setup {
    reading(hospital, vec![source(hospital, drops)])
}

/// The table of the source that reads the export.
pub(super) fn source(hospital: &nation::Hospital, drops: &Path) -> Table {
    let mut source = table([
        ("name", NAME),
        ("kind", "csv"),
        ("scan", "2s"),
        ("settle", "0s"),
        ("delimiter", ";"),
        ("charset", if is_old(hospital) { "windows-1252" } else { "utf-8" }),
    ]);
    source.insert("path".into(), drops.join(FILE).to_string_lossy().into_owned().into());
    source.insert("columns".into(), table(COLUMNS.map(|(word, header, _)| (word, header))).into());
    source.insert("time".into(), table([("zone", "UTC"), ("format", "%Y-%m-%d %H:%M:%S")]).into());
    source
}

/// The export's bytes.
pub fn render(hospital: &nation::Hospital, counts: &BTreeMap<u16, Counts>, at: Time) -> Vec<u8> {
    let mut text = COLUMNS.map(|(_, header, _)| header).join(";");
    text.push_str("\r\n");
    let time = at.to_string()[..19].replace('T', " ");
    for ward in &hospital.wards {
        let Some(counts) = counts.get(&ward.index) else { continue };
        let cells = COLUMNS.map(|(word, _, extra)| match (word, extra) {
            (_, Some(extra)) => counts.extra(extra).to_string(),
            ("ward", _) => ward.id.to_string(),
            ("time", _) => time.clone(),
            ("staffed", _) => counts.staffed.to_string(),
            _ => counts.occupied.to_string(),
        });
        let _ = write!(text, "{}\r\n", cells.join(";"));
    }
    let charset = if is_old(hospital) { encoding_rs::WINDOWS_1252 } else { encoding_rs::UTF_8 };
    charset.encode(&text).0.into_owned()
}

/// Puts a drop in place: written beside the folder, then moved into it.
pub fn put(hospital: &Hospital, bytes: &[u8]) -> io::Result<()> {
    let unfinished = hospital.folder.join("drop.unfinished");
    fs::write(&unfinished, bytes)?;
    fs::rename(unfinished, hospital.drops().join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nation::Nation;
    use crate::nation::simulation::Simulation;

    #[test]
    fn an_export_has_a_row_for_every_ward_in_its_charset() {
        let nation = Nation::sweden(2);
        let simulation = Simulation::new(&nation, 1);
        for (at, hospital) in nation.hospitals.iter().enumerate() {
            let counts = simulation.counts(&nation, at);
            let bytes = render(hospital, &counts, Time(1_700_000_000_000));
            let charset = if is_old(hospital) { encoding_rs::WINDOWS_1252 } else { encoding_rs::UTF_8 };
            let (text, _, faulty) = charset.decode(&bytes);
            assert!(!faulty && text.contains("Överbeläggning"));
            let mut rows = csv::ReaderBuilder::new().delimiter(b';').from_reader(text.as_bytes());
            let rows: Vec<csv::StringRecord> = rows.records().collect::<Result<_, _>>().expect("CSV");
            assert_eq!(rows.len(), hospital.wards.len());
            assert!(rows.iter().all(|r| r.len() == COLUMNS.len() && &r[1] == "2023-11-14 22:13:20"));
            assert_eq!(rows[0][4], counts[&1].occupied.to_string());
        }
    }
}
