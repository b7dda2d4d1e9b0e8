//! Waiting for what comes from outside: sign-ins, timers, events, approvals; on every store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use docket_engine::{EngineError, EventStore, Progress, WaitFilter};
use docket_journal::{MemoryStore, SqliteStore};
use docket_model::{OnSignInNeeded, PlannedStep, RunId, RunResult, Signal, StepPath};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::plans::{connected, each, expression, literal, named, plan, step, wait};
use crate::script::{Bench, bench};
use crate::world::World;

/// Every store, each with the folder that it lives in.
pub(crate) fn stores() -> Vec<(Arc<dyn EventStore>, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(&folder.path().join("journal.db")).unwrap();
    vec![
        (Arc::new(MemoryStore::new()), None),
        (Arc::new(sqlite), Some(folder)),
    ]
}

fn place(step: &str) -> StepPath {
    StepPath {
        step: step.into(),
        item: None,
    }
}

async fn waits(bench: &Bench, run: &RunId) -> Vec<String> {
    let progress = bench.advance(run).await;
    assert!(matches!(progress, Progress::Waits(_)), "{progress:?}");
    listed(bench, run).await
}

async fn listed(bench: &Bench, run: &RunId) -> Vec<String> {
    let filter = WaitFilter {
        run: Some(run.clone()),
        ..WaitFilter::default()
    };
    let waiting = bench.store.waiting(filter).await.unwrap();
    waiting
        .iter()
        .map(|waiting| format!("{} {}", waiting.step.path, waiting.step.wait.on))
        .collect()
}

fn outputs(progress: &Progress) -> &Value {
    match progress {
        Progress::Ended(RunResult::Succeeded { outputs }) => &outputs["all"],
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_timer_is_a_row_until_its_time() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let plan = plan(vec![wait("pause", "timer", json!({"for": "3d"}))]);
        let run = bench.start("r-1", &plan, json!({})).await;
        assert_eq!(waits(&bench, &run).await, ["pause timer"]);
        assert!(bench.store.ready().await.unwrap().is_empty());
        let at = bench.store.next_wake().await.unwrap().unwrap();
        let now = bench.now();
        assert_eq!(at.duration_since(now).as_hours(), 72);
        assert!(bench.store.wake(now, 9).await.unwrap().is_empty());

        bench.clock.advance(SignedDuration::from_hours(73));
        let woken = bench.store.wake(bench.now(), 9).await.unwrap();
        assert_eq!(woken.len(), 1);
        assert!(woken[0].has_begun);
        assert!(outputs(&bench.advance(&run).await)["at"].is_string());
    }
}

#[tokio::test]
async fn an_event_that_came_before_its_wait_is_not_lost_and_serves_one() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let ask = |id| wait(id, "event", json!({"name": "signed", "deadline": "2d"}));
        let plan = plan(vec![ask("first"), ask("second")]);
        let run = bench.start("r-1", &plan, json!({})).await;
        let event = |by: &str| Signal::Event {
            name: "signed".to_owned(),
            payload: json!({"by": by}),
        };
        for _ in 0..3 {
            bench
                .engine
                .signal(&run, "e-1", event("ann"))
                .await
                .unwrap();
        }
        assert_eq!(waits(&bench, &run).await, ["second event signed"]);
        bench
            .engine
            .signal(&run, "e-2", event("bob"))
            .await
            .unwrap();
        assert_eq!(listed(&bench, &run).await, Vec::<String>::new());
        assert_eq!(*outputs(&bench.advance(&run).await), json!({"by": "bob"}));
        let late = bench.engine.signal(&run, "e-3", event("eve")).await;
        assert!(matches!(late, Err(EngineError::Over(_))), "{late:?}");
    }
}

#[tokio::test]
async fn the_first_decision_counts_and_none_in_time_fails_the_step() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let ask = json!({"message": "Send it?", "approvers": ["legal"], "deadline": "2d"});
        let plan = plan(vec![wait("ask", "approval", ask)]);
        let run = bench.start("r-1", &plan, json!({})).await;
        assert_eq!(waits(&bench, &run).await, ["ask approval: Send it?"]);
        let decision = |approved, by: &str| Signal::Decision {
            path: place("ask"),
            approved,
            by: by.to_owned(),
            comment: "read it".to_owned(),
        };
        for (id, approved, by) in [("d-1", true, "ann"), ("d-2", false, "bob")] {
            let signal = decision(approved, by);
            bench.engine.signal(&run, id, signal).await.unwrap();
        }
        let progress = bench.advance(&run).await;
        let output = outputs(&progress);
        assert_eq!(output["approved"], json!(true));
        assert_eq!(output["by"], json!("ann"));

        let late = bench.start("r-2", &plan, json!({})).await;
        waits(&bench, &late).await;
        bench.clock.advance(SignedDuration::from_hours(49));
        let Progress::Ended(RunResult::Failed { failure, .. }) = bench.advance(&late).await else {
            panic!("nobody decided");
        };
        assert_eq!(failure.code, "deadline");
    }
}

#[tokio::test]
async fn what_is_no_wait_fails_its_step() {
    for (action, with) in [
        ("timer", json!({"for": "soon"})),
        (
            "timer",
            json!({"for": "1h", "until": "2026-11-30T08:00:00Z"}),
        ),
        ("timer", json!({"until": "tomorrow"})),
        ("timer", json!({"for": "99999d"})),
        ("event", json!({})),
        ("approval", json!({"message": 5})),
        ("nap", json!({})),
    ] {
        let bench = bench(Arc::new(MemoryStore::new()), &Arc::new(World::default()));
        let result = bench
            .run(&plan(vec![wait("w", action, with.clone())]), json!({}))
            .await;
        let RunResult::Failed { failure, .. } = result else {
            panic!("{action} {with}");
        };
        assert_eq!(failure.code, "wait", "{action} {with}");
    }
}

fn lapsed(posts: bool, does: OnSignInNeeded) -> PlannedStep {
    PlannedStep {
        on_sign_in_needed: does,
        fallback: Some("shared".to_owned()),
        with: literal(json!({"lapsed": "contoso", "posts": posts})),
        ..connected(step("needs"))
    }
}

#[tokio::test]
async fn all_runs_that_wait_for_a_sign_in_go_on_with_it_and_no_others() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let of = |user: &str| PlannedStep {
            act_as: Some(literal(json!(user))),
            ..lapsed(false, OnSignInNeeded::default())
        };
        let mut runs = Vec::new();
        for (number, user) in ["Ann@x.example", "ann@x.example", "bob@x.example"]
            .into_iter()
            .enumerate()
        {
            let plan = plan(vec![of(user)]);
            let run = bench.start(&format!("r-{number}"), &plan, json!({})).await;
            waits(&bench, &run).await;
            runs.push(run);
        }
        assert_eq!(
            listed(&bench, &runs[0]).await,
            ["needs sign-in contoso ann@x.example"]
        );
        bench.runner.is_well.store(true, Ordering::SeqCst);
        let woken = bench
            .engine
            .signed_in("contoso", Some("ANN@x.example"))
            .await;
        assert_eq!(woken.unwrap(), 2);
        for run in &runs[..2] {
            assert_eq!(*outputs(&bench.advance(run).await), json!("contoso"));
        }
        assert_eq!(
            waits(&bench, &runs[2]).await,
            ["needs sign-in contoso bob@x.example"],
            "his own sign-in is still to come"
        );
    }
}

/// The account signs in while the attempt is on its way to say that it must: the run is not parked
/// for what has happened already, and goes on.
#[tokio::test]
async fn a_sign_in_just_before_the_wait_is_not_missed() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let plan = plan(vec![lapsed(false, OnSignInNeeded::default())]);
        let run = bench.start("r-1", &plan, json!({})).await;
        let rest = match bench.advance(&run).await {
            Progress::Waits(rest) => rest,
            other => panic!("{other:?}"),
        };
        let events = bench.store.events(&run).await.unwrap().len() as u64;
        bench.store.wake(jiff::Timestamp::MAX, 9).await.unwrap();
        bench.engine.signed_in("contoso", None).await.unwrap();
        assert!(!bench.store.park(&run, events, &rest).await.unwrap());
        bench.runner.is_well.store(true, Ordering::SeqCst);
        assert_eq!(*outputs(&bench.advance(&run).await), json!("contoso"));
    }
}

#[tokio::test]
async fn a_sign_in_that_never_comes_fails_the_step_at_its_deadline() {
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::new(World::default()));
    let longest = Duration::from_secs(3 * 86_400);
    let plan = plan(vec![lapsed(false, OnSignInNeeded::Wait(longest))]);
    let run = bench.start("r-1", &plan, json!({})).await;
    waits(&bench, &run).await;
    bench.clock.advance(SignedDuration::from_hours(73));
    let Progress::Ended(RunResult::Failed { failure, .. }) = bench.advance(&run).await else {
        panic!("it waits on");
    };
    assert!(failure.message.contains("none came in time"), "{failure:?}");
    let fails = crate::plans::plan(vec![lapsed(false, OnSignInNeeded::Fail)]);
    let run = bench.start("r-2", &fails, json!({})).await;
    let failed = bench.advance(&run).await;
    assert!(
        matches!(failed, Progress::Ended(RunResult::Failed { .. })),
        "{failed:?}"
    );
}

/// It is tried again whenever somebody signs in, and when the host is started anew.
#[tokio::test]
async fn a_deadline_is_kept_however_often_it_is_tried_again() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let longest = Duration::from_secs(3 * 86_400);
        let plan = plan(vec![lapsed(false, OnSignInNeeded::Wait(longest))]);
        let run = bench.start("r-1", &plan, json!({})).await;
        let row = || async {
            let waiting = bench.store.waiting(WaitFilter::default()).await.unwrap();
            (waiting[0].step.since, waiting[0].step.wait.until)
        };
        waits(&bench, &run).await;
        let first = row().await;
        assert_eq!(first.1, Some(first.0 + longest));
        for _ in 0..3 {
            bench.clock.advance(SignedDuration::from_hours(20));
            assert_eq!(bench.engine.signed_in("contoso", None).await.unwrap(), 1);
            waits(&bench, &run).await;
            assert_eq!(row().await, first);
        }
        assert_eq!(bench.runner.calls.lock().unwrap().len(), 4);
        bench.clock.advance(SignedDuration::from_hours(13));
        let Progress::Ended(RunResult::Failed { failure, .. }) = bench.advance(&run).await else {
            panic!("it waits on");
        };
        assert!(failure.message.contains("none came in time"), "{failure:?}");
        // Whoever resumes it gives it all its time again.
        bench.engine.resume(&run).await.unwrap();
        waits(&bench, &run).await;
        assert_eq!(row().await.1, Some(bench.now() + longest));
    }
}

/// An application's new secret is one for all its users.
#[tokio::test]
async fn a_whole_connection_lets_each_of_its_accounts_in() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let of = |user: &str| PlannedStep {
            act_as: Some(literal(json!(user))),
            ..lapsed(false, OnSignInNeeded::default())
        };
        let mut runs = Vec::new();
        for user in ["ann@x.example", "bob@x.example"] {
            let plan = plan(vec![of(user)]);
            runs.push(bench.start(&user[..3], &plan, json!({})).await);
        }
        let mut rests = Vec::new();
        for run in &runs {
            match bench.advance(run).await {
                Progress::Waits(rest) => rests.push(rest),
                other => panic!("{other:?}"),
            }
        }
        // She is parked when it happens, and he is about to be.
        let events = bench.store.events(&runs[1]).await.unwrap().len() as u64;
        bench.store.wake(jiff::Timestamp::MAX, 9).await.unwrap();
        let is_parked = bench.store.park(&runs[0], events, &rests[0]).await;
        assert!(is_parked.unwrap());
        assert_eq!(bench.engine.signed_in("contoso", None).await.unwrap(), 1);
        let is_parked = bench.store.park(&runs[1], events, &rests[1]).await;
        assert!(!is_parked.unwrap(), "he is let in, too");
        bench.runner.is_well.store(true, Ordering::SeqCst);
        for run in &runs {
            assert_eq!(*outputs(&bench.advance(run).await), json!("contoso"));
        }
        let other = bench.engine.signed_in("other", None).await;
        assert_eq!(other.unwrap(), 0);
    }
}

#[tokio::test]
async fn the_fallback_serves_unless_something_was_done_that_cannot_be_repeated() {
    let falls_back = OnSignInNeeded::Fallback(Duration::from_secs(86_400));
    for (store, _folder) in stores() {
        let world = Arc::new(World::default());
        let bench = bench(store, &world);
        let plan = plan(vec![PlannedStep {
            act_as: Some(literal(json!("ann@x.example"))),
            ..lapsed(false, falls_back)
        }]);
        let run = bench.start("r-1", &plan, json!({})).await;
        assert_eq!(*outputs(&bench.advance(&run).await), json!("shared"));
        let users: Vec<Option<String>> = {
            let calls = bench.runner.calls.lock().unwrap();
            calls.iter().map(|call| call.act_as.clone()).collect()
        };
        assert_eq!(
            users,
            [Some("ann@x.example".to_owned()), None],
            "the fallback is an account of its own"
        );
        let keys: Vec<String> = {
            let calls = bench.runner.calls.lock().unwrap();
            calls
                .iter()
                .map(|call| call.idempotency_key.clone())
                .collect()
        };
        assert_eq!(keys[0], keys[1], "it is the same step");
        let events = serde_json::to_string(&bench.store.events(&run).await.unwrap()).unwrap();
        assert!(events.contains(r#""connection":"shared""#), "{events}");

        let posted = crate::plans::plan(vec![lapsed(true, falls_back)]);
        let run = bench.start("r-2", &posted, json!({})).await;
        assert_eq!(waits(&bench, &run).await, ["needs sign-in contoso"]);
    }
}

#[tokio::test]
async fn a_long_retry_is_a_row_and_a_short_one_is_waited_for() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let run = bench
            .start("r-1", &plan(vec![step("third-time")]), json!({}))
            .await;
        assert_eq!(*outputs(&bench.advance(&run).await), json!(3));
        assert_eq!(bench.timer.waits.lock().unwrap().len(), 2);

        let run = bench
            .start("r-2", &plan(vec![step("throttled")]), json!({}))
            .await;
        assert_eq!(waits(&bench, &run).await, ["throttled retry"]);
        let at = bench.store.next_wake().await.unwrap().unwrap();
        assert!(at.duration_since(bench.now()).as_secs() >= 600);
    }
}

#[tokio::test]
async fn items_wait_no_more_at_a_time_than_may_run() {
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::new(World::default()));
    let ask = PlannedStep {
        for_each: Some(expression("inputs.list")),
        max_parallel: 2,
        ..wait("ask", "approval", json!({"message": "ok?"}))
    };
    let inputs = json!({"list": [1, 2, 3]});
    let run = bench.start("r-1", &plan(vec![ask]), inputs).await;
    assert_eq!(waits(&bench, &run).await.len(), 2);
    let mut seen = 0;
    for item in [1, 0, 2] {
        let path = StepPath {
            step: "ask".into(),
            item: Some(item),
        };
        let signal = Signal::Decision {
            path,
            approved: item == 1,
            by: "ann".to_owned(),
            comment: String::new(),
        };
        bench
            .engine
            .signal(&run, &format!("d-{item}"), signal)
            .await
            .unwrap();
        if let Progress::Ended(RunResult::Succeeded { outputs }) = bench.advance(&run).await {
            let approved: Vec<&Value> = outputs["all"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| &one["approved"])
                .collect();
            assert_eq!(approved, [&json!(false), &json!(true), &json!(false)]);
            seen += 1;
        }
    }
    assert_eq!(seen, 1);
}

/// A run that is being driven hears what it is told all the same.
#[tokio::test]
async fn a_run_under_way_is_told_too() {
    let world = Arc::new(World::default());
    let bench = bench(Arc::new(MemoryStore::new()), &world);
    let plan = plan(vec![
        each(step("hold"), 1),
        wait("signed", "event", json!({"name": "signed"})),
    ]);
    let run = bench.start("r-1", &plan, json!({"list": [1]})).await;
    let driving = {
        let (engine, run, heard) = (
            Arc::clone(&bench.engine),
            run.clone(),
            Arc::clone(&bench.heard),
        );
        tokio::spawn(async move { engine.advance(&run, heard, Default::default()).await })
    };
    bench.runner.holding.acquire().await.unwrap().forget();
    let event = Signal::Event {
        name: "signed".to_owned(),
        payload: json!(7),
    };
    bench.engine.signal(&run, "e-1", event).await.unwrap();
    bench.runner.release.add_permits(1);
    assert_eq!(*outputs(&driving.await.unwrap().unwrap()), json!(7));
}

#[tokio::test]
async fn driving_by_hand_says_what_is_waited_for() {
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::new(World::default()));
    let plan = plan(vec![
        wait("pause", "timer", json!({"for": "3d"})),
        named("echo", "echo"),
        wait("ask", "approval", json!({"message": "ok?"})),
    ]);
    let run = bench.start("r-1", &plan, json!({})).await;
    let error = bench.drive(&run).await.unwrap_err();
    assert_eq!(error.to_string(), "run r-1 waits at ask for approval: ok?");
}

/// Nothing that runs wait for goes by comparing times of different moments: a clock that jumps back
/// makes timers late, and nothing else.
#[tokio::test]
async fn a_clock_that_jumps_back_loses_no_sign_in_and_tries_nothing_over_and_over() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        bench.engine.signed_in("contoso", None).await.unwrap();
        bench.clock.advance(SignedDuration::from_hours(-5));
        let plan = plan(vec![lapsed(false, OnSignInNeeded::default())]);
        let run = bench.start("r-1", &plan, json!({})).await;
        assert_eq!(waits(&bench, &run).await, ["needs sign-in contoso"]);
        assert_eq!(bench.runner.calls.lock().unwrap().len(), 1);
        bench.clock.advance(SignedDuration::from_hours(-5));
        bench.runner.is_well.store(true, Ordering::SeqCst);
        assert_eq!(bench.engine.signed_in("contoso", None).await.unwrap(), 1);
        assert_eq!(*outputs(&bench.advance(&run).await), json!("contoso"));
    }
}
