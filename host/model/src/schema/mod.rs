//! JSON Schemas of Docket's files, for editors: draft-07, which YAML language servers know best.
//!
//! They are made of the words that the reader knows ([`words`]), and for workflows of the schemas of
//! the installed plugins' actions, so that `with` completes and explains itself for what `uses` says.
//! A schema knows less than the reader: what an expression names, and what must agree between two
//! places of a file, `docket validate` says. It never calls wrong what the reader takes.

mod action;
pub(crate) mod words;

use serde_json::{Map, Value, json};

use self::words::{Form, LONGEST_NAME, Words};
use crate::built_in::built_in;
use crate::workflow::limits::MOST_STEPS;
use crate::{ActionKind, ActionSpec, Catalog};

/// Text that is one whole expression.
const WHOLE: &str = r"^\$\{\{[\s\S]*\}\}$";
/// A duration as the reader takes it.
const DURATION: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";

/// The JSON Schema of workflows, with the actions and the connections of `catalog`.
#[must_use]
pub fn workflow_schema(catalog: &Catalog) -> Value {
    Composer::new(Some(catalog)).file(&words::WORKFLOW, "A Docket workflow")
}

/// The JSON Schema of the project file, `docket.yaml`.
#[must_use]
pub fn project_schema() -> Value {
    Composer::new(None).file(&words::PROJECT, "A Docket project")
}

/// The JSON Schema of tests of workflows, `NAME.test.yaml`.
#[must_use]
pub fn suite_schema() -> Value {
    Composer::new(None).file(&words::SUITE, "Tests of a Docket workflow")
}

/// Makes a schema of words.
struct Composer<'c> {
    catalog: Option<&'c Catalog>,
    definitions: Map<String, Value>,
}

impl<'c> Composer<'c> {
    fn new(catalog: Option<&'c Catalog>) -> Self {
        Self {
            catalog,
            definitions: Map::new(),
        }
    }

    /// A whole file.
    fn file(mut self, words: &'static Words, title: &str) -> Value {
        let mut schema = self.mapping(words);
        schema.insert("type".to_owned(), "object".into());
        let mut file = Map::new();
        file.insert(
            "$schema".to_owned(),
            "http://json-schema.org/draft-07/schema#".into(),
        );
        file.insert("title".to_owned(), title.into());
        file.append(&mut schema);
        file.insert("definitions".to_owned(), self.definitions.into());
        Value::Object(file)
    }

    /// The actions of a kind that may be used, each with its name in workflows.
    fn actions(&self, kind: ActionKind) -> Vec<(String, &'c ActionSpec)> {
        let plugins = self.catalog.map(|catalog| &catalog.plugins);
        let installed = plugins
            .into_iter()
            .flatten()
            .map(|(name, plugin)| (name.as_str(), &plugin.manifest));
        let built_in = built_in();
        installed
            .chain(std::iter::once((built_in.id.as_str(), built_in)))
            .flat_map(|(name, manifest)| {
                let actions = manifest.actions.iter();
                let actions = actions.filter(|action| action.kind == kind);
                actions.map(move |action| (format!("{name}/{}", action.name), action))
            })
            .collect()
    }

    fn mapping(&mut self, words: &'static Words) -> Map<String, Value> {
        let mut properties = Map::new();
        for word in words.rows() {
            let mut schema = Map::new();
            schema.insert("description".to_owned(), word.about.into());
            if let Value::Object(form) = self.form(&word.form) {
                schema.extend(form);
            }
            properties.insert(word.name.to_owned(), schema.into());
        }
        let required: Vec<Value> = words
            .rows()
            .filter(|word| word.is_required)
            .map(|word| word.name.into())
            .collect();
        let mut schema = Map::new();
        // A mapping that needs nothing may be left empty, which YAML reads as null.
        let kinds = match required.is_empty() {
            true => json!(["object", "null"]),
            false => json!("object"),
        };
        schema.insert("type".to_owned(), kinds);
        schema.insert("properties".to_owned(), properties.into());
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        schema.insert("additionalProperties".to_owned(), false.into());
        let mut rules: Vec<Value> = words.rules().into_iter().collect();
        for word in words.rows() {
            if let Form::Uses(kind) = word.form {
                rules.extend(self.choices(kind));
            }
        }
        if !rules.is_empty() {
            schema.insert("allOf".to_owned(), rules.into());
        }
        schema
    }

    /// What `with` may be, by what `uses` says.
    fn choices(&mut self, kind: ActionKind) -> Vec<Value> {
        let mut choices = Vec::new();
        for (name, action) in self.actions(kind) {
            let definition = name.replacen('/', ".", 1);
            let mut then = json!({
                "properties": {"with": {"$ref": format!("#/definitions/{definition}")}}
            });
            if action::needs_input(action) {
                then["required"] = json!(["with"]);
            }
            let input = action::input(&name, action);
            self.definitions.insert(definition, input);
            choices.push(json!({
                "if": {"properties": {"uses": {"const": name}}, "required": ["uses"]},
                "then": then
            }));
        }
        if !choices.is_empty() {
            self.definitions
                .insert("template".to_owned(), action::template());
        }
        choices
    }

    /// A mapping by reference.
    fn reference(&mut self, words: &'static Words) -> Value {
        let name = words.name;
        if !self.definitions.contains_key(name) {
            // The place is taken first: mappings may stand in themselves.
            self.definitions.insert(name.to_owned(), Value::Null);
            let schema = self.mapping(words).into();
            self.definitions.insert(name.to_owned(), schema);
        }
        json!({"$ref": format!("#/definitions/{name}")})
    }

    fn form(&mut self, form: &'static Form) -> Value {
        match form {
            Form::Text => json!({"type": "string", "pattern": r"\S"}),
            Form::Line(longest) => {
                json!({"type": "string", "pattern": r"^[^\n]*\S[^\n]*$", "maxLength": longest})
            }
            Form::Pattern(pattern) => json!({"type": "string", "pattern": pattern}),
            Form::Boolean => json!({"type": "boolean"}),
            Form::Whole(least, most) => {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
            Form::Duration => json!({
                "type": "string", "pattern": DURATION, "minLength": 2,
                "examples": ["30s", "5m", "2h", "3d"]
            }),
            Form::OneOf(words) => json!({"enum": words}),
            Form::Listed(words) => json!({"enum": words()}),
            Form::Condition => json!({"anyOf": [{"type": "boolean"}, whole()]}),
            Form::Items => json!({"anyOf": [{"type": "array"}, whole()]}),
            Form::Value | Form::Data => json!({}),
            Form::List(of) => json!({"type": "array", "items": self.form(of)}),
            Form::Mapping(words) => self.reference(words),
            Form::One(words) => {
                let schema = self.reference(words);
                json!({"allOf": [
                    schema, {"type": "object", "minProperties": 1, "maxProperties": 1}
                ]})
            }
            Form::Named(pattern, of) => {
                let mut schema =
                    json!({"type": ["object", "null"], "additionalProperties": self.form(of)});
                if !pattern.is_empty() {
                    schema["propertyNames"] =
                        json!({"pattern": pattern, "maxLength": LONGEST_NAME});
                }
                schema
            }
            Form::Either(forms) => {
                let forms: Vec<Value> = forms.iter().map(|form| self.form(form)).collect();
                json!({"anyOf": forms})
            }
            Form::Nothing => json!({"type": "null"}),
            Form::Steps => json!({
                "type": "array", "minItems": 1, "maxItems": MOST_STEPS,
                "items": self.reference(&words::STEP)
            }),
            Form::Uses(kind) => self.uses(*kind),
            Form::With => json!({"type": ["object", "null"]}),
            Form::Connection => self.connection(),
            Form::Connections => self.connections(),
        }
    }

    fn uses(&self, kind: ActionKind) -> Value {
        let actions = self.actions(kind);
        if self
            .catalog
            .is_none_or(|catalog| catalog.plugins.is_empty())
        {
            return json!({"type": "string", "pattern": "^[^/]+/.+$"});
        }
        let names: Vec<&str> = actions.iter().map(|(name, _)| name.as_str()).collect();
        let about: Vec<&str> = actions
            .iter()
            .map(|(_, action)| action.summary.as_str())
            .collect();
        json!({"type": "string", "enum": names, "enumDescriptions": about})
    }

    fn connection(&self) -> Value {
        let names: Vec<&String> = self
            .catalog
            .into_iter()
            .flat_map(|catalog| catalog.connections.keys())
            .collect();
        match names.is_empty() {
            true => json!({"type": "string", "pattern": r"\S"}),
            false => json!({"type": "string", "enum": names}),
        }
    }

    fn connections(&self) -> Value {
        let of = self.connection();
        let plugins = self.catalog.map(|catalog| &catalog.plugins);
        let mut properties = Map::new();
        for (name, plugin) in plugins.into_iter().flatten() {
            let mut schema = of.clone();
            schema["description"] = plugin.manifest.summary.as_str().into();
            properties.insert(name.clone(), schema);
        }
        match properties.is_empty() {
            true => json!({"type": ["object", "null"], "additionalProperties": of}),
            false => json!({
                "type": ["object", "null"], "properties": properties, "additionalProperties": false
            }),
        }
    }
}

/// One whole expression.
fn whole() -> Value {
    json!({"type": "string", "pattern": WHOLE})
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
