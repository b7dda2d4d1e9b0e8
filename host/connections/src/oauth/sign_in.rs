//! Interactive sign-in: authorization code with PKCE S256, state and nonce.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use docket_model::{Clock, Principal};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use oauth2::{
    AuthorizationCode, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    TokenResponse,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::error::Refusal;
use super::id_token::{self, Expected};
use super::{AccessToken, Account, AuthError, SignInRecord};
use crate::policy::url::same_origin;

/// How long a sign-in may take, from the link to the answer; an authorization code lives as long.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// How many may be under way at a time.
const MOST: usize = 1000;
/// What is asked for besides the workflows' needs: a refresh token, and who signed in.
const ALWAYS: [&str; 3] = ["offline_access", "openid", "profile"];

/// A sign-in that has begun.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Where the account's owner goes with a browser.
    pub authorize_url: Url,
    /// What the answer must carry.
    pub state: String,
}

/// The answer that came to the redirect URI.
#[derive(Clone)]
pub struct Callback {
    state: String,
    pub(super) outcome: Result<SecretString, Refusal>,
}

/// A sign-in that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The connection and the account.
    pub principal: Principal,
    /// The scopes that were granted.
    pub scopes: Vec<String>,
    /// The scopes that were asked for and not granted.
    pub missing: Vec<String>,
}

/// Sign-ins under way, by state.
#[derive(Default)]
pub(crate) struct SignIns(Mutex<HashMap<String, Pending>>);

struct Pending {
    account: Arc<Account>,
    redirect: RedirectUrl,
    verifier: PkceCodeVerifier,
    nonce: String,
    scopes: Vec<String>,
    expires: Timestamp,
}

/// What of the discovery document counts.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: Url,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback")
            .field("error", &self.outcome.as_ref().err())
            .finish_non_exhaustive()
    }
}

impl Callback {
    /// Reads the query of the redirect: `state` with `code`, or with `error` (RFC 6749 section 4.1.2).
    /// `None` where it is neither, or says something twice.
    #[must_use]
    pub fn from_query(query: &str) -> Option<Self> {
        let mut found: HashMap<String, String> = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if matches!(&*name, "state" | "code" | "error" | "error_description")
                && found
                    .insert(name.into_owned(), value.into_owned())
                    .is_some()
            {
                return None;
            }
        }
        let state = found.remove("state")?;
        let outcome = match (found.remove("code"), found.remove("error")) {
            (Some(code), None) => Ok(SecretString::from(code)),
            (None, Some(error)) => Err(Refusal {
                error,
                error_description: found.remove("error_description"),
                error_codes: Vec::new(),
            }),
            _ => return None,
        };
        Some(Self { state, outcome })
    }

    /// Whether it answers the sign-in with that state.
    #[must_use]
    pub fn answers(&self, state: &str) -> bool {
        self.state == state
    }
}

impl SignIns {
    /// Begins a sign-in.
    pub(crate) fn begin(
        &self,
        account: &Arc<Account>,
        redirect: &str,
        scopes: &[String],
        clock: &dyn Clock,
    ) -> Result<SignIn, AuthError> {
        let redirect = RedirectUrl::new(redirect.to_owned())
            .map_err(|_| account.subject.misconfigured("the redirect is no URL"))?;
        let scopes = with_always(scopes);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = CsrfToken::new_random();
        let (authorize_url, state) = account
            .client(None)?
            .authorize_url(CsrfToken::new_random)
            .set_redirect_uri(std::borrow::Cow::Borrowed(&redirect))
            .set_pkce_challenge(challenge)
            .add_scopes(scopes.iter().cloned().map(Scope::new))
            .add_extra_param("nonce", nonce.secret())
            .add_extra_param("login_hint", &account.subject.account)
            .add_extra_param("response_mode", "query")
            .url();
        let now = clock.now();
        let pending = Pending {
            account: Arc::clone(account),
            redirect,
            verifier,
            nonce: nonce.into_secret(),
            scopes,
            expires: now.checked_add(PATIENCE).unwrap_or(now),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, pending| now < pending.expires);
        if all.len() >= MOST {
            return Err(account.subject.transient("too many sign-ins are under way"));
        }
        all.insert(state.secret().clone(), pending);
        Ok(SignIn {
            authorize_url,
            state: state.into_secret(),
        })
    }

    /// Ends a sign-in. Each state is good for one answer.
    pub(crate) async fn finish(
        &self,
        callback: Callback,
        clock: &dyn Clock,
    ) -> Result<SignedIn, FinishError> {
        let pending = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock.now();
            all.remove(&callback.state)
                .filter(|pending| now < pending.expires)
        };
        let Some(pending) = pending else {
            return Err(FinishError::Unknown);
        };
        let account = Arc::clone(&pending.account);
        match callback.outcome {
            Ok(code) => Ok(account.redeem(pending, &code, clock.now()).await?),
            Err(refusal) => Err(account.subject.refused(&refusal).into()),
        }
    }
}

/// Why a sign-in did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// No sign-in with that state is under way: it is forged, was used already, or took too long.
    #[error(
        "this answer belongs to no sign-in that is under way: it was used already, took longer than 10 minutes, or was not asked for; run `docket connections authorize` again"
    )]
    Unknown,
    /// The sign-in service, or what it said about the account.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

impl Account {
    /// Makes a code into a sign-in that is stored.
    async fn redeem(
        self: &Arc<Self>,
        pending: Pending,
        code: &SecretString,
        now: Timestamp,
    ) -> Result<SignedIn, AuthError> {
        let secret = self.on_disk(Self::secret).await?;
        let client = self.client(secret.as_ref())?;
        let answer = client
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .set_redirect_uri(std::borrow::Cow::Borrowed(&pending.redirect))
            .set_pkce_verifier(pending.verifier)
            .request_async(&self.service())
            .await
            .map_err(|error| self.failed(&error))?;
        let subject = &self.subject;
        let id_token = answer.extra_fields().id_token.as_deref();
        let claims = self
            .verify(id_token.unwrap_or_default(), &pending.nonce, now)
            .await?;
        let account = &claims.preferred_username;
        if account.to_lowercase() != subject.account.to_lowercase() {
            let signed_in: String = account
                .chars()
                .filter(|c| !c.is_control())
                .take(120)
                .collect();
            return Err(subject.sign_in_required(&format!(
                "{signed_in} signed in, and the connection {{connection}} is for {{account}}"
            )));
        }
        let Some(refresh_token) = answer.refresh_token() else {
            return Err(subject.misconfigured("the sign-in service gave no refresh token"));
        };
        let scopes: Vec<String> = match answer.scopes() {
            Some(granted) => granted.iter().map(|scope| scope.to_string()).collect(),
            // RFC 6749 section 5.1: as asked for.
            None => pending.scopes.clone(),
        };
        // offline_access and the OpenID ones are not part of what Entra says was granted.
        let missing = pending
            .scopes
            .iter()
            .filter(|asked| !ALWAYS.contains(&asked.as_str()))
            .filter(|asked| !scopes.iter().any(|granted| is_scope(granted, asked)))
            .cloned()
            .collect();
        let principal = Principal {
            connection: subject.connection.clone(),
            account: subject.account.clone(),
        };
        let record = SignInRecord {
            refresh_token: refresh_token.secret().clone(),
            account: account.clone(),
            oid: claims.oid.clone(),
            tid: claims.tid.clone(),
            scopes: scopes.clone(),
            signed_in_at: now,
            refreshed_at: now,
        };
        self.on_disk(move |account| account.set_sign_in(&record))
            .await?;
        self.adopt(AccessToken::new(&answer, now));
        Ok(SignedIn {
            principal,
            scopes,
            missing,
        })
    }

    /// Verifies an id token against the keys that the directory publishes.
    async fn verify(
        &self,
        token: &str,
        nonce: &str,
        now: Timestamp,
    ) -> Result<id_token::Claims, AuthError> {
        let subject = &self.subject;
        let service = self.service();
        let discovery = format!(
            "{}/{}/v2.0/.well-known/openid-configuration",
            subject.authority, subject.tenant
        );
        let discovery =
            Url::parse(&discovery).map_err(|_| subject.misconfigured("the authority is no URL"))?;
        let found: Discovery = service
            .get_json(&discovery)
            .await
            .map_err(|problem| self.no_answer(&problem))?;
        if !same_origin(&found.jwks_uri, &discovery) {
            return Err(subject.misconfigured("the authority keeps its keys on another host"));
        }
        let keys: JwkSet = service
            .get_json(&found.jwks_uri)
            .await
            .map_err(|problem| self.no_answer(&problem))?;
        let expected = Expected {
            issuer: &found.issuer,
            client_id: &subject.client_id,
            nonce,
            tenant_id: is_guid(&subject.tenant).then_some(&subject.tenant),
            now,
        };
        id_token::verify(token, &keys, &expected).map_err(|problem| {
            subject.sign_in_required(&format!(
                "the id token of the sign-in is refused: {problem}"
            ))
        })
    }
}

/// The scopes, and those that every sign-in needs.
pub(super) fn with_always(scopes: &[String]) -> Vec<String> {
    let mut all: Vec<String> = scopes
        .iter()
        .cloned()
        .chain(ALWAYS.map(str::to_owned))
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Whether two spellings of a scope are the same one: Entra answers with or without Graph's URL, and
/// without regard to case.
fn is_scope(granted: &str, asked: &str) -> bool {
    let name = |scope: &str| scope.rsplit('/').next().unwrap_or_default().to_lowercase();
    name(granted) == name(asked)
}

/// Whether a tenant is an id, rather than a domain.
fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks() {
        for (query, expected) in [
            ("code=c&state=s", Some(Ok("c"))),
            ("state=s&code=c&session_state=x", Some(Ok("c"))),
            (
                "state=s&error=access_denied&error_description=AADSTS65004%3A+no",
                Some(Err("access_denied")),
            ),
            ("code=c", None),
            ("state=s", None),
            ("state=s&code=c&error=e", None),
            ("state=s&state=t&code=c", None),
            ("state=s&code=c&code=d", None),
            ("", None),
        ] {
            let found = Callback::from_query(query);
            let outcome = found.as_ref().map(|callback| {
                assert!(callback.answers("s") && !callback.answers("t"));
                let outcome = callback.outcome.as_ref();
                outcome
                    .map(|code| code.expose_secret())
                    .map_err(|refusal| refusal.error.as_str())
            });
            assert_eq!(outcome, expected, "{query}");
        }
        let shown = format!("{:?}", Callback::from_query("code=canary&state=canary"));
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn scopes_have_two_spellings() {
        assert!(is_scope(
            "https://graph.microsoft.com/Mail.Send",
            "mail.send"
        ));
        assert!(!is_scope("Mail.Send.Shared", "Mail.Send"));
        assert!(is_guid("7d0c4e1a-5b2f-4c8e-9a63-d0c4e7000001"));
        assert!(!is_guid("contoso.example"));
    }
}
