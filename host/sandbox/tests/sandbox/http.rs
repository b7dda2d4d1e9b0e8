//! Requests: what is sent, what is recorded, and what comes back.

use std::time::Duration;

use bytes::Bytes;
use docket_connections::GateError;
use docket_model::{AnswerBody, Digest, Outcome, PartRecord, StepResult};
use serde_json::{Value, json};

use crate::outside::{Memory, Outside, bytes, text};

/// Runs `fetch` with these requests and gives what the guest saw of each.
async fn fetch(outside: &Outside, requests: Value) -> (Vec<Value>, Memory) {
    let mut journal = Memory::default();
    let call = outside.call("fetch", json!({"requests": requests}));
    match outside.try_run(call, &mut journal).await.expect("no fault") {
        StepResult::Done(output) => (output.value.as_array().expect("a list").clone(), journal),
        StepResult::Failed { failure, .. } => panic!("{failure:?}"),
    }
}

#[tokio::test]
async fn a_request_leaves_as_it_was_made() {
    let outside = Outside::new().await;
    outside
        .script
        .answer(|_| Ok(text(201, &[("x-note", "hi")], "made")));
    let request = json!({
        "method": "POST", "url": "https://graph.example/v1.0/me/messages", "token": true,
        "headers": [["X-One", "1"], ["X-Two", "2"]], "body": "{}",
    });
    let (seen, journal) = fetch(&outside, json!([request])).await;
    assert_eq!(
        seen,
        [json!({"status": 201, "headers": [["x-note", "hi"]], "text": "made", "document": null})]
    );
    let sent = outside.script.sent().pop().expect("one request");
    assert_eq!((sent.method.as_str(), sent.with_token), ("POST", true));
    assert_eq!(sent.url, "https://graph.example/v1.0/me/messages");
    assert_eq!(sent.body.as_deref(), Some(&b"{}"[..]));
    assert!(
        sent.headers.contains(&("X-One".to_owned(), "1".to_owned())),
        "{:?}",
        sent.headers
    );
    assert!(
        sent.timeout < Duration::from_secs(60),
        "ends before the step: {:?}",
        sent.timeout
    );

    let record = &journal.effects[0].0.requests[0];
    let principal = record.sent_as.as_ref().expect("an account");
    assert_eq!(principal.connection, "contracts");
    assert_eq!(principal.account, "service@contoso.example");
    assert_eq!(
        record.body,
        [PartRecord::Bytes {
            digest: Digest::of(b"{}"),
            size: 2
        }]
    );
    assert!(!record.is_repeatable);
}

#[tokio::test]
async fn what_is_malformed_is_refused_before_it_is_recorded() {
    let outside = Outside::new().await;
    let url = "https://graph.example/";
    let long = format!("{url}{}", "x".repeat(9000));
    let many: Vec<_> = (0..65).map(|n| json!([format!("x-{n}"), "1"])).collect();
    let (seen, journal) = fetch(
        &outside,
        json!([
            {"url": long},
            {"url": url, "headers": many},
            {"url": url, "headers": [["x-long", "y".repeat(40_000)]]},
            {"url": url, "method": "POST", "body": "z".repeat((4 << 20) + 1)},
            {"url": url, "seal": ["uploadUrl"]},
            {"url": url, "document": "a/b"},
            {"url": url, "document": "a", "seal": ["/uploadUrl"]},
            {"url": url, "nowhere": true, "seal": ["/uploadUrl"]},
            {"url": "sealed:0-0-0"},
        ]),
    )
    .await;
    for answer in &seen {
        assert!(
            answer["error"]
                .as_str()
                .is_some_and(|text| text.contains("Invalid")),
            "{answer}"
        );
    }
    assert!(journal.effects.is_empty() && outside.script.sent().is_empty());
}

#[tokio::test]
async fn each_error_of_the_gate_reaches_the_guest() {
    let outside = Outside::new().await;
    outside.script.answer(|sent| {
        Err(match sent.url.rsplit('/').next().unwrap_or_default() {
            "denied" => GateError::Denied {
                what: "POST x".into(),
                remedy: "grant it".into(),
            },
            "invalid" => GateError::Invalid("a header".into()),
            "unreachable" => GateError::Unreachable("no such host".into()),
            "interrupted" => GateError::Interrupted("reset".into()),
            _ => GateError::SignInRequired("sign in".into()),
        })
    });
    for (path, expected) in [
        ("denied", "Denied"),
        ("invalid", "Invalid"),
        ("unreachable", "Unreachable"),
        ("interrupted", "Interrupted"),
        ("sign-in", "SignInRequired"),
    ] {
        let (seen, journal) = fetch(
            &outside,
            json!([{"url": format!("https://a.example/{path}")}]),
        )
        .await;
        assert!(
            seen[0]["error"]
                .as_str()
                .is_some_and(|text| text.contains(expected)),
            "{seen:?}"
        );
        assert!(matches!(journal.effects[0].1[..], [Outcome::Failed(_)]));
    }
}

#[tokio::test]
async fn answers_are_capped_in_memory_and_kept_when_they_are_no_text() {
    let outside = Outside::new().await;
    outside.script.answer(|sent| {
        let pieces = match sent.url.rsplit('/').next().unwrap_or_default() {
            "large" => vec![Bytes::from(vec![b'x'; 1 << 20]); 5],
            _ => vec![Bytes::from_static(b"\xff\xfe"), Bytes::from_static(b"\x00")],
        };
        Ok(bytes(200, &[], pieces))
    });
    let (seen, _) = fetch(&outside, json!([{"url": "https://a.example/large"}])).await;
    assert!(
        seen[0]["error"]
            .as_str()
            .is_some_and(|text| text.contains("TooLarge")),
        "{seen:?}"
    );

    let (seen, journal) = fetch(&outside, json!([{"url": "https://a.example/binary"}])).await;
    assert_eq!(seen[0]["text"], "\u{fffd}\u{fffd}\u{0}");
    let Outcome::Answered(answer) = &journal.effects[0].1[0] else {
        panic!("an answer")
    };
    let AnswerBody::Inline(document) = &answer.body else {
        panic!("{:?}", answer.body)
    };
    assert_eq!(document.digest, Digest::of(b"\xff\xfe\x00"));
}

#[tokio::test]
async fn an_answer_goes_straight_into_a_document_if_it_is_a_good_one() {
    let outside = Outside::new().await;
    outside.script.answer(|sent| {
        let status = if sent.url.ends_with("good") { 200 } else { 404 };
        let pieces = vec![Bytes::from(vec![7; 300_000]); if status == 200 { 3 } else { 0 }];
        Ok(bytes(status, &[("content-type", "image/png")], pieces))
    });
    let get = |path: &str| json!({"url": format!("https://a.example/{path}"), "document": "a.png"});
    let (seen, journal) = fetch(&outside, json!([get("good"), get("bad")])).await;
    assert_eq!(
        seen[0]["document"],
        json!({
            "$document": Digest::of(&vec![7; 900_000]).to_string(),
            "name": "a.png", "mediaType": "image/png", "size": 900_000,
        })
    );
    assert_eq!(
        (&seen[1]["status"], &seen[1]["document"]),
        (&json!(404), &Value::Null)
    );
    assert!(matches!(&journal.effects[0].1[0], Outcome::Answered(answer)
        if matches!(answer.body, AnswerBody::Document(_))));
}

#[tokio::test]
async fn an_answer_that_nobody_wants_is_dropped_if_it_is_a_good_one() {
    let outside = Outside::new().await;
    outside.script.answer(|sent| {
        let (status, pieces) = match sent.url.rsplit('/').next().unwrap_or_default() {
            // More than comes inline at all.
            "good" => (201, vec![Bytes::from(vec![b'x'; 1 << 20]); 5]),
            _ => (404, vec![Bytes::from_static(b"no such place")]),
        };
        Ok(bytes(status, &[("content-type", "text/plain")], pieces))
    });
    let get = |path: &str| json!({"url": format!("https://a.example/{path}"), "nowhere": true});
    let (seen, journal) = fetch(&outside, json!([get("good"), get("bad")])).await;
    assert_eq!(
        (&seen[0]["status"], &seen[0]["text"]),
        (&json!(201), &json!(""))
    );
    assert_eq!(seen[1]["text"], "no such place");
    assert!(matches!(&journal.effects[0].1[0], Outcome::Answered(answer)
        if matches!(&answer.body, AnswerBody::Text(text) if text.is_empty())));
}

#[tokio::test]
async fn a_sealed_url_is_used_and_never_seen() {
    const SECRET: &str = "https://upload.example/s?token=SECRET";
    let outside = Outside::new().await;
    outside.script.answer(|sent| {
        Ok(match sent.url.as_str() {
            "https://graph.example/session" => text(
                201,
                &[("location", SECRET)],
                &json!({"uploadUrl": SECRET, "also": [format!("see {SECRET}")]}).to_string(),
            ),
            SECRET if sent.headers.iter().any(|(_, value)| value == "lost") => {
                return Err(GateError::Interrupted(format!(
                    "reset while sending to {SECRET}"
                )));
            }
            SECRET => text(200, &[("location", SECRET)], &format!("taken at {SECRET}")),
            other => panic!("{other}"),
        })
    });
    let session =
        json!({"method": "POST", "url": "https://graph.example/session", "seal": ["/uploadUrl"]});
    let put = json!({"method": "PUT", "url": "sealed:0-0-0", "body": "x", "repeatable": true});
    let with_token = json!({"method": "PUT", "url": "sealed:0-0-0", "token": true});
    let lost = json!({"method": "PUT", "url": "sealed:0-0-0", "headers": [["x", "lost"]]});
    let requests = json!([session, put, with_token, lost]);
    let (seen, journal) = fetch(&outside, requests.clone()).await;
    assert_eq!(
        seen[0]["text"],
        json!({"uploadUrl": "sealed:0-0-0", "also": ["see sealed:0-0-0"]}).to_string()
    );
    assert_eq!(seen[0]["headers"], json!([["location", "sealed:0-0-0"]]));
    assert_eq!(seen[1]["text"], "taken at sealed:0-0-0");
    assert_eq!(seen[1]["headers"], json!([["location", "sealed:0-0-0"]]));
    let lost = seen[3]["error"].as_str().expect("an error");
    assert!(
        lost.contains("reset while sending to sealed:0-0-0"),
        "{lost}"
    );
    assert!(
        seen[2]["error"]
            .as_str()
            .is_some_and(|text| text.contains("without a token"))
    );
    assert_eq!(outside.script.sent()[1].url, SECRET);
    let recorded = serde_json::to_string(&journal.effects).expect("JSON");
    assert!(!recorded.contains("SECRET"), "{recorded}");
    assert_eq!(journal.effects[1].0.requests[0].url, "sealed:0-0-0");

    // After a crash the name means the same, though nothing is sent.
    let sent_before = outside.script.sent().len();
    let mut journal = journal.replay();
    let result = outside
        .try_run(
            outside.call("fetch", json!({"requests": requests})),
            &mut journal,
        )
        .await;
    let StepResult::Done(output) = result.expect("no fault") else {
        panic!("a failure")
    };
    assert_eq!(output.value.as_array(), Some(&seen));
    assert_eq!(outside.script.sent().len(), sent_before);
    // What is uploaded counts for the mailbox of the session, before the crash and after it.
    let related = outside.script.related.lock().expect("lock");
    let session = (
        SECRET.to_owned(),
        "https://graph.example/session".to_owned(),
    );
    assert_eq!(*related, [session.clone(), session]);
}

#[tokio::test]
async fn several_go_side_by_side_only_if_they_may_be_repeated() {
    let outside = Outside::new().await;
    outside.script.answer(|sent| Ok(text(200, &[], &sent.url)));
    let get = |n: usize| json!({"url": format!("https://a.example/{n}")});
    let requests: Vec<_> = (0..16).map(get).collect();
    let seen = outside
        .output("fetch-all", json!({"requests": requests}))
        .await;
    for (n, answer) in seen.as_array().expect("a list").iter().enumerate() {
        assert_eq!(answer["text"], format!("https://a.example/{n}"));
    }
    assert_eq!(outside.script.sent().len(), 16);

    let post = json!({"method": "POST", "url": "https://a.example/"});
    for requests in [
        json!([get(0), post]),
        json!((0..17).map(get).collect::<Vec<_>>()),
    ] {
        let seen = outside
            .output("fetch-all", json!({"requests": requests}))
            .await;
        for answer in seen.as_array().expect("a list") {
            assert!(
                answer["error"]
                    .as_str()
                    .is_some_and(|text| text.contains("Invalid")),
                "{answer}"
            );
        }
    }
    assert_eq!(outside.script.sent().len(), 16, "nothing more was sent");
}
