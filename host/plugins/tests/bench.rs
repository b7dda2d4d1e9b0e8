//! The bench with a real guest: cases that pass, cases that must not, and plugins that repeat what they
//! should have looked up.
//!
//! The guest is the probe, which sends the requests that its input lists, whatever became of those
//! before. So the input decides whether it looks before it repeats.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::fs;
use std::path::Path;

use docket_plugins::test::{Bench, Case, Check, read_cases};

async fn bench() -> Bench {
    let component =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests/components/probe.wasm");
    let component =
        fs::read(&component).unwrap_or_else(|error| panic!("{error}; run `cargo xtask guests`"));
    // Compiled once for all tests and all runs of them.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    Bench::open(component, &cache).await.unwrap()
}

fn case(text: &str) -> Result<Case, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("page.txt"), "from a file").unwrap();
    let file = folder.path().join("a-case.yaml");
    fs::write(&file, text).unwrap();
    let case = Case::read(&file).map_err(|error| error.to_string());
    // Files of the case are read when it is performed.
    let _kept = folder.keep();
    case
}

/// What is wrong with a performance of a case; the empty text where nothing is.
async fn judged(bench: &Bench, text: &str) -> String {
    let case = case(text).unwrap();
    let performance = bench.perform(&case).await.unwrap();
    bench.judge(&case, &performance).unwrap().join("; ")
}

#[tokio::test]
async fn a_case_is_held_against_what_it_expects() {
    let bench = bench().await;
    let echo = |expect: &str| format!("action: echo\ninput: {{a: 1}}\nexpect: {expect}\n");
    let check = async |text: String, expected: &str| {
        let found = judged(&bench, &text).await;
        if expected.is_empty() {
            assert_eq!(found, "", "{text}");
        } else {
            assert!(found.contains(expected), "{text}: {found}");
        }
    };
    check(echo("{output: {a: 1}}"), "").await;
    check(echo("{output: {a: 2}}"), "/a is 1; 2 is expected").await;
    check(
        echo("{failure: {class: denied}}"),
        "it is to fail with denied",
    )
    .await;
    check(echo("{output: {a: 1}, log: [hello]}"), "no line of the log").await;
    check(
        echo("{output: {a: 1}, fuel-at-most: 10}"),
        "of fuel; at most 10",
    )
    .await;
    check(echo("{output: {a: 1}, memory-at-most: 10}"), "at most 10").await;
    check(
        "action: spin\nexpect: {output: {}}".to_owned(),
        "it failed with limit-exceeded",
    )
    .await;
    check(
        "action: panic\ninput: {message: oh no}\nexpect: {failure: {class: crashed, code: panic, message: oh no}}"
            .to_owned(),
        "",
    )
    .await;
    check(
        "action: read\ninput: {document: {$file: page.txt}}\nexpect: {output: {text: from a file}}"
            .to_owned(),
        "",
    )
    .await;
    check(
        "action: write\ninput: {name: a.txt, text: Hello}
expect: {output: {document: {$text: Hello, name: a.txt}}}"
            .to_owned(),
        "",
    )
    .await;
}

/// A case of `fetch` with an account.
fn fetch(requests: &str, rest: &str) -> String {
    format!(
        "action: fetch\naccount: svc@contoso.example\nendpoints: {{graph: \"https://graph.test/\"}}\n\
         input:\n  requests: {requests}\n{rest}\n"
    )
}

#[tokio::test]
async fn servers_answer_in_order_behind_the_policy() {
    let bench = bench().await;
    let text = fetch(
        r#"[{url: "https://graph.test/a"}, {url: "https://graph.test/a", token: true}, {url: "https://graph.test/a"}]"#,
        r#"answers:
  - request: GET https://graph.test/*
    status: 503
  - request: GET https://graph.test/a
    text: hello
    headers: {X-Y: z}
expect:
  output: []
  requests:
    - GET https://graph.test/a
    - request: GET https://graph.test/*
      as-account: true
    - request: GET https://graph.test/a
      as-account: false"#,
    );
    let case = case(&text).unwrap();
    let performance = bench.perform(&case).await.unwrap();
    assert_eq!(
        bench.judge(&case, &performance).unwrap(),
        ["the output: it has 3 items; 0 are expected"]
    );
    let output = performance.result.unwrap().value;
    let statuses: Vec<_> = (0..3).map(|at| output[at]["status"].clone()).collect();
    // Each once in order, and the last one again.
    assert_eq!(statuses, [503, 200, 200]);

    let check = async |requests: &str, rest: &str, expected: &str| {
        let rest = format!("answers:\n{rest}\nexpect: {{output: []}}");
        let found = judged(&bench, &fetch(requests, &rest)).await;
        assert!(found.contains(expected), "{requests}: {found}");
    };
    check(
        r#"[{url: "https://graph.test/b"}]"#,
        "  - {request: GET https://graph.test/a}",
        "GET https://graph.test/b has no answer",
    )
    .await;
    // What its manifest does not ask for would be refused by every operator's host, too.
    check(
        r#"[{url: "https://elsewhere.test/"}]"#,
        "  - {request: GET https://elsewhere.test/}",
        "not allowed",
    )
    .await;
    check(
        r#"[{url: "https://graph.test/v1.0/users/boss@contoso.example/messages"}]"#,
        "  - {request: GET *}",
        "boss@contoso.example",
    )
    .await;
    check(
        r#"[{url: "https://graph.test/a", headers: [[Authorization, Bearer x]]}]"#,
        "  - {request: GET *}",
        "authorization",
    )
    .await;
}

/// What conformance finds of a case, by check and the way it was tried.
async fn found(bench: &Bench, text: &str) -> Vec<(Check, String)> {
    let case = case(text).unwrap();
    let first = bench.perform(&case).await.unwrap();
    let checks = bench.conformance(&case, &first).await.unwrap();
    checks
        .into_iter()
        .map(|check| (check.check, check.problems.join("; ")))
        .collect()
}

const POST: &str = r#"{method: POST, url: "https://graph.test/a", body: x}"#;
const LOOK: &str = r#"{url: "https://graph.test/a"}"#;
const ANSWERS: &str = "answers:
  - {request: \"POST *\", status: 201}
  - {request: \"GET *\"}
expect: {output: []}";

#[tokio::test]
async fn who_repeats_without_a_look_is_found() {
    let bench = bench().await;
    let text = fetch(&format!("[{POST}, {POST}]"), ANSWERS);
    let found = found(&bench, &text).await;
    assert_eq!(found[0], (Check::Determinism, String::new()));
    // The first one broke, on either side; the second one has nobody after it.
    assert_eq!(found.len(), 5);
    for (check, problems) in &found[1..3] {
        assert_eq!(*check, Check::Interrupted);
        assert!(problems.contains("again without a look"), "{problems}");
    }
    assert_eq!(found[3].1, "");
    assert_eq!(found[4].1, "");
}

#[tokio::test]
async fn who_looks_and_repeats_all_the_same_is_found() {
    let bench = bench().await;
    let text = fetch(&format!("[{POST}, {LOOK}, {POST}]"), ANSWERS);
    let found = found(&bench, &text).await;
    // It had not arrived: a look, and once more. It had: not again.
    assert_eq!(found[1].1, "");
    assert!(
        found[2].1.contains("although it had arrived"),
        "{:?}",
        found[2]
    );
}

#[tokio::test]
async fn a_look_that_nobody_answers_is_none() {
    let bench = bench().await;
    let other = r#"{url: "https://graph.test/elsewhere"}"#;
    let text = fetch(
        &format!("[{POST}, {other}, {POST}]"),
        "answers:\n  - {request: \"POST *\"}\nexpect: {output: []}",
    );
    let found = found(&bench, &text).await;
    assert!(found[1].1.contains("without a look"), "{:?}", found[1]);
}

#[tokio::test]
async fn a_look_that_a_busy_server_turns_away_is_none() {
    let bench = bench().await;
    for status in [429, 503] {
        let text = fetch(
            &format!("[{POST}, {LOOK}, {POST}]"),
            &format!(
                "answers:\n  - {{request: \"POST *\"}}\n  - {{request: \"GET *\", status: {status}}}\n\
                 expect: {{output: []}}"
            ),
        );
        let found = found(&bench, &text).await;
        assert!(found[1].1.contains("without a look"), "{:?}", found[1]);
    }
}

#[tokio::test]
async fn what_may_be_repeated_is_not_broken() {
    let bench = bench().await;
    let put = r#"{method: PUT, url: "https://graph.test/a", repeatable: true}"#;
    let text = fetch(
        &format!("[{put}, {put}]"),
        "answers:\n  - {request: \"PUT *\"}\nexpect: {output: []}",
    );
    assert_eq!(
        found(&bench, &text).await,
        [(Check::Determinism, String::new())]
    );
}

#[test]
fn a_case_that_is_none_says_where() {
    let check = |text: &str, expected: &str| {
        let error = case(text).unwrap_err();
        assert!(error.contains("a-case.yaml"), "{error}");
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("action: a", "expect");
    check("action: a\nexpect: {}", "neither `output` nor `failure`");
    check(
        "action: a\nexpect: {output: 1, failure: {class: denied}}",
        "both",
    );
    check("action: a\nexpect: {failure: {class: sad}}", "sad");
    check("action: a\nexpct: {output: 1}", "expct");
    check(
        "action: a\nanswers: [{request: GET}]\nexpect: {output: 1}",
        "no method with a URL",
    );
    check(
        "action: a\nanswers: [{request: GET x, text: a, json: 1}]\nexpect: {output: 1}",
        "2 bodies",
    );
    check(
        "action: a\nanswers: [{request: GET x, status: 200, fault: interrupted}]\nexpect: {output: 1}",
        "a fault has no answer",
    );
    // The word is that of docket.yaml.
    check(
        "action: a\naccount-kind: application\nexpect: {output: 1}",
        "app-only",
    );
    check(
        "action: a\nexpect: {output: 1, requests: [{request: GET x, jsn: 1}]}",
        "jsn",
    );
    let folder = tempfile::tempdir().unwrap();
    assert!(read_cases(&folder.path().join("none")).unwrap().is_empty());
}
