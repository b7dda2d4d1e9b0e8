//! `/api/triggers` and `/api/workflows`: what starts by itself, how it is, and what is changed of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use docket_connections::HookSecret;
use docket_model::parse_duration;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Service;
use super::api::{Answer, Body, Nothing, read};
use super::problem::Problem;
use crate::answers;

/// How long the secret before stays valid where nothing is said.
pub(crate) const OVERLAP: &str = "24h";

pub(super) async fn list(State(service): State<Arc<Service>>) -> Answer {
    let triggers = service.triggers().list().await?;
    let found = tokio::task::block_in_place(|| {
        answers::triggers(&triggers, &service.host.connections, &service.url())
    });
    Ok(Json(
        found.map_err(|error| Problem::fault(&error.to_string()))?,
    ))
}

/// `POST /api/triggers/reset`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    /// The trigger's name, as `GET /api/triggers` has it.
    trigger: String,
}

pub(super) async fn reset(State(service): State<Arc<Service>>, body: Body) -> Answer {
    let Reset { trigger } = read(body)?;
    let was_set = service.triggers().reset(&trigger).await?;
    Ok(Json(json!({"trigger": trigger, "was-set": was_set})))
}

/// `POST /api/triggers/secret`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    /// The workflow whose webhook it is for.
    workflow: String,
    /// The secret; one is made, and answered this once, where none is given.
    secret: Option<String>,
    /// How long the one before stays valid: `24h`.
    overlap: Option<String>,
}

pub(super) async fn set_secret(State(service): State<Arc<Service>>, body: Body) -> Answer {
    let Secret {
        workflow,
        secret,
        overlap,
    } = read(body)?;
    if service.triggers().webhook(&workflow).is_none() {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("there is no workflow {workflow} with a webhook"),
        )
        .with_help("give it one with `on: webhook`"));
    }
    let wrong = |what: String| Problem::new(StatusCode::BAD_REQUEST, what);
    let given = secret.map(SecretString::from);
    let given = given.as_ref().map(HookSecret::parse).transpose();
    let given = given.map_err(|error| wrong(error.to_string()))?;
    let overlap = overlap.as_deref().unwrap_or(OVERLAP);
    let Some(overlap) = parse_duration(overlap) else {
        return Err(wrong(format!(
            "`{overlap}` is no duration; write it as `24h`"
        )));
    };
    let made = tokio::task::block_in_place(|| {
        answers::set_secret(&service.host.connections, &workflow, given, overlap)
    });
    let made = made.map_err(|error| Problem::fault(&error.to_string()))?;
    tracing::info!(workflow, "the webhook has a new secret");
    Ok(Json(json!({
        "workflow": workflow,
        "url": format!("{}{}", service.url(), answers::hook_path(&workflow)),
        "secret": made.as_ref().map(|secret| secret.text().expose_secret()),
    })))
}

pub(super) async fn workflows(State(service): State<Arc<Service>>) -> Json<Value> {
    Json(service.workflows.list())
}

/// Looks at the files now, and answers what is there then.
pub(super) async fn reload(State(service): State<Arc<Service>>, body: Body) -> Answer {
    let Nothing {} = read(body)?;
    service.workflows.look_again().await;
    Ok(Json(service.workflows.list()))
}
