//! Whether a step's input fits its action's schema, as far as can be told before the run: the parts
//! that are written out are checked in full, expressions by their types.
//!
//! The answer has three values. Only what fits in no case is reported; the sandbox checks the whole
//! input again when the step runs. Followed are the words of JSON Schema that shape values; others
//! can only be told for values that are written out in full, and those go through a validator.

use std::collections::HashMap;

use jsonschema::{Draft, PatternOptions, Registry, Validator};
use serde_json::{Map, Value, json};

use super::shape::{Fit, Shape, ShapeKind, is_like};
use super::types::{self, Type};
use crate::diagnostic::suggestion;
use crate::yaml::Name;
use crate::{DOCUMENT_SCHEMA_URI, MAX_PATTERN_BYTES, Span};

/// Why an input does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// Words that are followed here, or that say nothing about values. With any other, fitting is never
/// certain.
const FOLLOWED: [&str; 31] = [
    "$comment",
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "multipleOf",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
];

/// How deep references are followed.
const DEEPEST: usize = 32;

/// What does not fit, and `what` it is that has it: `exchange/send`.
pub(crate) fn misfits(
    schema: &Value,
    shape: &Shape,
    what: &str,
    validators: &mut Validators,
) -> Vec<Misfit> {
    let mut fitting = Fitting {
        root: schema,
        what,
        misfits: Vec::new(),
    };
    let found = fitting.fit(schema, shape, DEEPEST);
    if found != Fit::No
        && let Some(value) = shape.literal()
    {
        fitting.validate(validators.of(what, schema), &value, shape);
    }
    fitting.misfits
}

/// Compiled schemas by the actions that have them: compiling one takes longer than all else that is
/// done for a step.
#[derive(Default)]
pub(crate) struct Validators(HashMap<String, Option<Validator>>);

impl Validators {
    fn of(&mut self, what: &str, schema: &Value) -> Option<&Validator> {
        if !self.0.contains_key(what) {
            self.0.insert(what.to_owned(), compile(schema).ok());
        }
        self.0.get(what)?.as_ref()
    }
}

struct Fitting<'a> {
    root: &'a Value,
    what: &'a str,
    misfits: Vec<Misfit>,
}

impl Fitting<'_> {
    fn misfit(&mut self, span: Span, message: String, help: Option<String>) -> Fit {
        self.misfits.push(Misfit {
            span,
            message,
            help,
        });
        Fit::No
    }

    fn fit(&mut self, schema: &Value, shape: &Shape, deeper: usize) -> Fit {
        let Some(deeper) = deeper.checked_sub(1) else {
            return Fit::Maybe;
        };
        let words = match schema {
            Value::Bool(true) => return Fit::Yes,
            Value::Bool(false) => {
                return self.misfit(shape.span, "nothing may stand here".to_owned(), None);
            }
            Value::Object(words) => words,
            _ => return Fit::Maybe,
        };
        let mut fit = self.fit_type(words, shape);
        if fit == Fit::No {
            return fit;
        }
        if let Some(name) = words.get("$ref").and_then(Value::as_str) {
            fit = fit.min(self.fit_reference(name, shape, deeper));
        }
        match &shape.kind {
            ShapeKind::Scalar(value) => fit = fit.min(self.fit_scalar(words, value, shape.span)),
            ShapeKind::List(items) => {
                if let Some(schema) = words
                    .get("items")
                    .filter(|_| !words.contains_key("prefixItems"))
                {
                    for item in items {
                        fit = fit.min(self.fit(schema, item, deeper));
                    }
                }
                fit = fit.min(self.fit_count(words, items.len(), shape.span));
            }
            ShapeKind::Object(fields) => {
                fit = fit.min(self.fit_object(words, fields, shape, deeper))
            }
            ShapeKind::Typed(found) => fit = fit.min(self.fit_typed(words, found, shape, deeper)),
        }
        for schema in words
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            fit = fit.min(self.fit(schema, shape, deeper));
        }
        for (word, only_one) in [("anyOf", false), ("oneOf", true)] {
            if let Some(schemas) = words.get(word).and_then(Value::as_array) {
                fit = fit.min(self.fit_one(schemas, only_one, shape, deeper));
            }
        }
        let is_known = |word: &String| FOLLOWED.contains(&word.as_str());
        if words.keys().all(is_known) {
            fit
        } else {
            fit.min(Fit::Maybe)
        }
    }

    fn fit_type(&mut self, words: &Map<String, Value>, shape: &Shape) -> Fit {
        let wanted: Vec<&str> = match words.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => return Fit::Yes,
        };
        let fits = wanted
            .iter()
            .map(|name| shape.is_of(name))
            .max()
            .unwrap_or(Fit::Maybe);
        if fits != Fit::No {
            return fits;
        }
        let mut names: Vec<&str> = wanted.iter().map(|name| described(name)).collect();
        names.dedup();
        let message = format!(
            "this must be {}, not {}",
            names.join(" or "),
            shape.described()
        );
        let is_quoted = matches!(&shape.kind, ShapeKind::Scalar(value) if !value.is_string());
        let help = (is_quoted && wanted.contains(&"string")).then(|| "quote it".to_owned());
        self.misfit(shape.span, message, help)
    }

    fn fit_reference(&mut self, name: &str, shape: &Shape, deeper: usize) -> Fit {
        if name != DOCUMENT_SCHEMA_URI {
            let root = self.root;
            let schema = types::local(root, name);
            return schema.map_or(Fit::Maybe, |schema| self.fit(schema, shape, deeper));
        }
        let fit = match &shape.kind {
            ShapeKind::Typed(Type::Object(object)) if object.is_document => Fit::Yes,
            ShapeKind::Typed(Type::Object(object)) if object.is_open => Fit::Maybe,
            ShapeKind::Typed(found) if found.is_unknown() => Fit::Maybe,
            ShapeKind::Object(_) => Fit::Maybe,
            _ => Fit::No,
        };
        if fit == Fit::No {
            let message = format!("this must be a document, not {}", shape.described());
            let help = "take one from an input of type `document`, or from a step's output";
            return self.misfit(shape.span, message, Some(help.to_owned()));
        }
        fit
    }

    /// The words for texts and numbers that are written out.
    fn fit_scalar(&mut self, words: &Map<String, Value>, value: &Value, span: Span) -> Fit {
        const WORDS: [&str; 10] = [
            "enum",
            "const",
            "minLength",
            "maxLength",
            "pattern",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
        ];
        let said = words
            .iter()
            .filter(|(word, _)| WORDS.contains(&word.as_str()));
        let said: Map<String, Value> = said
            .map(|(word, value)| (word.clone(), value.clone()))
            .collect();
        if said.is_empty() {
            return Fit::Yes;
        }
        let Ok(validator) = compile(&Value::Object(said)) else {
            return Fit::Maybe;
        };
        let mut fit = Fit::Yes;
        for error in validator.iter_errors(value) {
            let options = words.get("enum").and_then(Value::as_array);
            let options = options.into_iter().flatten().filter_map(Value::as_str);
            let help = value.as_str().and_then(|text| suggestion(text, options));
            fit = self.misfit(span, error.to_string(), help);
        }
        fit
    }

    fn fit_count(&mut self, words: &Map<String, Value>, count: usize, span: Span) -> Fit {
        let limit = |word: &str| words.get(word).and_then(Value::as_u64);
        let count = count as u64;
        if let Some(least) = limit("minItems").filter(|least| count < *least) {
            return self.misfit(
                span,
                format!("there must be at least {least} elements"),
                None,
            );
        }
        if let Some(most) = limit("maxItems").filter(|most| count > *most) {
            return self.misfit(span, format!("there may be at most {most} elements"), None);
        }
        Fit::Yes
    }

    fn fit_object(
        &mut self,
        words: &Map<String, Value>,
        fields: &[(Name, Shape)],
        shape: &Shape,
        deeper: usize,
    ) -> Fit {
        let mut fit = Fit::Yes;
        let known = words.get("properties").and_then(Value::as_object);
        let has_patterns = words.contains_key("patternProperties");
        for (name, field) in fields {
            if let Some(schema) = known.and_then(|known| known.get(&name.text)) {
                fit = fit.min(self.fit(schema, field, deeper));
            } else if has_patterns {
                // Which pattern a name matches is left to the validator.
                fit = fit.min(Fit::Maybe);
            } else if let Some(more) = words.get("additionalProperties") {
                if *more == Value::Bool(false) {
                    let message = format!("{} has no input `{}`", self.what, name.text);
                    let names = known.into_iter().flatten().map(|(name, _)| name.as_str());
                    let help = suggestion(&name.text, names);
                    fit = self.misfit(name.span, message, help);
                } else {
                    fit = fit.min(self.fit(more, field, deeper));
                }
            }
        }
        for name in required(words) {
            if !fields.iter().any(|(given, _)| given.text == name) {
                let what = self.what;
                fit = self.misfit(shape.span, format!("{what} needs the input `{name}`"), None);
            }
        }
        fit
    }

    fn fit_typed(
        &mut self,
        words: &Map<String, Value>,
        found: &Type,
        shape: &Shape,
        deeper: usize,
    ) -> Fit {
        match found {
            Type::Object(object) => {
                let mut fit = Fit::Maybe;
                for name in required(words) {
                    if !object.is_open && !object.fields.contains_key(name) {
                        let message = format!("the object of this expression has no `{name}`");
                        fit = self.misfit(shape.span, message, None);
                    }
                }
                let known = words.get("properties").and_then(Value::as_object);
                for (name, field) in &object.fields {
                    let Some(schema) = known.and_then(|known| known.get(name)) else {
                        continue;
                    };
                    let field = Shape {
                        kind: ShapeKind::Typed(field.clone()),
                        span: shape.span,
                    };
                    fit = fit.min(self.fit(schema, &field, deeper));
                }
                fit
            }
            Type::List(item) => match words.get("items") {
                Some(schema) => {
                    let item = Type::clone(item);
                    let item = Shape {
                        kind: ShapeKind::Typed(item),
                        span: shape.span,
                    };
                    self.fit(schema, &item, deeper).min(Fit::Maybe)
                }
                None => Fit::Maybe,
            },
            _ => match words.get("enum").and_then(Value::as_array) {
                Some(values) if !values.iter().any(|value| is_like(value, found)) => {
                    let message = format!("this cannot be {}", found.described());
                    self.misfit(shape.span, message, None)
                }
                _ => Fit::Maybe,
            },
        }
    }

    fn fit_one(&mut self, schemas: &[Value], only_one: bool, shape: &Shape, deeper: usize) -> Fit {
        let before = self.misfits.len();
        let mut fits = Vec::with_capacity(schemas.len());
        let mut branches = Vec::with_capacity(schemas.len());
        for schema in schemas {
            fits.push(self.fit(schema, shape, deeper));
            branches.push(self.misfits.split_off(before));
        }
        let sure = fits.iter().filter(|fit| **fit == Fit::Yes).count();
        let possible = fits.iter().filter(|fit| **fit != Fit::No).count();
        if possible == 0 {
            // One alternative is as good as the thing itself, and so is the only one that failed
            // somewhere inside rather than as a whole.
            let inside = |branch: &&Vec<Misfit>| branch.iter().all(|m| m.span != shape.span);
            let mut deep: Vec<&Vec<Misfit>> = branches.iter().filter(inside).collect();
            if let (Some(only), true) = (deep.pop(), deep.is_empty()) {
                self.misfits.extend(only.clone());
                return Fit::No;
            }
            let message = match alternatives(schemas) {
                Some(names) => format!("{} needs {}", self.what, names.join(" or ")),
                None => {
                    let mut reasons: Vec<&str> = branches
                        .iter()
                        .flatten()
                        .map(|misfit| misfit.message.as_str())
                        .collect();
                    reasons.dedup();
                    reasons.join("; or ")
                }
            };
            return self.misfit(shape.span, message, None);
        }
        if only_one && sure > 1 {
            let message = match alternatives(schemas) {
                Some(names) => format!("{} takes only one of {}", self.what, names.join(", ")),
                None => "this fits more than one of the forms that exclude each other".to_owned(),
            };
            return self.misfit(shape.span, message, None);
        }
        let is_sure = if only_one {
            sure == 1 && possible == 1
        } else {
            sure > 0
        };
        if is_sure { Fit::Yes } else { Fit::Maybe }
    }

    /// The last word on an input that is written out in full.
    fn validate(&mut self, validator: Option<&Validator>, value: &Value, shape: &Shape) {
        let Some(validator) = validator else {
            return;
        };
        for error in validator.iter_errors(value) {
            let path = error.instance_path().to_string();
            let span = shape.at(path.split('/').skip(1));
            self.misfits.push(Misfit {
                span,
                message: error.to_string(),
                help: None,
            });
        }
    }
}

fn described(name: &str) -> &'static str {
    match name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "null" => "null",
        "array" => "a list",
        _ => "a mapping",
    }
}

fn required(words: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let names = words.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

/// The names that alternatives ask for, where asking is all that they do.
fn alternatives(schemas: &[Value]) -> Option<Vec<String>> {
    let one = |schema: &Value| {
        let words = schema.as_object().filter(|words| words.len() == 1)?;
        let names: Vec<String> = required(words).map(|name| format!("`{name}`")).collect();
        (!names.is_empty()).then(|| names.join(" with "))
    };
    schemas.iter().map(one).collect()
}

/// Compiles a schema as the sandbox does.
fn compile(schema: &Value) -> Result<Validator, String> {
    let document = json!({"$id": DOCUMENT_SCHEMA_URI, "type": "object", "required": ["$document"]});
    let registry = Registry::new()
        .add(DOCUMENT_SCHEMA_URI, document)
        .and_then(jsonschema::RegistryBuilder::prepare)
        .map_err(|error| error.to_string())?;
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_registry(&registry)
        .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
        .offline()
        .build(schema)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;
