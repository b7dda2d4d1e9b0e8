//! A run's history: the events that a journal keeps, and from which a run is folded.
//!
//! Stored forms carry [`FORMAT`]; a change that an older host could not read raises it, and older
//! forms stay readable for ever.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Digest, DocumentRef, Failure};

/// The version of the stored form of events.
pub const FORMAT: u32 = 1;

/// Names a run: letters, digits and hyphens, 1 to 64 of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(std::sync::Arc<str>);

impl RunId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is no run id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run id is 1 to 64 letters, digits and hyphens")]
pub struct InvalidRunId;

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, InvalidRunId> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(is_allowed) {
            return Err(InvalidRunId);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for RunId {
    type Error = InvalidRunId;

    fn try_from(text: String) -> Result<Self, InvalidRunId> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a run: a step, or one item of a step with `for-each`. Written `id` or `id[3]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepPath {
    /// The step's id.
    pub step: std::sync::Arc<str>,
    /// The item's index, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
}

impl fmt::Display for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item {
            None => f.write_str(&self.step),
            Some(item) => write!(f, "{}[{item}]", self.step),
        }
    }
}

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum EventKind {
    /// The first event of every run.
    RunStarted {
        /// The workflow's name.
        workflow: String,
        /// The plan that the run follows to its end, whatever becomes of the workflow's file.
        plan: Digest,
        /// The inputs, documents by reference.
        inputs: Value,
    },
    /// A `for-each` was expanded; its items are steps of their own from here on.
    ItemsExpanded {
        /// The step.
        step: std::sync::Arc<str>,
        /// The items.
        items: Vec<Value>,
    },
    /// An attempt of a step began.
    StepStarted {
        /// Which step.
        path: StepPath,
        /// From 1.
        attempt: u32,
        /// The input after evaluation, documents by reference.
        input: Value,
    },
    /// A request that is not safe to repeat is about to be sent. Durable before it is.
    EffectIntended {
        /// Whose effect.
        path: StepPath,
        /// The attempt.
        attempt: u32,
        /// The effect's place in the attempt, from 0.
        index: u32,
        /// What will be sent.
        call: EffectCall,
    },
    /// An effect's outcome, which answers the same effect after a crash.
    EffectDone {
        /// Whose effect.
        path: StepPath,
        /// The attempt.
        attempt: u32,
        /// The effect's place in the attempt, from 0.
        index: u32,
        /// What was sent, where no intent said so before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<EffectCall>,
        /// One for each request.
        outcomes: Vec<Outcome>,
    },
    /// A step, or one item of it, was left out because its `if` was false.
    StepSkipped {
        /// Which step.
        path: StepPath,
    },
    /// An attempt ended.
    StepFinished {
        /// Which step.
        path: StepPath,
        /// The attempt.
        attempt: u32,
        /// How.
        result: StepResult,
    },
    /// The last event of a run.
    RunFinished {
        /// How it ended.
        result: RunResult,
    },
}

/// How an attempt of a step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepResult {
    /// The action's output.
    Done(StepOutput),
    /// The failure that ends the attempt; `retry_at` says whether another attempt follows.
    Failed {
        /// Why.
        failure: Failure,
        /// When the next attempt starts; without it the step has failed.
        #[serde(default, rename = "retry-at", skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
    },
}

/// What an action returned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepOutput {
    /// The output, documents by reference.
    pub value: Value,
    /// A source's cursor for its next poll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "state",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum RunResult {
    /// Every step did what it should.
    Succeeded {
        /// The workflow's outputs.
        outputs: Value,
    },
    /// A step failed for good.
    Failed {
        /// The step, unless the workflow's own expressions failed.
        path: Option<StepPath>,
        /// Why.
        failure: Failure,
    },
    /// Somebody ended it.
    Cancelled,
}

/// One effect: a request, or several repeatable ones that are sent side by side. Two calls are the
/// same effect exactly if they are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectCall {
    /// The requests; more than one only if all are repeatable.
    pub requests: Vec<RequestRecord>,
}

impl EffectCall {
    /// Whether sending it twice does what sending it once does.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.requests.iter().all(|request| request.is_repeatable)
    }
}

/// A request as the journal keeps it: whole enough to tell it from any other, and without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequestRecord {
    /// The method.
    pub method: String,
    /// The URL as the plugin gave it; a sealed URL by its opaque name.
    pub url: String,
    /// The plugin's headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The body's parts by digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<PartRecord>,
    /// Whom it is sent as: the connection and the account's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_as: Option<Principal>,
    /// Whether it may be sent twice.
    #[serde(
        default,
        rename = "repeatable",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub is_repeatable: bool,
}

/// An account of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Principal {
    /// The connection's name in `docket.yaml`.
    pub connection: String,
    /// The user principal name, or the application's name for app-only connections.
    pub account: String,
}

/// A piece of a request's body as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartRecord {
    /// Bytes by digest and length.
    Bytes {
        /// Their digest.
        digest: Digest,
        /// Their number.
        size: u64,
    },
    /// A document, or a range of it.
    Document {
        /// Its digest.
        digest: Digest,
        /// Offset and length of the range; the whole document without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        range: Option<(u64, u64)>,
    },
    /// A document in base64.
    Base64 {
        /// The document's digest.
        digest: Digest,
    },
}

/// What became of a request: data for the plugin, never an error of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The server answered.
    Answered(Answer),
    /// There is no answer, and it is known why.
    Failed(HttpFailure),
    /// The process ended between intent and outcome; the request may have taken effect.
    InDoubt,
}

/// An answer as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers that the plugin sees, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, with opaque names in the place of sealed URLs.
    pub body: AnswerBody,
    /// The sealed URLs, encrypted, in the order of their opaque names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<String>,
}

/// An answer's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerBody {
    /// UTF-8 text, as it is.
    Text(String),
    /// Other bytes, by a document; the plugin gets them inline all the same.
    Inline(DocumentRef),
    /// A document that the plugin asked for.
    Document(DocumentRef),
}

/// Why there is no answer (`http-error` of the plugin interface).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpFailure {
    /// The policy does not allow the request. Nothing was sent.
    Denied {
        /// What was refused.
        what: String,
        /// What to grant or configure.
        remedy: String,
    },
    /// The request is not well formed. Nothing was sent.
    Invalid(String),
    /// The server was not reached. Nothing was sent.
    Unreachable(String),
    /// The request may have reached the server.
    Interrupted(String),
    /// The answer is larger than the limit in bytes; the request took effect.
    TooLarge(u64),
    /// The account must sign in again. Nothing was sent.
    SignInRequired(String),
}
