//! The documents that a run took in or made.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use docket_model::DocumentRef;
use serde_json::json;

use crate::exit::Exit;
use crate::host::Host;
use crate::records::document_gone;
use crate::render;
use crate::server::client::{Serving, segment};

/// How much of a document is read at a time, in bytes.
const PIECE: usize = 1 << 18;

/// Who has the documents.
pub(super) enum From<'f> {
    Here(&'f Host),
    /// The serving process, and the address of the run's documents.
    There(&'f Serving, String),
}

/// Lists documents, and writes them into a folder.
pub(super) async fn documents(
    list: &[DocumentRef],
    from: &From<'_>,
    to: Option<&Path>,
    as_json: bool,
) -> Result<Exit> {
    if let Some(folder) = to {
        std::fs::create_dir_all(folder)?;
        let mut taken = std::collections::BTreeSet::new();
        for document in list {
            let short = document.digest.to_hex();
            let name = if taken.insert(document.name.to_lowercase()) {
                document.name.clone()
            } else {
                format!("{}-{}", &short[..8], document.name)
            };
            let path = folder.join(&name);
            let mut file =
                File::create_new(&path).with_context(|| format!("the file {}", path.display()))?;
            write(document, from, &mut file).await?;
        }
    }
    if as_json {
        render::line(&json!({"documents": list}).to_string());
    } else {
        let row = |document: &DocumentRef| {
            let size = render::bytes(document.size);
            vec![
                document.name.clone(),
                size,
                document.media_type.clone(),
                document.digest.to_string(),
            ]
        };
        let rows: Vec<_> = list.iter().map(row).collect();
        render::line(&render::table(
            &["document", "size", "type", "digest"],
            &rows,
        ));
    }
    Ok(Exit::Success)
}

async fn write(document: &DocumentRef, from: &From<'_>, file: &mut File) -> Result<()> {
    match from {
        From::Here(host) => {
            let reader = host.documents.open(document.digest)?;
            let reader = reader.ok_or_else(|| document_gone(&document.name))?;
            let (mut buffer, mut offset) = (vec![0; PIECE], 0);
            loop {
                let count = reader.read_at(offset, &mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                file.write_all(&buffer[..count])?;
                offset += count as u64;
            }
        }
        From::There(serving, at) => {
            let path = format!("{at}/{}", segment(&document.digest.to_string()));
            let fetched = serving.fetch(&path, |bytes| Ok(file.write_all(bytes)?));
            fetched.await
        }
    }
}
