//! A `[[source]]` table of kind `fhir`: the words of the file in, a spec out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vardpuls_shared::hospital::WardId;

use super::{HEAD, Table, http, mapping};
use crate::config::{ConfigError, WardConfig};
use crate::source::fhir::{Algorithm, Beds, Counting, FhirSpec, SmartSpec};
use crate::source::http::Auth;
use crate::source::polled::{PolledKind, PolledSpec};

/// The table as it is written, without the keys that other parts read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FhirTable {
    #[serde(default = "default_classes")]
    classes: BTreeSet<String>,
    #[serde(default)]
    beds: BedsWord,
    #[serde(default = "default_page_size")]
    page_size: u32,
    #[serde(default = "default_max_pages")]
    max_pages: u32,
    #[serde(default)]
    encounter_query: String,
    #[serde(default)]
    location_query: String,
    smart: Option<SmartTable>,
    #[serde(default)]
    wards: BTreeMap<String, WardId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SmartTable {
    token_url: String,
    client_id: String,
    key_file: PathBuf,
    key_id: String,
    #[serde(default)]
    algorithm: AlgorithmWord,
    #[serde(default = "default_scope")]
    scope: String,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BedsWord {
    Ignore,
    #[default]
    Blocked,
    Staffed,
}

#[derive(Clone, Copy, Default, Deserialize)]
enum AlgorithmWord {
    #[default]
    #[serde(rename = "ES384")]
    Es384,
    #[serde(rename = "RS384")]
    Rs384,
}

/// Inpatients, acute and not.
fn default_classes() -> BTreeSet<String> {
    ["IMP", "ACUTE", "NONACUTE"].map(str::to_owned).into()
}

fn default_page_size() -> u32 {
    200
}

fn default_max_pages() -> u32 {
    100
}

fn default_scope() -> String {
    "system/Encounter.read system/Location.read".to_owned()
}

/// Reads the table.
#[inline(never)]
pub(super) fn read(at: &Table<'_>, base: &Path, wards: &[WardConfig]) -> Result<PolledSpec, ConfigError> {
    let (http, every) = http::read(at, base)?;
    let table: FhirTable = at.document.table(&at.way, &[&HEAD[..], &http::KEYS].concat())?;
    if http.url.query().is_some() {
        return Err(at.wrong(&["url"], "must be the base of the server, without a search"));
    }
    for (key, number) in [("page-size", table.page_size), ("max-pages", table.max_pages)] {
        if number == 0 {
            return Err(at.wrong(&[key], "must be at least 1"));
        }
    }
    for (key, query) in [("encounter-query", &table.encounter_query), ("location-query", &table.location_query)] {
        if query.starts_with(['?', '&']) || format!("{}?{query}", http.url).parse::<hyper::Uri>().is_err() {
            return Err(at.wrong(&[key], "must be a part of a search, as in \"organization=Organization/1\""));
        }
    }
    if table.classes.is_empty() {
        return Err(at.wrong(&["classes"], "names no class, so nobody would be counted"));
    }
    let names = if table.wards.is_empty() {
        mapping::ward_names(at, "wards", &table.wards, wards)?
    } else {
        // Only those that are named: a ward that another source counts is not missing here.
        let mut names = BTreeMap::new();
        for (name, id) in &table.wards {
            if !mapping::is_ward(id, wards) {
                return Err(at.wrong(&["wards", name], mapping::no_ward(id)));
            }
            let name = name.trim();
            names.insert(name.strip_prefix("Location/").unwrap_or(name).to_owned(), id.clone());
        }
        names
    };
    let smart = match table.smart {
        Some(_) if http.auth != Auth::None => {
            return Err(at.wrong(&["smart"], "stands beside a token or login: give one of them"));
        }
        Some(smart) => Some(smart.check(at, base)?),
        None => None,
    };
    let beds = match table.beds {
        BedsWord::Ignore => Beds::Ignore,
        BedsWord::Blocked => Beds::Blocked,
        BedsWord::Staffed => Beds::Staffed,
    };
    let spec = FhirSpec {
        http,
        smart,
        page_size: table.page_size,
        max_pages: table.max_pages,
        encounter_query: table.encounter_query,
        location_query: table.location_query,
        counting: Counting { classes: table.classes, beds, wards: names },
    };
    Ok(PolledSpec { every, kind: PolledKind::Fhir(spec) })
}

impl SmartTable {
    fn check(self, at: &Table<'_>, base: &Path) -> Result<SmartSpec, ConfigError> {
        let token_url = http::address(&self.token_url).map_err(|problem| at.wrong(&["smart", "token-url"], problem))?;
        if token_url.scheme_str() == Some("http") && !http::is_here(&token_url) {
            return Err(at.wrong(&["smart", "token-url"], "would have the token sent in clear; write an https:// url"));
        }
        Ok(SmartSpec {
            token_url,
            client_id: self.client_id,
            key_file: base.join(self.key_file),
            key_id: self.key_id,
            algorithm: match self.algorithm {
                AlgorithmWord::Es384 => Algorithm::Es384,
                AlgorithmWord::Rs384 => Algorithm::Rs384,
            },
            scope: self.scope,
        })
    }
}
