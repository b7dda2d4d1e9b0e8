//! The run loop: a fold of events that decides the next thing to do, and the ports it needs.
//!
//! This room knows neither wasmtime nor an HTTP client nor SQL. What it needs of the world comes in
//! through its ports: [`EventStore`] and [`Documents`] keep, [`StepRunner`] acts, a
//! [`docket_model::Clock`] tells the time and a [`Timer`] waits.

mod appender;
mod drive;
mod engine;
mod error;
mod flow;
mod fold;
mod key;
mod ports;
mod retry;
mod step_journal;
mod timer;

pub use engine::{Engine, Ports};
pub use error::EngineError;
pub use key::idempotency_key;
pub use ports::{
    DocumentReader, DocumentWriter, Documents, Durability, EventStore, Journal, LogLevel, Reporter,
    RunFilter, RunSummary, StepCall, StepRunner, Stop, StoreError,
};
pub use timer::{Timer, TokioTimer};
