//! How far the broker has been told of alarms' ends, over a restart: a place in the journal, as receivers have one.
//!
//! In: the journal at start, and how far [`Outgoing`](super::Outgoing) has come. Out: the ends that a process before
//! this one may not have said to everybody, and the place, kept durably. What a crash repeats has the same number.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vardpuls_service::event::Event;

use super::ends::Ends;
use crate::store::{JournalQuery, Store, StoreError};

/// The name of the place; no receiver that the config names can have it.
const NAME: &str = "mqtt";

/// Entries that are read at once.
const AT_ONCE: u32 = 1000;

/// Between two attempts while the store fails.
const PAUSE: Duration = Duration::from_secs(5);

/// The ends that may have been left unsaid. A store without a place begins where its journal ends.
pub async fn ends(store: &Store, last: u64) -> Result<Ends, StoreError> {
    let Some(place) = store.place(NAME).await? else {
        store.set_place(NAME, last).await?;
        return Ok(Ends::after(last));
    };
    let mut ends = Ends::after(place);
    let mut after = place;
    loop {
        let query =
            JournalQuery { after, before: None, alarm: None, said_only: true, limit: AT_ONCE, newest_first: false };
        let entries = store.journal(&query).await?;
        let Some(end) = entries.last() else { return Ok(ends) };
        after = end.number;
        entries.iter().filter_map(|entry| entry.said.as_ref()).for_each(|said| ends.follow(said));
    }
}

/// Keeps the place durably as it moves.
pub async fn keep(store: Store, mut place: watch::Receiver<u64>, shutdown: CancellationToken) {
    loop {
        let moved = tokio::select! {
            moved = place.changed() => moved.is_ok(),
            () = shutdown.cancelled() => place.has_changed().unwrap_or(false),
        };
        if !moved {
            return shutdown.cancelled().await;
        }
        let to = *place.borrow_and_update();
        while let Err(error) = store.set_place(NAME, to).await {
            tracing::warn!(name: Event::StoreFails.name(), %error,
                "how far the broker was told of alarms' ends is not stored; trying again in {PAUSE:?}");
            if shutdown.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                return;
            }
        }
    }
}
