//! What both ends of Vardpuls must agree on: the words and the wire.
//!
//! Pure: no runtime, no files, no network. Time comes in through [`clock::Clock`] or as an argument.
//!
//! | file | owns |
//! |---|---|
//! | [`hospital`] | who reports: hospital, ward and region identifiers |
//! | [`card`] | the enrolment card, which a hospital gives the centre once |
//! | [`care`] | what a ward's beds are for, in every vocabulary that we meet |
//! | [`count`] | one ward's counts and the registered extra counts |
//! | [`roster`], [`report`], [`receipt`], [`feed`], [`alert`] | one message each: fields, bytes, limits; its `.cddl` lies beside it |
//! | [`signed`] | the COSE envelope that every one of them travels in |
//! | [`key`] | Ed25519 keys: PKCS#8, the `ed25519:` text form, the key id |
//! | [`topic`] | MQTT topics, built and parsed in one place |
//! | [`refusal`] | why a message was not taken, by name and number |
//! | [`wire`] | strict reading of CBOR: caps, names in errors, no panic |
//! | [`clock`] | points in time and where they come from |
//!
//! A message is made of two layers. The payload is plain CBOR, described by its `.cddl`. The
//! envelope is COSE_Sign1 around it; its content type names the payload, so that one kind of
//! message can never pass for another.

pub mod alert;
pub mod card;
pub mod care;
pub mod clock;
pub mod count;
pub mod feed;
pub mod hospital;
pub mod key;
pub mod receipt;
pub mod refusal;
pub mod report;
pub mod roster;
pub mod signed;
pub mod topic;
pub mod wire;
