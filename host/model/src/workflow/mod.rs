//! Workflows in their checked form: every key known, every value of its type, every expression
//! parsed; not yet held against plugins and connections.

mod content;
pub(crate) mod limits;
mod read;
mod settings;
mod step;
mod trigger;

use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) use content::{Content, Form, Placed, TextPart};
pub(crate) use read::{CODES, read};
pub(crate) use settings::{Together, WhenSignInNeeded};

use crate::yaml::Name;
use crate::{InputSpec, Retry, Schedule, Span};

/// A workflow as it is written.
pub(crate) struct Workflow<'n> {
    pub(crate) name: Name,
    pub(crate) triggers: Vec<Trigger<'n>>,
    pub(crate) inputs: BTreeMap<String, InputSpec>,
    /// Plugin to connection.
    pub(crate) connections: Vec<(Name, Name)>,
    pub(crate) steps: Vec<Step<'n>>,
    pub(crate) on_error: Vec<Step<'n>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) concurrency: Option<Together<'n>>,
    pub(crate) outputs: Vec<(Name, Content<'n>)>,
}

/// A trigger as it is written.
pub(crate) struct Trigger<'n> {
    /// As written, or the kind's word.
    pub(crate) id: Name,
    pub(crate) on: TriggerOn<'n>,
    pub(crate) inputs: Option<Vec<(Name, Content<'n>)>>,
    pub(crate) span: Span,
}

/// What brings about its events.
pub(crate) enum TriggerOn<'n> {
    Schedule(Schedule),
    Webhook,
    /// Read as a step that calls the action, and how often it is polled.
    Source(Box<Step<'n>>, Duration),
}

/// A step as it is written.
pub(crate) struct Step<'n> {
    /// As written, or made up where the step has none.
    pub(crate) id: Name,
    /// Plugin and action; `None` where it cannot be read.
    pub(crate) uses: Option<(Name, Name)>,
    /// An object.
    pub(crate) with: Content<'n>,
    pub(crate) connection: Option<Name>,
    pub(crate) act_as: Option<Content<'n>>,
    pub(crate) condition: Option<Content<'n>>,
    pub(crate) for_each: Option<Content<'n>>,
    pub(crate) max_parallel: u32,
    pub(crate) timeout: Duration,
    pub(crate) retry: Retry,
    pub(crate) on_sign_in_needed: WhenSignInNeeded,
    pub(crate) continue_on_error: bool,
    /// Where the step itself is pointed at: its `uses`, or its start.
    pub(crate) span: Span,
}
