//! Faults as data: what goes wrong, on which request, how often.

use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FaultAction {
    /// The request takes this much longer, and then succeeds.
    Latency {
        /// Milliseconds.
        millis: u64,
    },
    /// 429 `ApplicationThrottled`; nothing happens.
    Throttle {
        /// The `Retry-After` header to send, word for word; none when absent.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// 503; nothing happens.
    Unavailable {
        /// The `Retry-After` header to send.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// 504; nothing happens.
    GatewayTimeout,
    /// 504, although the request took effect.
    TimeoutAfterAccept,
    /// The connection is reset (RST) and nothing happens.
    ResetBefore,
    /// The request takes effect, then the connection is reset.
    ResetAfter,
    /// The request takes effect, then the answer breaks off in the middle of its body.
    CutOff {
        /// How many bytes of the body arrive.
        bytes: usize,
    },
    /// Any refusal; nothing happens.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// Graph's `code`.
        code: String,
        /// Graph's `message`.
        #[serde(default)]
        message: String,
    },
    /// The token endpoint fails with this AADSTS number.
    Aadsts {
        /// The number without its prefix.
        code: u32,
    },
    /// The access token that the request carries has expired: 401.
    AccessTokenExpired,
    /// The user's sign-in lapses for good (refresh tokens die), then the request is handled.
    SignInLapses {
        /// Whose.
        user: String,
    },
    /// The app loses a consented scope, then the request is handled.
    ScopeRevoked {
        /// The app's client id.
        client_id: String,
        /// The scope or role.
        scope: String,
    },
    /// The app's secrets expire, then the request is handled.
    SecretsExpire {
        /// The app's client id.
        client_id: String,
    },
    /// Delta tokens of every mailbox are lost, then the request is handled: 410 follows.
    DeltaLost,
    /// `sendMail` answers 200 and sends nothing (microsoft-graph-docs#13979).
    AcceptedNotSent,
}

/// A fault with its trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A name to find it by.
    #[serde(default)]
    pub id: String,
    /// The method; any when absent.
    #[serde(default)]
    pub method: Option<String>,
    /// A path pattern: `*` stands for anything, case is ignored, e.g. `*/messages/*/send`.
    pub path: String,
    /// Matching requests to let through first.
    #[serde(default)]
    pub skip: u32,
    /// How many matching requests it hits; `None` is all of them.
    #[serde(default = "once")]
    pub times: Option<u32>,
    /// What goes wrong.
    pub action: FaultAction,
    /// How many requests it has hit so far.
    #[serde(default)]
    pub hits: u32,
}

#[allow(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
fn once() -> Option<u32> {
    Some(1)
}

impl Fault {
    /// `action` on the next request with `method` and a path like `path`.
    pub fn next(method: &str, path: &str, action: FaultAction) -> Self {
        Self {
            id: String::new(),
            method: Some(method.to_owned()),
            path: path.to_owned(),
            skip: 0,
            times: Some(1),
            action,
            hits: 0,
        }
    }

    /// The same, but only the `n`th matching request (1 is the next one).
    pub fn nth(mut self, n: u32) -> Self {
        self.skip = n.saturating_sub(1);
        self
    }

    /// The same, `times` times in a row.
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// The same, until it is removed.
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }
}

/// The armed faults.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    armed: Vec<Fault>,
    next_id: u32,
}

impl Faults {
    /// Arms a fault and returns its id.
    pub(crate) fn arm(&mut self, mut fault: Fault) -> String {
        if fault.id.is_empty() {
            self.next_id += 1;
            fault.id = format!("fault-{}", self.next_id);
        }
        let id = fault.id.clone();
        self.armed.retain(|other| other.id != id);
        self.armed.push(fault);
        id
    }

    pub(crate) fn disarm(&mut self, id: &str) -> bool {
        let before = self.armed.len();
        self.armed.retain(|fault| fault.id != id);
        self.armed.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
    }

    pub(crate) fn all(&self) -> Vec<Fault> {
        self.armed.clone()
    }

    /// What goes wrong with this request, counting it against every matching fault.
    pub(crate) fn strike(&mut self, method: &str, path: &str) -> Vec<FaultAction> {
        if self.armed.is_empty() {
            return Vec::new();
        }
        let mut struck = Vec::new();
        for fault in &mut self.armed {
            let matches = fault
                .method
                .as_deref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
                && glob(&fault.path.to_ascii_lowercase(), &path.to_ascii_lowercase());
            if !matches {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if fault.times.is_some_and(|times| fault.hits >= times) {
                continue;
            }
            fault.hits += 1;
            struck.push(fault.action.clone());
        }
        struck
    }
}

/// Whether `text` is like `pattern`, where `*` stands for any run of characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}")
        };
        check("*/send", "/v1.0/me/messages/x/send", true);
        check("*/send", "/v1.0/me/sendmail", false);
        check("*/messages/*/send", "/v1.0/me/messages/x/send", true);
        check("/v1.0/me", "/v1.0/me", true);
        check("/v1.0/me", "/v1.0/me/messages", false);
        check("*", "", true);
        check("*ab*ab", "ab", false);
    }

    #[test]
    fn the_second_of_three() {
        let mut faults = Faults::default();
        faults.arm(Fault::next("POST", "*/send", FaultAction::ResetAfter).nth(2));
        let hits: Vec<usize> = (0..3)
            .map(|_| faults.strike("POST", "/me/messages/1/send").len())
            .collect();
        assert_eq!(hits, [0, 1, 0]);
        assert!(faults.strike("GET", "/me/messages/1/send").is_empty());
    }

    #[test]
    fn faults_read_from_json() {
        let fault: Fault = serde_json::from_str(
            r#"{"path":"*/send","action":{"kind":"throttle","retry_after":"2.128"}}"#,
        )
        .unwrap();
        assert_eq!(fault.times, Some(1));
        assert_eq!(
            fault.action,
            FaultAction::Throttle {
                retry_after: Some("2.128".into())
            }
        );
    }
}
