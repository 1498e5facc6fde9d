//! The centre's daemon: verifies, stores, receipts and merges reports into the national feed.
//!
//! | what | files |
//! |---|---|
//! | from the broker | [`broker`] which one, [`client`] the connection, [`ingest`] the bounded queue |
//! | whom to believe | [`enrolment`], [`nation`], [`verify`], run by the [`verifiers`] threads |
//! | the picture (pure) | [`merge`] one hospital's reports, [`freshness`], [`ward`] and [`rollup`] the sums, [`live`] all of it |
//! | its keeping | [`keeper`] the task that owns it, [`rebuild`] after a restart, [`view`] as others see it |
//! | what alarms need | [`mishaps`] what went wrong with messages, [`rules_file`] the rules in force |
//! | alarms (pure) | [`alert`] rules, points, the book that is a fold over the journal |
//! | whom alarms are told | [`receivers`] Alertmanager and webhooks, [`cap`] the message of the Atom feed (pure) |
//! | who may act | [`operators`] |
//! | rules over a recorded history | [`backtest`] |
//! | durability | [`store`], [`committer`], [`receipt`] |
//! | to the world | [`publish`] over MQTT, [`http`] |
//! | the process | [`centre`] wires it, [`config`], [`cli`], [`metrics`], [`readiness`], [`headline`] |
//!
//! One direction: connection → ingest → verify → keeper → committer → publish. A verified report is a
//! type that only [`verify`] can make, so that unverified data cannot reach the picture or the store.

pub mod alert;
pub mod backtest;
pub mod broker;
pub mod cap;
pub mod centre;
pub mod cli;
pub mod client;
pub mod committer;
pub mod config;
pub mod enrolment;
pub mod freshness;
pub mod headline;
pub mod http;
pub mod ingest;
pub mod keeper;
pub mod live;
pub mod merge;
pub mod metrics;
pub mod mishaps;
pub mod nation;
pub mod operators;
pub mod publish;
pub mod readiness;
pub mod rebuild;
pub mod receipt;
pub mod receivers;
pub mod rollup;
pub mod rules_file;
pub mod store;
pub mod verifiers;
pub mod verify;
pub mod view;
pub mod ward;

pub use centre::{Centre, RunError, StartError, bind, run};
