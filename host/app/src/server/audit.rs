//! What the records of runs prove and hold, for commands while this process owns the data folder.

use std::sync::Arc;

use axum::body::{Body as Bytes, Bytes as Piece};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use docket_engine::DocumentReader;
use docket_model::Digest;
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;

use super::Service;
use super::api::{Answer, Body, no_run, read, run_id};
use super::problem::Problem;
use crate::records::{self, Old, Replacement};

/// How much of a document is read at a time, in bytes.
const PIECE: usize = 1 << 18;

/// The routes below `/api`.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/verify", get(verify_all))
        .route("/runs/{id}/verify", get(verify))
        .route("/runs/{id}/receipt", get(receipt))
        .route("/runs/{id}/replay", post(replay))
        .route("/runs/{id}/documents", get(documents))
        .route("/runs/{id}/documents/{digest}", get(document))
        .route("/prune", post(prune))
}

async fn verify_all(State(service): State<Arc<Service>>) -> Answer {
    Ok(Json(records::verify(&service.host, None).await?))
}

async fn verify(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Answer {
    let run = run_id(&id)?;
    Ok(Json(records::verify(&service.host, Some(run)).await?))
}

async fn receipt(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Answer {
    let receipt = service.host.engine.receipt(&run_id(&id)?).await?;
    Ok(Json(json!(receipt)))
}

/// `POST /api/runs/{id}/replay`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replay {
    #[serde(default)]
    plugins: Vec<Replacement>,
}

async fn replay(State(service): State<Arc<Service>>, Path(id): Path<String>, body: Body) -> Answer {
    let Replay { plugins } = read(body)?;
    let run = run_id(&id)?;
    Ok(Json(records::replay(&service.host, &run, &plugins).await?))
}

async fn prune(State(service): State<Arc<Service>>, body: Body) -> Answer {
    let old: Old = read(body)?;
    let host = Arc::clone(&service.host);
    let pruned = service.alone(async move { records::prune(&host, old).await });
    Ok(Json(pruned.await??))
}

async fn documents(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Answer {
    let all = records::documents(&service.host, &run_id(&id)?).await?;
    Ok(Json(json!({"documents": all})))
}

/// The bytes of a document that the run took in or made.
async fn document(
    State(service): State<Arc<Service>>,
    Path((id, digest)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (run, host) = (run_id(&id)?, &service.host);
    if host.store.run(&run).await?.is_none() {
        return Err(no_run(&id));
    }
    // Whoever may see one run may see all; so the run's events need not be read for each document.
    let known = match digest.parse() {
        Ok(digest) if host.store.uses_document(digest).await? => Some(digest),
        _ => None,
    };
    let digest: Digest = known.ok_or_else(|| {
        Problem::of_invalid(format!("the run {id} has no document of this digest"))
    })?;
    let documents = Arc::clone(&host.documents);
    let opened = tokio::task::spawn_blocking(move || documents.open(digest));
    let opened = opened
        .await
        .map_err(|error| Problem::fault(&error.to_string()))?
        .map_err(|error| Problem::fault(&error.to_string()))?;
    let reader = opened.ok_or_else(|| records::document_gone(&digest.to_string()))?;
    let size = reader.size();
    let pieces = stream::try_unfold(0_u64, move |offset| {
        let reader = Arc::clone(&reader);
        async move {
            let piece = tokio::task::spawn_blocking(move || piece(reader.as_ref(), offset));
            let piece = piece.await.map_err(std::io::Error::other)??;
            let next = offset + piece.len() as u64;
            Ok::<_, std::io::Error>((!piece.is_empty()).then_some((piece, next)))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, Bytes::from_stream(pieces)).into_response())
}

fn piece(reader: &dyn DocumentReader, offset: u64) -> std::io::Result<Piece> {
    let mut buffer = vec![0; PIECE];
    let count = reader.read_at(offset, &mut buffer)?;
    buffer.truncate(count);
    Ok(buffer.into())
}
