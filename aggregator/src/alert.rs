//! Alarms: what an operator can act on at three in the morning (ISA-18.2 / IEC 62682).
//!
//! | file | owns |
//! |---|---|
//! | [`entry`] | one line of the journal: what happened, who, when, why, and what is said about it |
//! | [`book`] | everything that stands, as a fold over the journal |
//! | [`command`] | what operators may do, and why it was not done |
//! | [`rules`] | the rules as a set |
//! | [`standing`] | what stands, as others may see it |

pub mod book;
pub mod command;
pub mod entry;
pub mod rules;
pub mod standing;
