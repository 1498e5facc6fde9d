//! The changes as they happen, as server-sent events (WHATWG HTML §9.2).
//!
//! | event | data | when |
//! |---|---|---|
//! | `status` | what `/api/v1/status` answers | first, and after each `resync` |
//! | `standing` | [`StandingNow`]: declared levels, the drill, how many alarms | next, and when it changes |
//! | `alert` | an alarm, and whether it is an `alert`, `update` or `cancel` | next each that stands, then each change |
//! | `nation`, `region`, `hospital` | that scope's feed | when the centre publishes it |
//! | `pulse` | [`Pulse`] | every 15 s, so that a silent connection is known to be alive |
//! | `resync` | [`Resync`] | the reader was too slow, or the server too busy, and changes were left out |
//!
//! The id of each event is the number of what it carries; nothing is replayed by it, because every
//! connection begins with the whole picture: what is not in it does not stand any more. Hidden alarms
//! have no events of their own, as for every receiver.
//!
//! One relay encodes each change once and hands the bytes to all connections. A connection is a
//! stream that its socket pulls: a reader who stops reading fills its own place in the broadcast,
//! falls behind, and is told so. Neither the core nor other readers notice.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use vardpuls_shared::alert::Alert;
use vardpuls_shared::clock::Time;
use vardpuls_shared::feed::Level;

use super::HttpState;
use super::alerts::StandingNow;
use super::status::Status;
use crate::alert::entry::Message;
use crate::view::Change;

/// Between two pulses; proxies cut connections that are silent for a minute.
const PULSE_EVERY: Duration = Duration::from_secs(15);

/// Changes that a slow reader may be behind before it is resynchronised.
pub(super) const BEHIND: usize = 1024;

/// Data of `pulse`: the server is there, and how old its picture is.
#[derive(Serialize, ToSchema)]
pub(super) struct Pulse {
    /// The centre's clock.
    #[schema(value_type = String, format = DateTime)]
    now: Time,
    /// The centre's clock at the last publication round.
    #[schema(value_type = String, format = DateTime)]
    as_of: Time,
    /// The last publication round.
    number: u64,
    /// Whether the centre takes in, stores and publishes; `/readyz` says what is wrong.
    ready: bool,
}

/// Data of `resync`: what was sent before no longer adds up; the whole picture follows.
#[derive(Serialize, ToSchema)]
pub(super) struct Resync {
    /// How many changes were left out.
    missed: u64,
}

/// Data of `alert`: an alarm, and which kind of message this is.
#[derive(Serialize)]
struct AlertNews<'a> {
    message: Message,
    #[serde(flatten)]
    alert: &'a Alert,
}

/// What the relay hands to every connection.
#[derive(Debug, Clone)]
enum Frame {
    /// An encoded event.
    Change(Bytes),
    /// The relay itself lost this many changes.
    Missed(u64),
}

/// Where connections subscribe to encoded changes.
#[derive(Clone)]
pub(super) struct Relay {
    frames: broadcast::Sender<Frame>,
    shutdown: CancellationToken,
}

impl Relay {
    /// A relay of `changes`, and its work, which goes on until `shutdown`.
    pub(super) fn new(
        changes: &broadcast::Sender<Change>,
        shutdown: CancellationToken,
    ) -> (Relay, impl Future<Output = ()> + Send + use<>) {
        let mut changes = changes.subscribe();
        let relay = Relay { frames: broadcast::Sender::new(BEHIND), shutdown };
        let Relay { frames, shutdown } = relay.clone();
        let work = async move {
            loop {
                let frame = tokio::select! {
                    () = shutdown.cancelled() => return,
                    received = changes.recv() => match received {
                        // Without a reader there is nothing to encode for.
                        Ok(_) if frames.receiver_count() == 0 => continue,
                        Ok(change) => Frame::Change(encode(&change)),
                        Err(RecvError::Lagged(missed)) => Frame::Missed(missed),
                        Err(RecvError::Closed) => return,
                    },
                };
                // An error means that the last reader has just left.
                let _ = frames.send(frame);
            }
        };
        (relay, work)
    }
}

/// One reader's place in the stream.
struct Connection {
    state: HttpState,
    frames: broadcast::Receiver<Frame>,
    pulse: Interval,
    shutdown: CancellationToken,
    /// What is due before anything else, the next last.
    due: Vec<Due>,
}

/// A part of the whole picture.
enum Due {
    Status,
    Standing,
    Alert(Arc<Alert>),
}

/// The whole picture, by its parts.
fn whole() -> Vec<Due> {
    vec![Due::Standing, Due::Status]
}

impl Connection {
    /// The next event; none at shutdown.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(due) = self.due.pop() {
            return Some(self.part(due));
        }
        tokio::select! {
            () = self.shutdown.cancelled() => None,
            received = self.frames.recv() => match received {
                Ok(Frame::Change(bytes)) => Some(bytes),
                Ok(Frame::Missed(missed)) | Err(RecvError::Lagged(missed)) => Some(self.resync(missed)),
                Err(RecvError::Closed) => None,
            },
            _ = self.pulse.tick() => Some(self.beat()),
        }
    }

    fn part(&mut self, due: Due) -> Bytes {
        match due {
            Due::Status => {
                let status = Status::now(&self.state);
                event("status", Some(status.number()), &status)
            }
            Due::Standing => {
                let standing = self.state.standing.load();
                // Of one snapshot with the counts, so that a reader knows when it has them all.
                let shown = standing.alerts.iter().filter(|alert| alert.hidden.is_none());
                self.due.extend(shown.rev().cloned().map(Due::Alert));
                event("standing", Some(standing.number), &StandingNow::of(&standing))
            }
            Due::Alert(alert) => alert_event(Message::Alert, &alert),
        }
    }

    /// Skips what is queued; the whole picture that follows is newer than all of it.
    fn resync(&mut self, missed: u64) -> Bytes {
        self.frames = self.frames.resubscribe();
        self.due = whole();
        event("resync", None, &Resync { missed })
    }

    fn beat(&self) -> Bytes {
        let view = self.state.view.load();
        let ready = self.state.readiness.is_ready();
        let pulse = Pulse { now: self.state.clock.now(), as_of: view.as_of, number: view.number, ready };
        event("pulse", None, &pulse)
    }
}

/// The changes as they happen
#[utoipa::path(get, path = "/api/v1/events", tag = "picture",
    description = "Server-sent events. First `status` with the body of /api/v1/status, `standing` with a StandingNow and \
        one `alert` for each alarm that stands and is not hidden; then, as they change, `nation`, `region` and `hospital`, \
        each with a Scope, `standing`, and `alert` with an AlertNews (after `cancel` it is over or hidden); `pulse` every \
        15 seconds; `resync` when changes were left out, followed by the whole picture again. The id is the number of what \
        the event carries.",
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn events(State((state, relay)): State<(HttpState, Relay)>) -> impl IntoResponse {
    let mut pulse = tokio::time::interval(PULSE_EVERY);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let connection =
        Connection { state, frames: relay.frames.subscribe(), pulse, shutdown: relay.shutdown, due: whole() };
    let stream = stream::unfold(connection, |mut connection| async {
        let bytes = connection.next().await?;
        Some((Ok::<_, Infallible>(bytes), connection))
    });
    // The second header asks nginx not to hold events back.
    ([(header::CONTENT_TYPE.as_str(), "text/event-stream"), ("x-accel-buffering", "no")], Body::from_stream(stream))
}

fn encode(change: &Change) -> Bytes {
    match change {
        Change::Feed(feed) => event(name(feed.level), Some(feed.number), &**feed),
        Change::Said(said) => alert_event(said.message, &said.alert),
        Change::Standing(standing) => event("standing", Some(standing.number), &StandingNow::of(standing)),
    }
}

fn alert_event(message: Message, alert: &Alert) -> Bytes {
    event("alert", Some(alert.number), &AlertNews { message, alert })
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Nation => "nation",
        Level::Region => "region",
        Level::Hospital => "hospital",
    }
}

/// One event's bytes. JSON on one line needs no further framing.
fn event(name: &str, id: Option<u64>, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("feeds and our own structs are plain JSON");
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("event: {name}\n{id}data: {data}\n\n"))
}
