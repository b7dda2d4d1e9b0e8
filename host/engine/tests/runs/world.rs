//! A mail server that counts, and can be told to let the host die around a request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use docket_engine::Stop;
use docket_model::{Answer, AnswerBody, EffectCall, Outcome, RequestRecord};

/// What happened out there.
#[derive(Default)]
pub(crate) struct World(Mutex<State>);

#[derive(Default)]
pub(crate) struct State {
    /// Mails by idempotency key: how often each left.
    pub(crate) sent: BTreeMap<String, u32>,
    /// Drafts by idempotency key.
    pub(crate) drafts: BTreeMap<String, u32>,
    /// Requests in all.
    pub(crate) requests: u32,
    /// The host dies at this request, counted from 0, before or after it took effect.
    pub(crate) dies: Option<(u32, When)>,
    /// The keys of which an attempt was told that an effect is in doubt.
    pub(crate) in_doubt: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    Before,
    After,
}

pub(crate) fn request(method: &str, what: &str, key: &str) -> EffectCall {
    EffectCall {
        requests: vec![RequestRecord {
            method: method.to_owned(),
            url: format!("https://mail.example/{what}/{key}"),
            headers: Vec::new(),
            body: Vec::new(),
            sent_as: None,
            is_repeatable: method == "GET",
        }],
    }
}

impl World {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves all requests of an effect.
    pub(crate) fn serve(&self, call: &EffectCall) -> Result<Vec<Outcome>, Stop> {
        call.requests
            .iter()
            .map(|request| self.one(request))
            .collect()
    }

    fn one(&self, request: &RequestRecord) -> Result<Outcome, Stop> {
        let mut state = self.state();
        let number = state.requests;
        state.requests += 1;
        let dies = |now: fn(&When) -> bool, state: &State| {
            state
                .dies
                .is_some_and(|(at, when)| at == number && now(&when))
        };
        if dies(|when| matches!(when, When::Before), &state) {
            return Err(Stop::Fault("the host died".to_owned()));
        }
        let path = request.url.trim_start_matches("https://mail.example/");
        let (what, key) = path.split_once('/').unwrap();
        let body = match (request.method.as_str(), what) {
            ("GET", "find") if state.sent.contains_key(key) => "sent",
            ("GET", "find") if state.drafts.contains_key(key) => "draft",
            ("GET", "find") => "none",
            ("POST", "draft") => {
                *state.drafts.entry(key.to_owned()).or_default() += 1;
                "created"
            }
            ("POST", "send") => {
                state.drafts.remove(key);
                *state.sent.entry(key.to_owned()).or_default() += 1;
                "accepted"
            }
            other => panic!("{other:?}"),
        };
        if dies(|when| matches!(when, When::After), &state) {
            return Err(Stop::Fault("the host died".to_owned()));
        }
        Ok(Outcome::Answered(Answer {
            status: 200,
            headers: Vec::new(),
            body: AnswerBody::Text(body.to_owned()),
            sealed: Vec::new(),
        }))
    }
}
