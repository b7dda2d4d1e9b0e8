//! Events and effects in words.

use docket_model::{EffectCall, Event, EventKind, Outcome, Signal, StepResult};

use crate::answers::result_word;

/// An event in words.
pub(super) fn lines(event: &Event, effects: bool) -> Vec<String> {
    match &event.kind {
        EventKind::RunStarted { workflow, plan, .. } => {
            vec![format!("run of {workflow} started, plan {plan}")]
        }
        EventKind::ItemsExpanded { step, items } => vec![format!("{step}: {} items", items.len())],
        EventKind::StepStarted { path, attempt, .. } => {
            vec![format!("{path} started, attempt {attempt}")]
        }
        EventKind::StepSkipped { path } => vec![format!("{path} skipped")],
        EventKind::StepWaiting { path, wait, .. } => {
            let until = wait.until.map(|until| format!(" until {until}"));
            let until = until.unwrap_or_default();
            vec![format!("{path} waits for {}{until}", wait.on)]
        }
        EventKind::Signalled { id, signal } => vec![match signal {
            Signal::Event { name, .. } => format!("the event {name} came, as {id}"),
            Signal::Decision {
                path, approved, by, ..
            } => {
                let what = if *approved { "approved" } else { "rejected" };
                format!("{path} {what} by {by}")
            }
        }],
        EventKind::SignedIn { account } => vec![format!("tried again with a sign-in of {account}")],
        EventKind::RunFailing { failure, .. } => {
            vec![format!("run failing: {}", failure.message)]
        }
        EventKind::RunResumed => vec!["run resumed".to_owned()],
        EventKind::StepFinished { path, result, .. } => vec![match result {
            StepResult::Done(_) => format!("{path} done"),
            StepResult::Failed {
                failure,
                retry_at: Some(at),
            } => {
                format!("{path} failed, next attempt at {at}: {}", failure.message)
            }
            StepResult::Failed {
                failure,
                retry_at: None,
            } => {
                let remedy = failure
                    .remedy
                    .as_ref()
                    .map(|remedy| format!(" (help: {remedy})"));
                format!(
                    "{path} failed: {}{}",
                    failure.message,
                    remedy.unwrap_or_default()
                )
            }
        }],
        EventKind::RunFinished { result } => vec![format!("run {}", result_word(result))],
        EventKind::EffectIntended { call, .. } if effects => calls("intends", call),
        EventKind::EffectDone { call, outcomes, .. } if effects => {
            let mut lines = call
                .as_ref()
                .map_or_else(Vec::new, |call| calls("asked", call));
            lines.extend(
                outcomes
                    .iter()
                    .map(|outcome| format!("    → {}", outcome_text(outcome))),
            );
            lines
        }
        EventKind::EffectIntended { .. } | EventKind::EffectDone { .. } => Vec::new(),
    }
}

pub(crate) fn calls(verb: &str, call: &EffectCall) -> Vec<String> {
    call.requests
        .iter()
        .map(|request| {
            let who = request
                .sent_as
                .as_ref()
                .map_or("nobody", |who| who.account.as_str());
            format!("  {verb} {} {} as {who}", request.method, request.url)
        })
        .collect()
}

pub(crate) fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered(answer) => answer.status.to_string(),
        Outcome::Failed(failure) => format!("{failure:?}"),
        Outcome::InDoubt => "in doubt: the host ended before the answer was recorded".to_owned(),
    }
}
