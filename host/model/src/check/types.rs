//! What is known of a value before anything runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::{DOCUMENT_SCHEMA_URI, InputSpec, InputType};

/// What is known of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    /// Nothing.
    Any,
    /// No value at all: the elements of an empty list.
    Never,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    /// A number, whole or not.
    Number,
    String,
    Bytes,
    Timestamp,
    Duration,
    List(Arc<Type>),
    Object(Arc<Object>),
    /// `steps`.
    Steps,
    /// `steps.<id>`, by its place.
    Step(usize),
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Object {
    /// Fields that it may have.
    pub(crate) fields: BTreeMap<String, Type>,
    /// Whether it may have others.
    pub(crate) is_open: bool,
    /// Whether it is a document reference.
    pub(crate) is_document: bool,
}

/// How deep schemas are followed. Deeper, anything goes.
const DEEPEST: usize = 12;

impl Type {
    pub(crate) fn list(of: Self) -> Self {
        Self::List(Arc::new(of))
    }

    pub(crate) fn object(fields: impl IntoIterator<Item = (String, Self)>, is_open: bool) -> Self {
        let fields = fields.into_iter().collect();
        Self::Object(Arc::new(Object {
            fields,
            is_open,
            is_document: false,
        }))
    }

    /// A failure: the JSON of [`crate::Failure`]. Open, since not every one has every field.
    pub(crate) fn failure() -> Self {
        let fields = ["class", "code", "message", "remedy"];
        Self::object(fields.map(|name| (name.to_owned(), Self::String)), true)
    }

    pub(crate) fn any_object() -> Self {
        Self::object([], true)
    }

    pub(crate) fn document() -> Self {
        let text = ["$document", "name", "mediaType"].map(|name| (name.to_owned(), Self::String));
        let fields = text
            .into_iter()
            .chain([("size".to_owned(), Self::Int)])
            .collect();
        Self::Object(Arc::new(Object {
            fields,
            is_open: false,
            is_document: true,
        }))
    }

    /// The type of an input. One that may be null can be anything.
    pub(crate) fn of_input(spec: &InputSpec) -> Self {
        if !spec.required && spec.default.is_none() {
            return Self::Any;
        }
        Self::of_kind(spec.kind)
    }

    /// The values of a type of inputs.
    pub(crate) fn of_kind(kind: InputType) -> Self {
        match kind {
            InputType::String => Self::String,
            InputType::Number => Self::Number,
            InputType::Integer => Self::Int,
            InputType::Boolean => Self::Bool,
            InputType::Document => Self::document(),
            InputType::List => Self::list(Self::Any),
            InputType::Object => Self::any_object(),
        }
    }

    /// What a JSON Schema says of the values that pass it. Fields that it does not name are unknown
    /// unless it allows them outright: what a schema names is what its author promises.
    pub(crate) fn of_schema(schema: &Value) -> Self {
        of_schema(schema, schema, DEEPEST)
    }

    /// The type of a value that is written out.
    pub(crate) fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_f64() => Self::Double,
            Value::Number(_) => Self::Int,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::list(Self::Any),
            Value::Object(_) => Self::any_object(),
        }
    }

    /// What is known of a value that is of one type or of the other.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, known) | (known, Self::Never) => known,
            (a, b) if a == b => a,
            (a, b) if a.is_number() && b.is_number() => Self::Number,
            (Self::List(a), Self::List(b)) => {
                Self::list(Arc::unwrap_or_clone(a).or(Arc::unwrap_or_clone(b)))
            }
            (Self::Object(_), Self::Object(_)) => Self::any_object(),
            _ => Self::Any,
        }
    }

    pub(crate) const fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double | Self::Number)
    }

    pub(crate) const fn is_unknown(&self) -> bool {
        matches!(self, Self::Any | Self::Never)
    }

    /// Whether one value may be of both types.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            _ if self.is_unknown() || other.is_unknown() => true,
            (Self::Number, number) | (number, Self::Number) => number.is_number(),
            (Self::List(a), Self::List(b)) => a.meets(b),
            (Self::Object(_), Self::Object(_)) => true,
            (a, b) => a == b,
        }
    }

    /// The type for people.
    pub(crate) fn described(&self) -> &'static str {
        match self {
            Self::Any | Self::Never => "anything",
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Int | Self::Uint => "a whole number",
            Self::Double => "a number with a fraction",
            Self::Number => "a number",
            Self::String => "text",
            Self::Bytes => "bytes",
            Self::Timestamp => "a time",
            Self::Duration => "a duration",
            Self::List(_) => "a list",
            Self::Object(object) if object.is_document => "a document",
            Self::Object(_) => "an object",
            Self::Steps => "the steps",
            Self::Step(_) => "a step",
        }
    }
}

fn of_schema(schema: &Value, root: &Value, deeper: usize) -> Type {
    let Some(deeper) = deeper.checked_sub(1) else {
        return Type::Any;
    };
    let Value::Object(words) = schema else {
        return Type::Any;
    };
    if let Some(Value::String(name)) = words.get("$ref") {
        if name == DOCUMENT_SCHEMA_URI {
            return Type::document();
        }
        return local(root, name).map_or(Type::Any, |schema| of_schema(schema, root, deeper));
    }
    let values = words.get("enum").and_then(Value::as_array);
    let values = values
        .map(Vec::as_slice)
        .or_else(|| words.get("const").map(std::slice::from_ref));
    if let Some(values) = values {
        return values
            .iter()
            .map(Type::of_value)
            .fold(Type::Never, Type::or);
    }
    match words.get("type").and_then(Value::as_str) {
        Some("string") => Type::String,
        Some("integer") => Type::Int,
        Some("number") => Type::Number,
        Some("boolean") => Type::Bool,
        Some("null") => Type::Null,
        Some("array") => {
            let items = words
                .get("items")
                .filter(|_| !words.contains_key("prefixItems"));
            Type::list(items.map_or(Type::Any, |items| of_schema(items, root, deeper)))
        }
        Some("object") => object(words, root, deeper),
        None if words.contains_key("properties") => object(words, root, deeper),
        _ => Type::Any,
    }
}

fn object(words: &serde_json::Map<String, Value>, root: &Value, deeper: usize) -> Type {
    let named = words.get("properties").and_then(Value::as_object);
    let fields = named.into_iter().flatten();
    let fields = fields.map(|(name, field)| (name.clone(), of_schema(field, root, deeper)));
    let allows_more = match words.get("additionalProperties") {
        Some(Value::Bool(allowed)) => *allowed,
        Some(_) => true,
        None => false,
    };
    let joins = [
        "allOf",
        "anyOf",
        "oneOf",
        "if",
        "patternProperties",
        "dependentSchemas",
    ];
    let says_more = joins.iter().any(|word| words.contains_key(*word));
    Type::object(fields, allows_more || says_more || named.is_none())
}

/// The schema that a `$ref` within the same document names.
pub(super) fn local<'a>(root: &'a Value, name: &str) -> Option<&'a Value> {
    root.pointer(name.strip_prefix('#')?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_schemas() {
        let text = |name: &str| (name.to_owned(), Type::String);
        for (schema, expected) in [
            (json!({"type": "string"}), Type::String),
            (json!({"enum": ["a", "b"]}), Type::String),
            (json!({"enum": ["a", 1]}), Type::Any),
            (json!({"const": 1}), Type::Int),
            (json!({"type": ["string", "null"]}), Type::Any),
            (json!({"oneOf": [{"type": "string"}]}), Type::Any),
            (json!(true), Type::Any),
            (
                json!({"type": "array", "items": {"type": "number"}}),
                Type::list(Type::Number),
            ),
            (json!({"$ref": "urn:docket:document"}), Type::document()),
            (
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "boolean"}}}),
                Type::Bool,
            ),
            (json!({"$ref": "#"}), Type::Any),
            (json!({"type": "object"}), Type::any_object()),
            (
                json!({"type": "object", "properties": {"a": {"type": "string"}}}),
                Type::object([text("a")], false),
            ),
            (
                json!({"properties": {"a": {"type": "string"}}, "additionalProperties": true}),
                Type::object([text("a")], true),
            ),
        ] {
            assert_eq!(Type::of_schema(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn joins_and_meets() {
        for (a, b, either, meets) in [
            (Type::Int, Type::Int, Type::Int, true),
            (Type::Int, Type::Double, Type::Number, false),
            (Type::Int, Type::Number, Type::Number, true),
            (Type::Int, Type::String, Type::Any, false),
            (Type::Never, Type::String, Type::String, true),
            (Type::Any, Type::String, Type::Any, true),
            (
                Type::list(Type::Never),
                Type::list(Type::Int),
                Type::list(Type::Int),
                true,
            ),
            (
                Type::list(Type::Int),
                Type::list(Type::String),
                Type::list(Type::Any),
                false,
            ),
            (
                Type::document(),
                Type::any_object(),
                Type::any_object(),
                true,
            ),
        ] {
            assert_eq!(a.meets(&b), meets, "{a:?} {b:?}");
            assert_eq!(a.clone().or(b.clone()), either, "{a:?} {b:?}");
        }
    }
}
