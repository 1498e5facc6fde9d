//! Rules over a recorded history: which pressure they would have found, how soon, and how often in vain,
//! beside plain rules on the same data.
//!
//! | file | owns |
//! |---|---|
//! | [`history`] | series of recorded counts, from a store or from a CSV file ([`recording`], its times [`moment`]) |
//! | [`episode`] | what there was to find: the runs at or beyond a level |
//! | [`replay`] | one rule over one series, through the same points as in the live picture |
//! | [`baseline`] | plain rules as Prometheus has them: `for`, `keep_firing_for`, a clear band |
//! | [`score`] | alarms held against episodes |
//! | [`verdict`] | a rule and its baselines: who lies on the front, who beats whom |
//! | [`table`], [`picture`] | the verdicts, for people |
//!
//! What is judged is a rule by itself, from staffed and occupied. Inhibition, counted alarms, declared
//! levels and missing hospitals are not part of it: a recording has no such thing. Learning goes on over
//! the whole history; the judged span only cuts what is counted.

pub mod baseline;
pub mod episode;
pub mod history;
mod moment;
pub mod picture;
mod recording;
pub mod replay;
pub mod score;
pub mod table;
pub mod verdict;

pub use moment::moment;

#[cfg(test)]
mod tests;
