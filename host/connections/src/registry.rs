//! All connections of a project, by name: opened from `docket.yaml`, bound to steps, signed in.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use docket_model::{Clock, ConnectionKind, ConnectionSpec, RequestRule};
use jiff::Timestamp;
use secrecy::SecretString;
use url::{Host, Url};

use crate::binding::{Binding, Connection, Inner};
use crate::dial::{Addresses, Authorities, Resolve, SystemResolver, Transport, read_ca_file};
use crate::oauth::{Account, AuthError, Callback, FinishError, SignIn, SignIns, SignedIn, Subject};
use crate::pace::Pacer;
use crate::policy::{Endpoint, InvalidGrant, Policy, Scope};
use crate::vault::{Vault, VaultError};

/// The connections of a project.
pub struct Connections {
    by_name: BTreeMap<String, Arc<Connection>>,
    sign_ins: SignIns,
    /// For steps without a connection.
    transport: Transport,
    vault: Vault,
    pacer: Arc<Pacer>,
    clock: Arc<dyn Clock>,
}

/// Everything that is wrong with the connections of a project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct OpenError {
    /// The problems, none left out.
    pub problems: Vec<SpecProblem>,
}

/// What is wrong with one connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("connections.{connection}.{field} in docket.yaml: {problem}")]
pub struct SpecProblem {
    /// The connection.
    pub connection: String,
    /// The key in it.
    pub field: &'static str,
    /// What is wrong, and how it must be.
    pub problem: String,
}

/// Why a step cannot have what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// No connection has that name.
    #[error(transparent)]
    UnknownConnection(#[from] UnknownConnection),
    /// The connection has one account, and the step names another user.
    #[error(
        "the connection {connection} is a service account and cannot act as {user}; leave `as` out of the step"
    )]
    OneAccount {
        /// The connection.
        connection: String,
        /// The user that the step names.
        user: String,
    },
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
}

/// A connection as `docket connections list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// Its name.
    pub name: String,
    /// How it signs in.
    pub kind: ConnectionKind,
    /// The account that it is for.
    pub account: String,
    /// Whether the vault has a client secret for it.
    pub has_client_secret: bool,
    /// The sign-in, where there is one.
    pub signed_in: Option<SignInStatus>,
}

/// A sign-in as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInStatus {
    /// Who signed in.
    pub account: String,
    /// The account's id in its directory.
    pub oid: String,
    /// The directory's id.
    pub tid: String,
    /// The scopes that were granted.
    pub scopes: Vec<String>,
    /// When.
    pub since: Timestamp,
    /// When the refresh token was used last. Entra's ends after 90 days without use.
    pub refreshed_at: Timestamp,
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
        let mut problems = Vec::new();
        let mut transports = Transports {
            built: HashMap::new(),
            resolver,
        };
        let mut by_name = BTreeMap::new();
        for (name, spec) in specs {
            let mut check = Check {
                name,
                problems: &mut problems,
            };
            if let Some((scope, subject, transport)) = check.spec(spec, &mut transports) {
                let account = Account::new(subject, transport, vault.clone(), Arc::clone(&clock));
                let connection = Connection {
                    kind: spec.kind,
                    scope,
                    account: Arc::new(account),
                };
                by_name.insert(name.clone(), Arc::new(connection));
            }
        }
        if !problems.is_empty() {
            return Err(OpenError { problems });
        }
        Ok(Self {
            by_name,
            sign_ins: SignIns::default(),
            transport: transports.get(Addresses::default(), Authorities::new()),
            vault,
            pacer: Arc::default(),
            clock,
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
                let one = &held.scope.account;
                if let Some(user) = user.filter(|user| user.to_lowercase() != one.to_lowercase()) {
                    let (connection, user) = (name.to_owned(), user.to_owned());
                    return Err(BindingError::OneAccount { connection, user });
                }
                Some(Arc::clone(held))
            }
        };
        let scope = connection.as_ref().map(|held| Arc::clone(&held.scope));
        Ok(Binding(Arc::new(Inner {
            policy: Policy::new(plugin, grants, scope)?,
            connection,
            transport: self.transport.clone(),
            vault: self.vault.clone(),
            pacer: Arc::clone(&self.pacer),
            clock: Arc::clone(&self.clock),
        })))
    }

    /// Begins the sign-in of a connection's account. `redirect_uri` is registered with the
    /// application; `scopes` are what the workflows need. The link is good for 10 minutes.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn begin_sign_in(
        &self,
        connection: &str,
        redirect_uri: &str,
        scopes: &[String],
    ) -> Result<SignIn, ConnectionError> {
        let held = self.get(connection)?;
        Ok(self
            .sign_ins
            .begin(&held.account, redirect_uri, scopes, self.clock.as_ref())?)
    }

    /// Ends a sign-in with the answer that came to its redirect URI, and stores it. Each begun
    /// sign-in takes one answer.
    ///
    /// # Errors
    /// [`FinishError`]: a state that is not known, a refusal of the service, or another account than the
    /// connection's. The sign-in that was there before stays.
    pub async fn finish_sign_in(&self, callback: Callback) -> Result<SignedIn, FinishError> {
        self.sign_ins.finish(callback, self.clock.as_ref()).await
    }

    /// Stores a connection's client secret in the place of the one before. Blocks on the disk.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn set_client_secret(
        &self,
        connection: &str,
        secret: &SecretString,
    ) -> Result<(), ConnectionError> {
        Ok(self.get(connection)?.account.set_secret(secret)?)
    }

    /// How the connections are, by name. Blocks on the disk.
    ///
    /// # Errors
    /// The vault's.
    pub fn status(&self) -> Result<Vec<ConnectionStatus>, VaultError> {
        self.by_name
            .iter()
            .map(|(name, held)| {
                Ok(ConnectionStatus {
                    name: name.clone(),
                    kind: held.kind,
                    account: held.scope.account.clone(),
                    has_client_secret: held.account.secret()?.is_some(),
                    signed_in: held.account.sign_in()?.map(|record| SignInStatus {
                        account: record.account.clone(),
                        oid: record.oid.clone(),
                        tid: record.tid.clone(),
                        scopes: record.scopes.clone(),
                        since: record.signed_in_at,
                        refreshed_at: record.refreshed_at,
                    }),
                })
            })
            .collect()
    }

    fn get(&self, name: &str) -> Result<&Arc<Connection>, UnknownConnection> {
        self.by_name.get(name).ok_or_else(|| UnknownConnection {
            name: name.to_owned(),
            known: self.names().into_iter().map(str::to_owned).collect(),
        })
    }
}

/// One client for each trust configuration, shared by the connections that have it.
struct Transports {
    built: HashMap<(Addresses, Authorities), Transport>,
    resolver: Arc<dyn Resolve>,
}

impl Transports {
    fn get(&mut self, addresses: Addresses, authorities: Authorities) -> Transport {
        let key = (addresses, authorities);
        if let Some(known) = self.built.get(&key) {
            return known.clone();
        }
        let (addresses, authorities) = key.clone();
        let built = Transport::new(addresses, authorities, Arc::clone(&self.resolver));
        self.built.insert(key, built.clone());
        built
    }
}

/// Checks one connection and collects what is wrong with it.
struct Check<'c> {
    name: &'c str,
    problems: &'c mut Vec<SpecProblem>,
}

impl Check<'_> {
    fn problem(&mut self, field: &'static str, problem: impl Into<String>) {
        let (connection, problem) = (self.name.to_owned(), problem.into());
        self.problems.push(SpecProblem {
            connection,
            field,
            problem,
        });
    }

    fn spec(
        &mut self,
        spec: &ConnectionSpec,
        transports: &mut Transports,
    ) -> Option<(Arc<Scope>, Subject, Transport)> {
        let before = self.problems.len();
        if ["common", "organizations", "consumers"].contains(&spec.tenant.as_str()) {
            self.problem(
                "tenant",
                "a service account is of one directory: write its id or domain",
            );
        }
        for (field, text) in [
            ("tenant", &spec.tenant),
            ("client-id", &spec.client_id),
            ("account", &spec.account),
        ] {
            if text.is_empty()
                || !text
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b"/?#%\\".contains(&byte))
            {
                self.problem(
                    field,
                    "it is empty, or holds characters that do not belong there",
                );
            }
        }
        let authority = self.base("authority", &spec.authority);
        let endpoints = spec
            .endpoints
            .iter()
            .filter_map(|(name, base)| {
                let base = self.base("endpoints", base)?;
                Some(Endpoint {
                    name: name.clone(),
                    base,
                })
            })
            .collect();
        let addresses = match Addresses::parse(&spec.allow_addresses) {
            Ok(addresses) => addresses,
            Err(text) => {
                self.problem(
                    "allow-addresses",
                    format!("`{text}` is no range of addresses; write 10.0.0.0/8, or one address"),
                );
                Addresses::default()
            }
        };
        let authorities = match spec.ca_file.as_deref().map(read_ca_file) {
            None => Authorities::new(),
            Some(Ok(found)) => found,
            Some(Err(problem)) => {
                self.problem("ca-file", problem);
                Authorities::new()
            }
        };
        if self.problems.len() > before {
            return None;
        }
        let transport = transports.get(addresses, authorities);
        let subject = Subject {
            connection: self.name.to_owned(),
            account: spec.account.clone(),
            client_id: spec.client_id.clone(),
            tenant: spec.tenant.clone(),
            authority: authority?.as_str().trim_end_matches('/').to_owned(),
        };
        let scope = Scope {
            connection: self.name.to_owned(),
            endpoints,
            account: spec.account.clone(),
            mailboxes: spec.mailboxes.clone(),
        };
        Some((Arc::new(scope), subject, transport))
    }

    /// A base URL: https, or http on loopback where it says so.
    fn base(&mut self, field: &'static str, text: &str) -> Option<Url> {
        let text = text.trim_end_matches('/');
        let url = match crate::policy::url::normalise(text) {
            Ok(url) => url,
            Err(problem) => {
                self.problem(field, problem);
                return None;
            }
        };
        let is_loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if url.query().is_some() {
            self.problem(field, "a base URL has no query");
            return None;
        }
        if url.scheme() != "https" && !is_loopback {
            self.problem(field, "http is for this machine only; write https://…");
            return None;
        }
        Some(url)
    }
}
