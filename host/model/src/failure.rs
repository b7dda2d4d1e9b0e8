//! Why a step did not do what it should. Classed by what the engine does next, never by words.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A step's failure: the guest's own word (`failure` of the plugin interface), or the host's about
/// a guest that broke ([`FailureClass::Crashed`], [`FailureClass::LimitExceeded`]). A fault of the
/// host itself is never one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// What the engine acts upon.
    pub class: FailureClass,
    /// A short stable code, the provider's own where there is one: `ErrorSendAsDenied`.
    pub code: String,
    /// What went wrong, for people; without secrets.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// How long the provider asked to wait; with [`FailureClass::Throttled`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// The guest's backtrace, outermost frame last; with [`FailureClass::Crashed`] only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailureClass {
    /// The input cannot work, however often it is tried.
    InvalidInput,
    /// A right or a grant is missing.
    Denied,
    /// What the input names does not exist.
    NotFound,
    /// The provider asks to wait.
    Throttled,
    /// Worth another try later.
    Unavailable,
    /// The run waits until the account has signed in again.
    SignInRequired,
    /// Whether the effect took place could not be found out; never tried again by itself.
    OutcomeUnknown,
    /// No use in trying again.
    Permanent,
    /// The guest trapped, panicked, or returned what its schema forbids.
    Crashed,
    /// The guest used up its time, memory or host calls.
    LimitExceeded,
}

impl FailureClass {
    /// Every class by its word.
    pub const ALL: [(&'static str, Self); 10] = [
        ("invalid-input", Self::InvalidInput),
        ("denied", Self::Denied),
        ("not-found", Self::NotFound),
        ("throttled", Self::Throttled),
        ("unavailable", Self::Unavailable),
        ("sign-in-required", Self::SignInRequired),
        ("outcome-unknown", Self::OutcomeUnknown),
        ("permanent", Self::Permanent),
        ("crashed", Self::Crashed),
        ("limit-exceeded", Self::LimitExceeded),
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, class)| *class == self);
        found.map_or("", |(word, _)| word)
    }

    /// Whether another attempt may go better.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable)
    }
}

impl Failure {
    /// A failure without remedy, wait or backtrace.
    #[must_use]
    pub fn new(class: FailureClass, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            class,
            code: code.into(),
            message: message.into(),
            remedy: None,
            retry_after: None,
            backtrace: Vec::new(),
        }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}
