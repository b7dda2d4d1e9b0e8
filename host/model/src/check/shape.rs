//! What is known of a value of a workflow before anything runs: written out, or an expression of a
//! type.

use serde_json::Value;

use super::types::Type;
use crate::yaml::Name;
use crate::{Span, inputs};

/// What is known of an input.
pub(crate) struct Shape {
    pub(crate) kind: ShapeKind,
    pub(crate) span: Span,
}

pub(crate) enum ShapeKind {
    /// Written out; a scalar.
    Scalar(Value),
    List(Vec<Shape>),
    Object(Vec<(Name, Shape)>),
    /// An expression of this type.
    Typed(Type),
}

/// Whether something fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    No,
    Maybe,
    Yes,
}

impl Shape {
    /// Whether it is of a type of JSON Schema.
    pub(super) fn is_of(&self, name: &str) -> Fit {
        let is = match &self.kind {
            ShapeKind::Scalar(value) => match name {
                "string" => value.is_string(),
                "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                "null" => value.is_null(),
                _ => false,
            },
            ShapeKind::List(_) => name == "array",
            ShapeKind::Object(_) => name == "object",
            ShapeKind::Typed(found) => return is_of(found, name),
        };
        if is { Fit::Yes } else { Fit::No }
    }

    /// It, for people.
    pub(super) fn described(&self) -> &'static str {
        match &self.kind {
            ShapeKind::Scalar(value) => inputs::described(value),
            ShapeKind::List(_) => "a list",
            ShapeKind::Object(_) => "a mapping",
            ShapeKind::Typed(found) => found.described(),
        }
    }

    /// The value, where all of it is written out.
    pub(super) fn literal(&self) -> Option<Value> {
        match &self.kind {
            ShapeKind::Scalar(value) => Some(value.clone()),
            ShapeKind::List(items) => items.iter().map(Self::literal).collect(),
            ShapeKind::Object(fields) => {
                let field =
                    |(name, field): &(Name, Self)| Some((name.text.clone(), field.literal()?));
                fields
                    .iter()
                    .map(field)
                    .collect::<Option<_>>()
                    .map(Value::Object)
            }
            ShapeKind::Typed(_) => None,
        }
    }

    /// Where the value at a JSON Pointer stands.
    pub(super) fn at<'p>(&self, mut path: impl Iterator<Item = &'p str>) -> Span {
        let Some(part) = path.next() else {
            return self.span;
        };
        let part = part.replace("~1", "/").replace("~0", "~");
        let inner = match &self.kind {
            ShapeKind::List(items) => part.parse().ok().and_then(|at: usize| items.get(at)),
            ShapeKind::Object(fields) => fields
                .iter()
                .find(|(name, _)| name.text == part)
                .map(|(_, field)| field),
            _ => None,
        };
        inner.map_or(self.span, |inner| inner.at(path))
    }
}

fn is_of(found: &Type, name: &str) -> Fit {
    let sure = |is: bool| if is { Fit::Yes } else { Fit::No };
    match found {
        Type::Any | Type::Never => Fit::Maybe,
        Type::Null => sure(name == "null"),
        Type::Bool => sure(name == "boolean"),
        Type::Int | Type::Uint => sure(matches!(name, "integer" | "number")),
        Type::Double | Type::Number if name == "integer" => Fit::Maybe,
        Type::Double | Type::Number => sure(name == "number"),
        // Times and durations become text.
        Type::String | Type::Timestamp | Type::Duration => sure(name == "string"),
        Type::Bytes => Fit::No,
        Type::List(_) => sure(name == "array"),
        Type::Object(_) | Type::Steps | Type::Step(_) => sure(name == "object"),
    }
}

/// Whether a value may be of a type.
pub(super) fn is_like(value: &Value, found: &Type) -> bool {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    is_of(found, name) != Fit::No
}
