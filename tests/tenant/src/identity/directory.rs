//! App registrations, consents, codes, tokens and sign-in sessions.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::config::{AppConfig, RedirectKind};
use crate::guid::random_name;

/// A client secret with a value.
#[derive(Clone)]
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) value: String,
    pub(crate) expires: Timestamp,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("id", &self.id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// A registered app as it is now.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: AppConfig,
    pub(crate) secrets: Vec<Secret>,
    /// Scopes that single users consented to.
    pub(crate) consents: HashMap<usize, BTreeSet<String>>,
    /// How the newest good assertion was made: its algorithm, and which thumbprint it carried.
    pub(crate) last_assertion: Option<(&'static str, &'static str)>,
}

impl App {
    /// The scope's registered spelling, if the app may ask for it at all.
    pub(crate) fn registered(&self, scope: &str) -> Option<&str> {
        self.config
            .delegated
            .iter()
            .find(|known| known.eq_ignore_ascii_case(scope))
            .map(String::as_str)
    }

    /// Whether `scope` is consented for `account`.
    pub(crate) fn is_consented(&self, account: usize, scope: &str) -> bool {
        let Some(scope) = self.registered(scope) else {
            return false;
        };
        self.config.admin_consented
            || self
                .consents
                .get(&account)
                .is_some_and(|scopes| scopes.contains(&scope.to_ascii_lowercase()))
    }
}

/// An authorization code that was handed out.
#[derive(Debug, Clone)]
pub(crate) struct CodeGrant {
    pub(crate) client_id: Arc<str>,
    pub(crate) account: usize,
    pub(crate) tenant: String,
    pub(crate) redirect_uri: String,
    pub(crate) kind: RedirectKind,
    pub(crate) scopes: Vec<String>,
    pub(crate) challenge: Option<(String, bool)>,
    pub(crate) nonce: Option<String>,
    pub(crate) expires: Timestamp,
    pub(crate) used: bool,
}

/// An access token that was handed out.
#[derive(Debug, Clone)]
pub(crate) struct AccessToken {
    pub(crate) client_id: Arc<str>,
    pub(crate) account: Option<usize>,
    pub(crate) scopes: Arc<[String]>,
    pub(crate) expires: Timestamp,
    /// When, in sign-in order, the user signed in.
    pub(crate) stamp: u64,
    /// Whether the client said that it answers claims challenges (`cp1`).
    pub(crate) answers_claims: bool,
}

/// A refresh token that was handed out.
#[derive(Debug, Clone)]
pub(crate) struct RefreshToken {
    pub(crate) client_id: Arc<str>,
    pub(crate) account: usize,
    pub(crate) scopes: Vec<String>,
    pub(crate) kind: RedirectKind,
    pub(crate) expires: Timestamp,
    /// When the user signed in; refreshing does not change it.
    pub(crate) signed_in: Timestamp,
    /// When, in sign-in order, the user signed in; compared with revocations.
    pub(crate) stamp: u64,
}

/// A device code that waits for its user.
#[derive(Debug, Clone)]
pub(crate) struct DeviceCode {
    pub(crate) client_id: Arc<str>,
    pub(crate) user_code: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires: Timestamp,
    pub(crate) outcome: Option<Result<usize, ()>>,
    pub(crate) used: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) apps: HashMap<String, App>,
    pub(crate) codes: HashMap<String, CodeGrant>,
    pub(crate) access: HashMap<String, AccessToken>,
    pub(crate) refresh: HashMap<String, RefreshToken>,
    pub(crate) devices: HashMap<String, DeviceCode>,
    /// Browser sessions by cookie.
    pub(crate) sessions: HashMap<String, usize>,
    /// Assertion ids that were already used.
    pub(crate) assertions: HashMap<String, Timestamp>,
    stamp: u64,
}

impl Directory {
    pub(crate) fn new(apps: &[AppConfig], now: Timestamp) -> Self {
        let mut directory = Self::default();
        for app in apps {
            directory.add_app(app.clone(), now);
        }
        directory
    }

    pub(crate) fn add_app(&mut self, config: AppConfig, now: Timestamp) {
        let two_years = SignedDuration::from_hours(24 * 730);
        let secrets = config
            .secrets
            .iter()
            .map(|secret| Secret {
                id: secret.id.clone(),
                value: secret.value.clone().unwrap_or_else(new_secret),
                expires: secret
                    .expires
                    .unwrap_or_else(|| now.checked_add(two_years).unwrap_or(Timestamp::MAX)),
            })
            .collect();
        let client_id = config.client_id.to_ascii_lowercase();
        self.apps.insert(
            client_id,
            App {
                config,
                secrets,
                consents: HashMap::new(),
                last_assertion: None,
            },
        );
    }

    pub(crate) fn app(&self, client_id: &str) -> Option<&App> {
        self.apps
            .get(client_id)
            .or_else(|| self.apps.get(&client_id.to_ascii_lowercase()))
    }

    pub(crate) fn app_mut(&mut self, client_id: &str) -> Option<&mut App> {
        self.apps.get_mut(&client_id.to_ascii_lowercase())
    }

    /// The next sign-in stamp.
    pub(crate) fn new_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    /// Hands out an access token.
    pub(crate) fn issue_access(&mut self, token: AccessToken, now: Timestamp) -> String {
        if self.access.len() > 10_000 {
            self.access.retain(|_, old| old.expires > now);
        }
        let name = format!("EwB{}", random_name(120));
        self.access.insert(name.clone(), token);
        name
    }

    /// Hands out a refresh token.
    pub(crate) fn issue_refresh(&mut self, token: RefreshToken) -> String {
        let name = format!("1.A{}", random_name(96));
        self.refresh.insert(name.clone(), token);
        name
    }
}

/// A secret as the portal makes them: 40 characters.
pub(crate) fn new_secret() -> String {
    let mut secret = random_name(30);
    secret.replace_range(3..5, "8Q");
    secret.replace_range(5..6, "~");
    secret
}
