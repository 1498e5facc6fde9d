//! Whether the centre can do its work now: what `/readyz` answers.
//!
//! Set by the parts that know (connection, committer, rebuild), read by HTTP. Nothing else depends
//! on it: a centre that is not ready keeps doing whatever it still can.

use std::sync::atomic::{AtomicBool, Ordering};

/// What must hold for the centre to be ready.
#[derive(Debug, Default)]
pub struct Readiness {
    broker: AtomicBool,
    store: AtomicBool,
    rebuilt: AtomicBool,
}

impl Readiness {
    /// Whether all of it holds.
    pub fn is_ready(&self) -> bool {
        self.broker_connected() && self.store_works() && self.rebuilt()
    }

    /// Whether the broker answers.
    pub fn broker_connected(&self) -> bool {
        self.broker.load(Ordering::Relaxed)
    }

    /// Whether the last commit succeeded.
    pub fn store_works(&self) -> bool {
        self.store.load(Ordering::Relaxed)
    }

    /// Whether the live picture stands again as the store has it.
    pub fn rebuilt(&self) -> bool {
        self.rebuilt.load(Ordering::Relaxed)
    }

    /// Tells whether the broker answers.
    pub fn set_broker_connected(&self, holds: bool) {
        self.broker.store(holds, Ordering::Relaxed);
    }

    /// Tells whether the store takes commits.
    pub fn set_store_works(&self, holds: bool) {
        self.store.store(holds, Ordering::Relaxed);
    }

    /// Tells that the live picture was rebuilt.
    pub fn set_rebuilt(&self) {
        self.rebuilt.store(true, Ordering::Relaxed);
    }
}
