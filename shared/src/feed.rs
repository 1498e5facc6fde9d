//! A feed message: what the centre publishes about one scope.
//!
//! One structure, two encodings: signed CBOR and plain JSON carry the same names and values. Unlike
//! reports, feed messages are few and read by strangers, so they are maps with text keys.
//!
//! Unknown is never zero: where no ward of a scope is fresh, every figure is `null`. Figures sum
//! fresh wards only; `coverage` says how much of the scope that is. Bytes: `feed.cddl`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::care::CareType;
use crate::clock::Time;
use crate::count::{Counts, Extra};
use crate::hospital::WardId;

/// The message version.
pub const VERSION: u8 = 1;

/// Sums over fresh wards. Every figure is `null` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Fresh wards that the figures sum.
    pub wards: u32,
    /// Beds open now with place, equipment and staff.
    pub staffed: Option<u32>,
    /// Admitted patients in the wards' beds.
    pub occupied: Option<u32>,
    /// Staffed beds that cannot take a patient.
    pub blocked: Option<u32>,
    /// Per ward `max(0, staffed − occupied − blocked)`, summed.
    pub available: Option<u32>,
    /// Patients in places that are not staffed beds.
    pub over_capacity: Option<u32>,
    /// Patients cared for on another unit than the responsible one.
    pub outlying: Option<u32>,
    /// Patients who are ready for discharge.
    pub discharge_ready: Option<u32>,
    /// Admitted patients who wait in the emergency department.
    pub boarding: Option<u32>,
    /// Patients present for more than 24 hours.
    pub over_24h: Option<u32>,
    /// Patients present for more than 48 hours.
    pub over_48h: Option<u32>,
}

/// Whether a hospital's newest report may be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// Within its validity, and it vouches for at least one ward.
    Fresh,
    /// Past its validity.
    Stale,
    /// Never heard, or the newest report vouches for no ward.
    Unknown,
}

/// How many hospitals stand behind a scope's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// Enrolled hospitals in the scope: the sum of the other three.
    pub hospitals: u32,
    /// See [`Freshness::Fresh`].
    pub fresh: u32,
    /// See [`Freshness::Stale`].
    pub stale: u32,
    /// See [`Freshness::Unknown`].
    pub unknown: u32,
}

/// What kind of scope a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The whole country.
    Nation,
    /// One region.
    Region,
    /// One hospital.
    Hospital,
}

/// One ward in a hospital's message: the last counts heard, fresh or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WardFigures {
    /// What the hospital calls it.
    pub id: WardId,
    /// What people call it.
    pub name: String,
    /// What its beds are for.
    pub care: CareType,
    /// The counts; a ward that the newest report leaves out has none.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What only a hospital's message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HospitalDetail {
    /// The region's code.
    pub region: String,
    /// Whether the newest report may be relied on.
    pub state: Freshness,
    /// When the newest report's counts held, by the agent's clock.
    pub observed_at: Option<Time>,
    /// When the centre received it.
    pub received_at: Option<Time>,
    /// How far the agent's clock is ahead of the centre's, in ms, where the flag is raised.
    pub clock_offset_ms: Option<i64>,
    /// Its wards, in the order of the roster.
    pub wards: Vec<WardFigures>,
}

/// What the centre publishes about one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// [`VERSION`].
    pub version: u8,
    /// Grows with every change that the centre publishes, also over restarts.
    pub number: u64,
    /// The centre's clock when the figures held.
    pub as_of: Time,
    /// What kind of scope this is.
    pub level: Level,
    /// `SE` for the nation (from the nation file), the region's code, the hospital.
    pub code: String,
    /// The scope's name.
    pub name: String,
    /// All care types together.
    pub total: Figures,
    /// By care type; only those that a roster of the scope has.
    pub care: BTreeMap<CareType, Figures>,
    /// How much of the scope stands behind the figures.
    pub coverage: Coverage,
    /// Only for hospitals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hospital: Option<HospitalDetail>,
}

impl Figures {
    /// The figures of one fresh ward.
    pub fn of(counts: &Counts) -> Figures {
        let extra = |e| Some(u32::from(counts.extra(e)));
        Figures {
            wards: 1,
            staffed: Some(counts.staffed.into()),
            occupied: Some(counts.occupied.into()),
            blocked: extra(Extra::BLOCKED),
            available: Some(counts.available().into()),
            over_capacity: extra(Extra::OVER_CAPACITY),
            outlying: extra(Extra::OUTLYING),
            discharge_ready: extra(Extra::DISCHARGE_READY),
            boarding: extra(Extra::BOARDING),
            over_24h: extra(Extra::OVER_24H),
            over_48h: extra(Extra::OVER_48H),
        }
    }
}

impl Feed {
    /// The payload's bytes: CBOR with text keys.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2048);
        ciborium::into_writer(self, &mut bytes).expect("writing to a Vec cannot fail");
        bytes
    }

    /// Reads a payload.
    pub fn decode(payload: &[u8]) -> Result<Feed, FeedError> {
        let mut rest = payload;
        let feed = ciborium::from_reader(&mut rest).map_err(|e| FeedError::Malformed(e.to_string()))?;
        if rest.is_empty() { Ok(feed) } else { Err(FeedError::Trailing(rest.len())) }
    }
}

/// Why a feed message was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Not the shape of a feed message.
    #[error("the feed message cannot be read: {0}")]
    Malformed(String),
    /// Bytes follow the message.
    #[error("{0} bytes follow the end of the feed message")]
    Trailing(usize),
}
