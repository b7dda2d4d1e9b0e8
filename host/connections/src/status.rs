//! How connections are: who has signed in, and which credentials they have.

use docket_model::ConnectionKind;
use jiff::Timestamp;
use serde::Serialize;

use crate::connection::Connection;
use crate::oauth::{Account, CredentialStatus, SignInRecord};
use crate::registry::Connections;
use crate::vault::{RecordKind, Vault, VaultError};

/// A connection as `docket connections list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConnectionStatus {
    /// Its name.
    pub name: String,
    /// How it signs in.
    pub kind: ConnectionKind,
    /// The account that it is for; per-user and app-only connections have none.
    pub account: Option<String>,
    /// The client secrets and certificates that the vault has for it, the current one first.
    pub credentials: Vec<CredentialStatus>,
    /// Those who have signed in.
    pub signed_in: Vec<SignInStatus>,
    /// What of it cannot be read, and what to do about it.
    pub problems: Vec<String>,
}

/// A sign-in as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
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

impl From<&SignInRecord> for SignInStatus {
    fn from(record: &SignInRecord) -> Self {
        Self {
            account: record.account.clone(),
            oid: record.oid.clone(),
            tid: record.tid.clone(),
            scopes: record.scopes.clone(),
            since: record.signed_in_at,
            refreshed_at: record.refreshed_at,
        }
    }
}

impl Connections {
    /// How the connections are, by name. What is wrong with one is told with that one. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// The vault's, where its folder cannot be read at all.
    pub fn status(&self) -> Result<Vec<ConnectionStatus>, VaultError> {
        let users = Users::read(&self.vault)?;
        let all = self.by_name.values();
        Ok(all.map(|held| status(held, &users)).collect())
    }
}

fn status(held: &Connection, users: &Users) -> ConnectionStatus {
    let mut problems = Vec::new();
    let credentials = held.application.credentials().unwrap_or_else(|error| {
        problems.push(error.to_string());
        Vec::new()
    });
    let mut signed_in = Vec::new();
    for account in users.accounts(held) {
        match account.sign_in() {
            Ok(record) => signed_in.extend(record.as_ref().map(SignInStatus::from)),
            Err(error) => problems.push(error.to_string()),
        }
    }
    ConnectionStatus {
        name: held.name.clone(),
        kind: held.spec.kind,
        account: held.spec.account.clone(),
        credentials: credentials.iter().map(|one| one.status()).collect(),
        signed_in,
        problems,
    }
}

/// The users whose sign-ins the vault has, by connection and name.
pub(crate) struct Users(Vec<(String, String)>);

impl Users {
    /// Reads the vault's names.
    ///
    /// # Errors
    /// The vault's, where its folder cannot be read at all.
    pub(crate) fn read(vault: &Vault) -> Result<Self, VaultError> {
        let all = vault.list()?.into_iter();
        let mut users: Vec<_> = all
            .filter(|name| name.kind == RecordKind::SignIn)
            .map(|name| (name.connection, name.account))
            .collect();
        users.sort();
        Ok(Self(users))
    }

    /// The accounts of a connection that may have signed in. They are the connection's own only where
    /// those are in memory anyway: ten thousand users are looked at, not kept.
    pub(crate) fn accounts(&self, held: &Connection) -> Vec<Account> {
        if held.spec.kind == ConnectionKind::AppOnly {
            return Vec::new();
        }
        if let Some(account) = &held.spec.account {
            return vec![Account::of_user(&held.application, account)];
        }
        self.of(&held.name)
            .map(|user| Account::of_user(&held.application, user))
            .collect()
    }

    /// The names of a connection's users.
    pub(crate) fn of<'u>(&'u self, connection: &'u str) -> impl Iterator<Item = &'u str> {
        let all = self.0.iter();
        all.filter(move |(name, _)| name == connection)
            .map(|(_, user)| user.as_str())
    }
}

/// The users of a connection who have signed in.
pub(crate) fn users(vault: &Vault, connection: &str) -> Result<Vec<String>, VaultError> {
    let users = Users::read(vault)?;
    Ok(users.of(connection).map(str::to_owned).collect())
}
