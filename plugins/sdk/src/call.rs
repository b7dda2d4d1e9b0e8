//! What an attempt of an action may know and use.

use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::document::DocumentWriter;
use crate::export::Host;
use crate::{Document, DocumentRef, Failure, Problem, RequestBuilder};

/// One attempt of an action.
pub struct Call {
    pub(crate) action: String,
    pub(crate) input: String,
    pub(crate) documents: Vec<Document>,
    pub(crate) account: Option<Account>,
    pub(crate) idempotency_key: String,
    pub(crate) attempt: u32,
    pub(crate) time: u64,
    pub(crate) cursor: Option<String>,
    pub(crate) host: Rc<dyn Host>,
}

/// The account that a call acts as.
#[derive(Debug, Clone)]
pub struct Account {
    /// The user principal name; for app-only connections the application's name.
    pub name: String,
    /// How it signs in.
    pub kind: AccountKind,
    /// The provider's base URLs by name, without a slash at the end.
    pub endpoints: Vec<(String, String)>,
}

/// How an account signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    /// A service account that an administrator signed in.
    ServiceAccount,
    /// A user, by their own sign-in.
    User,
    /// The application itself.
    Application,
}

/// What an action returns.
#[derive(Debug, Clone)]
pub struct Output {
    pub(crate) json: String,
    pub(crate) cursor: Option<String>,
}

impl Output {
    /// An output; documents go in as [`DocumentRef`].
    ///
    /// # Errors
    /// The value has no JSON form (a map whose keys are no text, say).
    pub fn new(value: impl Serialize) -> Result<Self, Failure> {
        serde_json::to_string(&value)
            .map(Self::from_json)
            .map_err(|error| Failure::Permanent(Problem::new("InvalidOutput", error.to_string())))
    }

    /// An output whose JSON is written already; the host checks it like any other.
    #[must_use]
    pub fn from_json(json: impl Into<String>) -> Self {
        Self {
            json: json.into(),
            cursor: None,
        }
    }

    /// The same with a source's cursor: the next poll gets it by [`Call::cursor`]. At most 64 KiB.
    #[must_use]
    pub fn with_cursor(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    /// The cursor, for tests.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The output as a value, for tests.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.json).unwrap_or_default()
    }
}

impl Call {
    /// The action's name.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The input, which has passed the action's schema.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] where the type asks for something else than the schema.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.input).map_err(|error| {
            Failure::InvalidInput(Problem::new(
                "InvalidInput",
                format!(
                    "the input of {} is not what it should be: {error}",
                    self.action
                ),
            ))
        })
    }

    /// The failure of a call to an action that the plugin does not have.
    #[must_use]
    pub fn unknown_action(&self) -> Failure {
        Failure::InvalidInput(Problem::new(
            "UnknownAction",
            format!("there is no action {}", self.action),
        ))
    }

    /// The handle of a document that the input refers to.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] where the call did not bring it.
    pub fn document(&self, about: &DocumentRef) -> Result<&Document, Failure> {
        let found = self
            .documents
            .iter()
            .find(|held| held.about().digest == about.digest);
        found.ok_or_else(|| {
            Failure::InvalidInput(Problem::new(
                "UnknownDocument",
                format!("the document {} was not handed to this step", about.name),
            ))
        })
    }

    /// Starts a new document.
    ///
    /// # Errors
    /// The name has path separators or control characters, or is empty.
    pub fn create_document(&self, name: &str, media_type: &str) -> Result<DocumentWriter, Failure> {
        self.host.create_document(name, media_type)
    }

    /// The account that the step acts as.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] where the step has no connection.
    pub fn account(&self) -> Result<&Account, Failure> {
        self.account.as_ref().ok_or_else(|| {
            Failure::InvalidInput(
                Problem::new("NoConnection", format!("{} needs an account", self.action))
                    .remedy("name a connection for the plugin under `connections`"),
            )
        })
    }

    /// One of the provider's base URLs, without a slash at the end.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] where there is no connection, or it has no such endpoint.
    pub fn endpoint(&self, name: &str) -> Result<&str, Failure> {
        let account = self.account()?;
        let found = account.endpoints.iter().find(|(known, _)| known == name);
        found.map(|(_, url)| url.as_str()).ok_or_else(|| {
            Failure::InvalidInput(
                Problem::new(
                    "NoEndpoint",
                    format!("the connection has no endpoint {name}"),
                )
                .remedy(format!("add `{name}` to the connection's `endpoints`")),
            )
        })
    }

    /// Starts a request.
    pub fn request(&self, method: &'static str, url: impl Into<String>) -> RequestBuilder<'_> {
        RequestBuilder::new(self.host.as_ref(), method, url.into())
    }

    /// Sends repeatable requests side by side; the answers are in the order of the requests.
    #[must_use]
    pub fn send_all(
        &self,
        requests: &[crate::Request],
    ) -> Vec<Result<crate::Response, crate::HttpError>> {
        self.host.send_all(requests)
    }

    /// The same for every attempt of this step in this run, and unique to it.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    /// 1 for the first attempt.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the attempt started, in milliseconds since the Unix epoch. It does not move.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.time
    }

    /// For sources: what the last poll returned as its cursor; `None` on the first one.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Says how far the action is.
    pub fn progress(&self, done: u64, total: Option<u64>, message: &str) {
        self.host.progress(done, total, message);
    }

    /// Writes a line to the run's log.
    pub fn log(&self, message: &str) {
        self.host.log(message);
    }
}
