//! The gate, from outside: against the simulated tenant, and against servers that misbehave.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod accounts;
mod claims;
mod devices;
mod dialling;
mod exchanges;
mod kinds;
mod many;
mod pacing;
mod providers;
mod redirects;
mod secrets;
mod sign_in;
mod support;
mod upkeep;
mod wire;
