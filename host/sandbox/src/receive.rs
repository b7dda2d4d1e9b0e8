//! The body of an answer: into memory with a cap, or straight into a new document.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use docket_connections::{GateError, Response};
use docket_engine::{DocumentWriter, Documents, Stop};
use docket_model::DocumentRef;
use futures_util::StreamExt as _;

use crate::attempt::off_thread;
use crate::documents::{UNKNOWN_MEDIA_TYPE, check_media_type};

/// How much is gathered before it is written.
const PIECE: usize = 256 << 10;

/// The most of an answer's body that comes inline where a document was asked for and the status is
/// not 2xx.
const ERROR_BODY_AT_MOST: u64 = 64 << 10;

/// Where an answer's body goes.
#[derive(Debug, Clone)]
pub(crate) enum Sink {
    /// Into memory, at most so many bytes.
    Inline(u64),
    /// Into a new document, at most so many bytes; the answer's media type where none is given.
    Document {
        name: String,
        media_type: Option<String>,
        limit: u64,
    },
    /// Nowhere, if the status is 2xx.
    Nowhere,
}

/// A body that has arrived.
pub(crate) enum Received {
    Inline(Bytes),
    Document(DocumentRef),
}

/// Why it has not.
pub(crate) enum Lost {
    /// It is larger than this.
    TooLarge(u64),
    /// The way in.
    Gate(GateError),
    /// The disk.
    Stop(Stop),
}

/// Takes the answer's body in.
///
/// # Errors
/// [`Lost`]; a document that was begun is gone then.
pub(crate) async fn receive(
    response: Response,
    sink: Sink,
    documents: Arc<dyn Documents>,
) -> Result<Received, Lost> {
    match sink {
        Sink::Inline(limit) => inline(response, limit).await,
        Sink::Document {
            name,
            media_type,
            limit,
        } if (200..300).contains(&response.status) => {
            let media_type = media_type
                .or_else(|| header(&response, "content-type"))
                .filter(|media_type| check_media_type(media_type).is_ok())
                .unwrap_or_else(|| UNKNOWN_MEDIA_TYPE.to_owned());
            document(response, name, media_type, limit, documents).await
        }
        Sink::Nowhere if (200..300).contains(&response.status) => drain(response).await,
        Sink::Document { .. } | Sink::Nowhere => inline(response, ERROR_BODY_AT_MOST).await,
    }
}

async fn inline(mut response: Response, limit: u64) -> Result<Received, Lost> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.body.next().await {
        let chunk = chunk.map_err(Lost::Gate)?;
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(Lost::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Received::Inline(body.freeze()))
}

/// Reads the body to its end, so that its loss is still noticed and the connection can be used again.
async fn drain(mut response: Response) -> Result<Received, Lost> {
    while let Some(chunk) = response.body.next().await {
        chunk.map_err(Lost::Gate)?;
    }
    Ok(Received::Inline(Bytes::new()))
}

async fn document(
    mut response: Response,
    name: String,
    media_type: String,
    limit: u64,
    documents: Arc<dyn Documents>,
) -> Result<Received, Lost> {
    let mut writer = off_thread(move || documents.create())
        .await
        .map_err(Lost::Stop)?;
    let mut piece = BytesMut::new();
    let mut size = 0_u64;
    while let Some(chunk) = response.body.next().await {
        let chunk = chunk.map_err(Lost::Gate)?;
        size += chunk.len() as u64;
        if size > limit {
            return Err(Lost::TooLarge(limit));
        }
        piece.extend_from_slice(&chunk);
        if piece.len() >= PIECE {
            writer = write(writer, piece.split().freeze()).await?;
        }
    }
    writer = write(writer, piece.freeze()).await?;
    let (digest, size) = off_thread(move || writer.finish())
        .await
        .map_err(Lost::Stop)?;
    Ok(Received::Document(DocumentRef {
        digest,
        name,
        media_type,
        size,
    }))
}

async fn write(
    mut writer: Box<dyn DocumentWriter>,
    bytes: Bytes,
) -> Result<Box<dyn DocumentWriter>, Lost> {
    off_thread(move || writer.write(&bytes).map(|()| writer))
        .await
        .map_err(Lost::Stop)
}

fn header(response: &Response, name: &str) -> Option<String> {
    response
        .headers
        .iter()
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.clone())
}
