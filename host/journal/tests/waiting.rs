//! What waits and what is ready, retention, backup: one suite for every journal.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::path::Path;
use std::time::Duration;

use docket_engine::{
    Documents, Durability, EventStore, NewItem, Prune, Rest, RestingStep, RunFilter, StoreError,
    TriggerRecord, Verdict, WaitFilter,
};
use docket_journal::{FileDocuments, MemoryStore, SqliteStore, backup, restore};
use docket_model::{
    Account, Digest, Event, EventKind, Failure, FailureClass, RunGroup, RunId, RunResult, StepPath,
    Wait, WaitFor,
};
use jiff::Timestamp;
use serde_json::{Value, json};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn run(name: &str) -> RunId {
    name.parse().unwrap()
}

fn started(inputs: Value, group: Option<RunGroup>) -> Event {
    let kind = EventKind::RunStarted {
        workflow: "w".to_owned(),
        plan: Digest::of(b"plan"),
        inputs,
        group,
    };
    Event { at: at(0), kind }
}

fn finished(second: i64) -> Event {
    let kind = EventKind::RunFinished {
        result: RunResult::Cancelled,
    };
    Event {
        at: at(second),
        kind,
    }
}

fn rest(until: Option<i64>, waits: Vec<(&str, i64, WaitFor)>) -> Rest {
    let step = |(step, since, on): (&str, i64, WaitFor)| RestingStep {
        path: StepPath {
            step: step.into(),
            item: None,
        },
        since: at(since),
        wait: Wait {
            on,
            until: until.map(at),
        },
    };
    Rest {
        wake_at: until.map(at),
        steps: waits.into_iter().map(step).collect(),
    }
}

fn sign_in(account: &Account, seen: u64) -> WaitFor {
    WaitFor::SignIn {
        account: account.clone(),
        seen,
        failure: Failure::new(FailureClass::SignInRequired, "code", "message"),
    }
}

async fn start(store: &dyn EventStore, name: &str) -> RunId {
    let run = run(name);
    let events = [started(json!({}), None)];
    store
        .append(&run, 0, &events, Durability::Ordered)
        .await
        .unwrap();
    run
}

fn names(ready: Vec<docket_engine::Ready>) -> Vec<String> {
    ready
        .into_iter()
        .map(|ready| ready.run.to_string())
        .collect()
}

async fn suite(store: &dyn EventStore) {
    let ann = Account::new("contoso", Some("Ann@x.example"));
    let bob = Account::new("contoso", Some("bob@x.example"));
    for name in ["timer", "ann-1", "ann-2", "bob", "ready"] {
        start(store, name).await;
    }
    let park = |name: &'static str, rest: Rest| async move {
        store.park(&run(name), 1, &rest).await.unwrap()
    };
    assert!(park("timer", rest(Some(50), vec![("t", 1, WaitFor::Timer)])).await);
    assert!(park("ann-1", rest(Some(90), vec![("s", 3, sign_in(&ann, 0))])).await);
    assert!(park("ann-2", rest(None, vec![("s", 2, sign_in(&ann, 0))])).await);
    assert!(park("bob", rest(None, vec![("s", 4, sign_in(&bob, 0))])).await);
    assert!(
        !store
            .park(&run("ready"), 2, &Rest::default())
            .await
            .unwrap(),
        "not so many events"
    );
    assert!(
        !store
            .park(&run("nobody"), 1, &Rest::default())
            .await
            .unwrap()
    );
    assert_eq!(names(store.ready().await.unwrap()), ["ready"]);

    let listed = |filter: WaitFilter| async {
        let waiting = store.waiting(filter).await.unwrap();
        let ids = waiting.iter().map(|waiting| waiting.run.to_string());
        ids.collect::<Vec<_>>()
    };
    let all = WaitFilter::default;
    assert_eq!(
        listed(all()).await,
        ["timer", "ann-2", "ann-1", "bob"],
        "the longest first"
    );
    let kind = Some("sign-in".to_owned());
    assert_eq!(
        listed(WaitFilter { kind, ..all() }).await,
        ["ann-2", "ann-1", "bob"]
    );
    let account = Some(ann.clone());
    assert_eq!(
        listed(WaitFilter { account, ..all() }).await,
        ["ann-2", "ann-1"]
    );
    assert_eq!(
        listed(WaitFilter {
            limit: Some(1),
            ..all()
        })
        .await,
        ["timer"]
    );
    let of_run = WaitFilter {
        run: Some(run("bob")),
        ..all()
    };
    assert_eq!(listed(of_run).await, ["bob"]);
    let kept = store.waiting(all()).await.unwrap().pop().unwrap();
    assert_eq!(kept.step.wait.on, sign_in(&bob, 0));

    assert_eq!(store.sign_ins(&ann).await.unwrap(), 0);
    let (count, ready) = store.signed_in(&ann).await.unwrap();
    assert_eq!(count, 1);
    let mut ready = names(ready);
    ready.sort();
    assert_eq!(ready, ["ann-1", "ann-2"]);
    assert_eq!(store.sign_ins(&ann).await.unwrap(), 1);
    assert!(
        !park("ann-1", rest(None, vec![("s", 3, sign_in(&ann, 0))])).await,
        "it has signed in"
    );
    assert!(park("ann-1", rest(Some(60), vec![("s", 3, sign_in(&ann, 1))])).await);

    let next = store.next_wake().await.unwrap().unwrap();
    assert!(next >= at(50) && next < at(51), "{next}");
    assert!(store.wake(at(49), 9).await.unwrap().is_empty());
    assert_eq!(
        names(store.wake(at(99), 1).await.unwrap()),
        ["timer"],
        "the earliest first"
    );
    assert_eq!(names(store.wake(at(99), 9).await.unwrap()), ["ann-1"]);
    assert_eq!(store.next_wake().await.unwrap(), None);
    let never = Rest {
        wake_at: Some(Timestamp::MAX),
        steps: Vec::new(),
    };
    assert!(store.park(&run("timer"), 1, &never).await.unwrap());
    assert!(store.next_wake().await.unwrap().is_some());
    assert_eq!(
        names(store.wake(Timestamp::MAX, 9).await.unwrap()),
        ["timer"]
    );

    // Whatever is appended makes a run ready, and its end makes it nothing.
    let event = Event {
        at: at(9),
        kind: EventKind::SignedIn { account: bob },
    };
    store
        .append(&run("bob"), 1, &[event], Durability::Synced)
        .await
        .unwrap();
    assert!(listed(all()).await.is_empty());
    let summary = store.run(&run("bob")).await.unwrap().unwrap();
    assert!(!summary.is_parked && summary.events == 2);
    store
        .append(&run("bob"), 2, &[finished(9)], Durability::Synced)
        .await
        .unwrap();
    assert_eq!(
        names(store.ready().await.unwrap()),
        ["timer", "ann-1", "ann-2", "ready"]
    );
    let resumed = Event {
        at: at(10),
        kind: EventKind::RunResumed,
    };
    let early = store
        .append(
            &run("ready"),
            1,
            std::slice::from_ref(&resumed),
            Durability::Synced,
        )
        .await;
    assert!(matches!(early, Err(StoreError::Conflict(_))), "{early:?}");
    store
        .append(&run("bob"), 3, &[resumed], Durability::Synced)
        .await
        .unwrap();
    assert_eq!(store.ready().await.unwrap().len(), 5);
    assert_eq!(store.run(&run("bob")).await.unwrap().unwrap().result, None);
    let intact = store.verify(&run("bob")).await.unwrap();
    assert!(
        matches!(intact, Verdict::Intact { events: 4, .. }),
        "{intact:?}"
    );
    assert_eq!(
        store.verify(&run("nobody")).await.unwrap(),
        Verdict::Unknown
    );
}

async fn groups_and_items(store: &dyn EventStore) {
    let group = Some(RunGroup {
        key: "k".to_owned(),
        max: 1,
    });
    let item = |key: &str| NewItem {
        key: Some(key.to_owned()),
        run: run(&format!("i-{key}")),
        events: vec![started(json!({}), group.clone())],
    };
    let first = store
        .take_items("t", Some("1"), vec![item("a"), item("b"), item("a")])
        .await
        .unwrap();
    assert_eq!(first.len(), 2);
    assert_eq!(first[0].group, group);
    assert!(
        store
            .take_items("t", None, vec![item("b")])
            .await
            .unwrap()
            .is_empty()
    );
    let record = store.trigger("t").await.unwrap();
    assert_eq!((record.cursor, record.started), (None, 2));
    assert_eq!(record.last_started_at, Some(at(0)));
    let unknown = store.trigger("nobody").await.unwrap();
    assert_eq!(unknown, TriggerRecord::default());
    assert_eq!(store.item("t", "a").await.unwrap(), Some(run("i-a")));
    assert_eq!(store.item("t", "i-a").await.unwrap(), None);
    assert_eq!(store.item("u", "a").await.unwrap(), None);
    assert!(
        store
            .take_items("u", None, vec![item("b")])
            .await
            .unwrap()
            .is_empty(),
        "the run is there"
    );
    let without_key = |name: &str| NewItem {
        key: None,
        run: run(name),
        events: vec![started(json!({}), group.clone())],
    };
    for expected in [1, 0] {
        let items = vec![without_key("i-moment")];
        let taken = store.take_items("s", Some("2"), items).await.unwrap();
        assert_eq!(taken.len(), expected);
    }
    let mut fails = item("fails");
    let failure = Failure::new(FailureClass::InvalidInput, "inputs", "no title");
    fails.events.push(Event {
        at: at(0),
        kind: EventKind::RunFinished {
            result: RunResult::Failed {
                path: None,
                failure,
            },
        },
    });
    let taken = store.take_items("s", Some("3"), vec![fails]).await.unwrap();
    assert_eq!(names(taken), ["i-fails"]);
    let failed = store.run(&run("i-fails")).await.unwrap().unwrap();
    assert!(matches!(failed.result, Some(RunResult::Failed { .. })));
    let record = store.trigger("s").await.unwrap();
    assert_eq!((record.cursor.as_deref(), record.started), (Some("3"), 2));
    assert!(store.reset_trigger("s").await.unwrap());
    assert!(!store.reset_trigger("s").await.unwrap());
    assert_eq!(store.trigger("s").await.unwrap().cursor, None);
    assert_eq!(
        store.item("s", "fails").await.unwrap(),
        Some(run("i-fails"))
    );
    for (name, events) in [("i-a", 1), ("i-b", 2)] {
        if events == 2 {
            let event = Event {
                at: at(1),
                kind: EventKind::SignedIn {
                    account: Account::new("c", None),
                },
            };
            store
                .append(&run(name), 1, &[event], Durability::Ordered)
                .await
                .unwrap();
        }
        assert!(
            store
                .park(&run(name), events, &Rest::default())
                .await
                .unwrap()
        );
    }
    assert_eq!(
        names(store.parked_in_groups().await.unwrap()),
        ["i-b"],
        "it alone has begun"
    );
}

fn document(digest: Digest) -> Value {
    json!({"$document": digest, "name": "a.pdf", "mediaType": "application/pdf", "size": 4})
}

async fn retention(store: &dyn EventStore) {
    let plan = store.put_blob(b"plan".to_vec()).await.unwrap();
    let [kept, gone] = [&b"kept"[..], b"gone"].map(Digest::of);
    for (name, digest, ended) in [
        ("old", gone, Some(100)),
        ("new", kept, Some(900)),
        ("open", kept, None),
    ] {
        let mut events = vec![started(document(digest), None)];
        events.extend(ended.map(finished));
        store
            .append(&run(name), 0, &events, Durability::Synced)
            .await
            .unwrap();
    }
    assert!(store.uses_document(gone).await.unwrap());
    let prune = |second: i64, state: &str| Prune {
        ended_before: at(second),
        states: vec![state.to_owned()],
        workflow: Some("w".to_owned()),
        limit: 10,
    };
    assert_eq!(store.prune(prune(500, "succeeded")).await.unwrap(), 0);
    assert_eq!(store.prune(prune(500, "cancelled")).await.unwrap(), 1);
    assert_eq!(store.events(&run("old")).await.unwrap(), []);
    assert!(!store.uses_document(gone).await.unwrap());
    assert!(store.uses_document(kept).await.unwrap());
    for _ in 0..3 {
        store.prune(prune(9_999, "cancelled")).await.unwrap();
    }
    assert_eq!(
        store.runs(RunFilter::default()).await.unwrap().len(),
        1,
        "one is not over"
    );
    assert!(
        store.blob(plan).await.unwrap().is_some(),
        "and needs its plan"
    );
    let end = [finished(5)];
    store
        .append(&run("open"), 1, &end, Durability::Synced)
        .await
        .unwrap();
    for _ in 0..3 {
        store.prune(prune(9_999, "cancelled")).await.unwrap();
    }
    assert_eq!(store.blob(plan).await.unwrap(), None);
    assert_eq!(store.put_blob(b"plan".to_vec()).await.unwrap(), plan);
    assert!(store.blob(plan).await.unwrap().is_some());
}

#[tokio::test]
async fn in_memory() {
    suite(&MemoryStore::new()).await;
    groups_and_items(&MemoryStore::new()).await;
    retention(&MemoryStore::new()).await;
}

#[tokio::test]
async fn in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| SqliteStore::open(&folder.path().join(name)).unwrap();
    suite(&open("a.db")).await;
    groups_and_items(&open("b.db")).await;
    retention(&open("c.db")).await;
}

fn age(file: &Path, by: Duration) {
    let file = std::fs::File::options().write(true).open(file).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified - by).unwrap();
}

fn file_of(folder: &Path, digest: Digest) -> std::path::PathBuf {
    let hex = digest.to_hex();
    folder.join(&hex[..2]).join(&hex[2..])
}

#[test]
fn only_documents_that_are_old_and_unused_go() {
    let folder = tempfile::tempdir().unwrap();
    let documents = FileDocuments::open(folder.path()).unwrap();
    let put = |text: &str| {
        (&documents as &dyn Documents)
            .put("a", "text/plain", text.as_bytes())
            .unwrap()
            .digest
    };
    let day = Duration::from_secs(86_400);
    let [used, old, young, kept, again] = ["used", "old", "young", "kept", "again"].map(put);
    for digest in [used, old, kept, again] {
        age(&file_of(folder.path(), digest), 3 * day);
    }
    assert!(documents.keep(kept).unwrap());
    assert_eq!(put("again"), again);
    let now = Timestamp::try_from(
        std::fs::metadata(file_of(folder.path(), young))
            .unwrap()
            .modified()
            .unwrap(),
    )
    .unwrap();
    let swept = documents
        .sweep(now, 2 * day, &mut |digest| Ok(digest == used))
        .unwrap();
    assert_eq!(swept, (1, 3));
    let left =
        [used, old, young, kept, again].map(|digest| documents.open(digest).unwrap().is_some());
    assert_eq!(left, [true, false, true, true, true]);
    assert!(!documents.keep(old).unwrap());
}

#[tokio::test]
async fn a_backup_is_made_while_runs_go_on_and_can_be_restored() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let store = SqliteStore::open(&data.join("journal.db")).unwrap();
    let documents = FileDocuments::open(&data.join("documents")).unwrap();
    let all: &dyn Documents = &documents;
    let used = all.put("a.pdf", "application/pdf", b"contract").unwrap();
    all.put("b.pdf", "application/pdf", b"of nobody").unwrap();
    let events = [started(document(used.digest), None), finished(1)];
    store
        .append(&run("r-1"), 0, &events, Durability::Synced)
        .await
        .unwrap();
    let copy = folder.path().join("copy");
    let made = backup(&store, &documents, &copy).await.unwrap();
    assert_eq!((made.runs, made.documents), (1, 1));
    start(&store, "later").await;
    assert!(
        backup(&store, &documents, &copy).await.is_err(),
        "there is one already"
    );

    let restored = folder.path().join("restored");
    assert_eq!(restore(&copy, &restored).unwrap(), made);
    let after = SqliteStore::open(&restored.join("journal.db")).unwrap();
    let runs = after.runs(RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 1);
    let intact = after.verify(&run("r-1")).await.unwrap();
    assert!(matches!(intact, Verdict::Intact { .. }), "{intact:?}");
    let kept = FileDocuments::open(&restored.join("documents")).unwrap();
    assert_eq!(kept.open(used.digest).unwrap().unwrap().size(), 8);
    assert!(
        restore(&copy, &restored).is_err(),
        "a journal is never written over"
    );

    // A backup that is not whole is refused, and leaves no journal behind.
    for (number, damage) in ["changed", "missing", "database"].into_iter().enumerate() {
        let bad = folder.path().join(format!("bad-{number}"));
        let made = backup(&store, &documents, &bad).await.unwrap();
        assert_eq!(made.runs, 2);
        let file = file_of(&bad.join("documents"), used.digest);
        match damage {
            "changed" => std::fs::write(&file, b"contracT").unwrap(),
            "missing" => std::fs::remove_file(&file).unwrap(),
            _ => std::fs::write(bad.join("journal.db"), [7; 9000]).unwrap(),
        }
        let to = folder.path().join(format!("to-{number}"));
        let refused = restore(&bad, &to);
        assert!(
            matches!(refused, Err(StoreError::Damaged(_))),
            "{damage}: {refused:?}"
        );
        assert!(!to.join("journal.db").exists(), "{damage}");
    }
}
