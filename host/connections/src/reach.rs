//! Whether the hosts of the connections answer, and whether their clocks agree with this machine's.
//!
//! Each is asked for its root, without a credential: any answer will do.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use http::header::DATE;
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::connection::Connection;
use crate::dial;
use crate::gate::GateError;
use crate::policy::url::origin;
use crate::registry::Connections;

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How far apart two clocks that are kept may seem: the network's time, and Date's whole seconds.
const KEPT: SignedDuration = SignedDuration::from_secs(30);
/// From here on tokens, assertions and signatures are refused as being of another time (Entra's and
/// Standard Webhooks' tolerance).
const REFUSED: SignedDuration = SignedDuration::from_mins(5);

/// A host that connections work with.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Its origin.
    pub origin: String,
    /// The connections.
    pub connections: Vec<String>,
    /// What came of asking it.
    pub answer: Answer,
}

/// What came of asking a host.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It answered. So far is this machine's clock ahead of its own; `None` where it does not tell.
    Answered(Option<Ahead>),
    /// It did not.
    Failed {
        /// Why.
        message: String,
        /// What to do about it.
        remedy: String,
    },
}

/// How far this machine's clock is ahead of another; negative where it is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead(pub SignedDuration);

impl Ahead {
    /// Whether one of the clocks is wrong.
    #[must_use]
    pub fn is_off(self) -> bool {
        self.0.abs() > KEPT
    }

    /// Whether it is so wrong that others refuse what is signed by it.
    #[must_use]
    pub fn is_refused(self) -> bool {
        self.0.abs() >= REFUSED
    }
}

impl Connections {
    /// Asks every host that the connections work with, each once and all at the same time.
    pub async fn reach(&self) -> Vec<Reach> {
        let mut hosts: BTreeMap<Url, Vec<&Connection>> = BTreeMap::new();
        for held in self.by_name.values() {
            for url in held.origins() {
                hosts.entry(url).or_default().push(held);
            }
        }
        let asked = hosts.into_iter().map(async |(url, by)| Reach {
            origin: origin(&url),
            connections: by.iter().map(|held| held.name.clone()).collect(),
            answer: match by.first() {
                Some(held) => self.ask_for_time(held, &url).await,
                None => Answer::Answered(None),
            },
        });
        join_all(asked).await
    }

    async fn ask_for_time(&self, held: &Connection, url: &Url) -> Answer {
        let place = format!("connections.{}", held.name);
        let ask = async {
            let client = held.application.transport.client(url, &place)?;
            let asked = client.get(url.clone()).timeout(PATIENCE).send();
            let failed = |error| dial::failed(error, &origin(url), &place);
            asked.await.map_err(failed)
        };
        match ask.await {
            Ok(answer) => {
                let date = answer
                    .headers()
                    .get(DATE)
                    .and_then(|date| date.to_str().ok());
                Answer::Answered(date.and_then(|date| ahead(date, self.clock.now())))
            }
            Err(error) => Answer::Failed {
                remedy: match &error {
                    GateError::Denied { remedy, .. } => remedy.clone(),
                    _ => format!(
                        "see that this machine resolves the name, and that its firewall lets it reach {}; \
                         proxies of the environment are not used",
                        origin(url)
                    ),
                },
                message: match error {
                    GateError::Denied { what, .. } => what,
                    other => other.to_string(),
                },
            },
        }
    }
}

/// How far `now` is ahead of a Date header (RFC 9110 section 6.6.1).
fn ahead(date: &str, now: Timestamp) -> Option<Ahead> {
    let date = rfc2822::parse(date).ok()?.timestamp();
    Some(Ahead(now.duration_since(date)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared() {
        let now: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        for (date, expected) in [
            ("Sat, 21 Nov 2026 09:00:00 GMT", Some((0, false, false))),
            ("Sat, 21 Nov 2026 08:59:31 GMT", Some((29, false, false))),
            ("Sat, 21 Nov 2026 09:01:00 GMT", Some((-60, true, false))),
            ("Sat, 21 Nov 2026 08:55:00 GMT", Some((300, true, true))),
            ("Sat, 21 Nov 2026 09:05:00 GMT", Some((-300, true, true))),
            ("yesterday", None),
        ] {
            let found = ahead(date, now);
            let found = found.map(|it| (it.0.as_secs(), it.is_off(), it.is_refused()));
            assert_eq!(found, expected, "{date}");
        }
    }
}
