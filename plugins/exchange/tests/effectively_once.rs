//! Once, whatever gets lost: every request of every action with an effect is broken in every way,
//! one at a time and two at a time, before and after it took effect; in the end the mailbox holds
//! what one undisturbed run leaves there.

mod mailbox;

use std::cell::RefCell;
use std::rc::Rc;

use docket_plugin_sdk::Failure;
use mailbox::{FAULTS, Fault, Mailbox, documents, original, run, stamp};
use serde_json::{Value, json};

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

/// Runs the action with every fault; `check` looks at what each run left behind.
fn check(
    action: &str,
    input: &Value,
    fresh: impl Fn() -> Rc<RefCell<Mailbox>>,
    check: impl Fn(&Value, &Mailbox, &str),
) {
    let clean = fresh();
    let (result, requests) = run(action, input, &clean, &[]);
    let output = result.unwrap_or_else(|failure| panic!("{action}: {failure:?}"));
    check(&output.value(), &clean.borrow(), "undisturbed");
    for faults in every_fault(requests.len()) {
        let mailbox = fresh();
        let (result, _) = run(action, input, &mailbox, &faults);
        let output = result.unwrap_or_else(|failure| panic!("{action} {faults:?}: {failure:?}"));
        let case = format!("{action} {faults:?}");
        check(&output.value(), &mailbox.borrow(), &case);
    }
}

fn mail(change: &Value) -> Value {
    let [large, small, _] = documents();
    let mut mail = json!({
        "from": "contracts@contoso.example", "to": ["anna@example.com"], "subject": "Signed",
        "html": "<p>Signed</p>", "attachments": [large.about(), small.about()]
    });
    for (name, value) in change.as_object().into_iter().flatten() {
        mail[name] = value.clone();
    }
    mail
}

/// One mail went out, with these files.
fn one_mail(output: &Value, mailbox: &Mailbox, case: &str, files: &[&str]) {
    assert_eq!(mailbox.received.len(), 1, "{case}: {:?}", mailbox.received);
    let sent = &mailbox.messages[&mailbox.received[0]];
    let names: Vec<_> = sent
        .attachments
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, files, "{case}");
    // Once it is out, a look for its copy that fails costs nothing but the copy's place.
    let id = match output["state"].as_str() {
        Some("accepted") if case != "undisturbed" => mailbox.received[0].trim_end_matches("-sent"),
        _ => &mailbox.received[0],
    };
    assert_eq!(output["message"]["id"], id, "{case}");
}

#[test]
fn a_mail_is_sent_once_with_its_attachments() {
    check(
        "send",
        &mail(&json!({})),
        Rc::default,
        |output, mailbox, case| {
            one_mail(output, mailbox, case, &["agreement.pdf", "certificate.pdf"]);
            assert_eq!(mailbox.messages.len(), 1, "{case}: a draft was left behind");
        },
    );
}

#[test]
fn a_mail_is_sent_once_though_its_id_changes() {
    let fresh = || {
        Rc::new(RefCell::new(Mailbox {
            sending_changes_ids: true,
            ..Mailbox::default()
        }))
    };
    let input = mail(&json!({"attachments": []}));
    check("send", &input, fresh, |output, mailbox, case| {
        one_mail(output, mailbox, case, &[]);
    });
}

/// The request to send waited for its turn, so that the draft is old when the reply gets lost.
#[test]
fn a_mail_on_its_way_is_not_sent_again_though_its_draft_is_old() {
    let input = mail(&json!({"attachments": []}));
    // 0 creates, 1 sends, 2 looks.
    for faults in [
        vec![(1, Fault::LostAfter)],
        vec![(1, Fault::TimeoutAfter)],
        vec![(1, Fault::LostAfter), (2, Fault::TimeoutBefore)],
        vec![(1, Fault::LostAfter), (2, Fault::LostBefore)],
    ] {
        let mailbox = Rc::new(RefCell::new(Mailbox {
            waits_for_turn: 2,
            transit: 1,
            ..Mailbox::default()
        }));
        let (result, _) = run("send", &input, &mailbox, &faults);
        let output = result.unwrap_or_else(|failure| panic!("{faults:?}: {failure:?}"));
        one_mail(
            &output.value(),
            &mailbox.borrow(),
            &format!("{faults:?}"),
            &[],
        );
    }
}

/// The request that creates the draft is lost, and carried out after it was looked for.
#[test]
fn of_two_drafts_one_is_sent_whichever_was_submitted() {
    let [_, small, _] = documents();
    let input = mail(&json!({"attachments": [small.about()]}));
    // 0 creates the one that is late, 1 looks, 2 creates another, 3 attaches, 4 sends.
    for faults in [
        vec![(0, Fault::LostAfter)],
        vec![(0, Fault::LostAfter), (4, Fault::LostAfter)],
        vec![(0, Fault::TimeoutAfter), (4, Fault::LostBefore)],
    ] {
        for transit in [0, 1] {
            let mailbox = Rc::new(RefCell::new(Mailbox {
                is_slow_to_create: true,
                transit,
                ..Mailbox::default()
            }));
            let (result, _) = run("send", &input, &mailbox, &faults);
            let output = result.unwrap_or_else(|failure| panic!("{faults:?}: {failure:?}"));
            let case = format!("{faults:?}, transit {transit}");
            one_mail(
                &output.value(),
                &mailbox.borrow(),
                &case,
                &["certificate.pdf"],
            );
        }
    }
}

#[test]
fn a_reply_is_sent_once_though_it_cannot_be_created_with_a_stamp() {
    let [_, small, _] = documents();
    let input = json!({
        "in-reply-to": original(), "reply-all": true, "comment": "Thanks",
        "attachments": [small.about()]
    });
    check(
        "send",
        &input,
        Mailbox::with_a_message,
        |output, mailbox, case| {
            // The original has a file of that name, and a reply may quote it.
            one_mail(output, mailbox, case, &["certificate (2).pdf"]);
            let sent = &mailbox.messages[&mailbox.received[0]];
            assert!(stamp(sent, "DocketIdempotencyKey").is_some(), "{case}");
        },
    );
}

#[test]
fn a_forwarded_mail_goes_out_once_with_the_originals_files_and_its_own() {
    let [_, small, _] = documents();
    let input = json!({
        "forward": original(), "to": "anna@example.com", "attachments": [small.about()]
    });
    check(
        "send",
        &input,
        Mailbox::with_a_message,
        |output, mailbox, case| {
            one_mail(
                output,
                mailbox,
                case,
                &["certificate.pdf", "certificate (2).pdf"],
            );
        },
    );
}

#[test]
fn a_mime_message_is_sent_once() {
    let [.., mime] = documents();
    let input = json!({"from": "contracts@contoso.example", "mime": mime.about()});
    check("send", &input, Rc::default, |output, mailbox, case| {
        one_mail(output, mailbox, case, &[]);
        assert_eq!(mailbox.messages.len(), 1, "{case}: a draft was left behind");
        let id = "<0193b3c4-5a6b-7c8d-9e0f-a1b2c3d4e5f6@docket.invalid>";
        assert_eq!(output["internet-message-id"], id, "{case}");
    });
}

#[test]
fn a_new_mail_is_drafted_once() {
    check(
        "draft",
        &mail(&json!({})),
        Rc::default,
        |output, mailbox, case| {
            assert_eq!(mailbox.messages.len(), 1, "{case}");
            assert_eq!(output["message"]["id"], "M1", "{case}");
            assert_eq!(mailbox.messages["M1"].attachments.len(), 2, "{case}");
            assert!(mailbox.received.is_empty(), "{case}");
        },
    );
}

#[test]
fn no_draft_of_a_reply_is_ever_sent_and_one_carries_the_stamp() {
    for input in [
        json!({"in-reply-to": original(), "text": "Thanks"}),
        json!({"in-reply-to": original(), "comment": "Thanks", "reply-all": true}),
        json!({"forward": original(), "to": "anna@example.com"}),
    ] {
        check(
            "draft",
            &input,
            Mailbox::with_a_message,
            |output, mailbox, case| {
                let stamped = mailbox.messages.iter();
                let stamped =
                    stamped.filter(|(_, held)| stamp(held, "DocketIdempotencyKey").is_some());
                let ids: Vec<_> = stamped.map(|(id, _)| id.as_str()).collect();
                assert_eq!(
                    ids,
                    [output["message"]["id"].as_str().expect("an id")],
                    "{case}"
                );
                assert!(mailbox.received.is_empty(), "{case}");
            },
        );
    }
}

/// A draft that somebody else made.
fn with_a_draft(sending_changes_ids: bool) -> Rc<RefCell<Mailbox>> {
    let mut mailbox = Mailbox {
        sending_changes_ids,
        ..Mailbox::default()
    };
    mailbox.create(json!({"subject": "Old", "singleValueExtendedProperties": []}));
    Rc::new(RefCell::new(mailbox))
}

#[test]
fn a_draft_is_changed_whatever_is_lost() {
    let [large, small, _] = documents();
    let input = json!({
        "message": original(), "subject": "New", "attachments": [large.about(), small.about()]
    });
    check(
        "update-draft",
        &input,
        || with_a_draft(false),
        |_, mailbox, case| {
            let draft = &mailbox.messages["M1"];
            assert_eq!(draft.message["subject"], "New", "{case}");
            let names: Vec<_> = draft
                .attachments
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            assert_eq!(names, ["agreement.pdf", "certificate.pdf"], "{case}");
        },
    );
}

#[test]
fn a_draft_is_sent_once() {
    for changes in [false, true] {
        let input = json!({"message": original()});
        check(
            "send-draft",
            &input,
            || with_a_draft(changes),
            |output, mailbox, case| {
                one_mail(output, mailbox, case, &[]);
                assert_eq!(mailbox.messages.len(), 1, "{case}");
            },
        );
    }
}

#[test]
fn a_draft_that_a_person_sent_is_left_alone() {
    let mailbox = Mailbox::with_a_message();
    let (result, requests) = run("send-draft", &json!({"message": original()}), &mailbox, &[]);
    assert_eq!(result.expect("out").value()["state"], "sent");
    assert!(requests.iter().all(|sent| sent.method == "GET"));
    let change = json!({"message": original(), "subject": "New"});
    let (result, _) = run("update-draft", &change, &mailbox, &[]);
    assert!(
        matches!(&result, Err(Failure::InvalidInput(problem)) if problem.code == "NotADraft"),
        "{result:?}"
    );
}

#[test]
fn a_message_is_moved_and_moving_it_again_is_success() {
    let input = json!({"message": original(), "folder": "Processed"});
    check(
        "move",
        &input,
        Mailbox::with_a_message,
        |_, mailbox, case| {
            assert_eq!(mailbox.messages["M1"].folder, "PROCESSED", "{case}");
        },
    );
    let mailbox = Mailbox::with_a_message();
    for moved in [true, false] {
        let (result, _) = run("move", &input, &mailbox, &[]);
        assert_eq!(result.expect("moved").value()["moved"], moved);
    }
}

#[test]
fn a_message_is_deleted_and_deleting_it_again_is_success() {
    let input = json!({"message": original()});
    check(
        "delete",
        &input,
        Mailbox::with_a_message,
        |_, mailbox, case| {
            assert_eq!(mailbox.messages["M1"].folder, "DELETED", "{case}");
        },
    );
    let mailbox = Mailbox::with_a_message();
    for deleted in [true, false] {
        let (result, _) = run("delete", &input, &mailbox, &[]);
        assert_eq!(result.expect("deleted").value()["deleted"], deleted);
    }
}

#[test]
fn a_message_is_copied_once() {
    let input = json!({"message": original(), "folder": "Processed"});
    check(
        "copy",
        &input,
        Mailbox::with_a_message,
        |output, mailbox, case| {
            assert_eq!(mailbox.messages.len(), 2, "{case}");
            assert_eq!(output["message"]["id"], "M2", "{case}");
            assert_eq!(mailbox.messages["M1"].folder, "INBOX", "{case}");
            assert_eq!(mailbox.messages["M2"].folder, "PROCESSED", "{case}");
        },
    );
}

#[test]
fn a_message_is_marked_whatever_is_lost() {
    let input = json!({
        "message": original(), "read": true, "flag": "complete",
        "add-categories": ["Booked", "red"], "remove-categories": ["Blue"]
    });
    check(
        "mark",
        &input,
        Mailbox::with_a_message,
        |_, mailbox, case| {
            let message = &mailbox.messages["M1"].message;
            assert_eq!(message["isRead"], true, "{case}");
            assert_eq!(message["flag"]["flagStatus"], "complete", "{case}");
            assert_eq!(message["categories"], json!(["Red", "Booked"]), "{case}");
        },
    );
}

#[test]
fn a_fast_mail_is_one_request_and_tried_until_it_is_taken() {
    let [_, small, _] = documents();
    let input = json!({
        "from": "contracts@contoso.example", "to": "anna@example.com", "subject": "s", "text": "t",
        "delivery": "fast", "sent-items": "none", "attachments": [small.about(), small.about()]
    });
    let mailbox = Rc::default();
    let (result, requests) = run("send", &input, &mailbox, &[]);
    let output = result.expect("sent").value();
    assert_eq!(
        (&output["state"], &output["message"]),
        (&json!("accepted"), &Value::Null)
    );
    assert_eq!(requests.len(), 1);
    let body = requests[0].json();
    assert_eq!(body["saveToSentItems"], false);
    let files = body["message"]["attachments"].as_array().expect("files");
    let names: Vec<_> = files.iter().map(|file| &file["name"]).collect();
    assert_eq!(names, ["certificate.pdf", "certificate (2).pdf"]);
    assert_eq!(files[0]["contentBytes"], "c21hbGw=");
    for fault in FAULTS {
        let mailbox = Rc::default();
        let (result, _) = run("send", &input, &mailbox, &[(0, fault)]);
        assert!(result.is_ok(), "{fault:?}: {result:?}");
        assert!(!mailbox.borrow().fast.is_empty(), "{fault:?}");
    }
}

#[test]
fn only_the_documented_answer_is_success() {
    for (action, input, at, fresh) in [
        ("send", mail(&json!({"attachments": []})), "/send", None),
        ("send", mail(&json!({})), "/attachments", None),
        ("draft", mail(&json!({})), "/messages", None),
        (
            "copy",
            json!({"message": original(), "folder": "Processed"}),
            "/copy",
            Some(()),
        ),
        (
            "move",
            json!({"message": original(), "folder": "Processed"}),
            "/move",
            Some(()),
        ),
        (
            "mark",
            json!({"message": original(), "read": true}),
            "/M1",
            Some(()),
        ),
    ] {
        let server = match fresh {
            Some(()) => Mailbox::with_a_message(),
            None => Rc::default(),
        };
        let mut test = docket_plugin_sdk::testing::TestCall::new(action, &input, move |sent| {
            let is_it = sent.method != "GET" && sent.url.ends_with(at);
            Ok(if is_it {
                docket_plugin_sdk::testing::answer(204, &Value::Null)
            } else {
                server.borrow_mut().handle(sent)
            })
        });
        for held in documents() {
            test = test.with_document(held);
        }
        let result = <docket_exchange::Exchange as docket_plugin_sdk::Plugin>::run(test.call());
        assert!(
            matches!(result, Err(Failure::OutcomeUnknown(_))),
            "{action} {at}: {result:?}"
        );
    }
}
