//! Interactive sign-in: authorization code with PKCE S256, state and nonce.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use docket_model::{Clock, Principal};
use jiff::{SignedDuration, Timestamp};
use oauth2::{
    CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse as _,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::claims;
use super::error::Refusal;
use super::id_token::{self, Expected};
use super::{AccessToken, Account, Answer, AuthError, Grant, SignInRecord};

/// How long a sign-in may take, from the link to the answer; an authorization code lives as long.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// How many may be under way at a time; one more ends the oldest. Whoever has a link begins one, and
/// must not keep others from theirs.
const MOST: usize = 10_000;
/// And how many of one account.
const MOST_OF_ONE: usize = 100;

/// A sign-in that has begun.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// Who says that it answers (RFC 9207).
    issuer: Option<String>,
    pub(super) outcome: Result<SecretString, Refusal>,
}

/// A sign-in that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback")
            .field("error", &self.outcome.as_ref().err())
            .finish_non_exhaustive()
    }
}

impl Callback {
    /// Reads the query of the redirect, or the form that was posted to it (OAuth 2.0 Form Post Response
    /// Mode): `state` with `code`, or with `error` (RFC 6749 section 4.1.2).
    /// `None` where it is neither, or says something twice.
    #[must_use]
    pub fn from_query(query: &str) -> Option<Self> {
        let mut found: HashMap<String, String> = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if matches!(
                &*name,
                "state" | "code" | "error" | "error_description" | "iss"
            ) && found
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
                claims: None,
            }),
            _ => return None,
        };
        let issuer = found.remove("iss");
        Some(Self {
            state,
            issuer,
            outcome,
        })
    }

    /// The query that it was read from, as far as it counts: to hand it to the process that began the
    /// sign-in. It holds the code.
    #[must_use]
    pub fn to_query(&self) -> SecretString {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("state", &self.state);
        match &self.outcome {
            Ok(code) => query.append_pair("code", code.expose_secret()),
            Err(refusal) => query.append_pair("error", &refusal.error).extend_pairs(
                refusal
                    .error_description
                    .iter()
                    .map(|text| ("error_description", text)),
            ),
        };
        query.extend_pairs(self.issuer.iter().map(|issuer| ("iss", issuer)));
        SecretString::from(query.finish())
    }

    /// Whether it answers the sign-in with that state.
    #[must_use]
    pub fn answers(&self, state: &str) -> bool {
        self.state == state
    }
}

impl SignIns {
    /// Begins a sign-in. Blocks on the disk.
    pub(crate) fn begin(
        &self,
        account: &Arc<Account>,
        redirect: &str,
        scopes: &[String],
        clock: &dyn Clock,
    ) -> Result<SignIn, AuthError> {
        let redirect = RedirectUrl::new(redirect.to_owned())
            .map_err(|_| account.subject.misconfigured("the redirect is no URL"))?;
        let provider = &account.application.provider;
        let scopes = provider.with_always(scopes);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = CsrfToken::new_random();
        let client = account.application.client();
        let mut request = client
            .authorize_url(CsrfToken::new_random)
            .map_err(|_| {
                let problem = "the provider has no `authorize-url`; use a device code";
                account.subject.misconfigured(problem)
            })?
            .set_redirect_uri(std::borrow::Cow::Borrowed(&redirect))
            .set_pkce_challenge(challenge)
            .add_scopes(scopes.iter().cloned().map(Scope::new))
            .add_extra_param("nonce", nonce.secret())
            .add_extra_param("login_hint", &account.subject.account);
        if provider.is_entra {
            // A form keeps the code out of URLs, and so out of logs on the way. From https to this
            // machine's http browsers would warn of it.
            let mode = match redirect.url().scheme() {
                "https" => "form_post",
                _ => "query",
            };
            request = request
                .add_extra_param("response_mode", mode)
                .add_extra_param("claims", claims::parameter(account.wanted().as_ref()));
        }
        let (authorize_url, state) = request.url();
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
        if all.len() >= MOST {
            all.retain(|_, pending| now < pending.expires);
        }
        end_oldest(&mut all, MOST_OF_ONE, |one| {
            one.account.subject.is_same_account(&account.subject)
        });
        end_oldest(&mut all, MOST, |_| true);
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
        // RFC 9207 section 2.4: another provider's answer is not taken to this one.
        let issuer = account.application.provider.issuer_name();
        if let (Some(answers), Some(expected)) = (&callback.issuer, issuer)
            && answers != expected
        {
            return Err(FinishError::Unknown);
        }
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

/// Makes room for one more of those that count, where there are as many as may be.
fn end_oldest(all: &mut HashMap<String, Pending>, most: usize, counts: impl Fn(&Pending) -> bool) {
    let counted = || all.iter().filter(|(_, pending)| counts(pending));
    if counted().count() < most {
        return;
    }
    let oldest = counted().min_by_key(|(_, pending)| pending.expires);
    if let Some(oldest) = oldest.map(|(state, _)| state.clone()) {
        all.remove(&oldest);
    }
}

impl Account {
    /// Makes a code into a sign-in that is stored.
    async fn redeem(
        self: &Arc<Self>,
        pending: Pending,
        code: &SecretString,
        now: Timestamp,
    ) -> Result<SignedIn, AuthError> {
        let grant = Grant::Code {
            code,
            redirect: &pending.redirect,
            verifier: &pending.verifier,
        };
        let challenge = self.challenge();
        let answer = self
            .application
            .ask(&self.subject, &grant, challenge.as_ref())
            .await?;
        self.accept(&answer, &pending.scopes, Some(&pending.nonce), now)
            .await
    }

    /// Makes an answer into a sign-in that is stored, if it is the account's own.
    pub(super) async fn accept(
        self: &Arc<Self>,
        answer: &Answer,
        asked: &[String],
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<SignedIn, AuthError> {
        let subject = &self.subject;
        let who = self.identify(answer, nonce, now).await?;
        let Some(refresh_token) = answer.refresh_token() else {
            return Err(subject.misconfigured("the sign-in service gave no refresh token"));
        };
        let scopes: Vec<String> = match answer.scopes() {
            Some(granted) => granted.iter().map(|scope| scope.to_string()).collect(),
            // RFC 6749 section 5.1: as asked for.
            None => asked.to_vec(),
        };
        // offline_access and the OpenID ones are not part of what Entra says was granted.
        let always = self.application.provider.always();
        let missing = asked
            .iter()
            .filter(|asked| !always.contains(&asked.as_str()))
            .filter(|asked| !scopes.iter().any(|granted| is_scope(granted, asked)))
            .cloned()
            .collect();
        let principal = Principal {
            connection: subject.connection.clone(),
            account: subject.account.clone(),
        };
        let record = SignInRecord {
            refresh_token: refresh_token.secret().clone(),
            account: who.account,
            oid: who.id,
            tid: who.directory,
            scopes: scopes.clone(),
            signed_in_at: now,
            refreshed_at: now,
            claims: None,
        };
        self.on_disk(move |account| account.set_sign_in(&record))
            .await?;
        self.answered();
        self.adopt(AccessToken::new(answer, now));
        Ok(SignedIn {
            principal,
            scopes,
            missing,
        })
    }

    /// Who signed in, verified against the keys that the issuer publishes: the account that is
    /// needed, or an error with both names.
    async fn identify(
        &self,
        answer: &Answer,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<Identity, AuthError> {
        let (subject, provider) = (&self.subject, &self.application.provider);
        if provider.issuer.is_none() {
            // Nobody vouches for anybody; the name is what docket.yaml says.
            return Ok(Identity {
                account: subject.account.clone(),
                id: String::new(),
                directory: String::new(),
            });
        }
        let (issuer, keys) = provider
            .keys(&self.application.service(None))
            .await
            .map_err(|problem| subject.no_answer(&problem))?;
        let expected = Expected {
            issuer: &issuer,
            client_id: &subject.client_id,
            nonce,
            is_entra: provider.is_entra,
            tenant_id: (provider.is_entra && is_guid(&subject.tenant)).then_some(&subject.tenant),
            now,
        };
        let token = answer.extra_fields().id_token.as_deref();
        let claims =
            id_token::verify(token.unwrap_or_default(), &keys, &expected).map_err(|problem| {
                subject.sign_in_required(&format!(
                    "the id token of the sign-in is refused: {problem}"
                ))
            })?;
        let account = claims.account(provider.is_entra).unwrap_or_default();
        if account.to_lowercase() != subject.account.to_lowercase() {
            let signed_in: String = account
                .chars()
                .filter(|c| !c.is_control())
                .take(120)
                .collect();
            return Err(subject.sign_in_required(&format!(
                "{signed_in} signed in, and the connection {{connection}} needs {{account}}"
            )));
        }
        Ok(Identity {
            account: account.to_owned(),
            id: claims.id().to_owned(),
            directory: claims.tid.clone().unwrap_or_default(),
        })
    }
}

/// Who signed in.
struct Identity {
    account: String,
    id: String,
    directory: String,
}

/// Whether two spellings of a scope are the same one: Entra answers with or without Graph's URL, and
/// without regard to case.
pub(crate) fn is_scope(granted: &str, asked: &str) -> bool {
    let name = |scope: &str| scope.rsplit('/').next().unwrap_or_default().to_lowercase();
    name(granted) == name(asked)
}

/// Whether a tenant is an id, rather than a domain.
pub(crate) fn is_guid(text: &str) -> bool {
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
            ("state=s&code=c&iss=https%3A%2F%2Flogin.test", Some(Ok("c"))),
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
            if let Some(callback) = found {
                let again = Callback::from_query(callback.to_query().expose_secret()).unwrap();
                assert_eq!(again.state, callback.state);
                assert_eq!(again.issuer, callback.issuer);
                assert_eq!(again.outcome.is_ok(), callback.outcome.is_ok());
            }
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
