//! A plan made ready to be evaluated: every expression and every body template parsed once.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::body::{Bodies, BodyError};
use crate::check::named_steps;
use crate::expression::{Expression, Language, Scope};
use crate::{Piece, Plan, PlannedStep, Template};

/// A plan with its expressions and body templates parsed. Share it between all runs of the plan.
pub struct CompiledPlan {
    plan: Arc<Plan>,
    language: Language,
    /// By their text.
    expressions: HashMap<String, Expression>,
    bodies: Bodies,
}

/// An expression or a body template that yields nothing for the data of this run, or a stored plan
/// that this version cannot read any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{source_text}: {message}")]
pub struct EvaluationError {
    /// The expression with its braces, or the body template's name and line.
    pub source_text: String,
    /// Why, without the data; only a key that is not there is named.
    pub message: String,
}

impl CompiledPlan {
    /// Parses everything in a plan.
    ///
    /// # Errors
    /// The first thing that cannot be parsed. [`crate::validate`] makes no such plan; one that an
    /// older version stored may be.
    pub fn new(plan: Arc<Plan>) -> Result<Self, EvaluationError> {
        let language = Language::new();
        let mut expressions = HashMap::new();
        let mut failed = None;
        plan.each_expression(&mut |text| {
            if failed.is_some() || expressions.contains_key(text) {
                return;
            }
            match language.parse(text) {
                Ok(expression) => {
                    expressions.insert(text.to_owned(), expression);
                }
                Err(error) => failed = Some(EvaluationError::of(text, error.message)),
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let mut bodies = Bodies::new();
        for (name, text) in &plan.templates {
            bodies
                .add(name, text)
                .map_err(|error| EvaluationError::of_body(name, error))?;
        }
        Ok(Self {
            plan,
            language,
            expressions,
            bodies,
        })
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The value of one of the plan's templates.
    ///
    /// # Errors
    /// The first expression or body template that yields nothing. A failure of the class
    /// [`crate::FailureClass::InvalidInput`]: it fails again however often it is tried.
    pub fn evaluate(
        &self,
        template: &Template,
        scope: &Scope<'_>,
    ) -> Result<Value, EvaluationError> {
        match template {
            Template::Literal(value) => Ok(value.clone()),
            Template::Expression(text) => self
                .language
                .evaluate(self.expression(text)?, scope)
                .map_err(|message| EvaluationError::of(text, message)),
            Template::Text(pieces) => self.text(pieces, scope).map(Value::String),
            Template::List(items) => {
                let items = items.iter().map(|item| self.evaluate(item, scope));
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            Template::Object(fields) => {
                let mut object = Map::with_capacity(fields.len());
                for (name, field) in fields {
                    object.insert(name.clone(), self.evaluate(field, scope)?);
                }
                Ok(Value::Object(object))
            }
            Template::Render { template, data } => {
                let data = self.evaluate(data, scope)?;
                let rendered = self.bodies.render(template, &data).map(Value::String);
                rendered.map_err(|error| EvaluationError::of_body(template, error))
            }
        }
    }

    /// The steps that a step's expressions name, by id.
    #[must_use]
    pub fn needs(&self, step: &PlannedStep) -> BTreeSet<String> {
        let mut needs = BTreeSet::new();
        step.each_expression(&mut |text| {
            if let Some(expression) = self.expressions.get(text) {
                named_steps(expression.ast(), &mut needs);
            }
        });
        needs
    }

    fn text(&self, pieces: &[Piece], scope: &Scope<'_>) -> Result<String, EvaluationError> {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Expression(expression) => {
                    let piece = self
                        .language
                        .evaluate_text(self.expression(expression)?, scope)
                        .map_err(|message| EvaluationError::of(expression, message))?;
                    text.push_str(&piece);
                }
            }
        }
        Ok(text)
    }

    fn expression(&self, text: &str) -> Result<&Expression, EvaluationError> {
        let missing = || EvaluationError::of(text, "the expression is not one of this plan".into());
        self.expressions.get(text).ok_or_else(missing)
    }
}

impl std::fmt::Debug for CompiledPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledPlan")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl EvaluationError {
    fn of(expression: &str, message: String) -> Self {
        Self {
            source_text: format!("${{{{ {expression} }}}}"),
            message,
        }
    }

    fn of_body(name: &str, error: BodyError) -> Self {
        let mut source_text = name.to_owned();
        if let Some(line) = error.line {
            // Writing to a string cannot fail.
            let _ = write!(source_text, ":{line}");
        }
        Self {
            source_text,
            message: error.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, PLAN_FORMAT, Steps};
    use serde_json::json;
    use std::collections::BTreeMap;

    fn plan(output: Template) -> Plan {
        Plan {
            format: PLAN_FORMAT,
            workflow: "w".into(),
            source: Digest::of(b""),
            inputs: BTreeMap::new(),
            steps: Vec::new(),
            on_error: Vec::new(),
            timeout: None,
            concurrency: None,
            outputs: BTreeMap::from([("o".to_owned(), output)]),
            triggers: Vec::new(),
            plugins: BTreeMap::new(),
            templates: BTreeMap::from([("t.html".to_owned(), "<p>{{ who }}</p>".to_owned())]),
        }
    }

    fn check(output: Template, expected: Result<Value, &str>) {
        let plan = Arc::new(plan(output));
        let found = CompiledPlan::new(Arc::clone(&plan)).and_then(|compiled| {
            let inputs = json!({"name": "A & B", "n": 2, "half": 1.5, "whole": 2.0, "none": null});
            let steps = Steps::new();
            let scope = Scope {
                inputs: &inputs,
                steps: &steps,
                failure: None,
                item: None,
                event: None,
                run: "r",
                workflow: "w",
            };
            compiled.evaluate(&plan.outputs["o"], &scope)
        });
        let found = found.map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{plan:?}");
    }

    fn expression(text: &str) -> Template {
        Template::Expression(text.to_owned())
    }

    fn text(expression: &str) -> Template {
        let expression = Piece::Expression(expression.to_owned());
        Template::Text(vec![
            Piece::Text("<".into()),
            expression,
            Piece::Text(">".into()),
        ])
    }

    #[test]
    fn evaluates_every_kind_of_template() {
        check(
            Template::Literal(json!([1, "${{ x }}"])),
            Ok(json!([1, "${{ x }}"])),
        );
        check(expression("inputs.n"), Ok(json!(2)));
        check(text("inputs.name"), Ok(json!("<A & B>")));
        check(text("inputs.n"), Ok(json!("<2>")));
        check(text("inputs.half"), Ok(json!("<1.5>")));
        check(text("inputs.whole"), Ok(json!("<2>")));
        check(text("inputs.n == 2"), Ok(json!("<true>")));
        let list = Template::List(vec![expression("inputs.n"), Template::Literal(json!(null))]);
        check(
            Template::Object(vec![("z".into(), list), ("a".into(), text("run.id"))]),
            Ok(json!({
                "z": [2, null], "a": "<r>",
            })),
        );
        let who = Box::new(Template::Object(vec![(
            "who".into(),
            expression("inputs.name"),
        )]));
        let body = Template::Render {
            template: "t.html".into(),
            data: who,
        };
        check(body, Ok(json!("<p>A &amp; B</p>")));
    }

    #[test]
    fn says_which_expression_failed() {
        check(
            expression("inputs.x"),
            Err("${{ inputs.x }}: there is no `x`; ask with has(…)"),
        );
        check(
            text("inputs.none"),
            Err("${{ inputs.none }}: null cannot stand in text"),
        );
        check(
            expression("1 +"),
            Err("${{ 1 + }}: the expression ends too early"),
        );
        let body = Template::Render {
            template: "t.html".into(),
            data: Template::empty().into(),
        };
        check(body, Err("t.html:1: undefined value: `who` is undefined"));
    }
}
