//! Sends one request of an effect and makes its outcome: what the journal records and the guest sees.

use std::sync::Arc;

use bytes::Bytes;
use docket_connections::{GateError, HeldTurn, Request};
use docket_engine::{Documents, Stop};
use docket_model::{Answer, AnswerBody, DocumentRef, HttpFailure, Outcome};
use tokio::time::Instant;

use crate::attempt::off_thread;
use crate::content::{self, Part};
use crate::documents::UNKNOWN_MEDIA_TYPE;
use crate::egress::Channel;
use crate::receive::{Lost, Received, Sink, receive};
use crate::seal::{Opaque, Seal, seal, unreadable};

/// The name of a body that is not text and was not asked for as a document.
const INLINE_BODY: &str = "body";

/// A request that is ready to be sent.
pub(crate) struct Delivery {
    pub(crate) method: String,
    pub(crate) url: Arc<str>,
    /// Where the URL is a sealed one: it, and what it is called outside.
    pub(crate) opaque: Option<Opaque>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<Part>,
    pub(crate) with_token: bool,
    /// When it must be over.
    pub(crate) deadline: Instant,
    pub(crate) sink: Sink,
    pub(crate) seal: Option<Seal>,
}

/// Sends the request, in the turn that it has where it has one, and takes in its answer.
///
/// # Errors
/// [`Stop::Fault`], where the host's own part failed.
pub(crate) async fn deliver(
    mut delivery: Delivery,
    turn: Option<HeldTurn>,
    channel: Arc<dyn Channel>,
    documents: Arc<dyn Documents>,
) -> Result<Outcome, Stop> {
    let opaque = delivery.opaque.take();
    let mask = |text: String| match &opaque {
        Some(opaque) => opaque.mask(&text),
        None => text,
    };
    match exchange(delivery, turn, channel, documents).await {
        Ok(mut answer) => {
            for (_, value) in &mut answer.headers {
                *value = mask(std::mem::take(value));
            }
            if let AnswerBody::Text(text) = &mut answer.body {
                *text = mask(std::mem::take(text));
            }
            Ok(Outcome::Answered(answer))
        }
        Err(Lost::TooLarge(limit)) => Ok(Outcome::Failed(HttpFailure::TooLarge(limit))),
        Err(Lost::Stop(stop)) => Err(stop),
        Err(Lost::Gate(error)) => failed(error, mask).map(Outcome::Failed),
    }
}

async fn exchange(
    delivery: Delivery,
    turn: Option<HeldTurn>,
    channel: Arc<dyn Channel>,
    documents: Arc<dyn Documents>,
) -> Result<Answer, Lost> {
    let request = Request {
        method: delivery.method,
        url: delivery.url,
        headers: delivery.headers,
        body: content::body(delivery.body, Arc::clone(&documents)),
        with_token: delivery.with_token,
        timeout: delivery.deadline.saturating_duration_since(Instant::now()),
    };
    let response = match turn {
        Some(turn) => channel.send_in_turn(request, turn).await,
        None => channel.send(request).await,
    };
    let response = response.map_err(Lost::Gate)?;
    let (status, headers) = (response.status, response.headers.clone());
    let plain = |headers, body| Answer {
        status,
        headers,
        body,
        sealed: Vec::new(),
    };
    let bytes = match receive(response, delivery.sink, Arc::clone(&documents)).await? {
        Received::Inline(bytes) => bytes,
        Received::Document(document) => return Ok(plain(headers, AnswerBody::Document(document))),
    };
    match (delivery.seal, String::from_utf8(bytes.into())) {
        (Some(request), Ok(text)) if !text.is_empty() => {
            let sealed = seal(&request, status, text, headers, channel.as_ref());
            let sealed = sealed.map_err(Lost::Gate)?;
            Ok(Answer {
                status,
                headers: sealed.headers,
                body: AnswerBody::Text(sealed.text),
                sealed: sealed.ciphertexts,
            })
        }
        (_, Ok(text)) => Ok(plain(headers, AnswerBody::Text(text))),
        (Some(_), Err(_)) => Err(Lost::Gate(unreadable())),
        (None, Err(error)) => {
            let document = keep(error.into_bytes().into(), documents).await;
            Ok(plain(
                headers,
                AnswerBody::Inline(document.map_err(Lost::Stop)?),
            ))
        }
    }
}

async fn keep(bytes: Bytes, documents: Arc<dyn Documents>) -> Result<DocumentRef, Stop> {
    off_thread(move || documents.put(INLINE_BODY, UNKNOWN_MEDIA_TYPE, &bytes)).await
}

fn failed(error: GateError, mask: impl Fn(String) -> String) -> Result<HttpFailure, Stop> {
    Ok(match error {
        GateError::Denied { what, remedy } => HttpFailure::Denied {
            what: mask(what),
            remedy: mask(remedy),
        },
        GateError::Invalid(problem) => HttpFailure::Invalid(mask(problem)),
        GateError::Unreachable(problem) => HttpFailure::Unreachable(mask(problem)),
        GateError::Interrupted(problem) => HttpFailure::Interrupted(mask(problem)),
        GateError::SignInRequired(problem) => HttpFailure::SignInRequired(mask(problem)),
        GateError::Fault(problem) => return Err(Stop::Fault(mask(problem))),
    })
}
