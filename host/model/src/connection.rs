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
    /// The directory: its id (a GUID) or one of its domains. Empty where `provider` stands in its
    /// place.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    /// The application's (client) id.
    pub client_id: String,
    /// The user principal name of the account that signs in; service accounts have one, the other
    /// kinds have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whose cloud it is; decides where `authority` and `endpoints` are unless they are written.
    #[serde(default)]
    pub cloud: Cloud,
    /// Where accounts sign in at Entra ID; an origin without a slash at the end.
    #[serde(default = "default_authority")]
    pub authority: String,
    /// Another OAuth 2.0 provider than Entra ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderSpec>,
    /// The provider's base URLs by name, without a slash at the end. `graph` is the one that tokens
    /// of Entra ID are issued for.
    #[serde(default = "default_endpoints")]
    pub endpoints: BTreeMap<String, String>,
    /// The mailboxes that plugins may use through it.
    ///
    /// Service accounts: where the list is absent, the account's own mailbox; where there is one,
    /// exactly its members, and the own mailbox only if it is one. Per user: the acting user's own
    /// mailbox, and the members of the list. App-only: exactly the members; there is always a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailboxes: Option<Vec<String>>,
    /// Where sign-ins at a server come back to. Without it they come back to this machine (loopback).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_uri: Option<String>,
    /// The service account that stands in for users who have not signed in, in workflows that ask for
    /// it. Only connections of the kind per-user have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// How much a mailbox may get.
    #[serde(default)]
    pub limits: ConnectionLimits,
    /// Ranges (CIDR) of addresses that are not public and may be dialled all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_addresses: Vec<String>,
    /// Certificates (PEM) of authorities to trust beside the system's; an absolute path once the
    /// project is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl ConnectionSpec {
    /// A connection to Microsoft's public cloud without an account or a list of mailboxes.
    #[must_use]
    pub fn new(kind: ConnectionKind, tenant: String, client_id: String) -> Self {
        Self {
            kind,
            tenant,
            client_id,
            account: None,
            cloud: Cloud::Global,
            authority: default_authority(),
            provider: None,
            endpoints: default_endpoints(),
            mailboxes: None,
            redirect_uri: None,
            fallback: None,
            limits: ConnectionLimits::default(),
            allow_addresses: Vec::new(),
            ca_file: None,
        }
    }

    /// Whether plugins may use other mailboxes through it than the acting account's own, so that
    /// delegated sign-ins need the `.Shared` scopes.
    #[must_use]
    pub fn reaches_other_mailboxes(&self) -> bool {
        let own = self.account.as_deref().unwrap_or_default().to_lowercase();
        let mut all = self.mailboxes.iter().flatten();
        all.any(|mailbox| mailbox.to_lowercase() != own)
    }
}

/// How a connection's account signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ConnectionKind {
    /// An administrator signs one account in, once, for everybody.
    ServiceAccount,
    /// Each user signs in for themselves; a step names its user with `as`.
    PerUser,
    /// The application acts by itself, with a client secret or a certificate; nobody signs in.
    AppOnly,
}

impl ConnectionKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ServiceAccount, Self::PerUser, Self::AppOnly];

    /// The word for it in `docket.yaml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service-account",
            Self::PerUser => "per-user",
            Self::AppOnly => "app-only",
        }
    }
}

/// Microsoft's clouds (Graph: deployments.md).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// The public one.
    #[default]
    Global,
    /// US Government L4: GCC High.
    UsGov,
    /// US Government L5: DoD.
    UsGovDod,
    /// Operated by 21Vianet in China.
    China,
}

impl Cloud {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Global, Self::UsGov, Self::UsGovDod, Self::China];

    /// The word for it in `docket.yaml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::UsGov => "us-gov",
            Self::UsGovDod => "us-gov-dod",
            Self::China => "china",
        }
    }

    /// Where accounts sign in.
    #[must_use]
    pub const fn authority(self) -> &'static str {
        match self {
            Self::Global => "https://login.microsoftonline.com",
            Self::UsGov | Self::UsGovDod => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }

    /// Microsoft Graph, which is also the resource that tokens are asked for.
    #[must_use]
    pub const fn graph(self) -> &'static str {
        match self {
            Self::Global => "https://graph.microsoft.com",
            Self::UsGov => "https://graph.microsoft.us",
            Self::UsGovDod => "https://dod-graph.microsoft.us",
            Self::China => "https://microsoftgraph.chinacloudapi.cn",
        }
    }

    /// Where upload sessions of large attachments live (Graph: outlook-large-attachments.md,
    /// Microsoft 365: URLs and IP address ranges).
    #[must_use]
    pub const fn outlook(self) -> &'static str {
        match self {
            Self::Global => "https://outlook.office.com",
            Self::UsGov => "https://outlook.office365.us",
            Self::UsGovDod => "https://outlook-dod.office365.us",
            Self::China => "https://partner.outlook.cn",
        }
    }

    /// The base URLs of its endpoints by name.
    #[must_use]
    pub fn endpoints(self) -> BTreeMap<String, String> {
        [("graph", self.graph()), ("outlook", self.outlook())]
            .into_iter()
            .map(|(name, url)| (name.to_owned(), url.to_owned()))
            .collect()
    }
}

/// An OAuth 2.0 provider by its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProviderSpec {
    /// Where a browser goes to sign in; absent where nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorize_url: Option<String>,
    /// Where tokens come from.
    pub token_url: String,
    /// Where device codes come from (RFC 8628).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_url: Option<String>,
    /// Who issues id tokens (OpenID Connect). Without it nobody can tell who signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The issuer's keys; without it they are found by the issuer's discovery document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// The endpoints, by name, that tokens may be sent to.
    pub token_for: Vec<String>,
    /// What an app-only connection asks for; OAuth's `scope`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

/// What a mailbox may get through a connection's application. Where several connections
/// share an application, the smaller numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct ConnectionLimits {
    /// Requests at a time (Graph: throttling-limits.md has 4).
    pub at_a_time: u32,
    /// Requests in any 10 minutes (Graph: throttling-limits.md has 10,000).
    pub per_10_minutes: u32,
    /// Megabytes (millions of bytes) in the bodies of requests in any 5 minutes (Graph:
    /// throttling-outlook.md has 150). A larger body goes alone.
    pub upload_mb_per_5_minutes: u32,
}

impl ConnectionLimits {
    /// The bytes that may be uploaded in any 5 minutes.
    #[must_use]
    pub fn upload_bytes(self) -> u64 {
        u64::from(self.upload_mb_per_5_minutes) * 1_000_000
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            at_a_time: 4,
            per_10_minutes: 10_000,
            upload_mb_per_5_minutes: 150,
        }
    }
}

fn default_authority() -> String {
    Cloud::Global.authority().to_owned()
}

fn default_endpoints() -> BTreeMap<String, String> {
    Cloud::Global.endpoints()
}
