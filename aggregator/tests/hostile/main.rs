//! Hostile clients against the network listener of a real aggregator: whatever one of them does, another
//! hospital's reports go on, and no receipt is wrong.
//!
//! [`rig`] is the aggregator with its certificates and logins, [`good`] the hospital that means well and
//! reports all the time, [`raw`] a client that says any bytes. Each test prints how long the good
//! hospital waited for its receipts before and during the attack; no test asserts a time.

mod attacks;
mod good;
mod killers;
mod raw;
mod rig;
mod trust;
