//! `docket replay`: a run once more from its record, to see that it would do the same. Nothing is
//! sent and nothing is recorded.

use std::path::Path;

use anyhow::Result;
use docket_model::{EffectCall, Outcome, StepResult};
use serde_json::{Value, json};

use crate::cli::{Global, ReplayArgs};
use crate::commands::runs::run_id;
use crate::commands::runs::words::{calls, outcome_text};
use crate::exit::Exit;
use crate::host::Host;
use crate::project::Project;
use crate::records::{self, Replacement};
use crate::render::{self, note};
use crate::server::client::Serving;

pub(crate) async fn run(global: &Global, arguments: &ReplayArgs) -> Result<Exit> {
    let project = Project::load(global)?;
    let id = run_id(&arguments.id)?;
    let plugins: Result<Vec<Replacement>> = arguments
        .plugins
        .iter()
        .map(|text| replacement(text))
        .collect();
    let plugins = plugins?;
    let replayed = match Serving::find(&project.data).await {
        Some(serving) => {
            let path = format!("/api/runs/{id}/replay");
            serving.post(&path, &json!({"plugins": plugins})).await?
        }
        None => records::replay(&Host::open(project, global).await?, &id, &plugins).await?,
    };
    let attempts = replayed["attempts"].as_array();
    let attempts = attempts.map_or(&[][..], Vec::as_slice);
    if global.json {
        render::line(&replayed.to_string());
    } else {
        for attempt in attempts {
            show(attempt)?;
        }
        let differs = &replayed["differing"];
        note!("{} attempts, {differs} would differ", attempts.len());
    }
    Ok(match replayed["differing"].as_u64() {
        Some(0) => Exit::Success,
        _ => Exit::RunFailed,
    })
}

/// `name=file`, or a file that is named like its plugin.
fn replacement(text: &str) -> Result<Replacement> {
    let (name, file) = match text.split_once('=') {
        Some((name, file)) => (name.to_owned(), Path::new(file)),
        None => {
            let file = Path::new(text);
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            (name.into_owned(), file)
        }
    };
    let file = std::path::absolute(file)?;
    Ok(Replacement { name, file })
}

fn show(attempt: &Value) -> Result<()> {
    let text = |name: &str| attempt[name].as_str().unwrap_or_default();
    let by = attempt["connection"].as_str();
    let by = by.map_or(String::new(), |name| format!(", by {name}"));
    render::line(&format!(
        "{}  attempt {}, {}{by}: {}",
        text("step"),
        attempt["attempt"],
        text("action"),
        words(text("verdict"))
    ));
    for effect in attempt["effects"].as_array().into_iter().flatten() {
        let call = EffectCall {
            requests: serde_json::from_value(effect["requests"].clone())?,
        };
        for line in calls("asked", &call) {
            render::line(&line);
        }
        let outcomes: Option<Vec<Outcome>> = serde_json::from_value(effect["outcomes"].clone())?;
        for outcome in outcomes.iter().flatten() {
            render::line(&format!("    → {}", outcome_text(outcome)));
        }
        if outcomes.is_none() {
            render::line("    → nobody knows: the host ended before the answer was recorded");
        }
    }
    let difference = &attempt["difference"];
    match text("verdict") {
        "strayed" => {
            let text = |name: &str| difference[name].as_str().unwrap_or_default();
            render::line(&format!("  DIFFERS at effect {}", difference["effect"]));
            render::line(&format!("    recorded  {}", text("recorded")));
            render::line(&format!("    would be  {}", text("now")));
        }
        "ended-otherwise" => {
            render::line("  DIFFERS in its end");
            render::line(&format!("    recorded  {}", end(&difference["recorded"])?));
            render::line(&format!("    would be  {}", end(&difference["now"])?));
        }
        "faulty" => {
            let reason = difference["reason"].as_str().unwrap_or_default();
            render::line(&format!("  CANNOT RUN: {reason}"));
        }
        _ => {}
    }
    Ok(())
}

fn words(verdict: &str) -> &'static str {
    match verdict {
        "same" => "the same",
        "strayed" => "other requests",
        "ended-otherwise" => "another end",
        "unfinished" => "the same as far as it is recorded",
        _ => "could not be run",
    }
}

fn end(result: &Value) -> Result<String> {
    Ok(match serde_json::from_value(result.clone())? {
        StepResult::Done(output) => format!("done, {}", output.value),
        StepResult::Failed { failure, .. } => format!("{}: {}", failure.code, failure.message),
    })
}
