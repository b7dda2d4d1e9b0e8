//! A step runner whose actions are scripts, and the engine around it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use docket_engine::{
    Documents, Engine, EngineError, EventStore, Journal, LogLevel, Ports, Progress, Reporter,
    StepCall, StepRunner, Stop, Timer,
};
use docket_journal::MemoryDocuments;
use docket_model::{
    AnswerBody, Clock, EffectCall, Event, EventKind, Failure, FailureClass, ManualClock, Outcome,
    Plan, RunId, RunResult, StepOutput, StepPath, StepResult,
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::world::{World, request};

/// An engine with its surroundings.
pub(crate) struct Bench {
    pub(crate) engine: Arc<Engine>,
    pub(crate) runner: Arc<Scripted>,
    pub(crate) timer: Arc<ManualTimer>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) heard: Arc<Heard>,
    pub(crate) store: Arc<dyn EventStore>,
}

/// Runs actions by their names.
pub(crate) struct Scripted {
    pub(crate) world: Arc<World>,
    pub(crate) calls: Mutex<Vec<StepCall>>,
    /// How many attempts are under way, and the most there ever were.
    pub(crate) under_way: AtomicU32,
    pub(crate) most: AtomicU32,
    /// `hold` waits here inside its effect, once it has said so.
    pub(crate) holding: Semaphore,
    pub(crate) release: Semaphore,
    /// Every action does this instead, as another version of the plugin might.
    pub(crate) now_is: Mutex<Option<&'static str>>,
    /// What `sign-in`, `fault` and `panic` go by: until set, they fail.
    pub(crate) is_well: std::sync::atomic::AtomicBool,
}

/// Moves the clock instead of waiting.
pub(crate) struct ManualTimer {
    clock: Arc<ManualClock>,
    pub(crate) waits: Arc<Mutex<Vec<Duration>>>,
    /// Only what is due is ready then, and time passes by nobody's waiting.
    pub(crate) stands_still: std::sync::atomic::AtomicBool,
}

impl Timer for ManualTimer {
    fn until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let (clock, waits) = (Arc::clone(&self.clock), Arc::clone(&self.waits));
        if self.stands_still.load(Ordering::SeqCst) && at > clock.now() {
            return Box::pin(std::future::pending());
        }
        Box::pin(async move {
            let left = at.duration_since(clock.now());
            waits
                .lock()
                .unwrap()
                .push(Duration::try_from(left).unwrap_or_default());
            // The clock keeps microseconds only.
            clock.advance(left + jiff::SignedDuration::from_micros(1));
        })
    }
}

/// Remembers the events that it is told, and the runs that could not go on.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) faults: Mutex<Vec<String>>,
}

impl Reporter for Heard {
    fn event(&self, _run: &RunId, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
    }

    fn fault(&self, run: &RunId, why: &str) {
        self.faults.lock().unwrap().push(format!("{run}: {why}"));
    }

    fn log(&self, _: &RunId, _: &StepPath, _: LogLevel, _: &str) {}

    fn progress(&self, _: &RunId, _: &StepPath, _: u64, _: Option<u64>, _: &str) {}
}

pub(crate) fn bench(store: Arc<dyn EventStore>, world: &Arc<World>) -> Bench {
    bench_with(store, Arc::new(MemoryDocuments::new()), world)
}

pub(crate) fn bench_with(
    store: Arc<dyn EventStore>,
    documents: Arc<dyn Documents>,
    world: &Arc<World>,
) -> Bench {
    let clock = Arc::new(ManualClock::new("2026-11-21T09:00:00Z".parse().unwrap()));
    let timer = Arc::new(ManualTimer {
        clock: Arc::clone(&clock),
        waits: Arc::default(),
        stands_still: false.into(),
    });
    let runner = Arc::new(Scripted {
        world: Arc::clone(world),
        calls: Mutex::default(),
        under_way: AtomicU32::new(0),
        most: AtomicU32::new(0),
        holding: Semaphore::new(0),
        release: Semaphore::new(0),
        now_is: Mutex::default(),
        is_well: false.into(),
    });
    let engine = Engine::new(Ports {
        store: Arc::clone(&store),
        documents,
        runner: Arc::clone(&runner) as _,
        clock: Arc::clone(&clock) as _,
        timer: Arc::clone(&timer) as _,
    });
    Bench {
        engine: Arc::new(engine),
        runner,
        timer,
        clock,
        heard: Arc::default(),
        store,
    }
}

impl Bench {
    pub(crate) async fn start(&self, id: &str, plan: &Plan, inputs: Value) -> RunId {
        let run: RunId = id.parse().unwrap();
        self.engine.start(&run, plan, inputs).await.unwrap();
        run
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn advance(&self, run: &RunId) -> Progress {
        let heard = Arc::clone(&self.heard) as _;
        let advanced = self.engine.advance(run, heard, CancellationToken::new());
        advanced.await.unwrap()
    }

    pub(crate) async fn drive(&self, run: &RunId) -> Result<RunResult, EngineError> {
        self.engine
            .drive(run, Arc::clone(&self.heard) as _, CancellationToken::new())
            .await
    }

    /// Starts a run and drives it to its end.
    pub(crate) async fn run(&self, plan: &Plan, inputs: Value) -> RunResult {
        let run = self.start("r-1", plan, inputs).await;
        self.drive(&run).await.unwrap()
    }

    /// The kinds of the events that were reported, with their steps.
    pub(crate) fn story(&self) -> Vec<String> {
        let events = self.heard.events.lock().unwrap();
        events.iter().map(|event| tell(&event.kind)).collect()
    }
}

fn tell(kind: &EventKind) -> String {
    match kind {
        EventKind::RunStarted { .. } => "run".to_owned(),
        EventKind::ItemsExpanded { step, items } => format!("{step} has {}", items.len()),
        EventKind::StepStarted { path, attempt, .. } => format!("{path} starts {attempt}"),
        EventKind::EffectIntended { path, index, .. } => format!("{path} intends {index}"),
        EventKind::EffectDone { path, index, .. } => format!("{path} did {index}"),
        EventKind::StepWaiting { path, wait, .. } => format!("{path} waits for {}", wait.on),
        EventKind::Signalled { id, .. } => format!("told {id}"),
        EventKind::SignedIn { account } => format!("signed in {account}"),
        EventKind::RunFailing { .. } => "failing".to_owned(),
        EventKind::RunResumed => "resumed".to_owned(),
        EventKind::StepSkipped { path } => format!("{path} skipped"),
        EventKind::StepFinished {
            path,
            result: StepResult::Done(_),
            ..
        } => {
            format!("{path} done")
        }
        EventKind::StepFinished { path, .. } => format!("{path} failed"),
        EventKind::RunFinished { .. } => "end".to_owned(),
    }
}

#[async_trait]
impl StepRunner for Scripted {
    async fn run(
        &self,
        call: StepCall,
        journal: &mut dyn Journal,
        _reporter: Arc<dyn Reporter>,
    ) -> Result<StepResult, Stop> {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.calls.lock().unwrap().push(call.clone());
        let result = self.act(&call, journal).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

pub(crate) fn done(value: Value) -> Result<StepResult, Stop> {
    Ok(StepResult::Done(StepOutput {
        value,
        cursor: None,
    }))
}

fn failed(class: FailureClass) -> Result<StepResult, Stop> {
    let mut failure = Failure::new(class, "scripted", "as the script says");
    if class == FailureClass::Throttled {
        failure.retry_after = Some(Duration::from_secs(600));
    }
    Ok(StepResult::Failed {
        failure,
        retry_at: None,
    })
}

impl Scripted {
    async fn act(&self, call: &StepCall, journal: &mut dyn Journal) -> Result<StepResult, Stop> {
        let key = call.idempotency_key.as_str();
        let is_well = self.is_well.load(Ordering::SeqCst);
        let now_is = *self.now_is.lock().unwrap();
        match now_is.unwrap_or(call.action.as_str()) {
            "echo" => done(call.input.clone()),
            // Later items end first.
            "slow-echo" => {
                for _ in 0..50_u32.saturating_sub(call.path.item.unwrap_or(0) * 5) {
                    tokio::task::yield_now().await;
                }
                done(call.input.clone())
            }
            "send" => self.send(key, journal).await,
            // Never looks: what keeps it from sending twice is the journal alone.
            "post" => {
                let post = request("POST", "send", key);
                if self.effect(journal, post).await? == Outcome::InDoubt {
                    self.world.state().in_doubt.insert(key.to_owned());
                }
                done(json!(key))
            }
            "permanent" => failed(FailureClass::Permanent),
            "throttled" => failed(FailureClass::Throttled),
            "third-time" if call.attempt < 3 => failed(FailureClass::Unavailable),
            "third-time" => done(json!(call.attempt)),
            "never" => failed(FailureClass::Unavailable),
            "odd-fails" if call.path.item.is_some_and(|item| item % 2 == 1) => {
                failed(FailureClass::Permanent)
            }
            "odd-fails" => done(call.input.clone()),
            "sign-in" if is_well => done(json!("signed in")),
            "sign-in" => failed(FailureClass::SignInRequired),
            // Says so of one account alone, and after it has done something if it is told to.
            "needs" => {
                let who = call.connection.as_deref().unwrap_or_default();
                if call.input["posts"] == true {
                    self.effect(journal, request("POST", "draft", key)).await?;
                }
                match call.input["lapsed"] == who && !is_well {
                    true => failed(FailureClass::SignInRequired),
                    false => done(json!(who)),
                }
            }
            "fault" if !is_well => Err(Stop::Fault("the component is gone".to_owned())),
            "panic" if !is_well => panic!("a bug in the host"),
            "fault" | "panic" => done(json!("well again")),
            // Asks for something else, or for nothing, when it is run again.
            "strays" => {
                let what = if is_well { "draft" } else { "send" };
                self.effect(journal, request("POST", what, key)).await?;
                Err(Stop::Fault("the host died".to_owned()))
            }
            "forgets" if is_well => done(json!("nothing to do")),
            "forgets" => {
                self.effect(journal, request("POST", "draft", key)).await?;
                Err(Stop::Fault("the host died".to_owned()))
            }
            // Goes on as if nothing were wrong.
            "strays-on" => {
                let what = if is_well { "draft" } else { "send" };
                if self
                    .effect(journal, request("POST", what, key))
                    .await
                    .is_ok()
                {
                    return Err(Stop::Fault("the host died".to_owned()));
                }
                let again = self.effect(journal, request("POST", "draft", key)).await;
                assert!(again.is_err());
                done(json!("pretends"))
            }
            "hold" => {
                let world = Arc::clone(&self.world);
                let (find, post) = (request("GET", "find", key), request("POST", "send", key));
                self.effect(journal, find).await?;
                let sent = post.clone();
                let exec = async {
                    self.holding.add_permits(1);
                    self.release.acquire().await.unwrap().forget();
                    world.serve(&sent)
                };
                journal.effect(post, Box::pin(exec)).await?;
                self.effect(journal, request("GET", "find", key)).await?;
                done(json!("sent"))
            }
            other => panic!("{other}"),
        }
    }

    async fn effect(&self, journal: &mut dyn Journal, call: EffectCall) -> Result<Outcome, Stop> {
        let world = Arc::clone(&self.world);
        let sent = call.clone();
        let outcomes = journal
            .effect(call, Box::pin(async move { world.serve(&sent) }))
            .await?;
        Ok(outcomes.into_iter().next().unwrap())
    }

    async fn find(&self, key: &str, journal: &mut dyn Journal) -> Result<String, Stop> {
        match self.effect(journal, request("GET", "find", key)).await? {
            Outcome::Answered(answer) => match answer.body {
                AnswerBody::Text(text) => Ok(text),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    /// The way of mail: look, draft, send; and look again whenever in doubt.
    async fn send(&self, key: &str, journal: &mut dyn Journal) -> Result<StepResult, Stop> {
        loop {
            let what = match self.find(key, journal).await?.as_str() {
                "sent" => return done(json!(key)),
                "draft" => "send",
                _ => "draft",
            };
            if self.effect(journal, request("POST", what, key)).await? == Outcome::InDoubt {
                self.world.state().in_doubt.insert(key.to_owned());
            }
        }
    }
}
