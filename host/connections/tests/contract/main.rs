//! The gate, from outside: against the simulated tenant, and against servers that misbehave.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod accounts;
mod dialling;
mod exchanges;
mod pacing;
mod redirects;
mod secrets;
mod sign_in;
mod support;
mod wire;
