//! The run loop: a fold of events that decides the next thing to do, and the ports it needs.
//!
//! This room knows neither wasmtime nor an HTTP client nor SQL. What it needs of the world comes in
//! through its ports: [`EventStore`] and [`Documents`] keep, [`StepRunner`] acts, and a
//! [`docket_model::Clock`] tells the time.

mod key;
mod ports;
mod timer;

pub use key::idempotency_key;
pub use ports::{
    DocumentReader, DocumentWriter, Documents, Durability, EventStore, Journal, LogLevel, Reporter,
    RunFilter, RunSummary, StepCall, StepRunner, Stop, StoreError,
};
pub use timer::{Timer, TokioTimer};
