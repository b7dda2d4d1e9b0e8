//! A way out that lets reads go and holds everything else back, for looking at what a step would do.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use docket_connections::{AccountInfo, Body, GateError, Request, Response};
use docket_engine::{StepCall, is_safe};
use docket_model::{Failure, StepPath};
use futures_util::{StreamExt as _, stream};

use crate::{Channel, Egress};

/// How much of a body is kept, in bytes.
const SHOWN_AT_MOST: usize = 64 << 10;

/// A request that was held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The step that made it.
    pub path: StepPath,
    /// The first 64 KiB of its body.
    pub body: Bytes,
    /// The length of its body, in bytes.
    pub size: u64,
    /// Why it would not have been sent even so: the policy's words.
    pub refused: Option<String>,
}

/// Wraps a way out: requests of safe methods (RFC 9110, section 9.2.1) go through, all others are
/// kept and answered as the host's own fault, which ends the attempt.
pub struct HoldBack {
    inner: Arc<dyn Egress>,
    held: Arc<Mutex<Vec<Held>>>,
}

impl HoldBack {
    /// Holds back what would go out by `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Egress>) -> Self {
        Self {
            inner,
            held: Arc::default(),
        }
    }

    /// What was held back since the last call, in order.
    #[must_use]
    pub fn take(&self) -> Vec<Held> {
        std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Egress for HoldBack {
    fn channel(&self, call: &StepCall) -> Result<Arc<dyn Channel>, Failure> {
        Ok(Arc::new(Holding {
            inner: self.inner.channel(call)?,
            path: call.path.clone(),
            held: Arc::clone(&self.held),
        }))
    }
}

struct Holding {
    inner: Arc<dyn Channel>,
    path: StepPath,
    held: Arc<Mutex<Vec<Held>>>,
}

#[async_trait]
impl Channel for Holding {
    fn account(&self) -> Option<AccountInfo> {
        self.inner.account()
    }

    async fn send(&self, mut request: Request) -> Result<Response, GateError> {
        if is_safe(&request.method) {
            return self.inner.send(request).await;
        }
        let mut kept = Vec::new();
        let mut size = 0;
        if let Some(body) = &mut request.body {
            size = body.size;
            while kept.len() < SHOWN_AT_MOST
                && let Some(chunk) = body.chunks.next().await
            {
                let chunk = chunk.map_err(|error| GateError::Fault(error.to_string()))?;
                let room = SHOWN_AT_MOST - kept.len();
                kept.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            }
            *body = Body {
                size,
                chunks: Box::pin(stream::empty()),
            };
        }
        let refused = self.inner.check(request).err();
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Held {
                path: self.path.clone(),
                body: kept.into(),
                size,
                refused: refused.map(|error| error.to_string()),
            });
        Err(GateError::Fault("the request was held back".to_owned()))
    }

    fn check(&self, request: Request) -> Result<(), GateError> {
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
