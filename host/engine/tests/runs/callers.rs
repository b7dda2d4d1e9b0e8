//! Callers that go away before they are answered, as when a client's connection breaks off: what they
//! asked for is done whole or not at all, and the scheduler hears of all that was done.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use docket_engine::{ItemStart, TriggerItem};
use docket_model::{Concurrency, EventKind, Plan, RunId, Signal};
use serde_json::{Value, json};

use crate::outside::stores;
use crate::plans::{plan, step, wait};
use crate::scheduling::{ended, parked, serve};
use crate::script::{Bench, bench};
use crate::world::World;

/// More than any call has places where it waits.
const PLACES: usize = 12;

/// Polls a future so often, and then gives it up.
async fn give_up_after<F: Future>(polls: usize, future: F) {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        future.as_mut().poll(context).map(drop)
    })
    .await;
}

/// The store on a disk, where an append takes its time.
fn on_disk() -> (Bench, Option<tempfile::TempDir>) {
    let (store, folder) = stores().remove(1);
    (bench(store, &Arc::new(World::default())), folder)
}

/// Goes on once nothing is ready: all that was is driven.
async fn nothing_lies(bench: &Bench) {
    let driven = async {
        while !bench.store.ready().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let driven = tokio::time::timeout(Duration::from_secs(20), driven).await;
    let left = bench.store.ready().await.unwrap();
    assert!(driven.is_ok(), "nobody drives {left:?}");
}

async fn kinds(bench: &Bench, run: &RunId) -> Vec<EventKind> {
    let events = bench.store.events(run).await.unwrap();
    events.into_iter().map(|event| event.kind).collect()
}

fn signed() -> Signal {
    Signal::Event {
        name: "signed".to_owned(),
        payload: Value::Null,
    }
}

fn waits_for_signed() -> Plan {
    plan(vec![wait("signed", "event", json!({"name": "signed"}))])
}

#[tokio::test]
async fn a_run_that_was_started_is_driven() {
    let (bench, _folder) = on_disk();
    let serving = serve(&bench, 4);
    let plan = plan(vec![step("echo")]);
    for polls in 0..PLACES {
        let run: RunId = format!("r-{polls}").parse().unwrap();
        give_up_after(polls, bench.engine.start(&run, &plan, json!({}))).await;
    }
    nothing_lies(&bench).await;
    ended(&bench, PLACES / 2).await;
    serving.stop().await;
}

#[tokio::test]
async fn runs_of_items_are_driven() {
    let (bench, _folder) = on_disk();
    let serving = serve(&bench, 4);
    let plan = plan(vec![step("echo")]);
    for polls in 0..PLACES {
        let item = |number: u32| TriggerItem {
            key: Some(format!("{polls}-{number}")),
            run: format!("r-{polls}-{number}").parse().unwrap(),
            start: ItemStart::With(json!({})),
        };
        let items = vec![item(0), item(1)];
        let started = bench.engine.start_items("inbox", Some("c"), &plan, items);
        give_up_after(polls, started).await;
    }
    nothing_lies(&bench).await;
    ended(&bench, PLACES).await;
    serving.stop().await;
}

#[tokio::test]
async fn a_run_that_was_told_goes_on() {
    let (bench, _folder) = on_disk();
    let serving = serve(&bench, 4);
    let mut runs = Vec::new();
    for polls in 0..PLACES {
        let id = format!("r-{polls}");
        runs.push(bench.start(&id, &waits_for_signed(), json!({})).await);
    }
    parked(&bench, PLACES).await;
    for (polls, run) in runs.iter().enumerate() {
        give_up_after(polls, bench.engine.signal(run, "e", signed())).await;
    }
    nothing_lies(&bench).await;
    let mut told = 0;
    for run in &runs {
        let kinds = kinds(&bench, run).await;
        let is_told = |kind: &EventKind| matches!(kind, EventKind::Signalled { .. });
        if kinds.iter().any(is_told) {
            told += 1;
            let last = kinds.last();
            assert!(
                matches!(last, Some(EventKind::RunFinished { .. })),
                "{last:?}"
            );
        }
    }
    assert!(told >= PLACES / 2, "{told}");
    serving.stop().await;
}

#[tokio::test]
async fn a_run_that_was_resumed_goes_on() {
    let (bench, _folder) = on_disk();
    let serving = serve(&bench, 4);
    let plan = plan(vec![step("permanent")]);
    let mut runs = Vec::new();
    for polls in 0..PLACES {
        runs.push(bench.start(&format!("r-{polls}"), &plan, json!({})).await);
    }
    ended(&bench, PLACES).await;
    for (polls, run) in runs.iter().enumerate() {
        give_up_after(polls, bench.engine.resume(run)).await;
    }
    nothing_lies(&bench).await;
    let mut attempts = 0;
    for run in &runs {
        let kinds = kinds(&bench, run).await;
        let is_start = |kind: &&EventKind| matches!(kind, EventKind::StepStarted { .. });
        attempts += kinds.iter().filter(is_start).count();
    }
    assert!(attempts >= PLACES + PLACES / 2, "{attempts}");
    serving.stop().await;
}

#[tokio::test]
async fn the_place_of_a_run_that_was_cancelled_is_free() {
    let (bench, _folder) = on_disk();
    let serving = serve(&bench, 4);
    for polls in 0..PLACES {
        // A group of its own, with one place.
        let plan = Plan {
            workflow: format!("w-{polls}"),
            concurrency: Some(Concurrency {
                group: None,
                max: 1,
            }),
            ..waits_for_signed()
        };
        let first = bench.start(&format!("a-{polls}"), &plan, json!({})).await;
        parked(&bench, polls + 1).await;
        bench.start(&format!("b-{polls}"), &plan, json!({})).await;
        give_up_after(polls, bench.engine.cancel(&first)).await;
        // It may have gone away too early for anything; one that stays is answered.
        bench.engine.cancel(&first).await.unwrap();
        // The second one has the place.
        let begun = parked(&bench, polls + 1);
        let begun = tokio::time::timeout(Duration::from_secs(20), begun).await;
        assert!(begun.is_ok(), "nobody has the place of {first}");
    }
    nothing_lies(&bench).await;
    serving.stop().await;
}
