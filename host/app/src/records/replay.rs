//! A run once more from its record, to see that it would do the same. Nothing is sent and nothing is
//! recorded.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use docket_engine::{LogLevel, ReplayVerdict, ReplayedAttempt, Reporter, Verdict};
use docket_model::{Event, PinnedPlugin, Plan, RunId, StepPath};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::unknown;
use crate::commands::plan_of;
use crate::exit::{Exit, Failed};
use crate::host::{Host, engine_failed, load_failed, store_failed};

/// A component to take in the place of a plugin of the run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Replacement {
    /// The plugin, as the run has it.
    pub(crate) name: String,
    /// The component's file on this machine, by its whole path.
    pub(crate) file: PathBuf,
}

/// Replays a run: its attempts, and how many of them would do something else.
pub(crate) async fn replay(
    host: &Host,
    run: &RunId,
    plugins: &[Replacement],
) -> Result<Value, Failed> {
    let verdict = host.store.verify(run).await;
    match verdict.map_err(|error| store_failed(&error))? {
        Verdict::Intact { .. } => {}
        Verdict::Unknown => return Err(unknown(run.as_str())),
        Verdict::Broken { event, why } => {
            let message = format!("the record of run {run} was changed at event {event}: {why}");
            return Err(Failed::new(Exit::RunFailed, message)
                .with_help("a record that was changed proves nothing; take it from a backup"));
        }
    }
    let plan = plan_of(host, run).await.map_err(|error| {
        let failed = error.downcast::<Failed>();
        failed.unwrap_or_else(|error| Failed::new(Exit::Fault, error.to_string()))
    })?;
    let plugins = pinned(host, &plan, plugins).await?;
    let replayed = host.engine.replay(run, &plugins, Arc::new(Unheard)).await;
    let replayed = replayed.map_err(|error| engine_failed(&error))?;
    let differs = replayed.iter().filter(|one| is_other(&one.verdict)).count();
    let attempts: Vec<Value> = replayed.iter().map(attempt_json).collect();
    Ok(json!({"id": run, "attempts": attempts, "differing": differs}))
}

/// The components that are to take the place of those of the run.
async fn pinned(
    host: &Host,
    plan: &Plan,
    given: &[Replacement],
) -> Result<HashMap<String, PinnedPlugin>, Failed> {
    let mut plugins = HashMap::new();
    for Replacement { name, file } in given {
        let place = file.display();
        let Some(pinned) = plan.plugins.get(name) else {
            let known: Vec<&str> = plan.plugins.keys().map(String::as_str).collect();
            let what = format!("the run has no plugin {name}");
            return Err(Failed::new(Exit::Usage, what).with_help(format!(
                "it has {}; say which one: --with-plugin NAME={place}",
                known.join(", "),
            )));
        };
        let bytes = tokio::fs::read(file)
            .await
            .map_err(|error| Failed::new(Exit::Usage, format!("{place}: {error}")))?;
        let plugin = host.sandbox.load(bytes).await;
        let plugin = plugin.map_err(|error| load_failed(name, &error))?;
        let taken = PinnedPlugin {
            version: plugin.manifest().version.clone(),
            component: plugin.digest(),
            grants: pinned.grants.clone(),
        };
        plugins.insert(name.clone(), taken);
    }
    Ok(plugins)
}

/// Whether it would not do the same. A run that was cut off has no end to compare with.
const fn is_other(verdict: &ReplayVerdict) -> bool {
    !matches!(verdict, ReplayVerdict::Same | ReplayVerdict::Unfinished)
}

fn attempt_json(attempt: &ReplayedAttempt) -> Value {
    let effects: Vec<Value> = attempt
        .effects
        .iter()
        .map(|effect| {
            json!({
                "at": effect.at, "requests": effect.call.requests, "outcomes": effect.outcomes,
            })
        })
        .collect();
    let (kind, more) = match &attempt.verdict {
        ReplayVerdict::Same => ("same", Value::Null),
        ReplayVerdict::Strayed {
            index,
            recorded,
            now,
        } => (
            "strayed",
            json!({"effect": index, "recorded": recorded, "now": now}),
        ),
        ReplayVerdict::EndedOtherwise { recorded, now } => {
            ("ended-otherwise", json!({"recorded": recorded, "now": now}))
        }
        ReplayVerdict::Unfinished => ("unfinished", Value::Null),
        ReplayVerdict::Faulty(reason) => ("faulty", json!({"reason": reason})),
    };
    json!({
        "step": attempt.path.to_string(), "attempt": attempt.attempt, "action": attempt.action,
        "connection": attempt.connection, "effects": effects, "verdict": kind, "difference": more,
    })
}

/// Hears nothing: what a plugin logs, it logged when it ran.
struct Unheard;

impl Reporter for Unheard {
    fn event(&self, _run: &RunId, _event: &Event) {}
    fn log(&self, _run: &RunId, _path: &StepPath, _level: LogLevel, _message: &str) {}
    fn progress(&self, _: &RunId, _: &StepPath, _: u64, _: Option<u64>, _: &str) {}
}
