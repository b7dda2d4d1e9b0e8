//! `docket runs`: what ran, what it did, what it waits for, and going on with what did not end.

mod audit;
mod documents;
mod orders;
mod resume;
pub(crate) mod words;

use anyhow::Result;
use docket_engine::{RunFilter, WaitFilter};
use docket_model::{Event, RunId};
use serde_json::{Value, json};

pub(crate) use self::orders::step_path;
use crate::answers;
use crate::cli::{Global, LookCommand, RunsCommand};
use crate::exit::{Exit, Failed};
use crate::host::{Host, engine_failed, store_failed};
use crate::project::Project;
use crate::records::{self, Old, unknown};
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
    match Serving::find(&project.data).await {
        Some(serving) => served(&serving, command, global.json).await,
        None => own(&Host::open(project, global).await?, command, global.json).await,
    }
}

async fn own(host: &Host, command: LookCommand, as_json: bool) -> Result<Exit> {
    let store = host.store.as_ref();
    match command {
        LookCommand::List {
            waiting: true,
            limit,
            ..
        } => {
            let filter = WaitFilter {
                limit: Some(limit),
                ..WaitFilter::default()
            };
            let found = answers::waiting(store, filter).await;
            waiting(&found.map_err(|error| store_failed(&error))?, as_json);
            Ok(Exit::Success)
        }
        LookCommand::List {
            unfinished,
            before,
            limit,
            ..
        } => {
            let filter = RunFilter {
                only_unfinished: unfinished,
                before: before.as_deref().map(run_id).transpose()?,
                limit: Some(limit),
                ..Default::default()
            };
            let found = answers::runs(store, filter).await;
            list(&found.map_err(|error| store_failed(&error))?, as_json);
            Ok(Exit::Success)
        }
        LookCommand::Show { id, effects } => {
            let found = answers::run(store, &run_id(&id)?, 0).await;
            let found = found.map_err(|error| store_failed(&error))?;
            show(&found.ok_or_else(|| unknown(&id))?, effects, as_json)
        }
        LookCommand::Resume { id } => resume::run(host, id.as_deref(), as_json).await,
        LookCommand::Verify { id } => {
            let run = id.as_deref().map(run_id).transpose()?;
            Ok(audit::verified(&records::verify(host, run).await?, as_json))
        }
        LookCommand::Receipt { id } => {
            let receipt = host.engine.receipt(&run_id(&id)?).await;
            audit::receipt(&receipt.map_err(|error| engine_failed(&error))?, as_json)
        }
        LookCommand::Documents { id, to } => {
            let found = records::documents(host, &run_id(&id)?).await?;
            let from = documents::From::Here(host);
            documents::documents(&found, &from, to.as_deref(), as_json).await
        }
        LookCommand::Prune(arguments) => {
            let pruned = records::prune(host, arguments.into()).await?;
            Ok(resume::pruned(&pruned, as_json))
        }
    }
}

/// The same by the process that serves the data folder.
async fn served(serving: &Serving, command: LookCommand, as_json: bool) -> Result<Exit> {
    match command {
        LookCommand::List {
            waiting: true,
            limit,
            ..
        } => {
            let path = format!("/api/waiting?limit={}", at_most(limit));
            waiting(&serving.get(&path).await?, as_json);
            Ok(Exit::Success)
        }
        LookCommand::List {
            unfinished,
            before,
            limit,
            ..
        } => {
            let limit = at_most(limit);
            let mut path = format!("/api/runs?unfinished={unfinished}&limit={limit}");
            if let Some(before) = before {
                path += &format!("&before={}", run_id(&before)?);
            }
            list(&serving.get(&path).await?, as_json);
            Ok(Exit::Success)
        }
        LookCommand::Show { id, effects } => {
            let found = serving.get(&at(&id, "")?).await?;
            show(&found, effects, as_json)
        }
        LookCommand::Resume { id: Some(id) } => {
            let resumed = serving.post(&at(&id, "/resume")?, &json!({})).await?;
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
        LookCommand::Verify { id } => {
            let path = match &id {
                Some(id) => at(id, "/verify")?,
                None => "/api/verify".to_owned(),
            };
            Ok(audit::verified(&serving.get(&path).await?, as_json))
        }
        LookCommand::Receipt { id } => {
            let receipt = serving.get(&at(&id, "/receipt")?).await?;
            audit::receipt(&serde_json::from_value(receipt)?, as_json)
        }
        LookCommand::Documents { id, to } => {
            let path = at(&id, "/documents")?;
            let found = serving.get(&path).await?;
            let found: Vec<_> = serde_json::from_value(found["documents"].clone())?;
            let from = documents::From::There(serving, path);
            documents::documents(&found, &from, to.as_deref(), as_json).await
        }
        LookCommand::Prune(arguments) => {
            let old = Old::from(arguments);
            let pruned = serving.post("/api/prune", &json!(old)).await?;
            Ok(resume::pruned(&pruned, as_json))
        }
    }
}

/// As many as the serving process lists.
fn at_most(limit: u32) -> u32 {
    if limit > MOST {
        note!("the serving process lists {MOST} at most");
    }
    limit.clamp(1, MOST)
}

/// The address of something of a run.
fn at(id: &str, what: &str) -> Result<String, Failed> {
    Ok(format!("/api/runs/{}{what}", run_id(id)?))
}

/// A run's id, if the text is one.
pub(crate) fn run_id(id: &str) -> Result<RunId, Failed> {
    id.parse().map_err(|_invalid| unknown(id))
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

/// Lists what parked runs wait for.
fn waiting(found: &Value, as_json: bool) {
    if as_json {
        return render::line(&found.to_string());
    }
    let moment = |value: &Value| {
        let at = value.as_str().and_then(|text| text.parse().ok());
        at.map_or(String::new(), |at: jiff::Timestamp| {
            at.strftime("%F %T").to_string()
        })
    };
    let rows: Vec<_> = found["waiting"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            vec![
                text("run"),
                text("workflow"),
                text("step"),
                text("for"),
                moment(&one["since"]),
                moment(&one["until"]),
            ]
        })
        .collect();
    let head = ["run", "workflow", "step", "waits for", "since", "until"];
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
