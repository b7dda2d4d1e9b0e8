//! One mail, whatever gets lost: every request of a step is broken in every way, one at a time and
//! two at a time, before and after it took effect; in the end the mailbox holds one mail.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use docket_exchange::Exchange;
use docket_plugin_sdk::testing::{Sent, TestCall, answer, document};
use docket_plugin_sdk::{Document, Failure, HttpError, Output, Plugin, Response};
use serde_json::{Value, json};

/// A mailbox that does what Graph documents, as far as these actions need it.
#[derive(Default)]
struct Mailbox {
    messages: BTreeMap<String, Held>,
    uploads: BTreeMap<String, (String, String, u64, u64)>,
    numbers: u64,
    received: Vec<String>,
    /// The server's clock: minutes after 09:00.
    minutes: u64,
}

struct Held {
    message: Value,
    folder: &'static str,
    is_draft: bool,
    attachments: Vec<(String, usize)>,
    modified: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    LostBefore,
    LostAfter,
    TimeoutBefore,
    TimeoutAfter,
}

const FAULTS: [Fault; 4] = [
    Fault::LostBefore,
    Fault::LostAfter,
    Fault::TimeoutBefore,
    Fault::TimeoutAfter,
];

impl Mailbox {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn show(&self, id: &str) -> Value {
        let held = &self.messages[id];
        json!({
            "id": id, "isDraft": held.is_draft, "parentFolderId": held.folder,
            "subject": held.message["subject"], "webLink": "https://outlook.test/x",
            "internetMessageId": format!("<{id}@contoso.example>"),
            "createdDateTime": format!("2026-11-21T09:00:{:02}Z", self.numbers % 60),
            "lastModifiedDateTime": format!("2026-11-21T09:{:02}:00Z", held.modified),
        })
    }

    fn find(&self, is_it: impl Fn(&str, &Held) -> bool) -> Response {
        let found: Vec<_> = self
            .messages
            .iter()
            .filter(|(id, held)| is_it(id, held))
            .map(|(id, _)| self.show(id))
            .collect();
        answer(200, &json!({"value": found}))
    }

    fn create(&mut self, message: Value) -> Response {
        let id = format!("M{}", self.number());
        let held = Held {
            message,
            folder: "DRAFTS",
            is_draft: true,
            attachments: Vec::new(),
            modified: self.minutes,
        };
        self.messages.insert(id.clone(), held);
        answer(201, &self.show(&id))
    }

    fn handle(&mut self, sent: &Sent) -> Response {
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
        let path =
            path.trim_start_matches("https://graph.test/v1.0/users/contracts%40contoso.example");
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (sent.method, parts.as_slice()) {
            ("POST", ["messages"]) => self.create(sent.json()),
            ("GET", ["messages"]) => {
                let key = "0193b3c4-5a6b-7c8d-9e0f-a1b2c3d4e5f6";
                if sent.url.contains("singleValueExtendedProperties") {
                    assert!(sent.url.contains(key), "{}", sent.url);
                    self.find(|_, held| {
                        held.message["singleValueExtendedProperties"][0]["value"] == key
                    })
                } else {
                    self.find(|id, _| sent.url.contains(&format!("%3C{id}%40")))
                }
            }
            (_, ["messages", id, ..]) if !self.messages.contains_key(*id) => gone(),
            ("GET", ["messages", id]) => answer(200, &self.show(id)),
            ("POST", ["messages", id, "send"]) => {
                if !self.messages[*id].is_draft {
                    return gone();
                }
                if let Some(held) = self.messages.get_mut(*id) {
                    held.is_draft = false;
                    held.folder = "SENT";
                }
                self.received.push((*id).to_owned());
                answer(202, &Value::Null)
            }
            ("POST", ["messages", _, "createReply"]) => self.create(sent.json()["message"].clone()),
            ("POST", ["messages", id, "move"]) => {
                let folder = sent.json()["destinationId"].as_str().map(str::to_owned);
                assert_eq!(folder.as_deref(), Some("PROCESSED"));
                if let Some(held) = self.messages.get_mut(*id) {
                    held.folder = "PROCESSED";
                }
                answer(201, &self.show(id))
            }
            ("GET", ["messages", id, "attachments"]) => {
                let names: Vec<_> = self.messages[*id]
                    .attachments
                    .iter()
                    .map(|(name, _)| json!({"name": name}))
                    .collect();
                answer(200, &json!({"value": names}))
            }
            ("POST", ["messages", id, "attachments"]) => {
                let body = sent.json();
                let size = body["contentBytes"].as_str().map_or(0, str::len);
                let name = body["name"].as_str().unwrap_or_default().to_owned();
                if let Some(held) = self.messages.get_mut(*id) {
                    held.attachments.push((name, size));
                }
                answer(201, &json!({"id": "A"}))
            }
            ("POST", ["messages", id, "attachments", "createUploadSession"]) => {
                let item = &sent.json()["AttachmentItem"];
                let session = format!("S{}", self.number());
                let name = item["name"].as_str().unwrap_or_default().to_owned();
                let size = item["size"].as_u64().unwrap_or_default();
                self.uploads
                    .insert(session.clone(), ((*id).to_owned(), name, size, 0));
                let url = format!("https://outlook.test/upload/{session}");
                answer(
                    201,
                    &json!({"uploadUrl": url, "nextExpectedRanges": ["0-"]}),
                )
            }
            ("GET", ["mailFolders", "msgfolderroot", "childFolders"]) => {
                answer(200, &json!({"value": [{"id": "PROCESSED"}]}))
            }
            ("GET", ["mailFolders", _]) => answer(200, &json!({"displayName": "Sent Items"})),
            _ => panic!("no such request: {} {}", sent.method, sent.url),
        }
    }

    fn upload(&mut self, session: &str, sent: &Sent) -> Response {
        assert!(
            !sent.as_account,
            "an upload must not carry the account's token"
        );
        let Some((id, name, size, at)) = self.uploads.get_mut(session) else {
            return answer(404, &json!({"error": {"code": "ErrorItemNotFound"}}));
        };
        let range = sent.header("content-range").unwrap_or_default();
        let start = range
            .trim_start_matches("bytes ")
            .split('-')
            .next()
            .unwrap_or_default();
        if start.parse() != Ok(*at) {
            return answer(400, &json!({"error": {"code": "ErrorInvalidRange"}}));
        }
        *at += sent.body.len() as u64;
        if *at < *size {
            return answer(200, &json!({"nextExpectedRanges": [at.to_string()]}));
        }
        let (id, name, size) = (id.clone(), name.clone(), *size);
        self.uploads.remove(session);
        if let Some(held) = self.messages.get_mut(&id) {
            held.attachments
                .push((name, usize::try_from(size).unwrap_or_default()));
        }
        answer(201, &Value::Null)
    }
}

/// How many attempts a step has unless the workflow says otherwise.
const ATTEMPTS: u32 = 5;

/// Runs attempts, as the engine would, until the step is done or has failed for good.
fn run(
    action: &str,
    input: &Value,
    mailbox: &Rc<RefCell<Mailbox>>,
    faults: &[(usize, Fault)],
) -> (Result<Output, Failure>, usize) {
    let count = Rc::new(RefCell::new(0));
    for attempt in 1..=ATTEMPTS {
        let (server, counter, faults) = (Rc::clone(mailbox), Rc::clone(&count), faults.to_vec());
        let mut test = TestCall::new(action, input, move |sent| {
            let number = counter.replace_with(|number| *number + 1);
            let fault = faults
                .iter()
                .find(|(at, _)| *at == number)
                .map(|(_, fault)| *fault);
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
            result => return (result, *count.borrow()),
        }
    }
    unreachable!("the last attempt returns")
}

thread_local! {
    /// One that needs an upload session of two pieces, and one that does not.
    static DOCUMENTS: [Document; 2] = [
        document("agreement.pdf", "application/pdf", &vec![7; 4 << 20]),
        document("certificate.pdf", "application/pdf", b"small"),
    ];
}

fn documents() -> [Document; 2] {
    DOCUMENTS.with(Clone::clone)
}

fn mail() -> Value {
    let [large, small] = documents();
    json!({
        "from": "contracts@contoso.example", "to": ["anna@example.com"], "subject": "Signed",
        "html": "<p>Signed</p>", "attachments": [large.about(), small.about()]
    })
}

/// Every request broken in every way, alone and together with every later one.
fn every_fault(requests: usize) -> Vec<Vec<(usize, Fault)>> {
    let mut all = vec![Vec::new()];
    for first in 0..requests + 3 {
        for fault in FAULTS {
            all.push(vec![(first, fault)]);
            for second in first + 1..requests + 6 {
                all.extend(FAULTS.map(|other| vec![(first, fault), (second, other)]));
            }
        }
    }
    all
}

#[test]
fn a_mail_is_sent_once_with_its_attachments_whatever_is_lost() {
    let clean = Rc::new(RefCell::new(Mailbox::default()));
    let (result, requests) = run("send", &mail(), &clean, &[]);
    assert_eq!(result.expect("sent").value()["state"], "sent");
    for faults in every_fault(requests) {
        let mailbox = Rc::new(RefCell::new(Mailbox::default()));
        let (result, _) = run("send", &mail(), &mailbox, &faults);
        let mailbox = mailbox.borrow();
        let output = result
            .unwrap_or_else(|failure| panic!("{faults:?}: {failure:?}"))
            .value();
        assert_eq!(
            mailbox.received.len(),
            1,
            "{faults:?}: {:?}",
            mailbox.received
        );
        let sent = &mailbox.messages[&mailbox.received[0]];
        let names: Vec<_> = sent
            .attachments
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["agreement.pdf", "certificate.pdf"], "{faults:?}");
        assert_eq!(
            output["message"]["id"],
            mailbox.received[0].as_str(),
            "{faults:?}"
        );
    }
}

#[test]
fn a_reply_is_drafted_once_whatever_is_lost() {
    let input = json!({
        "reply-to-message": {"id": "M1", "mailbox": "contracts@contoso.example"}, "text": "Thanks"
    });
    let fresh = || {
        let mailbox = Rc::new(RefCell::new(Mailbox::default()));
        mailbox.borrow_mut().create(json!({"subject": "Invoice"}));
        mailbox
    };
    let (_, requests) = run("draft", &input, &fresh(), &[]);
    for faults in every_fault(requests) {
        let mailbox = fresh();
        let (result, _) = run("draft", &input, &mailbox, &faults);
        assert!(result.is_ok(), "{faults:?}: {result:?}");
        assert_eq!(mailbox.borrow().messages.len(), 2, "{faults:?}");
        assert!(mailbox.borrow().received.is_empty(), "{faults:?}");
    }
}

#[test]
fn a_message_is_moved_whatever_is_lost_and_moving_it_again_is_success() {
    let input = json!({
        "message": {"id": "M1", "mailbox": "contracts@contoso.example"}, "folder": "Processed"
    });
    let fresh = || {
        let mailbox = Rc::new(RefCell::new(Mailbox::default()));
        mailbox.borrow_mut().create(json!({"subject": "Invoice"}));
        mailbox
    };
    let mailbox = fresh();
    let (result, requests) = run("move", &input, &mailbox, &[]);
    assert_eq!(result.expect("moved").value()["moved"], true);
    let (result, _) = run("move", &input, &mailbox, &[]);
    assert_eq!(result.expect("there already").value()["moved"], false);
    for faults in every_fault(requests) {
        let mailbox = fresh();
        let (result, _) = run("move", &input, &mailbox, &faults);
        assert!(result.is_ok(), "{faults:?}: {result:?}");
        assert_eq!(
            mailbox.borrow().messages["M1"].folder,
            "PROCESSED",
            "{faults:?}"
        );
    }
}

#[test]
fn an_undocumented_success_is_not_taken_for_one() {
    let mailbox = Rc::new(RefCell::new(Mailbox::default()));
    let server = Rc::clone(&mailbox);
    let input = json!({"from": "contracts@contoso.example", "to": "a@b.example", "subject": "s", "text": "t"});
    let test = TestCall::new("send", &input, move |sent| {
        if sent.url.ends_with("/send") {
            return Ok(answer(200, &Value::Null));
        }
        Ok(server.borrow_mut().handle(sent))
    });
    let result = Exchange::run(test.call());
    assert!(
        matches!(result, Err(Failure::OutcomeUnknown(_))),
        "{result:?}"
    );
}

#[test]
fn bad_input_sends_nothing() {
    let check = |change: Value, code: &str| {
        let mut input = json!({"to": "a@b.example", "subject": "s", "text": "t"});
        for (name, value) in change.as_object().expect("an object") {
            input[name] = value.clone();
        }
        let test = TestCall::new("send", &input, |sent| panic!("sent {sent:?}"));
        let failure = Exchange::run(test.call()).expect_err("bad input");
        assert!(matches!(failure, Failure::InvalidInput(_)), "{failure:?}");
        assert_eq!(failure.problem().code, code, "{change}");
        assert!(failure.problem().remedy.is_some(), "{change}");
    };
    check(json!({"to": []}), "NoRecipients");
    check(json!({"to": "anna"}), "InvalidRecipient");
    check(json!({"to": "a@b.example;c@d.example"}), "InvalidRecipient");
    check(
        json!({"cc": ["a@b.example\r\nBcc: x@y.z"]}),
        "InvalidRecipient",
    );
    check(json!({"to": vec!["a@b.example"; 501]}), "TooManyRecipients");
    check(json!({"subject": "s\r\nBcc: x@y.z"}), "ControlCharacter");
    check(json!({"headers": {"x-a": "1\r\nb: 2"}}), "ControlCharacter");
    check(json!({"headers": {"Subject": "x"}}), "InvalidHeader");
    check(json!({"from": "../me"}), "InvalidMailbox");
}
