//! Requests and answers.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::export::Host;
use crate::{Document, Failure, Problem};

/// The most bytes of an answer that are taken inline unless a request says otherwise.
const INLINE_LIMIT: u32 = 4 << 20;

/// A request, ready to be sent.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method, in capitals.
    pub method: &'static str,
    /// The absolute URL, or a sealed one.
    pub url: String,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body's parts.
    pub body: Vec<Part>,
    /// Whether to send it as the call's account.
    pub as_account: bool,
    /// Whether sending it twice does what sending it once does.
    pub is_repeatable: bool,
    /// JSON Pointers to URLs with a secret inside, in the answer.
    pub seal: Vec<String>,
    /// Where the answer's body goes.
    pub receive: Receive,
    /// The longest wait in milliseconds.
    pub timeout: Option<u32>,
}

/// A piece of a request's body.
#[derive(Debug, Clone)]
pub enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A whole document.
    Document(Document),
    /// `length` bytes of a document from `offset` on.
    Range(Document, u64, u64),
    /// A whole document in base64.
    Base64(Document),
}

/// Where an answer's body goes.
#[derive(Debug, Clone)]
pub enum Receive {
    /// Into memory, at most so many bytes.
    Inline(u32),
    /// Into a new document, if the status is 2xx.
    Document {
        /// Its name.
        name: String,
        /// Its media type; without one, the answer's.
        media_type: Option<String>,
        /// The most bytes that it may have.
        limit: Option<u64>,
    },
    /// Nowhere, if the status is 2xx.
    Nowhere,
}

/// An answer; any status is one.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Content,
}

/// An answer's body.
#[derive(Debug, Clone)]
pub enum Content {
    /// Bytes.
    Inline(Vec<u8>),
    /// A new document.
    Document(Document),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// The policy does not allow the request. Nothing was sent.
    Denied {
        /// What was refused.
        what: String,
        /// What to grant or configure.
        remedy: String,
    },
    /// The request is not well formed. Nothing was sent.
    Invalid(String),
    /// The server was not reached. Nothing was sent.
    Unreachable(String),
    /// The request may have reached the server: look, do not repeat.
    Interrupted(String),
    /// The answer is larger than the limit in bytes. The request took effect.
    TooLarge(u64),
    /// The account must sign in again. Nothing was sent.
    SignInRequired(String),
}

impl HttpError {
    /// The failure to end the step with, where there is nothing to look up first.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Denied { what, remedy } => {
                Failure::Denied(Problem::new("RequestDenied", what).remedy(remedy))
            }
            Self::Invalid(why) => Failure::Permanent(Problem::new("InvalidRequest", why)),
            Self::Unreachable(why) => Failure::Unavailable(Problem::new("Unreachable", why)),
            Self::Interrupted(why) => Failure::Unavailable(Problem::new("Interrupted", why)),
            Self::TooLarge(limit) => Failure::Permanent(Problem::new(
                "AnswerTooLarge",
                format!("the answer has more than {limit} bytes"),
            )),
            Self::SignInRequired(why) => {
                Failure::SignInRequired(Problem::new("SignInRequired", why))
            }
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.clone().into_failure().problem().message)
    }
}

impl Response {
    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The inline body; empty where the body is a document.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.body {
            Content::Inline(bytes) => bytes,
            Content::Document(_) => &[],
        }
    }

    /// The document that the body went into.
    #[must_use]
    pub fn document(&self) -> Option<&Document> {
        match &self.body {
            Content::Document(document) => Some(document),
            Content::Inline(_) => None,
        }
    }

    /// The inline body, read as JSON.
    ///
    /// # Errors
    /// [`Failure::Unavailable`]: an answer that is cut or is something else is the server's fault,
    /// and the next one may be better.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(self.bytes()).map_err(|error| {
            Failure::Unavailable(Problem::new(
                "InvalidAnswer",
                format!(
                    "the server's answer (status {}) cannot be read: {error}",
                    self.status
                ),
            ))
        })
    }
}

/// Builds a request. GET and HEAD are repeatable; of others the plugin must say so.
#[must_use]
pub struct RequestBuilder<'a> {
    host: &'a dyn Host,
    request: Request,
}

impl<'a> RequestBuilder<'a> {
    pub(crate) fn new(host: &'a dyn Host, method: &'static str, url: String) -> Self {
        let request = Request {
            method,
            url,
            headers: Vec::new(),
            body: Vec::new(),
            as_account: false,
            is_repeatable: matches!(method, "GET" | "HEAD"),
            seal: Vec::new(),
            receive: Receive::Inline(INLINE_LIMIT),
            timeout: None,
        };
        Self { host, request }
    }

    /// Sends it as the call's account.
    pub fn as_account(mut self) -> Self {
        self.request.as_account = true;
        self
    }

    /// Vouches that sending it twice does what sending it once does.
    pub fn repeatable(mut self) -> Self {
        self.request.is_repeatable = true;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request
            .headers
            .push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body to JSON. It is a [`Value`], which there is always a text for.
    pub fn json(self, value: &Value) -> Self {
        self.header("content-type", "application/json")
            .parts(vec![Part::Bytes(value.to_string().into_bytes())])
    }

    /// Sets the body.
    pub fn parts(mut self, parts: Vec<Part>) -> Self {
        self.request.body = parts;
        self
    }

    /// Has the host keep a URL of the JSON answer for itself; `pointer` is an RFC 6901 pointer.
    pub fn seal(mut self, pointer: &str) -> Self {
        self.request.seal.push(pointer.to_owned());
        self
    }

    /// Takes at most so many bytes of the answer into memory; 4 MiB where this is not called. A
    /// longer answer is [`HttpError::TooLarge`].
    pub fn inline(mut self, limit: u32) -> Self {
        self.request.receive = Receive::Inline(limit);
        self
    }

    /// Puts a 2xx answer's body into a new document of at most `limit` bytes.
    pub fn into_document(mut self, name: &str, media_type: Option<&str>, limit: u64) -> Self {
        self.request.receive = Receive::Document {
            name: name.to_owned(),
            media_type: media_type.map(str::to_owned),
            limit: Some(limit),
        };
        self
    }

    /// Drops a 2xx answer's body unread, where it only repeats what was sent.
    pub fn without_answer(mut self) -> Self {
        self.request.receive = Receive::Nowhere;
        self
    }

    /// The request, for [`crate::Call::send_all`].
    pub fn build(self) -> Request {
        self.request
    }

    /// Sends it and waits for the answer.
    ///
    /// # Errors
    /// There is no answer, and [`HttpError`] says why.
    pub fn send(self) -> Result<Response, HttpError> {
        self.host.send(&self.request)
    }
}
