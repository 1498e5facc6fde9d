//! A simulated hospital's patients, and the HL7 v2 messages that a system sends about them.
//!
//! ```text
//! truth → sender → line → receiver
//!   └──────── held against ──┘
//! ```
//!
//! The truth knows nothing of messages, the receiver nothing of the truth: what they agree on was carried by bytes.
//!
//! | file | owns |
//! |---|---|
//! | [`arrived`] | what the truth says of the messages that have arrived |
//! | [`truth`] | patients, beds and what happens to them; where each was after each message |
//! | [`sender`] | messages as bytes, in one system's habits |
//! | [`line`] | what a line does to them: repeats, reorders inside a visit, replays, loses |
//! | [`mllp`] | a sender's end of a connection |
//! | [`station`] | an agent's listener alone, on a real socket |
//! | [`receiver`] | the agent's own path from bytes to counts, without sockets and disk |

pub mod arrived;
pub mod line;
pub mod mllp;
pub mod receiver;
pub mod sender;
pub mod station;
pub mod truth;
