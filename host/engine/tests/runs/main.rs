//! Whole runs, on a scripted runner whose sends land in a world that counts them.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod callers;
mod crash;
#[path = "../../../../tests/e2e/src/crash.rs"]
#[allow(
    unreachable_pub,
    reason = "it is a library's file, and serves there too"
)]
mod crashing;
mod effects;
mod endings;
mod failing;
mod flow;
mod orders;
mod outside;
mod plans;
mod scheduling;
mod script;
mod triggers;
mod world;
