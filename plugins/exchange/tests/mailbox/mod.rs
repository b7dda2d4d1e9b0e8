//! A scripted mailbox that does what Graph documents, as far as the actions need it, and breaks
//! replies on request.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use docket_exchange::Exchange;
use docket_plugin_sdk::testing::{Sent, TestCall, answer, document};
use docket_plugin_sdk::{Document, Failure, HttpError, Output, Plugin, Response};
use serde_json::{Map, Value, json};

const USER: &str = "https://graph.test/v1.0/users/contracts%40contoso.example";

/// How many attempts a step has unless the workflow says otherwise.
pub(crate) const ATTEMPTS: u32 = 5;

/// A mailbox.
#[derive(Default)]
pub(crate) struct Mailbox {
    pub(crate) messages: BTreeMap<String, Held>,
    pub(crate) uploads: BTreeMap<String, (String, String, u64, u64)>,
    pub(crate) numbers: u64,
    /// The ids of the messages that went out.
    pub(crate) received: Vec<String>,
    /// What went out by `sendMail`.
    pub(crate) fast: Vec<Value>,
    /// The server's clock: minutes after 09:00.
    pub(crate) minutes: u64,
    /// Whether a submitted message gets another id.
    pub(crate) sending_changes_ids: bool,
    /// How many minutes the next request to send waits before it gets here.
    pub(crate) waits_for_turn: u64,
    /// How many minutes a submitted message looks like a draft still.
    pub(crate) transit: u64,
    /// Whether the first draft appears only when the second one is created.
    pub(crate) is_slow_to_create: bool,
    /// A draft that has not appeared yet.
    pub(crate) limbo: Option<(String, Held)>,
}

/// A message in it.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) message: Map<String, Value>,
    pub(crate) folder: String,
    pub(crate) is_draft: bool,
    pub(crate) attachments: Vec<(String, usize)>,
    pub(crate) internet_id: String,
    modified: u64,
    /// When transport has it, where it was submitted.
    leaves: Option<u64>,
}

/// How a reply is broken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    LostBefore,
    LostAfter,
    TimeoutBefore,
    TimeoutAfter,
}

/// All of them.
pub(crate) const FAULTS: [Fault; 4] = [
    Fault::LostBefore,
    Fault::LostAfter,
    Fault::TimeoutBefore,
    Fault::TimeoutAfter,
];

impl Mailbox {
    /// With a message `M1` in the folder `INBOX`, with a picture in it.
    pub(crate) fn with_a_message() -> Rc<RefCell<Self>> {
        let mut mailbox = Self::default();
        mailbox.create(json!({"subject": "Invoice", "categories": ["Red"]}));
        let held = mailbox.messages.get_mut("M1").expect("created");
        held.is_draft = false;
        held.folder = "INBOX".to_owned();
        held.attachments.push(("certificate.pdf".to_owned(), 7));
        Rc::new(RefCell::new(mailbox))
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn show(&self, id: &str) -> Value {
        let held = &self.messages[id];
        json!({
            "id": id, "isDraft": held.is_draft, "parentFolderId": held.folder,
            "subject": held.message.get("subject"), "webLink": "https://outlook.test/x",
            "categories": held.message.get("categories"),
            "internetMessageId": held.internet_id,
            "createdDateTime": format!("2026-11-21T09:00:{:02}Z", self.numbers % 60),
            "lastModifiedDateTime": format!("2026-11-21T09:{:02}:00Z", held.modified),
        })
    }

    fn find(&self, is_it: impl Fn(&Held) -> bool) -> Response {
        let found = self.messages.iter().filter(|(_, held)| is_it(held));
        let found: Vec<_> = found.map(|(id, _)| self.show(id)).collect();
        answer(200, &json!({"value": found}))
    }

    /// Creates a draft.
    pub(crate) fn create(&mut self, message: Value) -> Response {
        let id = format!("M{}", self.number());
        let held = Held {
            message: message.as_object().cloned().unwrap_or_default(),
            folder: "DRAFTS".to_owned(),
            is_draft: true,
            attachments: Vec::new(),
            internet_id: format!("<{id}@contoso.example>"),
            modified: self.minutes,
            leaves: None,
        };
        self.messages.insert(id.clone(), held);
        let created = answer(201, &self.show(&id));
        if std::mem::take(&mut self.is_slow_to_create) {
            let held = self.messages.remove(&id).expect("created");
            self.limbo = Some((id, held));
        } else {
            self.messages.extend(self.limbo.take());
        }
        created
    }

    fn create_mime(&mut self, sent: &Sent) -> Response {
        assert!(sent.body.len().is_multiple_of(4), "one run of base64");
        let answer = self.create(Value::Null);
        let id = format!("M{}", self.numbers);
        let held = self.messages.get_mut(&id).expect("created");
        let mime = String::from_utf8(decode(&sent.body)).expect("text");
        if let Some(line) = mime.lines().find(|line| line.starts_with("Message-ID:")) {
            line[11..].trim().clone_into(&mut held.internet_id);
        }
        answer
    }

    /// The answer to a request, with the server's date.
    pub(crate) fn handle(&mut self, sent: &Sent) -> Response {
        if sent.url.ends_with("/send") {
            self.minutes += std::mem::take(&mut self.waits_for_turn);
        }
        let has_left = |held: &Held| held.leaves.is_some_and(|at| at <= self.minutes);
        let gone: Vec<String> = self
            .messages
            .iter()
            .filter(|(_, held)| held.is_draft && has_left(held))
            .map(|(id, _)| id.clone())
            .collect();
        gone.iter().for_each(|id| drop(self.file(id)));
        let date = format!("Sat, 21 Nov 2026 09:{:02}:00 GMT", self.minutes);
        let mut answer = self.answer(sent);
        answer.headers.push(("date".to_owned(), date));
        answer
    }

    fn answer(&mut self, sent: &Sent) -> Response {
        let gone = || {
            answer(
                404,
                &json!({"error": {"code": "ErrorItemNotFound", "message": "gone"}}),
            )
        };
        let path = sent.url.split('?').next().unwrap_or_default();
        if let Some(session) = path.strip_prefix("https://outlook.test/upload/") {
            return self.upload(session, sent);
        }
        let path = path.trim_start_matches(USER);
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (sent.method, parts.as_slice()) {
            ("POST", ["messages"]) if sent.header("content-type") == Some("text/plain") => {
                self.create_mime(sent)
            }
            ("POST", ["messages"]) => self.create(sent.json()),
            ("POST", ["sendMail"]) => {
                self.fast.push(sent.json());
                answer(202, &Value::Null)
            }
            ("GET", ["messages"]) => self.search(&sent.url),
            (_, ["messages", id, ..]) if !self.messages.contains_key(*id) => gone(),
            ("GET", ["messages", id]) => answer(200, &self.show(id)),
            ("PATCH", ["messages", id]) => {
                self.update(id, sent.json());
                answer(200, &self.show(id))
            }
            ("POST", ["messages", id, "send"]) => {
                if !self.messages[*id].is_draft {
                    return gone();
                }
                self.send(id);
                answer(202, &Value::Null)
            }
            (
                "POST",
                [
                    "messages",
                    id,
                    "createReply" | "createReplyAll" | "createForward",
                ],
            ) => {
                let body = sent.json();
                let original = self.messages[*id].clone();
                // A stamp that comes along is not documented to be taken, and is not.
                let mut message = body["message"].clone();
                if let Some(message) = message.as_object_mut() {
                    message.remove("singleValueExtendedProperties");
                }
                let answer = self.create(message);
                let draft = self.messages.get_mut(&format!("M{}", self.numbers));
                if path.ends_with("createForward")
                    && let Some(draft) = draft
                {
                    draft.attachments = original.attachments;
                }
                answer
            }
            ("POST", ["messages", id, "move"]) => {
                let folder = sent.json()["destinationId"].clone();
                let held = self.messages.get_mut(*id).expect("known");
                held.folder = folder.as_str().expect("a folder").to_owned();
                answer(201, &self.show(id))
            }
            ("POST", ["messages", id, "copy"]) => {
                let folder = sent.json()["destinationId"].clone();
                let mut copy = self.messages[*id].clone();
                copy.folder = folder.as_str().expect("a folder").to_owned();
                let id = format!("M{}", self.number());
                self.messages.insert(id.clone(), copy);
                answer(201, &self.show(&id))
            }
            ("GET", ["messages", id, "attachments"]) => {
                let attached = self.messages[*id].attachments.iter();
                let names: Vec<_> = attached.map(|(name, _)| json!({"name": name})).collect();
                answer(200, &json!({"value": names}))
            }
            ("POST", ["messages", id, "attachments"]) => {
                let body = sent.json();
                let size = body["contentBytes"].as_str().map_or(0, str::len);
                let name = body["name"].as_str().unwrap_or_default().to_owned();
                let held = self.messages.get_mut(*id).expect("known");
                held.attachments.push((name, size));
                answer(201, &json!({"id": "A"}))
            }
            ("POST", ["messages", id, "attachments", "createUploadSession"]) => {
                let item = &sent.json()["AttachmentItem"];
                let session = format!("S{}", self.number());
                let name = item["name"].as_str().unwrap_or_default().to_owned();
                let size = item["size"].as_u64().unwrap_or_default();
                let upload = ((*id).to_owned(), name, size, 0);
                self.uploads.insert(session.clone(), upload);
                let url = format!("https://outlook.test/upload/{session}");
                answer(
                    201,
                    &json!({"uploadUrl": url, "nextExpectedRanges": ["0-"]}),
                )
            }
            ("GET", ["mailFolders", "msgfolderroot", "childFolders"]) => {
                answer(200, &json!({"value": [{"id": "PROCESSED"}]}))
            }
            ("GET", ["mailFolders", "deleteditems"]) => answer(200, &json!({"id": "DELETED"})),
            ("GET", ["mailFolders", _]) => answer(200, &json!({"displayName": "Sent Items"})),
            _ => panic!("no such request: {} {}", sent.method, sent.url),
        }
    }

    fn search(&self, url: &str) -> Response {
        let key = "0193b3c4-5a6b-7c8d-9e0f-a1b2c3d4e5f6";
        if !url.contains("singleValueExtendedProperties") {
            return self.find(|held| {
                let id = held
                    .internet_id
                    .trim_matches(['<', '>'])
                    .replace('@', "%40");
                url.contains(&format!("%3C{id}%3E"))
            });
        }
        assert!(url.contains(key), "{url}");
        let names = ["DocketIdempotencyKey", "DocketSendKey", "DocketCopyKey"];
        let name = names.iter().find(|name| url.contains(**name));
        self.find(|held| stamp(held, name.expect("a known stamp")) == Some(key))
    }

    fn update(&mut self, id: &str, change: Value) {
        let minutes = self.minutes;
        let held = self.messages.get_mut(id).expect("known");
        held.modified = minutes;
        let Value::Object(change) = change else {
            panic!("no object");
        };
        for (name, value) in change {
            match (name.as_str(), held.message.get_mut(&name)) {
                ("singleValueExtendedProperties", Some(Value::Array(all))) => {
                    for property in value.as_array().into_iter().flatten() {
                        all.retain(|other| other["id"] != property["id"]);
                        all.push(property.clone());
                    }
                }
                _ => {
                    held.message.insert(name, value);
                }
            }
        }
    }

    /// Takes a message; it goes out as often as it is submitted.
    fn send(&mut self, id: &str) {
        let id = match self.transit {
            0 => self.file(id),
            transit => {
                let leaves = self.minutes + transit;
                self.messages.get_mut(id).expect("known").leaves = Some(leaves);
                id.to_owned()
            }
        };
        self.received.push(id);
    }

    /// Puts a message that went out into Sent Items.
    fn file(&mut self, id: &str) -> String {
        let mut held = self.messages.remove(id).expect("known");
        held.is_draft = false;
        held.folder = "SENT".to_owned();
        let id = if self.sending_changes_ids {
            format!("{id}-sent")
        } else {
            id.to_owned()
        };
        self.messages.insert(id.clone(), held);
        id
    }

    fn upload(&mut self, session: &str, sent: &Sent) -> Response {
        assert!(!sent.as_account, "an upload must not carry the token");
        let Some((id, name, size, at)) = self.uploads.get_mut(session) else {
            return answer(404, &json!({"error": {"code": "ErrorItemNotFound"}}));
        };
        let range = sent.header("content-range").unwrap_or_default();
        let range = range.trim_start_matches("bytes ");
        let start = range.split('-').next().unwrap_or_default();
        if start.parse() != Ok(*at) {
            return answer(416, &json!({"error": {"code": "ErrorInvalidRange"}}));
        }
        *at += sent.body.len() as u64;
        if *at < *size {
            return answer(200, &json!({"nextExpectedRanges": [at.to_string()]}));
        }
        let (id, name, size) = (id.clone(), name.clone(), *size);
        self.uploads.remove(session);
        let held = self.messages.get_mut(&id).expect("known");
        let size = usize::try_from(size).unwrap_or_default();
        held.attachments.push((name, size));
        answer(201, &Value::Null)
    }
}

/// The value of a stamp.
pub(crate) fn stamp<'h>(held: &'h Held, name: &str) -> Option<&'h str> {
    let properties = held.message.get("singleValueExtendedProperties")?;
    let mut properties = properties.as_array()?.iter();
    let is_it = |property: &&Value| property["id"].as_str().is_some_and(|id| id.ends_with(name));
    properties.find(is_it)?["value"].as_str()
}

/// Runs attempts, as the engine would, until the step is done or has failed for good. Gives the
/// requests of all of them.
pub(crate) fn run(
    action: &str,
    input: &Value,
    mailbox: &Rc<RefCell<Mailbox>>,
    faults: &[(usize, Fault)],
) -> (Result<Output, Failure>, Vec<Sent>) {
    let all = Rc::new(RefCell::new(Vec::new()));
    for attempt in 1..=ATTEMPTS {
        let action_name = action.to_owned();
        let (server, all_sent, faults) = (Rc::clone(mailbox), Rc::clone(&all), faults.to_vec());
        let mut test = TestCall::new(action, input, move |sent| {
            assert_asked_for(&action_name, sent);
            let number = all_sent.borrow().len();
            all_sent.borrow_mut().push(sent.clone());
            let fault = faults.iter().find(|(at, _)| *at == number);
            let fault = fault.map(|(_, fault)| *fault);
            let answered = match fault {
                Some(Fault::LostBefore | Fault::TimeoutBefore) => None,
                _ => Some(server.borrow_mut().handle(sent)),
            };
            match (fault, answered) {
                (None, Some(answered)) => Ok(answered),
                (Some(Fault::LostBefore | Fault::LostAfter), _) => {
                    Err(HttpError::Interrupted("reset".to_owned()))
                }
                _ => Ok(answer(
                    504,
                    &json!({"error": {"code": "Timeout", "message": "late"}}),
                )),
            }
        })
        .with_attempt(attempt);
        for held in documents() {
            test = test.with_document(held);
        }
        let result = Exchange::run(test.call());
        match result {
            Err(Failure::Unavailable(_)) if attempt < ATTEMPTS => {}
            Err(Failure::Throttled(_, Some(after))) if attempt < ATTEMPTS => {
                mailbox.borrow_mut().minutes += after.as_secs().div_ceil(60);
            }
            result => return (result, all.borrow().clone()),
        }
    }
    unreachable!("the last attempt returns")
}

/// The manifest asks for the request: nobody can grant what is not asked for.
fn assert_asked_for(action: &str, sent: &Sent) {
    let manifest = Exchange::manifest();
    let known = manifest.actions().iter().find(|one| one.name() == action);
    let url = sent.url.split('?').next().unwrap_or_default();
    let is_asked_for = known
        .expect("an action")
        .requests()
        .iter()
        .any(|[method, pattern, _]| {
            let pattern = pattern
                .replace("{graph}", "https://graph.test")
                .replace("{outlook}", "https://outlook.test");
            let is_like = match pattern.strip_suffix("/**") {
                Some(start) => url.starts_with(&format!("{start}/")),
                None => {
                    let (pattern, url) = (pattern.split('/'), url.split('/'));
                    let is_one = |(p, s): (&str, &str)| p == s || ["*", "{mailbox}"].contains(&p);
                    pattern.clone().count() == url.clone().count() && pattern.zip(url).all(is_one)
                }
            };
            *method == sent.method && is_like
        });
    assert!(
        is_asked_for,
        "{action} does not ask for {} {url}",
        sent.method
    );
}

thread_local! {
    /// One that needs an upload session of two pieces, one that does not, and a MIME message.
    static DOCUMENTS: [Document; 3] = [
        document("agreement.pdf", "application/pdf", &vec![7; 4 << 20]),
        document("certificate.pdf", "application/pdf", b"small"),
        document("ready.eml", "message/rfc822", b"From: a@contoso.example\r\nTo: b@x.example\r\n\r\nHello"),
    ];
}

/// The documents that every call is given.
pub(crate) fn documents() -> [Document; 3] {
    DOCUMENTS.with(Clone::clone)
}

/// The message that is there from the start.
pub(crate) fn original() -> Value {
    json!({"id": "M1", "mailbox": "contracts@contoso.example"})
}

fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |c: &u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for group in text.chunks(4) {
        let kept = group.iter().filter(|c| **c != b'=').count();
        let number = group.iter().map(|c| if *c == b'=' { 0 } else { digit(c) });
        let number = number.fold(0_u32, |all, digit| all << 6 | u32::from(digit));
        bytes.extend_from_slice(&number.to_be_bytes()[1..kept.max(1)]);
    }
    bytes
}
