//! `docket run`: one run, from the file to its end.

mod served;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use docket_engine::EngineError;
use docket_model::{EventKind, Plan, RunId, RunResult};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cli::{Global, RunArgs};
use crate::exit::{Exit, Failed};
use crate::host::{Host, engine_failed, store_failed};
use crate::inputs;
use crate::project::Project;
use crate::render::{self, note};
use crate::server::client::Serving;
use crate::view::RunView;

/// A run that was driven as far as it went.
pub(crate) struct Done {
    pub(crate) id: RunId,
    pub(crate) workflow: String,
    pub(crate) result: RunResult,
}

pub(crate) async fn run(global: &Global, arguments: &RunArgs) -> Result<Exit> {
    if arguments.dry_run {
        return super::dry_run::run(global, arguments).await;
    }
    let project = Project::load(global)?;
    if let Some(serving) = Serving::find(&project.data).await {
        let done = served::run(&serving, arguments).await?;
        print(&done, global.json);
        return Ok(exit_of(&done.result));
    }
    let host = Host::open(project, global).await?;
    let done = workflow(
        &host,
        &arguments.file,
        arguments.inputs_file.as_deref(),
        &arguments.inputs,
        arguments.id.as_deref(),
    )
    .await?;
    print(&done, global.json);
    Ok(exit_of(&done.result))
}

/// Checks a workflow, starts a run of it and drives it.
pub(crate) async fn workflow(
    host: &Host,
    file: &Path,
    inputs_file: Option<&Path>,
    given: &[String],
    id: Option<&str>,
) -> Result<Done> {
    let plan = host.plan(file)?;
    let inputs = inputs::read(&plan, inputs_file, given, host.documents.as_ref())?;
    let inputs = inputs::resolved(&plan, inputs)?;
    let id = match id {
        Some(id) => id
            .parse()
            .map_err(|error| Failed::new(Exit::Usage, format!("{id}: {error}")))?,
        None => host.new_run_id()?,
    };
    let started = host.engine.start(&id, &plan, inputs).await;
    started.map_err(|error| engine_failed(&error))?;
    drive_plan(host, &id, &plan, &CancellationToken::new()).await
}

/// Goes on with a run that was started before.
pub(crate) async fn drive(host: &Host, id: &RunId) -> Result<Done> {
    let plan = plan_of(host, id).await?;
    drive_plan(host, id, &plan, &CancellationToken::new()).await
}

/// The same with several runs in turn: whoever interrupts one cancels `park`, and means all.
pub(crate) async fn drive_next(host: &Host, id: &RunId, park: &CancellationToken) -> Result<Done> {
    let plan = plan_of(host, id).await?;
    drive_plan(host, id, &plan, park).await
}

/// The plan that a run follows.
pub(crate) async fn plan_of(host: &Host, id: &RunId) -> Result<Plan> {
    let damaged = |error| store_failed(&error);
    let events = host.store.events(id).await.map_err(damaged)?;
    let plan = match events.first().map(|event| &event.kind) {
        Some(EventKind::RunStarted { plan, .. }) => {
            host.store.blob(*plan).await.map_err(damaged)?
        }
        _ => None,
    };
    match plan {
        Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
        None => Err(Failed::new(Exit::Storage, format!("run {id} has no plan"))
            .with_help("restore the data folder from a backup")
            .into()),
    }
}

async fn drive_plan(
    host: &Host,
    id: &RunId,
    plan: &Plan,
    park: &CancellationToken,
) -> Result<Done> {
    note!("{}  run {id}", plan.workflow);
    let driven = host
        .engine
        .drive(id, Arc::new(RunView::new(plan)), park.clone());
    tokio::pin!(driven);
    let result = tokio::select! {
        result = &mut driven => result,
        _ = tokio::signal::ctrl_c() => {
            note!("ending what is under way …");
            park.cancel();
            driven.await
        }
    };
    match result {
        Ok(result) => Ok(Done {
            id: id.clone(),
            workflow: plan.workflow.clone(),
            result,
        }),
        Err(EngineError::Parked(_)) => Err(Failed::new(
            Exit::Waits,
            format!("run {id} was interrupted, nothing is lost"),
        )
        .with_help(format!("go on with: docket runs resume {id}"))
        .into()),
        Err(error) => Err(engine_failed(&error).into()),
    }
}

/// The exit code of a run's end.
pub(crate) const fn exit_of(result: &RunResult) -> Exit {
    match result {
        RunResult::Succeeded { .. } => Exit::Success,
        RunResult::Failed { .. } | RunResult::Cancelled => Exit::RunFailed,
    }
}

/// Prints a run's end.
pub(crate) fn print(done: &Done, as_json: bool) {
    if as_json {
        render::line(
            &json!({"id": done.id, "workflow": done.workflow, "result": done.result}).to_string(),
        );
    } else if let RunResult::Succeeded { outputs } = &done.result
        && outputs
            .as_object()
            .is_some_and(|outputs| !outputs.is_empty())
    {
        render::line(&format!("{outputs:#}"));
    }
}
