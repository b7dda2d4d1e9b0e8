//! The scheduler: many runs, woken by time and by sign-ins, within their groups, over restarts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use docket_engine::{
    Documents, EngineError, ItemStart, Retention, RunFilter, Scheduler, SchedulerSettings,
    StoreError, TriggerItem, Verdict,
};
use docket_journal::{FileDocuments, SqliteStore};
use docket_model::{Concurrency, Plan, PlannedStep, RunId, Signal};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::crashing::{CrashingStore, Unsynced};
use crate::outside::stores;
use crate::plans::{connected, each, expression, literal, plan, step, wait};
use crate::script::{Bench, bench, bench_with};
use crate::world::World;

pub(crate) struct Serving {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

pub(crate) fn serve(bench: &Bench, at_once: usize) -> Serving {
    bench.timer.stands_still.store(true, Ordering::SeqCst);
    let shutdown = CancellationToken::new();
    let settings = SchedulerSettings {
        at_once,
        ..SchedulerSettings::default()
    };
    let heard = Arc::clone(&bench.heard) as _;
    let scheduler = Scheduler::new(Arc::clone(&bench.engine), heard, settings);
    let order = shutdown.clone();
    let task = tokio::spawn(async move { scheduler.serve(order).await.unwrap() });
    Serving { shutdown, task }
}

impl Serving {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

/// Gives way until so many runs have ended.
pub(crate) async fn ended(bench: &Bench, count: usize) {
    loop {
        let runs = bench.store.runs(RunFilter::default()).await.unwrap();
        if runs.iter().filter(|run| run.finished_at.is_some()).count() >= count {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Gives way until so many runs wait.
pub(crate) async fn parked(bench: &Bench, count: usize) {
    while bench.store.waiting(Default::default()).await.unwrap().len() < count {
        tokio::task::yield_now().await;
    }
}

fn lapsed() -> PlannedStep {
    PlannedStep {
        with: literal(json!({"lapsed": "contoso"})),
        ..connected(step("needs"))
    }
}

#[tokio::test]
async fn runs_are_driven_as_they_come_and_no_more_at_a_time_than_allowed() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let sends = plan(vec![each(step("send"), 1)]);
        let inputs = json!({"list": [1, 2]});
        for number in 0..20 {
            bench
                .start(&format!("early-{number}"), &sends, inputs.clone())
                .await;
        }
        let serving = serve(&bench, 3);
        for number in 0..20 {
            bench
                .start(&format!("late-{number}"), &sends, inputs.clone())
                .await;
        }
        ended(&bench, 40).await;
        assert_eq!(bench.runner.world.state().sent.len(), 80);
        assert!(bench.runner.most.load(Ordering::SeqCst) <= 3);
        serving.stop().await;
    }
}

#[tokio::test]
async fn runs_that_wait_outlive_the_host_and_go_on_after_the_sign_in() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(SqliteStore::open(&folder.path().join("journal.db")).unwrap());
    {
        let bench = bench(open(), &Arc::new(World::default()));
        let serving = serve(&bench, 8);
        for number in 0..50 {
            bench
                .start(&format!("r-{number}"), &plan(vec![lapsed()]), json!({}))
                .await;
        }
        parked(&bench, 50).await;
        serving.stop().await;
        // Whoever tells of the sign-in may be told itself before anybody serves.
        assert_eq!(bench.engine.signed_in("contoso", None).await.unwrap(), 50);
    }
    let bench = bench(open(), &Arc::new(World::default()));
    bench.runner.is_well.store(true, Ordering::SeqCst);
    let serving = serve(&bench, 8);
    ended(&bench, 50).await;
    serving.stop().await;
    assert!(
        bench
            .store
            .waiting(Default::default())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_group_runs_one_at_a_time_also_while_its_run_waits() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let plan = Plan {
            concurrency: Some(Concurrency {
                group: Some(expression("inputs.contract")),
                max: 1,
            }),
            ..plan(vec![wait("signed", "event", json!({"name": "signed"}))])
        };
        let serving = serve(&bench, 8);
        let mut runs: Vec<RunId> = Vec::new();
        for (id, contract) in [("a-1", "a"), ("a-2", "a"), ("b-1", "b")] {
            runs.push(bench.start(id, &plan, json!({"contract": contract})).await);
        }
        parked(&bench, 2).await;
        let waiting = bench.store.waiting(Default::default()).await.unwrap();
        let mut ids: Vec<&str> = waiting.iter().map(|one| one.run.as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["a-1", "b-1"], "a-2 has not begun");
        let begun = bench.store.run(&runs[1]).await.unwrap().unwrap();
        assert_eq!(begun.events, 1);
        for run in [&runs[0], &runs[1]] {
            let event = Signal::Event {
                name: "signed".to_owned(),
                payload: json!(1),
            };
            bench.engine.signal(run, "e", event).await.unwrap();
        }
        ended(&bench, 2).await;
        // A run that is cancelled while it waits gives up its place too.
        let next = bench.start("b-2", &plan, json!({"contract": "b"})).await;
        bench.engine.cancel(&runs[2]).await.unwrap();
        parked(&bench, 1).await;
        while bench.store.waiting(Default::default()).await.unwrap()[0].run != next {
            tokio::task::yield_now().await;
        }
        serving.stop().await;
    }
}

/// A run that stood aside when the host ended holds no place after it, though it was told something or
/// resumed meanwhile: its group has no more runs under way than it may.
#[tokio::test]
async fn what_stood_aside_stands_aside_after_a_restart() {
    for (store, _folder) in stores() {
        let world = Arc::new(World::default());
        let plan = Plan {
            concurrency: Some(Concurrency {
                group: None,
                max: 1,
            }),
            ..plan(vec![wait("signed", "event", json!({"name": "signed"}))])
        };
        let event = |name: &str| Signal::Event {
            name: name.to_owned(),
            payload: json!(1),
        };
        let runs = {
            let bench = bench(Arc::clone(&store), &world);
            let resumed = bench.start("resumed", &plan, json!({})).await;
            bench.engine.cancel(&resumed).await.unwrap();
            let serving = serve(&bench, 8);
            let first = bench.start("first", &plan, json!({})).await;
            parked(&bench, 1).await;
            bench.engine.resume(&resumed).await.unwrap();
            let told = bench.start("told", &plan, json!({})).await;
            let other = event("other");
            bench.engine.signal(&told, "o", other).await.unwrap();
            serving.stop().await;
            [first, resumed, told]
        };
        let bench = bench(store, &world);
        let serving = serve(&bench, 8);
        let mut left: Vec<&RunId> = runs.iter().collect();
        while !left.is_empty() {
            parked(&bench, 1).await;
            let waiting = bench.store.waiting(Default::default()).await.unwrap();
            assert_eq!(waiting.len(), 1, "one at a time: {waiting:?}");
            let run = &waiting[0].run;
            left.retain(|one| *one != run);
            bench
                .engine
                .signal(run, "e", event("signed"))
                .await
                .unwrap();
            ended(&bench, runs.len() - left.len()).await;
        }
        serving.stop().await;
    }
}

#[tokio::test]
async fn a_shutdown_parks_what_is_under_way() {
    let world = Arc::new(World::default());
    let (store, _folder) = stores().remove(1);
    let bench = bench(store, &world);
    let run = bench
        .start(
            "r-1",
            &plan(vec![each(step("hold"), 1)]),
            json!({"list": [1, 2]}),
        )
        .await;
    let serving = serve(&bench, 8);
    bench.runner.holding.acquire().await.unwrap().forget();
    serving.shutdown.cancel();
    bench.runner.release.add_permits(2);
    serving.stop().await;
    assert_eq!(world.state().sent.len(), 1);
    assert_eq!(bench.store.ready().await.unwrap()[0].run, run);
    let serving = serve(&bench, 8);
    ended(&bench, 1).await;
    serving.stop().await;
    assert_eq!(world.state().sent.len(), 2);
}

#[tokio::test]
async fn an_item_of_a_trigger_starts_once_whoever_finds_it_again() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let plan = plan(vec![step("echo")]);
        let items = |keys: &[u32]| {
            let item = |key: &u32| TriggerItem {
                key: Some(key.to_string()),
                run: format!("mail-{key}").parse().unwrap(),
                start: ItemStart::With(json!({})),
            };
            keys.iter().map(item).collect::<Vec<_>>()
        };
        let engine = &bench.engine;
        let first = engine
            .start_items("inbox", Some("c1"), &plan, items(&[1, 2]))
            .await;
        assert_eq!(first.unwrap().len(), 2);
        let second = engine
            .start_items("inbox", Some("c2"), &plan, items(&[2, 3]))
            .await;
        assert_eq!(second.unwrap(), ["mail-3".parse().unwrap()]);
        assert_eq!(
            bench
                .store
                .trigger("inbox")
                .await
                .unwrap()
                .cursor
                .as_deref(),
            Some("c2")
        );
        assert_eq!(bench.store.trigger("other").await.unwrap().cursor, None);
        assert_eq!(bench.store.ready().await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_full_disk_ends_the_service_and_loses_nothing() {
    let (store, _folder) = stores().remove(1);
    let world = Arc::new(World::default());
    let full = StoreError::Full("no space left".to_owned());
    let cut = CrashingStore::new(Arc::clone(&store), 30, Unsynced::Kept, full);
    let inputs = json!({"list": [1, 2, 3]});
    {
        let bench = bench(Arc::new(cut), &world);
        for number in 0..4 {
            let plan = plan(vec![each(step("send"), 1)]);
            bench
                .start(&format!("r-{number}"), &plan, inputs.clone())
                .await;
        }
        bench.timer.stands_still.store(true, Ordering::SeqCst);
        let heard = Arc::clone(&bench.heard) as _;
        let scheduler = Scheduler::new(Arc::clone(&bench.engine), heard, Default::default());
        let served = scheduler.serve(CancellationToken::new()).await;
        assert!(
            matches!(served, Err(EngineError::Store(StoreError::Full(_)))),
            "{served:?}"
        );
    }
    let bench = bench(store, &world);
    let serving = serve(&bench, 8);
    ended(&bench, 4).await;
    serving.stop().await;
    let sent = bench.runner.world.state().sent.clone();
    assert_eq!(sent.len(), 12);
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
}

/// What the host could not do it tries again after a while, and its other runs go on meanwhile.
#[tokio::test]
async fn a_fault_of_the_host_is_tried_again() {
    for action in ["fault", "panic"] {
        let (store, _folder) = stores().remove(0);
        let bench = bench(store, &Arc::new(World::default()));
        let faulty = bench
            .start("r-1", &plan(vec![step(action)]), json!({}))
            .await;
        // One place: a run that never gave it back would keep all others from it.
        let serving = serve(&bench, 1);
        bench
            .start("r-2", &plan(vec![step("echo")]), json!({}))
            .await;
        ended(&bench, 1).await;
        let summary = bench.store.run(&faulty).await.unwrap().unwrap();
        assert_eq!(summary.finished_at, None);
        let told = bench.heard.faults.lock().unwrap().clone();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("r-1: {action}: ")), "{told:?}");
        assert!(told[0].ends_with("every 30 seconds"), "{told:?}");
        bench.runner.is_well.store(true, Ordering::SeqCst);
        bench.timer.stands_still.store(false, Ordering::SeqCst);
        // Anything makes the scheduler look at the time.
        bench
            .start("r-3", &plan(vec![step("echo")]), json!({}))
            .await;
        ended(&bench, 3).await;
        serving.stop().await;
    }
}

/// A run that failed gave its place away, and waits for one like any other when it is resumed.
#[tokio::test]
async fn a_run_that_is_resumed_does_not_push_into_its_group() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let plan = Plan {
            concurrency: Some(Concurrency {
                group: Some(expression("inputs.contract")),
                max: 1,
            }),
            ..plan(vec![
                step("sign-in"),
                wait("signed", "event", json!({"name": "signed"})),
            ])
        };
        let serving = serve(&bench, 1);
        let failed = bench.start("a-1", &plan, json!({"contract": "a"})).await;
        ended(&bench, 1).await;
        bench.runner.is_well.store(true, Ordering::SeqCst);
        let holder = bench.start("a-2", &plan, json!({"contract": "a"})).await;
        parked(&bench, 1).await;
        bench.engine.resume(&failed).await.unwrap();
        let resumed = bench.store.run(&failed).await.unwrap().unwrap().events;
        // It comes behind the one that was resumed, and has a place.
        bench.start("b-1", &plan, json!({"contract": "b"})).await;
        parked(&bench, 2).await;
        let about = bench.store.run(&failed).await.unwrap().unwrap();
        assert_eq!(about.events, resumed, "it stands aside");
        let event = Signal::Event {
            name: "signed".to_owned(),
            payload: json!(1),
        };
        bench.engine.signal(&holder, "e", event).await.unwrap();
        while !bench.store.run(&failed).await.unwrap().unwrap().is_parked {
            tokio::task::yield_now().await;
        }
        serving.stop().await;
    }
}

/// A clock that was set back makes what waits wait longer, and loses nothing.
#[tokio::test]
async fn a_clock_that_jumps_back_wakes_nothing_early_and_all_in_the_end() {
    for (store, _folder) in stores() {
        let bench = bench(store, &Arc::new(World::default()));
        let serving = serve(&bench, 4);
        let nap = plan(vec![
            wait("nap", "timer", json!({"for": "10m"})),
            step("post"),
        ]);
        let run = bench.start("nap", &nap, json!({})).await;
        parked(&bench, 1).await;
        let hour = jiff::SignedDuration::from_hours(1);
        bench.clock.advance(-hour);
        // Anything makes the scheduler look at the time.
        let echo = plan(vec![step("echo")]);
        bench.start("r-1", &echo, json!({})).await;
        ended(&bench, 1).await;
        let about = bench.store.run(&run).await.unwrap().unwrap();
        assert!(about.is_parked, "its time has not come");
        // The host is started again while the clock is still wrong.
        serving.stop().await;
        let serving = serve(&bench, 4);
        bench
            .clock
            .advance(hour + jiff::SignedDuration::from_mins(11));
        bench.start("r-2", &echo, json!({})).await;
        ended(&bench, 3).await;
        assert_eq!(bench.runner.world.state().sent.len(), 1);
        let verdict = bench.store.verify(&run).await.unwrap();
        assert!(matches!(verdict, Verdict::Intact { .. }), "{verdict:?}");
        serving.stop().await;
    }
}

#[tokio::test]
async fn an_engine_has_one_scheduler() {
    let (store, _folder) = stores().remove(0);
    let bench = bench(store, &Arc::new(World::default()));
    let serving = serve(&bench, 1);
    while bench.engine.signed_in("contoso", None).await.is_err() {}
    tokio::task::yield_now().await;
    let heard = Arc::clone(&bench.heard) as _;
    let second = Scheduler::new(Arc::clone(&bench.engine), heard, Default::default());
    let refused = second.serve(CancellationToken::new()).await;
    assert!(
        matches!(refused, Err(EngineError::Store(StoreError::InUse(_)))),
        "{refused:?}"
    );
    serving.stop().await;
}

/// Runs and documents go together, and what a run still has stays.
#[tokio::test]
async fn what_is_old_goes_and_what_is_needed_stays() {
    let folder = tempfile::tempdir().unwrap();
    let documents = Arc::new(FileDocuments::open(folder.path()).unwrap());
    let (store, _folder) = stores().remove(1);
    let bench = bench_with(
        store,
        Arc::clone(&documents) as _,
        &Arc::new(World::default()),
    );
    let all: &dyn Documents = documents.as_ref();
    let put = |text: &str| all.put("a.txt", "text/plain", text.as_bytes()).unwrap();
    let (old, shared, open) = (put("old"), put("shared"), put("open"));
    let echo = plan(vec![step("echo")]);
    let waits = plan(vec![wait("w", "event", json!({"name": "never"}))]);
    for (id, plan, inputs) in [
        ("r-1", &echo, json!([old, shared])),
        ("r-2", &waits, json!([shared, open])),
    ] {
        let run = bench.start(id, plan, inputs).await;
        bench.advance(&run).await;
    }
    for document in [&old, &shared, &open] {
        let hex = document.digest.to_hex();
        let file = folder.path().join(&hex[..2]).join(&hex[2..]);
        let file = std::fs::File::options().write(true).open(file).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
    }
    let retention = Retention {
        keep: Duration::from_secs(3600),
        states: vec!["succeeded".to_owned()],
        workflow: None,
    };
    let pruned = bench.engine.prune(&retention).await.unwrap();
    assert_eq!((pruned.runs, pruned.documents), (0, 0), "none is old");
    bench.clock.advance(jiff::SignedDuration::from_hours(2));
    let pruned = bench.engine.prune(&retention).await.unwrap();
    assert_eq!((pruned.runs, pruned.documents, pruned.bytes), (1, 1, 3));
    assert!(all.open(old.digest).unwrap().is_none());
    assert!(all.open(shared.digest).unwrap().is_some());
    assert!(all.open(open.digest).unwrap().is_some());
}
