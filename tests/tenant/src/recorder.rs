//! Keeps what was asked and answered, for contract tests and for looking.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::secrets;
use crate::wire::{Call, Origin, Reply};

/// Bodies above this are not kept.
const MAX_BODY: usize = 1024 * 1024;
/// All kept bodies together.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The request headers worth keeping.
const HEADERS: [&str; 12] = [
    "authorization",
    "content-type",
    "content-length",
    "content-range",
    "prefer",
    "if-match",
    "client-request-id",
    "user-agent",
    "sdkversion",
    "accept",
    "host",
    "consistencylevel",
];

/// One request and how it was answered.
#[derive(Debug, Clone, Serialize)]
pub struct Recorded {
    /// Counts up from 1.
    pub number: u64,
    /// When it came.
    pub at: Timestamp,
    /// Which origin was addressed.
    pub origin: Origin,
    /// The method.
    pub method: String,
    /// The path as sent.
    pub path: String,
    /// The query as sent.
    pub query: String,
    /// Selected request headers; `Authorization` shows only its scheme.
    pub headers: Vec<(String, String)>,
    /// The body, when it is JSON and below 1 MB.
    pub body: Option<Value>,
    /// The body's size in bytes.
    pub body_size: usize,
    /// The answer's status; `None` when the connection was reset instead.
    pub status: Option<u16>,
    /// The `request-id` of the answer.
    pub request_id: String,
    /// Graph's answer, when it is JSON and below 1 MB.
    pub answer: Option<Value>,
}

#[derive(Debug)]
struct Entry {
    head: Recorded,
    body: Bytes,
    answer: Bytes,
}

impl Entry {
    fn size(&self) -> usize {
        self.body.len() + self.answer.len()
    }
}

/// A bounded ring of requests.
#[derive(Debug)]
pub(crate) struct Recorder {
    ring: VecDeque<Entry>,
    capacity: usize,
    bytes: usize,
    next: u64,
    secrets: BTreeSet<String>,
}

impl Recorder {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            ring: VecDeque::new(),
            capacity,
            bytes: 0,
            next: 1,
            secrets: BTreeSet::new(),
        }
    }

    /// Keeps `call` and the status of `reply`.
    pub(crate) fn record(&mut self, call: &Call, reply: Option<&Reply>) {
        let number = self.next;
        self.next += 1;
        if self.capacity == 0 {
            return;
        }
        let answered = reply.map_or_else(Vec::new, secrets::of_answer);
        // What it answered in secret is not kept: tokens, and the URLs of upload sessions.
        let is_secret = !answered.is_empty();
        self.secrets.extend(secrets::of_request(call));
        self.secrets.extend(answered);
        let headers = HEADERS
            .iter()
            .filter_map(|name| {
                call.header(name)
                    .map(|value| ((*name).to_owned(), masked(name, value)))
            })
            .collect();
        let is_json = call
            .header("content-type")
            .is_some_and(|kind| kind.contains("json"));
        let keep = is_json && call.body.len() < MAX_BODY;
        let body = if keep {
            call.body.clone()
        } else {
            Bytes::new()
        };
        let answer = match reply {
            Some(reply) if !is_secret => kept(reply),
            _ => Bytes::new(),
        };
        let head = Recorded {
            number,
            at: call.now,
            origin: call.origin,
            method: call.method.to_string(),
            path: call.path.clone(),
            query: masked_query(&call.query),
            headers,
            body: None,
            body_size: call.body.len(),
            status: reply.map(|reply| reply.status.as_u16()),
            request_id: call.request_id.clone(),
            answer: None,
        };
        let entry = Entry { head, body, answer };
        self.bytes += entry.size();
        self.ring.push_back(entry);
        while self.ring.len() > self.capacity || self.bytes > MAX_BYTES {
            let Some(oldest) = self.ring.pop_front() else {
                break;
            };
            self.bytes -= oldest.size();
        }
    }

    /// Everything kept, oldest first.
    pub(crate) fn all(&self) -> Vec<Recorded> {
        self.ring
            .iter()
            .map(|entry| Recorded {
                body: serde_json::from_slice(&entry.body).ok(),
                answer: serde_json::from_slice(&entry.answer).ok(),
                ..entry.head.clone()
            })
            .collect()
    }

    /// The newest, newest first, without bodies.
    pub(crate) fn newest(&self, most: usize) -> Vec<Recorded> {
        let heads = self.ring.iter().rev().take(most);
        heads.map(|entry| entry.head.clone()).collect()
    }

    /// Every secret that went over the wire so far, where requests are recorded at all.
    pub(crate) fn secrets(&self) -> Vec<String> {
        self.secrets.iter().cloned().collect()
    }

    /// Forgets the requests; the numbers go on.
    pub(crate) fn clear(&mut self) {
        self.ring.clear();
        self.bytes = 0;
    }
}

/// What is kept of an answer: Graph's JSON, which names its metadata; the sign-in service's holds tokens.
fn kept(reply: &Reply) -> Bytes {
    let kind = reply
        .headers
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    if kind.contains("odata.metadata") && reply.body.len() < MAX_BODY {
        reply.body.clone()
    } else {
        Bytes::new()
    }
}

fn masked(name: &str, value: &str) -> String {
    if name == "authorization" {
        let scheme = value.split(' ').next().unwrap_or("");
        return format!("{scheme} ***");
    }
    value.to_owned()
}

/// Upload URLs carry a token of their own; it is a secret too.
fn masked_query(query: &str) -> String {
    match query.split_once("authtoken=") {
        Some((before, token)) => {
            let rest = token.find('&').map_or("", |end| &token[end..]);
            format!("{before}authtoken=***{rest}")
        }
        None => query.to_owned(),
    }
}
