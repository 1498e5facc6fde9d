//! The rig: a simulated nation that starts real aggregators and real agents, and the demo that stands on it.
//!
//! | file | owns |
//! |---|---|
//! | [`adt`] | a simulated hospital's patients as HL7 v2 messages, and the truth about them |
//! | [`nation`] | which hospitals and wards there are, and how their counts move |
//! | [`hospital`] | one hospital's folder, drops and real agent |
//! | [`centre`] | the centre's folder and real aggregator |
//! | [`idle`] | one hospital at rest, and a centre for it |
//! | [`process`] | the same two as processes of their own |
//! | [`alarms`] | a small country whose centre is killed while alarms live, and witnesses of what was said |
//! | [`replay`] | recorded drops through real agents, held against the official totals |
//! | [`demo`] | the whole country on one machine, for people |
//! | [`rounds`] | kill -9 of real processes under load, and what the store then holds |
//! | [`waiting`] | waiting for a condition instead of sleeping |

pub mod adt;
pub mod alarms;
pub mod centre;
pub mod demo;
pub mod hospital;
pub mod idle;
pub mod nation;
pub mod process;
pub mod replay;
pub mod rounds;
pub mod waiting;
