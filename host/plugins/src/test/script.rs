//! Servers that answer as a case says, behind the policy that guards the real ones.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use docket_connections::{AccountInfo, Fence, GateError, Request, Response};
use docket_engine::StepCall;
use docket_model::Failure;
use docket_sandbox::{Channel, Egress};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a server answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Answer {
    /// The requests that it answers: a method and a URL, in which `*` stands for anything.
    pub request: String,
    /// The HTTP status; 200 unless there is a fault.
    pub status: Option<u16>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body as JSON; its Content-Type is set.
    pub json: Option<Value>,
    /// The body as text.
    pub text: Option<String>,
    /// The file with the body, named from the case's folder.
    pub file: Option<PathBuf>,
    /// What goes wrong in place of an answer.
    pub fault: Option<Fault>,
}

/// What goes wrong in place of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The reply is lost; the request may have reached the server.
    Interrupted,
    /// The server is not reached.
    Unreachable,
    /// The account must sign in again.
    SignInRequired,
}

impl Answer {
    /// Whether it makes sense.
    pub(super) fn check(&self) -> Result<(), String> {
        let request = &self.request;
        let (method, url) = request.split_once(' ').unwrap_or_default();
        if method.is_empty() || url.trim().is_empty() {
            return Err(format!(
                "`request: {request}` is no method with a URL, as in `GET https://a.example/*`"
            ));
        }
        let bodies = [
            self.json.is_some(),
            self.text.is_some(),
            self.file.is_some(),
        ];
        let bodies = bodies.into_iter().filter(|has| *has).count();
        if bodies > 1 {
            return Err(format!("the answer to `{request}` has {bodies} bodies"));
        }
        if self.fault.is_some() && (bodies > 0 || self.status.is_some()) {
            return Err(format!("a fault has no answer: `{request}`"));
        }
        Ok(())
    }

    fn fits(&self, method: &str, url: &str) -> bool {
        let (own_method, own_url) = self.request.split_once(' ').unwrap_or_default();
        own_method == method && is_like(own_url.trim(), url)
    }
}

/// Whether a text is like a pattern, in which `*` stands for any text.
pub(super) fn is_like(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(start) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match left.find(piece) {
            Some(at) => left = &left[at + piece.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

/// A request as it left the plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sent {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    #[serde(skip)]
    pub body: Vec<u8>,
    /// Whether it was sent as the account.
    pub as_account: bool,
}

impl Sent {
    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let is_it = |known: &str| known.eq_ignore_ascii_case(name);
        let found = self.headers.iter().find(|(known, _)| is_it(known));
        found.map(|(_, value)| value.as_str())
    }

    /// Method and URL.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.url)
    }
}

/// The servers of one performance.
pub(super) struct Servers {
    pub(super) account: Option<AccountInfo>,
    pub(super) fence: Fence,
    pub(super) folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answers: Vec<Answer>,
    used: Vec<bool>,
    sent: Vec<Sent>,
    /// What no answer was given for, and what the policy refused.
    problems: Vec<String>,
    /// Whether a request that the case does not know is a problem.
    is_lenient: bool,
}

impl Servers {
    pub(super) fn new(
        account: Option<AccountInfo>,
        fence: Fence,
        folder: PathBuf,
        answers: Vec<Answer>,
    ) -> Self {
        let used = vec![false; answers.len()];
        Self {
            account,
            fence,
            folder,
            state: Mutex::new(State {
                answers,
                used,
                ..State::default()
            }),
        }
    }

    /// From now on these answers go before the others, and requests without an answer find nobody.
    pub(super) fn change(&self, first: &[Answer]) {
        let mut state = self.state();
        let State { answers, used, .. } = &mut *state;
        answers.splice(0..0, first.iter().cloned());
        used.splice(0..0, vec![false; first.len()]);
        state.is_lenient = true;
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.state().sent.clone()
    }

    pub(super) fn problems(&self) -> Vec<String> {
        self.state().problems.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a request: the first fitting one that was not given yet, else the last fitting
    /// one.
    fn answer(&self, sent: Sent) -> Result<Response, GateError> {
        let mut state = self.state();
        let fitting: Vec<usize> = (0..state.answers.len())
            .filter(|at| state.answers[*at].fits(&sent.method, &sent.url))
            .collect();
        let chosen = fitting
            .iter()
            .find(|at| !state.used[**at])
            .or(fitting.last())
            .copied();
        let line = sent.line();
        state.sent.push(sent);
        let Some(chosen) = chosen else {
            if !state.is_lenient {
                state
                    .problems
                    .push(format!("{line} has no answer under `answers`"));
            }
            return Err(GateError::Unreachable(format!(
                "{line}: the case has no answer to it"
            )));
        };
        state.used[chosen] = true;
        let answer = state.answers[chosen].clone();
        drop(state);
        self.response(answer)
    }

    fn response(&self, answer: Answer) -> Result<Response, GateError> {
        match answer.fault {
            Some(Fault::Interrupted) => {
                return Err(GateError::Interrupted("the reply was lost".to_owned()));
            }
            Some(Fault::Unreachable) => {
                return Err(GateError::Unreachable("connection refused".to_owned()));
            }
            Some(Fault::SignInRequired) => {
                return Err(GateError::SignInRequired(
                    "the account must sign in again".to_owned(),
                ));
            }
            None => {}
        }
        let mut headers: Vec<(String, String)> = answer
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .collect();
        let body = match (&answer.json, answer.text, &answer.file) {
            (Some(json), ..) => {
                if !answer
                    .headers
                    .keys()
                    .any(|name| name.eq_ignore_ascii_case("content-type"))
                {
                    headers.push(("content-type".to_owned(), "application/json".to_owned()));
                }
                json.to_string().into_bytes()
            }
            (None, Some(text), _) => text.into_bytes(),
            (None, None, Some(file)) => {
                let path = self.folder.join(file);
                std::fs::read(&path)
                    .map_err(|error| GateError::Fault(format!("{}: {error}", path.display())))?
            }
            (None, None, None) => Vec::new(),
        };
        Ok(Response {
            status: answer.status.unwrap_or(200),
            headers,
            body: stream::iter([Ok(Bytes::from(body))]).boxed(),
        })
    }
}

#[async_trait]
impl Channel for Servers {
    fn account(&self) -> Option<AccountInfo> {
        self.account.clone()
    }

    async fn send(&self, request: Request) -> Result<Response, GateError> {
        let allowed = self.fence.check(
            &request.method,
            &request.url,
            &request.headers,
            request.with_token,
        );
        if let Err(error) = allowed {
            let mut state = self.state();
            state
                .problems
                .push(format!("{} {}: {error}", request.method, request.url));
            return Err(error);
        }
        let body = match request.body {
            None => Vec::new(),
            Some(body) => {
                let pieces: Vec<Bytes> = body
                    .chunks
                    .try_collect()
                    .await
                    .map_err(|error| GateError::Fault(error.to_string()))?;
                pieces.concat()
            }
        };
        self.answer(Sent {
            method: request.method,
            url: request.url.to_string(),
            headers: request.headers,
            body,
            as_account: request.with_token,
        })
    }

    // Nothing of a test is kept, so that there is nobody to hide a URL from.
    fn seal(&self, context: &str, secret: &str) -> Result<String, String> {
        Ok(format!("{context}|{secret}"))
    }

    fn open(&self, context: &str, sealed: &str) -> Result<Arc<str>, String> {
        match sealed.split_once('|') {
            Some((sealed_for, secret)) if sealed_for == context => Ok(secret.into()),
            _ => Err("it was sealed elsewhere".to_owned()),
        }
    }
}

/// The way out of whatever is performed.
#[derive(Default)]
pub(super) struct Wings {
    servers: Mutex<Option<Arc<Servers>>>,
}

impl Wings {
    pub(super) fn set(&self, servers: Arc<Servers>) {
        *self.servers.lock().unwrap_or_else(PoisonError::into_inner) = Some(servers);
    }
}

impl Egress for Wings {
    fn channel(&self, _: &StepCall) -> Result<Arc<dyn Channel>, Failure> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        match &*servers {
            Some(servers) => Ok(Arc::clone(servers) as _),
            None => Err(Failure::new(
                docket_model::FailureClass::Permanent,
                "no-case",
                "no case is performed",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, text: &str, expected| {
            assert_eq!(is_like(pattern, text), expected, "{pattern} {text}");
        };
        check("https://a/b", "https://a/b", true);
        check("https://a/b", "https://a/bc", false);
        check("https://a/*", "https://a/", true);
        check("https://a/*/c", "https://a/b/c", true);
        check("https://a/*/c", "https://a/b/d", false);
        check("*?key=*&x=1", "https://a/?key=k&x=1", true);
        check("a*a", "a", false);
    }
}
