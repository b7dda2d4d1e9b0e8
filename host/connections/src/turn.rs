//! A request's turn at its mailbox, for callers that must have it before they send.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::binding::{Binding, Inner};
use crate::pace::{Lane, Turn};
use crate::policy::Allowed;
use crate::policy::url::origin;
use crate::send::LONGEST;

/// A request's turn at its mailbox, or why it got none. Dropping it lets the next one go.
#[derive(Debug)]
pub struct HeldTurn(pub(crate) Turn);

impl Binding {
    /// Waits for the turn of a request at its mailbox, as [`Binding::send`] does by itself: for callers
    /// that note down what they are about to send, and do so only when nothing stands between.
    /// `None` for a request that would be refused: sending it says why.
    pub async fn turn(&self, method: &str, url: &str, timeout: Duration) -> Option<HeldTurn> {
        self.0.recall_mailbox(url).await;
        let allowed = self.0.policy.check(method, url).ok()?;
        let deadline = Instant::now() + timeout.min(LONGEST);
        Some(HeldTurn(self.0.lane(&allowed).turn(deadline).await))
    }
}

impl Inner {
    /// The lane of an allowed request.
    pub(crate) fn lane(&self, allowed: &Allowed) -> Arc<Lane> {
        let application = match self.connection.as_ref() {
            Some(held) => held.account.subject.client_id.as_str(),
            None => "",
        };
        match &allowed.mailbox {
            Some(mailbox) => self.pacer.lane(application, mailbox),
            None => self.pacer.lane(application, &origin(&allowed.url)),
        }
    }
}
