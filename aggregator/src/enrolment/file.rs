//! One hospital's enrolment file, `<hospital>.toml`: read, and written from a card.
//!
//! ```toml
//! hospital = "SE2321000016-1003"
//! name = "Karolinska universitetssjukhuset Solna"
//! region = "01"
//! state = "enrolled"            # or "suspended"
//!
//! [[key]]
//! public-key = "ed25519:…"
//! fingerprint = "…"
//! from = "2026-01-01T00:00:00Z"     # optional: believed from then on
//! until = "2028-01-01T00:00:00Z"    # optional: … until then
//! revoked = "2026-07-01T00:00:00Z"  # optional: not believed from then on
//! ```
//!
//! Times are the centre's. Writing is atomic, and what a person wrote into a file stays: a further
//! key is appended.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vardpuls_shared::card::{Card, check_fingerprint};
use vardpuls_shared::clock::Time;
use vardpuls_shared::hospital::{HospitalId, RegionCode};
use vardpuls_shared::key::PublicKey;

use super::{EnrolError, Enrolment, Key, KeyState, State};
use crate::config::document::{Document, DocumentError};
use crate::nation::Nation;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrolmentFile {
    hospital: HospitalId,
    name: String,
    region: RegionCode,
    state: State,
    key: Vec<KeyTable>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct KeyTable {
    public_key: PublicKey,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<Time>,
}

/// Reads an enrolment file.
pub(super) fn read(path: &Path, nation: &Nation) -> Result<Enrolment, DocumentError> {
    parse(&Document::read(path)?, path, nation)
}

fn parse(document: &Document, path: &Path, nation: &Nation) -> Result<Enrolment, DocumentError> {
    let EnrolmentFile { hospital, name, region, state, key } = document.parse()?;
    if path.file_stem().is_none_or(|stem| stem != hospital.as_str()) {
        return Err(document.wrong("hospital", format!("this hospital's file must be called {hospital}.toml")));
    }
    if !nation.regions.contains_key(&region) {
        let problem = format!("{} has no region {region}; its regions are: {}", nation.name, region_codes(nation));
        return Err(document.wrong("region", problem));
    }
    let mut keys: Vec<Key> = Vec::with_capacity(key.len());
    for KeyTable { public_key, fingerprint, from, until, revoked } in key {
        check_fingerprint(&fingerprint, &public_key)
            .map_err(|e| document.wrong("key.fingerprint", format!("{fingerprint}: {e}")))?;
        if keys.iter().any(|other| other.public_key.id() == public_key.id()) {
            return Err(document.wrong("key.public-key", format!("{public_key} stands twice")));
        }
        keys.push(Key { public_key, from, until, revoked });
    }
    if keys.is_empty() {
        return Err(document.wrong("key", "a hospital needs at least one [[key]]; remove the file to unenrol it"));
    }
    Ok(Enrolment { hospital, name, region, state, keys })
}

/// Reads a card file.
pub fn read_card(path: &Path) -> Result<Card, DocumentError> {
    let document = Document::read(path)?;
    let card: Card = document.parse()?;
    card.check().map_err(|e| document.wrong("fingerprint", e.to_string()))?;
    Ok(card)
}

/// Enrols a card: writes `<hospital>.toml` in the folder, or adds the card's key to it, believed from
/// `now` on. A card that is enrolled already changes nothing. The file's path.
pub fn enrol(dir: &Path, card: &Card, now: Time, nation: &Nation) -> Result<PathBuf, EnrolError> {
    if !nation.regions.contains_key(&card.region) {
        return Err(EnrolError::UnknownRegion {
            region: card.region.clone(),
            nation: nation.name.clone(),
            regions: region_codes(nation),
        });
    }
    let path = dir.join(format!("{}.toml", card.hospital));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => match with_key(&path, &text, card, now, nation)? {
            Some(longer) => longer,
            None => return Ok(path),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => new_file(card, now),
        Err(e) => return Err(DocumentError::Unreadable { file: path, reason: e.to_string() }.into()),
    };
    match write(dir, &path, &text) {
        Ok(()) => Ok(path),
        Err(e) => Err(EnrolError::Unwritable { file: path, reason: e.to_string() }),
    }
}

fn new_file(card: &Card, now: Time) -> String {
    let file = EnrolmentFile {
        hospital: card.hospital.clone(),
        name: card.name.clone(),
        region: card.region.clone(),
        state: State::Enrolled,
        key: vec![key_table(card, now)],
    };
    toml::to_string(&file).expect("text fields only")
}

/// The text of an enrolment file with the card's key added; none if the key is there and believed.
fn with_key(path: &Path, text: &str, card: &Card, now: Time, nation: &Nation) -> Result<Option<String>, EnrolError> {
    let enrolled = parse(&Document::of(path, text), path, nation)?;
    if enrolled.region != card.region {
        let (enrolled, card) = (enrolled.region, card.region.clone());
        return Err(EnrolError::OtherRegion { file: path.to_owned(), enrolled, card });
    }
    if let Some(key) = enrolled.keys.iter().find(|key| key.public_key == card.public_key) {
        let revoked = matches!(key.state(now), KeyState::Revoked(_));
        return if revoked { Err(EnrolError::KeyRevoked(path.to_owned())) } else { Ok(None) };
    }
    let added = toml::to_string(&key_table(card, now)).expect("text fields only");
    let longer = format!("{}\n\n[[key]]\n{added}", text.trim_end());
    // Where a person wrote the keys in another form, appending is wrong: say so, and touch nothing.
    parse(&Document::of(path, longer.as_str()), path, nation)?;
    Ok(Some(longer))
}

fn key_table(card: &Card, now: Time) -> KeyTable {
    let fingerprint = card.public_key.fingerprint().to_string();
    KeyTable { public_key: card.public_key, fingerprint, from: Some(now), until: None, revoked: None }
}

fn region_codes(nation: &Nation) -> String {
    nation.regions.keys().map(RegionCode::as_str).collect::<Vec<_>>().join(", ")
}

/// Replaces a file as a whole: whoever reads it sees the old text or the new one, also after a power cut.
fn write(dir: &Path, path: &Path, text: &str) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let temporary = path.with_extension("toml.new");
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(key: u8) -> Card {
        let (hospital, region) = ("SE2321000016-1003".parse().expect("valid"), "01".parse().expect("valid"));
        Card::new(hospital, "Karolinska".into(), region, PublicKey([key; 32]))
    }

    #[test]
    fn a_card_is_enrolled_once_and_a_second_one_adds_its_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("hospitals.d");
        let nation = Nation::sweden();
        let path = enrol(&dir, &card(1), Time(1000), &nation).expect("enrols");
        assert_eq!(path, dir.join("SE2321000016-1003.toml"));
        let first = read(&path, &nation).expect("reads");
        assert_eq!((first.state, first.name.as_str()), (State::Enrolled, "Karolinska"));
        assert_eq!(first.key(card(1).public_key.id(), Time(1000)), KeyState::Valid(card(1).public_key));

        let by_hand =
            std::fs::read_to_string(&path).expect("reads").replace("\"enrolled\"", "\"suspended\" # moving house");
        std::fs::write(&path, &by_hand).expect("writes");
        enrol(&dir, &card(1), Time(2000), &nation).expect("nothing to do");
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), by_hand);

        enrol(&dir, &card(2), Time(2000), &nation).expect("enrols");
        let both = read(&path, &nation).expect("reads");
        assert_eq!(both.state, State::Suspended);
        assert_eq!(both.keys.iter().map(|k| k.from).collect::<Vec<_>>(), [Some(Time(1000)), Some(Time(2000))]);
        assert!(std::fs::read_to_string(&path).expect("reads").starts_with(by_hand.trim_end()));
        assert_eq!(std::fs::read_dir(&dir).expect("lists").count(), 1, "nothing temporary is left");
    }

    #[test]
    fn a_card_that_does_not_fit_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let nation = Nation::sweden();
        let mut nowhere = card(1);
        nowhere.region = "99".parse().expect("valid");
        let error = enrol(folder.path(), &nowhere, Time(0), &nation).expect_err("no region 99");
        assert!(matches!(error, EnrolError::UnknownRegion { .. }), "{error}");

        let path = enrol(folder.path(), &card(1), Time(0), &nation).expect("enrols");
        let mut elsewhere = card(2);
        elsewhere.region = "12".parse().expect("valid");
        let error = enrol(folder.path(), &elsewhere, Time(0), &nation).expect_err("another region");
        assert!(matches!(error, EnrolError::OtherRegion { .. }), "{error}");

        let revoked = std::fs::read_to_string(&path).expect("reads") + "revoked = \"1970-01-01T00:00:01Z\"\n";
        std::fs::write(&path, &revoked).expect("writes");
        assert_eq!(enrol(folder.path(), &card(1), Time(2000), &nation), Err(EnrolError::KeyRevoked(path.clone())));
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), revoked);
    }

    #[test]
    fn every_error_names_line_and_key() {
        let nation = Nation::sweden();
        let good = new_file(&card(1), Time(0));
        let key = format!("[[key]]{}", good.split_once("[[key]]").expect("a key").1);
        let error = |text: String| {
            let path = Path::new("SE2321000016-1003.toml");
            parse(&Document::of(path, text), path, &nation).expect_err("wrong").to_string()
        };
        for (text, expected) in [
            (
                good.replace("1003", "1004"),
                "line 1, hospital: this hospital's file must be called SE2321000016-1004.toml",
            ),
            (good.replace("\"01\"", "\"02\""), "line 3, region: Sverige has no region 02; its regions are: 01, 03"),
            (good.replace("\"enrolled\"", "\"perhaps\""), "line 4, state: unknown variant `perhaps`"),
            (good.replace("1970", "soon"), "line 9, key.from: "),
            (good.replace("fingerprint = \"", "fingerprint = \"0"), "line 8, key.fingerprint: "),
            (good.replace("ed25519:", "rsa:"), "line 7, key.public-key: a public key is written"),
            (format!("{good}\n{key}"), "line 7, key.public-key: "),
            (good.replace(&key, "key = []"), "line 6, key: a hospital needs at least one"),
            (format!("{good}colour = 1\n"), "line 10, key.colour: unknown field `colour`"),
        ] {
            let error = error(text);
            assert!(error.contains(expected), "{expected:?} in {error}");
        }
    }
}
