//! Connections of `docket.yaml` as data: a named way to an account, without any secret.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A connection as the project file has it, presets filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConnectionSpec {
    /// How its account signs in.
    pub kind: ConnectionKind,
    /// The directory: its id (a GUID) or one of its domains.
    pub tenant: String,
    /// The application's (client) id.
    pub client_id: String,
    /// The user principal name of the account that signs in.
    pub account: String,
    /// Where accounts sign in; an origin without a slash at the end.
    #[serde(default = "default_authority")]
    pub authority: String,
    /// The provider's base URLs by name, without a slash at the end. `graph` is the one that tokens
    /// are issued for.
    #[serde(default = "default_endpoints")]
    pub endpoints: BTreeMap<String, String>,
    /// The mailboxes that plugins may use through it. Where the list is absent, the account's own
    /// mailbox; where there is one, exactly its members, and the own mailbox only if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailboxes: Option<Vec<String>>,
    /// Ranges (CIDR) of addresses that are not public and may be dialled all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_addresses: Vec<String>,
    /// Certificates (PEM) of authorities to trust beside the system's; an absolute path once the
    /// project is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl ConnectionSpec {
    /// A connection to Microsoft's public cloud, with access to the account's own mailbox.
    #[must_use]
    pub fn new(kind: ConnectionKind, tenant: String, client_id: String, account: String) -> Self {
        Self {
            kind,
            tenant,
            client_id,
            account,
            authority: default_authority(),
            endpoints: default_endpoints(),
            mailboxes: None,
            allow_addresses: Vec::new(),
            ca_file: None,
        }
    }
}

/// How a connection's account signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ConnectionKind {
    /// An administrator signs one account in, once, for everybody.
    ServiceAccount,
}

impl ConnectionKind {
    /// The word for it in `docket.yaml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service-account",
        }
    }
}

/// Microsoft's public cloud.
fn default_authority() -> String {
    "https://login.microsoftonline.com".to_owned()
}

/// Microsoft's public cloud. Upload sessions of large attachments live on `outlook`
/// (Graph: outlook-large-attachments.md).
fn default_endpoints() -> BTreeMap<String, String> {
    [
        ("graph", "https://graph.microsoft.com"),
        ("outlook", "https://outlook.office.com"),
    ]
    .into_iter()
    .map(|(name, url)| (name.to_owned(), url.to_owned()))
    .collect()
}
