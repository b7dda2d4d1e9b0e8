//! OAuth: accounts sign in once, their tokens are renewed, and nobody else sees either.
//!
//! Authorization code with PKCE, and refresh (RFC 6749, RFC 7636, RFC 9700), by the oauth2 crate; the
//! id token says who signed in, and only the account that the connection names is accepted. This room
//! must never hand a token to anybody but the gate, and never write one anywhere but into the vault.
//! Access tokens stay in memory.

mod error;
mod exchange;
mod id_token;
mod loopback;
mod sign_in;
mod tokens;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use docket_model::Clock;
use jiff::Timestamp;
use oauth2::basic::{
    BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, ClientId, ClientSecret, EndpointNotSet, EndpointSet, ExtraTokenFields,
    RequestTokenError, StandardRevocableToken, StandardTokenResponse, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use self::error::Refusal;
pub(crate) use self::error::Subject;
pub use self::error::{AuthError, AuthErrorClass};
use self::exchange::{NoAnswer, Service};
pub use self::loopback::LoopbackRedirect;
pub(crate) use self::sign_in::SignIns;
pub use self::sign_in::{Callback, FinishError, SignIn, SignedIn};
pub(crate) use self::tokens::AccessToken;
use self::tokens::Tokens;
use crate::dial::Transport;
use crate::vault::{RecordId, RecordKind, Vault, VaultError};

/// An account of a connection: how it gets its tokens.
pub(crate) struct Account {
    pub(crate) subject: Subject,
    pub(crate) transport: Transport,
    vault: Vault,
    clock: Arc<dyn Clock>,
    tokens: Tokens,
    /// Held while the sign-in is replaced.
    storing: Mutex<()>,
}

/// What the vault keeps of a sign-in.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct SignInRecord {
    refresh_token: String,
    /// The user principal name that signed in.
    pub(crate) account: String,
    /// Its id in its directory.
    pub(crate) oid: String,
    /// The directory's id.
    pub(crate) tid: String,
    /// The scopes that were granted.
    pub(crate) scopes: Vec<String>,
    /// When it signed in.
    pub(crate) signed_in_at: Timestamp,
    /// When the refresh token was used last.
    pub(crate) refreshed_at: Timestamp,
}

impl Drop for SignInRecord {
    fn drop(&mut self) {
        self.refresh_token.zeroize();
    }
}

/// The id token beside the tokens.
#[derive(Serialize, Deserialize)]
pub(crate) struct IdToken {
    #[serde(default)]
    id_token: Option<String>,
}

impl ExtraTokenFields for IdToken {}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdToken(…)")
    }
}

type Answer = StandardTokenResponse<IdToken, BasicTokenType>;
type Client = oauth2::Client<
    Refusal,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

impl Account {
    pub(crate) fn new(
        subject: Subject,
        transport: Transport,
        vault: Vault,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            subject,
            transport,
            vault,
            clock,
            tokens: Tokens::default(),
            storing: Mutex::default(),
        }
    }

    /// The application as the oauth2 crate sees it. The URLs are Entra's
    /// (Entra: v2-oauth2-auth-code-flow.md).
    fn client(&self, secret: Option<&SecretString>) -> Result<Client, AuthError> {
        let Subject {
            authority,
            tenant,
            client_id,
            ..
        } = &self.subject;
        let wrong = |_| self.subject.misconfigured("the authority is no URL");
        let base = format!("{authority}/{tenant}/oauth2/v2.0");
        let mut client = oauth2::Client::new(ClientId::new(client_id.clone()))
            .set_auth_type(AuthType::RequestBody)
            .set_auth_uri(AuthUrl::new(format!("{base}/authorize")).map_err(wrong)?)
            .set_token_uri(TokenUrl::new(format!("{base}/token")).map_err(wrong)?);
        if let Some(secret) = secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()));
        }
        Ok(client)
    }

    /// Where the connection is in `docket.yaml`.
    fn place(&self) -> String {
        format!("connections.{}", self.subject.connection)
    }

    fn service(&self) -> Service {
        Service::new(self.transport.clone(), self.place())
    }

    fn failed(&self, error: &RequestTokenError<NoAnswer, Refusal>) -> AuthError {
        match error {
            RequestTokenError::ServerResponse(refusal) => self.subject.refused(refusal),
            RequestTokenError::Request(problem) => self.no_answer(problem),
            // Neither is shown: an answer that is half right may hold a token.
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => self
                .subject
                .transient("the sign-in service's answer is not one that OAuth knows"),
        }
    }

    fn no_answer(&self, problem: &NoAnswer) -> AuthError {
        match problem {
            NoAnswer::Denied(text) => self.subject.misconfigured(text),
            NoAnswer::Lost(text) => self.subject.transient(text),
        }
    }

    fn record_id(&self, kind: RecordKind) -> RecordId<'_> {
        let account = match kind {
            RecordKind::ClientSecret => "",
            RecordKind::SignIn => &self.subject.account,
        };
        RecordId {
            connection: &self.subject.connection,
            account,
            kind,
        }
    }

    /// The client secret, where there is one. Blocks on the disk.
    pub(crate) fn secret(&self) -> Result<Option<SecretString>, VaultError> {
        self.vault.get(self.record_id(RecordKind::ClientSecret))
    }

    /// Stores the client secret. Blocks on the disk.
    pub(crate) fn set_secret(&self, secret: &SecretString) -> Result<(), VaultError> {
        self.vault
            .put(self.record_id(RecordKind::ClientSecret), secret)?;
        self.tokens.forget_refusal();
        Ok(())
    }

    /// The sign-in, where there is one. Blocks on the disk.
    pub(crate) fn sign_in(&self) -> Result<Option<SignInRecord>, VaultError> {
        let Some(text) = self.vault.get(self.record_id(RecordKind::SignIn))? else {
            return Ok(None);
        };
        serde_json::from_str(text.expose_secret())
            .map(Some)
            .map_err(|_| VaultError::Damaged {
                path: self.place(),
                problem: "its sign-in cannot be read".to_owned(),
                remedy: "sign the account in again".to_owned(),
            })
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
        self.vault.put(self.record_id(RecordKind::SignIn), &text)
    }

    fn vault_failed(&self, error: &VaultError) -> AuthError {
        match error {
            VaultError::Damaged {
                path,
                problem,
                remedy,
            } => self.subject.other(
                AuthErrorClass::SignInRequired,
                &format!("{path} is damaged: {problem}"),
                remedy,
            ),
            other => self.subject.other(
                AuthErrorClass::Host,
                &other.to_string(),
                "see that the data folder can be read and written, and has room",
            ),
        }
    }

    /// Steps aside for what blocks on the disk.
    async fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, AuthError> {
        let account = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&account)).await {
            Ok(done) => done.map_err(|error| self.vault_failed(&error)),
            Err(_) => Err(self.subject.other(
                AuthErrorClass::Host,
                "the host is shutting down",
                "run it again",
            )),
        }
    }
}
