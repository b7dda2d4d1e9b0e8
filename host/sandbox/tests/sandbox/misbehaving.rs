//! Guests that misbehave: each a typed failure, and the host goes on.

use std::time::Duration;

use docket_engine::LogLevel;
use docket_model::{FailureClass, StepResult};
use docket_sandbox::{Limits, LoadError};
use serde_json::json;

use crate::guests::{describing, describing_with};
use crate::outside::{Memory, Outside};

#[tokio::test]
async fn each_is_a_failure_that_names_its_cause() {
    let limits = Limits {
        cpu: Duration::from_millis(200),
        memory: 16 << 20,
        call_bytes: 1 << 20,
        host_calls: 5_000,
        ..Limits::default()
    };
    let outside = Outside::with_limits(limits).await;
    let cases = [
        (
            "spin",
            json!({}),
            FailureClass::LimitExceeded,
            "cpu",
            "computed for more than 200ms",
            "spin",
        ),
        (
            "eat-memory",
            json!({}),
            FailureClass::LimitExceeded,
            "memory",
            "16777216 are allowed",
            "",
        ),
        (
            "recurse",
            json!({}),
            FailureClass::LimitExceeded,
            "stack",
            "nested too deep",
            "recurse",
        ),
        (
            "trap",
            json!({}),
            FailureClass::Crashed,
            "trap",
            "unreachable",
            "actions@0.1.0#run",
        ),
        (
            "panic",
            json!({"message": "oh dear"}),
            FailureClass::Crashed,
            "panic",
            "oh dear",
            "run",
        ),
        (
            "index",
            json!({}),
            FailureClass::Crashed,
            "panic",
            "index out of bounds",
            "run",
        ),
        (
            "wrong-output",
            json!({}),
            FailureClass::Crashed,
            "nonsense",
            "is not of type \"number\"",
            "",
        ),
        (
            "forge",
            json!({}),
            FailureClass::Crashed,
            "nonsense",
            "was not given to this step",
            "",
        ),
        (
            "report",
            json!({"count": 6_000}),
            FailureClass::LimitExceeded,
            "host-calls",
            "5000",
            "",
        ),
        (
            "huge",
            json!({"count": 2 << 20}),
            FailureClass::LimitExceeded,
            "call-bytes",
            "1048576",
            "",
        ),
        (
            "none-such",
            json!({}),
            FailureClass::InvalidInput,
            "unknown-action",
            "no action",
            "",
        ),
        (
            "echo",
            json!([]),
            FailureClass::InvalidInput,
            "input-schema",
            "is not of type",
            "",
        ),
    ];
    for (action, input, class, code, message, frame) in cases {
        let failure = outside.failure(action, input).await;
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (class, code),
            "{action}: {failure:?}"
        );
        assert!(
            failure.message.contains(message),
            "{action}: {}",
            failure.message
        );
        assert!(failure.remedy.is_some(), "{action} has a way out");
        let is_named = failure.backtrace.iter().any(|line| line.contains(frame));
        assert!(
            frame.is_empty() || is_named,
            "{action}: {:?}",
            failure.backtrace
        );
    }
}

#[tokio::test]
async fn a_guests_own_failures_keep_their_class() {
    let outside = Outside::new().await;
    for (name, class) in [
        ("invalid-input", FailureClass::InvalidInput),
        ("denied", FailureClass::Denied),
        ("not-found", FailureClass::NotFound),
        ("throttled", FailureClass::Throttled),
        ("unavailable", FailureClass::Unavailable),
        ("sign-in-required", FailureClass::SignInRequired),
        ("outcome-unknown", FailureClass::OutcomeUnknown),
        ("permanent", FailureClass::Permanent),
    ] {
        let failure = outside.failure("fail", json!({"class": name})).await;
        assert_eq!(failure.class, class);
        assert_eq!(failure.code, "Probe");
        assert_eq!(failure.remedy.as_deref(), Some("ask for something else"));
        let wait = (name == "throttled").then(|| Duration::from_millis(1500));
        assert_eq!(failure.retry_after, wait);
        assert!(failure.backtrace.is_empty());
    }
}

/// On a runtime of one thread: a guest that spins must let others run.
#[tokio::test(flavor = "current_thread")]
async fn a_spinning_guest_gives_way() {
    let limits = Limits {
        cpu: Duration::from_secs(600),
        ..Limits::default()
    };
    let outside = Outside::with_limits(limits).await;
    let mut call = outside.call("spin", json!({}));
    call.timeout = Duration::from_millis(300);
    let mut journal = Memory::default();
    let spinning = outside.try_run(call, &mut journal);
    let mut echoes = 0;
    let echoing = async {
        loop {
            outside.output("echo", json!({"n": echoes})).await;
            echoes += 1;
            tokio::task::yield_now().await;
        }
    };
    let result = tokio::select! {
        result = spinning => result.expect("no fault"),
        () = echoing => unreachable!("echoes for ever"),
    };
    let StepResult::Failed { failure, .. } = result else {
        panic!("{result:?}")
    };
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::LimitExceeded, "timeout")
    );
    assert!(failure.message.contains("300ms"), "{}", failure.message);
    assert!(echoes > 3, "{echoes} echoes beside a spinning guest");
}

#[tokio::test]
async fn a_flood_of_lines_is_cut() {
    let outside = Outside::new().await;
    outside.output("log", json!({"count": 20_000})).await;
    let lines = outside.log.lines.lock().expect("lock").clone();
    assert_eq!(lines.len(), 1001);
    assert_eq!(lines[999].1, "line 999");
    let expected = (
        LogLevel::Warn,
        "19000 more lines of the plugin were dropped".to_owned(),
    );
    assert_eq!(lines[1000], expected);
}

#[tokio::test]
async fn a_description_that_breaks_is_refused() {
    let limits = Limits {
        describe_cpu: Duration::from_millis(100),
        ..Limits::default()
    };
    let outside = Outside::with_limits(limits).await;
    for (body, class, code) in [
        (
            "(loop $l (br $l)) unreachable",
            FailureClass::LimitExceeded,
            "cpu",
        ),
        ("unreachable", FailureClass::Crashed, "trap"),
        (
            "(drop (call $deep (i64.const 0))) unreachable",
            FailureClass::LimitExceeded,
            "stack",
        ),
        (
            "(drop (table.grow $table (ref.null func) (i32.const 1000000))) unreachable",
            FailureClass::LimitExceeded,
            "tables",
        ),
        (
            "(drop (memory.grow (i32.const 60000))) unreachable",
            FailureClass::LimitExceeded,
            "memory",
        ),
        // A result that lies outside the memory, and one whose texts do.
        ("(i32.const -4)", FailureClass::Crashed, "misuse"),
        (
            "(i32.store (i32.const 0) (i32.const -16)) (i32.const 0)",
            FailureClass::Crashed,
            "misuse",
        ),
    ] {
        match outside.sandbox.load(describing(body)).await {
            Err(LoadError::Describe(failure)) => {
                assert_eq!(
                    (failure.class, failure.code.as_str()),
                    (class, code),
                    "{body}: {failure:?}"
                );
            }
            other => panic!("{body}: {other:?}"),
        }
    }
    let large = outside
        .sandbox
        .load(describing_with("unreachable", 60_000, "0.1.0"))
        .await
        .expect_err("too large");
    assert_eq!(
        large.to_string(),
        "the component starts with 3932160000 bytes of memory; 67108864 are allowed"
    );
    let empty = outside.sandbox.load(describing("(i32.const 0)")).await;
    assert!(matches!(empty, Err(LoadError::Manifest { place, .. }) if place == "id"));
    assert_eq!(
        outside.output("echo", json!({"still": "here"})).await,
        json!({"still": "here"})
    );
}

/// Slots of the pool are used again, and wiped by more than one way.
#[tokio::test]
async fn an_instance_finds_nothing_of_the_one_before() {
    let outside = Outside::new().await;
    for copies in [1, 100, 100_000] {
        let text = "canary-of-another-run ".repeat(copies);
        outside.output("echo", json!({"text": text})).await;
        let halves = json!({"halves": ["canary-of-", "another-run"]});
        assert_eq!(outside.output("scan", halves).await, json!({"found": 0}));
    }
    let own = json!({"halves": ["canary-of-", "another-run"], "text": "canary-of-another-run"});
    let found = outside.output("scan", own).await;
    assert_ne!(found, json!({"found": 0}), "the search finds what is there");
}
