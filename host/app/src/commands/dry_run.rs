//! `docket run --dry-run`: runs the plugins, lets reads go out, holds everything else back and shows
//! it. No run is recorded, and no document is kept.

use std::sync::Arc;

use anyhow::Result;
use docket_engine::{Documents, DryEnd, DryStep, LogLevel, Reporter, dry_run, is_safe};
use docket_journal::FileDocuments;
use docket_model::{Event, FailureClass, RequestRecord, RunId, StepPath};
use docket_sandbox::{Egress, Held, HoldBack};
use serde_json::{Value, json};

use crate::cli::{Global, RunArgs};
use crate::clock::SystemClock;
use crate::exit::{Exit, Failed};
use crate::host::{self, Host, engine_failed};
use crate::inputs;
use crate::project::Project;
use crate::render::{self, note};
use crate::server::client::Serving;

/// How much of a body people are shown, in characters.
const SHOWN_AT_MOST: usize = 2_000;

pub(crate) async fn run(global: &Global, arguments: &RunArgs) -> Result<Exit> {
    let project = Project::load(global)?;
    if Serving::find(&project.data).await.is_some() {
        let message = "docket serve uses the data folder, and its accounts with it";
        let help = "end it, or try the workflow on a simulated tenant: docket test";
        return Err(Failed::new(Exit::Storage, message).with_help(help).into());
    }
    let host = Host::open(project, global).await?;
    let plan = host.plan(&arguments.file)?;
    let folder = tempfile::tempdir()?;
    let documents: Arc<dyn Documents> = Arc::new(FileDocuments::open(folder.path())?);
    let file = arguments.inputs_file.as_deref();
    let given = inputs::read(&plan, file, &arguments.inputs, documents.as_ref())?;
    let inputs = inputs::resolved(&plan, given)?;
    let hold = Arc::new(HoldBack::new(Arc::clone(&host.connections) as _));
    let data = &host.project.data;
    let egress: Arc<dyn Egress> = Arc::clone(&hold) as _;
    let sandbox = host::sandbox(data, data.join("cache"), &documents, egress)?;
    note!("{}  dry run", plan.workflow);
    let steps = dry_run(&plan, &inputs, &sandbox, &SystemClock, Arc::new(Logged)).await;
    let steps = steps.map_err(|error| engine_failed(&error))?;
    let held = hold.take();
    if global.json {
        let list: Vec<Value> = steps.iter().map(|step| step_json(step, &held)).collect();
        render::line(&json!({"workflow": plan.workflow, "steps": list}).to_string());
    } else {
        steps.iter().for_each(|step| show(step, &held));
        let count = |is: fn(&DryEnd) -> bool| steps.iter().filter(|step| is(&step.end)).count();
        note!(
            "{} held back, {} not reached; nothing was sent but {} reads",
            count(|end| matches!(end, DryEnd::Held(_))),
            count(|end| matches!(end, DryEnd::NotReached(_))),
            steps.iter().map(|step| step.reads).sum::<usize>()
        );
    }
    Ok(exit_of(&steps))
}

fn exit_of(steps: &[DryStep]) -> Exit {
    let failure = steps.iter().find_map(|step| match &step.end {
        DryEnd::Failed(failure) => Some(failure),
        _ => None,
    });
    match failure.map(|failure| failure.class) {
        None => Exit::Success,
        Some(FailureClass::SignInRequired) => Exit::SignInNeeded,
        Some(_) => Exit::RunFailed,
    }
}

/// The requests that a step was held back with, each with what was kept of it. Requests that would
/// have gone out side by side stop at the first, so that of the others the body is not known.
fn requests<'s>(
    step: &'s DryStep,
    held: &'s [Held],
) -> impl Iterator<Item = (&'s RequestRecord, Option<&'s Held>)> {
    let call = match &step.end {
        DryEnd::Held(call) => Some(call),
        _ => None,
    };
    let mut kept = held.iter().filter(|one| one.path == step.path);
    call.into_iter()
        .flat_map(|call| &call.requests)
        .filter(|request| !is_safe(&request.method))
        .map(move |request| (request, kept.next()))
}

fn show(step: &DryStep, held: &[Held]) {
    let reads = match step.reads {
        0 => String::new(),
        reads => format!(", {reads} reads"),
    };
    let state = match &step.end {
        DryEnd::Done => format!("done, changes nothing{reads}"),
        DryEnd::Held(_) => format!("held back{reads}"),
        DryEnd::Waits => "would wait".to_owned(),
        DryEnd::Skipped => "skipped".to_owned(),
        DryEnd::NotReached(needs) => {
            let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
            format!("not reached: it comes after {}", needs.join(", "))
        }
        DryEnd::Failed(failure) => format!("fails: {}", failure.message),
    };
    render::line(&format!("\n{}  {}  {state}", step.path, step.action));
    if let DryEnd::Failed(failure) = &step.end
        && let Some(remedy) = &failure.remedy
    {
        render::line(&format!("  help: {remedy}"));
    }
    for (request, kept) in requests(step, held) {
        render::line(&format!("  would send {} {}", request.method, request.url));
        match &request.sent_as {
            Some(sent_as) => render::line(&format!(
                "  as         {} ({})",
                sent_as.account, sent_as.connection
            )),
            None => render::line("  as         nobody: without a token"),
        }
        if let Some(held) = kept {
            if let Some(refused) = &held.refused {
                render::line(&format!("  REFUSED    {refused}"));
            }
            for line in body_text(held).lines() {
                render::line(&format!("    {line}"));
            }
        }
    }
}

/// A body for people: JSON in lines of its own, other text as it is, cut where it is long.
fn body_text(held: &Held) -> String {
    if held.size == 0 {
        return String::new();
    }
    let Ok(text) = std::str::from_utf8(&held.body) else {
        return format!("{}, no text", render::bytes(held.size));
    };
    let pretty = serde_json::from_str::<Value>(text).map(|json| format!("{json:#}"));
    let text = pretty.unwrap_or_else(|_| text.to_owned());
    match text.char_indices().nth(SHOWN_AT_MOST) {
        None => text,
        Some((end, _)) => {
            let shown = text.get(..end).unwrap_or(&text);
            format!("{shown}\n… {} in all", render::bytes(held.size))
        }
    }
}

fn step_json(step: &DryStep, held: &[Held]) -> Value {
    let state = match &step.end {
        DryEnd::Done => "done",
        DryEnd::Held(_) => "held-back",
        DryEnd::Waits => "waits",
        DryEnd::Skipped => "skipped",
        DryEnd::NotReached(_) => "not-reached",
        DryEnd::Failed(_) => "failed",
    };
    let mut json = json!({
        "step": step.path.step, "item": step.path.item, "uses": step.action, "state": state,
        "reads": step.reads,
    });
    match &step.end {
        DryEnd::NotReached(needs) => json["needs"] = json!(needs),
        DryEnd::Failed(failure) => json["failure"] = json!(failure),
        DryEnd::Held(_) => {
            let requests: Vec<Value> = requests(step, held)
                .map(|(request, kept)| {
                    let text = kept.and_then(|held| std::str::from_utf8(&held.body).ok());
                    json!({
                        "method": request.method, "url": request.url,
                        "sent-as": request.sent_as,
                        "body": text.filter(|text| !text.is_empty()),
                        "body-size": kept.map(|held| held.size),
                        "refused": kept.and_then(|held| held.refused.as_ref()),
                    })
                })
                .collect();
            json["requests"] = requests.into();
        }
        DryEnd::Done | DryEnd::Waits | DryEnd::Skipped => {}
    }
    json
}

/// Hears what plugins log, and nothing else: there is no run.
struct Logged;

impl Reporter for Logged {
    fn event(&self, _run: &RunId, _event: &Event) {}

    fn log(&self, _run: &RunId, path: &StepPath, level: LogLevel, message: &str) {
        match level {
            LogLevel::Debug => tracing::debug!(step = %path, "{message}"),
            LogLevel::Info => tracing::info!(step = %path, "{message}"),
            LogLevel::Warn => tracing::warn!(step = %path, "{message}"),
            LogLevel::Error => tracing::error!(step = %path, "{message}"),
        }
    }

    fn progress(&self, _: &RunId, _: &StepPath, _: u64, _: Option<u64>, _: &str) {}
}
