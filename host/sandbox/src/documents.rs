//! The `documents` interface: handles to bytes that stay in the host.

use std::io;
use std::sync::Arc;

use docket_engine::{DocumentReader, Documents};
use docket_model::{Digest, DocumentRef};
use wasmtime::component::Resource;

use crate::attempt::Attempt;
use crate::bindings::documents::{self, DocumentError};
use crate::handles::{Document, Store, Writer};
use crate::meter::Limit;

/// The most that one `read` returns.
const READ_AT_MOST: u32 = 1 << 20;

/// Documents in the making at once; each is an open file.
const WRITERS_AT_MOST: usize = 32;

/// The media type of bytes of which nothing is known (RFC 2046 section 4.5.1).
pub(crate) const UNKNOWN_MEDIA_TYPE: &str = "application/octet-stream";

impl documents::Host for Attempt {}

impl documents::HostDocument for Attempt {
    fn name(&mut self, document: Resource<Document>) -> wasmtime::Result<String> {
        self.meter.host_call()?;
        Ok(self.table.get(&document)?.0.name.clone())
    }

    fn media_type(&mut self, document: Resource<Document>) -> wasmtime::Result<String> {
        self.meter.host_call()?;
        Ok(self.table.get(&document)?.0.media_type.clone())
    }

    fn size(&mut self, document: Resource<Document>) -> wasmtime::Result<u64> {
        self.meter.host_call()?;
        Ok(self.table.get(&document)?.0.size)
    }

    fn digest(&mut self, document: Resource<Document>) -> wasmtime::Result<String> {
        self.meter.host_call()?;
        Ok(self.table.get(&document)?.0.digest.to_string())
    }

    async fn read(
        &mut self,
        document: Resource<Document>,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Vec<u8>> {
        self.meter.host_call()?;
        let (digest, size) = {
            let document = &self.table.get(&document)?.0;
            (document.digest, document.size)
        };
        let length = u64::from(length.min(READ_AT_MOST)).min(size.saturating_sub(offset));
        if length == 0 {
            return Ok(Vec::new());
        }
        let documents = Arc::clone(&self.work()?.documents);
        self.blocking(move || read_exact(documents.as_ref(), digest, offset, length))
            .await
    }

    fn drop(&mut self, document: Resource<Document>) -> wasmtime::Result<()> {
        self.table.delete(document)?;
        Ok(())
    }
}

impl documents::HostStore for Attempt {
    async fn create(
        &mut self,
        store: Resource<Store>,
        name: String,
        media_type: String,
    ) -> wasmtime::Result<Result<Resource<Writer>, DocumentError>> {
        self.meter.host_call()?;
        self.table.get(&store)?;
        let media_type = if media_type.is_empty() {
            UNKNOWN_MEDIA_TYPE.to_owned()
        } else {
            media_type
        };
        if let Err(problem) = check_name(&name).and_then(|()| check_media_type(&media_type)) {
            return Ok(Err(DocumentError::Invalid(problem)));
        }
        let work = self.work()?;
        if work.writers >= WRITERS_AT_MOST {
            return Err(wasmtime::Error::new(Limit::Writers(WRITERS_AT_MOST)));
        }
        work.writers += 1;
        let documents = Arc::clone(&work.documents);
        let writer = Some(self.blocking(move || documents.create()).await?);
        Ok(Ok(self.push(Writer {
            writer,
            name,
            media_type,
        })?))
    }

    fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl documents::HostWriter for Attempt {
    async fn write(
        &mut self,
        handle: Resource<Writer>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), DocumentError>> {
        self.meter.host_call()?;
        let work = self.work()?;
        let Some(left) = work.document_bytes_left.checked_sub(bytes.len() as u64) else {
            return Ok(Err(DocumentError::TooLarge(work.limits.document_bytes)));
        };
        work.document_bytes_left = left;
        let mut writer = take(&mut self.table.get_mut(&handle)?.writer)?;
        let writer = self
            .blocking(move || writer.write(&bytes).map(|()| writer))
            .await?;
        self.table.get_mut(&handle)?.writer = Some(writer);
        Ok(Ok(()))
    }

    async fn finish(
        &mut self,
        handle: Resource<Writer>,
    ) -> wasmtime::Result<Result<Resource<Document>, DocumentError>> {
        self.meter.host_call()?;
        let Writer {
            mut writer,
            name,
            media_type,
        } = self.table.delete(handle)?;
        self.work()?.writers -= 1;
        let writer = take(&mut writer)?;
        let (digest, size) = self.blocking(move || writer.finish()).await?;
        Ok(Ok(self.adopt(DocumentRef {
            digest,
            name,
            media_type,
            size,
        })?))
    }

    fn drop(&mut self, handle: Resource<Writer>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        self.work()?.writers -= 1;
        Ok(())
    }
}

fn take<T>(writer: &mut Option<T>) -> wasmtime::Result<T> {
    writer
        .take()
        .ok_or_else(|| wasmtime::format_err!("the writer is in use"))
}

/// Reads a range that lies within a document.
pub(crate) fn read_exact(
    documents: &dyn Documents,
    digest: Digest,
    offset: u64,
    length: u64,
) -> io::Result<Vec<u8>> {
    let reader = documents.open(digest)?.ok_or_else(|| missing(digest))?;
    read_piece(reader.as_ref(), digest, offset, length)
}

/// The same of a document that is open.
pub(crate) fn read_piece(
    reader: &dyn DocumentReader,
    digest: Digest,
    offset: u64,
    length: u64,
) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    let mut filled = 0;
    while filled < bytes.len() {
        match reader.read_at(offset + filled as u64, &mut bytes[filled..])? {
            0 => return Err(shortened(digest)),
            n => filled += n,
        }
    }
    Ok(bytes)
}

pub(crate) fn missing(digest: Digest) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("document {digest} is not in the store any more"),
    )
}

fn shortened(digest: Digest) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("document {digest} has become shorter"),
    )
}

/// Whether a file name is one name and nothing else.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > 255 {
        "is longer than 255 bytes"
    } else if name == "." || name == ".." {
        "names a folder"
    } else if name.contains(['/', '\\']) {
        "holds a path separator"
    } else if name.contains(char::is_control) {
        "holds a control character"
    } else {
        return Ok(());
    };
    Err(format!("the document's name {problem}"))
}

/// Whether a text can be a media type with parameters: printable ASCII with a slash.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_media_type(media_type: &str) -> Result<(), String> {
    let is_printable = media_type.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let has_both_parts = media_type
        .split_once('/')
        .is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
    if is_printable && has_both_parts && media_type.len() <= 255 {
        return Ok(());
    }
    Err("the document's media type is none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_name() {
        let check =
            |name: &str, is_good: bool| assert_eq!(check_name(name).is_ok(), is_good, "{name:?}");
        check("a.pdf", true);
        check("Vertrag – Größe 1.pdf", true);
        check("..a", true);
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "..\\b",
            "a\0",
            "a\nb",
            "a\u{85}",
            &"x".repeat(256),
        ] {
            check(bad, false);
        }
    }

    #[test]
    fn media_types_are_printable_and_have_two_parts() {
        let check = |text: &str, is_good: bool| {
            assert_eq!(check_media_type(text).is_ok(), is_good, "{text:?}");
        };
        check("text/plain; charset=utf-8", true);
        for bad in ["", "text", "/plain", "text/", "text/pl\nain", "téxt/plain"] {
            check(bad, false);
        }
    }
}
