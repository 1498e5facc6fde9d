//! What runs beside the line from the broker to the publisher, and ends with the shutdown: receivers of alarms,
//! followers of files, pruning.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vardpuls_service::event::Event;
use vardpuls_shared::clock::Clock;

use super::RunError;
use crate::alert::standing::Standing;
use crate::receivers::Receiver;
use crate::receivers::back_off::BackOff;
use crate::receivers::counts::ReceiverMetrics;
use crate::receivers::delivery::Delivery;
use crate::store::Store;

/// How often what the store need not keep is removed.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

/// Starts something that ends only with the shutdown.
pub(super) fn follow(beside: &mut JoinSet<Result<(), RunError>>, work: impl Future<Output = ()> + Send + 'static) {
    beside.spawn(async move {
        work.await;
        Ok(())
    });
}

/// What every receiver's task shares.
pub(super) struct Telling {
    pub(super) store: Store,
    pub(super) durable: watch::Receiver<u64>,
    pub(super) standing: Arc<ArcSwap<Standing>>,
    pub(super) clock: Clock,
    pub(super) counts: ReceiverMetrics,
}

impl Telling {
    /// A task for each receiver, so that a dead one delays no other.
    pub(super) fn spawn(
        self,
        receivers: Vec<Receiver>,
        beside: &mut JoinSet<Result<(), RunError>>,
        shutdown: &CancellationToken,
    ) {
        for receiver in receivers {
            let delivery = Delivery {
                counts: self.counts.of(&receiver.name),
                receiver,
                store: self.store.clone(),
                committed: self.durable.clone(),
                standing: self.standing.clone(),
                clock: self.clock.clone(),
                back_off: BackOff::default(),
            };
            follow(beside, delivery.run(shutdown.clone()));
        }
    }
}

/// Removes now and then what the store need not keep.
pub(super) async fn prune(store: Store, clock: Clock, shutdown: CancellationToken) -> Result<(), RunError> {
    let mut due = tokio::time::interval(PRUNE_EVERY);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = due.tick() => {}
        }
        match store.prune(clock.now()).await {
            Ok(pruned) if pruned.reports + pruned.samples > 0 => {
                tracing::info!(
                    name: Event::StorePruned.name(),
                    reports = pruned.reports,
                    samples = pruned.samples,
                    "removed what is older than the config keeps"
                );
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(name: Event::StoreNotPruned.name(), %error,
                    "nothing was removed from the store; trying again in {PRUNE_EVERY:?}");
            }
        }
    }
}
