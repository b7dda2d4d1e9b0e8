//! How connections are: who has signed in, and which credentials they have.

use std::collections::HashMap;

use docket_model::ConnectionKind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::oauth::{Account, Credential, CredentialStatus, SignInRecord};
use crate::registry::{ConnectionError, Connections};
use crate::vault::{RecordKind, RecordName, Vault, VaultError};

/// A connection as `docket connections list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// What a connection cannot do without, and has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl ConnectionStatus {
    /// What keeps everybody from using the connection; `None` where nothing is known to. One for users
    /// lacks nothing: each signs in when a run needs it.
    #[must_use]
    pub fn lack(&self) -> Option<Lack> {
        let name = &self.name;
        // What cannot be read is told of where it is.
        if !self.problems.is_empty() {
            return None;
        }
        let add = format!("docket connections add {name}");
        match self.kind {
            ConnectionKind::AppOnly if self.credentials.is_empty() => Some(Lack {
                message: format!("{name} has no client secret and no certificate"),
                remedy: add,
            }),
            ConnectionKind::ServiceAccount if self.signed_in.is_empty() => {
                let account = self.account.as_deref().unwrap_or("its account");
                let authorize = format!("docket connections authorize {name}");
                Some(Lack {
                    message: format!("{account} has not signed in to {name}"),
                    remedy: match self.credentials.is_empty() {
                        // An application that is registered as public has none.
                        true => {
                            format!("{add}, unless it is a public application; then {authorize}")
                        }
                        false => authorize,
                    },
                })
            }
            _ => None,
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
        let mut records = Records::read(&self.vault)?;
        let all = self.by_name.values();
        Ok(all.map(|held| status(held, &mut records)).collect())
    }

    /// When an account signed in last; `None` where it did not. Blocks on the disk.
    ///
    /// # Errors
    /// [`ConnectionError`]: there is no such connection or user, or the vault's.
    pub fn signed_in_at(
        &self,
        connection: &str,
        user: Option<&str>,
    ) -> Result<Option<Timestamp>, ConnectionError> {
        let record = self.get(connection)?.account(user)?.sign_in()?;
        Ok(record.map(|record| record.signed_in_at))
    }

    /// Whether an account gets a token as things are. Asks the sign-in service where there is none
    /// that is good for the next minutes.
    ///
    /// # Errors
    /// [`ConnectionError`]; of an [`AuthError`](crate::AuthError) the class says who must act.
    pub async fn sign_in_state(
        &self,
        connection: &str,
        user: Option<&str>,
    ) -> Result<(), ConnectionError> {
        let account = self.get(connection)?.account(user)?;
        Ok(account.token().await.map(drop)?)
    }
}

fn status(held: &Connection, records: &mut Records) -> ConnectionStatus {
    let mut problems = Vec::new();
    let credentials = records.credentials(held).unwrap_or_else(|error| {
        problems.push(error.to_string());
        Vec::new()
    });
    let mut signed_in = Vec::new();
    for (_, sign_in) in records.sign_ins(held) {
        match sign_in {
            Ok(status) => signed_in.push(status),
            Err(error) => problems.push(error.to_string()),
        }
    }
    ConnectionStatus {
        name: held.name.clone(),
        kind: held.spec.kind,
        account: held.spec.account.clone(),
        credentials: credentials.iter().map(Credential::status).collect(),
        signed_in,
        problems,
    }
}

/// A sign-in by its account's name.
type SignIn = (String, Result<SignInStatus, VaultError>);

/// A record that was read, without its secret unless that is needed.
enum Found {
    Credentials(Result<Vec<Credential>, VaultError>),
    SignIn(SignIn),
}

/// The vault's credentials and sign-ins by connection, each file read once.
pub(crate) struct Records {
    credentials: HashMap<String, Result<Vec<Credential>, VaultError>>,
    sign_ins: HashMap<String, Vec<SignIn>>,
}

impl Records {
    /// Reads the vault.
    ///
    /// # Errors
    /// The vault's, where its folder cannot be read at all.
    pub(crate) fn read(vault: &Vault) -> Result<Self, VaultError> {
        let kinds = [RecordKind::Credentials, RecordKind::SignIn];
        let all = vault.each(&kinds, |name, text| {
            let RecordName {
                connection,
                account,
                kind,
            } = name;
            match kind {
                RecordKind::Credentials => {
                    let all = text.and_then(|text| Credential::read_all(&text, &connection));
                    (connection, Found::Credentials(all))
                }
                _ => {
                    let record =
                        text.and_then(|text| SignInRecord::read(&text, &connection, &account));
                    let status = record.map(|record| SignInStatus::from(&record));
                    (connection, Found::SignIn((account, status)))
                }
            }
        })?;
        let mut found = Self {
            credentials: HashMap::new(),
            sign_ins: HashMap::new(),
        };
        for (connection, one) in all {
            match one {
                Found::Credentials(all) => {
                    found.credentials.insert(connection, all);
                }
                Found::SignIn(one) => found.sign_ins.entry(connection).or_default().push(one),
            }
        }
        Ok(found)
    }

    /// A connection's credentials, the current one first.
    pub(crate) fn credentials(&mut self, held: &Connection) -> Result<Vec<Credential>, VaultError> {
        match self.credentials.remove(&held.name) {
            Some(found) => found,
            // A file whose name could not be read is told of here.
            None => held.application.credentials(),
        }
    }

    /// The accounts of a connection that have signed in, by name.
    pub(crate) fn sign_ins(&mut self, held: &Connection) -> Vec<SignIn> {
        let mut found = self.sign_ins.remove(&held.name).unwrap_or_default();
        match (held.spec.kind, &held.spec.account) {
            (ConnectionKind::AppOnly, _) => return Vec::new(),
            (_, Some(own)) => {
                found.retain(|(account, _)| account == own);
                if found.is_empty() {
                    let record = Account::of_user(&held.application, own).sign_in();
                    let status = record.map(|record| record.as_ref().map(SignInStatus::from));
                    let one = status.transpose().map(|status| (own.clone(), status));
                    found.extend(one);
                }
            }
            (_, None) => found.sort_by(|(one, _), (other, _)| one.cmp(other)),
        }
        found
    }
}

/// The users of a connection who have signed in.
pub(crate) fn users(vault: &Vault, connection: &str) -> Result<Vec<String>, VaultError> {
    let all = vault.list()?.into_iter();
    let mut users: Vec<_> = all
        .filter(|name| name.kind == RecordKind::SignIn && name.connection == connection)
        .map(|name| name.account)
        .collect();
    users.sort();
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_depends_on_the_kind() {
        let status = |kind| ConnectionStatus {
            name: "mail".to_owned(),
            kind,
            account: Some("robot@example.com".to_owned()),
            credentials: Vec::new(),
            signed_in: Vec::new(),
            problems: Vec::new(),
        };
        let remedy = |kind| status(kind).lack().map(|lack| lack.remedy);
        let app = remedy(ConnectionKind::AppOnly);
        assert_eq!(app.as_deref(), Some("docket connections add mail"));
        let service = remedy(ConnectionKind::ServiceAccount).unwrap();
        assert!(service.contains("docket connections authorize mail"));
        assert_eq!(
            remedy(ConnectionKind::PerUser),
            None,
            "each signs in when needed"
        );
        let damaged = ConnectionStatus {
            problems: vec!["cut".to_owned()],
            ..status(ConnectionKind::AppOnly)
        };
        assert_eq!(damaged.lack(), None, "nobody knows what it has");
    }
}
