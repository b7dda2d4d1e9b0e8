//! The engine in numbers: durable steps, mails beside a native program that makes the same requests
//! and commits, crowds of runs in flight, waiting and finished. Prints `row {…}` lines; `cargo xtask
//! bench engine/steps` and the like take a part: `steps`, `mails`, `flight`, `finished`, `waiting`,
//! `waking`.
//!
//! Ratios are made of figures of the same run. In an unoptimised build the crowds are smaller.

#![allow(clippy::unwrap_used, reason = "a measurement, run by hand")]

mod crowds;
mod mails;
mod native;
#[path = "../../../../host/engine/tests/runs/plans.rs"]
#[allow(dead_code, reason = "the tests of the engine use more of it")]
mod plans;
mod steps;

use docket_e2e::apart::serve_if_asked;
use docket_e2e::measure::is_wanted;

#[tokio::main]
async fn main() {
    if serve_if_asked(mails::tenant).await {
        return;
    }
    if is_wanted("engine/steps") {
        steps::measure().await;
    }
    if is_wanted("engine/mails") {
        mails::measure().await;
    }
    if is_wanted("engine/flight") {
        crowds::in_flight().await;
    }
    if is_wanted("engine/finished") {
        crowds::finished().await;
    }
    if is_wanted("engine/waiting") {
        crowds::waiting().await;
    }
    if is_wanted("engine/waking") {
        crowds::waking().await;
    }
}

/// A crowd as large as is meant in an optimised build.
const fn crowd(count: u32) -> u32 {
    match cfg!(debug_assertions) {
        true => count / 100,
        false => count,
    }
}
