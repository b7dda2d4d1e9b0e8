//! Documents that stand in a run's inputs as base64, wherever a document may stand:
//! `{"$base64": "…", "name": "agreement.pdf", "mediaType": "application/pdf"}`.
//!
//! They are stored once all else of the request is right. Larger ones go to `POST /api/documents`.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docket_engine::Documents;
use docket_model::{Digest, DocumentRef, InputProblem};
use serde_json::{Map, Value, json};

const MARK: &str = "$base64";
/// The longest file name, in bytes.
const LONGEST_NAME: usize = 255;

/// Documents that are not stored yet.
#[derive(Default)]
pub(super) struct Embedded(Vec<(DocumentRef, Vec<u8>)>);

/// Puts references in the place of all documents that stand in the inputs.
///
/// # Errors
/// Every document that cannot be read.
pub(super) fn take(inputs: &mut Map<String, Value>) -> Result<Embedded, Vec<InputProblem>> {
    let mut found = Embedded::default();
    let mut problems = Vec::new();
    for (name, value) in inputs {
        walk(name, value, &mut found, &mut problems);
    }
    match problems.is_empty() {
        true => Ok(found),
        false => Err(problems),
    }
}

fn walk(input: &str, value: &mut Value, found: &mut Embedded, problems: &mut Vec<InputProblem>) {
    match value {
        Value::Object(fields) if fields.contains_key(MARK) => match read(fields) {
            Ok((document, bytes)) => {
                *value = json!(document);
                found.0.push((document, bytes));
            }
            Err(problem) => problems.push(InputProblem {
                name: input.to_owned(),
                message: format!("a document in the input `{input}`: {problem}"),
                help: Some(format!(
                    "write it {{\"{MARK}\": \"…\", \"name\": \"agreement.pdf\", \
                     \"mediaType\": \"application/pdf\"}}"
                )),
            }),
        },
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| walk(input, field, found, problems)),
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| walk(input, item, found, problems)),
        _ => {}
    }
}

fn read(fields: &Map<String, Value>) -> Result<(DocumentRef, Vec<u8>), &'static str> {
    let text = |name: &str| fields.get(name).map(Value::as_str);
    let Some(Some(encoded)) = text(MARK) else {
        return Err("`$base64` must be text");
    };
    let name = match text("name") {
        Some(Some(name)) if is_name(name) => name.to_owned(),
        _ => return Err("`name` must be a file name without a path"),
    };
    let media_type = match text("mediaType") {
        None => crate::inputs::media_type(&name).to_owned(),
        Some(Some(kind)) if is_media_type(kind) => kind.to_owned(),
        Some(_) => return Err("`mediaType` must be a media type"),
    };
    let known = [MARK, "name", "mediaType"];
    if fields.keys().any(|name| !known.contains(&name.as_str())) {
        return Err("it has other members than `$base64`, `name` and `mediaType`");
    }
    // As MIME has it, it may be broken into lines.
    let encoded: Vec<u8> = encoded
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let bytes = STANDARD
        .decode(encoded)
        .map_err(|_error| "`$base64` is no base64 (RFC 4648, section 4)")?;
    let document = DocumentRef {
        digest: Digest::of(&bytes),
        name,
        media_type,
        size: bytes.len() as u64,
    };
    Ok((document, bytes))
}

/// Whether a document may be called so: as a file, without a path.
pub(super) fn is_name(name: &str) -> bool {
    let is_bad = |c: char| c.is_control() || matches!(c, '/' | '\\');
    !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(is_bad)
}

/// Whether this may stand in a `Content-Type` (RFC 6838, section 4.2, names of up to 127 characters).
pub(super) fn is_media_type(kind: &str) -> bool {
    let is_text = kind.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_text && kind.contains('/') && kind.len() <= 127
}

impl Embedded {
    /// Stores them. Blocks on the disk.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn store(self, documents: &dyn Documents) -> io::Result<()> {
        for (document, bytes) in self.0 {
            documents.put(&document.name, &document.media_type, &bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: Value, expected: Result<Value, &str>) {
        let mut inputs = Map::from_iter([("file".to_owned(), value.clone())]);
        let taken = take(&mut inputs).map(|_| inputs["file"].clone());
        let taken = taken.map_err(|problems| problems[0].message.clone());
        let place = "a document in the input `file`: ";
        assert_eq!(
            taken,
            expected.map_err(|problem| format!("{place}{problem}")),
            "{value}"
        );
    }

    #[test]
    fn a_document_becomes_its_reference_wherever_it_stands() {
        let document = json!({
            "$document": Digest::of(b"hello"), "name": "a.pdf", "mediaType": "application/pdf",
            "size": 5
        });
        let inline = json!({"$base64": "aGVs\r\nbG8=", "name": "a.pdf"});
        check(inline.clone(), Ok(document.clone()));
        check(
            json!([{"files": [inline]}, "x"]),
            Ok(json!([{"files": [document.clone()]}, "x"])),
        );
        check(document.clone(), Ok(document));
        check(json!({"base64": "x"}), Ok(json!({"base64": "x"})));
    }

    #[test]
    fn what_is_no_document_is_told() {
        let name = "`name` must be a file name without a path";
        let base64 = "`$base64` is no base64 (RFC 4648, section 4)";
        check(
            json!({"$base64": 7, "name": "a"}),
            Err("`$base64` must be text"),
        );
        check(json!({"$base64": "aGVsbG8="}), Err(name));
        check(json!({"$base64": "aGVsbG8=", "name": "../a"}), Err(name));
        check(json!({"$base64": "aGVsbG8", "name": "a"}), Err(base64));
        check(json!({"$base64": "a-_=", "name": "a"}), Err(base64));
        check(
            json!({"$base64": "", "name": "a", "mediaType": "pdf"}),
            Err("`mediaType` must be a media type"),
        );
        check(
            json!({"$base64": "", "name": "a", "path": "b"}),
            Err("it has other members than `$base64`, `name` and `mediaType`"),
        );
    }
}
