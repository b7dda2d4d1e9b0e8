//! `/api`: runs, what they wait for, and connections.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderName, StatusCode, header};
use docket_engine::{RunFilter, WaitFilter};
use docket_model::{Plan, RunId, Signal, resolve_inputs};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

pub(super) use super::body::Whole as Body;
use super::problem::Problem;
use super::{Service, embedded, workflows};
use crate::answers::{self, result_word};
use crate::commands::{copy_data, step_path};
use crate::host::random_id;

pub(super) type Answer = Result<Json<Value>, Problem>;

/// How many runs a list has where nothing is said, and at most.
const USUAL: u32 = 50;
const MOST: u32 = 1_000;
/// How long a request waits at most that asks for a run's end.
const PATIENCE: Duration = Duration::from_secs(25);

/// `POST /api/runs`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    /// The workflow's name.
    workflow: String,
    /// The inputs; documents as `POST /api/documents` answers them, or small ones in base64.
    #[serde(default)]
    inputs: Map<String, Value>,
    /// The run's id. The same id with the same inputs starts nothing more.
    id: Option<RunId>,
}

pub(super) async fn start(
    State(service): State<Arc<Service>>,
    body: Body,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Value>), Problem> {
    let Start {
        workflow,
        mut inputs,
        id,
    } = read(body)?;
    let plan = plan(&service, workflow).await?;
    let unfit = |problems: Vec<_>| {
        Problem::of_inputs(StatusCode::UNPROCESSABLE_ENTITY, "the request", problems)
    };
    let documents = embedded::take(&mut inputs).map_err(unfit)?;
    let inputs = resolve_inputs(&plan, inputs).map_err(unfit)?;
    let host = &service.host;
    let stored = tokio::task::block_in_place(|| documents.store(host.documents.as_ref()));
    stored.map_err(|error| Problem::of(&error.into()))?;
    let id = match id {
        Some(id) => id,
        None => host.new_run_id().map_err(|error| Problem::of(&error))?,
    };
    host.engine.start(&id, &plan, inputs).await?;
    let place = (header::LOCATION, format!("/api/runs/{id}"));
    let answer = json!({"id": id, "workflow": plan.workflow});
    Ok((StatusCode::ACCEPTED, [place], Json(answer)))
}

/// `GET /api/inputs?workflow=…`: what a workflow takes, by name and type, and its steps.
pub(super) async fn inputs(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
) -> Answer {
    let mut asked = None;
    for (name, value) in pairs(query.as_deref()) {
        match &*name {
            "workflow" => asked = Some(value),
            _ => return Err(no_parameter(&name, "workflow")),
        }
    }
    let asked = asked.ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "the parameter `workflow` is missing",
        )
    })?;
    let plan = plan(&service, asked).await?;
    let steps: Vec<Value> = plan
        .all_steps()
        .map(|step| json!({"id": step.id, "uses": format!("{}/{}", step.plugin, step.action)}))
        .collect();
    Ok(Json(
        json!({"workflow": plan.workflow, "inputs": plan.inputs, "steps": steps}),
    ))
}

async fn plan(service: &Service, workflow: String) -> Result<Plan, Problem> {
    let host = Arc::clone(&service.host);
    let planned = tokio::task::spawn_blocking(move || workflows::plan(&host, &workflow));
    planned
        .await
        .map_err(|error| Problem::fault(&error.to_string()))?
}

/// `GET /api/runs?unfinished=true&workflow=…&limit=…`, and with `&before=RUN` those that follow in the
/// list after this one.
pub(super) async fn runs(State(service): State<Arc<Service>>, RawQuery(query): RawQuery) -> Answer {
    let mut filter = RunFilter {
        limit: Some(USUAL),
        ..RunFilter::default()
    };
    for (name, value) in pairs(query.as_deref()) {
        match &*name {
            "unfinished" => filter.only_unfinished = fact(&name, &value)?,
            "workflow" => filter.workflow = Some(value),
            "before" => filter.before = Some(run_id(&value)?),
            "limit" => filter.limit = Some(limit(&value)?),
            _ => {
                return Err(no_parameter(
                    &name,
                    "unfinished, workflow, before and limit",
                ));
            }
        }
    }
    Ok(Json(
        answers::runs(service.host.store.as_ref(), filter).await?,
    ))
}

/// `GET /api/runs/{id}`; with `?wait=true` only once it has ended or waits, or after 25 seconds. With
/// `?after=N` without its first N events, and then `wait` ends as soon as there is another one.
pub(super) async fn run(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let id = run_id(&id)?;
    let (mut waits, mut after) = (false, None);
    for (name, value) in pairs(query.as_deref()) {
        match &*name {
            "wait" => waits = fact(&name, &value)?,
            "after" => after = Some(number(&name, &value)?),
            _ => return Err(no_parameter(&name, "wait and after")),
        }
    }
    let store = service.host.store.as_ref();
    if waits {
        let rests = async {
            let mut news = service.watch.news();
            loop {
                let about = store.run(&id).await;
                let is_under_way = matches!(&about, Ok(Some(run)) if run.result.is_none()
                    && !run.is_parked
                    && after.is_none_or(|after| run.events <= after));
                if !is_under_way {
                    break;
                }
                // A run is parked a moment after it says that it waits.
                let of_it = async { while news.recv().await.is_ok_and(|run| run != id) {} };
                let _ = tokio::time::timeout(Duration::from_millis(200), of_it).await;
            }
        };
        tokio::select! {
            () = rests => {}
            () = tokio::time::sleep(PATIENCE) => {}
            () = service.shutdown.cancelled() => {}
        }
    }
    let found = answers::run(store, &id, after.unwrap_or(0)).await?;
    Ok(Json(found.ok_or_else(|| no_run(id.as_str()))?))
}

pub(super) async fn cancel(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    body: Body,
) -> Answer {
    let Nothing {} = read(body)?;
    let id = run_id(&id)?;
    let result = service.host.engine.cancel(&id).await?;
    Ok(Json(json!({"id": id, "state": result_word(&result)})))
}

pub(super) async fn resume(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    body: Body,
) -> Answer {
    let Nothing {} = read(body)?;
    let id = run_id(&id)?;
    service.host.engine.resume(&id).await?;
    Ok(Json(json!({"id": id})))
}

/// `POST /api/runs/{id}/rerun`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rerun {
    /// The new run's id.
    id: Option<RunId>,
}

pub(super) async fn rerun(
    State(service): State<Arc<Service>>,
    Path(older): Path<String>,
    body: Body,
) -> Answer {
    let Rerun { id } = read(body)?;
    let older = run_id(&older)?;
    let host = &service.host;
    let id = match id {
        Some(id) => id,
        None => host.new_run_id().map_err(|error| Problem::of(&error))?,
    };
    host.engine.rerun(&older, &id).await?;
    Ok(Json(json!({"id": id, "older": older})))
}

/// `POST /api/runs/{id}/signals`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    /// The signal's id; the same one again changes nothing.
    id: Option<String>,
    name: String,
    #[serde(default)]
    payload: Value,
}

pub(super) async fn signal(
    State(service): State<Arc<Service>>,
    Path(run): Path<String>,
    body: Body,
) -> Answer {
    let Told { id, name, payload } = read(body)?;
    tell(&service, &run, id, Signal::Event { name, payload }).await
}

/// `POST /api/runs/{id}/approvals`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    id: Option<String>,
    /// The step that asks: its id, or `id[3]`.
    step: String,
    approved: bool,
    by: String,
    #[serde(default)]
    comment: String,
}

pub(super) async fn decide(
    State(service): State<Arc<Service>>,
    Path(run): Path<String>,
    body: Body,
) -> Answer {
    let Decision {
        id,
        step,
        approved,
        by,
        comment,
    } = read(body)?;
    let path = step_path(&step).map_err(|wrong| Problem::new(StatusCode::BAD_REQUEST, wrong))?;
    let signal = Signal::Decision {
        path,
        approved,
        by,
        comment,
    };
    tell(&service, &run, id, signal).await
}

async fn tell(service: &Service, run: &str, id: Option<String>, signal: Signal) -> Answer {
    let run = run_id(run)?;
    let id = match id {
        Some(id) => id,
        None => random_id().map_err(|error| Problem::of(&error))?,
    };
    service.host.engine.signal(&run, &id, signal).await?;
    Ok(Json(json!({"id": run, "signal": id})))
}

/// `GET /api/waiting?run=…&kind=…&limit=…`.
pub(super) async fn waiting(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
) -> Answer {
    let mut filter = WaitFilter {
        limit: Some(USUAL),
        ..WaitFilter::default()
    };
    for (name, value) in pairs(query.as_deref()) {
        match &*name {
            "run" => filter.run = Some(run_id(&value)?),
            "kind" => filter.kind = Some(value),
            "limit" => filter.limit = Some(limit(&value)?),
            _ => return Err(no_parameter(&name, "run, kind and limit")),
        }
    }
    Ok(Json(
        answers::waiting(service.host.store.as_ref(), filter).await?,
    ))
}

/// `POST /api/backup`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Copied {
    /// The new folder, by its whole path on this machine.
    to: std::path::PathBuf,
}

pub(super) async fn backup(State(service): State<Arc<Service>>, body: Body) -> Answer {
    let Copied { to } = read(body)?;
    if !to.is_absolute() {
        let what = "`to` is the whole path of a folder on this machine";
        return Err(Problem::new(StatusCode::BAD_REQUEST, what));
    }
    let (host, folder) = (Arc::clone(&service.host), to.clone());
    let made = service.alone(async move {
        let (store, documents) = &host.files;
        copy_data(&host.project.data, store, documents, &folder).await
    });
    let made = made.await?.map_err(|error| Problem::of(&error))?;
    Ok(Json(
        json!({"folder": to, "runs": made.runs, "documents": made.documents}),
    ))
}

/// A body that says nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// A body as JSON; an empty one is an object without members.
pub(super) fn read<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    serde_json::from_slice(&raw(body)?)
        .map_err(|error| Problem::of_invalid(format!("the body does not fit: {error}")))
}

/// The same as it was sent.
pub(super) fn raw(body: Body) -> Result<Bytes, Problem> {
    let bytes = body.bytes()?;
    Ok(match bytes.is_empty() {
        true => Bytes::from_static(b"{}"),
        false => bytes,
    })
}

pub(super) fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    let query = query.unwrap_or_default().as_bytes();
    url::form_urlencoded::parse(query).into_owned().collect()
}

pub(super) fn run_id(text: &str) -> Result<RunId, Problem> {
    text.parse().map_err(|_invalid| no_run(text))
}

pub(super) fn no_run(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no run {id}"))
        .with_help("GET /api/runs lists them")
}

pub(super) fn fact(name: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("`{name}` is true or false"),
        )),
    }
}

fn number(name: &str, value: &str) -> Result<u64, Problem> {
    value.parse().map_err(|_error| {
        let what = format!("`{name}` is a whole number");
        Problem::new(StatusCode::BAD_REQUEST, what)
    })
}

fn limit(value: &str) -> Result<u32, Problem> {
    let number = value
        .parse()
        .ok()
        .filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| {
        let what = format!("`limit` is a number from 1 to {MOST}");
        Problem::new(StatusCode::BAD_REQUEST, what)
    })
}

pub(super) fn no_parameter(name: &str, known: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        format!("there is no parameter `{name}`"),
    )
    .with_help(format!("there are {known}"))
}
