//! Checks a guest's request and makes of it what the journal keeps and what is sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use docket_model::{Digest, DocumentRef, PartRecord, Principal, RequestRecord};
use tokio::time::Instant;
use wasmtime::component::Resource;

use crate::attempt::Attempt;
use crate::bindings::http::{self, HttpError, Receive};
use crate::content::Part;
use crate::delivery::Delivery;
use crate::documents::{check_media_type, check_name};
use crate::handles::Document;
use crate::receive::Sink;
use crate::seal::{Opaque, Place, SCHEME, Seal};

const URL_AT_MOST: usize = 8 << 10;
const HEADERS_AT_MOST: usize = 64;
const HEADER_BYTES_AT_MOST: usize = 32 << 10;
const PARTS_AT_MOST: usize = 64;
const INLINE_BODY_AT_MOST: usize = 4 << 20;
const SEALS_AT_MOST: usize = 16;
/// The most of an answer's body that enters a guest's memory at once.
const INLINE_ANSWER_AT_MOST: u32 = 4 << 20;

/// A request, checked.
pub(crate) struct Prepared {
    pub(crate) record: RequestRecord,
    pub(crate) delivery: Delivery,
}

/// Where a request stands: which effect, which of its requests, and the document bytes that it may
/// receive.
pub(crate) struct Slot {
    pub(crate) effect: u32,
    pub(crate) request: usize,
    pub(crate) document_bytes: u64,
}

/// Whether sending it twice does what sending it once does.
pub(crate) fn is_repeatable(request: &http::Request) -> bool {
    request.repeatable || matches!(request.method.as_str(), "GET" | "HEAD")
}

/// Checks the request.
///
/// # Errors
/// The inner error is the guest's answer, and depends on nothing but the request. The outer one is a
/// trap: a handle that is none, which the guest's own bindings rule out.
pub(crate) fn prepare(
    attempt: &mut Attempt,
    request: http::Request,
    slot: &Slot,
) -> wasmtime::Result<Result<Prepared, HttpError>> {
    let parts = match parts(attempt, &request.body)? {
        Ok(parts) => parts,
        Err(problem) => return Ok(Err(HttpError::Invalid(problem))),
    };
    if let Some(token) = &request.token {
        attempt.table.get(token)?;
    }
    Ok(assemble(attempt, request, parts, slot)?.map_err(HttpError::Invalid))
}

fn assemble(
    attempt: &mut Attempt,
    request: http::Request,
    parts: Vec<(PartRecord, Part)>,
    slot: &Slot,
) -> wasmtime::Result<Result<Prepared, String>> {
    let work = attempt.work()?;
    let with_token = request.token.is_some();
    if let Err(problem) = check_head(&request) {
        return Ok(Err(problem));
    }
    let opaque = if request.url.starts_with(SCHEME) {
        match work.sealed.get(&request.url) {
            Some(_) if with_token => {
                return Ok(Err(
                    "a sealed URL holds its own secret; send it without a token".into(),
                ));
            }
            Some(url) => Some(Opaque {
                url: Arc::clone(url),
                name: request.url.clone(),
            }),
            None => {
                return Ok(Err(format!(
                    "`{}` is no sealed URL of this attempt",
                    request.url
                )));
            }
        }
    } else {
        None
    };
    let url = match &opaque {
        Some(opaque) => Arc::clone(&opaque.url),
        None => request.url.as_str().into(),
    };
    let (sink, seal) = match sink_and_seal(&request, slot, &work.idempotency_key) {
        Ok(found) => found,
        Err(problem) => return Ok(Err(problem)),
    };
    let sent_as = work
        .account
        .as_ref()
        .filter(|_| with_token)
        .map(|account| Principal {
            connection: account.connection.clone(),
            account: account.name.clone(),
        });
    let timeout = request
        .timeout
        .map(|millis| Duration::from_millis(millis.into()));
    let deadline = Instant::now() + work.request_time(timeout);
    let is_repeatable = is_repeatable(&request);
    let (body, parts) = parts.into_iter().unzip();
    let record = RequestRecord {
        method: request.method.clone(),
        url: request.url,
        headers: request.headers.clone(),
        body,
        sent_as,
        is_repeatable,
    };
    let delivery = Delivery {
        method: request.method,
        url,
        opaque,
        headers: request.headers,
        body: parts,
        with_token,
        deadline,
        sink,
        seal,
    };
    Ok(Ok(Prepared { record, delivery }))
}

fn check_head(request: &http::Request) -> Result<(), String> {
    let method = request.method.as_bytes();
    if method.is_empty() || method.len() > 16 || !method.iter().all(u8::is_ascii_uppercase) {
        return Err("a method is 1 to 16 capital letters".into());
    }
    if request.url.len() > URL_AT_MOST {
        return Err(format!("the URL is longer than {URL_AT_MOST} bytes"));
    }
    if request.headers.len() > HEADERS_AT_MOST {
        return Err(format!("there are more than {HEADERS_AT_MOST} headers"));
    }
    let bytes: usize = request
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > HEADER_BYTES_AT_MOST {
        return Err(format!(
            "the headers have more than {HEADER_BYTES_AT_MOST} bytes"
        ));
    }
    Ok(())
}

fn sink_and_seal(
    request: &http::Request,
    slot: &Slot,
    idempotency_key: &str,
) -> Result<(Sink, Option<Seal>), String> {
    if request.seal.len() > SEALS_AT_MOST {
        return Err(format!(
            "there are more than {SEALS_AT_MOST} pointers to seal"
        ));
    }
    if let Some(bad) = request
        .seal
        .iter()
        .find(|pointer| !pointer.starts_with('/'))
    {
        return Err(format!("`{bad}` is no JSON Pointer to a member"));
    }
    let sink = match &request.receive {
        Receive::Inline(limit) => Sink::Inline((*limit).min(INLINE_ANSWER_AT_MOST).into()),
        Receive::Document(_) | Receive::Nowhere if !request.seal.is_empty() => {
            return Err("only an inline answer can be sealed".into());
        }
        Receive::Document(document) => {
            check_name(&document.name)?;
            document
                .media_type
                .as_deref()
                .map_or(Ok(()), check_media_type)?;
            Sink::Document {
                name: document.name.clone(),
                media_type: document.media_type.clone(),
                limit: document.limit.unwrap_or(u64::MAX).min(slot.document_bytes),
            }
        }
        Receive::Nowhere => Sink::Nowhere,
    };
    let seal = (!request.seal.is_empty()).then(|| Seal {
        pointers: request.seal.clone(),
        place: Place {
            idempotency_key: idempotency_key.to_owned(),
            effect: slot.effect,
            request: slot.request,
        },
    });
    Ok((sink, seal))
}

/// The body's parts as they are recorded and as they are sent.
fn parts(
    attempt: &Attempt,
    body: &[http::Part],
) -> wasmtime::Result<Result<Vec<(PartRecord, Part)>, String>> {
    if body.len() > PARTS_AT_MOST {
        return Ok(Err(format!("the body has more than {PARTS_AT_MOST} parts")));
    }
    let mut inline = 0;
    let mut parts = Vec::with_capacity(body.len());
    for part in body {
        parts.push(match part {
            http::Part::Bytes(bytes) => {
                inline += bytes.len();
                if inline > INLINE_BODY_AT_MOST {
                    return Ok(Err(format!(
                        "the body holds more than {INLINE_BODY_AT_MOST} bytes of the plugin's own; \
                         make a document of them"
                    )));
                }
                let record = PartRecord::Bytes {
                    digest: Digest::of(bytes),
                    size: bytes.len() as u64,
                };
                (record, Part::Bytes(Bytes::copy_from_slice(bytes)))
            }
            http::Part::Document(document) => {
                let DocumentRef { digest, size, .. } = *referred(attempt, document)?;
                (
                    PartRecord::Document {
                        digest,
                        range: None,
                    },
                    whole(digest, size, false),
                )
            }
            http::Part::Base64(document) => {
                let DocumentRef { digest, size, .. } = *referred(attempt, document)?;
                (PartRecord::Base64 { digest }, whole(digest, size, true))
            }
            http::Part::Range(range) => {
                let DocumentRef { digest, size, .. } = *referred(attempt, &range.document)?;
                let (offset, length) = (range.offset, range.length);
                if offset.checked_add(length).is_none_or(|end| end > size) {
                    return Ok(Err(format!(
                        "{length} bytes from {offset} on do not lie within a document of {size}"
                    )));
                }
                let record = PartRecord::Document {
                    digest,
                    range: Some((offset, length)),
                };
                (
                    record,
                    Part::Range {
                        digest,
                        offset,
                        length,
                        is_base64: false,
                    },
                )
            }
        });
    }
    Ok(Ok(parts))
}

fn referred<'a>(
    attempt: &'a Attempt,
    handle: &Resource<Document>,
) -> wasmtime::Result<&'a DocumentRef> {
    Ok(&attempt.table.get(handle)?.0)
}

fn whole(digest: Digest, length: u64, is_base64: bool) -> Part {
    Part::Range {
        digest,
        offset: 0,
        length,
        is_base64,
    }
}
