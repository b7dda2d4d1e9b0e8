//! Sending when Exchange takes its time: a submitted message stays in Drafts until transport has
//! it, and what `/send` answers for it then is not documented. Either way one mail goes out.

use std::cell::RefCell;
use std::rc::Rc;

use docket_exchange::Exchange;
use docket_plugin_sdk::testing::{Sent, TestCall, answer, document};
use docket_plugin_sdk::{Failure, HttpError, Output, Plugin, Response};
use serde_json::{Value, json};

type Answered = Result<Response, HttpError>;
/// A kind of broken reply, by name.
type Reply = (&'static str, fn() -> Answered);

/// 2026-11-21T09:00:00Z in seconds since the epoch; the server's clock starts here.
const START: i64 = 1_795_251_600;

/// A mailbox with one message, and a clock.
struct Server {
    now: i64,
    /// How long a submitted message stays in Drafts, in seconds.
    lag: i64,
    /// Whether `/send` sends a message again that is on its way already.
    sends_again: bool,
    drafts: usize,
    modified: i64,
    submitted: Option<i64>,
    mails: usize,
}

impl Server {
    fn new(lag: i64, sends_again: bool) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            now: START,
            lag,
            sends_again,
            drafts: 0,
            modified: START,
            submitted: None,
            mails: 0,
        }))
    }

    fn handle(&mut self, sent: &Sent) -> Response {
        let mut answer = self.answer(sent);
        let (hour, minute, second) = clock(self.now);
        let date = format!("Sat, 21 Nov 2026 {hour:02}:{minute:02}:{second:02} GMT");
        answer.headers.push(("date".to_owned(), date));
        answer
    }

    fn answer(&mut self, sent: &Sent) -> Response {
        let path = sent.url.split('?').next().unwrap_or_default();
        let path = path.rsplit("contoso.example").next().unwrap_or_default();
        let is_sent = self.submitted.is_some_and(|at| at + self.lag <= self.now);
        let gone = || answer(404, &json!({"error": {"code": "ErrorItemNotFound"}}));
        match (sent.method, path) {
            ("POST", "/messages") => {
                self.drafts += 1;
                self.modified = self.now;
                answer(201, &self.show(false))
            }
            ("GET", "/messages") => {
                let found: Vec<_> = (0..self.drafts).map(|_| self.show(is_sent)).collect();
                answer(200, &json!({"value": found}))
            }
            ("GET", "/messages/M") => answer(200, &self.show(is_sent)),
            ("POST", "/messages/M/send") => {
                if is_sent || (self.submitted.is_some() && !self.sends_again) {
                    return gone();
                }
                self.submitted = Some(self.now);
                self.modified = self.now;
                self.mails += 1;
                answer(202, &Value::Null)
            }
            ("GET", "/mailFolders/SENT") => answer(200, &json!({"displayName": "Sent Items"})),
            _ => panic!("no such request: {} {}", sent.method, sent.url),
        }
    }

    fn show(&self, is_sent: bool) -> Value {
        let (hour, minute, second) = clock(self.modified);
        json!({
            "id": "M", "isDraft": !is_sent, "internetMessageId": "<1@contoso.example>",
            "parentFolderId": if is_sent { "SENT" } else { "DRAFTS" },
            "lastModifiedDateTime": format!("2026-11-21T{hour:02}:{minute:02}:{second:02}Z"),
        })
    }
}

fn clock(now: i64) -> (i64, i64, i64) {
    let day = now - START + 9 * 3600;
    (day / 3600, day / 60 % 60, day % 60)
}

/// Runs attempts as the engine would, waiting in between as it is told.
fn run(
    server: &Rc<RefCell<Server>>,
    change: &Value,
    fault: impl FnMut(&Sent, &mut Server) -> Option<Answered> + 'static,
) -> Result<Output, Failure> {
    let mut input = json!({
        "from": "contracts@contoso.example", "to": "anna@example.com", "subject": "s", "text": "t"
    });
    for (name, value) in change.as_object().into_iter().flatten() {
        input[name] = value.clone();
    }
    let fault = Rc::new(RefCell::new(fault));
    let mut attempt = 1;
    loop {
        let (held, fault) = (Rc::clone(server), Rc::clone(&fault));
        let test = TestCall::new("send", &input, move |sent| {
            let mut server = held.borrow_mut();
            match (fault.borrow_mut())(sent, &mut server) {
                Some(broken) => broken,
                None => Ok(server.handle(sent)),
            }
        });
        let result = Exchange::run(test.with_attempt(attempt).call());
        let wait = match &result {
            Err(Failure::Throttled(_, Some(after))) => {
                i64::try_from(after.as_millis().div_ceil(1000)).expect("a wait")
            }
            Err(Failure::Unavailable(_)) => 2,
            _ => return result,
        };
        if attempt == 5 {
            return result;
        }
        attempt += 1;
        server.borrow_mut().now += wait;
    }
}

#[test]
fn a_mail_that_is_still_on_its_way_is_not_sent_again() {
    let lost = || Err(HttpError::Interrupted("reset".to_owned()));
    let late = || Ok(answer(504, &json!({"error": {"code": "Timeout"}})));
    let replies: [Reply; 2] = [("lost", lost), ("late", late)];
    for lag in [0, 1, 10, 30] {
        for sends_again in [false, true] {
            for (name, reply) in replies {
                for took_effect in [false, true] {
                    let case = format!("{name} lag {lag} {sends_again} {took_effect}");
                    let server = Server::new(lag, sends_again);
                    let mut is_first = true;
                    let result = run(&server, &json!({}), move |sent, server| {
                        if !sent.url.ends_with("/send") || !std::mem::take(&mut is_first) {
                            return None;
                        }
                        if took_effect {
                            server.handle(sent);
                        }
                        Some(reply())
                    });
                    assert!(result.is_ok(), "{case}: {result:?}");
                    assert_eq!(server.borrow().mails, 1, "{case}");
                    assert_eq!(server.borrow().drafts, 1, "{case}");
                }
            }
        }
    }
}

#[test]
fn a_mail_that_exchange_took_is_sent_whatever_the_look_for_its_copy_says() {
    let broken: [Reply; 5] = [
        ("503", || Ok(answer(503, &json!({"error": {"code": "x"}})))),
        ("403", || {
            Ok(answer(
                403,
                &json!({"error": {"code": "ErrorAccessDenied"}}),
            ))
        }),
        ("lost", || Err(HttpError::Interrupted("reset".to_owned()))),
        ("lapsed", || {
            Err(HttpError::SignInRequired("lapsed".to_owned()))
        }),
        ("not granted", || {
            Err(HttpError::Denied {
                what: "GET".to_owned(),
                remedy: "grant it".to_owned(),
            })
        }),
    ];
    for (name, reply) in broken {
        for (at, state) in [("/messages", "accepted"), ("/mailFolders/", "sent")] {
            let server = Server::new(0, true);
            let result = run(&server, &json!({}), move |sent, server| {
                let is_it = server.mails > 0 && sent.method == "GET" && sent.url.contains(at);
                is_it.then(reply)
            });
            let output = result
                .unwrap_or_else(|f| panic!("{name} {at}: {f:?}"))
                .value();
            assert_eq!(output["state"], state, "{name} {at}");
            assert_eq!(output["folder"], Value::Null, "{name} {at}");
            assert_eq!(output["message"]["id"], "M", "{name} {at}");
            assert_eq!(server.borrow().mails, 1, "{name} {at}");
        }
    }
}

#[test]
fn a_mail_that_is_held_back_is_not_sent_again_before_its_time() {
    let until = json!({"defer-until": "2026-11-21T10:00:00Z"});
    for took_effect in [false, true] {
        let server = Server::new(3600, true);
        let mut is_first = true;
        let result = run(&server, &until, move |sent, server| {
            if !sent.url.ends_with("/send") || !std::mem::take(&mut is_first) {
                return None;
            }
            if took_effect {
                server.handle(sent);
            }
            Some(Err(HttpError::Interrupted("reset".to_owned())))
        });
        let state = result.expect("sent").value()["state"].clone();
        assert_eq!(server.borrow().mails, 1, "{took_effect}");
        assert!(server.borrow().now >= START + 3600, "{took_effect}");
        let expected = if took_effect { "sent" } else { "accepted" };
        assert_eq!(state, expected, "{took_effect}");
    }
    let server = Server::new(3600, true);
    let output = run(&server, &until, |_, _| None).expect("sent").value();
    assert_eq!(output["state"], "scheduled");
    assert_eq!(server.borrow().now, START, "nothing waits for it");
}

/// Sends a mail with one attachment to a server that takes everything, but answers the uploaded
/// pieces with `piece`.
fn attach(
    size: usize,
    piece: impl Fn(&Sent) -> Answered + 'static,
) -> (Result<Output, Failure>, Vec<Sent>) {
    let held = document("large.pdf", "application/pdf", &vec![7; size]);
    let input = json!({
        "from": "contracts@contoso.example", "to": "anna@example.com", "subject": "s", "text": "t",
        "attachments": [held.about()]
    });
    let server = Server::new(0, false);
    let test = TestCall::new("send", &input, move |sent| {
        if sent.method == "PUT" {
            return piece(sent);
        }
        Ok(if sent.url.ends_with("/createUploadSession") {
            answer(
                201,
                &json!({"uploadUrl": "sealed:1", "nextExpectedRanges": ["0-"]}),
            )
        } else if sent.url.ends_with("/attachments") {
            answer(201, &json!({"id": "A"}))
        } else if sent.url.contains("/attachments?") {
            answer(200, &json!({"value": []}))
        } else {
            server.borrow_mut().handle(sent)
        })
    });
    let test = test.with_document(held);
    (Exchange::run(test.call()), test.sent())
}

fn takes(sent: &Sent) -> Answered {
    let range = sent.header("content-range").unwrap_or_default();
    let (range, total) = range
        .trim_start_matches("bytes ")
        .split_once('/')
        .expect("a range");
    let end: u64 = range
        .split('-')
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("an end");
    Ok(if Ok(end + 1) == total.parse() {
        answer(201, &Value::Null)
    } else {
        answer(200, &json!({"nextExpectedRanges": [(end + 1).to_string()]}))
    })
}

#[test]
fn no_request_is_larger_than_what_graph_reads() {
    const MAX_REQUEST: usize = 4 * 1024 * 1024;
    for size in [
        2_999_999, 3_000_000, 3_145_600, 3_145_727, 3_145_728, 9_000_000,
    ] {
        let (result, sent) = attach(size, takes);
        assert!(result.is_ok(), "{size}: {result:?}");
        for sent in &sent {
            let length = sent.body.len();
            assert!(
                length < MAX_REQUEST,
                "{size}: {} of {length} bytes",
                sent.url
            );
        }
        let uploaded: usize = sent
            .iter()
            .filter(|s| s.method == "PUT")
            .map(|s| s.body.len())
            .sum();
        assert!(
            uploaded == 0 || uploaded == size,
            "{size}: {uploaded} were uploaded"
        );
    }
}

#[test]
fn an_upload_goes_on_where_it_broke() {
    // Pieces of which the reply is lost, before or after they arrived.
    for lost in [0, 1, 2] {
        for arrived in [false, true] {
            // Of a last piece that arrived only the list of attachments tells; see effectively_once.rs.
            if lost == 2 && arrived {
                continue;
            }
            let (at, asked) = (RefCell::new(0_u64), RefCell::new(0));
            let piece = move |sent: &Sent| {
                let range = sent.header("content-range").unwrap_or_default();
                let start = range.trim_start_matches("bytes ").split('-').next();
                let start: u64 = start.and_then(|n| n.parse().ok()).expect("a start");
                let is_lost = asked.replace_with(|n| *n + 1) == lost;
                if start != *at.borrow() {
                    let refusal = json!({"error": {"code": "ErrorInvalidRange"}});
                    return Ok(answer(416, &refusal));
                }
                if !is_lost || arrived {
                    at.replace_with(|at| *at + sent.body.len() as u64);
                }
                if is_lost {
                    return Err(HttpError::Interrupted("reset".to_owned()));
                }
                takes(sent)
            };
            let (result, sent) = attach(9_000_000, piece);
            let case = format!("piece {lost}, arrived: {arrived}");
            assert!(result.is_ok(), "{case}: {result:?}");
            let sessions = sent
                .iter()
                .filter(|s| s.url.ends_with("/createUploadSession"));
            assert_eq!(sessions.count(), 1, "{case}");
        }
    }
}

#[test]
fn a_server_that_wants_the_same_again_and_again_is_left() {
    let back = |_: &Sent| Ok(answer(200, &json!({"nextExpectedRanges": ["0-"]})));
    let (result, sent) = attach(9_000_000, back);
    assert!(matches!(result, Err(Failure::Unavailable(_))), "{result:?}");
    assert!(sent.len() < 40, "{}", sent.len());
    let beyond = |_: &Sent| Ok(answer(200, &json!({"nextExpectedRanges": ["9000001"]})));
    let (result, _) = attach(9_000_000, beyond);
    assert!(matches!(result, Err(Failure::Unavailable(_))), "{result:?}");
}

#[test]
fn a_refused_upload_in_a_shared_mailbox_names_the_way_round() {
    let held = document("large.pdf", "application/pdf", &vec![7; 4 << 20]);
    let input = json!({
        "from": "contracts@contoso.example", "to": "anna@example.com", "subject": "s", "text": "t",
        "attachments": [held.about()]
    });
    let server = Server::new(0, false);
    let test = TestCall::new("send", &input, move |sent| {
        Ok(if sent.url.ends_with("/createUploadSession") {
            answer(403, &json!({"error": {"code": "ErrorAccessDenied"}}))
        } else {
            server.borrow_mut().handle(sent)
        })
    });
    let failure = Exchange::run(test.with_document(held).call()).expect_err("refused");
    let remedy = failure.problem().remedy.clone().unwrap_or_default();
    assert!(matches!(failure, Failure::Denied(_)), "{failure:?}");
    assert!(remedy.contains("sent-items: account"), "{remedy}");
}

#[test]
fn a_file_that_the_mailbox_will_not_take_is_not_uploaded_again() {
    let (result, sent) = attach(9_000_000, |_| {
        Ok(answer(
            400,
            &json!({"error": {"code": "ErrorMessageSizeExceeded"}}),
        ))
    });
    assert!(
        matches!(&result, Err(Failure::InvalidInput(problem)) if problem.remedy.is_some()),
        "{result:?}"
    );
    assert_eq!(sent.iter().filter(|sent| sent.method == "PUT").count(), 1);
}
