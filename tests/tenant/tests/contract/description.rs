//! What Microsoft documents of Graph mail: an OpenAPI description and exchanges, in `shared/graph`.
//!
//! They lie beside the repository and are no part of it; without them there is nothing to hold anything
//! to. The end-to-end tests hold the plugins' requests to the same description.

use std::path::Path;

use serde_json::{Value, json};

/// A file of `shared/graph`, where it is there.
pub(crate) fn shared(name: &str) -> Option<String> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/graph").join(name))
        .find_map(|path| std::fs::read_to_string(path).ok())
}

/// The description, with OpenAPI's words in those of JSON Schema.
pub(crate) struct Description(pub(crate) Value);

impl Description {
    /// Reads it, where it is there.
    pub(crate) fn read() -> Option<Self> {
        let mut value = serde_json::from_str(&shared("openapi-mail.json")?).unwrap();
        plain(&mut value);
        let description = Self(value);
        let wrong = description.fits(&Self::named("message"), &json!({"subject": 7}));
        assert!(!wrong.is_empty(), "a check that nothing fails is none");
        Some(description)
    }

    /// The schema of a type of Graph's.
    pub(crate) fn named(name: &str) -> Value {
        json!({"$ref": format!("#/components/schemas/microsoft.graph.{name}")})
    }

    /// What of `value` does not fit; no schema is no demand.
    pub(crate) fn fits(&self, schema: &Value, value: &Value) -> Vec<String> {
        if schema.is_null() {
            return Vec::new();
        }
        let whole = json!({"allOf": [schema], "components": self.0["components"]});
        let schema = jsonschema::options().build(&whole).unwrap();
        schema
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect()
    }
}

fn plain(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(plain);
            if map.remove("nullable") == Some(json!(true)) {
                let inner = Value::Object(std::mem::take(map));
                map.insert("anyOf".into(), json!([{"type": "null"}, inner]));
            }
            // A word of OpenAPI's that JSON Schema does not know.
            map.remove("discriminator");
        }
        Value::Array(list) => list.iter_mut().for_each(plain),
        _ => {}
    }
}
