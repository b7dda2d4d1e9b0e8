//! Imports from a scripted folder: what is asked for, what comes out, and what faults do.

use std::cell::Cell;
use std::rc::Rc;

use docket_graph_import::GraphImport;
use docket_plugin_sdk::testing::{Sent, TestCall, answer};
use docket_plugin_sdk::{Content, Failure, HttpError, Plugin, Response};
use serde_json::{Value, json};

const USER: &str = "https://graph.test/v1.0/users/invoices%40contoso.example";

type Answered = Result<Response, HttpError>;

/// A message in the scripted folder.
#[derive(Clone, Default)]
struct Mail {
    body: Value,
    attachments: Vec<Value>,
}

fn file(id: &str, name: &str, size: u64) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.fileAttachment", "id": id, "name": name,
        "contentType": "application/pdf", "size": size, "isInline": false
    })
}

fn picture(id: &str) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.fileAttachment", "id": id, "name": "logo.png",
        "contentType": "image/png", "size": 10, "isInline": true
    })
}

fn mail(attachments: Vec<Value>) -> Mail {
    Mail {
        body: json!({"contentType": "html", "content": "<p>Hello</p>"}),
        attachments,
    }
}

fn gone() -> Response {
    answer(
        404,
        &json!({"error": {"code": "ErrorItemNotFound", "message": "gone"}}),
    )
}

/// Answers as Graph would for a folder `Invoices` of these messages, `page` at a time.
fn serve(sent: &Sent, folder: &[Mail], page: usize) -> Response {
    assert_eq!(sent.method, "GET", "an import must not change anything");
    assert!(sent.as_account && sent.is_repeatable, "{}", sent.url);
    assert_eq!(sent.header("prefer"), Some("IdType=\"ImmutableId\""));
    let (path, query) = sent.url.split_once('?').unwrap_or((&sent.url, ""));
    let path = path.strip_prefix(USER).expect("a URL below the mailbox");
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let message = |id: &str| id.strip_prefix('M').and_then(|n| n.parse::<usize>().ok());
    match parts.as_slice() {
        ["mailFolders", "msgfolderroot", "childFolders"] => {
            answer(200, &json!({"value": [{"id": "INVOICES"}]}))
        }
        ["mailFolders", "INVOICES", "messages"] => {
            let skip = query.split("skip=").nth(1).and_then(|n| n.parse().ok());
            let skip = skip.unwrap_or(0);
            let rows: Vec<_> = (skip..folder.len()).take(page).map(show).collect();
            let mut body = json!({"value": rows});
            if skip + page < folder.len() {
                let next = skip + page;
                let link = format!("{USER}/mailFolders/INVOICES/messages?%24skip={next}");
                body["@odata.nextLink"] = link.into();
            }
            answer(200, &body)
        }
        ["messages", id] => match message(id).and_then(|n| folder.get(n)) {
            Some(mail) => answer(200, &json!({"id": id, "body": mail.body})),
            None => gone(),
        },
        ["messages", id, "attachments"] => {
            let mail = message(id).and_then(|n| folder.get(n));
            assert!(query.starts_with("$select="), "contents must not be listed");
            mail.map_or_else(gone, |mail| {
                answer(200, &json!({"value": mail.attachments}))
            })
        }
        ["messages", _, "attachments", id, "$value"] => Response {
            status: 200,
            headers: Vec::new(),
            body: Content::Inline(format!("bytes of {id}").into_bytes()),
        },
        _ => panic!("no such request: {}", sent.url),
    }
}

fn show(number: usize) -> Value {
    json!({
        "id": format!("M{number}"),
        "internetMessageId": format!("<{number}@fabrikam.example>"),
        "subject": format!("Invoice {number}"),
        "from": {"emailAddress": {"name": "Fabrikam", "address": "billing@fabrikam.example"}},
        "toRecipients": [{"emailAddress": {"name": "", "address": "invoices@contoso.example"}}],
        "receivedDateTime": format!("2026-11-21T08:00:{number:02}Z"),
        "bodyPreview": "Hello"
    })
}

fn call(change: &Value, answers: impl FnMut(&Sent) -> Answered + 'static) -> TestCall {
    let mut input = json!({"mailbox": "invoices@contoso.example", "folder": "Invoices"});
    for (name, value) in change.as_object().expect("an object") {
        input[name] = value.clone();
    }
    TestCall::new("messages", &input, answers)
}

fn import(change: &Value, folder: Vec<Mail>) -> (Value, Vec<Sent>) {
    let test = call(change, move |sent| Ok(serve(sent, &folder, 2)));
    let output = GraphImport::run(test.call()).unwrap_or_else(|f| panic!("{change}: {f:?}"));
    (output.value(), test.sent())
}

#[test]
fn a_message_comes_with_its_body_and_attachments() {
    let (output, sent) = import(
        &json!({}),
        vec![mail(vec![file("A", "INV-1.pdf", 500), picture("B")])],
    );
    let message = &output["messages"][0];
    assert_eq!(message["id"], "M0");
    assert_eq!(message["mailbox"], "invoices@contoso.example");
    assert_eq!(message["subject"], "Invoice 0");
    let fabrikam = json!({"name": "Fabrikam", "address": "billing@fabrikam.example"});
    assert_eq!(message["from"], fabrikam);
    // Somebody without a name is called by the address.
    assert_eq!(message["to"][0]["name"], "invoices@contoso.example");
    assert_eq!(message["html"], "<p>Hello</p>");
    assert_eq!(message.get("text"), None);
    let attachments = message["attachments"].as_array().expect("a list");
    assert_eq!(attachments.len(), 1, "the picture is part of the body");
    assert_eq!(attachments[0]["name"], "INV-1.pdf");
    assert_eq!(attachments[0]["document"]["mediaType"], "application/pdf");
    assert_eq!(attachments[0]["document"]["size"], 10);
    assert_eq!(message["skipped"], json!([]));
    assert_eq!(output["more"], false);
    assert!(
        sent.iter().all(|sent| !sent.url.contains("/B/")),
        "{sent:?}"
    );
}

#[test]
fn the_list_is_asked_for_in_an_order_that_its_filter_leads_with() {
    let (_, sent) = import(
        &json!({"has-attachments": true, "unread": true}),
        Vec::new(),
    );
    let list = &sent[1].url;
    let filter = "$filter=receivedDateTime%20ge%201900-01-01T00%3A00%3A00Z\
                  %20and%20hasAttachments%20eq%20true%20and%20isRead%20eq%20false\
                  &$orderby=receivedDateTime&$select=";
    assert!(list.contains(filter), "{list}");
}

#[test]
fn pages_are_followed_up_to_the_limit() {
    let check = |limit: usize, held: usize, expected: usize, more: bool| {
        let (output, _) = import(&json!({"limit": limit}), vec![mail(Vec::new()); held]);
        let found = output["messages"].as_array().expect("a list");
        let ids: Vec<_> = found.iter().map(|message| message["id"].clone()).collect();
        let wanted: Vec<_> = (0..expected).map(|n| json!(format!("M{n}"))).collect();
        assert_eq!(ids, wanted, "limit {limit} of {held}");
        assert_eq!(output["more"], more, "limit {limit} of {held}");
    };
    check(100, 0, 0, false);
    check(100, 5, 5, false);
    check(4, 5, 4, true);
    check(3, 5, 3, true);
    check(5, 5, 5, false);
    check(4, 4, 4, false);
}

#[test]
fn with_inline_pictures_the_services_own_flag_is_not_trusted() {
    let folder = vec![mail(Vec::new()), mail(vec![picture("B")]), mail(Vec::new())];
    let (output, sent) = import(&json!({"has-attachments": true, "inline": true}), folder);
    assert_eq!(output["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(output["messages"][0]["id"], "M1");
    assert_eq!(output["messages"][0]["attachments"][0]["inline"], true);
    assert!(
        !sent[1].url.contains("hasAttachments%20eq"),
        "{}",
        sent[1].url
    );
}

#[test]
fn what_is_left_out_is_listed_with_its_reason() {
    let folder = vec![Mail {
        body: json!({"contentType": "text", "content": "x".repeat(600 * 1024)}),
        attachments: vec![
            file("A", "large.pdf", 5000),
            file("B", "data.xml", 5),
            // The list says less than there is.
            file("C", "liar.pdf", 5),
            file("D", "ok.pdf", 5),
        ],
    }];
    let change = json!({"max-size": 100, "types": [".pdf"]});
    let test = call(&change, move |sent| {
        if sent.url.ends_with("/C/$value") {
            return Err(HttpError::TooLarge(100));
        }
        Ok(serve(sent, &folder, 2))
    });
    let output = GraphImport::run(test.call()).expect("imported").value();
    let message = &output["messages"][0];
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().expect("a list").iter();
        list.map(|one| one["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(names(&message["attachments"]), ["ok.pdf"]);
    assert_eq!(
        names(&message["skipped"]),
        ["body", "large.pdf", "data.xml", "liar.pdf"]
    );
    assert_eq!((message.get("text"), message.get("html")), (None, None));
}

#[test]
fn what_was_removed_meanwhile_is_no_failure() {
    let folder = vec![
        mail(vec![file("A", "a.pdf", 5), file("B", "b.pdf", 5)]),
        mail(Vec::new()),
    ];
    let test = call(&json!({}), move |sent| {
        let is_gone = sent.url.contains("/messages/M1") || sent.url.ends_with("/A/$value");
        Ok(if is_gone {
            gone()
        } else {
            serve(sent, &folder, 2)
        })
    });
    let output = GraphImport::run(test.call()).expect("imported").value();
    assert_eq!(output["messages"].as_array().map(Vec::len), Some(1));
    let message = &output["messages"][0];
    assert_eq!(message["attachments"][0]["name"], "b.pdf");
    assert_eq!(message["skipped"][0]["name"], "a.pdf");
}

/// How the `times` next requests whose URL ends with `at` are answered.
fn with_faults(
    at: &'static str,
    times: usize,
    fault: impl Fn() -> Answered + 'static,
) -> (Result<Value, Failure>, usize) {
    let folder: Vec<_> = (0..3)
        .map(|number| mail(vec![file(&format!("A{number}"), "a.pdf", 5)]))
        .collect();
    let left = Rc::new(Cell::new(times));
    let test = call(&json!({}), move |sent| {
        if sent.url.contains(at) && left.get() > 0 {
            left.set(left.get() - 1);
            return fault();
        }
        Ok(serve(sent, &folder, 2))
    });
    let result = GraphImport::run(test.call()).map(|output| output.value());
    (result, test.sent().len())
}

#[test]
fn a_fault_that_passes_costs_one_request_more() {
    let (clean, requests) = with_faults("nowhere", 0, || unreachable!());
    let clean = clean.expect("imported");
    let lost = || Err(HttpError::Interrupted("reset".to_owned()));
    let late = || Ok(answer(504, &json!({"error": {"code": "Timeout"}})));
    for at in ["/messages/M1?", "/M2/attachments?", "/A1/$value"] {
        for times in [1, 2] {
            let (found, sent) = with_faults(at, times, lost);
            assert_eq!(found.as_ref(), Ok(&clean), "{at}");
            assert_eq!(sent, requests + times, "{at}");
            let (found, _) = with_faults(at, times, late);
            assert_eq!(found.as_ref(), Ok(&clean), "{at}");
        }
        let (found, sent) = with_faults(at, 3, lost);
        assert!(
            matches!(found, Err(Failure::Unavailable(_))),
            "{at}: {found:?}"
        );
        assert!(sent <= requests + 2, "{at}: no endless asking");
    }
}

#[test]
fn an_attachment_that_the_service_never_gives_is_left_out_with_its_reason() {
    for (at, name) in [("/A1/$value", "a.pdf"), ("/M1/attachments?", "attachments")] {
        let refused = || {
            Ok(answer(
                400,
                &json!({"error": {"code": "ErrorInvalidRequest"}}),
            ))
        };
        let (found, _) = with_faults(at, usize::MAX, refused);
        let found = found.unwrap_or_else(|failure| panic!("{at}: {failure:?}"));
        let count = |at: usize| {
            found["messages"][at]["attachments"]
                .as_array()
                .map(Vec::len)
        };
        assert_eq!([0, 1, 2].map(count), [Some(1), Some(0), Some(1)], "{at}");
        let skipped = &found["messages"][1]["skipped"][0];
        assert_eq!(skipped["name"], name);
        let why = skipped["why"].as_str().expect("a reason");
        assert!(why.contains("failed"), "{why}");
    }
}

#[test]
fn failures_are_handed_on_by_what_to_do_about_them() {
    let throttled = || {
        let mut slow = answer(429, &json!({"error": {"code": "ApplicationThrottled"}}));
        slow.headers
            .push(("retry-after".to_owned(), "9".to_owned()));
        Ok(slow)
    };
    let (found, _) = with_faults("/A1/$value", 1, throttled);
    let nine = std::time::Duration::from_secs(9);
    assert!(
        matches!(&found, Err(Failure::Throttled(_, after)) if *after == Some(nine)),
        "a server that says how long to wait is not asked again before: {found:?}"
    );
    let denied = || {
        Ok(answer(
            403,
            &json!({"error": {"code": "ErrorAccessDenied"}}),
        ))
    };
    let (found, _) = with_faults("/messages?", 1, denied);
    assert!(matches!(found, Err(Failure::Denied(_))), "{found:?}");
    let lapsed = || Err(HttpError::SignInRequired("sign in".to_owned()));
    let (found, _) = with_faults("/M1/attachments?", 1, lapsed);
    assert!(
        matches!(found, Err(Failure::SignInRequired(_))),
        "{found:?}"
    );
    let cut = || {
        let mut cut = answer(200, &json!({}));
        cut.body = Content::Inline(b"{\"value\": [".to_vec());
        Ok(cut)
    };
    let (found, _) = with_faults("/messages?", 1, cut);
    assert!(matches!(found, Err(Failure::Unavailable(_))), "{found:?}");
}

#[test]
fn links_that_go_round_in_a_circle_end() {
    let asked = Rc::new(Cell::new(0_u32));
    let counter = Rc::clone(&asked);
    let test = call(&json!({"limit": 1000}), move |sent| {
        if !sent.url.contains("/messages?") {
            return Ok(serve(sent, &[], 2));
        }
        counter.set(counter.get() + 1);
        let link = format!("{USER}/mailFolders/INVOICES/messages?%24skip=0");
        Ok(answer(200, &json!({"value": [], "@odata.nextLink": link})))
    });
    let failure = GraphImport::run(test.call()).expect_err("it must end");
    assert_eq!(failure.problem().code, "TooManyPages");
    assert_eq!(asked.get(), 1000);
}

#[test]
fn every_request_is_one_that_the_manifest_asks_for() {
    let (_, sent) = import(&json!({}), vec![mail(vec![file("A", "a.pdf", 5)]); 3]);
    let patterns = [
        "/mailFolders/*",
        "/mailFolders/*/childFolders",
        "/mailFolders/*/messages",
        "/messages/*",
        "/messages/*/attachments",
        "/messages/*/attachments/*/$value",
    ];
    for sent in sent {
        let path = sent
            .url
            .split('?')
            .next()
            .and_then(|p| p.strip_prefix(USER));
        let path: Vec<&str> = path.expect("below the mailbox").split('/').collect();
        let is_asked_for = patterns.iter().any(|pattern| {
            let pattern: Vec<&str> = pattern.split('/').collect();
            pattern.len() == path.len()
                && pattern.iter().zip(&path).all(|(p, s)| *p == "*" || p == s)
        });
        assert!(is_asked_for, "{}", sent.url);
    }
}
