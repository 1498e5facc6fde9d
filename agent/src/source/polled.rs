//! Sources that are asked again and again: when to ask, and the task that does.
//!
//! In: a spec and the clock. Out: what the reader of its kind says, at each turn. After a fault the source is
//! asked sooner than at its next turn, and then less and less often, until its own pace is reached again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vardpuls_shared::clock::{Clock, Time};

use super::fhir::{FhirReader, FhirSpec};
use super::json::{JsonReader, JsonSpec};
use super::sql::{SqlReader, SqlSpec};
use super::{Observation, SourceError, Teller};

/// The first pause after a fault.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum PolledKind {
    /// A JSON document behind an URL.
    Json(JsonSpec),
    /// A FHIR R4 server.
    Fhir(FhirSpec),
    /// A query in a database.
    Sql(SqlSpec),
}

/// A source that is asked again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct PolledSpec {
    /// How often.
    pub every: Duration,
    /// What is asked, and how.
    pub kind: PolledKind,
}

impl PolledSpec {
    /// Whether it counts patients.
    pub fn gives_occupied(&self) -> bool {
        match &self.kind {
            PolledKind::Json(spec) => spec.shape.gives_occupied(),
            PolledKind::Fhir(_) => true,
            PolledKind::Sql(spec) => spec.mapping.gives_occupied(),
        }
    }
}

/// The reader of a kind, with what it keeps between two turns.
#[derive(Debug)]
enum Reader {
    Json(Box<JsonReader>),
    Fhir(Box<FhirReader>),
    Sql(Box<SqlReader>),
}

impl Reader {
    fn new(kind: PolledKind) -> Reader {
        match kind {
            PolledKind::Json(spec) => Reader::Json(Box::new(JsonReader::new(spec))),
            PolledKind::Fhir(spec) => Reader::Fhir(Box::new(FhirReader::new(spec))),
            PolledKind::Sql(spec) => Reader::Sql(Box::new(SqlReader::new(spec))),
        }
    }

    async fn read(&mut self, now: Time) -> Result<Observation, SourceError> {
        match self {
            Reader::Json(reader) => reader.read(now).await,
            Reader::Fhir(reader) => reader.read(now).await,
            Reader::Sql(reader) => reader.read(now).await,
        }
    }
}

/// Asks until shutdown, and tells what was said.
pub(super) async fn follow(spec: PolledSpec, mut teller: Teller, shutdown: CancellationToken) {
    let mut reader = Reader::new(spec.kind);
    let mut faults = 0;
    loop {
        teller.looking();
        let now = teller.clock.now();
        let result = tokio::select! {
            () = shutdown.cancelled() => return,
            result = reader.read(now) => result,
        };
        teller.looked();
        faults = if result.is_err() { faults + 1 } else { 0 };
        if !teller.tell(result).await {
            return;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause(spec.every, faults)) => {}
        }
    }
}

/// Asks once.
pub(super) async fn read_once(spec: &PolledSpec, clock: &Clock) -> Result<Observation, SourceError> {
    Reader::new(spec.kind.clone()).read(clock.now()).await
}

/// How long to wait after so many faults in a row.
fn pause(every: Duration, faults: u32) -> Duration {
    match faults {
        0 => every,
        faults => every.min(FIRST_PAUSE.saturating_mul(2u32.saturating_pow(faults - 1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_fault_a_source_is_asked_sooner_and_never_less_often_than_its_pace() {
        let every = Duration::from_mins(1);
        let pauses: Vec<u64> = (0..7).map(|faults| pause(every, faults).as_secs()).collect();
        assert_eq!(pauses, [60, 5, 10, 20, 40, 60, 60]);
        assert_eq!(pause(Duration::from_secs(1), 1), Duration::from_secs(1));
        assert_eq!(pause(every, u32::MAX), every);
    }
}
