//! A laboratory: the whole host over a simulated tenant, with a clock that waits for nobody and a
//! journal that can crash. For tests and benchmarks; nothing of it is in the product.

#![allow(
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "a laboratory may stop at the first surprise; its users are tests"
)]

pub mod apart;
mod binary;
mod crash;
mod desk;
mod lab;
pub mod measure;
mod plain;
mod project;
mod registry;
mod time;

pub use binary::{Binary, program};
pub use crash::{CrashingStore, Unsynced};
pub use desk::{Authorized, Desk};
pub use lab::{Ground, Host, Lab, Silent, TenantFacts, components};
pub use plain::Plain;
pub use project::Project;
pub use registry::Registry;
pub use time::LabClock;
