//! How the process ends: one code for each thing that a caller may want to tell apart.

use std::io;
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
    /// The run is not over, and nothing is lost: it waits for an approval or an event, or was
    /// interrupted.
    Waits = 6,
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
   6  the run is not over: it waits for an approval or an event, or was interrupted
  70  a fault of Docket itself";

impl Exit {
    /// All of them.
    const ALL: [Self; 8] = [
        Self::Success,
        Self::RunFailed,
        Self::Usage,
        Self::Invalid,
        Self::SignInNeeded,
        Self::Storage,
        Self::Waits,
        Self::Fault,
    ];

    /// The one with this code; a code that is none is a [`Exit::Fault`].
    pub(crate) fn of_code(code: u64) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|exit| u64::from(*exit as u8) == code)
            .unwrap_or(Self::Fault)
    }

    /// The one of two that the caller must see to first. What only waits comes behind what failed.
    pub(crate) const fn worse(self, other: Self) -> Self {
        if other.weight() > self.weight() {
            other
        } else {
            self
        }
    }

    const fn weight(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Waits => 1,
            Self::SignInNeeded => 2,
            other => 2 + other as u8,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows its exit code. One that does not is [`Failed::of`] its kind.
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

    /// What an error is to the caller. A file or a folder that cannot be read or written is no fault of
    /// Docket's, though the error is the system's own.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let message = format!("{error:#}");
        if let Some(failed) = error.downcast_ref::<Self>() {
            return Self {
                message,
                ..failed.clone()
            };
        }
        match error.downcast_ref::<io::Error>() {
            Some(_) => Self::new(Exit::Storage, message)
                .with_help("see whether the disk has room, and who may read and write there"),
            None => Self::new(Exit::Fault, message),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_to_callers_and_read_back() {
        for exit in Exit::ALL {
            let code = exit as u8;
            assert_eq!(Exit::of_code(code.into()), exit);
            assert!(HELP.contains(&format!("\n{code:4}  ")), "{exit:?}");
        }
        assert_eq!(Exit::of_code(7), Exit::Fault);
    }

    #[test]
    fn an_error_of_the_system_is_no_fault_of_dockets() {
        let full = || anyhow::Error::from(io::Error::from(io::ErrorKind::StorageFull));
        let known = || anyhow::Error::from(Failed::new(Exit::Usage, "known").with_help("so"));
        for (error, exit, start) in [
            (full(), Exit::Storage, "no storage space"),
            (
                full().context("the file a"),
                Exit::Storage,
                "the file a: no st",
            ),
            (known().context("there"), Exit::Usage, "there: known"),
            (anyhow::anyhow!("odd"), Exit::Fault, "odd"),
        ] {
            let failed = Failed::of(&error);
            assert_eq!(failed.exit, exit);
            assert!(failed.message.starts_with(start), "{failed}");
            assert_eq!(failed.help.is_some(), exit != Exit::Fault);
        }
    }

    #[test]
    fn what_failed_counts_for_more_than_what_waits() {
        for (one, other) in [
            (Exit::Waits, Exit::Success),
            (Exit::SignInNeeded, Exit::Waits),
            (Exit::RunFailed, Exit::Waits),
            (Exit::RunFailed, Exit::SignInNeeded),
            (Exit::Fault, Exit::RunFailed),
        ] {
            assert_eq!(one.worse(other), one);
            assert_eq!(other.worse(one), one);
        }
    }
}
