//! What an attempt's journal takes from its runner, and what it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use docket_engine::{
    Engine, EngineError, EventStore, Journal, Ports, Reporter, StepCall, StepRunner, Stop,
    TokioTimer,
};
use docket_journal::{MemoryDocuments, MemoryStore};
use docket_model::{
    Clock, Digest, EffectCall, EventKind, HttpFailure, ManualClock, Outcome, PartRecord, Principal,
    RunId, RunResult, StepResult,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::plans::{plan, step};
use crate::script::{Heard, done};
use crate::world::request;

type Script = for<'a> fn(u32, &'a mut dyn Journal) -> BoxFuture<'a, Result<StepResult, Stop>>;

/// Runs a script that is told how often it was run before.
struct Runner {
    script: Script,
    times: AtomicU32,
}

#[async_trait]
impl StepRunner for Runner {
    async fn run(
        &self,
        _call: StepCall,
        journal: &mut dyn Journal,
        _reporter: Arc<dyn Reporter>,
    ) -> Result<StepResult, Stop> {
        let time = self.times.fetch_add(1, Ordering::SeqCst);
        (self.script)(time, journal).await
    }
}

/// Drives a run of the script twice if the first time does not end it, and gives its end and the
/// effects that are recorded.
async fn drive(script: Script) -> (Result<RunResult, EngineError>, Vec<EventKind>) {
    let store = Arc::new(MemoryStore::new());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let engine = Engine::new(Ports {
        store: Arc::clone(&store) as _,
        documents: Arc::new(MemoryDocuments::new()),
        runner: Arc::new(Runner {
            script,
            times: AtomicU32::new(0),
        }),
        timer: Arc::new(TokioTimer::new(Arc::clone(&clock))),
        clock,
    });
    let run: RunId = "r-1".parse().unwrap();
    engine
        .start(&run, &plan(vec![step("script")]), json!({}))
        .await
        .unwrap();
    let mut result = Err(EngineError::UnknownRun(run.clone()));
    for _ in 0..2 {
        let heard = Arc::new(Heard::default());
        result = engine.drive(&run, heard, CancellationToken::new()).await;
        if result.is_ok() {
            break;
        }
    }
    let is_effect = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::EffectIntended { .. } | EventKind::EffectDone { .. }
        )
    };
    let events = store.events(&run).await.unwrap();
    let effects = events
        .into_iter()
        .map(|event| event.kind)
        .filter(is_effect)
        .collect();
    (result, effects)
}

fn several(method: &str) -> EffectCall {
    let (mut call, other) = (request(method, "find", "a"), request(method, "find", "b"));
    call.requests.extend(other.requests);
    call
}

fn answers(count: usize) -> BoxFuture<'static, Result<Vec<Outcome>, Stop>> {
    async move { Ok(vec![Outcome::InDoubt; count]) }.boxed()
}

fn unpolled() -> BoxFuture<'static, Result<Vec<Outcome>, Stop>> {
    async { panic!("nothing may be sent") }.boxed()
}

fn died() -> Result<StepResult, Stop> {
    Err(Stop::Fault("the host died".to_owned()))
}

#[tokio::test]
async fn several_repeatable_requests_are_one_effect() {
    let (result, effects) = drive(|time, journal| {
        async move {
            match time {
                0 => {
                    journal.effect(several("GET"), answers(2)).await?;
                    died()
                }
                _ => {
                    let outcomes = journal.effect(several("GET"), unpolled()).await?;
                    done(json!(outcomes.len()))
                }
            }
        }
        .boxed()
    })
    .await;
    assert!(matches!(result, Ok(RunResult::Succeeded { outputs }) if outputs["all"] == json!(2)));
    assert_eq!(effects.len(), 1, "{effects:?}");
}

/// The host dies while a request waits for its turn: nothing was begun, so nothing is in doubt.
#[tokio::test]
async fn what_waits_for_its_turn_is_not_intended() {
    let (result, effects) = drive(|time, journal| {
        async move {
            let post = request("POST", "send", "a");
            if time == 0 {
                let turn = std::future::pending().boxed();
                let waiting = journal.effect_when(post, turn, unpolled()).now_or_never();
                assert!(waiting.is_none());
                return died();
            }
            let turn = std::future::ready(()).boxed();
            let answer = async {
                let refused = HttpFailure::Unreachable("no route".to_owned());
                Ok(vec![Outcome::Failed(refused)])
            };
            let outcomes = journal.effect_when(post, turn, answer.boxed()).await?;
            done(json!(outcomes.len()))
        }
        .boxed()
    })
    .await;
    assert!(matches!(result, Ok(RunResult::Succeeded { .. })));
    let [
        EventKind::EffectIntended { .. },
        EventKind::EffectDone { outcomes, .. },
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert!(matches!(outcomes[..], [Outcome::Failed(_)]), "{outcomes:?}");
}

/// The script breaks the rules; nothing of what it tried is recorded, or no more than this.
async fn check_fault(script: Script, reason: &str, recorded: usize) {
    let (result, effects) = drive(script).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains(reason), "{error}");
    assert_eq!(effects.len(), recorded, "{effects:?}");
}

#[tokio::test]
async fn what_could_not_be_replayed_is_refused() {
    check_fault(
        |_, journal| {
            async move {
                journal.effect(several("POST"), unpolled()).await?;
                done(json!(null))
            }
            .boxed()
        },
        "not all repeatable",
        0,
    )
    .await;
    check_fault(
        |_, journal| {
            async move {
                journal.effect(several("GET"), answers(1)).await?;
                done(json!(null))
            }
            .boxed()
        },
        "2 requests with 1 outcomes",
        0,
    )
    .await;
    check_fault(|_, journal| rejoin(journal).boxed(), "abandoned", 0).await;
}

/// Lets go of an effect under way and asks for another.
async fn rejoin(journal: &mut dyn Journal) -> Result<StepResult, Stop> {
    let stuck = async { std::future::pending().await }.boxed();
    let abandoned = journal.effect(several("GET"), stuck).now_or_never();
    assert!(abandoned.is_none());
    journal.effect(several("GET"), unpolled()).await?;
    done(json!(null))
}

fn body(text: &str) -> Vec<PartRecord> {
    vec![PartRecord::Bytes {
        digest: Digest::of(text.as_bytes()),
        size: text.len() as u64,
    }]
}

/// The message that tells where a plugin strayed.
async fn strayed(script: Script) -> String {
    match drive(script).await.0 {
        Ok(RunResult::Failed { failure, .. }) => failure.message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn where_a_plugin_strayed_is_told_without_what_it_sent() {
    fn one(change: impl FnOnce(&mut docket_model::RequestRecord)) -> EffectCall {
        let mut call = request("GET", "find", "a");
        change(&mut call.requests[0]);
        call
    }
    async fn both(
        time: u32,
        journal: &mut dyn Journal,
        change: fn(u32) -> EffectCall,
    ) -> Result<StepResult, Stop> {
        journal.effect(change(time), answers(1)).await?;
        died()
    }
    let with_body: Script = |time, journal| {
        both(time, journal, |time| {
            one(|call| call.body = body(&time.to_string()))
        })
        .boxed()
    };
    let with_header: Script = |time, journal| {
        let change = |time: u32| {
            one(|call| call.headers = vec![("prefer".to_owned(), format!("secret-{time}"))])
        };
        both(time, journal, change).boxed()
    };
    let with_account: Script = |time, journal| {
        let change = |time: u32| {
            one(|call| {
                call.sent_as = (time > 0).then(|| Principal {
                    connection: "c".to_owned(),
                    account: "ann@contoso.example".to_owned(),
                });
            })
        };
        both(time, journal, change).boxed()
    };
    for (script, expected) in [
        (with_body, "another body"),
        (with_header, "other headers"),
        (with_account, "another account"),
    ] {
        let message = strayed(script).await;
        assert!(
            message.contains(&format!("the same with {expected}")),
            "{message}"
        );
        assert!(!message.contains("secret"), "{message}");
    }
}
