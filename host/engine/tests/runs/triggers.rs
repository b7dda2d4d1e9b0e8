//! Triggers: no moment, item or request is lost or has two runs, whatever the clock, a crash or a
//! source does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use docket_engine::{
    Engine, EngineError, EventStore, Journal, Ports, Received, Reporter, RunFilter, RunSummary,
    StepCall, StepRunner, Stop, Timer, TriggerState, TriggerStatus, Triggers,
};
use docket_journal::{MemoryDocuments, MemoryStore};
use docket_model::{
    Clock, Digest, EventKind, Failure, FailureClass, InputSpec, InputType, Plan, RunId, RunResult,
    Schedule, SourcePoll, StepOutput, StepResult, Template, Trigger, TriggerKind,
};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::outside::stores;
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
    };
    triggered(TriggerKind::Source(Box::new(poll)), "event.item.subject")
}

fn memory() -> Arc<dyn EventStore> {
    Arc::new(MemoryStore::new())
}

#[tokio::test]
async fn a_moment_has_one_run_and_all_that_were_missed_have_one() {
    for (store, _folder) in stores() {
        let clock = Hand::at("09:07:00");
        let world = World::new(&store, &clock, vec![], vec![every(60)]);
        clock.is_waited("10:00:00").await;
        assert!(world.runs().await.is_empty(), "nothing was missed before");
        assert_eq!(world.status().await.next_at, Some(at("10:00:00")));
        clock.set("10:00:01");
        clock.is_waited("11:00:00").await;
        assert_eq!(world.inputs().await, ["2026-11-21T10:00:00Z"]);
        let run = world.runs().await.remove(0).id;
        assert!(run.as_str().starts_with("20261121-100000-"), "{run}");
        let status = world.status().await;
        assert_eq!((status.started, status.started_lately), (1, 1));
        world.stop().await;

        // Nobody serves until a quarter to two.
        clock.set("13:45:00");
        let world = World::new(&store, &clock, vec![], vec![every(60)]);
        clock.is_waited("14:00:00").await;
        let expected = ["2026-11-21T10:00:00Z", "2026-11-21T13:00:00Z"];
        assert_eq!(world.inputs().await, expected);
        let status = world.status().await;
        assert_eq!((status.started, status.started_lately), (2, 1));
        world.stop().await;
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_starts_nothing_twice() {
    for (store, _folder) in stores() {
        let clock = Hand::at("09:07:00");
        let world = World::new(&store, &clock, vec![], vec![every(60)]);
        clock.is_waited("10:00:00").await;
        clock.set("10:00:00");
        clock.is_waited("11:00:00").await;
        world.stop().await;
        clock.set("09:30:00");
        let world = World::new(&store, &clock, vec![], vec![every(60)]);
        while world.status().await.next_at != Some(at("11:00:00")) {
            tokio::task::yield_now().await;
        }
        clock.set("10:59:59");
        clock.set("11:00:00");
        clock.is_waited("12:00:00").await;
        let expected = ["2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z"];
        assert_eq!(world.inputs().await, expected);
        world.stop().await;
    }
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_stops_no_schedule() {
    let store = memory();
    let ahead = Some("2031-01-01T00:00:00Z");
    store.take_items("w/schedule", ahead, vec![]).await.unwrap();
    let clock = Hand::at("09:07:00");
    let world = World::new(&store, &clock, vec![], vec![every(60)]);
    clock.is_waited("10:00:00").await;
    clock.set("10:00:00");
    clock.is_waited("11:00:00").await;
    assert_eq!(world.inputs().await, ["2026-11-21T10:00:00Z"]);
    world.stop().await;
}

#[tokio::test]
async fn each_item_has_one_run_whoever_gives_it_again() {
    for (store, _folder) in stores() {
        let clock = Hand::at("09:00:00");
        let script = vec![
            Poll::Items(&["ok-a", "ok-b"], true),
            Poll::Items(&["ok-b", "ok-c"], false),
        ];
        let world = World::new(&store, &clock, script, vec![mail()]);
        clock.is_waited("09:01:00").await;
        assert_eq!(world.polls(), 2, "more was to be had at once");
        assert_eq!(world.inputs().await, ["a", "b", "c"]);
        let run = world.runs().await.remove(0).id;
        let item = store.item("w/source p/new", "ok-a").await.unwrap();
        assert_eq!(item, Some(run));
        world.stop().await;

        // What was known before the process ended is known after it.
        let script = vec![Poll::Items(&["ok-a", "ok-d"], false)];
        let world = World::new(&store, &clock, script, vec![mail()]);
        while world.status().await.state != TriggerState::Waiting || world.polls() < 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.inputs().await, ["a", "b", "c", "d"]);
        let cursor = Some("c2".to_owned());
        assert_eq!(world.source.cursors.lock().unwrap()[0], cursor);
        assert_eq!(world.status().await.started, 4);
        world.stop().await;
    }
}

#[tokio::test]
async fn an_item_that_fits_no_inputs_has_a_run_that_says_so_and_keeps_no_other_back() {
    for (store, _folder) in stores() {
        for on_error in [vec![], vec![step("tell")]] {
            let clock = Hand::at("09:00:00");
            let script = vec![Poll::Items(&["ok-a", "poisoned", "ok-b"], false)];
            let workflow = format!("w{}", on_error.len());
            let plan = Plan {
                workflow,
                on_error,
                ..mail()
            };
            let has_on_error = !plan.on_error.is_empty();
            let world = World::new(&store, &clock, script, vec![plan]);
            clock.is_waited("09:01:00").await;
            let runs = world.runs().await;
            let poisoned = &runs[runs.len() - 2];
            let events = store.events(&poisoned.id).await.unwrap();
            let failure = match &events[1].kind {
                EventKind::RunFailing { failure, .. } if has_on_error => failure,
                EventKind::RunFinished {
                    result: RunResult::Failed { failure, .. },
                } if !has_on_error => failure,
                other => panic!("{other:?}"),
            };
            assert_eq!(failure.code, "unfit-inputs");
            assert!(
                failure.message.contains("the input `title` is required"),
                "{failure:?}"
            );
            assert_eq!(poisoned.finished_at.is_some(), !has_on_error);
            let told = world.heard.0.lock().unwrap().len();
            assert_eq!(told, usize::from(!has_on_error), "it is counted and logged");
            for again in [
                world.engine.resume(&poisoned.id).await,
                world
                    .engine
                    .rerun(&poisoned.id, &"r-again".parse().unwrap())
                    .await,
            ] {
                let refused = matches!(again, Err(EngineError::Unstartable(_)));
                assert!(refused, "{again:?}");
            }
            let heard = Arc::clone(&world.heard) as _;
            let driven = world
                .engine
                .drive(&poisoned.id, heard, CancellationToken::new());
            match driven.await.unwrap() {
                RunResult::Failed { path, failure } => {
                    assert_eq!((path, failure.code.as_str()), (None, "unfit-inputs"));
                }
                other => panic!("{other:?}"),
            }
            let again = world.engine.resume(&poisoned.id).await;
            assert!(
                matches!(again, Err(EngineError::Unstartable(_))),
                "{again:?}"
            );
            let ready = store.ready().await.unwrap();
            assert!(ready.iter().any(|run| run.run == runs[runs.len() - 1].id));
            world.stop().await;
        }
    }
}

#[tokio::test]
async fn a_source_that_fails_is_polled_ever_later_and_then_as_before() {
    let store = memory();
    let clock = Hand::at("09:00:00");
    let script = vec![
        Poll::Fails(FailureClass::Denied),
        Poll::Fails(FailureClass::Unavailable),
        Poll::Writes,
        Poll::Nonsense(json!({"items": 7})),
        Poll::Nonsense(json!({"items": [{"key": ""}]})),
        Poll::Items(&["ok-a"], false),
    ];
    let world = World::new(&store, &clock, script, vec![mail()]);
    let mut waits = Vec::new();
    let mut messages = Vec::new();
    for polls in 1..=5 {
        let next = loop {
            let status = world.status().await;
            if let (TriggerState::Failing { failure, since }, Some(next)) =
                (&status.state, status.next_at)
                && status.failed_lately == polls
            {
                assert_eq!(*since, at("09:00:00"));
                messages.push(failure.message.clone());
                break next;
            }
            tokio::task::yield_now().await;
        };
        let now = world.clock.now();
        waits.push(next.duration_since(now).as_secs());
        world.clock.now.send_replace(next);
    }
    assert!(waits.is_sorted() && waits[0] >= 30, "{waits:?}");
    assert!(waits[4] > 450 && waits[4] <= 900, "{waits:?}");
    assert!(messages[2].contains("POST https://mail.example/send/x"));
    assert!(messages[3].contains("no list `items`"), "{messages:?}");
    assert!(messages[4].contains("no `key`"), "{messages:?}");
    while world.inputs().await != ["a"] {
        tokio::task::yield_now().await;
    }
    while world.status().await.state != TriggerState::Waiting {
        tokio::task::yield_now().await;
    }
    let next = world.status().await.next_at.unwrap();
    let minute = SignedDuration::from_mins(1);
    assert_eq!(next.duration_since(world.clock.now()), minute);
    assert_eq!(world.polls(), 6);
    let cursors = world.source.cursors.lock().unwrap().clone();
    assert!(
        cursors.iter().all(Option::is_none),
        "a failure moves nothing"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_source_without_its_account_waits_for_the_sign_in_and_no_longer() {
    let store = memory();
    let clock = Hand::at("09:00:00");
    let need = || Poll::Fails(FailureClass::SignInRequired);
    let script = vec![need(), need(), Poll::Items(&["ok-a"], false)];
    let world = World::new(&store, &clock, script, vec![mail()]);
    // Once an hour it is looked whether it is still so.
    clock.is_waited("10:00:00").await;
    let status = world.status().await;
    match &status.state {
        TriggerState::SignInNeeded { account, since, .. } => {
            let account = account.as_ref().unwrap();
            assert_eq!(account.connection, "contoso");
            assert_eq!(*since, at("09:00:00"));
        }
        other => panic!("{other:?}"),
    }
    clock.set("09:59:59");
    world.engine.signed_in("other", None).await.unwrap();
    assert_eq!(world.polls(), 1, "nobody it waits for");
    clock.set("10:00:00");
    clock.is_waited("11:00:00").await;
    assert_eq!(world.polls(), 2);
    world.engine.signed_in("contoso", None).await.unwrap();
    clock.is_waited("10:01:00").await;
    assert_eq!(world.inputs().await, ["a"]);
    assert_eq!(world.status().await.state, TriggerState::Waiting);
    world.stop().await;
}

#[tokio::test]
async fn workflows_change_while_they_are_served() {
    let store = memory();
    let clock = Hand::at("09:00:00");
    let other = Plan {
        workflow: "other".to_owned(),
        ..every(15)
    };
    let script = vec![Poll::Hangs, Poll::Items(&["ok-a"], false)];
    let world = World::new(&store, &clock, script, vec![mail(), other.clone()]);
    clock.is_waited("09:15:00").await;
    while world.polls() < 1 {
        tokio::task::yield_now().await;
    }
    // The poll under way is given up with the plan that it was for.
    let edited = Plan {
        source: Digest::of(b"edited"),
        ..mail()
    };
    let plans = [edited.clone(), other].map(Arc::new).to_vec();
    world.triggers.set(plans.clone());
    clock.is_waited("09:01:00").await;
    let run = world.runs().await.remove(0).id;
    let events = store.events(&run).await.unwrap();
    let EventKind::RunStarted { plan, .. } = &events[0].kind else {
        panic!("{events:?}");
    };
    assert_eq!(*plan, edited.digest().unwrap());
    assert_eq!(world.polls(), 2);
    // The same again disturbs nobody.
    world.triggers.set(plans);
    assert_eq!(world.triggers.list().await.unwrap().len(), 2);
    world.triggers.set(Vec::new());
    assert!(world.triggers.list().await.unwrap().is_empty());
    while clock.now.receiver_count() > 0 {
        tokio::task::yield_now().await;
    }
    clock.set("09:15:00");
    world.stop().await;
    assert_eq!(store.runs(RunFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_trigger_that_is_reset_begins_anew_and_repeats_nothing() {
    let store = memory();
    let clock = Hand::at("09:00:00");
    let script = vec![
        Poll::Items(&["ok-a"], false),
        Poll::Items(&["ok-a", "ok-b"], false),
    ];
    let world = World::new(&store, &clock, script, vec![mail()]);
    clock.is_waited("09:01:00").await;
    assert!(!world.triggers.reset("nobody").await.unwrap());
    assert!(world.triggers.reset("w/source p/new").await.unwrap());
    while world.inputs().await != ["a", "b"] {
        tokio::task::yield_now().await;
    }
    let cursors = world.source.cursors.lock().unwrap().clone();
    assert_eq!(cursors, [None, None]);
    world.stop().await;
}

#[tokio::test]
async fn a_request_has_one_run_however_often_it_comes() {
    for (store, _folder) in stores() {
        let clock = Hand::at("09:00:00");
        let plan = triggered(TriggerKind::Webhook, "event.body.title");
        let world = World::new(&store, &clock, vec![], vec![plan]);
        let triggers = &world.triggers;
        assert!(triggers.webhook("nobody").is_none());
        let hook = triggers.webhook("w").unwrap();
        let (body, other) = (Digest::of(b"{}"), Digest::of(b"{ }"));
        assert_eq!(triggers.known(&hook, "evt", body).await.unwrap(), None);
        let good = triggers.inputs(&hook, "evt", json!({"title": "x"})).await;
        let inputs = Value::Object(good.unwrap().unwrap());
        for (id, value) in [
            ("evt", json!({})),
            ("evt", json!([1])),
            ("evt", json!(null)),
        ] {
            let problems = triggers.inputs(&hook, id, value).await.unwrap();
            let problems = problems.unwrap_err();
            assert!(
                problems[0].message.contains("event.body.title"),
                "{problems:?}"
            );
        }
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let (triggers, hook) = (Arc::clone(triggers), hook.clone());
            let inputs = inputs.clone();
            tasks.push(tokio::spawn(async move {
                triggers.receive(&hook, "evt", body, inputs).await.unwrap()
            }));
        }
        let mut runs: BTreeSet<RunId> = BTreeSet::new();
        for task in tasks {
            match task.await.unwrap() {
                Received::Run(run) => runs.insert(run),
                other => panic!("{other:?}"),
            };
        }
        assert_eq!(runs.len(), 1);
        let run = runs.pop_first().unwrap();
        assert_eq!(world.runs().await.len(), 1);
        // Another day, after a restart, with another version of the workflow.
        clock.set("23:00:00");
        let known = triggers.known(&hook, "evt", body).await.unwrap();
        assert_eq!(known, Some(Received::Run(run.clone())));
        let differs = triggers.known(&hook, "evt", other).await.unwrap();
        assert_eq!(differs, Some(Received::Different(run.clone())));
        let late = triggers.receive(&hook, "evt", other, inputs).await.unwrap();
        assert_eq!(late, Received::Different(run));
        assert_eq!(world.runs().await.len(), 1);
        world.stop().await;
    }
}

#[tokio::test]
async fn a_webhook_without_inputs_takes_the_members_of_its_body() {
    let store = memory();
    let clock = Hand::at("09:00:00");
    let mut plan = triggered(TriggerKind::Webhook, "event.id");
    plan.triggers[0].inputs = None;
    let world = World::new(&store, &clock, vec![], vec![plan]);
    let hook = world.triggers.webhook("w").unwrap();
    let given = |body: Value| world.triggers.inputs(&hook, "evt", body);
    let taken = given(json!({"title": "x"})).await.unwrap().unwrap();
    assert_eq!(Value::Object(taken), json!({"title": "x"}));
    let problems = given(json!(["x"])).await.unwrap().unwrap_err();
    assert_eq!(problems[0].message, "the body is no JSON object");
    world.stop().await;
}
