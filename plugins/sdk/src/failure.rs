//! Why an action did not do what it should.

use std::time::Duration;

/// Why an action failed. The engine acts upon the case, never upon the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The input cannot work, however often it is tried.
    InvalidInput(Problem),
    /// A right is missing; the remedy says which.
    Denied(Problem),
    /// What the input names does not exist.
    NotFound(Problem),
    /// The provider asks to wait, for the given time where it said how long.
    Throttled(Problem, Option<Duration>),
    /// Worth another try later.
    Unavailable(Problem),
    /// The run waits until the account has signed in again.
    SignInRequired(Problem),
    /// Whether the effect took place could not be found out. Never tried again by itself.
    OutcomeUnknown(Problem),
    /// None of the above, and no use in trying again.
    Permanent(Problem),
}

impl Failure {
    /// What went wrong.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        match self {
            Self::InvalidInput(problem)
            | Self::Denied(problem)
            | Self::NotFound(problem)
            | Self::Throttled(problem, _)
            | Self::Unavailable(problem)
            | Self::SignInRequired(problem)
            | Self::OutcomeUnknown(problem)
            | Self::Permanent(problem) => problem,
        }
    }
}

/// What went wrong, for people. Without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A short stable code, the provider's own where there is one.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Problem {
    /// A problem without remedy.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            remedy: None,
        }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}
