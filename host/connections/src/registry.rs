//! All connections of a project, by name: opened from `docket.yaml`, bound to steps, signed in.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use docket_model::{Clock, ConnectionSpec, RequestRule};
use secrecy::SecretString;
use serde::Serialize;
use tokio::sync::broadcast;

use crate::binding::{Binding, Bound, Connection, Inner};
use crate::check::{self, OpenError, Parts};
use crate::dial::{Addresses, Authorities, Resolve, SystemResolver, Transport};
use crate::oauth::{
    Account, AuthError, Callback, DeviceSignIn, FinishError, InvalidCredential, SignIn, SignIns,
    SignedIn,
};
use crate::pace::Pacer;
use crate::policy::{InvalidGrant, Policy, ReadGrants};
use crate::vault::{BackupError, Imported, Vault, VaultError};

/// The connections of a project.
pub struct Connections {
    pub(crate) by_name: BTreeMap<String, Arc<Connection>>,
    sign_ins: SignIns,
    authorized: broadcast::Sender<Authorized>,
    /// For steps without a connection.
    transport: Transport,
    pub(crate) vault: Vault,
    pacer: Arc<Pacer>,
    grants: ReadGrants,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) resolver: Arc<dyn Resolve>,
}

/// How many announcements a slow listener may be behind; after that it must ask for itself.
const BEHIND: usize = 1024;

/// Somebody signed in, or a credential came: what waited for it can go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Authorized {
    /// The connection.
    pub connection: String,
    /// The user, in lower case, as `as` names it; `None` is the whole connection: its one account
    /// signed in, or its application has another credential.
    pub user: Option<String>,
}

/// Why a step cannot have what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// No connection has that name.
    #[error(transparent)]
    UnknownConnection(#[from] UnknownConnection),
    /// The connection has one account, and the step names another user.
    #[error("the connection {connection} cannot act as {user}; leave `as` out of the step")]
    OneAccount {
        /// The connection.
        connection: String,
        /// The user that the step names.
        user: String,
    },
    /// The connection acts for users, and the step names none.
    #[error(
        "the connection {0} acts for users, and the step names none; add `as` with the user's name"
    )]
    UserNeeded(String),
    /// What the step names is no user.
    #[error(
        "`as` must be a user's name, like anna@example.com; the step's for the connection {0} is not"
    )]
    NoUser(String),
    /// The step names a user, and no connection.
    #[error(
        "the step acts as {0}, and has no connection; name one in the workflow's `connections`"
    )]
    NoConnection(String),
    /// One of the plugin's grants is no rule.
    #[error(transparent)]
    Grant(#[from] InvalidGrant),
}

/// No connection has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no connection {name} in docket.yaml; there are: {}", known.join(", "))]
pub struct UnknownConnection {
    /// The name.
    pub name: String,
    /// The names that there are.
    pub known: Vec<String>,
}

/// Why a sign-in or a secret was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// No connection has that name.
    #[error(transparent)]
    Unknown(#[from] UnknownConnection),
    /// The sign-in service or the configuration.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What was given is no credential.
    #[error(transparent)]
    Credential(#[from] InvalidCredential),
    /// Which user.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// Nobody signs in to the connection.
    #[error(
        "the connection {0} is app-only, and nobody signs in; it needs a client secret or a certificate"
    )]
    NobodySignsIn(String),
    /// The connection has no redirect URI of a server.
    #[error(
        "the connection {0} has no redirect-uri; add `redirect-uri: https://<this server>/oauth/callback` under connections.{0} in docket.yaml, and register it with the application"
    )]
    NoRedirect(String),
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("names", &self.names())
            .finish_non_exhaustive()
    }
}

impl Connections {
    /// Opens the connections. Nothing is dialled, and nobody needs to have signed in.
    ///
    /// # Errors
    /// Every problem of every connection.
    pub fn open(
        specs: &BTreeMap<String, ConnectionSpec>,
        vault: Vault,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Self::open_with(specs, vault, clock, Arc::new(SystemResolver))
    }

    /// The same with another resolver of names.
    ///
    /// # Errors
    /// As [`Connections::open`].
    pub fn open_with(
        specs: &BTreeMap<String, ConnectionSpec>,
        vault: Vault,
        clock: Arc<dyn Clock>,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, OpenError> {
        let mut parts = Parts {
            vault: vault.clone(),
            clock: Arc::clone(&clock),
            resolver: Arc::clone(&resolver),
            transports: HashMap::new(),
        };
        let by_name = check::check(specs, &mut parts)?;
        let pacer = Pacer::new(
            specs
                .values()
                .map(|spec| (spec.client_id.as_str(), spec.limits)),
        );
        Ok(Self {
            by_name,
            sign_ins: SignIns::default(),
            authorized: broadcast::Sender::new(BEHIND),
            transport: parts.transport(Addresses::default(), Authorities::new()),
            vault,
            pacer: Arc::new(pacer),
            grants: ReadGrants::default(),
            clock,
            resolver,
        })
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.by_name.keys().map(String::as_str).collect()
    }

    /// What a step of `plugin` may use: with the connection, as the user, within the grants.
    ///
    /// # Errors
    /// [`BindingError`]. Whether the account has signed in shows when a request needs its token.
    pub fn binding(
        &self,
        connection: Option<&str>,
        act_as: Option<&str>,
        plugin: &str,
        grants: &[RequestRule],
    ) -> Result<Binding, BindingError> {
        let connection = match (connection, act_as) {
            (None, None) => None,
            (None, Some(user)) => return Err(BindingError::NoConnection(user.to_owned())),
            (Some(name), user) => {
                let held = self.get(name)?;
                let account = held.account(user)?;
                Some(Bound {
                    scope: Arc::new(held.scope(&account)),
                    connection: Arc::clone(held),
                    account,
                })
            }
        };
        let scope = connection.as_ref().map(|held| Arc::clone(&held.scope));
        let rules = self.grants.rules(plugin, grants)?;
        Ok(Binding(Arc::new(Inner {
            policy: Policy::of(plugin, rules, scope),
            connection,
            transport: self.transport.clone(),
            vault: self.vault.clone(),
            pacer: Arc::clone(&self.pacer),
            clock: Arc::clone(&self.clock),
            related: Mutex::default(),
        })))
    }

    /// Begins the sign-in of a connection's account, or of one of its users. `redirect_uri` is
    /// registered with the application; `None` is the connection's own `redirect-uri`, of a server.
    /// `scopes` are what the workflows need. The link is good for 10 minutes. Blocks on the disk.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn begin_sign_in(
        &self,
        connection: &str,
        user: Option<&str>,
        redirect_uri: Option<&str>,
        scopes: &[String],
    ) -> Result<SignIn, ConnectionError> {
        let account = self.who_signs_in(connection, user)?;
        let own = self.get(connection)?.spec.redirect_uri.as_deref();
        let redirect_uri = redirect_uri
            .or(own)
            .ok_or_else(|| ConnectionError::NoRedirect(connection.to_owned()))?;
        Ok(self
            .sign_ins
            .begin(&account, redirect_uri, scopes, self.clock.as_ref())?)
    }

    /// Ends a sign-in with the answer that came to its redirect URI, and stores it. Each begun
    /// sign-in takes one answer.
    ///
    /// # Errors
    /// [`FinishError`]: a state that is not known, a refusal of the service, or another account than the
    /// one that is needed. The sign-in that was there before stays.
    pub async fn finish_sign_in(&self, callback: Callback) -> Result<SignedIn, FinishError> {
        let signed_in = self.sign_ins.finish(callback, self.clock.as_ref()).await?;
        self.announce(&signed_in);
        Ok(signed_in)
    }

    /// Begins a sign-in by device code: the user enters a code on a page, with whatever browser they
    /// have. `scopes` are what the workflows need.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn begin_device_sign_in(
        &self,
        connection: &str,
        user: Option<&str>,
        scopes: &[String],
    ) -> Result<DeviceSignIn, ConnectionError> {
        let account = self.who_signs_in(connection, user)?;
        Ok(account.begin_device(scopes).await?)
    }

    /// Waits until the user has entered the code, and stores the sign-in. Dropping the future gives
    /// it up.
    ///
    /// # Errors
    /// [`AuthError`]: the code ended, the sign-in was declined, or somebody else signed in. The
    /// sign-in that was there before stays.
    pub async fn finish_device_sign_in(
        &self,
        sign_in: DeviceSignIn,
    ) -> Result<SignedIn, AuthError> {
        let signed_in = sign_in.wait().await?;
        self.announce(&signed_in);
        Ok(signed_in)
    }

    /// Tells of every sign-in and of every new credential from now on. A receiver that is told that it
    /// lagged behind must look at everything that waits.
    #[must_use]
    pub fn authorized(&self) -> broadcast::Receiver<Authorized> {
        self.authorized.subscribe()
    }

    /// The vault that keeps their secrets.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Stores what a backup of the vault holds, and lets all go on that wait for an account or a
    /// credential. Takes about a second, and blocks.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn import(
        &self,
        backup: &str,
        passphrase: &SecretString,
        replace: bool,
    ) -> Result<Imported, BackupError> {
        let imported = self.vault.import(backup, passphrase, replace)?;
        for (name, held) in &self.by_name {
            for account in held.accounts() {
                account.forget_refusal();
            }
            self.tell(name, None);
        }
        Ok(imported)
    }

    fn announce(&self, signed_in: &SignedIn) {
        let principal = &signed_in.principal;
        let is_one = self
            .by_name
            .get(&principal.connection)
            .is_none_or(|held| held.has_one_account());
        let user = (!is_one).then(|| principal.account.clone());
        self.tell(&principal.connection, user);
    }

    /// Whoever waits for it can go on.
    pub(crate) fn tell(&self, connection: &str, user: Option<String>) {
        // Without a listener nobody waits.
        let _ = self.authorized.send(Authorized {
            connection: connection.to_owned(),
            user,
        });
    }

    /// The account that a sign-in is for.
    fn who_signs_in(
        &self,
        connection: &str,
        user: Option<&str>,
    ) -> Result<Arc<Account>, ConnectionError> {
        let held = self.get(connection)?;
        if held.spec.kind == docket_model::ConnectionKind::AppOnly {
            return Err(ConnectionError::NobodySignsIn(connection.to_owned()));
        }
        Ok(held.account(user)?)
    }

    pub(crate) fn get(&self, name: &str) -> Result<&Arc<Connection>, UnknownConnection> {
        self.by_name.get(name).ok_or_else(|| UnknownConnection {
            name: name.to_owned(),
            known: self.names().into_iter().map(str::to_owned).collect(),
        })
    }
}
