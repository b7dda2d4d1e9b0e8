//! Talks to a started tenant as any client would: over TLS, with its own certificate authority.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests: they make their own client and may panic"
)]

mod administration;
mod assertions;
mod client;
mod clients;
mod description;
mod faults;
mod folders;
mod identity;
mod messages;
mod rights;
mod samples;
mod schema;
mod sending;
mod surfaces;
mod uploads;
