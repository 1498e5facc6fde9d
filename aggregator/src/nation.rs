//! The nation: its code, its name and its regions. Data, not code.
//!
//! In: a TOML file, or Sweden, which is built in. Out: a [`Nation`] that enrolment holds cards
//! against and the feed takes names from.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use vardpuls_shared::hospital::RegionCode;

use crate::config::document::{Document, DocumentError};

const SWEDEN: &str = include_str!("nation/sweden.toml");

/// A country and its regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nation {
    /// What the feed calls it, as ISO 3166 does (`SE`).
    pub code: String,
    /// What people call it.
    pub name: String,
    /// Its regions, by code.
    pub regions: BTreeMap<RegionCode, Region>,
}

/// One region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// What people call it.
    pub name: String,
    /// The group of regions that shares highly specialised care (*samverkansregion*), where there are such.
    pub healthcare_region: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    code: String,
    name: String,
    region: Vec<RegionTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RegionTable {
    code: RegionCode,
    name: String,
    healthcare_region: Option<String>,
}

impl Nation {
    /// The nation of a config: its nation file, else Sweden.
    pub fn load(file: Option<&Path>) -> Result<Nation, DocumentError> {
        match file {
            Some(file) => Nation::from_document(&Document::read(file)?),
            None => Ok(Nation::sweden()),
        }
    }

    /// Sweden's 21 regions.
    pub fn sweden() -> Nation {
        Nation::from_document(&Document::of(Path::new("sweden.toml"), SWEDEN)).expect("built in and tested")
    }

    fn from_document(document: &Document) -> Result<Nation, DocumentError> {
        let file: File = document.parse()?;
        let mut regions = BTreeMap::new();
        for table in file.region {
            let region = Region { name: table.name, healthcare_region: table.healthcare_region };
            if regions.insert(table.code.clone(), region).is_some() {
                return Err(document.wrong("region.code", format!("region {} stands twice", table.code)));
            }
        }
        if regions.is_empty() {
            return Err(document.wrong("region", "a nation has at least one region"));
        }
        Ok(Nation { code: file.code, name: file.name, regions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweden_has_its_21_regions() {
        let sweden = Nation::sweden();
        assert_eq!((sweden.code.as_str(), sweden.regions.len()), ("SE", 21));
        let stockholm = &sweden.regions[&RegionCode::new("01").expect("valid")];
        assert_eq!(stockholm.name, "Region Stockholm");
        assert_eq!(stockholm.healthcare_region.as_deref(), Some("Stockholm-Gotland"));
    }

    #[test]
    fn a_region_stands_once_and_its_code_is_checked() {
        let read =
            |text: &str| Nation::from_document(&Document::of(Path::new("n.toml"), text)).map_err(|e| e.to_string());
        let head = "code = \"FI\"\nname = \"Suomi\"\n";
        let twice = format!("{head}[[region]]\ncode = \"1\"\nname = \"a\"\n[[region]]\ncode = \"1\"\nname = \"b\"\n");
        assert!(read(&twice).expect_err("twice").contains("region 1 stands twice"));
        let slash = read(&format!("{head}[[region]]\ncode = \"a/b\"\nname = \"a\"\n")).expect_err("code");
        assert!(slash.starts_with("n.toml, line 4, region.code: "), "{slash}");
        assert!(read(&format!("{head}region = []\n")).is_err());
    }
}
