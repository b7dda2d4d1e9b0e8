//! `docket run` where a serving process owns the data folder: that one starts the run and drives it,
//! and this one shows its steps.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use docket_engine::Reporter as _;
use docket_model::{Account, DocumentRef, Event, InputSpec, RunId, RunResult};
use docket_sign_ins::link;
use serde_json::{Value, json};

use super::Done;
use crate::cli::RunArgs;
use crate::exit::{Exit, Failed};
use crate::inputs;
use crate::render::note;
use crate::server::client::Serving;
use crate::view::RunView;

/// How often a run is looked at that waits for time to pass.
const LOOK: Duration = Duration::from_secs(1);

/// Starts a run there, and waits for its end.
pub(super) async fn run(serving: &Serving, arguments: &RunArgs) -> Result<Done> {
    let file = std::path::absolute(&arguments.file)?;
    let file = file.to_str().context("the workflow's path is not UTF-8")?;
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("workflow", file)
        .finish();
    let about = serving.get(&format!("/api/inputs?{query}")).await?;
    let specs: BTreeMap<String, InputSpec> = serde_json::from_value(about["inputs"].clone())?;
    let runtime = tokio::runtime::Handle::current();
    let store =
        |path: &Path| tokio::task::block_in_place(|| runtime.block_on(store(serving, path)));
    let given = inputs::read_with(
        &specs,
        arguments.inputs_file.as_deref(),
        &arguments.inputs,
        &store,
    )?;
    let order = json!({"workflow": file, "inputs": given, "id": arguments.id});
    let started = serving.post("/api/runs", &order).await?;
    let id: RunId = serde_json::from_value(started["id"].clone())?;
    let workflow = started["workflow"].as_str().unwrap_or_default().to_owned();
    note!(
        "{workflow}  run {id}, by the process that serves {}",
        serving.url()
    );
    let steps = about["steps"].as_array().into_iter().flatten();
    let view = RunView::of(steps.map(|step| {
        let text = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
        (text("id"), text("uses"))
    }));
    let result = tokio::select! {
        result = end(serving, &id, &view) => result?,
        _ = tokio::signal::ctrl_c() => {
            let message = format!("run {id} goes on, and nobody waits for it here");
            return Err(Failed::new(Exit::Waits, message)
                .with_help(format!("docket runs cancel {id} ends it"))
                .into());
        }
    };
    Ok(Done {
        id,
        workflow,
        result,
    })
}

async fn store(serving: &Serving, path: &Path) -> Result<DocumentRef> {
    let bytes = tokio::fs::read(path).await;
    let bytes = bytes.map_err(|error| inputs::missing(path, &error))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    serving.put_document(&name, bytes).await
}

/// Shows what the run does, until its end or until it waits for somebody.
async fn end(serving: &Serving, id: &RunId, view: &RunView) -> Result<RunResult> {
    let mut shown = 0;
    loop {
        let path = format!("/api/runs/{id}?wait=true&after={shown}");
        let run = serving.get(&path).await?;
        let events: Vec<Event> = serde_json::from_value(run["events"].clone())?;
        shown += events.len();
        for event in &events {
            view.event(id, event);
        }
        if !run["result"].is_null() {
            return Ok(serde_json::from_value(run["result"].clone())?);
        }
        let waits = run["waits-for"].as_array();
        if let Some(error) = waits
            .into_iter()
            .flatten()
            .find_map(|one| somebody(serving, id, one))
        {
            return Err(error.into());
        }
        if run["state"] == "waiting" {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What to say where only somebody can end a wait.
fn somebody(serving: &Serving, id: &RunId, wait: &Value) -> Option<Failed> {
    let text = |name: &str| wait[name].as_str().unwrap_or_default();
    let message = format!("run {id} waits at {} for {}", text("step"), text("for"));
    Some(match text("kind") {
        "timer" | "retry" => return None,
        "sign-in" => {
            let account = Account::new(text("connection"), wait["user"].as_str());
            let link = link(&serving.url(), &account);
            Failed::new(
                Exit::SignInNeeded,
                format!("{message}: {}", text("message")),
            )
            .with_help(format!("sign in at {link}, and it goes on by itself"))
        }
        "approval" => Failed::new(Exit::Waits, message).with_help(format!(
            "docket runs approve {id} {} --by WHO, or reject",
            text("step")
        )),
        _ => Failed::new(Exit::Waits, message)
            .with_help(format!("docket runs signal {id} {}", text("event"))),
    })
}
