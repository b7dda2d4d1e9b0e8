//! What a test of a connection found, line by line.

use serde::{Deserialize, Serialize};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProbeReport {
    /// The connection.
    pub connection: String,
    /// The acting account.
    pub account: String,
    /// The lines, in order.
    pub lines: Vec<ProbeLine>,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProbeLine {
    /// What.
    pub check: Check,
    /// On what: a scope, a mailbox, a folder; empty for the token.
    pub subject: String,
    /// How it went.
    pub outcome: ProbeOutcome,
    /// What was seen.
    pub detail: String,
    /// What to do, where it failed.
    pub remedy: Option<String>,
}

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The account gets a token.
    Token,
    /// A permission that the workflows need was granted.
    Scope,
    /// The mailbox can be read.
    Mailbox,
    /// The folder is there.
    Folder,
    /// The mailbox can be written to, by a draft with its address as sender.
    FullAccess,
    /// A mail goes out under the mailbox's address.
    SendAs,
    /// The sent mail lies in the mailbox's own Sent Items.
    SentItems,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeOutcome {
    /// As it should.
    Pass,
    /// Not as it should.
    Fail,
    /// It was not tried.
    Skipped,
}

impl ProbeReport {
    /// Whether nothing failed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let mut lines = self.lines.iter();
        lines.all(|line| line.outcome != ProbeOutcome::Fail)
    }
}
