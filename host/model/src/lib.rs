//! Workflows as data: YAML to plan, expressions, diagnostics, events, the clock.
//!
//! This room is pure. It never touches a file, the network, a clock of its own or a thread: text and
//! facts come in, values go out. Data changes type as it moves: text → YAML document with spans →
//! checked workflow → [`Plan`]. Only a plan can run.

mod body;
mod built_in;
mod catalog;
mod check;
mod clock;
mod compiled;
mod connection;
mod diagnostic;
mod digest;
mod document;
mod effect;
mod event;
pub mod expression;
mod failure;
mod inputs;
mod plan;
mod plugin;
mod project;
mod reader;
mod schema;
mod source;
mod suite;
mod trigger;
mod url_pattern;
mod workflow;
mod yaml;

pub use body::MAX_RENDERED_BYTES;
pub use built_in::{BUILT_IN, built_in};
pub use catalog::{Catalog, CatalogPlugin};
pub use check::validate;
pub use clock::{Clock, ManualClock};
pub use compiled::{CompiledPlan, EvaluationError};
pub use connection::{Cloud, ConnectionKind, ConnectionLimits, ConnectionSpec, ProviderSpec};
pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity};
pub use digest::{Digest, InvalidDigest};
pub use document::{
    DOCUMENT_SCHEMA_URI, DocumentRef, MAX_PATTERN_BYTES, WrittenContent, WrittenDocument,
    media_type, replace_marked,
};
pub use effect::{
    Answer, AnswerBody, EffectCall, HttpFailure, Outcome, PartRecord, Principal, RequestRecord,
};
pub use event::{
    Account, Event, EventKind, FORMAT, InvalidRunId, RunGroup, RunId, RunResult, Signal,
    StepOutput, StepPath, StepResult, Wait, WaitFor,
};
pub use expression::{Item, Scope, StepValue, Steps};
pub use failure::{Failure, FailureClass};
pub use inputs::{InputProblem, resolve_inputs};
pub use plan::{
    Concurrency, InputSpec, InputType, OnSignInNeeded, PLAN_FORMAT, Piece, PinnedPlugin, Plan,
    PlannedStep, Retry, Template,
};
pub use plugin::{ActionKind, ActionSpec, Example, HttpNeed, Manifest, RequestRule, ScopeNeed};
pub use project::{
    Grants, PluginSpec, Project, SignInHook, SignInHookKind, SignInMail, SignInWebhook,
    SignaturePolicy, Signatures, parse_project,
};
pub use reader::parse_duration;
pub use schema::{project_schema, suite_schema, workflow_schema};
pub use source::{MAX_SOURCE_BYTES, Position, SourceFile, Span};
pub use suite::{
    Arrives, Attached, Case, Expected, ExpectedFailure, ExpectedResult, Fault, MAIL_MARK, Suite,
    TenantState, check_suite, parse_suite,
};
pub use trigger::{InvalidSchedule, Schedule, SourcePoll, Timetable, Trigger, TriggerKind};
pub use url_pattern::{PatternBase, PatternSegment, UrlPattern};
pub use yaml::{MAX_YAML_DEPTH, MAX_YAML_TEXT, MAX_YAML_VALUES};
