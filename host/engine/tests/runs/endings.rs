//! Ends that are not the plan's: strayed plugins, host faults, sign-ins, odd starts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use docket_engine::{Durability, EngineError, EventStore, StoreError};
use docket_journal::MemoryStore;
use docket_model::{
    Digest, DocumentRef, Event, EventKind, PLAN_FORMAT, Plan, PlannedStep, RunId, RunResult,
};
use jiff::Timestamp;
use serde_json::json;

use crate::plans::{connected, plan, step};
use crate::script::bench;
use crate::world::World;

/// Runs an action twice, as after a crash; the second time it is another plugin in effect.
async fn check_strayed(action: &str, message: &str) {
    let world = Arc::new(World::default());
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let bench = bench(store, &world);
    let step = PlannedStep {
        continue_on_error: true,
        ..step(action)
    };
    let run = bench.start("r-1", &plan(vec![step]), json!({})).await;
    let first = bench.drive(&run).await;
    assert!(
        matches!(first, Err(EngineError::Fault { .. })),
        "{action}: {first:?}"
    );
    let before = world.state().requests;

    bench.runner.is_well.store(true, Ordering::SeqCst);
    let RunResult::Failed { path, failure } = bench.drive(&run).await.unwrap() else {
        panic!("{action} did not fail");
    };
    assert_eq!(failure.code, "non-deterministic");
    assert_eq!(path.unwrap().to_string(), action);
    assert!(failure.message.contains(message), "{}", failure.message);
    assert_eq!(world.state().requests, before, "{action}: nothing is sent");
}

#[tokio::test]
async fn a_plugin_that_strays_from_its_record_ends_the_run_and_sends_nothing() {
    let other = "effect 0 of strays was POST https://mail.example/send/";
    check_strayed("strays", other).await;
    check_strayed("forgets", "and now is the end of the attempt").await;
    check_strayed("strays-on", "and now is POST https://mail.example/draft/").await;
}

#[tokio::test]
async fn a_fault_of_the_host_leaves_the_run_to_be_resumed() {
    for action in ["fault", "panic"] {
        let bench = bench(Arc::new(MemoryStore::new()), &Arc::new(World::default()));
        let run = bench
            .start("r-1", &plan(vec![step(action)]), json!({}))
            .await;
        let error = bench.drive(&run).await.unwrap_err();
        assert!(matches!(error, EngineError::Fault { .. }), "{error}");
        assert!(
            error.to_string().contains(&format!("at {action}")),
            "{error}"
        );
        assert_eq!(
            bench.engine.recover().await.unwrap(),
            std::slice::from_ref(&run)
        );

        bench.runner.is_well.store(true, Ordering::SeqCst);
        let result = bench.drive(&run).await.unwrap();
        assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
        let calls = bench.runner.calls.lock().unwrap();
        assert_eq!(calls[1].attempt, 1, "the same attempt goes on");
        assert_eq!(calls[1].started_at, calls[0].started_at);
    }
}

#[tokio::test]
async fn a_run_waits_for_a_sign_in_as_often_as_it_must() {
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::new(World::default()));
    let run = bench
        .start("r-1", &plan(vec![connected(step("sign-in"))]), json!({}))
        .await;
    for _ in 0..5 {
        let error = bench.drive(&run).await.unwrap_err();
        let EngineError::SignInNeeded { path, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(path.to_string(), "sign-in");
    }
    bench.runner.is_well.store(true, Ordering::SeqCst);
    let result = bench.drive(&run).await.unwrap();
    assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
}

#[tokio::test]
async fn starting_twice_is_starting_once() {
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::new(World::default()));
    let (one, other) = (plan(vec![step("echo")]), plan(vec![step("send")]));
    let run = bench.start("r-1", &one, json!({"a": 1})).await;
    bench.drive(&run).await.unwrap();
    bench
        .engine
        .start(&run, &one, json!({"a": 1}))
        .await
        .unwrap();
    for (plan, inputs) in [(&one, json!({"a": 2})), (&other, json!({"a": 1}))] {
        let error = bench.engine.start(&run, plan, inputs).await.unwrap_err();
        assert!(
            matches!(error, EngineError::StartedDifferently(_)),
            "{error}"
        );
    }
    let again = bench.drive(&run).await.unwrap();
    assert!(
        matches!(again, RunResult::Succeeded { .. }),
        "its end is told again"
    );
    assert_eq!(bench.runner.calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_document_that_is_not_there_is_missed_at_the_start() {
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::new(World::default()));
    let document = DocumentRef {
        digest: Digest::of(b"gone"),
        name: "contract.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        size: 4,
    };
    let run: RunId = "r-1".parse().unwrap();
    let inputs = json!({"list": [{"deep": document}]});
    let error = bench
        .engine
        .start(&run, &plan(vec![]), inputs)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("contract.pdf"), "{error}");
    let unknown = bench.drive(&run).await.unwrap_err();
    assert!(matches!(unknown, EngineError::UnknownRun(_)), "{unknown}");
}

/// Drives a run whose plan is stored as these bytes.
async fn drive_stored(plan: &[u8]) -> String {
    let store = Arc::new(MemoryStore::new());
    let digest = store.put_blob(plan.to_vec()).await.unwrap();
    let run: RunId = "r-1".parse().unwrap();
    let started = Event {
        at: Timestamp::UNIX_EPOCH,
        kind: EventKind::RunStarted {
            workflow: "w".to_owned(),
            plan: digest,
            inputs: json!({}),
            group: None,
        },
    };
    store
        .append(&run, 0, &[started], Durability::Synced)
        .await
        .unwrap();
    let bench = bench(store, &Arc::new(World::default()));
    bench.drive(&run).await.unwrap_err().to_string()
}

#[tokio::test]
async fn plans_that_this_host_cannot_follow_are_refused() {
    let newer = Plan {
        format: PLAN_FORMAT + 1,
        ..plan(vec![])
    }
    .to_json()
    .unwrap();
    assert!(
        drive_stored(&newer)
            .await
            .contains("newer version of Docket")
    );
    assert!(drive_stored(b"{").await.contains("damaged"));
    let unpinned = Plan {
        plugins: Default::default(),
        ..plan(vec![step("echo")])
    };
    let unpinned = drive_stored(&unpinned.to_json().unwrap()).await;
    assert!(unpinned.contains("not pinned"), "{unpinned}");
}

#[tokio::test]
async fn a_journal_that_cannot_be_is_damaged() {
    let store = Arc::new(MemoryStore::new());
    let first = bench(Arc::clone(&store) as _, &Arc::new(World::default()));
    let run = first
        .start("r-1", &plan(vec![step("echo")]), json!({}))
        .await;
    let odd = Event {
        at: Timestamp::UNIX_EPOCH,
        kind: EventKind::ItemsExpanded {
            step: "echo".into(),
            items: vec![],
        },
    };
    store
        .append(&run, 1, &[odd], Durability::Synced)
        .await
        .unwrap();
    let error = first.drive(&run).await.unwrap_err();
    assert!(
        matches!(error, EngineError::Store(StoreError::Damaged(_))),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("run r-1: event 1 (items-expanded)"),
        "{error}"
    );
}
