//! Failing runs: what is done about it, going on from there, and doing it all anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use docket_engine::{EngineError, Progress, Verdict};
use docket_journal::MemoryStore;
use docket_model::{Plan, PlannedStep, RunResult};
use jiff::SignedDuration;
use serde_json::json;

use crate::outside::stores;
use crate::plans::{connected, each, expression, literal, named, plan, step, wait};
use crate::script::bench;
use crate::world::World;

fn with(text: &str, step: PlannedStep) -> PlannedStep {
    PlannedStep {
        with: expression(text),
        ..step
    }
}

fn failed(progress: &Progress) -> &str {
    match progress {
        Progress::Ended(RunResult::Failed { failure, .. }) => &failure.code,
        other => panic!("{other:?}"),
    }
}

/// The inputs of all calls of an action, as text.
fn inputs(bench: &crate::script::Bench, action: &str) -> Vec<String> {
    let calls = bench.runner.calls.lock().unwrap();
    let of_action = calls.iter().filter(|call| call.action == action);
    of_action.map(|call| call.input.to_string()).collect()
}

#[tokio::test]
async fn what_is_to_be_done_about_a_failure_is_done_with_the_failure_at_hand() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let text = r#"[failure.class, failure.step, has(steps.good.output), has(steps.never.output), steps["odd-fails"].failure.code]"#;
        let plan = Plan {
            on_error: vec![with(text, named("tell", "echo"))],
            ..plan(vec![
                named("good", "echo"),
                each(step("odd-fails"), 1),
                named("never", "echo"),
            ])
        };
        let run = bench.start("r-1", &plan, json!({"list": [1, 2]})).await;
        assert_eq!(failed(&bench.advance(&run).await), "scripted");
        assert_eq!(
            inputs(&bench, "echo")[1],
            r#"["permanent","odd-fails",true,false,"scripted"]"#
        );
        assert_eq!(bench.advance(&run).await, bench.advance(&run).await);
    }
}

#[tokio::test]
async fn a_failure_on_the_way_out_keeps_the_first_one() {
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::new(World::default()));
    let plan = Plan {
        on_error: vec![named("first", "permanent"), named("second", "echo")],
        ..plan(vec![named("bad", "permanent")])
    };
    let RunResult::Failed { path, .. } = bench.run(&plan, json!({})).await else {
        panic!("it failed");
    };
    assert_eq!(path.unwrap().to_string(), "bad");
    assert!(inputs(&bench, "echo").is_empty());
}

#[tokio::test]
async fn a_failed_run_goes_on_where_it_failed_as_the_same_step() {
    for (store, _folder) in stores() {
        let world = Arc::new(World::default());
        let bench = bench(store, &world);
        let lapsed = PlannedStep {
            on_sign_in_needed: docket_model::OnSignInNeeded::Fail,
            with: literal(json!({"lapsed": "contoso", "posts": true})),
            ..connected(step("needs"))
        };
        let plan = Plan {
            on_error: vec![named("tell", "post")],
            ..plan(vec![named("before", "echo"), lapsed])
        };
        let run = bench.start("r-1", &plan, json!({})).await;
        let unfailed = bench.engine.resume(&run).await;
        assert!(
            matches!(unfailed, Err(EngineError::NotFailed(_))),
            "{unfailed:?}"
        );
        for _ in 0..2 {
            assert_eq!(failed(&bench.advance(&run).await), "scripted");
            bench.engine.resume(&run).await.unwrap();
        }
        assert_eq!(world.state().sent.len(), 2, "each failure was told of");
        bench.runner.is_well.store(true, Ordering::SeqCst);
        let progress = bench.advance(&run).await;
        assert!(
            matches!(progress, Progress::Ended(RunResult::Succeeded { .. })),
            "{progress:?}"
        );
        assert_eq!(inputs(&bench, "echo").len(), 1, "what was done stays done");
        let keys: std::collections::BTreeSet<String> = {
            let calls = bench.runner.calls.lock().unwrap();
            let of_step = calls.iter().filter(|call| call.action == "needs");
            of_step.map(|call| call.idempotency_key.clone()).collect()
        };
        assert_eq!(keys.len(), 1);
        let verdict = bench.store.verify(&run).await.unwrap();
        assert!(matches!(verdict, Verdict::Intact { .. }), "{verdict:?}");
    }
}

#[tokio::test]
async fn a_run_whose_time_is_up_fails_even_while_it_waits() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let plan = Plan {
            timeout: Some(Duration::from_secs(3600)),
            on_error: vec![with("failure.code", named("tell", "echo"))],
            ..plan(vec![wait("pause", "timer", json!({"for": "3d"}))])
        };
        let run = bench.start("r-1", &plan, json!({})).await;
        let Progress::Waits(rest) = bench.advance(&run).await else {
            panic!("it waits");
        };
        let at = rest.wake_at.unwrap();
        assert_eq!(at.duration_since(bench.now()).as_mins(), 60);
        bench.clock.advance(SignedDuration::from_hours(2));
        assert_eq!(failed(&bench.advance(&run).await), "run-timeout");
        assert_eq!(inputs(&bench, "echo"), [r#""run-timeout""#]);
        // Resumed, it has all its time again, and the timer is long past.
        bench.clock.advance(SignedDuration::from_hours(90));
        bench.engine.resume(&run).await.unwrap();
        let progress = bench.advance(&run).await;
        assert!(
            matches!(progress, Progress::Ended(RunResult::Succeeded { .. })),
            "{progress:?}"
        );
    }
}

#[tokio::test]
async fn a_run_can_be_done_anew_and_owes_nothing_to_the_first() {
    let world = Arc::new(World::default());
    let bench = bench(Arc::new(MemoryStore::new()), &world);
    let plan = plan(vec![each(step("send"), 2)]);
    let run = bench.start("r-1", &plan, json!({"list": [1, 2]})).await;
    bench.advance(&run).await;
    let again = "r-2".parse().unwrap();
    bench.engine.rerun(&run, &again).await.unwrap();
    bench.engine.rerun(&run, &again).await.unwrap();
    bench.advance(&again).await;
    assert_eq!(world.state().sent.len(), 4);
    let unknown = bench.engine.rerun(&"r-9".parse().unwrap(), &again).await;
    assert!(
        matches!(unknown, Err(EngineError::UnknownRun(_))),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_replay_sends_nothing_and_finds_what_differs() {
    for (store, _folder) in stores() {
        let world = Arc::new(World::default());
        let bench = bench(store, &world);
        let plan = plan(vec![
            each(step("send"), 2),
            step("third-time"),
            step("post"),
        ]);
        let run = bench.start("r-1", &plan, json!({"list": [1, 2]})).await;
        bench.advance(&run).await;
        let requests = world.state().requests;
        let events = bench.store.events(&run).await.unwrap().len();
        let none = Default::default();
        let same = bench
            .engine
            .replay(&run, &none, Arc::clone(&bench.heard) as _)
            .await
            .unwrap();
        assert_eq!(same.len(), 6, "{same:?}");
        for attempt in &same {
            assert_eq!(
                attempt.verdict,
                docket_engine::ReplayVerdict::Same,
                "{attempt:?}"
            );
        }
        assert_eq!(same[0].effects.len(), 5);
        *bench.runner.now_is.lock().unwrap() = Some("echo");
        let other = bench
            .engine
            .replay(&run, &none, Arc::clone(&bench.heard) as _)
            .await
            .unwrap();
        let strays = |attempt: &&docket_engine::ReplayedAttempt| {
            matches!(
                attempt.verdict,
                docket_engine::ReplayVerdict::Strayed { .. }
            )
        };
        assert_eq!(other.iter().filter(strays).count(), 3, "{other:?}");
        assert_eq!(world.state().requests, requests);
        assert_eq!(bench.store.events(&run).await.unwrap().len(), events);
    }
}

#[tokio::test]
async fn a_receipt_says_what_was_done() {
    let world = Arc::new(World::default());
    let bench = bench(Arc::new(MemoryStore::new()), &world);
    let mail = with(
        r#"{"to": ["a@x.example"], "cc": {"address": "b@x.example"}}"#,
        step("send"),
    );
    let run = bench
        .start("r-1", &plan(vec![step("echo"), mail]), json!({}))
        .await;
    bench.advance(&run).await;
    let receipt = bench.engine.receipt(&run).await.unwrap();
    assert_eq!(
        receipt.steps.len(),
        1,
        "only what cannot be repeated: {receipt:?}"
    );
    let step = &receipt.steps[0];
    assert_eq!(step.recipients, ["a@x.example", "b@x.example"]);
    assert_eq!(step.effects.len(), 2);
    assert!(step.effects.iter().all(|effect| effect.status == Some(200)));
    assert_eq!(step.component, plan(vec![]).plugins["p"].component);
    let verdict = bench.store.verify(&run).await.unwrap();
    let (events, head) = (receipt.events, receipt.head);
    assert_eq!(verdict, Verdict::Intact { events, head });
}

/// What was sent was sent, whatever became of the step.
#[tokio::test]
async fn a_receipt_has_what_a_step_did_that_came_to_no_end() {
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::new(World::default()));
    let lapses = PlannedStep {
        with: crate::plans::literal(
            json!({"lapsed": "contoso", "posts": true, "to": "a@x.example"}),
        ),
        ..connected(step("needs"))
    };
    let run = bench.start("r-1", &plan(vec![lapses]), json!({})).await;
    bench.advance(&run).await;
    bench.engine.cancel(&run).await.unwrap();
    let receipt = bench.engine.receipt(&run).await.unwrap();
    assert_eq!(receipt.result, Some(RunResult::Cancelled));
    assert_eq!(receipt.steps.len(), 1, "{receipt:?}");
    let step = &receipt.steps[0];
    assert_eq!((step.effects.len(), &step.output), (1, &None));
    assert_eq!(step.recipients, ["a@x.example"]);
}
