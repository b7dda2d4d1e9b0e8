//! How far the references of a plugin's schema reach.
//!
//! A plugin writes the schema and the value that is checked against it, and the check runs in the host
//! with no limit of its own. A reference that leads back to itself, and references that double at
//! every level, would keep it busy for ever; so neither is taken.

use std::collections::HashMap;

use docket_model::DOCUMENT_SCHEMA_URI;
use serde_json::{Map, Value};

/// The most places that a schema may have once every reference is written out.
const PLACES_AT_MOST: u64 = 20_000;

/// How many places a pattern counts for: what it is compiled to takes that much more room.
const PLACES_OF_A_PATTERN: u64 = 100;

/// The most references that lead on from one to the next.
const DEPTH_AT_MOST: usize = 32;

/// Keywords whose value is data and no schema (JSON Schema 2020-12, validation).
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];
/// Keywords whose members are schemas under names of the author's own.
const NAMED: [&str; 2] = ["dependentSchemas", "properties"];
/// The same, and they count only where something refers to them.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// Refuses a schema whose checking nobody can bound.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(schema: &Value) -> Result<(), String> {
    let mut walk = Walk {
        root: schema,
        known: HashMap::new(),
        open: Vec::new(),
    };
    walk.size(schema, true).map(|_| ())
}

struct Walk<'s> {
    root: &'s Value,
    /// What is behind a reference.
    known: HashMap<&'s str, Size>,
    /// The references that lead to where the walk stands.
    open: Vec<&'s str>,
}

/// A schema with every reference written out.
#[derive(Clone, Copy, Default)]
struct Size {
    places: u64,
    /// References on the longest way.
    depth: usize,
}

impl Size {
    fn of_patterns(count: usize) -> Self {
        Self {
            places: PLACES_OF_A_PATTERN.saturating_mul(count as u64),
            depth: 0,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            places: self.places.saturating_add(other.places),
            depth: self.depth.max(other.depth),
        }
    }
}

impl<'s> Walk<'s> {
    fn size(&mut self, schema: &'s Value, is_root: bool) -> Result<Size, String> {
        let size = match schema {
            Value::Object(words) => self.object(words, is_root)?,
            Value::Array(schemas) => self.all(schemas.iter())?,
            _ => Size::default(),
        };
        if size.places > PLACES_AT_MOST {
            return Err(format!(
                "it has more than {PLACES_AT_MOST} places once its references are written out"
            ));
        }
        Ok(size)
    }

    fn all(&mut self, mut schemas: impl Iterator<Item = &'s Value>) -> Result<Size, String> {
        schemas.try_fold(Size::default(), |size, schema| {
            Ok(size.and(self.size(schema, false)?))
        })
    }

    fn object(&mut self, words: &'s Map<String, Value>, is_root: bool) -> Result<Size, String> {
        let mut size = Size {
            places: 1,
            depth: 0,
        };
        for (word, value) in words {
            let more = match (word.as_str(), value) {
                ("$ref", Value::String(target)) => self.behind(target)?,
                ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                    return Err(format!("`{word}` is not supported"));
                }
                ("$id", Value::String(_)) if !is_root => {
                    return Err("`$id` is for the whole schema only".to_owned());
                }
                (word, _) if DATA.contains(&word) || DEFINITIONS.contains(&word) => continue,
                ("pattern", Value::String(_)) => Size::of_patterns(1),
                ("patternProperties", Value::Object(named)) => {
                    Size::of_patterns(named.len()).and(self.all(named.values())?)
                }
                (word, Value::Object(named)) if NAMED.contains(&word) => {
                    self.all(named.values())?
                }
                (_, value) => self.size(value, false)?,
            };
            size = size.and(more);
        }
        Ok(size)
    }

    /// What is behind a reference.
    fn behind(&mut self, target: &'s str) -> Result<Size, String> {
        if target == DOCUMENT_SCHEMA_URI {
            return Ok(Size::default());
        }
        let is_plain = |pointer: &&str| {
            (pointer.is_empty() || pointer.starts_with('/')) && !pointer.contains('%')
        };
        let pointer = target.strip_prefix('#').filter(is_plain).ok_or_else(|| {
            format!("`{target}` leads to none of its own parts; write #/$defs/NAME")
        })?;
        let size = match self.known.get(pointer) {
            Some(size) => *size,
            None => {
                if self.open.contains(&pointer) {
                    return Err(format!("`{target}` leads back to itself"));
                }
                let schema = self
                    .root
                    .pointer(pointer)
                    .ok_or_else(|| format!("`{target}` leads nowhere"))?;
                self.open.push(pointer);
                Self::too_deep(self.open.len())?;
                let mut size = self.size(schema, false)?;
                self.open.pop();
                size.depth += 1;
                self.known.insert(pointer, size);
                size
            }
        };
        Self::too_deep(size.depth)?;
        Ok(size)
    }

    fn too_deep(depth: usize) -> Result<(), String> {
        if depth > DEPTH_AT_MOST {
            return Err(format!(
                "it follows more than {DEPTH_AT_MOST} references one behind the other"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn refuses(schema: &Value, part: &str) {
        let found = check(schema);
        assert!(
            found.as_ref().is_err_and(|problem| problem.contains(part)),
            "{found:?}"
        );
    }

    /// Each of `count` definitions refers twice to the next one.
    fn doubling(word: &str, count: usize) -> Value {
        let mut definitions = Map::new();
        for n in 0..count {
            let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
            definitions.insert(format!("d{n}"), json!({word: [next, next]}));
        }
        definitions.insert(format!("d{count}"), json!({"type": "object"}));
        json!({"$defs": definitions, "$ref": "#/$defs/d0"})
    }

    #[test]
    fn what_has_no_end_is_refused() {
        refuses(&json!({"$ref": "#"}), "back to itself");
        refuses(
            &json!({"properties": {"a": {"$ref": "#"}}}),
            "back to itself",
        );
        refuses(
            &json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}),
            "back to itself",
        );
        // A property may have any name, that of a keyword, too.
        refuses(
            &json!({"properties": {"default": {"$ref": "#/properties/default"}}}),
            "back to itself",
        );
        refuses(&json!({"$dynamicRef": "#"}), "not supported");
        refuses(
            &json!({"items": {"$id": "urn:x", "$ref": "#"}}),
            "whole schema",
        );
        for target in ["#anchor", "urn:other", "#/%24defs/a", "https://a.test/"] {
            refuses(&json!({"$ref": target}), "its own parts");
        }
        refuses(&json!({"$ref": "#/$defs/none"}), "nowhere");
        for word in ["allOf", "anyOf", "oneOf", "prefixItems"] {
            refuses(&doubling(word, 20), "20000 places");
        }
        let patterns = vec![json!({"pattern": "^a"}); 200];
        refuses(&json!({"allOf": patterns}), "20000 places");
        let named: Map<String, Value> = (0..200).map(|n| (format!("^{n}"), json!({}))).collect();
        refuses(&json!({"patternProperties": named}), "20000 places");
        refuses(&doubling("allOf", 40), "one behind the other");
        // The same, reached from its end first.
        let mut chain = doubling("not", 40);
        let from_the_end: Vec<Value> = (0..40)
            .rev()
            .map(|n| json!({"$ref": format!("#/$defs/d{n}")}))
            .collect();
        for n in 0..40 {
            chain["$defs"][format!("d{n}")] = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        }
        chain["allOf"] = from_the_end.into();
        refuses(&chain, "one behind the other");
    }

    #[test]
    fn what_has_an_end_is_taken() {
        for schema in [
            json!(true),
            json!({"$id": "urn:mine", "$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}),
            json!({"properties": {"$ref": {"type": "string"}, "d": {"$ref": "urn:docket:document"}}}),
            json!({"const": {"$ref": "#"}, "items": {"enum": [{"$ref": "#"}]}}),
            json!({"$defs": {"unused": {"$ref": "#/$defs/unused"}}}),
        ] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
        }
    }
}
