//! Why the engine could not do what it was asked, classed by what the caller does next.

use docket_model::{Failure, RunId, StepPath, WaitFor};

use crate::StoreError;

/// Why a run was not started, or is not over. A failure of a step is none of these: it is the run's
/// result.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no such run.
    #[error("there is no run {0}")]
    UnknownRun(RunId),
    /// The id belongs to a run of another plan or with other inputs. Take another id.
    #[error("run {0} was started before, with another workflow or other inputs")]
    StartedDifferently(RunId),
    /// The inputs refer to a document that was never stored. Store it first.
    #[error("the document {name} ({digest}) is not in the store")]
    MissingDocument {
        /// Its name.
        name: String,
        /// Its digest.
        digest: docket_model::Digest,
    },
    /// The run has ended, and hears nothing any more.
    #[error("run {0} has ended")]
    Over(RunId),
    /// The run has not failed, so there is nothing to resume it from.
    #[error("run {0} did not fail and was not cancelled; there is nothing to resume")]
    NotFailed(RunId),
    /// An expression that a run needs at its start gives nothing for these inputs.
    #[error("the run cannot start: {}", .0.message)]
    Unstartable(Box<Failure>),
    /// The run waits for somebody: an approval, an event. It goes on when it is driven after that.
    #[error("run {run} waits at {path} for {wait}")]
    Waits {
        /// The run.
        run: RunId,
        /// The step that waits.
        path: StepPath,
        /// For what.
        wait: Box<WaitFor>,
    },
    /// The run is being driven already, by this engine. Wait for that.
    #[error("run {0} is under way already")]
    UnderWay(RunId),
    /// The run was asked to park. It goes on where it was when it is driven again.
    #[error("run {0} is parked; it goes on when it is resumed")]
    Parked(RunId),
    /// The run waits for a sign-in. Drive it again when the account has signed in.
    #[error("run {run} waits at {path} until the account has signed in: {}", failure.message)]
    SignInNeeded {
        /// The run.
        run: RunId,
        /// The step that needs it.
        path: StepPath,
        /// What the plugin said, with its remedy.
        failure: Box<Failure>,
    },
    /// The host failed while it ran a step. The run goes on where it was when it is driven again.
    #[error("run {run} could not go on at {path}: {reason}; resume it when that is put right")]
    Fault {
        /// The run.
        run: RunId,
        /// The step.
        path: StepPath,
        /// What failed.
        reason: String,
    },
    /// The journal failed. The run goes on where it was when the journal works again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The documents cannot be read.
    #[error("the documents cannot be read: {0}")]
    Documents(#[from] std::io::Error),
}
