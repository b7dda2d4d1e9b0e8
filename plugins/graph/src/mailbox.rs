//! A mailbox on Graph, and requests into it.

use std::cell::Cell;

use docket_plugin_sdk::{AccountKind, Call, Failure, HttpError, Problem, RequestBuilder, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// The most pages of a list that are read: a bound where a server's next links go in a circle.
const MOST_PAGES: usize = 1000;

/// A mailbox, reached as the call's account.
pub struct Mailbox<'a> {
    call: &'a Call,
    address: String,
    base: String,
    requests: Cell<u64>,
    server_time: Cell<Option<i64>>,
}

impl<'a> Mailbox<'a> {
    /// The mailbox of that address, or the account's own where none is given.
    ///
    /// # Errors
    /// The address is none, or an application, which has no mailbox of its own, was given none.
    pub fn of(call: &'a Call, address: Option<&str>) -> Result<Self, Failure> {
        match address {
            Some(address) => Self::new(call, address),
            None => Self::own(call),
        }
    }

    /// The account's own mailbox.
    ///
    /// # Errors
    /// The step has no account, or the account is an application.
    pub fn own(call: &'a Call) -> Result<Self, Failure> {
        let account = call.account()?;
        if account.kind == AccountKind::Application {
            return Err(Failure::InvalidInput(
                Problem::new(
                    "NoMailbox",
                    format!("{} is an application and has no mailbox", account.name),
                )
                .remedy("name the mailbox in the step's `with`"),
            ));
        }
        Self::new(call, &account.name)
    }

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
        self.start(method, path, IMMUTABLE_IDS)
    }

    /// The same with a further preference beside immutable ids, such as a body's form (RFC 7240).
    pub fn request_preferring(
        &self,
        method: &'static str,
        path: &str,
        preference: &str,
    ) -> RequestBuilder<'a> {
        let preferences = format!("{IMMUTABLE_IDS}, {preference}");
        self.start(method, path, &preferences)
    }

    fn start(&self, method: &'static str, path: &str, preferences: &str) -> RequestBuilder<'a> {
        let number = self.requests.get();
        self.requests.set(number + 1);
        let id = request_id(self.call.idempotency_key(), self.call.attempt(), number);
        self.call
            .request(method, format!("{}{path}", self.base))
            .as_account()
            .header("prefer", preferences)
            .header("client-request-id", &id)
    }

    /// Starts a request to the next page of a list below the mailbox.
    ///
    /// A link into this mailbox is followed to the letter ("Paging Microsoft Graph data in your
    /// app"). Links may name the mailbox by its directory id instead, or another host; of those the
    /// query is taken, which holds all of the position, and the path stays the granted one.
    pub fn follow(&self, path: &str, link: &str) -> RequestBuilder<'a> {
        self.request("GET", &self.link_path(path, link))
    }

    /// A link's path and query below the mailbox; see [`Self::follow`].
    #[must_use]
    pub fn link_path(&self, path: &str, link: &str) -> String {
        match link.strip_prefix(&self.base) {
            Some(below) if below.starts_with('/') => below.to_owned(),
            _ => {
                let query = link.split_once('?').map_or("", |(_, query)| query);
                let path = path.split('?').next().unwrap_or_default();
                format!("{path}?{query}")
            }
        }
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// The request's failure, or the answer's.
    pub fn get(&self, path: &str, doing: &str) -> Result<Value, Failure> {
        self.read(self.request("GET", path), doing)
    }

    /// Sends a GET and reads its JSON.
    ///
    /// # Errors
    /// The request's failure, or the answer's.
    pub fn read(&self, request: RequestBuilder<'_>, doing: &str) -> Result<Value, Failure> {
        let answer = request.send().map_err(HttpError::into_failure)?;
        self.success(&answer, doing)?.json()
    }

    /// Reads all pages of a list.
    ///
    /// # Errors
    /// The request's failure, or the answer's.
    pub fn list(&self, path: &str, doing: &str) -> Result<Vec<Value>, Failure> {
        let mut page = self.get(path, doing)?;
        let mut found = Vec::new();
        for _ in 0..MOST_PAGES {
            found.append(&mut rows(&mut page));
            match next_link(&page) {
                Some(link) => page = self.read(self.follow(path, link), doing)?,
                None => return Ok(found),
            }
        }
        Err(too_many_pages(doing))
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
    pub fn find_stamped(
        &self,
        property: &str,
        value: &str,
        select: &str,
    ) -> Result<Vec<Value>, Failure> {
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
    pub fn find(&self, filter: &str, select: &str) -> Result<Vec<Value>, Failure> {
        let path = format!(
            "/messages?$filter={}&$select={select}&$top=10",
            encode(filter)
        );
        self.get(&path, "looking for the message")
            .map(|mut page| rows(&mut page))
    }

    /// What a message has attached, inline ones included: id, name, type, size, content id.
    ///
    /// # Errors
    /// The request's failure, or the answer's.
    pub fn attachments(&self, message: &str) -> Result<Vec<Value>, Failure> {
        self.list(&attachments_path(message), "listing the attachments")
    }
}

/// The list of a message's attachments, without their contents.
#[must_use]
pub fn attachments_path(message: &str) -> String {
    format!(
        "/messages/{}/attachments?$select=id,name,contentType,size,isInline",
        encode(message)
    )
}

/// The rows of a page of a list.
#[must_use]
pub fn rows(page: &mut Value) -> Vec<Value> {
    match page.get_mut("value").map(Value::take) {
        Some(Value::Array(rows)) => rows,
        _ => Vec::new(),
    }
}

/// The link to the next page, where there is one.
#[must_use]
pub fn next_link(page: &Value) -> Option<&str> {
    page.get("@odata.nextLink")?.as_str()
}

/// A property that is text; `None` where it is missing, empty or something else.
#[must_use]
pub fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// The failure of a list that does not end.
#[must_use]
pub fn too_many_pages(doing: &str) -> Failure {
    Failure::Permanent(
        Problem::new(
            "TooManyPages",
            format!("{doing}: there are more than {MOST_PAGES} pages"),
        )
        .remedy("narrow what is asked for, or give a larger `page-size`"),
    )
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
    fn links_are_followed_within_the_granted_path() {
        let test = TestCall::new("x", &json!({}), |_| Ok(answer(200, &json!({}))));
        let mailbox = Mailbox::new(test.call(), "a@contoso.example").expect("an address");
        let base = "https://graph.test/v1.0/users/a%40contoso.example";
        let check = |link: &str, expected: &str| {
            let found = mailbox.follow("/messages?$top=5", link).build();
            assert_eq!(found.url, format!("{base}{expected}"), "{link}");
            assert!(found.as_account);
        };
        check(&format!("{base}/x?$skip=5"), "/x?$skip=5");
        for other in [
            "https://graph.test/v1.0/users('7d0c4e1a')/messages?$skip=5",
            "https://graph.test/v1.0/users/a%40contoso.example.evil.test/messages?$skip=5",
            "https://evil.test/v1.0/users/a%40contoso.example/messages?$skip=5",
        ] {
            check(other, "/messages?$skip=5");
        }
        check("nonsense", "/messages?");
    }

    #[test]
    fn an_application_has_no_mailbox_of_its_own() {
        let test = TestCall::new("x", &json!({}), |_| Ok(answer(200, &json!({}))))
            .with_account_kind(AccountKind::Application);
        let failure = Mailbox::of(test.call(), None).err().expect("refused");
        assert_eq!(failure.problem().code, "NoMailbox");
        assert!(Mailbox::of(test.call(), Some("a@contoso.example")).is_ok());
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
