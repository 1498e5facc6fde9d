//! `[[source]]` tables of kind `adt`: HL7 v2 messages that an integration engine sends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Deserialize;
use vardpuls_shared::hospital::WardId;

use super::{HEAD, Table};
use crate::config::{ConfigError, WardConfig, duration};
use crate::source::adt::AdtSpec;
use crate::source::adt::event::{Class, Habits};
use crate::source::adt::listener::Limits;
use crate::source::adt::place::{Map, PlaceName};
use crate::source::adt::tls::TlsFiles;
use crate::source::adt::visits::Rules;

const DAY: Duration = Duration::from_hours(24);

/// A table of kind `adt` as it is written, without the keys that every source has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AdtTable {
    listen: SocketAddr,
    zone: String,
    places: BTreeMap<String, WardId>,
    #[serde(default)]
    no_wards: BTreeSet<String>,
    #[serde(default = "default_classes")]
    classes: BTreeSet<String>,
    #[serde(default)]
    count_registrations: bool,
    #[serde(default = "default_processing")]
    processing: Vec<String>,
    #[serde(default = "default_charset")]
    charset: String,
    reconcile_with: Option<String>,
    #[serde(default)]
    assume_empty: bool,
    #[serde(default = "default_tombstone", deserialize_with = "duration")]
    tombstone: Duration,
    #[serde(default = "default_longest_stay", deserialize_with = "duration")]
    longest_stay: Duration,
    #[serde(default = "default_rotate_key", deserialize_with = "duration")]
    rotate_key: Duration,
    #[serde(default = "default_silence", deserialize_with = "duration")]
    silence: Duration,
    #[serde(default = "default_idle", deserialize_with = "duration")]
    idle: Duration,
    #[serde(default = "default_connections")]
    connections: usize,
    #[serde(default = "default_per_address")]
    per_address: usize,
    #[serde(default = "default_max_message")]
    max_message: usize,
    tls: Option<TlsTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(clippy::struct_field_names, reason = "the keys as they stand in the file")]
struct TlsTable {
    cert_file: PathBuf,
    key_file: PathBuf,
    client_ca_file: Option<PathBuf>,
}

fn default_classes() -> BTreeSet<String> {
    BTreeSet::from(["I".to_owned()])
}

fn default_processing() -> Vec<String> {
    vec!["P".to_owned()]
}

fn default_charset() -> String {
    "windows-1252".to_owned()
}

fn default_tombstone() -> Duration {
    7 * DAY
}

fn default_longest_stay() -> Duration {
    400 * DAY
}

fn default_rotate_key() -> Duration {
    90 * DAY
}

fn default_silence() -> Duration {
    Duration::from_mins(10)
}

fn default_idle() -> Duration {
    Duration::from_hours(1)
}

fn default_connections() -> usize {
    64
}

fn default_per_address() -> usize {
    16
}

fn default_max_message() -> usize {
    256 * 1024
}

/// Reads the table.
#[inline(never)]
pub(super) fn read(
    at: &Table<'_>,
    base: &Path,
    state_dir: &Path,
    wards: &[WardConfig],
) -> Result<AdtSpec, ConfigError> {
    let table: AdtTable = at.document.table(&at.way, &HEAD)?;
    table.check(at, base, state_dir, wards)
}

impl AdtTable {
    fn check(
        self,
        at: &Table<'_>,
        base: &Path,
        state_dir: &Path,
        wards: &[WardConfig],
    ) -> Result<AdtSpec, ConfigError> {
        let zone = TimeZone::get(&self.zone).map_err(|_| {
            let problem = "is not a time zone of the IANA database, as \"Europe/Stockholm\" is";
            at.wrong(&["zone"], format!("{:?} {problem}", self.zone))
        })?;
        let charset = encoding_rs::Encoding::for_label(self.charset.as_bytes()).ok_or_else(|| {
            at.wrong(&["charset"], format!("{:?} is not a charset; utf-8, windows-1252 and latin1 are", self.charset))
        })?;
        let map = self.map(at, wards)?;
        let classes: BTreeSet<Class> =
            self.classes.iter().filter_map(|text| Class::new(text.trim().as_bytes())).collect();
        if classes.is_empty() {
            return Err(at.wrong(&["classes"], "names no patient class, so that nobody would ever be counted"));
        }
        if self.reconcile_with.is_none() && !self.assume_empty {
            let problem =
                "is missing: name the source whose counts the census begins with, or write assume-empty = true";
            return Err(at.wrong(&["reconcile-with"], problem));
        }
        for (key, value) in [("tombstone", self.tombstone), ("longest-stay", self.longest_stay)] {
            if value < DAY {
                return Err(at.wrong(&[key], "must be at least 1d"));
            }
        }
        if self.idle < Duration::from_secs(1) {
            return Err(at.wrong(&["idle"], "must be at least 1s"));
        }
        for (key, value) in [("connections", self.connections), ("per-address", self.per_address)] {
            if !(1..=1000).contains(&value) {
                return Err(at.wrong(&[key], "must be 1 to 1000"));
            }
        }
        if !(4096..=16 << 20).contains(&self.max_message) {
            return Err(at.wrong(&["max-message"], "must be 4096 to 16777216 bytes"));
        }
        Ok(AdtSpec {
            listen: self.listen,
            state_dir: state_dir.to_owned(),
            habits: Habits { charset, zone, registrations: self.count_registrations, processing: self.processing },
            rules: Rules {
                map,
                classes,
                assume_empty: self.assume_empty,
                tombstone: self.tombstone,
                longest_stay: self.longest_stay,
            },
            reconcile_with: self.reconcile_with,
            rotate_key: self.rotate_key,
            silence: self.silence,
            limits: Limits {
                connections: self.connections,
                per_address: self.per_address,
                max_message: self.max_message,
                idle: self.idle,
            },
            tls: self.tls.map(|tls| TlsFiles {
                cert_file: base.join(tls.cert_file),
                key_file: base.join(tls.key_file),
                client_ca_file: tls.client_ca_file.map(|file| base.join(file)),
            }),
        })
    }

    fn map(&self, at: &Table<'_>, wards: &[WardConfig]) -> Result<Map, ConfigError> {
        let name = |keys: &[&str], text: &str| {
            let problem = "is no place; write POINT-OF-CARE or POINT-OF-CARE^^^FACILITY, as PV1-3 has them";
            PlaceName::parse(text).ok_or_else(|| at.wrong(keys, format!("{text:?} {problem}")))
        };
        if self.places.is_empty() {
            return Err(at.wrong(&["places"], "maps no place to a ward, so that nobody would ever be counted"));
        }
        let mut places = BTreeMap::new();
        for (text, ward) in &self.places {
            if !wards.iter().any(|w| w.ward.id == *ward) {
                return Err(at.wrong(&["places", text], format!("{ward} is not the id of any [[ward]]")));
            }
            places.insert(name(&["places", text], text)?, ward.clone());
        }
        let mut ignored = BTreeSet::new();
        for text in &self.no_wards {
            let place = name(&["no-wards"], text)?;
            if places.contains_key(&place) {
                return Err(at.wrong(&["no-wards"], format!("{text:?} is a ward in places; it cannot be both")));
            }
            ignored.insert(place);
        }
        Ok(Map::new(places, ignored))
    }
}
