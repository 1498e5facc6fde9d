//! The description of this interface for programs (OpenAPI 3.1), gathered from the handlers.
//!
//! The feed's own structures belong to the wire and know nothing of OpenAPI; here stand their
//! mirrors, of which only the schema is used. A test reads real answers against the schemas: exactly
//! the properties that are named, with the types that are named.

#![expect(dead_code, reason = "the mirrors are read by the derive, never made")]

use std::collections::BTreeMap;

use axum::Json;
use utoipa::{OpenApi, ToSchema};

use super::access::Tokens;
use super::{access, acting, alerts, atom, declared, events, exercise, health, history, journal, metrics, status};

mod alarms;

pub(super) use alarms::{Alert, JournalEntry, NotDone, Role, Rules};

/// The whole interface.
#[derive(OpenApi)]
#[openapi(
    info(title = "Vardpuls", description = "The national picture of hospital beds: what is staffed, occupied and \
        available, and how much of it is known; the alarms that follow, and acting on them. Every figure is null where \
        nothing is known; unknown is never zero. Reading asks for no token; who did what and why, and acting, do."),
    paths(status::status, status::region, status::hospital, history::history, events::events,
        alerts::alerts, atom::atom, alerts::alert, alerts::rules, declared::declared,
        access::me, journal::journal, acting::acknowledge, acting::comment, acting::shelve, acting::unshelve,
        acting::remove_from_service, acting::return_to_service, declared::declare, declared::take_back,
        exercise::begin, exercise::finish, exercise::raise, metrics::metrics, health::alive, health::ready),
    components(schemas(events::Pulse, events::Resync, alerts::StandingNow, alarms::AlertNews)),
    modifiers(&Tokens),
    tags((name = "picture", description = "The figures: now, over time, and as they change"),
        (name = "alarms", description = "What stands, and by which rules"),
        (name = "acting", description = "For those with a token: the journal, and acting on alarms"),
        (name = "operation", description = "For those who run the centre")))]
struct Interface;

/// Answers with the description.
pub(super) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Interface::openapi())
}

/// One scope's figures: the nation, a region or a hospital. The same as on MQTT.
#[derive(ToSchema)]
pub(super) struct Scope {
    /// The message version, 1.
    version: u8,
    /// Grows with every change that the centre publishes, also over restarts.
    number: u64,
    /// The centre's clock when the figures held.
    #[schema(format = DateTime)]
    as_of: String,
    level: Level,
    /// The nation's code, the region's code, or the hospital's identifier.
    code: String,
    /// The scope's name.
    name: String,
    /// All care types together.
    total: Figures,
    /// By care type; only those that the scope's hospitals have.
    care: BTreeMap<String, Figures>,
    coverage: Coverage,
    /// Only for hospitals.
    #[schema(nullable = false)]
    hospital: Option<Hospital>,
}

/// What kind of scope it is.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Level {
    Nation,
    Region,
    Hospital,
}

/// Sums over fresh wards; null where there is none.
#[derive(ToSchema)]
pub(super) struct Figures {
    /// Fresh wards that the figures sum.
    wards: u32,
    /// Beds open now with place, equipment and staff (disponibla vårdplatser).
    #[schema(required)]
    staffed: Option<u32>,
    /// Admitted patients in the wards' beds.
    #[schema(required)]
    occupied: Option<u32>,
    /// Staffed beds that cannot take a patient.
    #[schema(required)]
    blocked: Option<u32>,
    /// Per ward `max(0, staffed − occupied − blocked)`, summed. Never computed from totals.
    #[schema(required)]
    available: Option<u32>,
    /// Patients in places that are not staffed beds (överbeläggning).
    #[schema(required)]
    over_capacity: Option<u32>,
    /// Patients cared for on another unit than the responsible one (utlokaliserade).
    #[schema(required)]
    outlying: Option<u32>,
    /// Patients who are ready for discharge (utskrivningsklara).
    #[schema(required)]
    discharge_ready: Option<u32>,
    /// Admitted patients who wait in the emergency department.
    #[schema(required)]
    boarding: Option<u32>,
    /// Patients present for more than 24 hours.
    #[schema(required)]
    over_24h: Option<u32>,
    /// Patients present for more than 48 hours.
    #[schema(required)]
    over_48h: Option<u32>,
}

/// How many hospitals stand behind a scope's figures.
#[derive(ToSchema)]
pub(super) struct Coverage {
    /// Enrolled hospitals in the scope: the sum of the other three.
    hospitals: u32,
    /// Their newest report is within its validity.
    fresh: u32,
    /// Their newest report is past its validity.
    stale: u32,
    /// Never heard, or the newest report vouches for no ward.
    unknown: u32,
}

/// What only a hospital's scope says.
#[derive(ToSchema)]
struct Hospital {
    /// The region's code.
    region: String,
    state: Freshness,
    /// When the newest report's counts held, by the agent's clock.
    #[schema(format = DateTime, required)]
    observed_at: Option<String>,
    /// When the centre received it.
    #[schema(format = DateTime, required)]
    received_at: Option<String>,
    /// How far the agent's clock is ahead of the centre's, in ms, where that is too much.
    #[schema(required)]
    clock_offset_ms: Option<i64>,
    /// Its wards, in the order of the roster.
    wards: Vec<Ward>,
}

/// Whether a hospital's newest report may be relied on.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Freshness {
    Fresh,
    Stale,
    Unknown,
}

/// One ward: the last counts heard, fresh or not.
#[derive(ToSchema)]
struct Ward {
    /// What the hospital calls it.
    id: String,
    /// What people call it.
    name: String,
    care: Care,
    #[serde(flatten)]
    figures: Figures,
}

/// What a ward's beds are for.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(super) enum Care {
    Other,
    Icu,
    Intermediate,
    General,
    Emergency,
    Psychiatric,
    Paediatric,
    PaediatricIcu,
    NeonatalIcu,
    Maternity,
    Burn,
    Isolation,
    Rehabilitation,
    PaediatricPsychiatric,
}
