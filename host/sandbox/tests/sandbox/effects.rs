//! Effects and the journal: what is replayed is not sent, and a stop ends the guest at once.

use std::sync::Arc;
use std::time::Duration;

use docket_connections::GateError;
use docket_engine::{StepRunner as _, Stop};
use docket_model::{FailureClass, Outcome, StepResult};
use docket_sandbox::Limits;
use serde_json::json;

use crate::outside::{Memory, Never, Outside, text};

#[tokio::test]
async fn a_replay_makes_no_request_and_gives_the_same() {
    let outside = Outside::new().await;
    outside
        .script
        .answer(|sent| Ok(text(200, &[("x", "y")], &format!("answer to {}", sent.url))));
    let requests = json!({"requests": [
        {"url": "https://a.example/1"},
        {"method": "POST", "url": "https://a.example/2", "body": "b", "token": true},
        {"url": "https://a.example/3", "document": "c.txt"},
    ]});
    let mut journal = Memory::default();
    let first = outside
        .try_run(outside.call("fetch", requests.clone()), &mut journal)
        .await;
    let first = first.expect("no fault");
    assert!(matches!(first, StepResult::Done(_)), "{first:?}");
    assert_eq!(outside.script.sent().len(), 3);

    let mut journal = journal.replay();
    let again = outside
        .try_run(outside.call("fetch", requests), &mut journal)
        .await;
    assert_eq!(again.expect("no fault"), first);
    assert_eq!(outside.script.sent().len(), 3);
    assert_eq!(journal.next, 3, "every effect was asked for again");

    // Another request in the place of a recorded one.
    let mut journal = journal.replay();
    let other = json!({"requests": [{"url": "https://a.example/other"}]});
    let stop = outside
        .try_run(outside.call("fetch", other), &mut journal)
        .await;
    assert!(
        matches!(stop, Err(Stop::NonDeterministic { index: 0, .. })),
        "{stop:?}"
    );
    assert_eq!(outside.script.sent().len(), 3);
}

#[tokio::test]
async fn what_is_in_doubt_is_interrupted_for_the_guest() {
    let outside = Outside::new().await;
    outside.script.answer(|_| Ok(text(200, &[], "")));
    let request = json!({"requests": [{"method": "POST", "url": "https://a.example/"}]});
    let mut journal = Memory::default();
    let call = outside.call("fetch", request);
    outside
        .try_run(call.clone(), &mut journal)
        .await
        .expect("no fault");
    journal.effects[0].1 = vec![Outcome::InDoubt];
    let again = outside
        .try_run(call, &mut journal.replay())
        .await
        .expect("no fault");
    let StepResult::Done(output) = again else {
        panic!("{again:?}")
    };
    let error = output.value[0]["error"]
        .as_str()
        .expect("an error")
        .to_owned();
    assert!(error.contains("Interrupted"), "{error}");
}

#[tokio::test]
async fn a_stop_passes_through_and_the_next_call_works() {
    let outside = Outside::new().await;
    outside
        .script
        .answer(|_| Err(GateError::Fault("the disk is full".into())));
    let call = outside.call(
        "fetch",
        json!({"requests": [{"url": "https://a.example/"}]}),
    );

    let mut journal = Memory {
        stop_at: Some(0),
        ..Memory::default()
    };
    let stopped = outside.try_run(call.clone(), &mut journal).await;
    assert!(matches!(stopped, Err(Stop::Cancelled)), "{stopped:?}");

    let stopped = outside.try_run(call, &mut Memory::default()).await;
    assert!(
        matches!(&stopped, Err(Stop::Fault(text)) if text == "the disk is full"),
        "{stopped:?}"
    );

    assert_eq!(
        outside.output("echo", json!({"a": 1})).await,
        json!({"a": 1})
    );
}

#[tokio::test]
async fn an_attempt_that_waits_too_long_ends_and_gives_its_place_away() {
    let limits = Limits {
        instances: 1,
        ..Limits::default()
    };
    let outside = Outside::with_exact_limits(limits).await;
    let mut call = outside.call(
        "fetch",
        json!({"requests": [{"url": "https://a.example/"}]}),
    );
    call.timeout = Duration::from_millis(50);
    let mut journal = Never::default();
    let waits = outside
        .sandbox
        .run(call.clone(), &mut journal, outside.log.clone());
    let mut second = Never::default();
    let comes_after = outside.sandbox.run(call, &mut second, outside.log.clone());
    let (first, second) = tokio::join!(waits, comes_after);
    for result in [first, second] {
        let StepResult::Failed { failure, .. } = result.expect("no fault") else {
            panic!("waits")
        };
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (FailureClass::LimitExceeded, "timeout")
        );
        assert!(
            failure
                .remedy
                .is_some_and(|remedy| remedy.contains("`timeout`"))
        );
    }
    assert_eq!(
        Arc::strong_count(&outside.documents),
        2,
        "nothing of the attempts is left"
    );
}
