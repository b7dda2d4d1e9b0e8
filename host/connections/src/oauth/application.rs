//! An application as a sign-in service knows it: what all accounts of a connection ask for tokens by.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use docket_model::Clock;
use jiff::Timestamp;
use oauth2::basic::{
    BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, ExtraTokenFields, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError,
    Scope, StandardRevocableToken, StandardTokenResponse,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::claims::{self, Claims};
use super::credential::{Credential, MOST};
use super::device::Details;
use super::error::{Refusal, Subject};
use super::exchange::{NoAnswer, Service};
use super::provider::Provider;
use super::{AuthError, AuthErrorClass};
use crate::dial::Transport;
use crate::vault::{RecordId, RecordKind, Vault, VaultError};

/// An application, with its credentials in the vault.
pub(crate) struct Application {
    /// For messages; its account is empty.
    pub(crate) subject: Subject,
    pub(crate) provider: Provider,
    pub(crate) transport: Transport,
    pub(super) vault: Vault,
    pub(super) clock: Arc<dyn Clock>,
    /// Which of the credentials was accepted last.
    accepted: AtomicUsize,
    /// Held while the credentials are replaced.
    storing: Mutex<()>,
}

/// The id token beside the tokens.
#[derive(Serialize, Deserialize)]
pub(crate) struct IdToken {
    #[serde(default)]
    pub(super) id_token: Option<String>,
}

impl ExtraTokenFields for IdToken {}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdToken(…)")
    }
}

pub(super) type Answer = StandardTokenResponse<IdToken, BasicTokenType>;
pub(super) type Client = oauth2::Client<
    Refusal,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointMaybeSet,
    EndpointMaybeSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What a token is asked for with.
pub(super) enum Grant<'a> {
    /// An authorization code (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
    Code {
        code: &'a SecretString,
        redirect: &'a RedirectUrl,
        verifier: &'a PkceCodeVerifier,
    },
    /// A device code, until its user has entered it (RFC 8628 section 3.4).
    Device(&'a Details),
    /// A refresh token (RFC 6749 section 6).
    Refresh {
        token: &'a RefreshToken,
        scopes: Vec<String>,
    },
    /// The application's own credential (RFC 6749 section 4.4).
    Application,
}

impl Application {
    pub(crate) fn new(
        subject: Subject,
        provider: Provider,
        transport: Transport,
        vault: Vault,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            subject,
            provider,
            transport,
            vault,
            clock,
            accepted: AtomicUsize::new(0),
            storing: Mutex::default(),
        }
    }

    /// It as the oauth2 crate sees it.
    pub(super) fn client(&self) -> Client {
        oauth2::Client::new(ClientId::new(self.subject.client_id.clone()))
            .set_auth_type(AuthType::RequestBody)
            .set_auth_uri_option(self.provider.authorize.clone())
            .set_device_authorization_url_option(self.provider.device.clone())
            .set_token_uri(self.provider.token.clone())
    }

    /// Where the connection is in `docket.yaml`.
    fn place(&self) -> String {
        format!("connections.{}", self.subject.connection)
    }

    pub(super) fn service(&self, assertion: Option<SecretString>) -> Service {
        Service::new(self.transport.clone(), self.place(), assertion)
    }

    /// Asks for a token, with the credential that was accepted last, and with the others where the
    /// service does not take that one. `challenge` is what the last token was refused for. An error is
    /// in the words of `subject`.
    pub(super) async fn ask(
        self: &Arc<Self>,
        subject: &Subject,
        grant: &Grant<'_>,
        challenge: Option<&Claims>,
    ) -> Result<Answer, AuthError> {
        let all = self.credentials_for(subject).await?;
        if all.is_empty() {
            if let Grant::Application = grant {
                return Err(subject.no_credential());
            }
            return self.ask_with(subject, grant, challenge, None).await;
        }
        let first = self.accepted.load(Ordering::Relaxed);
        let mut refused = None;
        for at in (first..first + all.len()).map(|at| at % all.len()) {
            let asked = self.ask_with(subject, grant, challenge, all.get(at));
            match asked.await {
                Ok(answer) => {
                    self.accepted.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if error.is_of_the_credential() => refused = refused.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| subject.no_credential()))
    }

    /// The same with one credential, or with none.
    pub(super) async fn ask_with(
        &self,
        subject: &Subject,
        grant: &Grant<'_>,
        challenge: Option<&Claims>,
        credential: Option<&Credential>,
    ) -> Result<Answer, AuthError> {
        let mut client = self.client();
        let mut assertion = None;
        if let Some(credential) = credential {
            if let Some(secret) = credential.as_secret() {
                client = client.set_client_secret(ClientSecret::new(secret.to_owned()));
            }
            assertion = credential
                .assertion(
                    &self.subject.client_id,
                    self.provider.token.as_str(),
                    self.clock.now(),
                )
                .map_err(|problem| subject.misconfigured(&problem))?;
        }
        let service = self.service(assertion);
        let claims: Option<(&str, String)> = self
            .provider
            .is_entra
            .then(|| ("claims", claims::parameter(challenge)));
        let answer = match grant {
            Grant::Code {
                code,
                redirect,
                verifier,
            } => {
                let mut request = client
                    .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
                    .set_redirect_uri(std::borrow::Cow::Borrowed(redirect))
                    .set_pkce_verifier(PkceCodeVerifier::new(verifier.secret().clone()));
                if let Some((name, claims)) = claims {
                    request = request.add_extra_param(name, claims);
                }
                request.request_async(&service).await
            }
            Grant::Refresh { token, scopes } => {
                let mut request = client
                    .exchange_refresh_token(token)
                    .add_scopes(scopes.iter().cloned().map(Scope::new));
                if let Some((name, claims)) = claims {
                    request = request.add_extra_param(name, claims);
                }
                request.request_async(&service).await
            }
            Grant::Application => {
                let mut request = client
                    .exchange_client_credentials()
                    .add_scopes(self.provider.app_scopes.iter().cloned().map(Scope::new));
                if let Some((name, claims)) = claims {
                    request = request.add_extra_param(name, claims);
                }
                request.request_async(&service).await
            }
            Grant::Device(details) => {
                let mut request = client.exchange_device_access_token(details);
                if let Some((name, claims)) = claims {
                    request = request.add_extra_param(name, claims);
                }
                let polled = request
                    .request_async(&service, tokio::time::sleep, Some(details.expires_in()))
                    .await;
                return polled.map_err(|error| match error {
                    RequestTokenError::ServerResponse(refusal) => subject.refused(&Refusal {
                        error: refusal.error().as_ref().to_owned(),
                        error_description: refusal.error_description().cloned(),
                        error_codes: Vec::new(),
                        claims: None,
                    }),
                    RequestTokenError::Request(problem) => subject.no_answer(&problem),
                    RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                        subject.nonsense()
                    }
                });
            }
        };
        answer.map_err(|error| failed(subject, &error))
    }

    fn record_id(&self) -> RecordId<'_> {
        RecordId {
            connection: &self.subject.connection,
            account: "",
            kind: RecordKind::Credentials,
        }
    }

    /// The credentials, the current one first. Blocks on the disk.
    pub(crate) fn credentials(&self) -> Result<Vec<Credential>, VaultError> {
        match self.vault.get(self.record_id())? {
            Some(text) => Credential::read_all(&text, &self.subject.connection),
            None => Ok(Vec::new()),
        }
    }

    /// Stores credentials: the new one, and of those before what is still good, in this order or in
    /// the other. Blocks on the disk.
    pub(crate) fn store(&self, new: Credential, others: Others) -> Result<(), VaultError> {
        let _one_at_a_time = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let mut all = match others {
            Others::Drop => Vec::new(),
            Others::Behind | Others::Before => self.credentials()?,
        };
        all.retain(|old| old.expires().is_none_or(|end| now < end) && !old.is_same(&new));
        all.truncate(MOST - 1);
        let at = match others {
            Others::Before => all.len(),
            Others::Drop | Others::Behind => 0,
        };
        all.insert(at, new);
        let text = serde_json::to_string(&all)
            .map(SecretString::from)
            .map_err(|error| VaultError::Io(error.to_string()))?;
        self.vault.put(self.record_id(), &text)?;
        self.accepted.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// The credentials, off the thread; an error is in the words of `subject`.
    async fn credentials_for(
        self: &Arc<Self>,
        subject: &Subject,
    ) -> Result<Vec<Credential>, AuthError> {
        let application = Arc::clone(self);
        match tokio::task::spawn_blocking(move || application.credentials()).await {
            Ok(read) => read.map_err(|error| subject.credentials_failed(&error)),
            Err(_) => Err(subject.shutting_down()),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// What becomes of the credentials that were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// They go.
    Drop,
    /// The new one comes before them.
    Behind,
    /// They come before the new one.
    Before,
}

fn failed(subject: &Subject, error: &RequestTokenError<NoAnswer, Refusal>) -> AuthError {
    match error {
        RequestTokenError::ServerResponse(refusal) => subject.refused(refusal),
        RequestTokenError::Request(problem) => subject.no_answer(problem),
        // Neither is shown: an answer that is half right may hold a token.
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => subject.nonsense(),
    }
}

impl AuthError {
    /// Whether another credential may be accepted where this one was refused.
    fn is_of_the_credential(&self) -> bool {
        self.class == AuthErrorClass::Credential
    }
}
