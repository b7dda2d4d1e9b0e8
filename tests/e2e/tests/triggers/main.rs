//! Triggers of `docket serve` as a process, over real HTTP and against the tenant: what starts by
//! itself is never lost and never doubled, and what must not start does not.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

#[path = "../served/mod.rs"]
mod base;
mod served;
mod sources;
mod webhooks;
mod workflows;
