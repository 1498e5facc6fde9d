//! The outbox against a model that keeps everything in memory, through crashes, damage and locks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;
use vardpuls_shared::receipt::ranges;

use super::*;

const NOW: Time = Time(1_700_000_000_000);
const LIMITS: Limits = Limits { max_age: Duration::from_hours(1), max_bytes: 2000 };

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

fn receipt(epoch: u64, stored: Vec<(u64, u64)>, refused: Vec<(u64, Refusal)>) -> Receipt {
    let hospital = "h".parse().expect("valid");
    Receipt { hospital, issued_at: NOW, epoch, stored, refused, wanted: Vec::new() }
}

/// What a killed agent leaves behind: the files as they are, without their being closed.
fn killed(folder: &Path) -> TempDir {
    let after = self::folder();
    for file in fs::read_dir(folder).expect("readable") {
        let file = file.expect("readable");
        fs::copy(file.path(), after.path().join(file.file_name())).expect("copied");
    }
    after
}

#[derive(Debug, Clone)]
enum Step {
    Append { bytes: usize },
    Wait { seconds: u64 },
    Settle { stored: Vec<u64>, refused: Vec<u64>, other_epoch: bool },
    Restart,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let sequences = || proptest::collection::vec(1u64..30, 0..6);
    prop_oneof![
        6 => (0usize..400).prop_map(|bytes| Step::Append { bytes }),
        1 => (0u64..2000).prop_map(|seconds| Step::Wait { seconds }),
        3 => (sequences(), sequences(), proptest::bool::weighted(0.1))
            .prop_map(|(stored, refused, other_epoch)| Step::Settle { stored, refused, other_epoch }),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
    ]
}

#[derive(Clone, Default)]
struct Model {
    next: u64,
    held: BTreeMap<u64, (Time, Vec<u8>)>,
    released: BTreeSet<u64>,
    refused: BTreeSet<u64>,
    dropped: BTreeSet<u64>,
}

impl Model {
    fn append(&mut self, now: Time, envelope: Vec<u8>) {
        self.held.insert(self.next, (now, envelope));
        loop {
            let bytes: usize = self.held.values().map(|(_, envelope)| envelope.len()).sum();
            let (&first, &(at, _)) = self.held.iter().next().expect("the newest stays");
            let too_much = at < now.minus(LIMITS.max_age) || bytes as u64 > LIMITS.max_bytes;
            if first == self.next || !too_much {
                break;
            }
            self.held.remove(&first);
            self.dropped.insert(first);
        }
        self.next += 1;
    }

    fn settle(&mut self, stored: &[u64], refused: &[u64]) {
        for (sequences, list) in [(stored, &mut self.released), (refused, &mut self.refused)] {
            list.extend(sequences.iter().filter(|s| self.held.remove(s).is_some()));
        }
    }

    fn agrees_with(&self, outbox: &mut Outbox, now: Time) -> Result<(), TestCaseError> {
        let contents = outbox.contents(now).expect("readable");
        prop_assert_eq!(contents.next, self.next);
        prop_assert_eq!(&contents.held, &self.held.keys().copied().collect::<Vec<_>>());
        prop_assert_eq!(contents.oldest, self.held.values().next().map(|&(at, _)| at));
        prop_assert_eq!(&contents.dropped, &ranges(self.dropped.iter().copied().collect()));
        prop_assert_eq!(
            contents.refused.iter().map(|r| r.sequence).collect::<Vec<_>>(),
            self.refused.iter().copied().collect::<Vec<_>>()
        );
        prop_assert_eq!(contents.released(), self.released.iter().copied().collect::<Vec<_>>());
        let summary = outbox.summary(now).expect("readable");
        prop_assert_eq!(&summary, &contents.summary());
        prop_assert_eq!(summary.next - 1, summary.held + summary.released + summary.refused + summary.dropped);
        let newest_first: Vec<_> = outbox.backlog(u64::MAX, usize::MAX, now).expect("readable");
        let expected: Vec<_> = self.held.iter().rev().map(|(&s, (_, e))| (s, e.clone())).collect();
        prop_assert_eq!(
            newest_first.into_iter().map(|h| (h.position.sequence, h.envelope)).collect::<Vec<_>>(),
            expected
        );
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_history_agrees_with_the_model(steps in proptest::collection::vec(step(), 1..40)) {
        let mut place = folder();
        let mut now = NOW;
        let mut outbox = Outbox::open(place.path(), LIMITS, now).expect("opens");
        let epoch = outbox.next(now).expect("readable").epoch;
        let mut model = Model { next: 1, ..Model::default() };
        // A receipt is on disk with the next report, or when the outbox is closed.
        let mut on_disk = model.clone();
        for step in steps {
            match step {
                Step::Append { bytes } => {
                    let mut given = None;
                    let position = outbox.append(now, |p| { given = Some(p); vec![7; bytes] }).expect("appends");
                    prop_assert_eq!(given, Some(position));
                    prop_assert_eq!(position, Position { epoch, sequence: model.next });
                    model.append(now, vec![7; bytes]);
                    on_disk = model.clone();
                }
                Step::Wait { seconds } => now = now.plus(Duration::from_secs(seconds)),
                Step::Settle { stored, refused, other_epoch } => {
                    let refusals = refused.iter().map(|&s| (s, Refusal::Equivocation)).collect();
                    let receipt = receipt(epoch + u64::from(other_epoch), ranges(stored.clone()), refusals);
                    let settled = outbox.settle(&receipt, now).expect("settles");
                    if other_epoch {
                        prop_assert_eq!(settled, Settled::default());
                    } else {
                        prop_assert_eq!(settled.ahead, stored.iter().any(|&s| s >= model.next));
                        model.settle(&stored, &refused);
                    }
                }
                Step::Restart => {
                    drop(outbox);
                    outbox = Outbox::open(place.path(), LIMITS, now).expect("opens");
                    on_disk = model.clone();
                }
                Step::Kill => {
                    let after = killed(place.path());
                    drop(outbox);
                    place = after;
                    outbox = Outbox::open(place.path(), LIMITS, now).expect("opens");
                    model = on_disk.clone();
                }
            }
            model.agrees_with(&mut outbox, now)?;
        }
    }

    #[test]
    fn damage_never_panics_and_never_gives_a_position_twice(
        at: prop::sample::Index, header: bool, flip in proptest::collection::vec(1u8.., 1..64), cut in proptest::option::of(any::<prop::sample::Index>()),
        kill: bool,
    ) {
        let place = folder();
        let mut outbox = Outbox::open(place.path(), LIMITS, NOW).expect("opens");
        let mut given = BTreeSet::new();
        for n in 0..4 {
            given.insert(outbox.append(NOW, |_| vec![n; 90]).expect("appends"));
        }
        let place = if kill { killed(place.path()) } else { place };
        drop(outbox);
        let path = file::path(place.path());
        let mut bytes = fs::read(&path).expect("readable");
        // The header, which says which of two commits is the last, is where damage can roll back.
        let at = at.index(if header { 512 } else { bytes.len() });
        for (byte, flip) in bytes[at..].iter_mut().zip(flip) {
            *byte ^= flip;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, bytes).expect("writable");
        let mut outbox = Outbox::open(place.path(), LIMITS, NOW).expect("a damaged outbox is set aside");
        for n in 0..3 {
            prop_assert!(given.insert(outbox.append(NOW, |_| vec![n; 90]).expect("appends")));
        }
    }
}

#[test]
fn a_second_agent_is_refused_by_name() {
    let place = folder();
    let _first = Outbox::open(place.path(), LIMITS, NOW).expect("opens");
    assert!(matches!(Outbox::open(place.path(), LIMITS, NOW), Err(OutboxError::Locked { .. })));
    assert!(matches!(inspect(place.path()), Err(OutboxError::Locked { .. })));
}

#[test]
fn a_lost_outbox_begins_a_larger_epoch_even_when_the_clock_went_back() {
    let place = folder();
    let first = Outbox::open(place.path(), LIMITS, NOW).expect("opens").next(NOW).expect("readable");
    fs::remove_file(file::path(place.path())).expect("removed");
    let earlier = Time(NOW.0 - 5000);
    let second = Outbox::open(place.path(), LIMITS, earlier).expect("opens").next(earlier).expect("readable");
    assert_eq!((first.sequence, second.sequence), (1, 1));
    assert!(second.epoch > first.epoch);
}

#[test]
fn rubbish_is_set_aside_and_kept() {
    let place = folder();
    fs::write(file::path(place.path()), vec![0xab; 9000]).expect("written");
    Outbox::open(place.path(), LIMITS, NOW).expect("opens");
    let aside = place.path().join(format!("outbox.redb.corrupt-{}", NOW.0));
    assert_eq!(fs::read(aside).expect("kept"), vec![0xab; 9000]);
}

#[test]
fn an_oversize_report_takes_no_position() {
    let place = folder();
    let mut outbox = Outbox::open(place.path(), LIMITS, NOW).expect("opens");
    let result = outbox.append(NOW, |_| vec![0; MAX_ENVELOPE + 1]);
    assert!(matches!(result, Err(OutboxError::Oversize { .. })));
    assert_eq!(outbox.next(NOW).expect("readable").sequence, 1);
}

#[test]
fn the_lists_of_refusals_and_gaps_are_bounded_but_the_counts_are_not() {
    let place = folder();
    let limits = Limits { max_bytes: 0, ..LIMITS };
    let mut outbox = Outbox::open(place.path(), limits, NOW).expect("opens");
    let epoch = outbox.next(NOW).expect("readable").epoch;
    for _ in 0..20 {
        outbox.append(NOW, |_| vec![1; 10]).expect("appends");
    }
    let contents = outbox.contents(NOW).expect("readable");
    assert_eq!((contents.held, contents.dropped, contents.dropped_count), (vec![20], vec![(1, 19)], 19));
    let refused = receipt(epoch, vec![], vec![(20, Refusal::Suspended)]);
    let settled = outbox.settle(&refused, NOW).expect("settles");
    assert_eq!(settled.refused, vec![(20, Refusal::Suspended)]);
    drop(outbox);
    let contents = inspect(place.path()).expect("readable").expect("there");
    assert_eq!(contents.refused, vec![Refused::new(20, Refusal::Suspended, NOW)]);
    assert_eq!(contents.next, 21);
}

#[test]
fn a_killed_agents_outbox_can_be_inspected() {
    let place = folder();
    let mut outbox = Outbox::open(place.path(), LIMITS, NOW).expect("opens");
    outbox.append(NOW, |_| vec![1; 10]).expect("appends");
    let after = killed(place.path());
    drop(outbox);
    assert_eq!(inspect(after.path()).expect("readable").expect("there").held, vec![1]);
    assert_eq!(inspect(folder().path()).expect("readable"), None);
}
