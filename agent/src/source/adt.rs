//! HL7 v2 ADT over MLLP: a listener that keeps a census of visits.
//!
//! In: connections of an integration engine. Out: an observation for every change of a ward's count, and an answer for
//! every message. Nothing that names a person is read, kept, logged or sent.
//!
//! ```text
//! socket → frame → hl7 → event → visits → store → answer
//!                                   ↓
//!                                 counts → observation
//! ```
//!
//! | file | owns |
//! |---|---|
//! | [`frame`] | MLLP: bytes into messages |
//! | [`hl7`] | segments and fields, only those that a census needs |
//! | [`stamp`] | HL7's times |
//! | [`event`] | what one message says: the rules of each event |
//! | [`place`] | places of messages, and the wards that they are |
//! | [`reason`] | what became of a message, by name |
//! | [`secret`] | the key under which visit numbers are kept |
//! | [`visit`] | one visit: statements about it, and where they put it |
//! | [`store`] | the visits on disk |
//! | [`keeper`] | visits and store together: answered is kept |
//! | [`listener`], [`tls`] | connections |
//! | [`tally`] | what `status` shows |
//! | `follow` | the source: from all of it to observations |
//! | [`ack`] | the answers |
//! | [`wards`] | what each ward holds: a snapshot, and what changed since |
//! | [`visits`] | all visits, under hidden numbers |

pub mod ack;
pub mod event;
mod follow;
pub mod frame;
pub mod hl7;
pub mod keeper;
pub mod listener;
pub mod place;
pub mod reason;
pub mod secret;
pub mod stamp;
pub mod store;
pub mod tally;
pub mod tls;
pub mod visit;
pub mod visits;
pub mod wards;

pub use follow::{AdtFault, AdtSpec};
pub(super) use follow::{follow, read_once};
