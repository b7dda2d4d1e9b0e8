//! A mailbox on Graph, and requests into it.

use std::cell::Cell;

use docket_plugin_sdk::{Call, Failure, HttpError, Problem, RequestBuilder, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{encode, failure, odata_text, sent_at};

/// Has Graph give and take ids that stay the same when a message moves within its mailbox
/// ("Obtain immutable identifiers for Outlook resources"). Needed on every request.
const IMMUTABLE_IDS: &str = "IdType=\"ImmutableId\"";

/// A message by mailbox and immutable id; what actions hand to one another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageHandle {
    /// The immutable id.
    pub id: String,
    /// The mailbox's address.
    pub mailbox: String,
}

/// The schema of a [`MessageHandle`].
#[must_use]
pub fn message_schema(description: &str) -> Value {
    json!({
        "type": "object",
        "description": description,
        "properties": {
            "id": {"type": "string", "minLength": 1, "description": "The message's immutable id."},
            "mailbox": {"type": "string", "format": "email", "description": "Whose mailbox it is in."}
        },
        "required": ["id", "mailbox"],
        "additionalProperties": false
    })
}

/// A mailbox, reached as the call's account.
pub struct Mailbox<'a> {
    call: &'a Call,
    address: String,
    base: String,
    requests: Cell<u64>,
    server_time: Cell<Option<i64>>,
}

impl<'a> Mailbox<'a> {
    /// The mailbox of that address.
    ///
    /// # Errors
    /// The address is none, or the step has no connection with a `graph` endpoint.
    pub fn new(call: &'a Call, address: &str) -> Result<Self, Failure> {
        let is_address = address.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && domain.contains('.') && !domain.contains('@')
        });
        if !is_address
            || address
                .contains(|c: char| c.is_control() || c.is_whitespace() || "/\\?#".contains(c))
        {
            return Err(Failure::InvalidInput(
                Problem::new(
                    "InvalidMailbox",
                    format!("{address:?} is no mailbox address"),
                )
                .remedy("give the mailbox's primary address, as in contracts@example.com"),
            ));
        }
        let base = format!("{}/v1.0/users/{}", call.endpoint("graph")?, encode(address));
        Ok(Self {
            call,
            address: address.to_owned(),
            base,
            requests: Cell::new(0),
            server_time: Cell::new(None),
        })
    }

    /// The call.
    #[must_use]
    pub fn call(&self) -> &'a Call {
        self.call
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The server's time when it last answered [`Self::success`], in seconds since the epoch; before
    /// that, or where it does not say, when the attempt started.
    #[must_use]
    pub fn server_time(&self) -> i64 {
        let started = i64::try_from(self.call.time() / 1000).unwrap_or(i64::MAX);
        self.server_time.get().unwrap_or(started)
    }

    /// Starts a request below the mailbox; `path` begins with a slash.
    pub fn request(&self, method: &'static str, path: &str) -> RequestBuilder<'a> {
        self.request_to(method, format!("{}{path}", self.base))
    }

    /// Starts a request to a URL that Graph gave, such as a next page's.
    pub fn request_to(&self, method: &'static str, url: String) -> RequestBuilder<'a> {
        let number = self.requests.get();
        self.requests.set(number + 1);
        let id = request_id(self.call.idempotency_key(), self.call.attempt(), number);
        self.call
            .request(method, url)
            .as_account()
            .header("prefer", IMMUTABLE_IDS)
            .header("client-request-id", &id)
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// The request's failure, or the answer's.
    pub fn get<T: for<'de> Deserialize<'de>>(&self, path: &str, doing: &str) -> Result<T, Failure> {
        let answer = self
            .request("GET", path)
            .send()
            .map_err(HttpError::into_failure)?;
        self.success(&answer, doing)?.json()
    }

    /// An answer of status 2xx, or the failure that it means.
    ///
    /// # Errors
    /// The failure.
    pub fn success<'r>(&self, answer: &'r Response, doing: &str) -> Result<&'r Response, Failure> {
        self.server_time
            .set(sent_at(answer).or(self.server_time.get()));
        if answer.is_success() {
            Ok(answer)
        } else {
            Err(self.failure(answer, doing))
        }
    }

    /// The failure that an answer means.
    #[must_use]
    pub fn failure(&self, answer: &Response, doing: &str) -> Failure {
        failure(answer, doing, &self.address)
    }

    /// The messages with an extended property of that id and value, wherever in the mailbox they
    /// are. `select` is a list of properties.
    ///
    /// # Errors
    /// The request's failure, or the answer's.
    pub fn find_stamped<T: for<'de> Deserialize<'de>>(
        &self,
        property: &str,
        value: &str,
        select: &str,
    ) -> Result<Vec<T>, Failure> {
        let filter = format!(
            "singleValueExtendedProperties/Any(ep: ep/id eq {} and ep/value eq {})",
            odata_text(property),
            odata_text(value)
        );
        self.find(&filter, select)
    }

    /// The messages that pass an OData filter, ten at most.
    ///
    /// # Errors
    /// The request's failure, or the answer's.
    pub fn find<T: for<'de> Deserialize<'de>>(
        &self,
        filter: &str,
        select: &str,
    ) -> Result<Vec<T>, Failure> {
        #[derive(Deserialize)]
        struct Page<T> {
            value: Vec<T>,
        }
        let path = format!(
            "/messages?$filter={}&$select={select}&$top=10",
            encode(filter)
        );
        self.get::<Page<T>>(&path, "looking for the message")
            .map(|page| page.value)
    }
}

/// A `client-request-id` for support cases: a GUID that is different for each request, and the same
/// when the attempt is run again after a crash, so that the recorded request still matches.
fn request_id(key: &str, attempt: u32, number: u64) -> String {
    let hash = |seed: u64| {
        let bytes = key
            .bytes()
            .chain(attempt.to_le_bytes())
            .chain(number.to_le_bytes());
        bytes.fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    let (a, b) = (hash(0xcbf2_9ce4_8422_2325), hash(0x6c62_272e_07bb_0142));
    format!(
        "{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | (b >> 48) & 0x3fff,
        b & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use docket_plugin_sdk::testing::{TestCall, answer};
    use serde_json::json;

    use super::*;

    #[test]
    fn request_ids_differ_and_repeat() {
        let ids: BTreeSet<_> = (0..1000)
            .map(|number| request_id("key", 1, number))
            .collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 36));
        assert_eq!(request_id("key", 2, 7), request_id("key", 2, 7));
        assert_ne!(request_id("key", 2, 7), request_id("other", 2, 7));
    }

    #[test]
    fn an_address_cannot_leave_its_segment() {
        let test = TestCall::new("x", &json!({}), |_| Ok(answer(200, &json!({}))));
        for bad in [
            "",
            "a",
            "@b.c",
            "a@",
            "a@b",
            "a@b.c/x",
            "a@b.c?x",
            "a b@c.d",
            "a@b.c\r\nx",
        ] {
            assert!(Mailbox::new(test.call(), bad).is_err(), "{bad:?}");
        }
        assert!(Mailbox::new(test.call(), "o'brien+x@contoso.example").is_ok());
    }
}
