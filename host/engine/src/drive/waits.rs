//! Waiting: the built-in steps, and what a run is told while it is driven.

use std::collections::BTreeMap;
use std::time::Duration;

use docket_model::{
    Account, EventKind, Failure, FailureClass, PlannedStep, StepPath, Wait, WaitFor, parse_duration,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::oneshot;

use super::{Drive, finished};
use crate::EngineError;

/// The longest that a step may wait.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Something for a run that is being driven.
pub(crate) enum Told {
    /// A signal, as its event. Whoever sent it is told once it is durable; dropped where the drive
    /// ended before it was heard.
    Signal(Box<EventKind>, oneshot::Sender<Result<(), EngineError>>),
    /// Somebody has signed in.
    SignIn,
}

impl Drive {
    /// Records what the run is told, durably, and says so to whoever told it.
    pub(super) async fn hear(&mut self, told: Told) -> Result<(), EngineError> {
        let (kind, done) = match told {
            Told::Signal(kind, done) => (*kind, done),
            Told::SignIn => return self.look_for_sign_ins().await,
        };
        let events = self.applied(self.ports.clock.now(), vec![kind])?;
        let appended = self.appender.append_synced(events).await;
        // Whoever told it may have gone away.
        let _ = done.send(appended.clone().map_err(EngineError::Store));
        Ok(appended?)
    }

    /// Lets those go on that wait for accounts that have signed in meanwhile.
    pub(super) async fn look_for_sign_ins(&mut self) -> Result<(), EngineError> {
        let mut accounts: BTreeMap<Account, u64> = BTreeMap::new();
        if let Some(group) = self.state.group() {
            for (_, _, wait, _) in group.waiting() {
                if let WaitFor::SignIn { account, seen, .. } = &wait.on {
                    let least = accounts.entry(account.clone()).or_insert(*seen);
                    *least = (*least).min(*seen);
                }
            }
        }
        let asks_again = std::mem::take(&mut self.asks_again);
        for (account, seen) in accounts {
            if asks_again || self.sign_ins.count(&account).await? > seen {
                self.record(vec![EventKind::SignedIn { account }]).await?;
            }
        }
        Ok(())
    }

    /// Begins a built-in step, which waits from now on.
    pub(super) async fn begin_wait(
        &mut self,
        path: StepPath,
        attempt: u32,
        input: Value,
        wait: Result<Wait, Failure>,
    ) -> Result<(), EngineError> {
        let started = EventKind::StepStarted {
            path: path.clone(),
            attempt,
            input,
            connection: None,
            act_as: None,
        };
        let next = waiting(path, attempt, wait);
        self.record(vec![started, next]).await
    }
}

pub(super) fn waiting(path: StepPath, attempt: u32, wait: Result<Wait, Failure>) -> EventKind {
    match wait {
        Ok(wait) => EventKind::StepWaiting {
            path,
            attempt,
            wait,
        },
        Err(failure) => finished(path, attempt, failure, None),
    }
}

/// What a built-in step that started at `at` waits for.
pub(super) fn wait(step: &PlannedStep, input: &Value, at: Timestamp) -> Result<Wait, Failure> {
    let text = |name: &str| match input.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(format!("`{name}` must be text"))),
    };
    let needed = |name: &str| {
        let empty = || invalid(format!("`{name}` is missing or empty"));
        text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(empty)
    };
    let after = |name: &str| {
        let Some(text) = text(name)? else {
            return Ok(None);
        };
        let duration = parse_duration(&text).filter(|duration| *duration <= LONGEST);
        let duration = duration.and_then(|duration| SignedDuration::try_from(duration).ok());
        match duration {
            Some(duration) => Ok(Some(at.saturating_add(duration).unwrap_or(Timestamp::MAX))),
            None => Err(invalid(format!(
                "`{name}` must be a duration of at most a year, as `2h` or `3d`"
            ))),
        }
    };
    match step.action.as_str() {
        "timer" => {
            let until = match (after("for")?, text("until")?) {
                (Some(until), None) => until,
                (None, Some(until)) => until.parse().map_err(|_| {
                    invalid("`until` must be a moment, as `2026-11-30T08:00:00Z`".to_owned())
                })?,
                _ => return Err(invalid("either `for` or `until` is needed".to_owned())),
            };
            let on = WaitFor::Timer;
            Ok(Wait {
                on,
                until: Some(until),
            })
        }
        "event" => Ok(Wait {
            on: WaitFor::Event {
                name: needed("name")?,
            },
            until: after("deadline")?,
        }),
        "approval" => {
            let approvers = match input.get("approvers") {
                Some(Value::Array(list)) => list
                    .iter()
                    .filter_map(|one| one.as_str().map(str::to_owned))
                    .collect(),
                _ => text("approvers")?.into_iter().collect(),
            };
            Ok(Wait {
                on: WaitFor::Approval {
                    message: needed("message")?,
                    approvers,
                },
                until: after("deadline")?,
            })
        }
        other => Err(invalid(format!("there is no step wait/{other}"))),
    }
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureClass::InvalidInput, "wait", message)
}
