//! Effects as a journal keeps them: what a step asked of the world, and what became of it.

use serde::{Deserialize, Serialize};

use crate::{Digest, DocumentRef};

/// One effect: a request, or several repeatable ones that are sent side by side. Two calls are the
/// same effect exactly if they are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectCall {
    /// The requests; more than one only if all are repeatable.
    pub requests: Vec<RequestRecord>,
}

impl EffectCall {
    /// Whether sending it twice does what sending it once does.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.requests.iter().all(|request| request.is_repeatable)
    }
}

/// A request as the journal keeps it: whole enough to tell it from any other, and without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequestRecord {
    /// The method.
    pub method: String,
    /// The URL as the plugin gave it; a sealed URL by its opaque name.
    pub url: String,
    /// The plugin's headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The body's parts by digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<PartRecord>,
    /// Whom it is sent as: the connection and the account's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_as: Option<Principal>,
    /// Whether it may be sent twice.
    #[serde(
        default,
        rename = "repeatable",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub is_repeatable: bool,
}

/// An account of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Principal {
    /// The connection's name in `docket.yaml`.
    pub connection: String,
    /// The user principal name, or the application's name for app-only connections.
    pub account: String,
}

/// A piece of a request's body as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartRecord {
    /// Bytes by digest and length.
    Bytes {
        /// Their digest.
        digest: Digest,
        /// Their number.
        size: u64,
    },
    /// A document, or a range of it.
    Document {
        /// Its digest.
        digest: Digest,
        /// Offset and length of the range; the whole document without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        range: Option<(u64, u64)>,
    },
    /// A document in base64.
    Base64 {
        /// The document's digest.
        digest: Digest,
    },
}

/// What became of a request: data for the plugin, never an error of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The server answered.
    Answered(Answer),
    /// There is no answer, and it is known why.
    Failed(HttpFailure),
    /// The process ended between intent and outcome; the request may have taken effect.
    InDoubt,
}

/// An answer as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers that the plugin sees, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, with opaque names in the place of sealed URLs.
    pub body: AnswerBody,
    /// The sealed URLs, encrypted, in the order of their opaque names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<String>,
}

/// An answer's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerBody {
    /// UTF-8 text, as it is.
    Text(String),
    /// Other bytes, by a document; the plugin gets them inline all the same.
    Inline(DocumentRef),
    /// A document that the plugin asked for.
    Document(DocumentRef),
}

/// Why there is no answer (`http-error` of the plugin interface).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpFailure {
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
    /// The request may have reached the server.
    Interrupted(String),
    /// The answer is larger than the limit in bytes; the request took effect.
    TooLarge(u64),
    /// The account must sign in again. Nothing was sent.
    SignInRequired(String),
}
