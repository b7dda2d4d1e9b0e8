//! Sends one request of an effect and makes its outcome: what the journal records and the guest sees.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use docket_connections::{GateError, Request};
use docket_engine::{Documents, Stop};
use docket_model::{Answer, AnswerBody, DocumentRef, HttpFailure, Outcome};

use crate::attempt::off_thread;
use crate::content::{self, Part};
use crate::documents::UNKNOWN_MEDIA_TYPE;
use crate::egress::Channel;
use crate::receive::{Lost, Received, Sink, receive};
use crate::seal::{Seal, seal, unreadable};

/// The name of a body that is not text and was not asked for as a document.
const INLINE_BODY: &str = "body";

/// A request that is ready to be sent.
pub(crate) struct Delivery {
    pub(crate) method: String,
    /// The true URL; a secret where it was sealed.
    pub(crate) url: Arc<str>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<Part>,
    pub(crate) with_token: bool,
    pub(crate) timeout: Duration,
    pub(crate) sink: Sink,
    pub(crate) seal: Option<Seal>,
}

/// Sends the request and takes in its answer.
///
/// # Errors
/// [`Stop::Fault`], where the host's own part failed.
pub(crate) async fn deliver(
    delivery: Delivery,
    channel: Arc<dyn Channel>,
    documents: Arc<dyn Documents>,
) -> Result<Outcome, Stop> {
    let Delivery {
        method,
        url,
        headers,
        body,
        with_token,
        timeout,
        sink,
        seal,
    } = delivery;
    let body = content::body(body, Arc::clone(&documents));
    let request = Request {
        method,
        url,
        headers,
        body,
        with_token,
        timeout,
    };
    let exchange = async {
        let response = channel.send(request).await.map_err(Lost::Gate)?;
        let (status, headers) = (response.status, response.headers.clone());
        let body = receive(response, sink, Arc::clone(&documents)).await?;
        Ok((status, headers, body))
    };
    let (status, headers, body) = match exchange.await {
        Ok(answer) => answer,
        Err(Lost::TooLarge(limit)) => return Ok(Outcome::Failed(HttpFailure::TooLarge(limit))),
        Err(Lost::Stop(stop)) => return Err(stop),
        Err(Lost::Gate(error)) => return failed(error).map(Outcome::Failed),
    };
    let (headers, body, sealed) = match body {
        Received::Document(document) => (headers, AnswerBody::Document(document), Vec::new()),
        Received::Inline(bytes) => match (seal, String::from_utf8(bytes.into())) {
            (Some(request), Ok(text)) if !text.is_empty() => {
                match self::seal(&request, status, text, headers, channel.as_ref()) {
                    Ok(sealed) => (
                        sealed.headers,
                        AnswerBody::Text(sealed.text),
                        sealed.ciphertexts,
                    ),
                    Err(error) => return failed(error).map(Outcome::Failed),
                }
            }
            (_, Ok(text)) => (headers, AnswerBody::Text(text), Vec::new()),
            (Some(_), Err(_)) => return failed(unreadable()).map(Outcome::Failed),
            (None, Err(error)) => {
                let document = keep(error.into_bytes().into(), documents).await?;
                (headers, AnswerBody::Inline(document), Vec::new())
            }
        },
    };
    Ok(Outcome::Answered(Answer {
        status,
        headers,
        body,
        sealed,
    }))
}

async fn keep(bytes: Bytes, documents: Arc<dyn Documents>) -> Result<DocumentRef, Stop> {
    off_thread(move || documents.put(INLINE_BODY, UNKNOWN_MEDIA_TYPE, &bytes)).await
}

fn failed(error: GateError) -> Result<HttpFailure, Stop> {
    Ok(match error {
        GateError::Denied { what, remedy } => HttpFailure::Denied { what, remedy },
        GateError::Invalid(problem) => HttpFailure::Invalid(problem),
        GateError::Unreachable(problem) => HttpFailure::Unreachable(problem),
        GateError::Interrupted(problem) => HttpFailure::Interrupted(problem),
        GateError::SignInRequired(problem) => HttpFailure::SignInRequired(problem),
        GateError::Fault(problem) => return Err(Stop::Fault(problem)),
    })
}
