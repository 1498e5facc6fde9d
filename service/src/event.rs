//! The kinds of events that a daemon writes to its log.
//!
//! Each has a name, which is the name of its `tracing` event (`warn!(name: Event::StoreFails.name(), …)`),
//! and a 128-bit id, which is the `MESSAGE_ID` of its journal entry. Names and ids are for scripts
//! and catalogs outside this repository: they are added to, never changed or used again.
//!
//! What to do about each stands in `packaging/agent/vardpuls-agent.catalog` and
//! `packaging/aggregator/vardpuls-aggregator.catalog`, which `journalctl -x` shows; a test holds
//! this list and the catalogs together.

/// Who writes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The hospital's daemon.
    Agent,
    /// The centre's daemon.
    Aggregator,
    /// Either of them.
    Both,
}

macro_rules! events {
    ($($(#[$doc:meta])* $event:ident = ($name:literal, $id:literal, $writer:ident),)*) => {
        /// A kind of event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Event {
            $($(#[$doc])* $event,)*
        }

        impl Event {
            /// All of them.
            pub const ALL: &[Event] = &[$(Event::$event),*];

            /// Its name: the `EVENT` field, and the name of its `tracing` event.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Event::$event => $name,)*
                }
            }

            /// Its `MESSAGE_ID`.
            pub const fn id(self) -> &'static str {
                match self {
                    $(Event::$event => $id,)*
                }
            }

            /// Who writes it.
            pub const fn writer(self) -> Writer {
                match self {
                    $(Event::$event => Writer::$writer,)*
                }
            }

            /// The event of a name; none for events that have no kind.
            pub fn named(name: &str) -> Option<Event> {
                match name {
                    $($name => Some(Event::$event),)*
                    _ => None,
                }
            }
        }
    };
}

events! {
    /// The program did not start, or ended by itself.
    StartFailed = ("start-failed", "f0fab53d826d41e6adb9356bc616dab9", Both),
    /// The program was told to stop.
    Stopping = ("stopping", "9637a08f4a6b4ae48e87923626b9afa3", Both),
    /// The program was told to read its config again.
    Reloading = ("reloading", "ed94b114838340deae3cfc95459ba551", Both),
    /// The config that was to be reloaded cannot be used; the old one stays in force.
    ReloadRefused = ("reload-refused", "62684e71f7c945888346af2e7f68303d", Both),
    /// Not everything was done when the program had to stop.
    DrainCutShort = ("drain-cut-short", "31a3cd094b7748aabaa6fff211447e5d", Both),
    /// The broker took the connection.
    BrokerConnected = ("broker-connected", "e931b77470d941c393b14e08136f8f1b", Both),
    /// There is no connection to the broker.
    BrokerLost = ("broker-lost", "811e11745b4e42e6b6a8967893b6e437", Both),
    /// The broker does not let this login do what it must.
    BrokerRefuses = ("broker-refuses", "a47a7a6406af433ab7cdd1b04a7ab3c0", Both),
    /// The service manager could not be told how things are.
    NotNotified = ("not-notified", "0840ae203ce64d32a4a36a4889b64090", Both),
    /// A part of the program does not move; the service manager is not told that it is alive.
    Stalled = ("stalled", "c4336c3c3f0a4839b0d8a3cb4a50c86b", Both),
    /// The agent is at work.
    AgentStarted = ("agent-started", "2d0c51e4a15c424d97177f63f0728cd1", Agent),
    /// The agent stopped as it was told to.
    AgentStopped = ("agent-stopped", "340c8797f4374c768082358afbd6fd08", Agent),
    /// Another config is in force.
    ConfigReloaded = ("config-reloaded", "a106d57d9c9e49f0909feb2681103e84", Agent),
    /// `vardpuls-agent status` gets no answer.
    StatusSocketFails = ("status-socket-fails", "8d410c80a5f64c37960918b5e470a496", Agent),
    /// A source gives no notifications and is only scanned.
    SourceNotWatched = ("source-not-watched", "25308c4d78634282a22878fe3bea0ed7", Agent),
    /// A source cannot be read.
    SourceNotRead = ("source-not-read", "873b67170dd64872a28b8fc9f847a21e", Agent),
    /// A source names a ward's counts in a way that cannot be read, so the ward is left out.
    WardNotVouchedFor = ("ward-not-vouched-for", "66e4060214f745f8ba514c64edba4744", Agent),
    /// A new outbox begins.
    OutboxNew = ("outbox-new", "c90085655c4144d3a86600dff8573444", Agent),
    /// The outbox was damaged, and was put aside.
    OutboxSetAside = ("outbox-set-aside", "26deb3f2ce0a424190b1b46ec70a1e0f", Agent),
    /// The outbox cannot be read.
    OutboxUnreadable = ("outbox-unreadable", "9c794f38664549a5b048e1e333891241", Agent),
    /// A report was made.
    ReportMade = ("report-made", "61463cd687c74fe6b0bd8db2768aee27", Agent),
    /// A report could not be written to the outbox.
    ReportNotKept = ("report-not-kept", "0544f59d8fcc4bcabb1b11d847e08e62", Agent),
    /// The outbox is full, and its oldest reports were dropped.
    ReportsDropped = ("reports-dropped", "4cd6c45201674ddea8279acff7046cf1", Agent),
    /// The part that speaks with the broker ended by itself and was started again.
    PublisherRestarted = ("publisher-restarted", "91bef42b08044c73b1b3da52e07ad3ff", Agent),
    /// No receipt came in time; everything without one is sent again.
    ReceiptLate = ("receipt-late", "39ac32b55b9d40a2a5fa18654d89c3ea", Agent),
    /// A message on the receipt topic is not the centre's.
    ReceiptNotBelieved = ("receipt-not-believed", "ac94f097508b42a7bc4d9a0e404f71f7", Agent),
    /// A receipt could not be written down.
    ReceiptNotKept = ("receipt-not-kept", "a1b4f0d4dc494d2784ecefc18a4a47e5", Agent),
    /// The centre refuses a report.
    ReportRefused = ("report-refused", "ed1e652e4d8e470fa3cb507a07782741", Agent),
    /// The centre has reports that this outbox never gave out.
    OutboxBehindCentre = ("outbox-behind-centre", "2c6f1cbbfc644d0c8362ca1a3a51fc9b", Agent),
    /// The agent said goodbye to the broker.
    BrokerLeft = ("broker-left", "a117cf62afbf40a48ec45e643735f35a", Agent),
    /// The centre is at work.
    CentreStarted = ("centre-started", "ccef60081d554a93a60191407c6cd35e", Aggregator),
    /// The centre stopped as it was told to.
    CentreStopped = ("centre-stopped", "9e405fb99c93430284bd8d97c073b781", Aggregator),
    /// The live picture stands again as the store has it.
    PictureRebuilt = ("picture-rebuilt", "d9afbbc5e3e44e9b92ca04c1bf9af77a", Aggregator),
    /// Other alarm rules are in force.
    RulesInForce = ("rules-in-force", "2c58e1a2089e4c369301195cb22a06da", Aggregator),
    /// The rules file cannot be used; the rules in force stay so.
    RulesRefused = ("rules-refused", "d1afc6c144b24ecea0356ac011cbd38b", Aggregator),
    /// Other operators are in force.
    OperatorsInForce = ("operators-in-force", "e30b09434e2f40d9b869bcccb32e4ec8", Aggregator),
    /// The operators file cannot be used; who was in force stays so.
    OperatorsRefused = ("operators-refused", "0127b69755f44aa582dd1cf0c0c5d38f", Aggregator),
    /// A file or folder gives no notifications and is only scanned.
    FileNotWatched = ("file-not-watched", "14cee7eb3f754e79b8b333c3e478c585", Aggregator),
    /// A hospital's enrolment was read.
    EnrolmentRead = ("enrolment-read", "d6303ed81e5e4cad862e927612406c72", Aggregator),
    /// A hospital's enrolment file was removed.
    EnrolmentGone = ("enrolment-gone", "e52e1d57581b449eafb69452a034f643", Aggregator),
    /// A hospital's enrolment file cannot be used; what was in force stays so.
    EnrolmentRefused = ("enrolment-refused", "ec88a5935b6c497bbded7f5b1236f04a", Aggregator),
    /// A message was refused, by name.
    MessageRefused = ("message-refused", "50b18eb8a01a40b4bb669f89dbc5da06", Aggregator),
    /// A hospital signed two different reports for one position.
    Equivocation = ("equivocation", "eb907b140cbb45dd8945025447864184", Aggregator),
    /// A report counts wards that its roster does not have.
    UnknownWards = ("unknown-wards", "929c36cffa404265862f90aede0b4cb3", Aggregator),
    /// More messages came than can be verified; the oldest were let go and come again.
    MessagesShed = ("messages-shed", "e01748b8473f4ca39ca4d6d575d8c250", Aggregator),
    /// The store takes no commits, so nothing is receipted.
    StoreFails = ("store-fails", "3df922ce2e314d8486838f3ad778701e", Aggregator),
    /// The store takes commits again.
    StoreWorks = ("store-works", "7b7e1b61ec0540aaafaca5c278e59013", Aggregator),
    /// A question to the store failed.
    StoreRequestFailed = ("store-request-failed", "3eca06c99f7f4305a253fce61efe521e", Aggregator),
    /// What is older than the config keeps was removed.
    StorePruned = ("store-pruned", "ea97cd059204491982e4c2c3fbf7b02b", Aggregator),
    /// What is older than the config keeps could not be removed.
    StoreNotPruned = ("store-not-pruned", "1a129868a37744fcaafc5212692b5d21", Aggregator),
    /// A receiver of alarms is told for the first time.
    ReceiverNew = ("receiver-new", "9746de02bff142a096aff4d90ce6574b", Aggregator),
    /// A receiver of alarms refused what it was told.
    ReceiverRefused = ("receiver-refused", "0b2c4994680a4789a726bd402d40005c", Aggregator),
    /// A receiver of alarms cannot be told.
    ReceiverUnreachable = ("receiver-unreachable", "f2fed5c6a7914f0ab431900b8c278da4", Aggregator),
    /// A request for something that takes an operator was denied.
    RequestDenied = ("request-denied", "14672f114910440ea5c6cadfaf43626b", Aggregator),
    /// A feed or an alert is larger than any reader takes.
    MessageTooLarge = ("message-too-large", "89bbdc9793fb4c64a8840f1ce1d49b89", Aggregator),
    /// The embedded broker has ended.
    BrokerEnded = ("broker-ended", "d951ad0737aa4edb9a09c86f8a4e01be", Aggregator),
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn names_and_ids_are_one_to_one_and_well_formed() {
        let names: BTreeSet<_> = Event::ALL.iter().map(|e| e.name()).collect();
        let ids: BTreeSet<_> = Event::ALL.iter().map(|e| e.id()).collect();
        assert_eq!((names.len(), ids.len()), (Event::ALL.len(), Event::ALL.len()));
        let lower_hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(lower_hex)));
        assert!(Event::ALL.iter().all(|&e| Event::named(e.name()) == Some(e)));
        assert_eq!(Event::named("event src/main.rs:1"), None);
    }

    /// Each entry of a catalog: its id, its subject, and the text below its header.
    fn catalog(file: &str) -> BTreeMap<String, (String, String)> {
        let text = fs::read_to_string(root().join(file)).expect("the catalog is there");
        let entry = |entry: &str| {
            let (id, rest) = entry.split_once('\n').expect("an id, then the header");
            let (header, body) = rest.split_once("\n\n").expect("a header, an empty line, a text");
            let value = |key| header.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().to_owned();
            assert_eq!(value("Defined-By: "), "Vardpuls", "{id}");
            (id.to_owned(), (value("Subject: "), body.trim().to_owned()))
        };
        text.split("\n-- ").skip(1).map(entry).collect()
    }

    #[test]
    fn the_catalogs_say_of_exactly_these_events_what_to_do() {
        for (file, writer) in [
            ("packaging/agent/vardpuls-agent.catalog", Writer::Agent),
            ("packaging/aggregator/vardpuls-aggregator.catalog", Writer::Aggregator),
        ] {
            let entries = catalog(file);
            let expected = Event::ALL.iter().filter(|e| matches!(e.writer(), w if w == writer || w == Writer::Both));
            let expected: BTreeSet<_> = expected.map(|e| e.id().to_owned()).collect();
            assert_eq!(entries.keys().cloned().collect::<BTreeSet<_>>(), expected, "{file}");
            for (id, (subject, body)) in &entries {
                assert!(!subject.is_empty() && body.len() >= 20, "{file}: {id} says too little");
            }
        }
    }

    /// Every `.rs` file below a folder, whole.
    fn sources(folder: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("a source folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                into.push(fs::read_to_string(&path).expect("a source file"));
            }
        }
    }

    #[test]
    fn every_event_is_written_by_who_it_says() {
        let written = |folders: &[&str]| {
            let mut files = Vec::new();
            for folder in folders {
                sources(&root().join(folder), &mut files);
            }
            let used = |event: Event| files.iter().any(|f| f.contains(&format!("name: Event::{event:?}.name()")));
            Event::ALL.iter().copied().filter(|&e| used(e)).map(|e| (e.name(), e)).collect::<BTreeMap<_, _>>()
        };
        let (agent, aggregator) = (written(&["agent/src"]), written(&["aggregator/src"]));
        let here = written(&["service/src"]);
        for event in Event::ALL {
            let by = (agent.contains_key(event.name()), aggregator.contains_key(event.name()));
            let right = match event.writer() {
                Writer::Agent => by == (true, false),
                Writer::Aggregator => by == (false, true),
                Writer::Both => here.contains_key(event.name()) || by == (true, true),
            };
            assert!(right, "{event:?} is written by (agent, aggregator): {by:?}");
        }
    }
}
