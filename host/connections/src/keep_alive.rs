//! Keeps sign-ins alive that nobody uses: a refresh token of Entra ends after 90 days without use
//! (Entra: refresh-tokens.md).

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::oauth::{AuthError, AuthErrorClass};
use crate::registry::Connections;
use crate::status::Records;
use crate::vault::VaultError;

/// How long a sign-in may go unused before it is refreshed.
const IDLE: SignedDuration = SignedDuration::from_hours(24);
/// How many sign-ins of a connection in a row are tried in vain, where its sign-in service is not
/// there. Each may take half a minute.
const TRIES: u32 = 3;

/// What became of one idle sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeptAlive {
    /// The connection.
    pub connection: String,
    /// The account.
    pub account: String,
    /// Why it was not refreshed, where it was not.
    pub error: Option<AuthError>,
}

impl Connections {
    /// Refreshes the sign-ins that were not used for a day, one after the other, and says what became
    /// of each. A connection whose sign-in service is not there is left alone until the next time: its
    /// sign-ins have 89 days left. Meant to be called about once a day; it may be given up at any time.
    ///
    /// # Errors
    /// The vault's, where its folder cannot be read at all.
    pub async fn keep_alive(&self, now: Timestamp) -> Result<Vec<KeptAlive>, VaultError> {
        let mut done = Vec::new();
        let mut in_vain: HashMap<String, u32> = HashMap::new();
        for (name, user) in self.idle(now).await? {
            if in_vain.get(&name).is_some_and(|times| *times >= TRIES) {
                continue;
            }
            let Some(held) = self.by_name.get(&name) else {
                continue;
            };
            let user = (!held.has_one_account()).then_some(user.as_str());
            let Ok(account) = held.account(user) else {
                continue;
            };
            let error = account.token().await.err();
            match &error {
                Some(error) if error.class == AuthErrorClass::Transient => {
                    *in_vain.entry(name.clone()).or_default() += 1;
                }
                _ => drop(in_vain.remove(&name)),
            }
            if let Some(error) = &error {
                tracing::warn!(connection = %name, account = %account.subject.account, code = %error.code, "a sign-in could not be kept alive");
            }
            done.push(KeptAlive {
                connection: name,
                account: account.subject.account.clone(),
                error,
            });
        }
        Ok(done)
    }

    /// The connections and accounts whose sign-in was not used for a day.
    async fn idle(&self, now: Timestamp) -> Result<Vec<(String, String)>, VaultError> {
        let vault = self.vault.clone();
        let connections: Vec<_> = self.by_name.values().cloned().collect();
        let looked = tokio::task::spawn_blocking(move || {
            let mut records = Records::read(&vault)?;
            let mut idle = Vec::new();
            for held in connections {
                for (account, sign_in) in records.sign_ins(&held) {
                    // What cannot be read is told by the status and the forecast.
                    let is_idle =
                        sign_in.is_ok_and(|one| now.duration_since(one.refreshed_at) >= IDLE);
                    if is_idle {
                        idle.push((held.name.clone(), account));
                    }
                }
            }
            Ok(idle)
        });
        looked
            .await
            .map_err(|_| VaultError::Io("the host is shutting down".to_owned()))?
    }
}
