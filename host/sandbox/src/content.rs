//! The body of a request: its parts, one after the other, read while it is sent.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use docket_connections::Body;
use docket_engine::{DocumentReader, Documents};
use docket_model::Digest;
use futures_util::stream;

use crate::attempt::off_thread;
use crate::documents::{missing, read_piece};

/// How much of a document is in memory at once. A multiple of 3, so that pieces of base64 join
/// without padding between them.
const PIECE: u64 = 192 << 10;

/// A part of a body.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    /// These bytes.
    Bytes(Bytes),
    /// A range of a document, which lies within it.
    Range {
        digest: Digest,
        offset: u64,
        length: u64,
        is_base64: bool,
    },
}

impl Part {
    /// The bytes that it sends.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Range {
                length,
                is_base64: false,
                ..
            } => *length,
            Self::Range {
                length,
                is_base64: true,
                ..
            } => length.div_ceil(3).saturating_mul(4),
        }
    }
}

/// A body that streams its parts; `None` for no parts at all.
pub(crate) fn body(parts: Vec<Part>, documents: Arc<dyn Documents>) -> Option<Body> {
    if parts.is_empty() {
        return None;
    }
    let size = parts.iter().map(Part::size).sum();
    let source = Source {
        parts: parts.into(),
        open: None,
        documents,
    };
    let chunks = stream::try_unfold(source, Source::next);
    Some(Body {
        size,
        chunks: Box::pin(chunks),
    })
}

/// What is left of a body.
struct Source {
    parts: VecDeque<Part>,
    /// The document of the first part, once it was opened.
    open: Option<Arc<dyn DocumentReader>>,
    documents: Arc<dyn Documents>,
}

impl Source {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        loop {
            match self.parts.pop_front() {
                None => return Ok(None),
                Some(Part::Bytes(bytes)) if bytes.is_empty() => {}
                Some(Part::Bytes(bytes)) => return Ok(Some((bytes, self))),
                Some(Part::Range { length: 0, .. }) => self.open = None,
                Some(Part::Range {
                    digest,
                    offset,
                    length,
                    is_base64,
                }) => {
                    let piece = length.min(PIECE);
                    let (documents, open) = (Arc::clone(&self.documents), self.open.take());
                    let (reader, bytes) = off_thread(move || {
                        let reader = match open {
                            Some(reader) => reader,
                            None => documents.open(digest)?.ok_or_else(|| missing(digest))?,
                        };
                        let bytes = read_piece(reader.as_ref(), digest, offset, piece)?;
                        let bytes = if is_base64 {
                            STANDARD.encode(bytes).into_bytes()
                        } else {
                            bytes
                        };
                        Ok((reader, bytes))
                    })
                    .await
                    .map_err(io::Error::other)?;
                    self.open = Some(reader);
                    self.parts.push_front(Part::Range {
                        digest,
                        offset: offset + piece,
                        length: length - piece,
                        is_base64,
                    });
                    return Ok(Some((bytes.into(), self)));
                }
            }
        }
    }
}
