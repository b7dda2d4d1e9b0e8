//! `docket runs`: what ran, what it did, what it waits for, and going on with what did not end.

mod audit;
mod documents;
mod orders;
mod resume;
pub(crate) mod words;

use anyhow::Result;
use docket_engine::RunFilter;
use docket_model::{Event, RunId};
use serde_json::Value;

pub(crate) use self::orders::step_path;
use crate::answers;
use crate::cli::{Global, LookCommand, RunsCommand};
use crate::exit::{Exit, Failed};
use crate::host::{Host, store_failed};
use crate::project::Project;
use crate::render;

pub(crate) async fn run(global: &Global, command: RunsCommand) -> Result<Exit> {
    let project = Project::load(global)?;
    let command = match command {
        RunsCommand::Order(order) => {
            return orders::give(global, project, orders::Order::of(order)?).await;
        }
        RunsCommand::Look(look) => look,
    };
    let host = Host::open(project, global).await?;
    match command {
        LookCommand::List { unfinished, limit } => {
            let filter = RunFilter {
                only_unfinished: unfinished,
                limit: Some(limit),
                ..Default::default()
            };
            list(&host, filter, global.json).await
        }
        LookCommand::Show { id, effects } => show(&host, &id, effects, global.json).await,
        LookCommand::Resume { id } => resume::run(&host, id.as_deref(), global.json).await,
        LookCommand::Verify { id } => audit::verify(&host, id.as_deref(), global.json).await,
        LookCommand::Receipt { id } => audit::receipt(&host, &id, global.json).await,
        LookCommand::Documents { id, to } => {
            let (_, events) = known(&host, &id).await?;
            documents::documents(&host, &events, to.as_deref(), global.json)
        }
        LookCommand::Prune {
            older_than,
            state,
            workflow,
        } => resume::prune(&host, &older_than, &state, workflow, global.json).await,
    }
}

/// What to say of a run that does not exist.
pub(crate) fn unknown(id: &str) -> Failed {
    Failed::new(Exit::Invalid, format!("there is no run {id}"))
        .with_help("`docket runs list` shows them")
}

/// A run's id, if the text is one.
pub(crate) fn run_id(id: &str) -> Result<RunId, Failed> {
    id.parse().map_err(|_invalid| unknown(id))
}

async fn known(host: &Host, id: &str) -> Result<(RunId, Vec<Event>)> {
    let run = run_id(id)?;
    let events = host
        .store
        .events(&run)
        .await
        .map_err(|error| store_failed(&error))?;
    if events.is_empty() {
        return Err(unknown(id).into());
    }
    Ok((run, events))
}

async fn list(host: &Host, filter: RunFilter, as_json: bool) -> Result<Exit> {
    let found = answers::runs(host.store.as_ref(), filter)
        .await
        .map_err(|error| store_failed(&error))?;
    if as_json {
        render::line(&found.to_string());
        return Ok(Exit::Success);
    }
    let rows: Vec<_> = found["runs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(row)
        .collect();
    let head = ["run", "workflow", "state", "started", "took", "waits for"];
    render::line(&render::table(&head, &rows));
    Ok(Exit::Success)
}

fn row(run: &Value) -> Vec<String> {
    let text = |name: &str| run[name].as_str().unwrap_or_default().to_owned();
    let moment = |name: &str| text(name).parse::<jiff::Timestamp>().ok();
    let started = moment("started-at");
    let took = started
        .zip(moment("finished-at"))
        .map(|(start, end)| crate::view::seconds(end.duration_since(start)));
    vec![
        text("id"),
        text("workflow"),
        text("state"),
        started.map_or(String::new(), |at| at.strftime("%F %T").to_string()),
        took.unwrap_or_default(),
        waits(run).join("; "),
    ]
}

/// What a run waits for, in words.
fn waits(run: &Value) -> Vec<String> {
    let all = run["waits-for"].as_array().into_iter().flatten();
    all.map(|wait| {
        let text = |name: &str| wait[name].as_str().unwrap_or_default();
        let until = wait["until"]
            .as_str()
            .map(|until| format!(" until {until}"));
        let until = until.unwrap_or_default();
        format!("{} at {}{until}", text("for"), text("step"))
    })
    .collect()
}

async fn show(host: &Host, id: &str, effects: bool, as_json: bool) -> Result<Exit> {
    let (run, events) = known(host, id).await?;
    let about = answers::run(host.store.as_ref(), &run)
        .await
        .map_err(|error| store_failed(&error))?
        .ok_or_else(|| unknown(id))?;
    if as_json {
        render::line(&about.to_string());
        return Ok(Exit::Success);
    }
    for event in &events {
        for text in words::lines(event, effects) {
            render::line(&format!("{}  {text}", event.at.strftime("%T%.3f")));
        }
    }
    for (wait, words) in about["waits-for"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(waits(&about))
    {
        render::line(&format!("it waits for {words}"));
        for (name, label) in [("message", "because"), ("help", "help")] {
            if let Some(text) = wait[name].as_str() {
                render::line(&format!("  {label}: {text}"));
            }
        }
    }
    Ok(Exit::Success)
}
