//! The documents that a run took in or made.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use docket_model::DocumentRef;
use serde_json::json;

use crate::exit::{Exit, Failed};
use crate::host::Host;
use crate::records::document_gone;
use crate::render;
use crate::server::client::{Serving, segment};

/// How much of a document is read at a time, in bytes.
const PIECE: usize = 1 << 18;
/// The longest that a file's name is, in bytes, with room for a digest before it.
const LONGEST_NAME: usize = 160;

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
        std::fs::create_dir_all(folder)
            .with_context(|| format!("the folder {}", folder.display()))?;
        let mut taken = BTreeSet::new();
        for document in list {
            let path = folder.join(file_name(document, &mut taken));
            let mut file = File::create_new(&path).map_err(|error| unwritable(&path, error))?;
            let written = write(document, from, &mut file).await;
            if let Err(error) = written {
                // Half a document would be taken for a whole one, and be in the way of another try.
                let _ = std::fs::remove_file(&path);
                return Err(error.context(format!("the file {}", path.display())));
            }
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

fn unwritable(path: &Path, error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failed::new(Exit::Invalid, format!("{} exists already", path.display()))
                .with_help("name another folder; nothing is written over a file")
                .into()
        }
        _ => anyhow::Error::from(error).context(format!("the file {}", path.display())),
    }
}

/// A name for a document's file that is a plain one, whatever whoever sent the document called it, and
/// that is not taken.
fn file_name(document: &DocumentRef, taken: &mut BTreeSet<String>) -> String {
    let is_bad = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
    let plain = document.name.replace(is_bad, "_");
    // Neither the folder itself nor the one above, nor what Windows cuts off.
    let plain = plain.trim_start().trim_end_matches([' ', '.']);
    let mut end = plain.len().min(LONGEST_NAME);
    while !plain.is_char_boundary(end) {
        end -= 1;
    }
    let name = match &plain[..end] {
        "" => "document",
        name => name,
    };
    let digest = document.digest.to_hex();
    let names = [
        name.to_owned(),
        format!("{}-{name}", &digest[..8]),
        format!("{digest}-{name}"),
    ];
    let mut free = names.into_iter();
    let free = free.find(|name| taken.insert(name.to_lowercase()));
    free.unwrap_or(digest)
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

#[cfg(test)]
mod tests {
    use docket_model::Digest;

    use super::*;

    #[test]
    fn no_document_is_written_elsewhere_or_over_another() {
        let mut taken = BTreeSet::new();
        let long = "ä".repeat(200);
        let mut names = Vec::new();
        for (given, expected) in [
            ("lease.pdf", "lease.pdf"),
            ("../../etc/passwd", ".._.._etc_passwd"),
            ("/etc/passwd", "_etc_passwd"),
            ("C:\\x\n.bat ", "C__x_.bat"),
            ("..", "document"),
            (" ", "2cf24dba-document"),
            ("LEASE.pdf", "2cf24dba-LEASE.pdf"),
            (long.as_str(), &long[..160]),
        ] {
            let document = DocumentRef {
                digest: Digest::of(b"hello"),
                name: given.to_owned(),
                media_type: "application/pdf".to_owned(),
                size: 5,
            };
            let name = file_name(&document, &mut taken);
            assert_eq!(name, expected, "{given}");
            let path = Path::new("folder").join(&name);
            assert_eq!(path.parent(), Some(Path::new("folder")), "{given}");
            names.push(name.to_lowercase());
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 8);
    }
}
