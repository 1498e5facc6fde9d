//! A small country whose centre is killed while alarms live their lives, and witnesses of what was said.
//!
//! | file | owns |
//! |---|---|
//! | [`stage`] | the centre as a process: its folder, its start, its death, its HTTP |
//! | [`hospitals`] | hospitals that sign reports and send them until they are receipted |
//! | [`hook`] | a webhook's receiver that notes every post, and may strike when it hears one |
//! | [`listener`] | an MQTT reader that notes every word about alarms |
//! | [`account`] | whether the journal, the hook and the listener tell the same story |

pub mod account;
pub mod hook;
pub mod hospitals;
pub mod listener;
pub mod stage;
