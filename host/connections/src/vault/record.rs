//! What the vault keeps: records, by connection, account and kind.

use serde::{Deserialize, Serialize};

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RecordKind {
    /// A connection's client secrets and certificates.
    Credentials,
    /// An account's refresh token and who it is.
    SignIn,
    /// A mailbox's id in its directory.
    MailboxId,
    /// What the project's webhook is signed with.
    WebhookSecrets,
    /// The secrets of a workflow's webhook; the workflow stands in the place of the connection.
    HookSecrets,
}

impl RecordKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::SignIn => "sign-in",
            Self::MailboxId => "mailbox-id",
            Self::WebhookSecrets => "webhook-secrets",
            Self::HookSecrets => "hook-secrets",
        }
    }

    pub(crate) const fn remedy(self) -> &'static str {
        match self {
            Self::Credentials => "enter the connection's client secret or certificate again",
            Self::SignIn => "sign the account in again",
            Self::MailboxId => "remove the file; the id is found again",
            Self::WebhookSecrets => "make a new one with `docket connections webhook-secret`",
            Self::HookSecrets => "give the webhook a new secret: docket triggers set-secret",
        }
    }
}

/// Which record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordId<'a> {
    /// The connection's name.
    pub(crate) connection: &'a str,
    /// The account or mailbox; empty for what belongs to the connection.
    pub(crate) account: &'a str,
    /// What it is.
    pub(crate) kind: RecordKind,
}

impl<'a> RecordId<'a> {
    pub(super) fn identity(&self) -> [&'a str; 3] {
        [self.connection, self.account, self.kind.name()]
    }
}

/// The same, owned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct RecordName {
    pub(crate) connection: String,
    pub(crate) account: String,
    pub(crate) kind: RecordKind,
}

impl RecordName {
    pub(crate) fn id(&self) -> RecordId<'_> {
        RecordId {
            connection: &self.connection,
            account: &self.account,
            kind: self.kind,
        }
    }
}

impl From<RecordId<'_>> for RecordName {
    fn from(id: RecordId<'_>) -> Self {
        Self {
            connection: id.connection.to_owned(),
            account: id.account.to_owned(),
            kind: id.kind,
        }
    }
}
