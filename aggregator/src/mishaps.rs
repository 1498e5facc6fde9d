//! What went wrong with hospitals' messages, on its way from whoever noticed to the keeper.
//!
//! In: incidents, from the verifying threads and the committer, which never wait. Out: how often each
//! happened since the last look. Its size is bounded by the hospitals that are enrolled.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use vardpuls_shared::hospital::HospitalId;

use crate::alert::alarms::Incident;

/// What happened since the last look.
#[derive(Debug, Default)]
pub struct Mishaps {
    since: Mutex<HashMap<(HospitalId, Incident), u32>>,
}

impl Mishaps {
    /// Notes one; the hospital must be an enrolled one, or strangers could fill the memory.
    pub fn note(&self, hospital: &HospitalId, incident: Incident) {
        // Every state is a good one, also after a panic elsewhere.
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let count = since.entry((hospital.clone(), incident)).or_default();
        *count = count.saturating_add(1);
    }

    /// What happened since the last call.
    pub fn take(&self) -> HashMap<(HospitalId, Incident), u32> {
        std::mem::take(&mut *self.since.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
