//! The input of an action as workflows write it: its schema (2020-12) in draft-07, with expressions
//! wherever a value may stand and body templates wherever text may.
//!
//! References are written out, since they do not recurse. What cannot be told while expressions stand
//! for values is left out, so that nothing right is called wrong.

use serde_json::{Map, Value, json};

use super::{WHOLE, whole};
use crate::{ActionSpec, DOCUMENT_SCHEMA_URI};

/// How deep references are followed.
const DEEPEST: usize = 32;
/// Words of JSON Schema that only say what must be there, whatever its value.
const ABOUT_PRESENCE: [&str; 7] = [
    "required",
    "not",
    "anyOf",
    "allOf",
    "oneOf",
    "minProperties",
    "maxProperties",
];
/// Words that are for people.
const FOR_PEOPLE: [&str; 4] = ["title", "description", "default", "examples"];
/// Words that say something of a value that an expression may stand for.
const OF_VALUES: [&str; 5] = ["type", "enum", "const", "anyOf", "oneOf"];

/// The schema of `with` for an action.
pub(super) fn input(name: &str, action: &ActionSpec) -> Value {
    let root = &action.input;
    let mut schema = match words(root, root, DEEPEST) {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    schema.insert("title".to_owned(), name.into());
    if !schema.contains_key("description") {
        schema.insert("description".to_owned(), action.summary.as_str().into());
    }
    let snippets: Vec<Value> = action
        .examples
        .iter()
        .map(|example| json!({"label": example.title, "body": example.input}))
        .collect();
    if !snippets.is_empty() {
        schema.insert("defaultSnippets".to_owned(), snippets.into());
    }
    schema.into()
}

/// Whether an action cannot do without any input.
pub(super) fn needs_input(action: &ActionSpec) -> bool {
    let required = action.input.get("required").and_then(Value::as_array);
    required.is_some_and(|names| !names.is_empty())
}

/// A body template in the place of a text.
pub(super) fn template() -> Value {
    json!({
        "type": "object",
        "title": "template",
        "description": "Text from a template file (minijinja).",
        "properties": {
            "template": {
                "type": "string", "pattern": r"\S",
                "description": "The template's file, from the workflow's folder: templates/mail.html. \
                                In files that end in .html, values are escaped."
            },
            "data": {
                "description": "What the template may read, by name.",
                "anyOf": [{"type": ["object", "null"]}, whole()]
            }
        },
        "required": ["template"],
        "additionalProperties": false
    })
}

/// A value: as its schema says, or an expression.
fn value(schema: &Value, root: &Value, deeper: usize) -> Value {
    let Value::Object(mut schema) = words(schema, root, deeper) else {
        return schema.clone();
    };
    let is_of_values = OF_VALUES.iter().any(|word| schema.contains_key(*word));
    if !is_of_values || schema.get("$ref").is_some() {
        return schema.into();
    }
    let mut outside = Map::new();
    for word in FOR_PEOPLE {
        if let Some(text) = schema.shift_remove(word) {
            outside.insert(word.to_owned(), text);
        }
    }
    let is_fixed = schema.contains_key("enum") || schema.contains_key("const");
    let may_be_text = match schema.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
        _ => false,
    };
    let is_any_text = may_be_text && schema.len() == 1;
    let mut forms = vec![schema.into()];
    if may_be_text && !is_fixed {
        if !is_any_text {
            forms.push(json!({"type": "string", "pattern": r"\$\{\{"}));
        }
        forms.push(json!({"$ref": "#/definitions/template"}));
    } else {
        forms.push(json!({"type": "string", "pattern": WHOLE}));
    }
    outside.insert("anyOf".to_owned(), forms.into());
    outside.into()
}

/// The words of a schema, with expressions inside.
fn words(schema: &Value, root: &Value, deeper: usize) -> Value {
    let (Value::Object(words), Some(deeper)) = (schema, deeper.checked_sub(1)) else {
        return match schema {
            Value::Bool(_) => schema.clone(),
            _ => json!({}),
        };
    };
    if let Some(Value::String(reference)) = words.get("$ref") {
        let mut found = match (reference.as_str(), reference.strip_prefix('#')) {
            (DOCUMENT_SCHEMA_URI, _) => document(),
            (_, Some(pointer)) => root
                .pointer(pointer)
                .map_or_else(|| json!({}), |target| self::words(target, root, deeper)),
            _ => json!({}),
        };
        // Beside a reference stands what is said of this place alone.
        if let Value::Object(found) = &mut found {
            for word in FOR_PEOPLE {
                if let Some(text) = words.get(word) {
                    found.insert(word.to_owned(), text.clone());
                }
            }
        }
        return found;
    }
    let each = |schemas: &Map<String, Value>| -> Map<String, Value> {
        let one = |(name, schema): (&String, &Value)| (name.clone(), value(schema, root, deeper));
        schemas.iter().map(one).collect()
    };
    let mut made = Map::new();
    for (word, said) in words {
        let (word, said) = match (word.as_str(), said) {
            ("properties" | "patternProperties", Value::Object(schemas)) => {
                (word.as_str(), each(schemas).into())
            }
            ("items" | "additionalProperties", of) if words.get("prefixItems").is_none() => {
                (word.as_str(), value(of, root, deeper))
            }
            ("anyOf" | "oneOf" | "allOf", Value::Array(schemas)) => {
                if schemas.iter().all(is_about_presence) {
                    (word.as_str(), said.clone())
                } else {
                    let all = schemas.iter().map(|one| value(one, root, deeper));
                    // An expression may be any of them.
                    let word = if word == "oneOf" { "anyOf" } else { word };
                    (word, all.collect::<Vec<_>>().into())
                }
            }
            ("not", said) if is_about_presence(said) => ("not", said.clone()),
            ("dependentRequired", said) => ("dependencies", said.clone()),
            (
                "type" | "enum" | "const" | "required" | "pattern" | "format" | "minLength"
                | "maxLength" | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum"
                | "multipleOf" | "minItems" | "maxItems" | "uniqueItems" | "minProperties"
                | "maxProperties" | "title" | "description" | "default" | "examples",
                said,
            ) => (word.as_str(), said.clone()),
            // The others cannot be told of expressions, or are of a later draft.
            _ => continue,
        };
        made.insert(word.to_owned(), said);
    }
    made.into()
}

/// Whether a schema speaks of what is there, and never of its value.
fn is_about_presence(schema: &Value) -> bool {
    let Value::Object(words) = schema else {
        return false;
    };
    words.iter().all(|(word, said)| {
        ABOUT_PRESENCE.contains(&word.as_str())
            && match said {
                Value::Object(_) => is_about_presence(said),
                Value::Array(all) => all
                    .iter()
                    .all(|one| one.is_string() || is_about_presence(one)),
                _ => true,
            }
    })
}

/// A document: an expression gives it.
fn document() -> Value {
    json!({
        "description": "A document: an input, or of an earlier step's output.",
        "examples": ["${{ inputs.document }}"],
        "type": "object",
        "required": ["$document"]
    })
}
