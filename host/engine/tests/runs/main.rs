//! Whole runs, on a scripted runner whose sends land in a world that counts them.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod crash;
mod effects;
mod endings;
mod flow;
mod orders;
mod plans;
mod script;
mod stores;
mod world;
