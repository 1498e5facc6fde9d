//! Alarms: what an operator can act on at three in the morning (ISA-18.2 / IEC 62682).
//!
//! | file | owns |
//! |---|---|
//! | [`alarms`] | every rule at every target of the live picture |
//! | [`entry`] | one line of the journal: what happened, who, when, why, and what is said about it |
//! | [`book`] | everything that stands, as a fold over the journal |
//! | [`command`] | what operators may do, and why it was not done |
//! | [`measure`], [`rule`], [`rules`] | what is an alarm, as data |
//! | [`point`] | one rule at one target: when it begins and ends |
//! | [`outlook`] | what the hour of day and the trend say about the coming hours |
//! | [`standing`] | what stands, as others may see it |

pub mod alarms;
pub mod book;
pub mod command;
pub mod entry;
pub mod measure;
pub mod outlook;
pub mod past;
pub mod point;
pub mod rule;
pub mod rules;
pub mod standing;
