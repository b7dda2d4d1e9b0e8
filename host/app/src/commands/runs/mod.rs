//! `docket runs`: what ran, what it did, what it waits for, and going on with what did not end.

mod audit;
mod documents;
mod orders;
mod resume;
pub(crate) mod words;

use anyhow::Result;
use docket_engine::RunFilter;
use docket_model::{Event, RunId};
use serde_json::{Value, json};

pub(crate) use self::orders::step_path;
use crate::answers;
use crate::cli::{Global, LookCommand, RunsCommand};
use crate::exit::{Exit, Failed};
use crate::host::{Host, store_failed};
use crate::project::Project;
use crate::render::{self, note};
use crate::server::client::Serving;

/// How many runs a serving process lists at most.
const MOST: u32 = 1_000;

pub(crate) async fn run(global: &Global, command: RunsCommand) -> Result<Exit> {
    let project = Project::load(global)?;
    let command = match command {
        RunsCommand::Order(order) => {
            return orders::give(global, project, orders::Order::of(order)?).await;
        }
        RunsCommand::Look(look) => look,
    };
    if let Some(serving) = Serving::find(&project.data).await {
        return served(&serving, command, global.json).await;
    }
    let host = Host::open(project, global).await?;
    match command {
        LookCommand::List { unfinished, limit } => {
            let filter = RunFilter {
                only_unfinished: unfinished,
                limit: Some(limit),
                ..Default::default()
            };
            let found = answers::runs(host.store.as_ref(), filter).await;
            let found = found.map_err(|error| store_failed(&error))?;
            list(&found, global.json);
            Ok(Exit::Success)
        }
        LookCommand::Show { id, effects } => {
            let found = answers::run(host.store.as_ref(), &run_id(&id)?).await;
            let found = found.map_err(|error| store_failed(&error))?;
            show(&found.ok_or_else(|| unknown(&id))?, effects, global.json)
        }
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

/// The same by the process that serves the data folder, as far as that one can be asked.
async fn served(serving: &Serving, command: LookCommand, as_json: bool) -> Result<Exit> {
    match command {
        LookCommand::List { unfinished, limit } => {
            let limit = limit.clamp(1, MOST);
            let path = format!("/api/runs?unfinished={unfinished}&limit={limit}");
            list(&serving.get(&path).await?, as_json);
            Ok(Exit::Success)
        }
        LookCommand::Show { id, effects } => {
            let found = serving.get(&format!("/api/runs/{}", run_id(&id)?)).await?;
            show(&found, effects, as_json)
        }
        LookCommand::Resume { id: Some(id) } => {
            let path = format!("/api/runs/{}/resume", run_id(&id)?);
            let resumed = serving.post(&path, &json!({})).await?;
            match as_json {
                true => render::line(&resumed.to_string()),
                false => note!("run {id} goes on, by the process that serves the data folder"),
            }
            Ok(Exit::Success)
        }
        LookCommand::Resume { id: None } => {
            note!("the process that serves the data folder drives all runs");
            Ok(Exit::Success)
        }
        LookCommand::Verify { .. }
        | LookCommand::Receipt { .. }
        | LookCommand::Prune { .. }
        | LookCommand::Documents { .. } => Err(Failed::new(
            Exit::Storage,
            format!(
                "{} serves the data folder, and this needs it alone",
                serving.url()
            ),
        )
        .with_help("end `docket serve` first; its runs go on when it serves again")
        .into()),
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

fn list(found: &Value, as_json: bool) {
    if as_json {
        return render::line(&found.to_string());
    }
    let rows: Vec<_> = found["runs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(row)
        .collect();
    let head = ["run", "workflow", "state", "started", "took", "waits for"];
    render::line(&render::table(&head, &rows));
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

fn show(about: &Value, effects: bool, as_json: bool) -> Result<Exit> {
    if as_json {
        render::line(&about.to_string());
        return Ok(Exit::Success);
    }
    let events: Vec<Event> = serde_json::from_value(about["events"].clone())?;
    for event in &events {
        for text in words::lines(event, effects) {
            render::line(&format!("{}  {text}", event.at.strftime("%T%.3f")));
        }
    }
    for (wait, words) in about["waits-for"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(waits(about))
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
