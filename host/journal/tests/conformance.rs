//! One suite for every journal, and a differential test between them.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use docket_engine::{Durability, EventStore, RunFilter, StoreError};
use docket_journal::{MemoryStore, SqliteStore};
use docket_model::{Digest, Event, EventKind, RunId, RunResult, StepPath};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

fn event(second: i64, kind: EventKind) -> Event {
    Event {
        // As fine as clocks are.
        at: Timestamp::new(second, 123_456_789).unwrap(),
        kind,
    }
}

fn started(second: i64, workflow: &str) -> Event {
    event(
        second,
        EventKind::RunStarted {
            workflow: workflow.to_owned(),
            plan: Digest::of(b"plan"),
            inputs: json!({"second": second}),
            group: None,
        },
    )
}

fn skipped(second: i64) -> Event {
    event(
        second,
        EventKind::StepSkipped {
            path: StepPath {
                step: "s".into(),
                item: None,
            },
        },
    )
}

fn finished(second: i64) -> Event {
    event(
        second,
        EventKind::RunFinished {
            result: RunResult::Cancelled,
        },
    )
}

fn run(name: &str) -> RunId {
    name.parse().unwrap()
}

async fn suite(store: &dyn EventStore) {
    let (a, b) = (run("a"), run("b"));
    assert_eq!(store.events(&a).await.unwrap(), []);
    store
        .append(&a, 0, &[started(1, "first")], Durability::Synced)
        .await
        .unwrap();
    store
        .append(
            &b,
            0,
            &[started(2, "second"), skipped(3)],
            Durability::Ordered,
        )
        .await
        .unwrap();
    store
        .append(&a, 1, &[skipped(4)], Durability::Ordered)
        .await
        .unwrap();
    assert_eq!(
        store.events(&a).await.unwrap(),
        [started(1, "first"), skipped(4)]
    );

    for (name, first, event) in [
        ("a", 0, started(9, "first")),
        ("a", 1, skipped(9)),
        ("a", 3, skipped(9)),
        ("c", 1, skipped(9)),
        ("c", 0, skipped(9)),
    ] {
        let result = store
            .append(&run(name), first, &[event], Durability::Synced)
            .await;
        assert!(
            matches!(result, Err(StoreError::Conflict(_))),
            "{name} {first}: {result:?}"
        );
    }
    assert_eq!(
        store.events(&a).await.unwrap().len(),
        2,
        "a conflict appends nothing"
    );
    assert_eq!(store.events(&run("c")).await.unwrap(), []);

    store
        .append(&a, 2, &[finished(5)], Durability::Synced)
        .await
        .unwrap();
    let late = store.append(&a, 3, &[skipped(9)], Durability::Synced).await;
    assert!(
        matches!(late, Err(StoreError::Conflict(_))),
        "an ended run takes nothing: {late:?}"
    );

    let list = |filter: RunFilter| async {
        let runs = store.runs(filter).await.unwrap();
        runs.into_iter()
            .map(|run| run.id.to_string())
            .collect::<Vec<_>>()
    };
    let all = RunFilter::default;
    assert_eq!(list(all()).await, ["b", "a"]);
    assert_eq!(
        list(RunFilter {
            limit: Some(1),
            ..all()
        })
        .await,
        ["b"]
    );
    assert_eq!(
        list(RunFilter {
            only_unfinished: true,
            ..all()
        })
        .await,
        ["b"]
    );
    assert_eq!(
        list(RunFilter {
            workflow: Some("first".to_owned()),
            ..all()
        })
        .await,
        ["a"]
    );
    let ended = store.runs(all()).await.unwrap().pop().unwrap();
    assert_eq!(ended.result, Some(RunResult::Cancelled));
    assert_eq!(ended.finished_at, Some(finished(5).at));

    let digest = store.put_blob(b"plan".to_vec()).await.unwrap();
    assert_eq!(store.put_blob(b"plan".to_vec()).await.unwrap(), digest);
    assert_eq!(
        store.blob(digest).await.unwrap().as_deref(),
        Some(&b"plan"[..])
    );
    assert_eq!(store.blob(Digest::of(b"other")).await.unwrap(), None);
}

#[tokio::test]
async fn in_memory() {
    suite(&MemoryStore::new()).await;
}

#[tokio::test]
async fn in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    suite(&SqliteStore::open(&folder.path().join("journal.db")).unwrap()).await;
}

#[tokio::test]
async fn what_was_synced_survives_and_what_survives_is_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let store = SqliteStore::open(&path).unwrap();
    let runs: Vec<RunId> = (0..20).map(|number| run(&format!("r-{number}"))).collect();
    for name in &runs {
        store
            .append(name, 0, &[started(1, "w")], Durability::Ordered)
            .await
            .unwrap();
    }
    for second in 0..50 {
        for name in &runs {
            let first = 1 + u64::try_from(second).unwrap();
            store
                .append(name, first, &[skipped(second)], Durability::Ordered)
                .await
                .unwrap();
        }
    }
    store
        .append(&runs[7], 51, &[skipped(50)], Durability::Synced)
        .await
        .unwrap();
    // What a crash leaves behind is what the files hold now, without anything being closed.
    let copy = tempfile::tempdir().unwrap();
    for name in ["journal.db", "journal.db-wal"] {
        std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    let after = SqliteStore::open(&copy.path().join("journal.db")).unwrap();
    for (number, name) in runs.iter().enumerate() {
        let kept = after.events(name).await.unwrap().len();
        assert_eq!(
            kept,
            if number == 7 { 52 } else { 51 },
            "everything before the synced one"
        );
    }
}

#[tokio::test]
async fn a_torn_end_of_the_log_leaves_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let store = SqliteStore::open(&path).unwrap();
    let name = run("r");
    store
        .append(&name, 0, &[started(0, "w")], Durability::Synced)
        .await
        .unwrap();
    for second in 0..30 {
        let first = 1 + u64::try_from(second).unwrap();
        store
            .append(&name, first, &[skipped(second)], Durability::Synced)
            .await
            .unwrap();
    }
    let log = std::fs::read(folder.path().join("journal.db-wal")).unwrap();
    let whole: Vec<Event> = store.events(&name).await.unwrap();
    for cut in (0..log.len()).step_by(log.len() / 40) {
        let copy = tempfile::tempdir().unwrap();
        std::fs::copy(&path, copy.path().join("journal.db")).unwrap();
        std::fs::write(copy.path().join("journal.db-wal"), &log[..cut]).unwrap();
        let after = SqliteStore::open(&copy.path().join("journal.db")).unwrap();
        let kept = after.events(&name).await.unwrap();
        assert_eq!(kept, whole[..kept.len()], "cut at {cut}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append {
        run: u8,
        first: u64,
        event: u8,
        is_synced: bool,
    },
    Read(u8),
    List,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3_u8, 0..6_u64, 0..4_u8, any::<bool>())
            .prop_map(|(run, first, event, is_synced)| Step::Append { run, first, event, is_synced }),
        1 => (0..3_u8).prop_map(Step::Read),
        1 => Just(Step::List),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn both_journals_answer_alike(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let sqlite = SqliteStore::open(&folder.path().join("journal.db")).unwrap();
            let memory = MemoryStore::new();
            for step in steps {
                match step {
                    Step::Append { run: name, first, event, is_synced } => {
                        let name = run(&format!("r-{name}"));
                        let event = match event {
                            0 => started(1, "w"),
                            1 => finished(2),
                            _ => skipped(3),
                        };
                        let durability =
                            if is_synced { Durability::Synced } else { Durability::Ordered };
                        let a = sqlite.append(&name, first, std::slice::from_ref(&event), durability).await;
                        let b = memory.append(&name, first, &[event], durability).await;
                        // An ordered one that cannot be may be told by the next one only.
                        assert!(a.is_ok() == b.is_ok() || a.is_ok() && !is_synced, "{a:?} {b:?}");
                    }
                    Step::Read(name) => {
                        let name = run(&format!("r-{name}"));
                        assert_eq!(sqlite.events(&name).await.unwrap(), memory.events(&name).await.unwrap());
                    }
                    Step::List => {
                        let all = RunFilter::default;
                        assert_eq!(sqlite.runs(all()).await.unwrap(), memory.runs(all()).await.unwrap());
                    }
                }
            }
        });
    }
}
