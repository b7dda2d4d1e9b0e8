//! The inputs of a run: what somebody gave, against what the plan wants.

use serde_json::{Map, Value};

use crate::diagnostic::suggestion;
use crate::{DocumentRef, InputType, Plan};

/// Something wrong with the inputs that were given for a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InputProblem {
    /// The input.
    pub name: String,
    /// What is wrong; without the value.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// How many inputs that the plan does not have are told: what somebody sent may have a million.
const UNKNOWN_TOLD: usize = 20;

/// Checks inputs and fills in what was not given: the default, or null for an optional one. The
/// result is what [`crate::Scope`] takes as `inputs` and what the journal keeps.
///
/// # Errors
/// Every problem: names that the plan does not have (the first twenty), values of the wrong type,
/// missing ones.
pub fn resolve_inputs(plan: &Plan, given: Map<String, Value>) -> Result<Value, Vec<InputProblem>> {
    let mut problems = Vec::new();
    let unknown = given.keys().filter(|name| !plan.inputs.contains_key(*name));
    for name in unknown.take(UNKNOWN_TOLD) {
        let known = plan.inputs.keys().map(String::as_str);
        problems.push(InputProblem {
            name: name.clone(),
            message: format!("the workflow `{}` has no input `{name}`", plan.workflow),
            help: suggestion(name, known),
        });
    }
    let mut given = given;
    let mut resolved = Map::new();
    for (name, spec) in &plan.inputs {
        let value = match given.remove(name).or_else(|| spec.default.clone()) {
            Some(Value::Null) | None if spec.required => {
                problems.push(InputProblem {
                    name: name.clone(),
                    message: format!("the input `{name}` is required"),
                    help: spec.description.clone(),
                });
                continue;
            }
            value => value.unwrap_or(Value::Null),
        };
        if !value.is_null() && !spec.kind.admits(&value) {
            problems.push(InputProblem {
                name: name.clone(),
                message: format!(
                    "the input `{name}` must be {}, not {}",
                    spec.kind.with_article(),
                    described(&value)
                ),
                help: spec.description.clone(),
            });
        }
        resolved.insert(name.clone(), value);
    }
    if problems.is_empty() {
        Ok(Value::Object(resolved))
    } else {
        Err(problems)
    }
}

impl InputType {
    /// Whether a value is of this type.
    #[must_use]
    pub fn admits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Boolean => value.is_boolean(),
            Self::Document => DocumentRef::from_value(value).is_some(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    /// The type for people: `a whole number`.
    #[must_use]
    pub const fn with_article(self) -> &'static str {
        match self {
            Self::String => "text",
            Self::Number => "a number",
            Self::Integer => "a whole number",
            Self::Boolean => "true or false",
            Self::Document => "a document",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// What kind of value it is, for people.
pub(crate) fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, InputSpec, PLAN_FORMAT};
    use serde_json::json;
    use std::collections::BTreeMap;

    fn check(given: Value, expected: Result<Value, &[&str]>) {
        let input = |kind, required, default: Option<Value>| InputSpec {
            kind,
            description: None,
            required,
            default,
        };
        let plan = Plan {
            format: PLAN_FORMAT,
            workflow: "w".into(),
            source: Digest::of(b""),
            inputs: BTreeMap::from([
                ("title".to_owned(), input(InputType::String, true, None)),
                (
                    "count".to_owned(),
                    input(InputType::Integer, false, Some(json!(5))),
                ),
                ("file".to_owned(), input(InputType::Document, false, None)),
            ]),
            steps: Vec::new(),
            on_error: Vec::new(),
            timeout: None,
            concurrency: None,
            outputs: BTreeMap::new(),
            triggers: Vec::new(),
            plugins: BTreeMap::new(),
            templates: BTreeMap::new(),
        };
        let Value::Object(map) = given.clone() else {
            panic!("{given}")
        };
        let found = resolve_inputs(&plan, map).map_err(|problems| {
            problems
                .into_iter()
                .map(|p| format!("{} ({})", p.message, p.help.unwrap_or_default()))
                .collect::<Vec<_>>()
        });
        let expected = expected.map_err(|all| all.iter().map(|s| (*s).to_owned()).collect());
        assert_eq!(found, expected, "{given}");
    }

    #[test]
    fn fills_in_and_collects_every_problem() {
        check(
            json!({"title": "t"}),
            Ok(json!({"count": 5, "file": null, "title": "t"})),
        );
        let document = json!({
            "$document": format!("sha256:{}", "a".repeat(64)),
            "name": "a", "mediaType": "text/plain", "size": 1,
        });
        check(
            json!({"title": "t", "count": 1, "file": document}),
            Ok(json!({"count": 1, "file": document, "title": "t"})),
        );
        check(
            json!({"titel": "t", "count": 1.5, "file": "a.pdf"}),
            Err(&[
                "the workflow `w` has no input `titel` (did you mean `title`?)",
                "the input `count` must be a whole number, not a number with a fraction ()",
                "the input `file` must be a document, not text ()",
                "the input `title` is required ()",
            ]),
        );
        check(
            json!({"title": null}),
            Err(&["the input `title` is required ()"]),
        );
    }
}
