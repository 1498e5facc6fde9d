//! What waits for verification: a bounded queue that never blocks the broker's connection.
//!
//! In: messages from the connection, any number. Out: messages to the verifying threads, in the
//! order of arrival. When the queue is full, it sheds by keeping each hospital's newest report and
//! roster: what is dropped has no receipt, so its agent sends it again.
//!
//! Positions are read before anybody vouches for them. A forged one can displace a good report here,
//! which then comes again; it can never pass for one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use vardpuls_shared::clock::Time;
use vardpuls_shared::report::{Position, Report};
use vardpuls_shared::signed::{Envelope, Kind};
use vardpuls_shared::topic::Topic;

/// A message as it came, believed by nobody yet.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where it came.
    pub topic: Topic,
    /// When, by the centre's clock.
    pub received_at: Time,
    /// Its bytes.
    pub envelope: Bytes,
}

/// The queue. Shared by the connection and the verifying threads.
#[derive(Debug)]
pub struct IngestQueue {
    capacity: usize,
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    /// Threads that wait for a message: waking costs a system call, so it is done for them only.
    idle: usize,
    closed: bool,
}

impl IngestQueue {
    /// A queue of at most `capacity` messages.
    pub fn new(capacity: usize) -> IngestQueue {
        IngestQueue { capacity: capacity.max(1), waiting: Mutex::default(), arrived: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Every state of the queue is a good one, also after a panic elsewhere.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message in; never blocks for long. Returns how many had to be dropped for it.
    pub fn put(&self, message: Message) -> usize {
        let mut waiting = self.lock();
        let shed = if waiting.messages.len() < self.capacity { 0 } else { shed(&mut waiting.messages, self.capacity) };
        waiting.messages.push_back(message);
        if waiting.idle > 0 {
            self.arrived.notify_one();
        }
        shed
    }

    /// Waits for messages and moves up to `most` into `batch`. False once the queue is closed and empty.
    pub fn take(&self, most: usize, batch: &mut Vec<Message>) -> bool {
        let mut waiting = self.lock();
        while waiting.messages.is_empty() {
            if waiting.closed {
                return false;
            }
            waiting.idle += 1;
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
        let n = most.min(waiting.messages.len());
        batch.extend(waiting.messages.drain(..n));
        true
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().messages.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets the verifying threads end once the queue is empty.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }
}

/// Drops all but each hospital's newest report and roster, then the oldest messages until a quarter
/// of `capacity` is free, so that the next shedding is not due at once. Returns how many went.
fn shed(messages: &mut VecDeque<Message>, capacity: usize) -> usize {
    let before = messages.len();
    let positions: Vec<Option<Position>> = messages.iter().map(claimed_position).collect();
    let mut newest: HashMap<&Topic, usize> = HashMap::with_capacity(before);
    for (at, message) in messages.iter().enumerate() {
        let place = newest.entry(&message.topic).or_insert(at);
        if positions[at] >= positions[*place] {
            *place = at;
        }
    }
    let mut keep = vec![false; before];
    for at in newest.into_values() {
        keep[at] = true;
    }
    let mut kept = keep.into_iter();
    messages.retain(|_| kept.next().unwrap_or(false));
    let room = capacity - capacity.div_ceil(4);
    messages.drain(..messages.len().saturating_sub(room));
    before - messages.len()
}

/// The position that a report claims; none for a roster, of which the last to come is the newest.
fn claimed_position(message: &Message) -> Option<Position> {
    let Topic::Report(_) = message.topic else { return None };
    let envelope = Envelope::open(Kind::Report, &message.envelope).ok()?;
    Report::peek(envelope.unverified_payload()).ok().map(|(_, position)| position)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vardpuls_shared::hospital::HospitalId;
    use vardpuls_shared::key::SigningKey;
    use vardpuls_shared::signed::sign;

    use super::*;

    fn report(hospital: &str, sequence: u64) -> Message {
        let hospital: HospitalId = hospital.parse().expect("valid");
        let report = Report {
            hospital: hospital.clone(),
            position: Position { epoch: 1, sequence },
            observed_at: Time(1),
            valid_for: 60,
            roster_version: 1,
            wards: BTreeMap::new(),
        };
        let envelope = sign(Kind::Report, &report.encode(), &SigningKey::from_seed(&[1; 32]));
        Message { topic: Topic::Report(hospital), received_at: Time(1), envelope: envelope.into() }
    }

    fn drain(queue: &IngestQueue) -> Vec<(String, Option<u64>)> {
        let mut batch = Vec::new();
        queue.close();
        while queue.take(3, &mut batch) {}
        batch.iter().map(|m| (m.topic.to_string(), claimed_position(m).map(|p| p.sequence))).collect()
    }

    #[test]
    fn a_full_queue_keeps_each_hospitals_newest() {
        let queue = IngestQueue::new(8);
        let garbage = Message { envelope: Bytes::from_static(b"x"), ..report("b", 0) };
        let shed: usize = [report("a", 1), report("a", 9), report("b", 3), garbage, report("a", 2), report("b", 4)]
            .into_iter()
            .chain([report("a", 3), report("a", 4), report("c", 1)])
            .map(|m| queue.put(m))
            .sum();
        assert_eq!(shed, 6);
        let topic = |h: &str| format!("vardpuls/v1/report/{h}");
        assert_eq!(drain(&queue), [(topic("a"), Some(9)), (topic("b"), Some(4)), (topic("c"), Some(1))]);
    }

    #[test]
    fn it_is_bounded_whatever_comes() {
        let queue = IngestQueue::new(10);
        let mut shed = 0;
        for n in 0..1000 {
            shed += queue.put(report(&format!("h{n}"), 1));
            assert!(queue.len() <= 10);
        }
        let left = drain(&queue);
        assert_eq!(shed + left.len(), 1000);
        assert_eq!(left.last().map(|l| l.0.as_str()), Some("vardpuls/v1/report/h999"));
    }

    #[test]
    fn closing_lets_waiting_threads_end() {
        let queue = IngestQueue::new(1);
        std::thread::scope(|s| {
            let waiting = s.spawn(|| queue.take(1, &mut Vec::new()));
            queue.close();
            assert!(!waiting.join().expect("no panic"));
        });
    }
}
