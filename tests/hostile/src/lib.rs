//! Hostile plugins against the real host, and the search for secrets in all that it wrote.
//!
//! A [`Case`] is one value of a table: what a plugin tries, and how the host must answer it. All of
//! them run against one host (wasmtime, the gate over TLS, the journal on disk) with a simulated
//! tenant and a malicious server outside, and each beside a neighbour's run that must not notice.
//! After each, the guest's memory, its log and its outcome are searched for every secret that went over
//! the wire; at the end, so is the data folder.
//!
//! To add a case, add a value to one of the tables in `cases`.

mod case;
mod cases;
mod guest;
mod memory;
mod outside;
mod secrets;
mod suite;
mod watch;
mod world;

pub use case::{Attack, Case, Expect};
pub use cases::all;
pub use secrets::Secrets;
pub use suite::{Report, Verdict, run};
