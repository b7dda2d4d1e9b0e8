//! Many runs: in flight, waiting, and finished long ago.

use std::sync::Arc;
use std::time::{Duration, Instant};

use docket_e2e::Silent;
use docket_e2e::measure::{fsync, percentile, row, status};
use docket_engine::{
    Durability, EventStore, Rest, RestingStep, RunFilter, Scheduler, SchedulerSettings,
};
use docket_journal::SqliteStore;
use docket_model::{
    Account, Digest, Event, EventKind, Failure, FailureClass, Plan, RunId, RunResult, StepPath,
    Wait, WaitFor,
};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::crowd;
use crate::native::{Action, Ground, plan};

const CONNECTION: &str = "contoso";
/// How many appends are under way at once while a crowd is made: more than a transaction takes.
const FILLING: usize = 4_096;

/// A scheduler at work.
struct Serving {
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Serving {
    fn start(ground: &Ground, at_once: usize) -> Self {
        let shutdown = CancellationToken::new();
        let settings = SchedulerSettings {
            at_once,
            ..SchedulerSettings::default()
        };
        let scheduler = Scheduler::new(Arc::clone(&ground.engine), Arc::new(Silent), settings);
        let until = shutdown.clone();
        Self {
            shutdown,
            task: tokio::spawn(async move { scheduler.serve(until).await.unwrap() }),
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

fn event(kind: EventKind) -> Event {
    Event {
        at: Timestamp::UNIX_EPOCH,
        kind,
    }
}

fn started(plan: Digest) -> Event {
    event(EventKind::RunStarted {
        workflow: "w".to_owned(),
        plan,
        inputs: json!({"to": "ann@contoso.example", "title": "Framework supply agreement"}),
        group: None,
    })
}

/// Appends the same events to so many runs, and parks them if there is something to wait for.
async fn fill(store: &SqliteStore, count: u32, events: &[Event], rest: Option<&Rest>) {
    futures_util::stream::iter(0..count)
        .for_each_concurrent(FILLING, |number| async move {
            let run: RunId = format!("crowd-{number}").parse().unwrap();
            let append = store.append(&run, 0, events, Durability::Ordered);
            append.await.unwrap();
            if let Some(rest) = rest {
                let parked = store.park(&run, events.len() as u64, rest).await;
                assert!(parked.unwrap());
            }
        })
        .await;
}

/// Waits until no run is ready and none waits.
async fn all_ended(store: &SqliteStore) {
    let filter = || RunFilter {
        only_unfinished: true,
        limit: Some(1),
        ..RunFilter::default()
    };
    while !store.runs(filter()).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn in_flight() {
    let count = crowd(10_000);
    let ground = Ground::new(Action::Wait(Semaphore::new(0)));
    let serving = Serving::start(&ground, count as usize);
    let plan = plan(1);
    let before = status("VmRSS");
    let began = Instant::now();
    futures_util::stream::iter(0..count)
        .for_each_concurrent(256, |number| {
            let (engine, plan) = (&ground.engine, &plan);
            async move {
                let run = format!("flight-{number}").parse().unwrap();
                engine.start(&run, plan, json!({})).await.unwrap();
            }
        })
        .await;
    ground
        .native
        .count
        .acquire_many(count)
        .await
        .unwrap()
        .forget();
    let took = began.elapsed();
    let grown = status("VmRSS") - before;
    row(
        &format!("engine/flight: {count} runs in flight, memory of each"),
        "KiB",
        grown * 1024.0 / f64::from(count),
        &format!(
            "{grown:.0} MiB in all; {:.1} s to start them",
            took.as_secs_f64()
        ),
    );
    if let Action::Wait(gate) = &ground.native.action {
        gate.add_permits(count as usize);
    }
    let began = Instant::now();
    all_ended(&ground.store).await;
    row(
        &format!("engine/flight: {count} runs end at once"),
        "s",
        began.elapsed().as_secs_f64(),
        "",
    );
    serving.stop().await;
}

/// What a journal needs for what is asked of it all the time.
struct Needs {
    open: Duration,
    list: Duration,
    append: Duration,
    /// What the disk itself needed for a sync at that time.
    sync: Duration,
}

async fn needs(ground: Ground) -> (Needs, Ground) {
    let folder = ground.close();
    let began = Instant::now();
    let ground = Ground::over(folder, Action::Nothing);
    let store = &ground.store;
    store.parked_in_groups().await.unwrap();
    store.ready().await.unwrap();
    store.next_wake().await.unwrap();
    let open = began.elapsed();
    let (mut lists, mut appends) = (Vec::new(), Vec::new());
    for number in 0..100 {
        let began = Instant::now();
        let filter = RunFilter {
            limit: Some(50),
            ..RunFilter::default()
        };
        store.runs(filter).await.unwrap();
        lists.push(began.elapsed());
        let run: RunId = format!("late-{number}").parse().unwrap();
        let events = [started(Digest::of(b"plan"))];
        let began = Instant::now();
        let append = store.append(&run, 0, &events, Durability::Synced);
        append.await.unwrap();
        appends.push(began.elapsed());
    }
    let needs = Needs {
        open,
        list: percentile(&mut lists, 0.5),
        append: percentile(&mut appends, 0.5),
        sync: fsync(ground.folder.path()),
    };
    (needs, ground)
}

pub(crate) async fn finished() {
    let (few, many) = (crowd(10_000), crowd(1_000_000));
    let result = RunResult::Succeeded {
        outputs: json!({"message": {"id": "AAkALgAA", "state": "sent"}}),
    };
    let events = [
        started(Digest::of(b"plan")),
        event(EventKind::RunFinished { result }),
    ];
    let mut all = Vec::new();
    for count in [few, many] {
        let ground = Ground::new(Action::Nothing);
        let began = Instant::now();
        fill(&ground.store, count, &events, None).await;
        let built = began.elapsed();
        let (needs, ground) = needs(ground).await;
        let size = std::fs::metadata(ground.folder.path().join("journal.db"));
        let size = size.unwrap().len();
        all.push((needs, built, size));
    }
    let [(less, ..), (more, built, size)] = &all[..] else {
        return;
    };
    let ratio = |time: Duration, to: Duration| time.as_secs_f64() / to.as_secs_f64();
    let tell = |what: &str, time: Duration, versus: &str| {
        let name = format!("engine/finished: {what} beside {many} runs");
        row(&name, "ms", time.as_secs_f64() * 1e3, versus);
    };
    for (what, few_need, many_need) in [
        ("start-up", less.open, more.open),
        ("list of 50", less.list, more.list),
    ] {
        let versus = format!("{:.2}× that beside {few}", ratio(many_need, few_need));
        tell(what, many_need, &versus);
    }
    let versus = format!(
        "{:.2} fsyncs; beside {few}: {:.2} fsyncs",
        ratio(more.append, more.sync),
        ratio(less.append, less.sync)
    );
    tell("synced append", more.append, &versus);
    row(
        &format!("engine/finished: {many} runs appended in bulk"),
        "s",
        built.as_secs_f64(),
        &format!("{} MiB", size >> 20),
    );
}

/// The rest of a run that waits for the connection's sign-in, or for a moment far away.
fn rest() -> Rest {
    let failure = Failure::new(FailureClass::SignInRequired, "code", "message");
    let wait = Wait {
        on: WaitFor::SignIn {
            account: Account::new(CONNECTION, None),
            seen: 0,
            failure,
        },
        until: None,
    };
    Rest {
        wake_at: Timestamp::from_second(4_000_000_000).ok(),
        steps: vec![RestingStep {
            path: StepPath {
                step: "step-0".into(),
                item: None,
            },
            since: Timestamp::UNIX_EPOCH,
            wait,
        }],
    }
}

/// A journal with so many runs of this plan that wait for a sign-in.
async fn parked(count: u32, plan: &Plan) -> Ground {
    let ground = Ground::new(Action::Nothing);
    let digest = ground
        .store
        .put_blob(plan.to_json().unwrap())
        .await
        .unwrap();
    let path = || rest().steps.remove(0).path;
    let waiting = EventKind::StepWaiting {
        path: path(),
        attempt: 1,
        wait: rest().steps.remove(0).wait,
    };
    let begun = EventKind::StepStarted {
        path: path(),
        attempt: 1,
        input: json!({}),
        connection: None,
        act_as: None,
    };
    let events = [started(digest), event(begun), event(waiting)];
    fill(&ground.store, count, &events, Some(&rest())).await;
    ground
}

pub(crate) async fn waiting() {
    let count = crowd(100_000);
    let plan = plan(1);
    let folder = parked(count, &plan).await.close();
    let began = Instant::now();
    let ground = Ground::over(folder, Action::Nothing);
    let serving = Serving::start(&ground, 64);
    let run = "new".parse().unwrap();
    ground.engine.start(&run, &plan, json!({})).await.unwrap();
    while ground
        .store
        .run(&run)
        .await
        .unwrap()
        .unwrap()
        .result
        .is_none()
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    row(
        &format!("engine/waiting: start-up beside {count} waiting runs, to a new run's end"),
        "ms",
        began.elapsed().as_secs_f64() * 1e3,
        "",
    );
    serving.stop().await;
}

pub(crate) async fn waking() {
    let count = crowd(10_000);
    let ground = parked(count, &plan(1)).await;
    let serving = Serving::start(&ground, 64);
    let began = Instant::now();
    let woken = ground.engine.signed_in(CONNECTION, None).await.unwrap();
    assert_eq!(woken, count as usize);
    all_ended(&ground.store).await;
    row(
        &format!("engine/waking: {count} runs woken by a sign-in, each to its end"),
        "s",
        began.elapsed().as_secs_f64(),
        "target 5 s",
    );
    serving.stop().await;
}
