//! JSON Schemas of actions, compiled once, and how their violations read.

use docket_model::{DOCUMENT_SCHEMA_URI, MAX_PATTERN_BYTES};
use jsonschema::{Draft, PatternOptions, Registry, Validator};
use serde_json::{Value, json};

use crate::reach;

/// Violations that one message names.
const NAMED_AT_MOST: usize = 5;

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema(Validator);

impl Schema {
    /// Compiles a schema of draft 2020-12. It may refer to its own parts and to `urn:docket:document`,
    /// and to nothing else; its patterns are matched in linear time, so they have no look-around and
    /// no back references, and none is large. What it takes to check a value is bounded (see [`crate::reach`]).
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(schema: &Value) -> Result<Self, String> {
        reach::check(schema)?;
        let registry = Registry::new()
            .add(DOCUMENT_SCHEMA_URI, document())
            .and_then(jsonschema::RegistryBuilder::prepare)
            .map_err(|error| error.to_string())?;
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_registry(&registry)
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
            .offline()
            .build(schema)
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// Checks a value.
    ///
    /// # Errors
    /// The violations, each with the place, without the values: these may be private, and long.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        if self.0.is_valid(value) {
            return Ok(());
        }
        let mut problems: Vec<String> = Vec::new();
        for error in self.0.iter_errors(value) {
            if problems.len() == NAMED_AT_MOST {
                problems.push("and more".to_owned());
                break;
            }
            let place = error.instance_path().to_string();
            let place = if place.is_empty() {
                "the whole"
            } else {
                &place
            };
            problems.push(format!("{place}: {}", error.masked_with("it")));
        }
        Err(problems.join("; "))
    }
}

/// The schema of a document reference ([`docket_model::DocumentRef`]).
fn document() -> Value {
    json!({
        "$id": DOCUMENT_SCHEMA_URI,
        "type": "object",
        "required": ["$document", "name", "mediaType", "size"],
        "additionalProperties": false,
        "properties": {
            "$document": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
            "name": {"type": "string", "minLength": 1},
            "mediaType": {"type": "string", "minLength": 1},
            "size": {"type": "integer", "minimum": 0},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &Value, value: &Value, expected: &str) {
        let found = match Schema::new(schema).expect("a good schema").check(value) {
            Ok(()) => "passes".to_owned(),
            Err(problem) => problem,
        };
        assert_eq!(found, expected, "{schema} {value}");
    }

    #[test]
    fn knows_documents_and_names_the_place_without_the_value() {
        let schema = json!({
            "type": "object",
            "properties": {
                "to": {"type": "string"},
                "file": {"$ref": "urn:docket:document"},
            },
        });
        let document = json!({
            "$document": format!("sha256:{}", "a".repeat(64)),
            "name": "a", "mediaType": "text/plain", "size": 1,
        });
        check(&schema, &json!({"to": "x", "file": document}), "passes");
        check(
            &schema,
            &json!({"to": ["private"]}),
            "/to: it is not of type \"string\"",
        );
        check(
            &schema,
            &json!({"file": {"$document": "sha256:0", "name": "a", "mediaType": "b", "size": 1}}),
            "/file/$document: it does not match \"^sha256:[0-9a-f]{64}$\"",
        );
        check(
            &schema,
            &json!(7),
            "the whole: it is not of type \"object\"",
        );
    }

    #[test]
    fn refuses_what_is_no_schema_and_what_lies_elsewhere() {
        for bad in [
            json!({"type": "nothing"}),
            json!({"$ref": "https://example.com/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"pattern": "(?=x)"}),
            json!({"pattern": r"\p{L}{300}"}),
            json!(7),
        ] {
            assert!(Schema::new(&bad).is_err(), "{bad}");
        }
    }
}
