//! The gate: the one road of a plugin's request to the network.
//!
//! In this order: the headers and the URL pass the policy, the mailbox gives a turn, the account gives
//! its token, the request is sent. No step may be skipped, and none is repeated behind the caller's
//! back but these two, both for GET and HEAD without a body only: a redirect is followed, after it
//! passed the policy as a request of its own and lost what must not go to another origin; and a 401
//! is asked once more with a new token.
//!
//! Messages never hold a query, and of a URL that may be secret the origin only.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use secrecy::ExposeSecret;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use url::Url;

use crate::binding::{Binding, Bound, Inner};
use crate::body::{Fault, exactly};
use crate::dial;
use crate::echo::{Echo, Guarded, Repeated};
use crate::gate::{Body, GateError, Request, Response};
use crate::mailboxes::LinkWatch;
use crate::oauth::{AccessToken, AuthError, AuthErrorClass, Claims};
use crate::pace::{Lane, Turn};
use crate::policy::url::{origin, same_origin};
use crate::policy::{Allowed, headers};
use crate::turn::HeldTurn;

/// The longest time that a request may be given.
pub(crate) const LONGEST: Duration = Duration::from_secs(15 * 60);
/// The largest body of a request, in bytes: Exchange's largest message in base64, and some.
const MAX_REQUEST: u64 = 256 * 1024 * 1024;
/// The largest body of an answer, in bytes, whatever the caller would take.
const MAX_RESPONSE: u64 = 512 * 1024 * 1024;
/// The most redirects of one request.
const MAX_REDIRECTS: u32 = 5;

impl Binding {
    /// Sends a request, if it is allowed.
    ///
    /// The answer's body streams; until it has ended or was dropped, it holds one of the mailbox's
    /// turns. Dropping the future or the body gives the request up. Must be called within a tokio
    /// runtime with time and I/O.
    ///
    /// # Errors
    /// [`GateError`]. Only [`GateError::Interrupted`] leaves open whether the server saw the request.
    pub async fn send(&self, request: Request) -> Result<Response, GateError> {
        self.0.recall_mailbox(&request.url).await;
        Exchange::new(&self.0, request, None)?.run(None).await
    }

    /// Sends a request in its turn.
    ///
    /// # Errors
    /// As [`Binding::send`].
    pub async fn send_in_turn(
        &self,
        request: Request,
        turn: HeldTurn,
    ) -> Result<Response, GateError> {
        let allowed = turn.allowed(&request.method, &request.url);
        Exchange::new(&self.0, request, allowed)?
            .run(Some(turn))
            .await
    }
}

impl Binding {
    /// Whether [`Binding::send`] would send a request, as far as that can be told without the network.
    ///
    /// # Errors
    /// [`GateError`]: why it would not.
    pub fn check(&self, request: Request) -> Result<(), GateError> {
        Exchange::new(&self.0, request, None).map(drop)
    }
}

/// A request on its way.
struct Exchange<'b> {
    binding: &'b Inner,
    method: Method,
    allowed: Allowed,
    headers: HeaderMap,
    body: Option<Body>,
    /// The connection whose token to add.
    signer: Option<&'b Bound>,
    deadline: Instant,
}

impl<'b> Exchange<'b> {
    /// Everything that can be decided without the network; `allowed` is what the policy has said
    /// about the request, if it was asked before.
    fn new(
        binding: &'b Inner,
        request: Request,
        allowed: Option<Allowed>,
    ) -> Result<Self, GateError> {
        let Request {
            method,
            url,
            headers,
            body,
            with_token,
            timeout,
        } = request;
        let headers = headers::check(&headers)?;
        let allowed = match allowed {
            Some(allowed) => allowed,
            None => binding.policy.check(&method, &url)?,
        };
        let method = Method::from_bytes(method.as_bytes())
            .ok()
            .filter(|method| !matches!(*method, Method::CONNECT | Method::TRACE))
            .ok_or_else(|| {
                GateError::Invalid("the method is not one that can be sent".to_owned())
            })?;
        if body.as_ref().is_some_and(|body| body.size > MAX_REQUEST) {
            return Err(GateError::Invalid(format!(
                "a body of more than {MAX_REQUEST} bytes"
            )));
        }
        if body.is_some() && is_read(&method) {
            return Err(GateError::Invalid(format!("{method} with a body")));
        }
        let signer = match (with_token, binding.connection.as_ref()) {
            (false, _) => None,
            (true, None) => {
                return Err(GateError::Invalid(
                    "a token without a connection".to_owned(),
                ));
            }
            (true, Some(bound)) if allowed.takes_token => Some(bound),
            (true, Some(bound)) => return Err(misdirected(bound, &allowed.url)),
        };
        let deadline = Instant::now() + timeout.min(LONGEST);
        Ok(Self {
            binding,
            method,
            allowed,
            headers,
            body,
            signer,
            deadline,
        })
    }

    async fn run(mut self, turn: Option<HeldTurn>) -> Result<Response, GateError> {
        let account = self.binding.connection.as_ref().map(|held| &held.account);
        let host = origin(&self.allowed.url);
        let lane = self.binding.lane(&self.allowed);
        let turn = match turn {
            Some(held) => held.turn,
            None => self.turn(&lane).await,
        };
        let turn = match turn {
            Turn::Now(turn) => turn,
            Turn::Paused(left) => return Ok(paused(left)),
            Turn::Late => {
                return Err(GateError::Unreachable(format!(
                    "{host}: other requests to the mailbox had all of the request's time"
                )));
            }
        };
        let mut token = match (&self.signer, account) {
            (Some(_), Some(account)) => Some(in_time(self.deadline, account.token()).await?),
            _ => None,
        };
        let (mut redirects, mut renewed) = (0, false);
        let mut echo = Arc::default();
        loop {
            let (response, fault) = self.hop(token.as_ref()).await?;
            let status = response.status();
            if let Some(known) = token.clone().or_else(|| account?.held_token()) {
                echo = known.echo();
            }
            self.check_head(&response, &echo)?;
            lane.note(
                status.as_u16(),
                response.headers(),
                self.binding.clock.as_ref(),
            );
            if status == StatusCode::UNAUTHORIZED
                && let (Some(stale), Some(account)) = (&token, account)
            {
                if let Some(claims) = Claims::of_challenge(response.headers()) {
                    account.challenged(stale, claims);
                }
                account.drop_token(stale);
                if is_read(&self.method) && !renewed {
                    renewed = true;
                    match in_time(self.deadline, account.token_after(stale)).await {
                        Ok(fresh) => {
                            token = Some(fresh);
                            continue;
                        }
                        Err(error @ GateError::SignInRequired(_)) => return Err(error),
                        // The provider's own answer says more than a renewal that failed.
                        Err(_) => {}
                    }
                }
            }
            match self.next(&response, redirects)? {
                Some(next) => {
                    redirects += 1;
                    if !same_origin(&self.allowed.url, &next.url) {
                        token = None;
                        self.headers = headers::travelling(&self.headers);
                    } else if !next.takes_token {
                        token = None;
                    }
                    self.allowed = next;
                }
                None => {
                    tracing::debug!(method = %self.method, host, status = status.as_u16(), "answered");
                    return Ok(self.answer(response, turn, fault, echo));
                }
            }
        }
    }

    /// Waits for its turn. A piece of an upload may wait longer than it may take, and takes no less for
    /// that.
    async fn turn(&mut self, lane: &Lane) -> Turn {
        let size = self.body.as_ref().map_or(0, |body| body.size);
        if !self.binding.is_piece(&self.allowed) {
            return lane.turn(size, Some(self.deadline)).await;
        }
        let began = Instant::now();
        let turn = lane.turn(size, None).await;
        self.deadline += began.elapsed();
        turn
    }

    /// Sends once. The cell holds the host's own fault, where the body could not be read.
    async fn hop(
        &mut self,
        token: Option<&Arc<AccessToken>>,
    ) -> Result<(reqwest::Response, Fault), GateError> {
        let place = self.binding.place();
        let client = self.binding.transport().client(&self.allowed.url, &place)?;
        let mut headers = self.headers.clone();
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, bearer(token)?);
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        let mut request = client
            .request(self.method.clone(), self.allowed.url.clone())
            .timeout(left);
        let fault = Fault::default();
        match self.body.take() {
            Some(body) => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(body.size));
                request = request.body(exactly(body, fault.clone()).await?);
            }
            // Graph asks for it (message-send.md), and so does IIS of every POST.
            None if !is_read(&self.method) => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
            }
            None => {}
        }
        match request.headers(headers).send().await {
            Ok(response) => Ok((response, fault)),
            Err(error) => {
                if let Some(fault) = fault.get() {
                    return Err(GateError::Fault(fault.clone()));
                }
                Err(dial::failed(error, &origin(&self.allowed.url), &place))
            }
        }
    }

    /// Where a redirect leads, if it is one to follow and the policy lets it.
    fn next(
        &self,
        response: &reqwest::Response,
        redirects: u32,
    ) -> Result<Option<Allowed>, GateError> {
        if !is_read(&self.method)
            || !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
        {
            return Ok(None);
        }
        let Some(location) = response.headers().get(LOCATION) else {
            return Ok(None);
        };
        if redirects == MAX_REDIRECTS {
            return Err(GateError::Interrupted(format!(
                "{}: more than {MAX_REDIRECTS} redirects",
                origin(&self.allowed.url)
            )));
        }
        let next = location
            .to_str()
            .ok()
            .filter(|location| !location.contains(['\\', '#']))
            .and_then(|location| resolve(&self.allowed.url, location))
            .ok_or_else(|| {
                GateError::Interrupted(format!(
                    "{}: a redirect to nowhere",
                    origin(&self.allowed.url)
                ))
            })?;
        match self.binding.policy.check(self.method.as_str(), &next) {
            Ok(allowed) => Ok(Some(allowed)),
            Err(GateError::Denied { what, remedy }) => Err(GateError::Denied {
                what: format!("the redirect from {} to {what}", origin(&self.allowed.url)),
                remedy,
            }),
            Err(other) => Err(other),
        }
    }

    /// Learns the mailbox's id from an answer that may carry it: to what was written there are no
    /// further pages.
    fn watch(&self, response: &reqwest::Response) -> Option<LinkWatch> {
        if !is_read(&self.method) {
            return None;
        }
        let bound = self.signer?;
        let mailbox = self.allowed.mailbox.as_deref()?;
        let is_json = response
            .headers()
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("application/json"));
        if !response.status().is_success() || !is_json {
            return None;
        }
        LinkWatch::new(
            &bound.scope,
            mailbox,
            &self.allowed.url,
            &self.binding.vault,
        )
    }

    /// Refuses an answer whose headers repeat the token, also one that would be redirected with it,
    /// and one in a coding, inside which nobody can look for it and which was not asked for.
    fn check_head(&self, response: &reqwest::Response, echo: &Echo) -> Result<(), GateError> {
        let host = origin(&self.allowed.url);
        let headers = response.headers();
        if headers.values().any(|value| echo.is_in(value.as_bytes())) {
            return Err(repeated(&host));
        }
        let coding = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
        match coding {
            Some(_) => Err(GateError::Interrupted(format!(
                "{host}: the answer has a Content-Encoding, which was not asked for and is not read"
            ))),
            None => Ok(()),
        }
    }

    /// The answer as the plugin's side sees it.
    fn answer(
        &self,
        response: reqwest::Response,
        turn: OwnedSemaphorePermit,
        fault: Fault,
        echo: Arc<Echo>,
    ) -> Response {
        let host = origin(&self.allowed.url);
        let place = self.binding.place();
        let status = response.status().as_u16();
        let headers = headers::visible(response.headers());
        let watch = self.watch(&response);
        // The turn lives as long as the stream has something to come.
        let state = Some((response, turn, 0_u64, watch, Guarded::new(echo)));
        let body = stream::unfold(state, move |state| {
            let (host, place, fault) = (host.clone(), place.clone(), fault.clone());
            async move {
                let (mut response, turn, received, mut watch, mut guard) = state?;
                match response.chunk().await {
                    Ok(None) => {
                        let rest = guard.rest();
                        (!rest.is_empty()).then_some((Ok(rest), None))
                    }
                    Ok(Some(chunk)) => {
                        let received = received + chunk.len() as u64;
                        if received > MAX_RESPONSE {
                            let error = GateError::Interrupted(format!(
                                "{host}: the answer has more than {MAX_RESPONSE} bytes"
                            ));
                            return Some((Err(error), None));
                        }
                        if let Some(watch) = &mut watch {
                            watch.feed(&chunk).await;
                        }
                        match guard.pass(chunk) {
                            Ok(chunk) => {
                                Some((Ok(chunk), Some((response, turn, received, watch, guard))))
                            }
                            Err(Repeated) => Some((Err(repeated(&host)), None)),
                        }
                    }
                    Err(error) => {
                        let error = match (fault.get(), dial::failed(error, &host, &place)) {
                            (Some(fault), _) => GateError::Fault(fault.clone()),
                            // The head had arrived, so it was reached.
                            (None, GateError::Unreachable(text)) => GateError::Interrupted(text),
                            (None, other) => other,
                        };
                        Some((Err(error), None))
                    }
                }
            }
        });
        Response {
            status,
            headers,
            body: body.boxed(),
        }
    }
}

/// Requests that change nothing and have no body, so that sending them again is safe.
fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// A token within the request's time.
async fn in_time(
    deadline: Instant,
    token: impl Future<Output = Result<Arc<AccessToken>, AuthError>>,
) -> Result<Arc<AccessToken>, GateError> {
    match tokio::time::timeout_at(deadline, token).await {
        Ok(token) => token.map_err(no_token),
        Err(_) => Err(GateError::Unreachable(
            "the sign-in service gave no token within the request's time".to_owned(),
        )),
    }
}

fn bearer(token: &AccessToken) -> Result<HeaderValue, GateError> {
    let text =
        secrecy::zeroize::Zeroizing::new(format!("Bearer {}", token.value().expose_secret()));
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| GateError::Fault("the access token is no header value".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a missing token means for the request. Nothing was sent in any of the cases.
fn no_token(error: AuthError) -> GateError {
    match error.class {
        // All of these end when somebody has acted and signed in again; until then the run waits.
        AuthErrorClass::SignInRequired
        | AuthErrorClass::ConsentRequired
        | AuthErrorClass::Credential
        | AuthErrorClass::Blocked => GateError::SignInRequired(error.to_string()),
        AuthErrorClass::Configuration => GateError::Denied {
            what: error.message,
            remedy: error.remedy,
        },
        AuthErrorClass::Transient => GateError::Unreachable(error.message),
        AuthErrorClass::Host => GateError::Fault(error.to_string()),
    }
}

/// The request took effect, and its answer is not for plugins.
fn repeated(host: &str) -> GateError {
    GateError::Interrupted(format!(
        "{host}: the answer repeats the account's token, and is kept from the plugin"
    ))
}

fn misdirected(bound: &Bound, url: &Url) -> GateError {
    let takers: Vec<String> = bound
        .scope
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.takes_token)
        .map(|endpoint| origin(&endpoint.base))
        .collect();
    let account = &bound.account.subject.account;
    GateError::Denied {
        what: format!("sending the token of {account} to {}", origin(url)),
        remedy: if takers.is_empty() {
            "the connection has no endpoint for tokens; send this request without the token"
                .to_owned()
        } else {
            format!(
                "tokens go to {} only; send this request without the token",
                takers.join(" and ")
            )
        },
    }
}

/// A redirect's target (RFC 3986 section 5), as text for the policy.
fn resolve(from: &Url, location: &str) -> Option<String> {
    // An absolute one is judged in its own spelling; a relative one has none.
    if location.contains("://") && !location.starts_with(['/', '?', '.']) {
        return Some(location.to_owned());
    }
    from.join(location).ok().map(String::from)
}

/// The answer while the provider's pause lasts, in the shape of its own; nothing was sent.
fn paused(left: Duration) -> Response {
    let seconds = left.as_secs() + 1;
    let body = r#"{"error":{"code":"ApplicationThrottled","message":"The mailbox asked for a pause, or has had its requests of the last ten minutes or its uploads of the last five; the host did not send the request."}}"#;
    Response {
        status: StatusCode::TOO_MANY_REQUESTS.as_u16(),
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            (RETRY_AFTER.as_str().to_owned(), seconds.to_string()),
        ],
        body: stream::once(async move { Ok(Bytes::from_static(body.as_bytes())) }).boxed(),
    }
}
