//! `docket replay`: a run once more from its record, to see that it would do the same. Nothing is
//! sent and nothing is recorded.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use docket_engine::{LogLevel, ReplayVerdict, ReplayedAttempt, Reporter, Verdict};
use docket_model::{Event, PinnedPlugin, Plan, RunId, StepPath, StepResult};
use serde_json::{Value, json};

use crate::cli::{Global, ReplayArgs};
use crate::commands::run;
use crate::commands::runs::words::{calls, outcome_text};
use crate::commands::runs::{run_id, unknown};
use crate::exit::{Exit, Failed};
use crate::host::{Host, engine_failed, load_failed, store_failed};
use crate::project::Project;
use crate::render::{self, note};

pub(crate) async fn run(global: &Global, arguments: &ReplayArgs) -> Result<Exit> {
    let host = Host::open(Project::load(global)?, global).await?;
    let id = run_id(&arguments.id)?;
    let verdict = host.store.verify(&id).await;
    match verdict.map_err(|error| store_failed(&error))? {
        Verdict::Intact { .. } => {}
        Verdict::Unknown => return Err(unknown(&arguments.id).into()),
        Verdict::Broken { event, why } => {
            let message = format!("the record of run {id} was changed at event {event}: {why}");
            return Err(Failed::new(Exit::RunFailed, message)
                .with_help("a record that was changed proves nothing; take it from a backup")
                .into());
        }
    }
    let plan = run::plan_of(&host, &id).await?;
    let plugins = plugins(&host, &plan, &arguments.plugins).await?;
    let replayed = host.engine.replay(&id, &plugins, Arc::new(Unheard)).await;
    let replayed = replayed.map_err(|error| engine_failed(&error))?;
    let differs = replayed.iter().filter(|one| is_other(&one.verdict)).count();
    if global.json {
        let attempts: Vec<Value> = replayed.iter().map(attempt_json).collect();
        render::line(&json!({"id": id, "attempts": attempts, "differing": differs}).to_string());
    } else {
        replayed.iter().for_each(show);
        note!("{} attempts, {differs} would differ", replayed.len());
    }
    Ok(match differs {
        0 => Exit::Success,
        _ => Exit::RunFailed,
    })
}

/// The components that are to take the place of those of the run.
async fn plugins(
    host: &Host,
    plan: &Plan,
    given: &[String],
) -> Result<HashMap<String, PinnedPlugin>> {
    let mut plugins = HashMap::new();
    for text in given {
        let (name, file) = match text.split_once('=') {
            Some((name, file)) => (name.to_owned(), Path::new(file)),
            None => {
                let file = Path::new(text);
                let name = file.file_stem().unwrap_or_default().to_string_lossy();
                (name.into_owned(), file)
            }
        };
        let Some(pinned) = plan.plugins.get(&name) else {
            let known: Vec<&str> = plan.plugins.keys().map(String::as_str).collect();
            return Err(
                Failed::new(Exit::Usage, format!("the run has no plugin {name}"))
                    .with_help(format!(
                        "it has {}; say which one: --with-plugin NAME={}",
                        known.join(", "),
                        file.display()
                    ))
                    .into(),
            );
        };
        let bytes = std::fs::read(file)
            .map_err(|error| Failed::new(Exit::Usage, format!("{}: {error}", file.display())))?;
        let plugin = host.sandbox.load(bytes).await;
        let plugin = plugin.map_err(|error| load_failed(&name, &error))?;
        let taken = PinnedPlugin {
            version: plugin.manifest().version.clone(),
            component: plugin.digest(),
            grants: pinned.grants.clone(),
        };
        plugins.insert(name, taken);
    }
    Ok(plugins)
}

/// Whether it would not do the same. A run that was cut off has no end to compare with.
const fn is_other(verdict: &ReplayVerdict) -> bool {
    !matches!(verdict, ReplayVerdict::Same | ReplayVerdict::Unfinished)
}

fn show(attempt: &ReplayedAttempt) {
    let connection = attempt.connection.as_ref();
    let by = connection.map_or(String::new(), |name| format!(", by {name}"));
    render::line(&format!(
        "{}  attempt {}, {}{by}: {}",
        attempt.path,
        attempt.attempt,
        attempt.action,
        words(&attempt.verdict)
    ));
    for effect in &attempt.effects {
        for line in calls("asked", &effect.call) {
            render::line(&line);
        }
        for outcome in effect.outcomes.iter().flatten() {
            render::line(&format!("    → {}", outcome_text(outcome)));
        }
        if effect.outcomes.is_none() {
            render::line("    → nobody knows: the host ended before the answer was recorded");
        }
    }
    match &attempt.verdict {
        ReplayVerdict::Strayed {
            index,
            recorded,
            now,
        } => {
            render::line(&format!("  DIFFERS at effect {index}"));
            render::line(&format!("    recorded  {recorded}"));
            render::line(&format!("    would be  {now}"));
        }
        ReplayVerdict::EndedOtherwise { recorded, now } => {
            render::line("  DIFFERS in its end");
            render::line(&format!("    recorded  {}", end(recorded)));
            render::line(&format!("    would be  {}", end(now)));
        }
        ReplayVerdict::Faulty(reason) => render::line(&format!("  CANNOT RUN: {reason}")),
        ReplayVerdict::Same | ReplayVerdict::Unfinished => {}
    }
}

const fn words(verdict: &ReplayVerdict) -> &'static str {
    match verdict {
        ReplayVerdict::Same => "the same",
        ReplayVerdict::Strayed { .. } => "other requests",
        ReplayVerdict::EndedOtherwise { .. } => "another end",
        ReplayVerdict::Unfinished => "the same as far as it is recorded",
        ReplayVerdict::Faulty(_) => "could not be run",
    }
}

fn end(result: &StepResult) -> String {
    match result {
        StepResult::Done(output) => format!("done, {}", output.value),
        StepResult::Failed { failure, .. } => format!("{}: {}", failure.code, failure.message),
    }
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
