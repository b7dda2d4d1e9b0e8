//! References to documents, as they stand in inputs, outputs and events.

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
