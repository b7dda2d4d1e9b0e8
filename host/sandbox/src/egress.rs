//! The way out, as a port: requests leave, and sealed URLs are kept, by whoever holds the accounts.
//! The real one is [`Connections`]; tests script it, and a replay has none.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use docket_connections::{
    AccountInfo, Binding, Connections, GateError, HeldTurn, Request, Response,
};
use docket_engine::StepCall;
use docket_model::{Failure, FailureClass};
use secrecy::ExposeSecret as _;

/// Gives each attempt its way out.
pub trait Egress: Send + Sync {
    /// The way out that the step's connection and its plugin's grants leave open.
    ///
    /// # Errors
    /// A failure with its remedy, where the step cannot have the connection that it names.
    fn channel(&self, call: &StepCall) -> Result<Arc<dyn Channel>, Failure>;
}

/// One attempt's way out. It decides about every request by itself.
#[async_trait]
pub trait Channel: Send + Sync {
    /// The account that a token handle stands for; `None` without a connection.
    fn account(&self) -> Option<AccountInfo>;

    /// Sends a request whose body, and whose answer's body, stream.
    ///
    /// # Errors
    /// [`GateError`]; a [`GateError::Fault`] stops the attempt, every other case is data.
    async fn send(&self, request: Request) -> Result<Response, GateError>;

    /// Waits for the turn of a request with this method, this URL and a body of so many bytes, for
    /// `timeout`, or as long as it takes where a wait must not end; `None` where there is none to wait
    /// for.
    async fn turn(
        &self,
        _method: &str,
        _url: &str,
        _size: u64,
        _timeout: Duration,
    ) -> Option<HeldTurn> {
        None
    }

    /// The same as [`Channel::send`], in a turn that [`Channel::turn`] gave for the request.
    ///
    /// # Errors
    /// As [`Channel::send`].
    async fn send_in_turn(&self, request: Request, turn: HeldTurn) -> Result<Response, GateError> {
        drop(turn);
        self.send(request).await
    }

    /// Whether [`Channel::send`] would send a request, as far as that can be told without sending it.
    /// One that decides nothing itself says yes.
    ///
    /// # Errors
    /// [`GateError`]: why it would not.
    fn check(&self, _request: Request) -> Result<(), GateError> {
        Ok(())
    }

    /// Takes note that a URL came with the answer to a request for another one, `asked`: what is sent
    /// there belongs to the same mailbox. Told again when the answer comes from the journal.
    fn relate(&self, _url: &str, _asked: &str) {}

    /// Encrypts a URL that holds a secret, for the journal. `context` must be given again to open.
    ///
    /// # Errors
    /// The vault's, in words without the secret.
    fn seal(&self, context: &str, secret: &str) -> Result<String, String>;

    /// Decrypts what [`Channel::seal`] gave.
    ///
    /// # Errors
    /// The vault's: another key, another context, or damaged text.
    fn open(&self, context: &str, sealed: &str) -> Result<Arc<str>, String>;
}

impl Egress for Connections {
    fn channel(&self, call: &StepCall) -> Result<Arc<dyn Channel>, Failure> {
        let binding = self.binding(
            call.connection.as_deref(),
            call.act_as.as_deref(),
            &call.plugin,
            &call.pinned.grants,
        );
        match binding {
            Ok(binding) => Ok(Arc::new(binding)),
            Err(error) => {
                let failure =
                    Failure::new(FailureClass::Permanent, "connection", error.to_string());
                Err(failure.with_remedy(
                    "correct the connections in docket.yaml or the step, and start a new run",
                ))
            }
        }
    }
}

#[async_trait]
impl Channel for Binding {
    fn account(&self) -> Option<AccountInfo> {
        Self::account(self)
    }

    async fn send(&self, request: Request) -> Result<Response, GateError> {
        Self::send(self, request).await
    }

    async fn turn(
        &self,
        method: &str,
        url: &str,
        size: u64,
        timeout: Duration,
    ) -> Option<HeldTurn> {
        Self::turn(self, method, url, size, timeout).await
    }

    async fn send_in_turn(&self, request: Request, turn: HeldTurn) -> Result<Response, GateError> {
        Self::send_in_turn(self, request, turn).await
    }

    fn check(&self, request: Request) -> Result<(), GateError> {
        Self::check(self, request)
    }

    fn relate(&self, url: &str, asked: &str) {
        Self::relate(self, url, asked);
    }

    fn seal(&self, context: &str, secret: &str) -> Result<String, String> {
        Self::seal(self, context, secret).map_err(|error| error.to_string())
    }

    fn open(&self, context: &str, sealed: &str) -> Result<Arc<str>, String> {
        match self.open_sealed(context, sealed) {
            Ok(secret) => Ok(secret.expose_secret().into()),
            Err(error) => Err(error.to_string()),
        }
    }
}
