//! The one way out to the network.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;

/// A request that a plugin makes.
pub struct Request {
    /// The method, in capitals.
    pub method: String,
    /// The absolute URL.
    pub url: Arc<str>,
    /// The plugin's headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Body>,
    /// Whether to add the bearer of the binding's account.
    pub with_token: bool,
    /// The longest wait for the answer's head and body.
    pub timeout: Duration,
}

/// A body of known length.
pub struct Body {
    /// Its length in bytes.
    pub size: u64,
    /// Its bytes. An error in it is the host's own (a document that cannot be read).
    pub chunks: BoxStream<'static, io::Result<Bytes>>,
}

/// An answer; any HTTP status is one.
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers that a plugin may see, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it arrives. An error in it is [`GateError::Interrupted`] and the like.
    pub body: BoxStream<'static, Result<Bytes, GateError>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GateError {
    /// The policy does not allow the request. Nothing was sent.
    #[error("{what} is not allowed: {remedy}")]
    Denied {
        /// What was refused.
        what: String,
        /// What to grant or configure.
        remedy: String,
    },
    /// The request is not well formed. Nothing was sent.
    #[error("the request is not well formed: {0}")]
    Invalid(String),
    /// The server was not reached. Nothing was sent.
    #[error("the server was not reached: {0}")]
    Unreachable(String),
    /// The request may have reached the server.
    #[error("the request was interrupted and may have reached the server: {0}")]
    Interrupted(String),
    /// The account must sign in again. Nothing was sent.
    #[error("{0}")]
    SignInRequired(String),
    /// The host's own fault, such as a document that could not be read.
    #[error("{0}")]
    Fault(String),
}
