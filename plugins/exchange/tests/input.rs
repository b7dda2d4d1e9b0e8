//! What strangers and mistakes put into an input, and answers that are none.

mod mailbox;

use std::rc::Rc;

use docket_exchange::Exchange;
use docket_plugin_sdk::testing::{TestCall, answer, document};
use docket_plugin_sdk::{AccountKind, Content, Document, Failure, HttpError, Plugin};
use mailbox::{Mailbox, documents, original, run};
use serde_json::{Value, json};

fn mail(change: &Value) -> Value {
    let mut mail = json!({
        "from": "contracts@contoso.example", "to": "a@b.example", "subject": "s", "text": "t"
    });
    for (name, value) in change.as_object().expect("an object") {
        if value.is_null() {
            mail.as_object_mut().expect("an object").remove(name);
        } else {
            mail[name] = value.clone();
        }
    }
    mail
}

/// The input is refused with a code and a remedy before anything is sent.
fn refused(action: &str, input: &Value, held: Option<Document>, code: &str) {
    let mut test = TestCall::new(action, input, |sent| panic!("sent {sent:?}"));
    for document in documents().into_iter().chain(held) {
        test = test.with_document(document);
    }
    let failure = Exchange::run(test.call()).expect_err("bad input");
    assert!(
        matches!(failure, Failure::InvalidInput(_)),
        "{input}: {failure:?}"
    );
    assert_eq!(failure.problem().code, code, "{input}");
    assert!(failure.problem().remedy.is_some(), "{input}");
}

#[test]
fn bad_input_sends_nothing() {
    let check = |change: Value, code: &str| refused("send", &mail(&change), None, code);
    let [large, _, mime] = documents();
    check(json!({"to": []}), "NoRecipients");
    check(json!({"to": "anna"}), "InvalidRecipient");
    check(json!({"to": "a@b.example;c@d.example"}), "InvalidRecipient");
    check(json!({"to": {"name": "Anna"}}), "InvalidRecipient");
    check(json!({"to": [["a@b.example"]]}), "InvalidRecipient");
    check(json!({"to": vec!["a@b.example"; 501]}), "TooManyRecipients");
    check(
        json!({"to": vec!["a@b.example"; 250], "cc": vec!["a@b.example"; 250], "bcc": "a@b.example"}),
        "TooManyRecipients",
    );
    check(json!({"from": "../me"}), "InvalidMailbox");
    check(json!({"from": "a@b.example/messages"}), "InvalidMailbox");
    check(json!({"html": "h"}), "TwoBodies");
    check(json!({"text": null}), "NoBody");
    check(json!({"comment": "c"}), "CommentAlone");
    check(json!({"sent-items": "none"}), "CopyNeeded");
    check(json!({"defer-until": "tomorrow"}), "InvalidTime");
    check(json!({"mime": mime.about()}), "MimeAlone");
    check(
        json!({"in-reply-to": original(), "forward": original()}),
        "ReplyAndForward",
    );
    check(
        json!({"in-reply-to": original(), "comment": "c"}),
        "CommentAndBody",
    );
    check(
        json!({"in-reply-to": original(), "sent-items": "account"}),
        "SentItemsElsewhere",
    );
    check(
        json!({"delivery": "fast", "attachments": [large.about()]}),
        "TooMuchForFast",
    );
    check(
        json!({"delivery": "fast", "defer-until": "2026-11-22"}),
        "FastCannot",
    );
    let six: Value = (0..6).map(|n| (format!("x-{n}"), json!("v"))).collect();
    check(json!({"headers": six}), "TooManyHeaders");
}

#[test]
fn no_text_field_smuggles_in_a_header() {
    let check = |change: Value, code: &str| refused("send", &mail(&change), None, code);
    let [_, small, _] = documents();
    for smuggled in [
        "x\r\nBcc: x@y.example",
        "x\nBcc: x@y.example",
        "x\u{0}",
        "x\t",
    ] {
        let address = format!("a{smuggled}@b.example");
        check(json!({"to": address}), "InvalidRecipient");
        check(json!({"cc": [address]}), "InvalidRecipient");
        check(json!({"bcc": {"address": address}}), "InvalidRecipient");
        check(json!({"reply-to": [address]}), "InvalidRecipient");
        check(json!({"from": address}), "InvalidMailbox");
        let named = json!({"address": "a@b.example", "name": smuggled});
        check(json!({"to": named}), "ControlCharacter");
        check(json!({"subject": smuggled}), "ControlCharacter");
        check(json!({"categories": [smuggled]}), "ControlCharacter");
        check(json!({"headers": {"x-a": smuggled}}), "ControlCharacter");
        check(
            json!({"headers": {format!("x-{smuggled}"): "1"}}),
            "InvalidHeader",
        );
        let inline = json!([{"document": small.about(), "cid": smuggled}]);
        check(json!({"inline": inline}), "InvalidContentId");
        let mark = json!({"message": original(), "categories": [smuggled]});
        refused("mark", &mark, None, "ControlCharacter");
        let place = json!({"message": original(), "folder": smuggled});
        if smuggled != "x\t" {
            refused("move", &place, None, "InvalidFolder");
            refused("copy", &place, None, "InvalidFolder");
        }
    }
    for name in ["Subject", "x-", "x", "x-a b", "x-ä", "X-a:"] {
        check(json!({"headers": {name: "x"}}), "InvalidHeader");
    }
}

#[test]
fn a_mail_without_recipients_can_be_drafted_and_marking_nothing_is_refused() {
    let mailbox = Rc::default();
    let (result, _) = run("draft", &mail(&json!({"to": null})), &mailbox, &[]);
    assert!(result.is_ok(), "{result:?}");
    refused(
        "mark",
        &json!({"message": original()}),
        None,
        "NothingToMark",
    );
}

#[test]
fn an_application_must_name_its_mailbox() {
    let test = TestCall::new("send", &mail(&json!({"from": null})), |sent| {
        panic!("sent {sent:?}")
    });
    let test = test.with_account_kind(AccountKind::Application);
    let failure = Exchange::run(test.call()).expect_err("refused");
    assert_eq!(failure.problem().code, "NoMailbox");
}

/// Sends a mail with one document, and gives the request that attached it.
fn attached(held: Document, change: &Value) -> Value {
    let mut input = mail(&json!({"attachments": [held.about()]}));
    for (name, value) in change.as_object().expect("an object") {
        input[name] = value.clone();
    }
    let server = Rc::<std::cell::RefCell<Mailbox>>::default();
    let test = TestCall::new("send", &input, move |sent| {
        Ok(server.borrow_mut().handle(sent))
    })
    .with_document(held);
    Exchange::run(test.call()).expect("sent");
    let sent = test.sent();
    let attach = sent.iter().find(|sent| sent.url.ends_with("/attachments"));
    attach.expect("attached").json()
}

#[test]
fn a_document_keeps_no_path_and_may_be_empty() {
    let held = document("../../etc/pass\u{7}wd\\x", "text/plain", b"");
    let body = attached(held, &json!({}));
    assert_eq!(body["name"], ".._.._etc_pass_wd_x");
    assert_eq!(body["contentBytes"], "");
    assert_eq!(body.get("isInline"), None);
}

#[test]
fn a_picture_in_the_body_is_attached_inline() {
    let held = document("logo.png", "image/png", b"png");
    let inline = json!([{"document": held.about(), "cid": "logo@docket"}]);
    let body = attached(held, &json!({"attachments": [], "inline": inline}));
    assert_eq!(body["isInline"], true);
    assert_eq!(body["contentId"], "logo@docket");
}

#[test]
fn a_document_of_more_than_150_mb_is_refused_before_anything_is_created() {
    // Known by its reference alone: its bytes are not needed to refuse it.
    let held = document(
        "huge.iso",
        "application/octet-stream",
        &vec![0; (150 << 20) + 1],
    );
    let input = mail(&json!({"attachments": [held.about()]}));
    refused("send", &input, Some(held), "AttachmentTooLarge");
}

/// What a draft is created with.
fn created(action: &str, input: &Value) -> (String, Value) {
    let server = Mailbox::with_a_message();
    let test = TestCall::new(action, input, move |sent| {
        Ok(server.borrow_mut().handle(sent))
    });
    let test = documents().into_iter().fold(test, TestCall::with_document);
    Exchange::run(test.call()).unwrap_or_else(|failure| panic!("{input}: {failure:?}"));
    let sent = test.sent();
    let create = sent.iter().find(|sent| sent.method == "POST");
    let create = create.expect("created");
    (create.url.clone(), create.json())
}

#[test]
fn everything_that_an_input_says_is_in_the_message() {
    let (url, body) = created(
        "send",
        &mail(&json!({
            "to": [{"address": "a@b.example", "name": "Anna"}, "c@d.example"], "cc": "e@f.example",
            "reply-to": ["g@h.example"], "importance": "high", "categories": ["Red"],
            "headers": {"x-contract": "117"}, "delivery-receipt": true, "read-receipt": false,
            "defer-until": "2026-11-20T08:00:00+01:00"
        })),
    );
    assert!(
        url.ends_with("/users/contracts%40contoso.example/messages"),
        "{url}"
    );
    let anna = json!({"emailAddress": {"address": "a@b.example", "name": "Anna"}});
    assert_eq!(body["toRecipients"][0], anna);
    assert_eq!(
        body["toRecipients"][1]["emailAddress"]["address"],
        "c@d.example"
    );
    assert_eq!(
        body["ccRecipients"][0]["emailAddress"]["address"],
        "e@f.example"
    );
    assert_eq!(body["replyTo"][0]["emailAddress"]["address"], "g@h.example");
    assert_eq!(
        body["from"]["emailAddress"]["address"],
        "contracts@contoso.example"
    );
    assert_eq!(body["importance"], "high");
    assert_eq!(body["categories"], json!(["Red"]));
    assert_eq!(
        body["internetMessageHeaders"],
        json!([{"name": "x-contract", "value": "117"}])
    );
    assert_eq!(body["isDeliveryReceiptRequested"], true);
    assert_eq!(body["isReadReceiptRequested"], false);
    let properties = body["singleValueExtendedProperties"]
        .as_array()
        .expect("a list");
    let times: Vec<_> = properties[1..]
        .iter()
        .map(|one| (&one["id"], &one["value"]))
        .collect();
    let seven = json!("2026-11-20T07:00:00Z");
    assert_eq!(
        times,
        [
            (&json!("SystemTime 0x3FEF"), &seven),
            (&json!("SystemTime 0x000F"), &seven)
        ]
    );
}

#[test]
fn the_copy_goes_where_the_mail_is_created() {
    let server = |input: Value| {
        let test = TestCall::new("send", &input, |_| {
            Err(HttpError::Invalid("enough".to_owned()))
        });
        let _ = Exchange::run(test.call());
        let sent = test.sent();
        let create = sent.first().expect("created").clone();
        let body = create.json();
        let message = body.get("message").unwrap_or(&body);
        (
            create.url,
            message["from"]["emailAddress"]["address"].clone(),
        )
    };
    let (url, from) = server(mail(&json!({"sent-items": "account"})));
    assert!(
        url.ends_with("/users/svc%40contoso.example/messages"),
        "{url}"
    );
    assert_eq!(from, "contracts@contoso.example");
    // A reply is written in the original's mailbox, from that mailbox.
    let reply = json!({"in-reply-to": original(), "comment": "c"});
    let (url, from) = server(reply);
    assert!(
        url.ends_with("/users/contracts%40contoso.example/messages/M1/createReply"),
        "{url}"
    );
    assert_eq!(from, "contracts@contoso.example");
    let (url, from) = server(mail(&json!({"from": null})));
    assert!(
        url.ends_with("/users/svc%40contoso.example/messages"),
        "{url}"
    );
    assert_eq!(from, Value::Null);
}

#[test]
fn an_answer_that_is_none_is_tried_again_later_and_never_believed() {
    let cases = [
        ("send", mail(&json!({}))),
        ("draft", mail(&json!({}))),
        ("draft", json!({"in-reply-to": original(), "comment": "c"})),
        (
            "update-draft",
            json!({"message": original(), "subject": "s"}),
        ),
        ("send-draft", json!({"message": original()})),
        (
            "move",
            json!({"message": original(), "folder": "Processed"}),
        ),
        (
            "copy",
            json!({"message": original(), "folder": "Processed"}),
        ),
        ("delete", json!({"message": original()})),
        (
            "mark",
            json!({"message": original(), "add-categories": ["a"]}),
        ),
    ];
    for (action, input) in cases {
        for broken in [
            "{\"id\": \"M",
            "<html>",
            "",
            "[]",
            "{\"value\": 7}",
            "\u{fffd}",
        ] {
            let test = TestCall::new(action, &input, move |sent| {
                let status = if sent.method == "POST" { 201 } else { 200 };
                let mut answer = answer(status, &Value::Null);
                answer.body = Content::Inline(broken.into());
                Ok(answer)
            });
            let failure = Exchange::run(test.call()).expect_err("no answer");
            assert!(
                matches!(failure, Failure::Unavailable(_) | Failure::NotFound(_)),
                "{action} {broken}: {failure:?}"
            );
        }
        // Enormous: the host cuts it off, and nobody knows what it said.
        let test = TestCall::new(action, &input, |_| Err(HttpError::TooLarge(4 << 20)));
        let failure = Exchange::run(test.call()).expect_err("no answer");
        assert!(
            matches!(failure, Failure::Permanent(_) | Failure::Unavailable(_)),
            "{action}: {failure:?}"
        );
    }
}
