//! `docket runs`: what ran, what it did, and going on with what did not end.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use docket_engine::{DocumentReader, RunFilter};
use docket_model::{
    DocumentRef, EffectCall, Event, EventKind, Outcome, RunId, RunResult, Signal, StepResult,
};
use serde_json::{Value, json};

use crate::cli::{Global, RunsCommand};
use crate::commands::run::{self, exit_of};
use crate::exit::{Exit, Failed};
use crate::host::Host;
use crate::project::Project;
use crate::render;

pub(crate) async fn run(global: &Global, command: RunsCommand) -> Result<Exit> {
    let host = Host::open(Project::load(global)?, global).await?;
    match command {
        RunsCommand::List { unfinished, limit } => {
            let filter = RunFilter {
                only_unfinished: unfinished,
                limit: Some(limit),
                ..Default::default()
            };
            list(&host, filter, global.json).await
        }
        RunsCommand::Show { id, effects } => show(&host, &id, effects, global.json).await,
        RunsCommand::Resume { id } => {
            let ids = match id {
                Some(id) => vec![known(&host, &id).await?.0],
                None => host.engine.recover().await?,
            };
            let mut worst = Exit::Success;
            for id in ids {
                let done = run::drive(&host, &id).await?;
                if exit_of(&done.result) != Exit::Success {
                    worst = Exit::RunFailed;
                }
                run::print(&done, global.json);
            }
            Ok(worst)
        }
        RunsCommand::Documents { id, to } => {
            let (_, events) = known(&host, &id).await?;
            documents(&host, &events, to.as_deref(), global.json)
        }
    }
}

async fn known(host: &Host, id: &str) -> Result<(RunId, Vec<Event>)> {
    let unknown = || {
        Failed::new(Exit::Invalid, format!("there is no run {id}"))
            .with_help("`docket runs list` shows them")
    };
    let run: RunId = id.parse().map_err(|_invalid| unknown())?;
    let events = host.store.events(&run).await?;
    if events.is_empty() {
        return Err(unknown().into());
    }
    Ok((run, events))
}

async fn list(host: &Host, filter: RunFilter, as_json: bool) -> Result<Exit> {
    let runs = host.store.runs(filter).await?;
    if as_json {
        let list: Vec<Value> = runs
            .iter()
            .map(|run| {
                json!({
                    "id": run.id, "workflow": run.workflow, "state": state(run.result.as_ref()),
                    "started-at": run.started_at, "finished-at": run.finished_at,
                })
            })
            .collect();
        render::line(&json!({"runs": list}).to_string());
    } else {
        let rows: Vec<_> = runs
            .iter()
            .map(|run| {
                let took = run
                    .finished_at
                    .map(|end| end.duration_since(run.started_at));
                vec![
                    run.id.to_string(),
                    run.workflow.clone(),
                    state(run.result.as_ref()).to_owned(),
                    run.started_at.strftime("%F %T").to_string(),
                    took.map_or(String::new(), crate::view::seconds),
                ]
            })
            .collect();
        render::line(&render::table(
            &["run", "workflow", "state", "started", "took"],
            &rows,
        ));
    }
    Ok(Exit::Success)
}

const fn state(result: Option<&RunResult>) -> &'static str {
    match result {
        None => "unfinished",
        Some(RunResult::Succeeded { .. }) => "succeeded",
        Some(RunResult::Failed { .. }) => "failed",
        Some(RunResult::Cancelled) => "cancelled",
    }
}

async fn show(host: &Host, id: &str, effects: bool, as_json: bool) -> Result<Exit> {
    let (run, events) = known(host, id).await?;
    if as_json {
        render::line(&json!({"id": run, "events": events}).to_string());
        return Ok(Exit::Success);
    }
    for event in &events {
        for text in lines(event, effects) {
            render::line(&format!("{}  {text}", event.at.strftime("%T%.3f")));
        }
    }
    Ok(Exit::Success)
}

/// An event in words.
fn lines(event: &Event, effects: bool) -> Vec<String> {
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
        EventKind::RunFinished { result } => vec![format!("run {}", state(Some(result)))],
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

fn calls(verb: &str, call: &EffectCall) -> Vec<String> {
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

fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered(answer) => answer.status.to_string(),
        Outcome::Failed(failure) => format!("{failure:?}"),
        Outcome::InDoubt => "in doubt: the host ended before the answer was recorded".to_owned(),
    }
}

/// Every document that a run's events mention, once each.
fn documents(host: &Host, events: &[Event], to: Option<&Path>, as_json: bool) -> Result<Exit> {
    let mut found: BTreeMap<_, DocumentRef> = BTreeMap::new();
    for event in events {
        let value = match &event.kind {
            EventKind::RunStarted { inputs, .. } => inputs,
            EventKind::StepFinished {
                result: StepResult::Done(output),
                ..
            } => &output.value,
            _ => continue,
        };
        for document in DocumentRef::all_in(value) {
            found
                .entry((document.name.clone(), document.digest))
                .or_insert(document);
        }
    }
    let mut taken = std::collections::BTreeSet::new();
    for document in found.values() {
        if let Some(folder) = to {
            std::fs::create_dir_all(folder)?;
            let short = document.digest.to_hex();
            let name = if taken.insert(document.name.to_lowercase()) {
                document.name.clone()
            } else {
                format!("{}-{}", &short[..8], document.name)
            };
            let reader = host.documents.open(document.digest)?.ok_or_else(|| {
                Failed::new(
                    Exit::Storage,
                    format!("the document {} is gone", document.name),
                )
                .with_help("its file is missing in the data folder; restore it from a backup")
            })?;
            let mut file = std::fs::File::create_new(folder.join(&name))?;
            std::io::copy(
                &mut Reading { reader, offset: 0 }.take(document.size),
                &mut file,
            )?;
        }
    }
    let list: Vec<&DocumentRef> = found.values().collect();
    if as_json {
        render::line(&json!({"documents": list}).to_string());
    } else {
        let row = |document: &&DocumentRef| {
            let size = render::bytes(document.size);
            vec![
                document.name.clone(),
                size,
                document.media_type.clone(),
                document.digest.to_string(),
            ]
        };
        let rows: Vec<_> = list.iter().map(row).collect();
        render::line(&render::table(
            &["document", "size", "type", "digest"],
            &rows,
        ));
    }
    Ok(Exit::Success)
}

struct Reading {
    reader: Arc<dyn DocumentReader>,
    offset: u64,
}

impl std::io::Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read_at(self.offset, buffer)?;
        self.offset += count as u64;
        Ok(count)
    }
}
