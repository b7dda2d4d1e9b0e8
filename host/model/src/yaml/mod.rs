//! YAML as a tree in which every value knows where it stands.
//!
//! It is built from the events of granit-parser, the parser inside serde-saphyr. serde-saphyr's own
//! deserialiser stops at the first problem and says nothing of where keys stand; diagnostics need
//! every problem and every place.

mod locate;
mod parse;
mod scalar;

use serde_json::{Map, Number, Value};

use crate::Span;

pub(crate) use parse::parse;

/// How deep lists and mappings may stand in each other.
pub const MAX_YAML_DEPTH: usize = 64;

/// How many values a file may have, those that aliases repeat included.
pub const MAX_YAML_VALUES: usize = 100_000;

/// The most text that a file may have, in bytes, what aliases repeat included.
pub const MAX_YAML_TEXT: usize = 4 << 20;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Where it stands; of an alias, where the anchor's value stands.
    pub(crate) span: Span,
}

/// What kind of value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// An entry of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: Name,
    pub(crate) value: Node,
}

/// A text with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Node {
    /// What kind of value it is, for people.
    pub(crate) fn described(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::String(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// The value as JSON.
    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::String(text) => Value::String(text.clone()),
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Map(entries) => {
                let entry = |entry: &Entry| (entry.key.text.clone(), entry.value.to_json());
                Value::Object(entries.iter().map(entry).collect::<Map<_, _>>())
            }
        }
    }

    /// Where bytes `range` of a text node's text stand in the file; the whole node where that
    /// cannot be told, as in text with `\u` escapes.
    pub(crate) fn locate(&self, file: &str, range: std::ops::Range<usize>) -> Span {
        let Kind::String(text) = &self.kind else {
            return self.span;
        };
        let written = file.get(self.span.start..self.span.end).unwrap_or("");
        locate::locate(written, text, range).map_or(self.span, |found| Span {
            start: self.span.start + found.start,
            end: self.span.start + found.end,
        })
    }
}
