//! What an administrator does, for commands while this process owns the data folder: credentials,
//! sign-ins, tests, the vault. Bodies hold secrets here, so what is wrong with one is told without any
//! part of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, RawQuery, State};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use docket_connections::{Callback, DeviceSignIn};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::api::{Answer, Body, no_parameter, pairs, raw};
use super::problem::Problem;
use super::{Service, body};
use crate::administration::{self as administration, NewCredential, vault};
use crate::exit::{Exit, Failed};
use crate::host::random_id;

/// How many sign-ins by device code may be under way that nobody waits for yet.
const MOST_DEVICES: usize = 100;

/// Sign-ins by device code that have begun.
#[derive(Default)]
pub(super) struct Devices(Mutex<HashMap<String, DeviceSignIn>>);

/// The routes below `/api`.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/connections", get(list))
        .route("/connections/{name}/registration", get(registration))
        .route("/connections/{name}/credential", post(credential))
        .route("/connections/{name}/sign-in", post(begin))
        .route("/connections/{name}/device-sign-in", post(begin_device))
        .route("/connections/{name}/test", post(test))
        .route("/sign-ins", post(finish))
        .route("/device-sign-ins/{id}", post(finish_device))
        .route("/keep-alive", post(keep_alive))
        .route("/rights", get(rights))
        .route("/webhook-secret", post(webhook_secret))
        .route("/vault/rotate-key", post(rotate_key))
        .route("/vault/export", post(export))
        .route("/vault/import", post(import).layer(Extension(body::BACKUP)))
}

/// A body that may hold a secret.
fn read<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    serde_json::from_slice(&raw(body)?).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::of_invalid(format!(
            "the body does not fit, at line {line}, column {column}"
        ))
    })
}

async fn list(State(service): State<Arc<Service>>) -> Answer {
    Ok(Json(administration::list(&service.host).await?))
}

async fn registration(State(service): State<Arc<Service>>, Path(name): Path<String>) -> Answer {
    Ok(Json(
        administration::registration(&service.host, name).await?,
    ))
}

async fn rights(State(service): State<Arc<Service>>, RawQuery(query): RawQuery) -> Answer {
    let mut asked = None;
    for (name, value) in pairs(query.as_deref()) {
        match &*name {
            "name" => asked = Some(value),
            _ => return Err(no_parameter(&name, "name")),
        }
    }
    let scripts = administration::rights(&service.host, asked).await?;
    Ok(Json(json!({"scripts": scripts})))
}

async fn credential(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    body: Body,
) -> Answer {
    let new: NewCredential = read(body)?;
    let about = administration::take_credential(&service.host, name.clone(), new).await?;
    Ok(Json(json!({"connection": name, "credential": about})))
}

/// `POST /api/webhook-secret`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookSecret {
    /// One that was made elsewhere.
    secret: Option<String>,
}

async fn webhook_secret(State(service): State<Arc<Service>>, body: Body) -> Answer {
    let WebhookSecret { secret } = read(body)?;
    let secret = secret.map(SecretString::from);
    let made = administration::take_webhook_secret(&service.host, secret).await?;
    let made = made.as_ref().map(|secret| secret.expose_secret());
    Ok(Json(json!({"secret": made})))
}

/// Who signs in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Begin {
    /// The user, for a connection of the kind per-user.
    user: Option<String>,
    /// Where the answer goes; without it to the connection's own.
    redirect_uri: Option<String>,
}

async fn begin(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    body: Body,
) -> Answer {
    let Begin { user, redirect_uri } = read(body)?;
    let begun = administration::begin_sign_in(&service.host, name, user, redirect_uri).await;
    Ok(Json(json!(begun.map_err(administration::refused)?)))
}

/// What came to the redirect of a sign-in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finish {
    query: String,
}

async fn finish(State(service): State<Arc<Service>>, body: Body) -> Answer {
    let Finish { query } = read(body)?;
    let callback = Callback::from_query(&query)
        .ok_or_else(|| Problem::of_invalid("this is no answer of a sign-in service".to_owned()))?;
    let done = administration::finish_sign_in(&service.host, callback).await?;
    Ok(Json(json!(done)))
}

/// Which user.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Who {
    user: Option<String>,
}

async fn begin_device(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    body: Body,
) -> Answer {
    let Who { user } = read(body)?;
    let begun = administration::begin_device(&service.host, name, user).await?;
    let id = random_id().map_err(|error| Problem::of(&error))?;
    let mut shown = json!(begun);
    shown["account"] = begun.account().into();
    shown["id"] = id.as_str().into();
    let mut all = service
        .devices
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let now = service.host.now();
    all.retain(|_, one| now < one.expires_at);
    if all.len() >= MOST_DEVICES {
        let what = "too many sign-ins by device code are under way";
        return Err(Failed::new(Exit::SignInNeeded, what)
            .with_help("finish one of them, or wait until a code has expired")
            .into());
    }
    all.insert(id, begun);
    Ok(Json(shown))
}

/// Answers once the user has entered the code. Whoever goes away gives it up.
async fn finish_device(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Answer {
    let begun = {
        let mut all = service
            .devices
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.remove(&id)
    };
    let begun = begun.ok_or_else(|| {
        Failed::new(Exit::Invalid, "this sign-in is not under way")
            .with_help("begin another one; each is waited for once")
    })?;
    let done = tokio::select! {
        done = administration::finish_device(&service.host, begun) => done?,
        () = service.shutdown.cancelled() => {
            return Err(Failed::new(Exit::SignInNeeded, "the host is shutting down").into());
        }
    };
    Ok(Json(json!(done)))
}

async fn keep_alive(State(service): State<Arc<Service>>) -> Answer {
    Ok(Json(administration::keep_alive(&service.host).await?))
}

/// What to try of a connection.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    user: Option<String>,
    #[serde(default)]
    send: bool,
}

async fn test(State(service): State<Arc<Service>>, Path(name): Path<String>, body: Body) -> Answer {
    let Test { user, send } = read(body)?;
    let report = administration::probe(&service.host, &name, user, send).await?;
    Ok(Json(json!(report)))
}

async fn rotate_key(State(service): State<Arc<Service>>, body: Body) -> Answer {
    let new: vault::NewKey = read(body)?;
    let place = administration::aside(&service.host, move |host| {
        vault::rotate(&host.project, host.connections.vault(), new)
    });
    Ok(Json(json!({"key": place.await?})))
}

/// `POST /api/vault/export`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    passphrase: String,
}

async fn export(State(service): State<Arc<Service>>, body: Body) -> Answer {
    let Export { passphrase } = read(body)?;
    let passphrase = SecretString::from(passphrase);
    let backup = administration::aside(&service.host, move |host| {
        let backup = host.connections.vault().export(&passphrase);
        backup.map_err(vault::of_backup)
    });
    Ok(Json(json!({"backup": backup.await?})))
}

/// `POST /api/vault/import`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Import {
    backup: String,
    passphrase: String,
    #[serde(default)]
    replace: bool,
}

async fn import(State(service): State<Arc<Service>>, body: Body) -> Answer {
    let Import {
        backup,
        passphrase,
        replace,
    } = read(body)?;
    let passphrase = SecretString::from(passphrase);
    let done = administration::aside(&service.host, move |host| {
        let done = host.connections.import(&backup, &passphrase, replace);
        done.map_err(vault::of_backup)
    });
    let done = done.await?;
    let answer: Value = json!({"stored": done.stored, "kept": done.kept});
    Ok(Json(answer))
}
