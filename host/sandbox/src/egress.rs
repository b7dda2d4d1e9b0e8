//! The way out, as a port: requests leave, and sealed URLs are kept, by whoever holds the accounts.

use std::sync::Arc;

use async_trait::async_trait;
use docket_connections::{GateError, Request, Response};
use docket_engine::StepCall;
use docket_model::Failure;

/// Gives each attempt its way out. The binary passes in the connections; tests a script.
pub trait Egress: Send + Sync {
    /// The way out that the step's connection and its plugin's grants leave open.
    ///
    /// # Errors
    /// A failure with its remedy, where the step's connection or account cannot be used.
    fn channel(&self, call: &StepCall) -> Result<Arc<dyn Channel>, Failure>;
}

/// One attempt's way out. It decides about every request by itself.
#[async_trait]
pub trait Channel: Send + Sync {
    /// The account that a token handle stands for; `None` without a connection.
    fn account(&self) -> Option<Account>;

    /// Sends a request whose body, and whose answer's body, stream.
    ///
    /// # Errors
    /// [`GateError`]; a [`GateError::Fault`] stops the attempt, every other case is data.
    async fn send(&self, request: Request) -> Result<Response, GateError>;

    /// Encrypts a URL that holds a secret, for the journal. `context` must be given again to open.
    ///
    /// # Errors
    /// The vault's, in words without the secret.
    fn seal(&self, context: &str, secret: &str) -> Result<String, String>;

    /// Decrypts what [`Channel::seal`] gave.
    ///
    /// # Errors
    /// The vault's: another key, another context, or damaged text.
    fn open(&self, context: &str, sealed: &str) -> Result<String, String>;
}

/// Whom a token handle belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The connection's name.
    pub connection: String,
    /// The user principal name, or the application's name.
    pub name: String,
    /// How it signs in.
    pub kind: AccountKind,
    /// The provider's base URLs by name, without a slash at the end.
    pub endpoints: Vec<(String, String)>,
}

/// How an account signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    /// An administrator signed it in once.
    ServiceAccount,
    /// A user signed in for themselves.
    User,
    /// By the application's own credentials.
    Application,
}
