//! The command line of `docket triggers`.

use std::path::PathBuf;

use clap::Subcommand;

/// What can be done with triggers.
#[derive(Debug, Subcommand)]
pub(crate) enum TriggersCommand {
    /// Lists what starts by itself: each trigger, its last run and its next moment, and what is wrong.
    List,
    /// Gives a workflow's webhook a secret, and prints it where it was made here. The one before stays
    /// valid for a while, so that the sender can change over.
    SetSecret {
        /// The workflow.
        workflow: String,
        /// The file that holds the secret, whsec_ and base64, as the sender gave it; without it one is
        /// made.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// How long the secret before stays valid: `24h`; `0s` ends it now.
        #[arg(long, value_name = "TIME", default_value = crate::server::OVERLAP)]
        overlap: String,
    },
    /// Lets a trigger begin anew: a schedule from now on, a source as its `since` says. What it has
    /// seen before starts no second run.
    Reset {
        /// The trigger, as `docket triggers list` names it.
        name: String,
    },
}
