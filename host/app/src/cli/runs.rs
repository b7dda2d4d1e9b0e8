//! The command line of `docket runs` and `docket replay`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::records::Old;

/// What can be done with runs.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    #[command(flatten)]
    Look(LookCommand),
    #[command(flatten)]
    Order(OrderCommand),
}

/// What can be seen of them, and what becomes of them.
#[derive(Debug, Subcommand)]
pub(crate) enum LookCommand {
    /// Lists runs, newest first, and what those that are not over wait for.
    List {
        /// Only unfinished ones.
        #[arg(long)]
        unfinished: bool,
        /// Only those that wait, the longest first: for whom or what, since when and until when.
        #[arg(long, conflicts_with = "unfinished")]
        waiting: bool,
        /// Only those that started before this run.
        #[arg(long, value_name = "RUN", conflicts_with = "waiting")]
        before: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: u32,
    },
    /// Shows a run, step by step.
    Show {
        /// The run.
        #[arg(value_name = "RUN")]
        id: String,
        /// Every request with who it was sent as, and what came of it.
        #[arg(long)]
        effects: bool,
    },
    /// Goes on with a run that was interrupted, waits, has failed or was cancelled. What failed is
    /// tried again; what was done stays done.
    Resume {
        /// The run; without it all that were interrupted, and those that wait for a sign-in.
        #[arg(value_name = "RUN")]
        id: Option<String>,
    },
    /// Verifies that the records of runs are as they were written.
    Verify {
        /// The run; without it all of them.
        #[arg(value_name = "RUN")]
        id: Option<String>,
    },
    /// Shows what a run did that cannot be undone: recipients, documents, message ids, and as whom.
    Receipt {
        /// The run.
        #[arg(value_name = "RUN")]
        id: String,
    },
    /// Removes runs that ended long enough ago, and the documents that no run names any more.
    Prune(PruneArgs),
    /// Writes the documents that a run took in or made into a folder.
    Documents {
        /// The run.
        #[arg(value_name = "RUN")]
        id: String,
        /// The folder; without it they are only listed.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
}

/// Which runs are let go.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// How long a run is kept after its end: `30d`, `12h`.
    #[arg(long, value_name = "TIME")]
    older_than: String,
    /// Only runs that ended so; may be given several times [default: all].
    #[arg(long, value_name = "STATE")]
    state: Vec<EndState>,
    /// Only runs of this workflow.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
}

impl From<PruneArgs> for Old {
    fn from(arguments: PruneArgs) -> Self {
        let states = arguments.state.into_iter();
        Self {
            older_than: arguments.older_than,
            states: states.map(|state| state.as_str().to_owned()).collect(),
            workflow: arguments.workflow,
        }
    }
}

/// What runs can be told.
#[derive(Debug, Subcommand)]
pub(crate) enum OrderCommand {
    /// Ends a run: nothing more is begun, and what is under way is awaited.
    Cancel {
        /// The run.
        #[arg(value_name = "RUN")]
        id: String,
    },
    /// Starts a new run of the same plan with the same inputs, whatever became of the older one.
    Rerun {
        /// The older run.
        #[arg(value_name = "RUN")]
        id: String,
        /// The new run's id. The same id never starts a second run.
        #[arg(long, value_name = "ID")]
        new_id: Option<String>,
    },
    /// Tells a run of an event, whether it waits for it yet or not.
    Signal {
        /// The run.
        #[arg(value_name = "RUN")]
        id: String,
        /// The event's name, as its `wait/event` step has it.
        #[arg(value_name = "NAME")]
        name: String,
        /// What the step returns, JSON, or `@file` with it [default: null].
        #[arg(long, value_name = "JSON")]
        payload: Option<String>,
        /// The signal's id. The same id again changes nothing.
        #[arg(long = "id", value_name = "ID")]
        signal_id: Option<String>,
    },
    /// Approves what a `wait/approval` step asks. The first decision counts.
    Approve(DecisionArgs),
    /// Rejects what a `wait/approval` step asks. The first decision counts.
    Reject(DecisionArgs),
}

/// Somebody's decision.
#[derive(Debug, Args)]
pub(crate) struct DecisionArgs {
    /// The run.
    #[arg(value_name = "RUN")]
    pub(crate) id: String,
    /// The step that asks: its id, or `id[3]` for an item of a `for-each`.
    #[arg(value_name = "STEP")]
    pub(crate) step: String,
    /// Who decides.
    #[arg(long, value_name = "WHO")]
    pub(crate) by: String,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) comment: String,
}

/// How a run may have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EndState {
    Succeeded,
    Failed,
    Cancelled,
}

impl EndState {
    /// Its word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The run.
    #[arg(value_name = "RUN")]
    pub(crate) id: String,
    /// A component to take in the place of a plugin of the run: `name=file`, or a file that is named
    /// like the plugin. Shows whether it would do the same.
    #[arg(long = "with-plugin", value_name = "FILE")]
    pub(crate) plugins: Vec<String>,
}
