//! What to do about each line of a test that failed: the permission in Entra ID, the right in the
//! Exchange admin center with its menu path, and the PowerShell for it.

use docket_model::{Cloud, ConnectionKind};

use crate::binding::Bound;
use crate::oauth::user_option;
use crate::rights::{Acting, quoted, rights_script};

/// Folders that have the same name in every language (Graph: mailfolder.md).
pub(super) const WELL_KNOWN: [&str; 17] = [
    "archive",
    "clutter",
    "conflicts",
    "conversationhistory",
    "deleteditems",
    "drafts",
    "inbox",
    "junkemail",
    "localfailures",
    "msgfolderroot",
    "outbox",
    "recoverableitemsdeletions",
    "scheduled",
    "searchfolders",
    "sentitems",
    "serverfailures",
    "syncissues",
];

/// The remedies of one connection.
pub(super) struct Remedies {
    connection: String,
    account: String,
    client_id: String,
    cloud: Cloud,
    is_application: bool,
    is_per_user: bool,
    permissions: Vec<String>,
}

impl Remedies {
    pub(super) fn of(bound: &Bound) -> Self {
        let spec = &bound.connection.spec;
        Self {
            connection: bound.connection.name.clone(),
            account: bound.account.subject.account.clone(),
            client_id: spec.client_id.clone(),
            cloud: spec.cloud,
            is_application: spec.kind == ConnectionKind::AppOnly,
            is_per_user: spec.kind == ConnectionKind::PerUser,
            permissions: ["Mail.ReadWrite", "Mail.Send"].map(str::to_owned).to_vec(),
        }
    }

    pub(super) fn scope(&self, name: &str) -> String {
        format!(
            "in the Entra admin center open App registrations, the application {}, API permissions, Add a permission, Microsoft Graph, Delegated permissions; add {name}, and Grant admin consent; then run `docket connections authorize {}{}`",
            self.client_id,
            self.connection,
            user_option(self.is_per_user, &self.account)
        )
    }

    pub(super) fn no_mailbox(&self, mailbox: &str) -> String {
        format!(
            "check the address {mailbox} under connections.{}.mailboxes in docket.yaml; the mailbox must be in Exchange Online and, if it is a person's, have a licence",
            self.connection
        )
    }

    pub(super) fn no_folder(&self, mailbox: &str, folder: &str) -> String {
        format!(
            "make the folder {folder} in {mailbox}, or correct its name in the workflow; well-known folders have the same name in every language, such as inbox"
        )
    }

    pub(super) fn full_access(&self, mailbox: &str) -> String {
        match self.is_application {
            true => self.application(mailbox),
            false => format!(
                "in the Exchange admin center open Recipients, Mailboxes, {mailbox}, Delegation, Read and manage (Full Access), and add {}; or run:\n{}",
                self.account,
                self.script(mailbox)
            ),
        }
    }

    pub(super) fn send_as(&self, mailbox: &str) -> String {
        match self.is_application {
            true => self.application(mailbox),
            false => format!(
                "in the Exchange admin center open Recipients, Mailboxes, {mailbox}, Delegation, Send as (or Send on behalf), and add {}; or run:\n{}It takes up to an hour until it holds.",
                self.account,
                self.script(mailbox)
            ),
        }
    }

    pub(super) fn sent_items(&self, mailbox: &str) -> String {
        format!(
            "look into the Sent Items of {} too; where the copy shall lie in {mailbox} in any case, run:\nSet-Mailbox -Identity {} -MessageCopyForSentAsEnabled $true -MessageCopyForSendOnBehalfEnabled $true",
            self.account,
            quoted(mailbox)
        )
    }

    fn application(&self, mailbox: &str) -> String {
        format!(
            "give the application {} its rights on {mailbox} by RBAC for Applications in Exchange (an application access policy of the directory may forbid it, too):\n{}",
            self.client_id,
            self.script(mailbox)
        )
    }

    fn script(&self, mailbox: &str) -> String {
        let acting = match self.is_application {
            true => Acting::Application {
                client_id: &self.client_id,
                name: &self.connection,
                permissions: &self.permissions,
            },
            false => Acting::Account(&self.account),
        };
        rights_script(self.cloud, acting, &[mailbox.to_owned()])
    }
}
