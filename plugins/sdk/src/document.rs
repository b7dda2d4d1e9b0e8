//! Documents: handles to bytes that stay in the host.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bindings::docket::processor::documents as wit;
use crate::{Failure, Problem};

/// A document as it stands in inputs and outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DocumentRef {
    /// `sha256:` and 64 hexadecimal digits.
    #[serde(rename = "$document")]
    pub digest: String,
    /// The file name.
    pub name: String,
    /// The media type.
    pub media_type: String,
    /// The length in bytes.
    pub size: u64,
}

/// The schema of a document, for the schemas of inputs and outputs.
#[must_use]
pub fn document_schema() -> Value {
    json!({"$ref": "urn:docket:document"})
}

/// A document. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Document {
    about: Rc<DocumentRef>,
    bytes: Rc<Bytes>,
}

#[derive(Debug)]
pub(crate) enum Bytes {
    Host(wit::Document),
    #[cfg(not(target_family = "wasm"))]
    Memory(Vec<u8>),
}

impl Document {
    pub(crate) fn from_host(handle: wit::Document) -> Self {
        let about = DocumentRef {
            digest: handle.digest(),
            name: handle.name(),
            media_type: handle.media_type(),
            size: handle.size(),
        };
        Self {
            about: about.into(),
            bytes: Rc::new(Bytes::Host(handle)),
        }
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn in_memory(about: DocumentRef, bytes: Vec<u8>) -> Self {
        Self {
            about: about.into(),
            bytes: Rc::new(Bytes::Memory(bytes)),
        }
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Name, media type, size and digest; what goes into an output.
    #[must_use]
    pub fn about(&self) -> &DocumentRef {
        &self.about
    }

    /// The length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.about.size
    }

    /// The file name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.about.name
    }

    /// Reads up to `length` bytes from `offset` on; fewer at the end, and never more than 1 MiB.
    #[must_use]
    pub fn read(&self, offset: u64, length: u32) -> Vec<u8> {
        match self.bytes.as_ref() {
            Bytes::Host(handle) => handle.read(offset, length),
            #[cfg(not(target_family = "wasm"))]
            Bytes::Memory(bytes) => {
                let start = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let end = start
                    .saturating_add(length.min(1 << 20) as usize)
                    .min(bytes.len());
                bytes[start..end].to_vec()
            }
        }
    }
}

/// A document in the making.
#[derive(Debug)]
pub struct DocumentWriter(pub(crate) Writer);

#[derive(Debug)]
pub(crate) enum Writer {
    Host(wit::Writer),
    #[cfg(not(target_family = "wasm"))]
    Memory {
        name: String,
        media_type: String,
        bytes: Vec<u8>,
    },
}

impl DocumentWriter {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// The step's limit of document bytes is reached.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match &mut self.0 {
            Writer::Host(writer) => writer.write(bytes).map_err(failure),
            #[cfg(not(target_family = "wasm"))]
            Writer::Memory { bytes: held, .. } => {
                held.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Ends the document and stores it.
    ///
    /// # Errors
    /// The step's limit of document bytes is reached.
    pub fn finish(self) -> Result<Document, Failure> {
        match self.0 {
            Writer::Host(writer) => wit::Writer::finish(writer)
                .map(Document::from_host)
                .map_err(failure),
            #[cfg(not(target_family = "wasm"))]
            Writer::Memory {
                name,
                media_type,
                bytes,
            } => Ok(crate::testing::document(&name, &media_type, &bytes)),
        }
    }
}

pub(crate) fn failure(error: wit::DocumentError) -> Failure {
    match error {
        wit::DocumentError::Invalid(why) => {
            Failure::Permanent(Problem::new("InvalidDocument", why))
        }
        wit::DocumentError::TooLarge(limit) => Failure::Permanent(
            Problem::new(
                "DocumentTooLarge",
                format!("a step may make {limit} bytes of documents"),
            )
            .remedy("split the work into smaller steps"),
        ),
    }
}
