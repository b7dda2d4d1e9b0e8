//! The run loop: a fold of events that decides the next thing to do, and the ports it needs.
//!
//! This room knows neither wasmtime nor an HTTP client nor SQL. What it needs of the world comes in
//! through its ports: [`EventStore`] and [`Documents`] keep, [`StepRunner`] acts, a
//! [`docket_model::Clock`] tells the time and a [`Timer`] waits.
//!
//! [`Engine`] starts runs, drives one, and tells runs what happens outside; [`Scheduler`] drives all of
//! them. A run that waits for more than a few seconds is parked: nothing of it is in memory, and rows
//! of the store say for what it waits and when to wake it. [`Triggers`] start runs by time, by polling
//! sources, and for signed requests.

mod appender;
mod changes;
mod drive;
mod dry;
mod engine;
mod error;
mod flow;
mod fold;
mod key;
mod outside;
mod ports;
mod receipt;
mod replay;
mod retention;
mod retry;
mod scheduler;
mod sign_ins;
mod step_journal;
mod store;
mod timer;
mod trigger;

pub use dry::{DryEnd, DryStep, dry_run, is_safe};
pub use engine::{Engine, Ports, Progress};
pub use error::EngineError;
pub use key::idempotency_key;
pub use ports::{
    DocumentReader, DocumentWriter, Documents, Journal, LogLevel, Reporter, StepCall, StepRunner,
    Stop,
};
pub use receipt::{Receipt, ReceiptEffect, ReceiptStep};
pub use replay::{ReplayVerdict, ReplayedAttempt, ReplayedEffect};
pub use retention::{Pruned, Retention};
pub use scheduler::{Scheduler, SchedulerSettings};
pub use store::{
    Appending, Counts, Durability, EventStore, NewItem, Prune, Ready, Reclaimed, Rest, RestingStep,
    RunFilter, RunSummary, SignInNeeded, StoreError, TriggerRecord, Verdict, WaitFilter, Waiting,
    shows_begun,
};
pub use timer::{Timer, TokioTimer};
pub use trigger::{
    ItemStart, Received, TriggerItem, TriggerState, TriggerStatus, Triggers, Webhook,
};
