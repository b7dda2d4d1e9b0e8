//! Ways out that are narrower than a project's own: none at all, for looking at components that belong
//! to no project, and to a simulated tenant alone, for tests of workflows.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use docket_connections::{AccountInfo, GateError, HeldTurn, Request, Response};
use docket_engine::StepCall;
use docket_model::{Failure, FailureClass};
use docket_sandbox::{Channel, Egress};
use url::{Origin, Url};

/// Refuses every step a way out.
pub(crate) struct Nowhere;

impl Egress for Nowhere {
    fn channel(&self, _call: &StepCall) -> Result<Arc<dyn Channel>, Failure> {
        Err(Failure::new(
            FailureClass::Denied,
            "connection",
            "there is no connection here",
        ))
    }
}

/// Lets requests to a few origins out by another way, and refuses all others: whatever a project's
/// plugins were granted, a test of a workflow must not reach anybody real.
pub(crate) struct Only {
    inner: Arc<dyn Egress>,
    origins: Arc<[Origin]>,
}

impl Only {
    /// The way out by `inner` to these origins.
    pub(crate) fn new(inner: Arc<dyn Egress>, origins: &[Origin]) -> Self {
        let origins = origins.into();
        Self { inner, origins }
    }
}

impl Egress for Only {
    fn channel(&self, call: &StepCall) -> Result<Arc<dyn Channel>, Failure> {
        Ok(Arc::new(Narrow {
            inner: self.inner.channel(call)?,
            origins: Arc::clone(&self.origins),
        }))
    }
}

struct Narrow {
    inner: Arc<dyn Channel>,
    origins: Arc<[Origin]>,
}

impl Narrow {
    fn allows(&self, url: &str) -> Result<(), GateError> {
        // What is no URL is for the policy behind it to refuse.
        let Ok(url) = Url::parse(url) else {
            return Ok(());
        };
        let origin = url.origin();
        if self.origins.contains(&origin) {
            return Ok(());
        }
        Err(GateError::Denied {
            what: format!("{} in a test", origin.ascii_serialization()),
            remedy: "tests of workflows reach their simulated tenant and nobody else; expect this \
                     failure, or try the step by `docket run --dry-run`"
                .to_owned(),
        })
    }
}

#[async_trait]
impl Channel for Narrow {
    fn account(&self) -> Option<AccountInfo> {
        self.inner.account()
    }

    async fn send(&self, request: Request) -> Result<Response, GateError> {
        self.allows(&request.url)?;
        self.inner.send(request).await
    }

    async fn turn(&self, method: &str, url: &str, timeout: Duration) -> Option<HeldTurn> {
        self.inner.turn(method, url, timeout).await
    }

    async fn send_in_turn(&self, request: Request, turn: HeldTurn) -> Result<Response, GateError> {
        self.allows(&request.url)?;
        self.inner.send_in_turn(request, turn).await
    }

    fn check(&self, request: Request) -> Result<(), GateError> {
        self.allows(&request.url)?;
        self.inner.check(request)
    }

    fn relate(&self, url: &str, asked: &str) {
        self.inner.relate(url, asked);
    }

    fn seal(&self, context: &str, secret: &str) -> Result<String, String> {
        self.inner.seal(context, secret)
    }

    fn open(&self, context: &str, sealed: &str) -> Result<Arc<str>, String> {
        self.inner.open(context, sealed)
    }
}
