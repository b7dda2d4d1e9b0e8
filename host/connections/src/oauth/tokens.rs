//! Access tokens: in memory, renewed ahead of time, by one refresh for all who wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jiff::{SignedDuration, Timestamp};
use oauth2::{RefreshToken, TokenResponse};
use secrecy::{ExposeSecret, SecretString};

use super::{Account, Answer, AuthError, AuthErrorClass, Claims, Credential, Grant, SignInRecord};
use crate::echo::Echo;

/// How long before its end a token is no longer used: it must outlast the longest request.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// A token's life where the answer does not say (RFC 6749 section 5.1 recommends to).
const LIFE: Duration = Duration::from_secs(3600);
/// How long a refusal stands before the service is asked again. It spares the service those who
/// cannot know that others were refused (AADSTS50196), and is short enough for a sign-in that
/// another process made to be found.
const REFUSED: SignedDuration = SignedDuration::from_secs(30);

/// A token and its end.
pub(crate) struct AccessToken {
    value: SecretString,
    usable_until: Timestamp,
    echo: Arc<Echo>,
}

type Flight = Shared<BoxFuture<'static, Result<Arc<AccessToken>, AuthError>>>;

/// The token of one account, and the refresh that is under way.
#[derive(Default)]
pub(super) struct Tokens {
    current: RwLock<Option<Arc<AccessToken>>>,
    renewal: Mutex<Renewal>,
    /// Held while the refresh token is in use: one at a time, whoever asks.
    refreshing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
enum Renewal {
    #[default]
    Idle,
    UnderWay(Flight),
    Refused(AuthError, Timestamp),
}

impl AccessToken {
    pub(super) fn new(answer: &Answer, asked_at: Timestamp) -> Self {
        let life = SignedDuration::try_from(answer.expires_in().unwrap_or(LIFE))
            .unwrap_or(SignedDuration::ZERO);
        // A short-lived token is used for half its life.
        let life = (life - MARGIN).max(life / 2);
        Self {
            value: SecretString::from(answer.access_token().secret().as_str()),
            usable_until: asked_at.checked_add(life).unwrap_or(asked_at),
            echo: Arc::new(Echo::of(answer.access_token().secret())),
        }
    }

    /// What tells it in an answer.
    pub(crate) fn echo(&self) -> Arc<Echo> {
        Arc::clone(&self.echo)
    }

    pub(crate) fn value(&self) -> &SecretString {
        &self.value
    }
}

impl Tokens {
    fn current(&self) -> Option<Arc<AccessToken>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn renewal(&self) -> MutexGuard<'_, Renewal> {
        self.renewal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a token into use.
    pub(super) fn set(&self, token: Arc<AccessToken>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(token);
        self.forget_refusal();
    }

    /// Lets the next caller ask the service again.
    pub(super) fn forget_refusal(&self) {
        let mut renewal = self.renewal();
        if matches!(*renewal, Renewal::Refused(..)) {
            *renewal = Renewal::Idle;
        }
    }
}

impl Account {
    /// A token that is good for the next minutes.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn token(self: &Arc<Self>) -> Result<Arc<AccessToken>, AuthError> {
        match self.tokens.current() {
            Some(token) if self.clock().now() < token.usable_until => Ok(token),
            _ => self.renew(None).await,
        }
    }

    /// Whether a token is there that is good for the next minutes, or one is on its way.
    pub(crate) fn is_in_use(&self) -> bool {
        let is_good = |token: Arc<AccessToken>| self.clock().now() < token.usable_until;
        self.tokens.current().is_some_and(is_good)
            || matches!(*self.tokens.renewal(), Renewal::UnderWay(_))
    }

    /// Lets the next caller ask the service again, after a refusal whose reason may be gone.
    pub(crate) fn forget_refusal(&self) {
        self.tokens.forget_refusal();
    }

    /// The token that is in memory, good or not.
    pub(crate) fn held_token(&self) -> Option<Arc<AccessToken>> {
        self.tokens.current()
    }

    /// Another token than `stale`, which the provider refused.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn token_after(
        self: &Arc<Self>,
        stale: &Arc<AccessToken>,
    ) -> Result<Arc<AccessToken>, AuthError> {
        self.renew(Some(stale)).await
    }

    /// Drops a token that the provider refused, so that the next request gets another.
    pub(crate) fn drop_token(&self, stale: &Arc<AccessToken>) {
        let mut current = self
            .tokens
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if current
            .as_ref()
            .is_some_and(|token| Arc::ptr_eq(token, stale))
        {
            *current = None;
        }
    }

    /// Joins the refresh that is under way, or starts one.
    async fn renew(
        self: &Arc<Self>,
        stale: Option<&Arc<AccessToken>>,
    ) -> Result<Arc<AccessToken>, AuthError> {
        let flight = {
            let mut renewal = self.tokens.renewal();
            let now = self.clock().now();
            // Somebody may have been faster.
            if let Some(token) = self.tokens.current()
                && now < token.usable_until
                && stale.is_none_or(|stale| !Arc::ptr_eq(stale, &token))
            {
                return Ok(token);
            }
            match &*renewal {
                Renewal::UnderWay(flight) => flight.clone(),
                Renewal::Refused(error, until) if now < *until => return Err(error.clone()),
                Renewal::Idle | Renewal::Refused(..) => {
                    let flight = self.start();
                    *renewal = Renewal::UnderWay(flight.clone());
                    flight
                }
            }
        };
        flight.await
    }

    /// Starts a refresh that runs to its end even when all who wait for it are gone: the token that it
    /// used may be worthless, and the new one must be stored.
    fn start(self: &Arc<Self>) -> Flight {
        let account = Arc::clone(self);
        let task = tokio::spawn(async move {
            let result = account.obtain(None).await;
            let renewal = match &result {
                Ok(token) => {
                    account.tokens.set(Arc::clone(token));
                    Renewal::Idle
                }
                Err(error) if error.class == AuthErrorClass::Transient => Renewal::Idle,
                Err(error) => {
                    let now = account.clock().now();
                    Renewal::Refused(error.clone(), now.checked_add(REFUSED).unwrap_or(now))
                }
            };
            *account.tokens.renewal() = renewal;
            result
        });
        let subject = self.subject.clone();
        async move { task.await.unwrap_or_else(|_| Err(subject.shutting_down())) }
            .boxed()
            .shared()
    }

    /// Gets a token by the credential that is given, or by the stored ones.
    async fn obtain(
        self: &Arc<Self>,
        credential: Option<&Credential>,
    ) -> Result<Arc<AccessToken>, AuthError> {
        let _one_at_a_time = self.tokens.refreshing.lock().await;
        if !self.is_application {
            return self.refresh(credential).await;
        }
        let now = self.clock().now();
        let challenge = self.challenge();
        let answer = self
            .ask(&Grant::Application, challenge.as_ref(), credential)
            .await?;
        self.answered();
        tracing::debug!(connection = %self.subject.connection, "got a token");
        Ok(Arc::new(AccessToken::new(&answer, now)))
    }

    async fn ask(
        &self,
        grant: &Grant<'_>,
        challenge: Option<&Claims>,
        credential: Option<&Credential>,
    ) -> Result<Answer, AuthError> {
        let (application, subject) = (&self.application, &self.subject);
        match credential {
            Some(_) => {
                application
                    .ask_with(subject, grant, challenge, credential)
                    .await
            }
            None => application.ask(subject, grant, challenge).await,
        }
    }

    /// Notes what the resource wants, where it is the token in use that it does not take.
    pub(crate) fn challenged(&self, stale: &Arc<AccessToken>, claims: Claims) {
        let current = self.tokens.current();
        if current.is_some_and(|token| Arc::ptr_eq(&token, stale)) {
            *self
                .challenge
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(claims);
        }
    }

    /// What the last token was refused for.
    pub(super) fn challenge(&self) -> Option<Claims> {
        self.challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The challenge was answered.
    pub(super) fn answered(&self) {
        *self
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What the next sign-in must be asked for with. Blocks on the disk.
    pub(super) fn wanted(&self) -> Option<Claims> {
        self.challenge().or_else(|| {
            // A sign-in that cannot be read is replaced by the one that begins.
            let mut record = self.sign_in().ok().flatten()?;
            record.claims.take()
        })
    }

    /// Refreshes. The refresh token that came with the answer is stored before the access token is
    /// used. Where another sign-in was stored meanwhile, that one counts.
    async fn refresh(
        self: &Arc<Self>,
        credential: Option<&Credential>,
    ) -> Result<Arc<AccessToken>, AuthError> {
        loop {
            let Some(mut record) = self.on_disk(Self::sign_in).await? else {
                return Err(self
                    .subject
                    .sign_in_required("{account} has not signed in yet"));
            };
            let now = self.clock().now();
            let used = RefreshToken::new(record.refresh_token.clone());
            let grant = Grant::Refresh {
                token: &used,
                // The always-wanted ones are not part of what Entra says was granted, and without
                // offline_access there would be no new refresh token.
                scopes: self.application.provider.with_always(&record.scopes),
            };
            let challenge = self.challenge().or_else(|| record.claims.clone());
            let answer = match self.ask(&grant, challenge.as_ref(), credential).await {
                Ok(answer) => answer,
                Err(error) => {
                    let wanted = error.claims.as_deref().cloned().or(challenge);
                    return Err(self.keep_wanted(record, wanted, error).await);
                }
            };
            self.answered();
            record.claims = None;
            if let Some(token) = answer.refresh_token() {
                record.refresh_token.clone_from(token.secret());
            }
            record.refreshed_at = now;
            let used = SecretString::from(used.into_secret());
            let is_stored = self
                .on_disk(move |account| account.replace_sign_in(&record, used.expose_secret()))
                .await?;
            if is_stored {
                tracing::debug!(connection = %self.subject.connection, "refreshed the token");
                return Ok(Arc::new(AccessToken::new(&answer, now)));
            }
            if let Some(token) = self.tokens.current()
                && self.clock().now() < token.usable_until
            {
                return Ok(token);
            }
        }
    }

    /// Keeps what the next sign-in must be asked for with, where only a sign-in helps: it may come
    /// days later, and to another process.
    async fn keep_wanted(
        self: &Arc<Self>,
        mut record: SignInRecord,
        wanted: Option<Claims>,
        error: AuthError,
    ) -> AuthError {
        let is_new = wanted.is_some() && record.claims != wanted;
        if error.class == AuthErrorClass::SignInRequired && is_new {
            record.claims = wanted;
            let used = SecretString::from(record.refresh_token.as_str());
            let kept = self
                .on_disk(move |account| account.replace_sign_in(&record, used.expose_secret()))
                .await;
            if let Err(error) = kept {
                tracing::warn!(connection = %self.subject.connection, %error, "what the next sign-in needs was not kept");
            }
        }
        error
    }

    /// Tries a credential that is not stored yet, by the account's own way to a token.
    ///
    /// # Errors
    /// Why it gave none; of the class [`AuthErrorClass::SignInRequired`] where the account's sign-in
    /// is at fault.
    pub(crate) async fn try_credential(
        self: &Arc<Self>,
        credential: &Credential,
    ) -> Result<(), AuthError> {
        let (account, credential) = (Arc::clone(self), credential.clone());
        // It ends even when nobody waits for it, as every refresh does.
        let task = tokio::spawn(async move {
            let token = account.obtain(Some(&credential)).await?;
            account.tokens.set(token);
            Ok(())
        });
        task.await
            .unwrap_or_else(|_| Err(self.subject.shutting_down()))
    }

    /// Takes the token of a fresh sign-in into use.
    pub(super) fn adopt(&self, token: AccessToken) {
        self.tokens.set(Arc::new(token));
    }
}
