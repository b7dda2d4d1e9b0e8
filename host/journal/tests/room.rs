//! The room of runs that were removed goes back to the disk, of older journals too.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::path::Path;

use docket_engine::{Durability, EventStore, Prune, Reclaimed, RunFilter, Verdict};
use docket_journal::{MemoryStore, SqliteStore};
use docket_model::{Digest, Event, EventKind, RunId, RunResult};
use jiff::Timestamp;
use rusqlite::Connection;

fn event(kind: EventKind) -> Event {
    Event {
        at: Timestamp::UNIX_EPOCH,
        kind,
    }
}

fn events(inputs: &str) -> [Event; 2] {
    [
        event(EventKind::RunStarted {
            workflow: "w".to_owned(),
            plan: Digest::of(b"plan"),
            inputs: inputs.repeat(5_000).into(),
            group: None,
        }),
        event(EventKind::RunFinished {
            result: RunResult::Cancelled,
        }),
    ]
}

async fn fill(store: &dyn EventStore, runs: usize) {
    for number in 0..runs {
        let run: RunId = format!("r-{number}").parse().unwrap();
        store
            .append(&run, 0, &events("ab"), Durability::Ordered)
            .await
            .unwrap();
    }
}

async fn prune(store: &dyn EventStore, limit: u32) {
    let filter = Prune {
        ended_before: Timestamp::MAX,
        states: vec!["cancelled".to_owned()],
        workflow: None,
        limit,
    };
    assert_eq!(store.prune(filter).await.unwrap(), u64::from(limit));
}

async fn check(path: &Path) {
    let store = SqliteStore::open(path).unwrap();
    let before = store.runs(RunFilter::default()).await.unwrap().len();
    // What a migration left behind.
    store.reclaim().await.unwrap();
    assert_eq!(
        store.reclaim().await.unwrap().freed,
        0,
        "there is nothing to give back"
    );
    fill(&store, 400).await;
    prune(&store, 390).await;
    // Somebody who looks meanwhile is no obstacle.
    let last: RunId = "r-399".parse().unwrap();
    let looking = store.events(&last);
    let (reclaimed, seen) = tokio::join!(store.reclaim(), looking);
    assert_eq!(seen.unwrap(), events("ab"));
    let Reclaimed { freed, free } = reclaimed.unwrap();
    assert!(freed > 3_000_000, "{freed}");
    assert_eq!(free, 0);
    let size = std::fs::metadata(path).unwrap().len();
    assert!(size < 1_000_000, "{size}");
    let left = store.runs(RunFilter::default()).await.unwrap();
    assert_eq!(left.len(), before + 10);
    for number in 390..400 {
        let run: RunId = format!("r-{number}").parse().unwrap();
        let verdict = store.verify(&run).await.unwrap();
        assert!(matches!(verdict, Verdict::Intact { .. }), "{verdict:?}");
    }
    // From now on in pieces, whatever the journal was before.
    prune(&store, 10).await;
    assert!(store.reclaim().await.unwrap().freed > 50_000);
    drop(store);
    let mode: i64 = Connection::open(path)
        .unwrap()
        .pragma_query_value(None, "auto_vacuum", |row| row.get(0))
        .unwrap();
    assert_eq!(mode, 2);
}

#[tokio::test]
async fn pruned_runs_leave_no_room_behind() {
    let folder = tempfile::tempdir().unwrap();
    check(&folder.path().join("new.db")).await;
    let older = folder.path().join("older.db");
    let script = include_str!("formats/2.sql");
    Connection::open(&older)
        .unwrap()
        .execute_batch(script)
        .unwrap();
    check(&older).await;
    assert_eq!(
        MemoryStore::new().reclaim().await.unwrap(),
        Reclaimed::default()
    );
}

#[tokio::test]
async fn what_waits_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(&folder.path().join("journal.db")).unwrap();
    let memory = MemoryStore::new();
    for store in [&sqlite as &dyn EventStore, &memory] {
        for number in 0..3 {
            let run: RunId = format!("r-{number}").parse().unwrap();
            store
                .append(&run, 0, &events("ab")[..1], Durability::Ordered)
                .await
                .unwrap();
        }
        let timer = docket_engine::Rest {
            wake_at: Some(Timestamp::MAX),
            steps: vec![docket_engine::RestingStep {
                path: docket_model::StepPath {
                    step: "s".into(),
                    item: None,
                },
                since: Timestamp::UNIX_EPOCH,
                wait: docket_model::Wait {
                    on: docket_model::WaitFor::Timer,
                    until: None,
                },
            }],
        };
        assert!(
            store
                .park(&"r-1".parse().unwrap(), 1, &timer)
                .await
                .unwrap()
        );
        let counts = store.counts().await.unwrap();
        assert_eq!(counts.ready, 2);
        assert_eq!(counts.waiting, [("timer".to_owned(), 1)].into());
    }
}
