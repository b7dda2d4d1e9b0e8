//! Triggers: no moment, item or request is lost or has two runs, whatever the clock, a crash or a
//! source does.

mod items;
mod moments;
mod requests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use docket_engine::{
    Engine, EventStore, Journal, Ports, Reporter, RunFilter, RunSummary, StepCall, StepRunner,
    Stop, Timer, TriggerStatus, Triggers,
};
use docket_journal::{MemoryDocuments, MemoryStore};
use docket_model::{
    Clock, EventKind, Failure, FailureClass, InputSpec, InputType, Plan, Schedule, SourcePoll,
    StepOutput, StepResult, Template, Trigger, TriggerKind,
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::plans::{plan, step};
use crate::script::Heard;
use crate::world::request;

/// A clock that is set by hand, and remembers until when it was waited.
struct Hand {
    now: watch::Sender<Timestamp>,
    waits: watch::Sender<BTreeSet<Timestamp>>,
}

impl Hand {
    fn at(now: &str) -> Arc<Self> {
        Arc::new(Self {
            now: watch::Sender::new(at(now)),
            waits: watch::Sender::new(BTreeSet::new()),
        })
    }

    fn set(&self, now: &str) {
        self.now.send_replace(at(now));
    }

    /// Goes on once somebody waits, or has waited, until then.
    async fn is_waited(&self, until: &str) {
        let until = at(until);
        let mut waits = self.waits.subscribe();
        let waited = waits.wait_for(|all| all.contains(&until));
        let waited = tokio::time::timeout(Duration::from_secs(20), waited).await;
        assert!(
            waited.is_ok(),
            "nobody waits until {until}: {:?}",
            self.waits.borrow()
        );
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }
}

impl Timer for Hand {
    fn until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        self.waits.send_modify(|all| {
            all.insert(at);
        });
        let mut now = self.now.subscribe();
        Box::pin(async move {
            let _ = now.wait_for(|now| *now >= at).await;
        })
    }
}

fn at(text: &str) -> Timestamp {
    format!("2026-11-21T{text}Z").parse().unwrap()
}

/// A source that gives what the script says, and then nothing.
#[derive(Default)]
struct Source {
    script: Mutex<VecDeque<Poll>>,
    cursors: Mutex<Vec<Option<String>>>,
}

enum Poll {
    Items(&'static [&'static str], bool),
    Fails(FailureClass),
    Writes,
    Nonsense(Value),
    /// Never comes back.
    Hangs,
}

#[async_trait]
impl StepRunner for Source {
    async fn run(
        &self,
        call: StepCall,
        journal: &mut dyn Journal,
        _reporter: Arc<dyn Reporter>,
    ) -> Result<StepResult, Stop> {
        self.cursors.lock().unwrap().push(call.cursor.clone());
        let next = self.script.lock().unwrap().pop_front();
        let polls = self.cursors.lock().unwrap().len();
        let value = match next.unwrap_or(Poll::Items(&[], false)) {
            Poll::Items(keys, more) => {
                let item = |key: &&str| json!({"key": key, "subject": key.strip_prefix("ok-")});
                json!({"items": keys.iter().map(item).collect::<Vec<_>>(), "more": more})
            }
            Poll::Nonsense(value) => value,
            Poll::Fails(class) => {
                return Ok(StepResult::Failed {
                    failure: Failure::new(class, "scripted", "as the script says"),
                    retry_at: None,
                });
            }
            Poll::Writes => {
                let post = request("POST", "send", "x");
                let outcomes = journal.effect(post, Box::pin(async { panic!("sent") }));
                outcomes.await?;
                json!({})
            }
            Poll::Hangs => std::future::pending().await,
        };
        Ok(StepResult::Done(StepOutput {
            value,
            cursor: Some(format!("c{polls}")),
        }))
    }
}

/// Triggers that are served.
struct World {
    store: Arc<dyn EventStore>,
    clock: Arc<Hand>,
    source: Arc<Source>,
    engine: Arc<Engine>,
    triggers: Arc<Triggers>,
    heard: Arc<Heard>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    fn new(
        store: &Arc<dyn EventStore>,
        clock: &Arc<Hand>,
        script: Vec<Poll>,
        plans: Vec<Plan>,
    ) -> Self {
        let source = Arc::new(Source {
            script: Mutex::new(script.into()),
            ..Source::default()
        });
        let engine = Arc::new(Engine::new(Ports {
            store: Arc::clone(store),
            documents: Arc::new(MemoryDocuments::new()),
            runner: Arc::clone(&source) as _,
            clock: Arc::clone(clock) as _,
            timer: Arc::clone(clock) as _,
        }));
        let heard: Arc<Heard> = Arc::default();
        let triggers = Triggers::new(Arc::clone(&engine), Arc::clone(&heard) as _);
        let triggers = Arc::new(triggers);
        triggers.set(plans.into_iter().map(Arc::new).collect());
        let shutdown = CancellationToken::new();
        let (served, until) = (Arc::clone(&triggers), shutdown.clone());
        let task = tokio::spawn(async move { served.serve(until).await });
        Self {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            source,
            engine,
            triggers,
            heard,
            shutdown,
            task,
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    /// The runs, the first started first.
    async fn runs(&self) -> Vec<RunSummary> {
        let mut runs = self.store.runs(RunFilter::default()).await.unwrap();
        runs.reverse();
        runs
    }

    /// The inputs of the runs.
    async fn inputs(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for run in self.runs().await {
            let events = self.store.events(&run.id).await.unwrap();
            match &events[0].kind {
                EventKind::RunStarted { inputs, .. } => all.push(inputs["title"].clone()),
                other => panic!("{other:?}"),
            }
        }
        all
    }

    async fn status(&self) -> TriggerStatus {
        self.triggers.list().await.unwrap().remove(0)
    }

    fn polls(&self) -> usize {
        self.source.cursors.lock().unwrap().len()
    }
}

fn expression(text: &str) -> Template {
    Template::Expression(text.to_owned())
}

fn triggered(on: TriggerKind, title: &str) -> Plan {
    let id = match on {
        TriggerKind::Schedule(_) => "schedule",
        TriggerKind::Webhook => "webhook",
        TriggerKind::Source(_) => "source",
    };
    Plan {
        inputs: BTreeMap::from([(
            "title".to_owned(),
            InputSpec {
                kind: InputType::String,
                description: None,
                required: true,
                default: None,
            },
        )]),
        triggers: vec![Trigger {
            id: id.to_owned(),
            on,
            inputs: Some(BTreeMap::from([("title".to_owned(), expression(title))])),
        }],
        ..plan(vec![step("echo")])
    }
}

fn every(minutes: u64) -> Plan {
    let every = Schedule::Every(Duration::from_secs(minutes * 60));
    triggered(TriggerKind::Schedule(every), "event.at")
}

fn mail() -> Plan {
    let poll = SourcePoll {
        plugin: "p".to_owned(),
        action: "new".to_owned(),
        with: json!({}),
        connection: Some("contoso".to_owned()),
        act_as: None,
        every: Duration::from_secs(60),
        timeout: Duration::from_secs(600),
        condition: None,
    };
    triggered(TriggerKind::Source(Box::new(poll)), "event.item.subject")
}

fn memory() -> Arc<dyn EventStore> {
    Arc::new(MemoryStore::new())
}
