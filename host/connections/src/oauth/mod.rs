//! OAuth: accounts sign in once, their tokens are renewed, and nobody else sees either.
//!
//! Authorization code with PKCE, device code, client credentials and refresh (RFC 6749, RFC 7636,
//! RFC 8628, RFC 9700), by the oauth2 crate; the id token says who signed in, and only the account that
//! is needed is accepted. This room must never hand a token to anybody but the gate, and never write
//! one anywhere but into the vault. Access tokens stay in memory.

mod application;
mod claims;
mod credential;
mod device;
mod error;
mod error_rows;
mod exchange;
mod id_token;
mod loopback;
mod provider;
mod sign_in;
mod tokens;

use std::sync::{Arc, Mutex, PoisonError};

use docket_model::Clock;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use self::application::{Answer, Grant};
pub(crate) use self::application::{Application, Others};
pub(crate) use self::claims::Claims;
pub use self::credential::{Credential, CredentialKind, CredentialStatus, InvalidCredential};
pub use self::device::DeviceSignIn;
pub use self::error::{AuthError, AuthErrorClass};
pub(crate) use self::error::{Subject, user_option};
pub use self::loopback::LoopbackRedirect;
pub(crate) use self::provider::Provider;
pub use self::sign_in::{Callback, FinishError, SignIn, SignedIn};
pub(crate) use self::sign_in::{SignIns, is_guid, is_scope};
pub(crate) use self::tokens::AccessToken;
use self::tokens::Tokens;
use crate::vault::{RecordId, RecordKind, VaultError};

/// An account of a connection: how it gets its tokens.
pub(crate) struct Account {
    pub(crate) application: Arc<Application>,
    /// For messages, and as the vault knows it.
    pub(crate) subject: Subject,
    /// Whether it is the application itself, which does not sign in.
    is_application: bool,
    tokens: Tokens,
    /// What the last token was refused for, until a sign-in answers it.
    challenge: Mutex<Option<Claims>>,
    /// Held while the sign-in is replaced.
    storing: Mutex<()>,
}

/// What the vault keeps of a sign-in.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct SignInRecord {
    refresh_token: String,
    /// The name that signed in.
    pub(crate) account: String,
    /// Its id in its directory; empty where nobody vouches for it.
    pub(crate) oid: String,
    /// The directory's id; empty where there is none.
    pub(crate) tid: String,
    /// The scopes that were granted.
    pub(crate) scopes: Vec<String>,
    /// When it signed in.
    pub(crate) signed_in_at: Timestamp,
    /// When the refresh token was used last.
    pub(crate) refreshed_at: Timestamp,
    /// What a policy wants of the next sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claims: Option<Claims>,
}

impl SignInRecord {
    /// Reads a record of the vault.
    ///
    /// # Errors
    /// [`VaultError::Damaged`].
    pub(crate) fn read(
        text: &SecretString,
        connection: &str,
        account: &str,
    ) -> Result<Self, VaultError> {
        serde_json::from_str(text.expose_secret()).map_err(|_| VaultError::Damaged {
            path: format!("connections.{connection}"),
            problem: format!("the sign-in of {account} cannot be read"),
            remedy: "sign the account in again".to_owned(),
        })
    }
}

impl Drop for SignInRecord {
    fn drop(&mut self) {
        self.refresh_token.zeroize();
    }
}

impl Account {
    /// A user's account.
    pub(crate) fn of_user(application: &Arc<Application>, user: &str) -> Self {
        Self::new(application, user, false)
    }

    /// The application itself.
    pub(crate) fn of_application(application: &Arc<Application>) -> Self {
        Self::new(application, &application.subject.client_id, true)
    }

    fn new(application: &Arc<Application>, name: &str, is_application: bool) -> Self {
        Self {
            application: Arc::clone(application),
            subject: Subject {
                account: name.to_owned(),
                is_application,
                ..application.subject.clone()
            },
            is_application,
            tokens: Tokens::default(),
            challenge: Mutex::default(),
            storing: Mutex::default(),
        }
    }

    fn clock(&self) -> &dyn Clock {
        self.application.clock.as_ref()
    }

    fn record_id(&self) -> RecordId<'_> {
        RecordId {
            connection: &self.subject.connection,
            account: &self.subject.account,
            kind: RecordKind::SignIn,
        }
    }

    /// The sign-in, where there is one. Blocks on the disk.
    pub(crate) fn sign_in(&self) -> Result<Option<SignInRecord>, VaultError> {
        let text = self.application.vault.get(self.record_id())?;
        let read =
            |text| SignInRecord::read(&text, &self.subject.connection, &self.subject.account);
        text.map(read).transpose()
    }

    /// Stores the sign-in; durable when it returns. Blocks on the disk.
    fn set_sign_in(&self, record: &SignInRecord) -> Result<(), VaultError> {
        let _one_at_a_time = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        self.put_sign_in(record)
    }

    /// The same, unless the stored one has another refresh token than `used`. Blocks on the disk.
    fn replace_sign_in(&self, record: &SignInRecord, used: &str) -> Result<bool, VaultError> {
        let _one_at_a_time = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = self
            .sign_in()?
            .is_none_or(|stored| stored.refresh_token == used);
        if is_current {
            self.put_sign_in(record)?;
        }
        Ok(is_current)
    }

    fn put_sign_in(&self, record: &SignInRecord) -> Result<(), VaultError> {
        let text = serde_json::to_string(record)
            .map(SecretString::from)
            .map_err(|error| VaultError::Io(error.to_string()))?;
        self.application.vault.put(self.record_id(), &text)
    }

    /// Steps aside for what blocks on the disk.
    async fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, AuthError> {
        let account = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&account)).await {
            Ok(done) => done.map_err(|error| self.subject.vault_failed(&error)),
            Err(_) => Err(self.subject.shutting_down()),
        }
    }
}
