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

/// What a document is sent in. A multiple of 3, so that pieces of base64 join
/// without padding between them; and so little that the allocator keeps its room for the next one,
/// where it would give larger ones back to the system each time.
const PIECE: u64 = 48 << 10;
/// How many pieces are read at a time: reading is a trip to another thread, which costs more than the
/// pages that a small document has.
const READ_AHEAD: u64 = 4;
/// A document that is read where it is needed: a few pages, which were most likely just written.
const SMALL: u64 = 32 << 10;

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
        read: VecDeque::new(),
        open: None,
        documents,
    };
    let chunks = stream::try_unfold(source, Source::next);
    Some(Body {
        size,
        chunks: Box::pin(chunks),
    })
}

/// A stretch of a document to read.
struct Read {
    digest: Digest,
    offset: u64,
    length: u64,
    is_base64: bool,
}

impl Read {
    /// Reads it in pieces. Blocks on the disk.
    fn from(
        &self,
        open: Option<Arc<dyn DocumentReader>>,
        documents: &dyn Documents,
    ) -> io::Result<(Arc<dyn DocumentReader>, VecDeque<Bytes>)> {
        let reader = match open {
            Some(reader) => reader,
            None => documents
                .open(self.digest)?
                .ok_or_else(|| missing(self.digest))?,
        };
        let (mut read, end) = (VecDeque::new(), self.offset + self.length);
        let mut offset = self.offset;
        while offset < end {
            let piece = PIECE.min(end - offset);
            let bytes = read_piece(reader.as_ref(), self.digest, offset, piece)?;
            read.push_back(Bytes::from(match self.is_base64 {
                true => STANDARD.encode(bytes).into_bytes(),
                false => bytes,
            }));
            offset += piece;
        }
        Ok((reader, read))
    }
}

/// What is left of a body.
struct Source {
    parts: VecDeque<Part>,
    /// What was read of what comes before these.
    read: VecDeque<Bytes>,
    /// The document of the first part, once it was opened.
    open: Option<Arc<dyn DocumentReader>>,
    documents: Arc<dyn Documents>,
}

impl Source {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        loop {
            if let Some(bytes) = self.read.pop_front() {
                return Ok(Some((bytes, self)));
            }
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
                    let now = length.min(PIECE * READ_AHEAD);
                    let read = Read {
                        digest,
                        offset,
                        length: now,
                        is_base64,
                    };
                    let (documents, open) = (Arc::clone(&self.documents), self.open.take());
                    let (reader, read) = if open.is_none() && length <= SMALL {
                        read.from(open, documents.as_ref())?
                    } else {
                        let read = off_thread(move || read.from(open, documents.as_ref()));
                        read.await.map_err(io::Error::other)?
                    };
                    self.open = Some(reader);
                    self.read = read;
                    self.parts.push_front(Part::Range {
                        digest,
                        offset: offset + now,
                        length: length - now,
                        is_base64,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use docket_engine::DocumentWriter;
    use futures_util::TryStreamExt as _;
    use proptest::prelude::*;

    use super::*;

    /// One document, each read of which is cut short; counts how often it was opened.
    struct One {
        bytes: Arc<Vec<u8>>,
        opened: Mutex<usize>,
    }

    impl Documents for One {
        fn open(&self, digest: Digest) -> io::Result<Option<Arc<dyn DocumentReader>>> {
            *self.opened.lock().expect("lock") += 1;
            let reader = || Arc::new(Reader(Arc::clone(&self.bytes))) as Arc<dyn DocumentReader>;
            Ok((digest == Digest::of(b"one")).then(reader))
        }

        fn create(&self) -> io::Result<Box<dyn DocumentWriter>> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    struct Reader(Arc<Vec<u8>>);

    impl DocumentReader for Reader {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            let rest = self
                .0
                .get(usize::try_from(offset).expect("small")..)
                .unwrap_or_default();
            let n = rest.len().min(buffer.len()).min(70_001);
            buffer[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        }
    }

    fn range(offset: u64, length: u64, is_base64: bool) -> Part {
        Part::Range {
            digest: Digest::of(b"one"),
            offset,
            length,
            is_base64,
        }
    }

    /// What the parts send, the largest piece, and how often the document was opened.
    fn sent(document: &[u8], parts: Vec<Part>) -> (io::Result<Vec<u8>>, usize, usize) {
        let documents = Arc::new(One {
            bytes: Arc::new(document.to_vec()),
            opened: Mutex::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let body = body(parts, documents.clone()).expect("some parts");
        let size = body.size;
        let pieces: io::Result<Vec<Bytes>> = runtime.block_on(body.chunks.try_collect());
        let largest = pieces
            .iter()
            .flatten()
            .map(Bytes::len)
            .max()
            .unwrap_or_default();
        let bytes = pieces.map(|pieces| pieces.concat());
        if let Ok(bytes) = &bytes {
            assert_eq!(bytes.len() as u64, size, "the size is known beforehand");
        }
        let opened = *documents.opened.lock().expect("lock");
        (bytes, largest, opened)
    }

    #[test]
    fn a_large_document_is_never_whole_in_memory() {
        let document: Vec<u8> = (0..10_000_001_u32).map(|n| (n % 251) as u8).collect();
        let parts = vec![
            Part::Bytes(Bytes::from_static(b"{\"contentBytes\":\"")),
            range(0, document.len() as u64, true),
            Part::Bytes(Bytes::from_static(b"\"}")),
        ];
        let (bytes, largest, opened) = sent(&document, parts);
        let expected = format!("{{\"contentBytes\":\"{}\"}}", STANDARD.encode(&document));
        assert!(bytes.expect("readable") == expected.as_bytes());
        assert!(largest <= 256 << 10, "{largest} bytes at once");
        assert_eq!(opened, 1);
    }

    #[test]
    fn a_document_that_shrank_or_went_is_the_hosts_fault() {
        let (bytes, ..) = sent(b"short", vec![range(0, 6, false)]);
        assert!(
            bytes
                .expect_err("too short")
                .to_string()
                .contains("has become shorter")
        );
        let gone = Part::Range {
            digest: Digest::of(b"two"),
            offset: 0,
            length: 1,
            is_base64: false,
        };
        let (bytes, ..) = sent(b"", vec![gone]);
        assert!(
            bytes
                .expect_err("gone")
                .to_string()
                .contains("is not in the store any more")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn parts_join_without_a_seam(
            document in proptest::collection::vec(any::<u8>(), 1..600_000),
            ranges in proptest::collection::vec((any::<proptest::sample::Index>(), any::<proptest::sample::Index>(), any::<bool>()), 1..5),
        ) {
            let mut expected = Vec::new();
            let mut parts = Vec::new();
            for (from, to, is_base64) in ranges {
                let (from, to) = (from.index(document.len() + 1), to.index(document.len() + 1));
                let (from, to) = (from.min(to), from.max(to));
                let slice = &document[from..to];
                expected.extend(if is_base64 { STANDARD.encode(slice).into_bytes() } else { slice.to_vec() });
                parts.push(range(from as u64, slice.len() as u64, is_base64));
            }
            let (bytes, ..) = sent(&document, parts);
            prop_assert!(bytes.expect("readable") == expected);
        }
    }
}
