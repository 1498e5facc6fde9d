//! The `[[ward]]` tables: the hospital's wards as its roster will name them.

use std::collections::BTreeMap;

use serde::Deserialize;
use vardpuls_shared::care::CareType;
use vardpuls_shared::count::MAX_COUNT;
use vardpuls_shared::hospital::WardId;
use vardpuls_shared::report::MAX_WARDS;
use vardpuls_shared::roster::{Capability, MAX_NAME, Place, Ward};

use super::ConfigError;
use super::document::Document;
use super::document::Step::{At, Key};

/// One ward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WardConfig {
    /// As it stands in the roster.
    pub ward: Ward,
    /// Staffed beds, used where no source gives them.
    pub staffed: Option<u16>,
    /// The wards that this group is made of, which are published within it only; none where it is no group.
    pub members: Vec<WardId>,
}

impl WardConfig {
    /// Whether it is made of other wards.
    pub fn is_group(&self) -> bool {
        !self.members.is_empty()
    }
}

/// A `[[ward]]` table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WardTable {
    index: u16,
    id: WardId,
    name: String,
    care: String,
    staffed: Option<u16>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    #[serde(default)]
    capabilities: Vec<String>,
    contact: Option<String>,
    #[serde(default)]
    members: Vec<WardId>,
}

/// The wards of a document, by rising index, and the place of each in it.
pub(super) fn read(document: &Document<'_>) -> Result<(Vec<WardConfig>, BTreeMap<WardId, usize>), ConfigError> {
    let count = document.count("ward");
    if count == 0 || count as u64 > MAX_WARDS {
        let problem = format!("has {count} wards; write 1 to {MAX_WARDS} [[ward]] tables");
        return Err(document.wrong(&[Key("ward")], problem));
    }
    let mut wards = Vec::with_capacity(count);
    let (mut indices, mut ids) = (BTreeMap::new(), BTreeMap::new());
    for at in 0..count {
        let ward = one(document, at)?;
        let wrong = |key, problem| Err(document.wrong(&[Key("ward"), At(at), Key(key)], problem));
        if let Some(first) = indices.insert(ward.ward.index, at) {
            return wrong("index", format!("{} is also the index of ward number {}", ward.ward.index, first + 1));
        }
        if let Some(first) = ids.insert(ward.ward.id.clone(), at) {
            return wrong("id", format!("{:?} is also the id of ward number {}", ward.ward.id, first + 1));
        }
        wards.push(ward);
    }
    wards.sort_by_key(|w| w.ward.index);
    Ok((wards, ids))
}

fn one(document: &Document<'_>, at: usize) -> Result<WardConfig, ConfigError> {
    let table: WardTable = document.table(&[Key("ward"), At(at)], &[])?;
    let wrong = |key, problem: String| document.wrong(&[Key("ward"), At(at), Key(key)], problem);
    let fits = |text: &str| !text.trim().is_empty() && text.len() <= MAX_NAME;
    if !fits(&table.name) {
        return Err(wrong("name", format!("must have 1 to {MAX_NAME} bytes")));
    }
    if table.contact.as_deref().is_some_and(|text| !fits(text)) {
        return Err(wrong("contact", format!("must have 1 to {MAX_NAME} bytes; leave it out where there is none")));
    }
    if table.staffed.is_some_and(|n| n > MAX_COUNT) {
        return Err(wrong("staffed", format!("must be at most {MAX_COUNT}")));
    }
    let care: CareType = table.care.parse().map_err(|e| wrong("care", format!("{e}")))?;
    let place = match (table.latitude, table.longitude) {
        (Some(latitude), Some(longitude)) => Some(
            Place::from_degrees(latitude, longitude)
                .ok_or_else(|| wrong("latitude", "must be −90 to 90 degrees, longitude −180 to 180".into()))?,
        ),
        (None, None) => None,
        (Some(_), None) => return Err(wrong("longitude", "is missing beside latitude".into())),
        (None, Some(_)) => return Err(wrong("latitude", "is missing beside longitude".into())),
    };
    let mut capabilities = Vec::with_capacity(table.capabilities.len());
    for word in &table.capabilities {
        let capability = Capability::from_name(word).ok_or_else(|| {
            let known: Vec<&str> = (0..100).filter_map(|n| Capability(n).name()).collect();
            wrong("capabilities", format!("{word:?} is not a capability; the words are {}", known.join(", ")))
        })?;
        if capabilities.contains(&capability) {
            return Err(wrong("capabilities", format!("{word:?} stands twice")));
        }
        capabilities.push(capability);
    }
    let (index, id, name, contact) = (table.index, table.id, table.name, table.contact);
    let ward = Ward { index, id, name, care, place, capabilities, contact };
    Ok(WardConfig { ward, staffed: table.staffed, members: table.members })
}
