//! Running a run again from its record: offline, with nothing executed, and nothing recorded.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use docket_model::{
    EffectCall, Event, EventKind, Outcome, PinnedPlugin, RunId, StepPath, StepResult, WaitFor,
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use crate::step_journal::{describe, differing};
use crate::{Engine, EngineError, Journal, Reporter, StepCall, StepRunner, Stop, key};

/// What became of an attempt when it was run again.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayedAttempt {
    /// The step.
    pub path: StepPath,
    /// From 1.
    pub attempt: u32,
    /// The plugin and the action.
    pub action: String,
    /// The connection that it was given.
    pub connection: Option<String>,
    /// Its effects as recorded, each request with whom it was sent as.
    pub effects: Vec<ReplayedEffect>,
    /// Whether it did the same again.
    pub verdict: ReplayVerdict,
}

/// An effect as recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayedEffect {
    /// What was sent.
    pub call: EffectCall,
    /// What became of it, one for each request; `None` where nobody knows.
    pub outcomes: Option<Vec<Outcome>>,
    /// When it was intended, or done where it needed no intent.
    pub at: Timestamp,
}

/// Whether an attempt that was run again did what is recorded.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplayVerdict {
    /// The same effects, and the same end.
    Same,
    /// It asked for something else. Nothing was sent.
    Strayed {
        /// The effect's place in the attempt, from 0.
        index: u32,
        /// What is recorded.
        recorded: String,
        /// What it asked for.
        now: String,
    },
    /// The same effects and another end.
    EndedOtherwise {
        /// What is recorded.
        recorded: Box<StepResult>,
        /// How it ended.
        now: Box<StepResult>,
    },
    /// The record has no end of it: the run was cut off there, or is under way.
    Unfinished,
    /// The host could not run it.
    Faulty(String),
}

/// An attempt as recorded.
struct Attempt {
    started_at: Timestamp,
    input: Value,
    connection: Option<String>,
    act_as: Option<String>,
    round: u32,
    effects: Vec<ReplayedEffect>,
    end: Option<StepResult>,
}

type Attempts = BTreeMap<(usize, Option<u32>, u32, u32), (StepPath, Attempt)>;

impl Engine {
    /// Runs every attempt of a run again from its record, in the order of the steps: each recorded
    /// effect answers the same call, nothing is executed, and nothing is recorded. `plugins` may have
    /// another component for a plugin, to see whether it would do the same.
    ///
    /// # Errors
    /// [`EngineError::UnknownRun`], and the journal's.
    pub async fn replay(
        &self,
        run: &RunId,
        plugins: &HashMap<String, PinnedPlugin>,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Vec<ReplayedAttempt>, EngineError> {
        let (flow, _) = self.load(run).await?;
        let plan = Arc::clone(flow.plan());
        let events = self.ports().store.events(run).await?;
        let order = |id: &str| plan.all_steps().position(|step| step.id == id);
        let mut replayed = Vec::new();
        for ((at, _, _, number), (path, attempt)) in collect(events, order) {
            let Some(step) = plan.all_steps().nth(at).filter(|step| !step.is_built_in()) else {
                continue;
            };
            let pinned = plugins.get(&step.plugin);
            let Some(pinned) = pinned.or_else(|| plan.plugins.get(&step.plugin)).cloned() else {
                continue;
            };
            let connection = attempt
                .connection
                .clone()
                .or_else(|| step.connection.clone());
            let call = StepCall {
                run: run.clone(),
                path: path.clone(),
                attempt: number,
                started_at: attempt.started_at,
                plugin: step.plugin.clone(),
                pinned,
                action: step.action.clone(),
                input: attempt.input.clone(),
                connection: connection.clone(),
                act_as: attempt.act_as.clone(),
                idempotency_key: key::of_round(run, &path, attempt.round),
                timeout: step.timeout,
                cursor: None,
            };
            let runner = &self.ports().runner;
            let verdict = again(runner.as_ref(), call, &attempt, Arc::clone(&reporter)).await;
            replayed.push(ReplayedAttempt {
                path,
                attempt: number,
                action: format!("{}/{}", step.plugin, step.action),
                connection,
                effects: attempt.effects,
                verdict,
            });
        }
        Ok(replayed)
    }
}

/// The attempts of a run, by the order of their steps and their items, round by round.
fn collect(events: Vec<Event>, order: impl Fn(&str) -> Option<usize>) -> Attempts {
    let mut attempts = Attempts::new();
    let mut round = 0;
    let mut is_failing = false;
    for Event { at, kind } in events {
        let current = if is_failing { round } else { 0 };
        let key =
            |path: &StepPath, attempt: u32| Some((order(&path.step)?, path.item, current, attempt));
        match kind {
            EventKind::RunFailing { .. } => is_failing = true,
            EventKind::RunResumed => {
                round += 1;
                is_failing = false;
            }
            EventKind::StepStarted {
                path,
                attempt,
                input,
                connection,
                act_as,
            } => {
                let started = Attempt {
                    started_at: at,
                    input,
                    connection,
                    act_as,
                    round: current,
                    effects: Vec::new(),
                    end: None,
                };
                let key = key(&path, attempt);
                attempts.extend(key.map(|key| (key, (path, started))));
            }
            EventKind::EffectIntended {
                path,
                attempt,
                call,
                ..
            } => with(&mut attempts, key(&path, attempt), |found| {
                found.effects.push(ReplayedEffect {
                    call,
                    outcomes: None,
                    at,
                });
            }),
            EventKind::EffectDone {
                path,
                attempt,
                call,
                outcomes,
                ..
            } => with(&mut attempts, key(&path, attempt), |found| match call {
                Some(call) => found.effects.push(ReplayedEffect {
                    call,
                    outcomes: Some(outcomes),
                    at,
                }),
                None => {
                    if let Some(last) = found.effects.last_mut() {
                        last.outcomes = Some(outcomes);
                    }
                }
            }),
            EventKind::StepFinished {
                path,
                attempt,
                result,
            } => with(&mut attempts, key(&path, attempt), |found| {
                found.end.get_or_insert(result);
            }),
            EventKind::StepWaiting {
                path,
                attempt,
                wait,
            } => {
                if let WaitFor::SignIn { failure, .. } = wait.on {
                    with(&mut attempts, key(&path, attempt), |found| {
                        found.end = Some(StepResult::Failed {
                            failure,
                            retry_at: None,
                        });
                    });
                }
            }
            _ => {}
        }
    }
    attempts
}

fn with(
    attempts: &mut Attempts,
    key: Option<(usize, Option<u32>, u32, u32)>,
    change: impl FnOnce(&mut Attempt),
) {
    if let Some((_, attempt)) = key.and_then(|key| attempts.get_mut(&key)) {
        change(attempt);
    }
}

async fn again(
    runner: &dyn StepRunner,
    call: StepCall,
    attempt: &Attempt,
    reporter: Arc<dyn Reporter>,
) -> ReplayVerdict {
    let strayed = Arc::new(Mutex::new(None));
    let mut journal = ReplayJournal {
        path: call.path.clone(),
        recorded: attempt.effects.clone(),
        index: 0,
        strayed: Arc::clone(&strayed),
    };
    let end = runner.run(call, &mut journal, reporter).await;
    let strayed = strayed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some((index, recorded, now)) = strayed {
        return match attempt.end {
            // It asked for what comes after the record, which was cut off there.
            None if recorded.is_empty() => ReplayVerdict::Unfinished,
            _ => ReplayVerdict::Strayed {
                index,
                recorded: match recorded.is_empty() {
                    true => "the end of the attempt".to_owned(),
                    false => recorded,
                },
                now,
            },
        };
    }
    let left = attempt.effects.get(journal.index);
    match (end, &attempt.end, left) {
        (Ok(_), _, Some(left)) => ReplayVerdict::Strayed {
            index: u32::try_from(journal.index).unwrap_or(u32::MAX),
            recorded: describe(&left.call),
            now: "the end of the attempt".to_owned(),
        },
        (Ok(now), Some(recorded), None) if is_same_end(recorded, &now) => ReplayVerdict::Same,
        (Ok(now), Some(recorded), None) => ReplayVerdict::EndedOtherwise {
            recorded: Box::new(recorded.clone()),
            now: Box::new(now),
        },
        (Ok(_), None, None) => ReplayVerdict::Unfinished,
        (Err(stop), ..) => ReplayVerdict::Faulty(stop.to_string()),
    }
}

/// Whether two ends are the same, whatever the engine made of a failure.
fn is_same_end(recorded: &StepResult, now: &StepResult) -> bool {
    match (recorded, now) {
        (StepResult::Done(recorded), StepResult::Done(now)) => recorded == now,
        (
            StepResult::Failed {
                failure: recorded, ..
            },
            StepResult::Failed { failure: now, .. },
        ) => recorded.class == now.class && recorded.code == now.code,
        _ => false,
    }
}

/// Answers from the record alone.
struct ReplayJournal {
    path: StepPath,
    recorded: Vec<ReplayedEffect>,
    index: usize,
    /// Where it strayed first: the place, what is recorded there if anything is, and what it asked.
    strayed: Arc<Mutex<Option<(u32, String, String)>>>,
}

#[async_trait]
impl Journal for ReplayJournal {
    async fn effect<'a>(
        &mut self,
        call: EffectCall,
        _exec: BoxFuture<'a, Result<Vec<Outcome>, Stop>>,
    ) -> Result<Vec<Outcome>, Stop> {
        let index = u32::try_from(self.index).unwrap_or(u32::MAX);
        let (recorded, now) = match self.recorded.get(self.index) {
            Some(recorded) if recorded.call == call => {
                self.index += 1;
                let in_doubt = || vec![Outcome::InDoubt; call.requests.len()];
                return Ok(recorded.outcomes.clone().unwrap_or_else(in_doubt));
            }
            Some(recorded) => differing(&recorded.call, &call),
            None => (String::new(), describe(&call)),
        };
        let mut strayed = self.strayed.lock().unwrap_or_else(PoisonError::into_inner);
        strayed.get_or_insert((index, recorded.clone(), now.clone()));
        Err(Stop::NonDeterministic {
            path: self.path.clone(),
            index,
            recorded,
            now,
        })
    }
}
