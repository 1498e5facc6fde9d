//! The parts of FHIR R4 resources that a census needs, and no others: what names a patient has no field here,
//! so that it is neither kept nor can be shown.

use serde::Deserialize;

/// A page of a search.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bundle<R> {
    pub(super) resource_type: String,
    #[serde(default = "Vec::new")]
    pub(super) link: Vec<Link>,
    #[serde(default = "Vec::new")]
    pub(super) entry: Vec<Entry<R>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Link {
    pub(super) relation: String,
    pub(super) url: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Entry<R> {
    pub(super) resource: Option<R>,
}

/// A stay of somebody.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Encounter {
    pub(super) resource_type: String,
    pub(super) id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) class: Option<Coding>,
    #[serde(default)]
    pub(super) location: Vec<Stay>,
}

/// Where an encounter takes place.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Stay {
    pub(super) location: Option<Reference>,
    pub(super) status: Option<String>,
    pub(super) period: Option<Period>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Period {
    pub(super) start: Option<String>,
    pub(super) end: Option<String>,
}

/// A ward, a room, a bed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Location {
    pub(super) resource_type: String,
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) identifier: Vec<Identifier>,
    pub(super) status: Option<String>,
    pub(super) operational_status: Option<Coding>,
    pub(super) physical_type: Option<Concept>,
    pub(super) part_of: Option<Reference>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Identifier {
    pub(super) value: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Concept {
    #[serde(default)]
    pub(super) coding: Vec<Coding>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Coding {
    pub(super) code: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Reference {
    pub(super) reference: Option<String>,
}

impl Coding {
    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

/// The fields of an encounter that are asked for; a server may send others, which are not read.
pub(super) const ENCOUNTER: &str = "status,class,location";
/// The fields of a location that are asked for.
pub(super) const LOCATION: &str = "identifier,status,operationalStatus,physicalType,partOf";
