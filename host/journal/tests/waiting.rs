//! What waits, what is ready and what triggers have seen: one suite for every journal.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod told;

use docket_engine::{
    Durability, EventStore, NewItem, Rest, RestingStep, StoreError, TriggerRecord, Verdict,
    WaitFilter,
};
use docket_journal::{MemoryStore, SqliteStore};
use docket_model::{
    Account, Event, EventKind, Failure, FailureClass, RunGroup, RunResult, Signal, StepPath, Wait,
    WaitFor,
};
use jiff::Timestamp;
use serde_json::json;

use told::{at, finished, run, start, started};

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

    let needed = store.sign_ins_needed(None).await.unwrap();
    let shown: Vec<_> = needed
        .iter()
        .map(|one| (&one.account, one.since, one.until, one.runs.values().sum()))
        .collect();
    assert_eq!(
        shown,
        [
            (&ann, at(2), Some(at(90)), 2_u64),
            (&bob, at(4), None, 1_u64)
        ]
    );
    assert_eq!(needed[0].failure.code, "code");
    let of_bob = store.sign_ins_needed(Some(&bob)).await.unwrap();
    assert_eq!(of_bob, needed[1..]);
    let of_nobody = Account::new("contoso", None);
    let of_nobody = store.sign_ins_needed(Some(&of_nobody)).await.unwrap();
    assert_eq!(of_nobody, []);

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
    // One that starts no run is seen all the same, for good.
    let left_out = NewItem {
        events: Vec::new(),
        ..item("left-out")
    };
    for again in [left_out, item("left-out")] {
        let taken = store.take_items("l", Some("1"), vec![again]).await.unwrap();
        assert!(taken.is_empty());
    }
    let seen = store.item("l", "left-out").await.unwrap();
    assert_eq!(seen, Some(run("i-left-out")));
    assert_eq!(store.run(&run("i-left-out")).await.unwrap(), None);
    let record = store.trigger("l").await.unwrap();
    assert_eq!((record.cursor.as_deref(), record.started), (Some("1"), 0));
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
    let rest = Rest::default();
    assert!(store.park(&run("i-b"), 1, &rest).await.unwrap());
    let parked = store.parked_in_groups().await.unwrap();
    assert!(parked[0].has_begun, "it was driven until it waited");
    assert_eq!(names(parked), ["i-b"]);
    stands_aside(store).await;
}

/// A run of a group holds its place from its first step on, and gives it away with its end; what it is
/// told meanwhile changes nothing of that.
async fn stands_aside(store: &dyn EventStore) {
    let told = |id: &str| EventKind::Signalled {
        id: id.to_owned(),
        signal: Signal::Event {
            name: "e".to_owned(),
            payload: json!(null),
        },
    };
    let skipped = || EventKind::StepSkipped {
        path: StepPath {
            step: "s".into(),
            item: None,
        },
    };
    let cancelled = EventKind::RunFinished {
        result: RunResult::Cancelled,
    };
    for (number, (kind, has_begun)) in (1..).zip([
        (told("one"), Some(false)),
        (skipped(), Some(true)),
        (told("two"), Some(true)),
        (cancelled, None),
        (EventKind::RunResumed, Some(false)),
        (told("three"), Some(false)),
        (skipped(), Some(true)),
    ]) {
        let event = Event { at: at(1), kind };
        let events = std::slice::from_ref(&event);
        let id = run("i-a");
        let appended = store.append(&id, number, events, Durability::Ordered);
        appended.await.unwrap();
        let ready = store.ready().await.unwrap();
        let found = ready.iter().find(|ready| ready.run == id);
        assert_eq!(found.map(|ready| ready.has_begun), has_begun, "{event:?}");
    }
}

#[tokio::test]
async fn in_memory() {
    suite(&MemoryStore::new()).await;
    groups_and_items(&MemoryStore::new()).await;
}

#[tokio::test]
async fn in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| SqliteStore::open(&folder.path().join(name)).unwrap();
    suite(&open("a.db")).await;
    groups_and_items(&open("b.db")).await;
}
