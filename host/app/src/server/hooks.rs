//! `POST /hooks/{workflow}`: a signed request starts a run. The signature is that of Standard
//! Webhooks (see `docket-connections`), and `webhook-id` names the event: the same id gives the same
//! run, however often it comes. The answer is 202 once the run is durable, and not before.
//!
//! What has no plausible signature is refused by its headers. Of the bodies that are read, few may be
//! large at a time, and none is longer than its limit or takes longer than its time.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use docket_connections::{Refused, Signature};
use docket_engine::{EngineError, Received};
use docket_model::{Digest, RunId, resolve_inputs};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::body::{announced, broken_off};
use super::problem::Problem;
use super::{Service, embedded, only};

/// The longest body, in bytes: documents of about 12 MB, as base64.
const MAX_BODY: usize = 16 << 20;
/// How long the body may take to arrive.
const MAX_TIME: Duration = Duration::from_secs(30);
/// A body that is longer is one of few.
const SMALL: usize = 256 << 10;
/// How many of those there are at a time.
const AT_ONCE: usize = 8;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

type Answer = (StatusCode, [(HeaderName, String); 1], Json<Value>);

pub(super) async fn receive(
    State(service): State<Arc<Service>>,
    Path(workflow): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Problem> {
    let Some(webhook) = service.triggers().webhook(&workflow) else {
        return Err(match service.workflows.is_broken(&workflow) {
            true => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the workflow {workflow} has problems"),
            )
            .with_help("`docket validate` shows them; send the request again when they are mended"),
            false => Problem::new(
                StatusCode::NOT_FOUND,
                format!("there is no workflow {workflow} with a webhook"),
            )
            .with_help("`docket triggers list` shows them; a workflow has one by `on: webhook`"),
        });
    };
    look_at_content(&headers)?;
    let signed = Signed::of(&headers)?;
    let connections = &service.host.connections;
    connections
        .look_at_signature(signed.signature())
        .map_err(|refused| unsigned(&refused, &workflow))?;
    let (body, _one_of_few) = read(body, &service.hooks).await?;
    let digest = Digest::of(&body);
    verify(&service, &workflow, &signed, &body).await?;

    if let Some(received) = service
        .triggers()
        .known(&webhook, &signed.id, digest)
        .await?
    {
        return answer(received, &workflow, &signed.id);
    }
    let value: Value = serde_json::from_slice(&body).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            format!("the body is no JSON: {error}"),
        )
        .with_help("send the event as a JSON object")
    })?;
    drop(body);
    let unfit =
        |problems: Vec<_>| Problem::of_inputs(StatusCode::BAD_REQUEST, "the event", problems);
    let given = service
        .triggers()
        .inputs(&webhook, &signed.id, value)
        .await?;
    let mut given = given.map_err(unfit)?;
    let documents = embedded::take(&mut given).map_err(unfit)?;
    let inputs = resolve_inputs(webhook.plan(), given).map_err(unfit)?;
    let stored = tokio::task::block_in_place(|| documents.store(service.host.documents.as_ref()));
    stored.map_err(|error| Problem::of(&error.into()))?;
    let received = service
        .triggers()
        .receive(&webhook, &signed.id, digest, inputs)
        .await
        .map_err(|error| match error {
            EngineError::MissingDocument { .. } | EngineError::Unstartable(_) => {
                Problem::new(StatusCode::BAD_REQUEST, error.to_string())
            }
            other => other.into(),
        })?;
    answer(received, &workflow, &signed.id)
}

fn answer(received: Received, workflow: &str, id: &str) -> Result<Answer, Problem> {
    let place = |run: &RunId| (header::LOCATION, format!("/api/runs/{run}"));
    match received {
        Received::Run(run) => {
            let about = json!({"id": run, "workflow": workflow, "event": id});
            Ok((StatusCode::ACCEPTED, [place(&run)], Json(about)))
        }
        Received::Different(run) => Err(Problem::new(
            StatusCode::CONFLICT,
            format!("the event {id} came before with another body, and has the run {run}"),
        )
        .with_help("give each event a webhook-id of its own")),
    }
}

/// The headers of a signature, each of which stands there once.
struct Signed {
    id: String,
    timestamp: String,
    signatures: String,
}

impl Signed {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let one = |name: HeaderName| {
            let found = only(headers, name.clone()).map(str::to_owned);
            found.ok_or_else(|| {
                let what = format!("the header {name} is missing, or stands there twice");
                Problem::unsigned(StatusCode::UNAUTHORIZED, what).with_help(SIGN)
            })
        };
        Ok(Self {
            id: one(ID)?,
            timestamp: one(TIMESTAMP)?,
            signatures: one(SIGNATURE)?,
        })
    }

    fn signature(&self) -> Signature<'_> {
        Signature {
            id: &self.id,
            timestamp: &self.timestamp,
            signatures: &self.signatures,
        }
    }
}

const SIGN: &str = "sign the request with a library of Standard Webhooks: webhook-id, \
                    webhook-timestamp and webhook-signature, for each attempt anew";

fn look_at_content(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |what: &str| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what);
    let kind = only(headers, header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    if kind != "application/json" && !(kind.starts_with("application/") && kind.ends_with("+json"))
    {
        return Err(
            refused("the body must be JSON").with_help("send `content-type: application/json`")
        );
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(refused("the body has a content-encoding").with_help("send it as it is"));
    }
    match announced(headers) {
        Some(length) if length > MAX_BODY as u64 => Err(too_large()),
        _ => Ok(()),
    }
}

fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "the body has more than 16 MB",
    )
    .with_help("store large documents with POST /api/documents, and send what it answers")
}

/// The body, and the place that it holds where it is large.
async fn read(
    body: Body,
    places: &Semaphore,
) -> Result<(Vec<u8>, Option<SemaphorePermit<'_>>), Problem> {
    match tokio::time::timeout(MAX_TIME, read_all(body, places)).await {
        Ok(read) => read,
        Err(_late) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body took more than 30 seconds",
        )
        .with_help("send it again")),
    }
}

async fn read_all(
    mut body: Body,
    places: &Semaphore,
) -> Result<(Vec<u8>, Option<SemaphorePermit<'_>>), Problem> {
    let mut read = Vec::new();
    let mut place = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| broken_off())?;
        let Some(bytes) = frame.data_ref() else {
            continue;
        };
        let length = read.len() + bytes.len();
        if length > MAX_BODY {
            return Err(too_large());
        }
        if length > SMALL && place.is_none() {
            let one = places.acquire().await;
            place = Some(one.map_err(|error| Problem::fault(&error.to_string()))?);
        }
        read.extend_from_slice(bytes);
    }
    Ok((read, place))
}

/// Asks the vault, which blocks on the disk.
async fn verify(
    service: &Service,
    workflow: &str,
    signed: &Signed,
    body: &[u8],
) -> Result<(), Problem> {
    let connections = &service.host.connections;
    let verified =
        tokio::task::block_in_place(|| connections.verify_hook(workflow, signed.signature(), body));
    verified.map_err(|refused| {
        tracing::warn!(
            workflow,
            id = signed.id,
            "a request to the webhook was refused: {refused}"
        );
        unsigned(&refused, workflow)
    })
}

fn unsigned(refused: &Refused, workflow: &str) -> Problem {
    let what = refused.to_string();
    match refused {
        Refused::NoSecret => Problem::new(StatusCode::SERVICE_UNAVAILABLE, what)
            .with_help(format!("docket triggers set-secret {workflow}")),
        Refused::Malformed(_) => Problem::new(StatusCode::BAD_REQUEST, what).with_help(SIGN),
        Refused::Stale => Problem::unsigned(StatusCode::UNAUTHORIZED, what).with_help(
            "sign each attempt anew, with the time of now; look at the clocks of both machines",
        ),
        Refused::Forged => Problem::unsigned(StatusCode::UNAUTHORIZED, what).with_help(format!(
            "sign exactly the bytes that are sent, with the secret of this workflow; \
             `docket triggers set-secret {workflow}` gives it a new one"
        )),
        Refused::Vault(_) => Problem::fault(&what),
    }
}

/// Places for large bodies.
pub(super) fn places() -> Semaphore {
    Semaphore::new(AT_ONCE)
}
