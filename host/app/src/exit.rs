//! How the process ends: one code for each thing that a caller may want to tell apart.

use std::process::ExitCode;

use docket_model::Span;

/// An exit code. They are part of the interface and do not change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Success = 0,
    /// The run ended as failed or cancelled.
    RunFailed = 1,
    /// The command line is wrong. (clap's own code.)
    Usage = 2,
    /// The workflow, `docket.yaml`, an input or a plugin has problems; they were printed.
    Invalid = 3,
    /// Somebody must sign in first.
    SignInNeeded = 4,
    /// The data folder, the vault or the disk cannot be used as it is.
    Storage = 5,
    /// A fault of Docket itself.
    Fault = 70,
}

/// The table that `docket --help` ends with.
pub(crate) const HELP: &str = "\
Exit codes:
   0  done
   1  the run failed or was cancelled
   2  the command line is wrong
   3  a workflow, docket.yaml, an input or a plugin has problems
   4  somebody must sign in first
   5  the data folder, the vault or the disk cannot be used as it is
  70  a fault of Docket itself";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows its exit code. Without one an error is a [`Exit::Fault`].
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    /// The code.
    pub(crate) exit: Exit,
    /// What was wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
    /// Where it is in `docket.yaml`, of a problem with one of its plugins.
    pub(crate) span: Option<Span>,
}

impl Failed {
    /// An error that ends with `exit`.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            help: None,
            span: None,
        }
    }

    /// The same with a way out.
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failed {}
