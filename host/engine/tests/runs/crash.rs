//! The host dies after every event and around every request, and no mail is lost or sent twice.

use std::path::Path;
use std::sync::Arc;

use docket_engine::{EngineError, EventStore, StoreError, idempotency_key};
use docket_journal::{MemoryStore, SqliteStore};
use docket_model::{Plan, RunId, RunResult, StepPath};
use jiff::SignedDuration;
use serde_json::json;

use crate::crashing::{CrashingStore, Unsynced};
use crate::plans::{each, named, plan, step};
use crate::script::bench;
use crate::world::{When, World};

/// Mails one after the other, and side by side; and one by a plugin that does not look first.
fn mails() -> Plan {
    plan(vec![
        step("send"),
        each(named("each", "send"), 3),
        step("post"),
        named("last", "send"),
    ])
}

const MAILS: usize = 7;

/// Nine for each mail, four for the one that does not look; the run's start and end, and the items.
const EVENTS: usize = 9 * (MAILS - 1) + 4 + 3;

fn inputs() -> serde_json::Value {
    json!({"list": ["a", "b", "c", "d"]})
}

/// Opens the journal as it is on the disk, or in the memory of the test.
type Open<'a> = dyn Fn() -> Arc<dyn EventStore> + 'a;

/// Dies after `events` events, then drives the run to its end. Says whether it died at all, and
/// how many effects were in doubt.
async fn die(open: &Open<'_>, id: &str, events: usize, unsynced: Unsynced) -> (bool, usize) {
    let what = format!("{id}: {events} events, unsynced {unsynced:?}");
    let world = Arc::new(World::default());
    let run: RunId = id.parse().unwrap();
    let has_died = {
        let error = StoreError::Io("the host died".to_owned());
        let cut = Arc::new(CrashingStore::new(open(), events, unsynced, error));
        let bench = bench(Arc::clone(&cut) as _, &world);
        let driven = match bench.engine.start(&run, &mails(), inputs()).await {
            Ok(()) => bench.drive(&run).await,
            Err(error) => Err(error),
        };
        match driven {
            Ok(result) => assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}"),
            Err(error) => assert!(matches!(error, EngineError::Store(_)), "{what}: {error}"),
        }
        cut.has_crashed().await
    };
    let bench = bench(open(), &world);
    bench.engine.start(&run, &mails(), inputs()).await.unwrap();
    let unfinished = bench.engine.recover().await.unwrap();
    assert_eq!(unfinished.contains(&run), has_died, "{what}");
    let result = bench.drive(&run).await;
    check(&world, &what, &run, result);
    assert_eq!(bench.engine.recover().await.unwrap(), [], "{what}");
    let in_doubt = world.state().in_doubt.len();
    (has_died, in_doubt)
}

fn check(world: &World, what: &str, run: &RunId, result: Result<RunResult, EngineError>) {
    let result = result.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(
        matches!(result, RunResult::Succeeded { .. }),
        "{what}: {result:?}"
    );
    let state = world.state();
    let post = StepPath {
        step: "post".into(),
        item: None,
    };
    let post = idempotency_key(run, &post);
    let looked = state.sent.keys().filter(|key| **key != post).count();
    assert_eq!(looked, MAILS - 1, "{what}: a mail is lost");
    assert!(
        state.sent.contains_key(&post) || state.in_doubt.contains(&post),
        "{what}: a mail is lost and nobody was told"
    );
    assert!(
        state.sent.values().all(|times| *times == 1),
        "{what}: {:?}",
        state.sent
    );
    assert!(state.drafts.is_empty(), "{what}: {:?}", state.drafts);
}

async fn after_every_event(open: &Open<'_>) {
    let mut doubts = 0;
    for unsynced in [Unsynced::Kept, Unsynced::Lost] {
        let mut events = 0;
        loop {
            let id = format!("r-{events}-{unsynced:?}");
            let (has_died, in_doubt) = die(open, &id, events, unsynced).await;
            doubts += in_doubt;
            if !has_died {
                break;
            }
            events += 1;
        }
        assert_eq!(events, EVENTS);
    }
    assert!(
        doubts > 0,
        "no crash came between an intent and its outcome"
    );
}

#[tokio::test]
async fn after_every_event_in_memory() {
    let stores = std::sync::Mutex::new(Arc::new(MemoryStore::new()));
    after_every_event(&|| Arc::clone(&*stores.lock().unwrap()) as _).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_event_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| Arc::new(SqliteStore::open(path).unwrap());
    let path = folder.path().join("journal.db");
    after_every_event(&|| open(&path) as _).await;
}

/// Around every request: the effect took place and nobody heard, or it did not. And whatever the clock
/// says afterwards.
#[tokio::test]
async fn around_every_request() {
    let day = SignedDuration::from_hours(24);
    for (when, jump) in [
        (When::Before, SignedDuration::ZERO),
        (When::After, SignedDuration::ZERO),
        (When::After, -day),
        (When::After, day),
    ] {
        let mut number = 0;
        loop {
            let what = format!("{when:?} request {number}, {jump:?} later");
            let world = Arc::new(World::default());
            world.state().dies = Some((number, when));
            let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
            let first = bench(Arc::clone(&store), &world);
            let run = first.start("r-1", &mails(), inputs()).await;
            let driven = first.drive(&run).await;
            if world.state().requests <= number {
                check(&world, &what, &run, driven);
                break;
            }
            assert!(
                matches!(driven, Err(EngineError::Fault { .. })),
                "{what}: {driven:?}"
            );
            world.state().dies = None;
            let second = bench(store, &world);
            second.clock.advance(jump);
            check(&world, &what, &run, second.drive(&run).await);
            number += 1;
        }
        assert!(number > 20, "only {number} requests");
    }
}

#[tokio::test]
async fn a_full_disk_stops_the_run_and_loses_nothing() {
    let world = Arc::new(World::default());
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let full = StoreError::Full("no space left".to_owned());
    let cut = Arc::new(CrashingStore::new(
        Arc::clone(&store),
        7,
        Unsynced::Kept,
        full,
    ));
    let first = bench(cut, &world);
    let run = first.start("r-1", &mails(), inputs()).await;
    let stopped = first.drive(&run).await;
    assert!(
        matches!(stopped, Err(EngineError::Store(StoreError::Full(_)))),
        "{stopped:?}"
    );
    let second = bench(store, &world);
    check(
        &world,
        "after the disk was full",
        &run,
        second.drive(&run).await,
    );
}
