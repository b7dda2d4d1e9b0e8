//! What one step may use: a connection's account within its plugin's grants, and nothing besides.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use docket_model::{Clock, ConnectionKind, Principal};
use secrecy::SecretString;

pub(crate) use crate::connection::Connection;
use crate::dial::Transport;
use crate::oauth::{Account, AuthError};
use crate::pace::Pacer;
use crate::policy::{Policy, Scope};
use crate::vault::{Vault, VaultError};

/// The way out that is open to one step. Clones are the same one. [`Binding::send`] sends.
#[derive(Clone)]
pub struct Binding(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) policy: Policy,
    /// With the step's connection, where it has one.
    pub(crate) connection: Option<Bound>,
    /// The client without a connection's own trust.
    pub(crate) transport: Transport,
    pub(crate) vault: Vault,
    pub(crate) pacer: Arc<Pacer>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Mailboxes by the URLs, without their queries, that came with answers about them.
    pub(crate) related: Mutex<HashMap<String, String>>,
}

/// A connection and whom it acts as.
pub(crate) struct Bound {
    pub(crate) connection: Arc<Connection>,
    pub(crate) account: Arc<Account>,
    pub(crate) scope: Arc<Scope>,
}

/// Whom a binding acts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountInfo {
    /// The connection's name.
    pub connection: String,
    /// The user principal name; the application's id for app-only connections.
    pub name: String,
    /// How it signs in.
    pub kind: ConnectionKind,
    /// The provider's base URLs by name, without a slash at the end.
    pub endpoints: Vec<(String, String)>,
}

impl Binding {
    /// Whom requests with a token are sent as; `None` without a connection.
    #[must_use]
    pub fn account(&self) -> Option<AccountInfo> {
        let Bound {
            connection,
            account,
            scope,
        } = self.0.connection.as_ref()?;
        Some(AccountInfo {
            connection: scope.connection.clone(),
            name: account.subject.account.clone(),
            kind: connection.spec.kind,
            endpoints: scope
                .endpoints
                .iter()
                .map(|endpoint| {
                    let base = endpoint.base.as_str().trim_end_matches('/');
                    (endpoint.name.clone(), base.to_owned())
                })
                .collect(),
        })
    }

    /// The same as the journal names it.
    #[must_use]
    pub fn principal(&self) -> Option<Principal> {
        let subject = &self.0.connection.as_ref()?.account.subject;
        Some(Principal {
            connection: subject.connection.clone(),
            account: subject.account.clone(),
        })
    }

    /// Makes sure that the account has a token, without a request to anybody but the sign-in service.
    /// So a run can wait for a sign-in before it does anything. `Ok` without a connection.
    ///
    /// # Errors
    /// [`AuthError`], with the connection and the account; its class says what must happen.
    pub async fn sign_in_state(&self) -> Result<(), AuthError> {
        match &self.0.connection {
            Some(bound) => bound.account.token().await.map(drop),
            None => Ok(()),
        }
    }

    /// Encrypts a URL with a secret for the journal; see [`Vault::seal`].
    ///
    /// # Errors
    /// The vault's.
    pub fn seal(&self, context: &str, secret: &str) -> Result<String, VaultError> {
        self.0.vault.seal(context, secret)
    }

    /// Decrypts what [`Binding::seal`] gave; see [`Vault::open_sealed`].
    ///
    /// # Errors
    /// The vault's.
    pub fn open_sealed(&self, context: &str, sealed: &str) -> Result<SecretString, VaultError> {
        self.0.vault.open_sealed(context, sealed)
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("principal", &self.principal())
            .field("policy", &self.0.policy)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// The client to send with.
    pub(crate) fn transport(&self) -> &Transport {
        self.connection
            .as_ref()
            .map_or(&self.transport, |held| &held.account.application.transport)
    }

    /// Where the connection is in `docket.yaml`; for remedies.
    pub(crate) fn place(&self) -> String {
        match self.connection.as_ref() {
            Some(bound) => format!("connections.{}", bound.scope.connection),
            None => "a connection of the step, connections.<name>".to_owned(),
        }
    }
}
