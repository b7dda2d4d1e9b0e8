//! References to documents, as they stand in inputs, outputs and events; and documents as tests write
//! them, before there is anything to refer to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Digest;

/// A document by its digest. Its JSON form is
/// `{"$document": "sha256:…", "name": "…", "mediaType": "…", "size": 1}`; in an action's schema it
/// is `{"$ref": "urn:docket:document"}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DocumentRef {
    /// The digest of the bytes.
    #[serde(rename = "$document")]
    pub digest: Digest,
    /// The file name, without a path.
    pub name: String,
    /// The media type (RFC 6838).
    pub media_type: String,
    /// The length in bytes.
    pub size: u64,
}

/// The name by which schemas refer to the document type.
pub const DOCUMENT_SCHEMA_URI: &str = "urn:docket:document";

/// The most memory that one pattern of an action's schema is compiled to, in bytes.
pub const MAX_PATTERN_BYTES: usize = 2 << 20;

impl DocumentRef {
    /// Reads a value that is a document reference; anything else is `None`.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        value.get("$document")?;
        Self::deserialize(value).ok()
    }

    /// Every document that `value` refers to, at any depth, in order of appearance.
    #[must_use]
    pub fn all_in(value: &Value) -> Vec<Self> {
        fn walk(value: &Value, found: &mut Vec<DocumentRef>) {
            if let Some(document) = DocumentRef::from_value(value) {
                found.push(document);
                return;
            }
            match value {
                Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
                Value::Object(fields) => fields.values().for_each(|field| walk(field, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        walk(value, &mut found);
        found
    }
}

/// A document as tests write it in the place of a reference: `{$file: PATH}` or
/// `{$text: TEXT, name: NAME}`, with `mediaType` where it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenDocument<'v> {
    /// Its bytes.
    pub content: WrittenContent<'v>,
    /// Its name; `None` where it is that of its file.
    pub name: Option<&'v str>,
    media_type: Option<&'v str>,
}

/// The bytes of a document as tests write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrittenContent<'v> {
    /// Those of a file, relative to the test's own.
    File(&'v str),
    /// Text.
    Text(&'v str),
}

impl<'v> WrittenDocument<'v> {
    /// The keys that mark an object as one.
    pub const MARKS: [&'static str; 2] = ["$file", "$text"];

    /// Reads an object that has one of the marks.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn read(fields: &'v Map<String, Value>) -> Result<Self, String> {
        const KNOWN: [&str; 4] = ["$file", "$text", "name", "mediaType"];
        if let Some(unknown) = fields.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            let known = KNOWN.join(", ");
            return Err(format!("a document has no `{unknown}`; it has {known}"));
        }
        if let Some((name, _)) = fields.iter().find(|(_, value)| !value.is_string()) {
            return Err(format!("`{name}` of a document must be text"));
        }
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let content = match (text("$file"), text("$text")) {
            (Some(path), None) => WrittenContent::File(path),
            (None, Some(content)) if text("name").is_some() => WrittenContent::Text(content),
            (None, Some(_)) => return Err("a document of `$text` needs a `name`".to_owned()),
            _ => return Err("a document has either a `$file` or a `$text`".to_owned()),
        };
        Ok(Self {
            content,
            name: text("name"),
            media_type: text("mediaType"),
        })
    }

    /// Its media type: as written, else the one that its name promises.
    #[must_use]
    pub fn media_type(&self, name: &str) -> &'v str {
        self.media_type.unwrap_or_else(|| media_type(name))
    }
}

type Replace<'r, E> = dyn FnMut(&Map<String, Value>) -> Result<Value, E> + 'r;

/// A value in which each object that has one of the keys `marks` is replaced, at any depth.
///
/// # Errors
/// The first that `replace` gives.
pub fn replace_marked<E>(
    value: &Value,
    marks: &[&str],
    replace: &mut Replace<'_, E>,
) -> Result<Value, E> {
    match value {
        Value::Array(items) => items
            .iter()
            .map(|item| replace_marked(item, marks, replace))
            .collect(),
        Value::Object(fields) if marks.iter().any(|mark| fields.contains_key(*mark)) => {
            replace(fields)
        }
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, field)| Ok((name.clone(), replace_marked(field, marks, replace)?)));
            fields.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        other => Ok(other.clone()),
    }
}

/// The media type that a file's name promises; `application/octet-stream` where it promises none.
#[must_use]
pub fn media_type(name: &str) -> &'static str {
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("pdf") => "application/pdf",
        Some("txt" | "log" | "md") => "text/plain",
        Some("html" | "htm") => "text/html",
        Some("csv") => "text/csv",
        Some("xml") => "application/xml",
        Some("json") => "application/json",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("zip") => "application/zip",
        Some("eml") => "message/rfc822",
        Some("docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Some("xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_written_with_marks() {
        let read = |value: Value| match &value {
            Value::Object(fields) => WrittenDocument::read(fields).map(|document| {
                let name = document.name.unwrap_or("a.pdf");
                format!("{:?} {}", document.content, document.media_type(name))
            }),
            other => panic!("{other}"),
        };
        let check = |value: Value, expected: Result<&str, &str>| {
            assert_eq!(
                read(value),
                expected.map(str::to_owned).map_err(str::to_owned)
            );
        };
        check(
            json!({"$file": "x/a.pdf"}),
            Ok("File(\"x/a.pdf\") application/pdf"),
        );
        check(
            json!({"$text": "t", "name": "a.csv", "mediaType": "text/x"}),
            Ok("Text(\"t\") text/x"),
        );
        check(
            json!({"$text": "t"}),
            Err("a document of `$text` needs a `name`"),
        );
        check(
            json!({"$text": "t", "$file": "a", "name": "a"}),
            Err("a document has either a `$file` or a `$text`"),
        );
        check(
            json!({"$file": 5}),
            Err("`$file` of a document must be text"),
        );
        check(
            json!({"$file": "a", "nam": "b"}),
            Err("a document has no `nam`; it has $file, $text, name, mediaType"),
        );
    }

    #[test]
    fn marked_objects_are_replaced_at_any_depth() {
        let value =
            json!({"a": [{"$file": "x"}, 1], "b": {"c": {"$file": "y", "d": {"$file": "z"}}}});
        let mut count = 0;
        let replaced = replace_marked::<String>(&value, &WrittenDocument::MARKS, &mut |_| {
            count += 1;
            Ok(json!(count))
        });
        assert_eq!(replaced, Ok(json!({"a": [1, 1], "b": {"c": 2}})));
        let failed = replace_marked(&value, &WrittenDocument::MARKS, &mut |_| Err("no"));
        assert_eq!(failed, Err("no"));
    }
}
