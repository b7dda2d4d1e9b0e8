//! What durability costs: appends beside the disk's own sync, and steps with their journal.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use divan::Bencher;
use divan::counter::ItemsCount;
use docket_engine::{
    Durability, Engine, EventStore, Journal, LogLevel, Ports, Reporter, Rest, RestingStep,
    RunFilter, StepCall, StepRunner, Stop, TokioTimer,
};
use docket_journal::{MemoryDocuments, SqliteStore};
use docket_model::{
    Account, Clock, Digest, EffectCall, Event, EventKind, Failure, FailureClass, ManualClock,
    Outcome, Plan, RequestRecord, RunId, RunResult, StepOutput, StepPath, StepResult, Wait,
    WaitFor,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

#[path = "../../engine/tests/runs/plans.rs"]
#[allow(dead_code, reason = "the tests of the engine use more of it")]
mod plans;

fn main() {
    divan::main();
}

/// A journal in a new folder of the target directory's disk.
struct Bench {
    runtime: Runtime,
    store: Arc<SqliteStore>,
    folder: TempDir,
    runs: std::cell::Cell<u64>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let store = SqliteStore::open(&folder.path().join("journal.db")).expect("a journal");
        Self {
            runtime: Runtime::new().expect("a runtime"),
            store: Arc::new(store),
            folder,
            runs: std::cell::Cell::new(0),
        }
    }

    fn next_run(&self) -> RunId {
        self.runs.set(self.runs.get() + 1);
        format!("r-{}", self.runs.get()).parse().expect("an id")
    }
}

impl Bench {
    /// Starts `count` runs with these events, and parks them if there is something to wait for.
    fn fill(&self, count: u32, events: &[Event], rest: Option<&Rest>) {
        self.runtime.block_on(async {
            let mut filling = tokio::task::JoinSet::new();
            for _ in 0..count {
                let (store, run) = (Arc::clone(&self.store), self.next_run());
                let (events, rest) = (events.to_vec(), rest.cloned());
                filling.spawn(async move {
                    let append = store.append(&run, 0, &events, Durability::Ordered);
                    append.await.expect("appended");
                    if let Some(rest) = rest {
                        let parked = store.park(&run, events.len() as u64, &rest).await;
                        assert!(parked.expect("parked"));
                    }
                });
            }
            filling.join_all().await;
        });
    }

    fn park(&self, count: u32, account: &Account) {
        let failure = Failure::new(FailureClass::SignInRequired, "code", "message");
        let wait = Wait {
            on: WaitFor::SignIn {
                account: account.clone(),
                seen: 0,
                failure,
            },
            until: None,
        };
        let rest = Rest {
            wake_at: Some(Timestamp::MAX),
            steps: vec![RestingStep {
                path: StepPath {
                    step: "send".into(),
                    item: None,
                },
                since: Timestamp::UNIX_EPOCH,
                wait,
            }],
        };
        self.fill(count, &[started()], Some(&rest));
    }

    fn end(&self, count: u32) {
        let result = RunResult::Cancelled;
        let events = [started(), event(EventKind::RunFinished { result })];
        self.fill(count, &events, None);
    }
}

fn event(kind: EventKind) -> Event {
    Event {
        at: Timestamp::UNIX_EPOCH,
        kind,
    }
}

fn started() -> Event {
    event(EventKind::RunStarted {
        workflow: "w".to_owned(),
        plan: Digest::of(b"plan"),
        inputs: json!({"to": "ann@contoso.example"}),
        group: None,
    })
}

fn call(is_repeatable: bool) -> EffectCall {
    EffectCall {
        requests: vec![RequestRecord {
            method: "POST".to_owned(),
            url: "https://graph.microsoft.com/v1.0/users/x@contoso.example/messages".to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Vec::new(),
            sent_as: None,
            is_repeatable,
        }],
    }
}

fn intent(index: u32) -> Event {
    event(EventKind::EffectIntended {
        path: StepPath {
            step: "send".into(),
            item: None,
        },
        attempt: 1,
        index,
        call: call(false),
    })
}

/// The disk's own: 4 KiB and a sync.
#[divan::bench]
fn raw_sync(bencher: Bencher) {
    let bench = Bench::new();
    let mut file = File::create(bench.folder.path().join("raw")).expect("a file");
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        file.write_all(&[7; 4096]).expect("written");
        file.sync_data().expect("synced");
    });
}

/// Intents, each durable before its writer goes on, 64 for each writer.
#[divan::bench(args = [1, 16, 256], sample_count = 10, sample_size = 1)]
fn durable_appends(bencher: Bencher, writers: u32) {
    const EACH: u32 = 64;
    let bench = Bench::new();
    bencher
        .counter(ItemsCount::new(writers * EACH))
        .with_inputs(|| {
            let runs: Vec<RunId> = (0..writers).map(|_| bench.next_run()).collect();
            for run in &runs {
                let first = [started()];
                let append = bench.store.append(run, 0, &first, Durability::Ordered);
                bench.runtime.block_on(append).expect("appended");
            }
            runs
        })
        .bench_local_values(|runs| {
            bench.runtime.block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                for run in runs {
                    let store = Arc::clone(&bench.store);
                    tasks.spawn(async move {
                        for index in 0..EACH {
                            let first = u64::from(index) + 1;
                            let intent = [intent(index)];
                            store
                                .append(&run, first, &intent, Durability::Synced)
                                .await
                                .expect("appended");
                        }
                    });
                }
                tasks.join_all().await
            })
        });
}

/// Does nothing, or one request that is not safe to repeat.
struct Runner {
    is_sending: bool,
}

#[async_trait]
impl StepRunner for Runner {
    async fn run(
        &self,
        _call: StepCall,
        journal: &mut dyn Journal,
        _reporter: Arc<dyn Reporter>,
    ) -> Result<StepResult, Stop> {
        if self.is_sending {
            let exec = async { Ok(vec![Outcome::InDoubt]) };
            journal.effect(call(false), Box::pin(exec)).await?;
        }
        Ok(StepResult::Done(StepOutput {
            value: Value::Null,
            cursor: None,
        }))
    }
}

struct Silent;

impl Reporter for Silent {
    fn event(&self, _: &RunId, _: &Event) {}
    fn log(&self, _: &RunId, _: &StepPath, _: LogLevel, _: &str) {}
    fn progress(&self, _: &RunId, _: &StepPath, _: u64, _: Option<u64>, _: &str) {}
}

/// A plan of so many steps, one after the other.
fn plan(steps: u32) -> Plan {
    let step = |number| plans::named(&format!("step-{number}"), "noop");
    plans::plan((0..steps).map(step).collect())
}

/// Whole runs of `steps` steps, counted by steps; `at_once` of them.
fn run_steps(bencher: Bencher, steps: u32, is_sending: bool, at_once: u32) {
    let bench = Bench::new();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let engine = Arc::new(Engine::new(Ports {
        store: Arc::clone(&bench.store) as _,
        documents: Arc::new(MemoryDocuments::new()),
        runner: Arc::new(Runner { is_sending }),
        timer: Arc::new(TokioTimer::new(Arc::clone(&clock))),
        clock,
    }));
    let plan = Arc::new(plan(steps));
    bencher
        .counter(ItemsCount::new(steps * at_once))
        .with_inputs(|| (0..at_once).map(|_| bench.next_run()).collect::<Vec<_>>())
        .bench_local_values(|runs| {
            bench.runtime.block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                for run in runs {
                    let (engine, plan) = (Arc::clone(&engine), Arc::clone(&plan));
                    tasks.spawn(async move {
                        engine.start(&run, &plan, json!({})).await.expect("started");
                        engine
                            .drive(&run, Arc::new(Silent), CancellationToken::new())
                            .await
                            .expect("driven")
                    });
                }
                tasks.join_all().await
            })
        });
}

/// A run of one step that does nothing: start, step and end, two syncs.
#[divan::bench(sample_count = 200, sample_size = 1)]
fn run_of_one_noop_step(bencher: Bencher) {
    run_steps(bencher, 1, false, 1);
}

/// A run of one step with one request: three syncs.
#[divan::bench(sample_count = 200, sample_size = 1)]
fn run_of_one_sending_step(bencher: Bencher) {
    run_steps(bencher, 1, true, 1);
}

/// 400 steps one after the other.
#[divan::bench(args = [false, true], sample_count = 10, sample_size = 1)]
fn run_of_400_steps(bencher: Bencher, is_sending: bool) {
    run_steps(bencher, 400, is_sending, 1);
}

/// 256 runs of one sending step at once.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn runs_of_one_sending_step_256_at_once(bencher: Bencher) {
    run_steps(bencher, 1, true, 256);
}

/// Parks runs that wait for a sign-in, `count` of them, and wakes them all.
#[divan::bench(args = [10_000], sample_count = 3, sample_size = 1)]
fn waking(bencher: Bencher, count: u32) {
    let account = Account::new("contoso", None);
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| {
            let bench = Bench::new();
            bench.park(count, &account);
            bench
        })
        .bench_local_values(|bench| {
            let woken = bench.runtime.block_on(bench.store.signed_in(&account));
            assert_eq!(woken.expect("woken").1.len(), count as usize);
            bench
        });
}

/// What a host asks at its start, beside `count` runs that wait.
#[divan::bench(args = [1_000, 100_000], sample_count = 10, sample_size = 1)]
fn start_up(bencher: Bencher, count: u32) {
    let bench = Bench::new();
    bench.park(count, &Account::new("contoso", None));
    bencher.bench_local(|| {
        bench.runtime.block_on(async {
            let ready = bench.store.ready().await.expect("ready");
            assert!(ready.is_empty());
            bench.store.next_wake().await.expect("a time");
            bench.store.parked_in_groups().await.expect("groups");
        });
    });
}

/// An append, and the list of the last runs, beside `count` runs that have ended.
#[divan::bench(args = [1_000, 100_000], sample_count = 10, sample_size = 1)]
fn beside_ended_runs(bencher: Bencher, count: u32) {
    let bench = Bench::new();
    bench.end(count);
    bencher.bench_local(|| {
        let run = bench.next_run();
        bench.runtime.block_on(async {
            let first = [started()];
            let append = bench.store.append(&run, 0, &first, Durability::Synced);
            append.await.expect("appended");
            let filter = RunFilter {
                limit: Some(50),
                ..RunFilter::default()
            };
            assert_eq!(bench.store.runs(filter).await.expect("runs").len(), 50);
        });
    });
}
