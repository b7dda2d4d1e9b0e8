//! The sandbox with real guests and a scripted outside.

mod documents;
mod effects;
mod guests;
mod http;
mod interface;
mod loading;
mod misbehaving;
#[allow(dead_code, reason = "shared with the benchmarks")]
mod outside;
mod wasi;
