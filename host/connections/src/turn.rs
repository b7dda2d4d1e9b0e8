//! A request's turn at its mailbox, for callers that must have it before they send.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use crate::binding::{Binding, Inner};
use crate::pace::{Lane, Turn};
use crate::policy::Allowed;
use crate::policy::url::{normalise, origin};
use crate::send::LONGEST;

/// How many URLs of one step are remembered with their mailboxes.
const MOST_RELATED: usize = 1024;

/// A request's turn at its mailbox, or why it got none. Dropping it lets the next one go.
#[derive(Debug)]
pub struct HeldTurn {
    pub(crate) turn: Turn,
    method: String,
    url: String,
    allowed: Allowed,
}

impl HeldTurn {
    /// What the policy said about the request that the turn is for; `None` about any other.
    pub(crate) fn allowed(&self, method: &str, url: &str) -> Option<Allowed> {
        (self.method == method && self.url == url).then(|| self.allowed.clone())
    }
}

impl Binding {
    /// Waits for the turn of a request at its mailbox, as [`Binding::send`] does by itself: for callers
    /// that note down what they are about to send, and do so only when nothing stands between.
    /// `size` is that of the body in bytes. A piece of an upload session, whose URL was
    /// [related](Binding::relate), waits for as long as it takes; others at most for `timeout`.
    /// `None` for a request that would be refused: sending it says why.
    pub async fn turn(
        &self,
        method: &str,
        url: &str,
        size: u64,
        timeout: Duration,
    ) -> Option<HeldTurn> {
        self.0.recall_mailbox(url).await;
        let allowed = self.0.policy.check(method, url).ok()?;
        let deadline = Instant::now() + timeout.min(LONGEST);
        let deadline = (!self.0.is_piece(&allowed)).then_some(deadline);
        Some(HeldTurn {
            turn: self.0.lane(&allowed).turn(size, deadline).await,
            method: method.to_owned(),
            url: url.to_owned(),
            allowed,
        })
    }

    /// Takes note that a URL came with the answer to a request for another one, `asked`: what is sent
    /// there counts for the same mailbox. An upload session's URL names none. Needed again for a binding
    /// that goes on with what another one was told.
    pub fn relate(&self, url: &str, asked: &str) {
        let Some(bound) = &self.0.connection else {
            return;
        };
        let (Ok(url), Ok(asked)) = (normalise(url), normalise(asked)) else {
            return;
        };
        let Some(mailbox) = bound.scope.mailbox(&asked) else {
            return;
        };
        let related = &self.0.related;
        let mut related = related.lock().unwrap_or_else(PoisonError::into_inner);
        if related.len() >= MOST_RELATED {
            related.clear();
        }
        related.insert(without_query(&url).into(), mailbox);
    }
}

impl Inner {
    /// The lane of an allowed request.
    pub(crate) fn lane(&self, allowed: &Allowed) -> Arc<Lane> {
        let application = match self.connection.as_ref() {
            Some(held) => held.account.subject.client_id.as_str(),
            None => "",
        };
        let mailbox = match &allowed.mailbox {
            Some(mailbox) => Some(mailbox.clone()),
            None => self.related_mailbox(&allowed.url),
        };
        match mailbox {
            Some(mailbox) => self.pacer.lane(application, &mailbox),
            None => self.pacer.lane(application, &place(&allowed.url)),
        }
    }

    /// Whether a request belongs to an upload session: its URL came with an answer about a mailbox.
    pub(crate) fn is_piece(&self, allowed: &Allowed) -> bool {
        allowed.mailbox.is_none() && self.related_mailbox(&allowed.url).is_some()
    }

    /// The mailbox that a URL belongs to by where it came from.
    fn related_mailbox(&self, url: &Url) -> Option<String> {
        let related = self.related.lock().unwrap_or_else(PoisonError::into_inner);
        related.get(without_query(url).as_str()).cloned()
    }
}

/// What is counted where no mailbox is known: the host, and whose things they are, if the path says so
/// as Outlook's upload URLs do (`users('…')`). It only tells lanes apart, and decides nothing.
fn place(url: &Url) -> String {
    let mut segments = url.path_segments().into_iter().flatten();
    let owner = segments.find(|segment| segment.to_ascii_lowercase().starts_with("users("));
    format!("{} {}", origin(url), owner.unwrap_or_default())
}

/// A URL without its query, which is what changes in it, and what is secret.
fn without_query(url: &Url) -> Url {
    let mut bare = url.clone();
    bare.set_query(None);
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_unknown_mailboxes_are_told_apart() {
        for (url, expected) in [
            (
                "https://outlook.test/api/v2.0/Users('a@b')/Messages('m')/x?authtoken=t",
                "https://outlook.test Users('a@b')",
            ),
            ("https://chat.test/hooks/1", "https://chat.test "),
        ] {
            assert_eq!(place(&Url::parse(url).unwrap()), expected);
        }
    }
}
