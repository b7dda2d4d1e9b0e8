//! A run's history: the events that a journal keeps, and from which a run is folded.
//!
//! Stored forms carry [`FORMAT`]; a change that an older host could not read raises it, and older
//! forms stay readable for ever.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Digest, EffectCall, Failure, Outcome};

/// The version of the stored form of events.
pub const FORMAT: u32 = 2;

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
        /// The runs that it shares its workflow's `concurrency` with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<RunGroup>,
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
        /// The connection, where it is the fallback instead of the step's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connection: Option<String>,
        /// The user to act as, with a per-user connection.
        #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
        act_as: Option<String>,
    },
    /// An attempt waits, and nothing of it stays in memory. A wait for a sign-in ends the attempt,
    /// and another follows; what the built-in steps wait for ends with their `StepFinished`.
    StepWaiting {
        /// Which step.
        path: StepPath,
        /// The attempt.
        attempt: u32,
        /// For what, and how long.
        wait: Wait,
    },
    /// Somebody told the run something, perhaps before any step waits for it.
    Signalled {
        /// The sender's id of it; the same id again is the same signal, and changes nothing.
        id: String,
        /// What.
        signal: Signal,
    },
    /// An account has signed in, or somebody wants to see whether it has: the attempts that wait for
    /// it go on.
    SignedIn {
        /// The connection and the user.
        account: Account,
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
    /// The run has failed, and its `on-error` steps begin.
    RunFailing {
        /// The step, unless the workflow's own expressions failed or its time was up.
        path: Option<StepPath>,
        /// Why.
        failure: Failure,
    },
    /// A run that failed or was cancelled goes on: what failed is tried again.
    RunResumed,
    /// The last event of a run, unless it is resumed.
    RunFinished {
        /// How it ended.
        result: RunResult,
    },
}

/// What an attempt waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wait {
    /// What ends it.
    #[serde(rename = "for")]
    pub on: WaitFor,
    /// A timer's moment; with anything else the deadline, at which the step fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What ends a wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum WaitFor {
    /// The account signs in. `failure` is what the attempt ended with.
    SignIn {
        /// Which account.
        account: Account,
        /// How often it had signed in when the attempt began. It goes on once that has changed,
        /// however clocks jump.
        #[serde(default)]
        seen: u64,
        /// Why, with its remedy.
        failure: Failure,
    },
    /// The time comes.
    Timer,
    /// The time of the next attempt comes. In lists of what runs wait for; a journal has that time
    /// in the `StepFinished` of the attempt before.
    Retry {
        /// What the last attempt ended with.
        failure: Failure,
    },
    /// An event of this name ([`Signal::Event`]).
    Event {
        /// Its name.
        name: String,
    },
    /// Somebody decides ([`Signal::Decision`]).
    Approval {
        /// What about.
        message: String,
        /// Who should, in words; nobody is kept from deciding by it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        approvers: Vec<String>,
    },
}

impl WaitFor {
    /// Its kind as a word: `sign-in`, `timer`, `retry`, `event` or `approval`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SignIn { .. } => "sign-in",
            Self::Timer => "timer",
            Self::Retry { .. } => "retry",
            Self::Event { .. } => "event",
            Self::Approval { .. } => "approval",
        }
    }

    /// The account whose sign-in ends it.
    #[must_use]
    pub const fn account(&self) -> Option<&Account> {
        match self {
            Self::SignIn { account, .. } => Some(account),
            _ => None,
        }
    }
}

impl fmt::Display for WaitFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignIn { account, .. } => write!(f, "sign-in {account}"),
            Self::Event { name } => write!(f, "event {name}"),
            Self::Approval { message, .. } => write!(f, "approval: {message}"),
            Self::Timer | Self::Retry { .. } => f.write_str(self.kind()),
        }
    }
}

/// The account that a sign-in is needed of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Account {
    /// The connection's name in `docket.yaml`.
    pub connection: String,
    /// The user in lower case, with a per-user connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl Account {
    /// The account of a connection, or of one user of it, whose name is put in lower case.
    #[must_use]
    pub fn new(connection: &str, user: Option<&str>) -> Self {
        Self {
            connection: connection.to_owned(),
            user: user.map(str::to_lowercase),
        }
    }

    /// All the accounts of its connection, as one.
    #[must_use]
    pub fn of_connection(&self) -> Self {
        Self::new(&self.connection, None)
    }

    /// Whether a sign-in as this one lets `other` in, too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.connection == other.connection && (self.user.is_none() || self.user == other.user)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.connection)?;
        match &self.user {
            Some(user) => write!(f, " {user}"),
            None => Ok(()),
        }
    }
}

/// What a run is told from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum Signal {
    /// Something happened. Each event serves one wait, the first that asks for its name.
    Event {
        /// Its name.
        name: String,
        /// The output of the step that waits for it.
        payload: Value,
    },
    /// Somebody decided about an approval. The first decision counts.
    Decision {
        /// The step that asks.
        path: StepPath,
        /// Yes or no.
        approved: bool,
        /// Who decided.
        by: String,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        comment: String,
    },
}

/// The runs of a workflow that may not all be under way at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunGroup {
    /// What tells the group from the workflow's other ones; empty where it has one alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// How many of its runs may be under way. One that waits counts.
    pub max: u32,
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
        /// The step, unless the workflow's own expressions failed or its time was up.
        path: Option<StepPath>,
        /// Why.
        failure: Failure,
    },
    /// Somebody ended it.
    Cancelled,
}
