//! Workflows as data: YAML to plan, expressions, diagnostics, events, the clock.
//!
//! This room is pure. It never touches a file, the network, a clock of its own or a thread: text and
//! facts come in, values go out. Data changes type as it moves: text → YAML document with spans →
//! checked workflow → [`Plan`]. Only a plan can run.

mod clock;
mod connection;
mod digest;
mod document;
mod event;
mod failure;
mod plan;
mod plugin;

pub use clock::{Clock, ManualClock};
pub use connection::{ConnectionKind, ConnectionSpec};
pub use digest::{Digest, InvalidDigest};
pub use document::{DOCUMENT_SCHEMA_URI, DocumentRef};
pub use event::{
    Answer, AnswerBody, EffectCall, Event, EventKind, FORMAT, HttpFailure, InvalidRunId, Outcome,
    PartRecord, Principal, RequestRecord, RunId, RunResult, StepOutput, StepPath, StepResult,
};
pub use failure::{Failure, FailureClass};
pub use plan::{
    InputSpec, InputType, PLAN_FORMAT, Piece, PinnedPlugin, Plan, PlannedStep, Retry, Template,
};
pub use plugin::{ActionKind, ActionSpec, Example, HttpNeed, Manifest, RequestRule, ScopeNeed};
