//! A plan's expressions as the run loop asks for them. What they cannot answer fails the step, and
//! fails it again however often it is tried.

use std::collections::BTreeSet;
use std::sync::Arc;

use docket_model::{
    CompiledPlan, EvaluationError, Failure, FailureClass, Item, PLAN_FORMAT, Plan, PlannedStep,
    RunGroup, RunId, Scope, Steps, Template,
};
use serde_json::{Map, Value};

use crate::StoreError;
use crate::fold::{Group, RunState};

/// How many items a `for-each` may have.
const MAX_ITEMS: usize = 10_000;

/// A plan that is ready to run.
pub(crate) struct Flow {
    compiled: CompiledPlan,
}

/// What a step is called with, besides what the plan says.
pub(crate) struct Given {
    pub(crate) input: Value,
    pub(crate) act_as: Option<String>,
}

impl Flow {
    /// Reads a stored plan. One that this host could not have written is an error.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = |what: String| StoreError::Damaged(format!("a stored plan: {what}"));
        let format = serde_json::from_slice::<Value>(bytes)
            .ok()
            .and_then(|plan| plan.get("format")?.as_u64())
            .and_then(|format| u32::try_from(format).ok())
            .ok_or_else(|| damaged("it has no format".to_owned()))?;
        if format > PLAN_FORMAT {
            return Err(StoreError::Newer {
                found: format,
                supported: PLAN_FORMAT,
            });
        }
        let plan: Plan =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        let is_unknown =
            |step: &&PlannedStep| !step.is_built_in() && !plan.plugins.contains_key(&step.plugin);
        if let Some(step) = plan.all_steps().find(is_unknown) {
            let what = format!("step {} uses a plugin that is not pinned", step.id);
            return Err(damaged(what));
        }
        let compiled =
            CompiledPlan::new(Arc::new(plan)).map_err(|error| damaged(error.to_string()))?;
        Ok(Self { compiled })
    }

    /// A plan that was just made.
    pub(crate) fn of(plan: Plan) -> Result<Self, StoreError> {
        let compiled = CompiledPlan::new(Arc::new(plan))
            .map_err(|error| StoreError::Damaged(format!("the plan: {error}")))?;
        Ok(Self { compiled })
    }

    /// The runs that a run with these inputs shares the workflow's `concurrency` with.
    pub(crate) fn group(&self, run: &RunId, inputs: &Value) -> Result<Option<RunGroup>, Failure> {
        let Some(concurrency) = &self.plan().concurrency else {
            return Ok(None);
        };
        let max = concurrency.max;
        let Some(group) = &concurrency.group else {
            let key = String::new();
            return Ok(Some(RunGroup { key, max }));
        };
        let steps = Steps::new();
        let scope = Scope {
            inputs,
            steps: &steps,
            failure: None,
            item: None,
            event: None,
            run: run.as_str(),
            workflow: &self.plan().workflow,
        };
        match self.compiled.evaluate(group, &scope) {
            Ok(Value::String(key)) => Ok(Some(RunGroup { key, max })),
            Ok(other) => Err(wrong_type("group", "text", &other)),
            Err(error) => Err(expression(&error)),
        }
    }

    pub(crate) const fn plan(&self) -> &Arc<Plan> {
        self.compiled.plan()
    }

    /// A value that a trigger makes of an event.
    pub(crate) fn of_event(&self, template: &Template, event: &Value) -> Result<Value, String> {
        let steps = Steps::new();
        let scope = Scope {
            inputs: &Value::Null,
            steps: &steps,
            failure: None,
            item: None,
            event: Some(event),
            run: "",
            workflow: &self.plan().workflow,
        };
        self.compiled
            .evaluate(template, &scope)
            .map_err(|error| error.to_string())
    }

    /// Whether an item of a source starts a run.
    pub(crate) fn starts(&self, condition: &Template, event: &Value) -> Result<bool, String> {
        match self.of_event(condition, event)? {
            Value::Bool(starts) => Ok(starts),
            other => Err(wrong_type("if", "true or false", &other).message),
        }
    }

    /// The items of a step's `for-each`.
    pub(crate) fn items(
        &self,
        run: &RunId,
        state: &RunState,
        list: &Template,
    ) -> Result<Vec<Value>, Failure> {
        self.items_in(&self.scope(run, state, None), list)
    }

    /// The same for whoever has no run.
    pub(crate) fn items_in(
        &self,
        scope: &Scope<'_>,
        list: &Template,
    ) -> Result<Vec<Value>, Failure> {
        match self.evaluate(scope, list)? {
            Value::Array(items) if items.len() > MAX_ITEMS => Err(Failure::new(
                FailureClass::LimitExceeded,
                "too-many-items",
                format!(
                    "for-each has {} items, and may have {MAX_ITEMS}",
                    items.len()
                ),
            )
            .with_remedy("process the items in several runs")),
            Value::Array(items) => Ok(items),
            other => Err(wrong_type("for-each", "a list", &other)),
        }
    }

    /// Whether a step, or an item of it, is to be run.
    pub(crate) fn is_wanted(
        &self,
        run: &RunId,
        state: &RunState,
        step: &PlannedStep,
        item: Option<u32>,
    ) -> Result<bool, Failure> {
        self.is_wanted_in(&self.scope(run, state, item), step)
    }

    /// The same for whoever has no run.
    pub(crate) fn is_wanted_in(
        &self,
        scope: &Scope<'_>,
        step: &PlannedStep,
    ) -> Result<bool, Failure> {
        let Some(condition) = &step.condition else {
            return Ok(true);
        };
        match self.evaluate(scope, condition)? {
            Value::Bool(is_wanted) => Ok(is_wanted),
            other => Err(wrong_type("if", "true or false", &other)),
        }
    }

    /// What a step, or an item of it, is called with.
    pub(crate) fn given(
        &self,
        run: &RunId,
        state: &RunState,
        step: &PlannedStep,
        item: Option<u32>,
    ) -> Result<Given, Failure> {
        self.given_in(&self.scope(run, state, item), step)
    }

    /// The same for whoever has no run.
    pub(crate) fn given_in(&self, scope: &Scope<'_>, step: &PlannedStep) -> Result<Given, Failure> {
        let act_as = match &step.act_as {
            None => None,
            Some(user) => match self.evaluate(scope, user)? {
                Value::String(user) => Some(user),
                other => return Err(wrong_type("as", "a user's name", &other)),
            },
        };
        Ok(Given {
            input: self.evaluate(scope, &step.with)?,
            act_as,
        })
    }

    /// The workflow's outputs.
    pub(crate) fn outputs(&self, run: &RunId, state: &RunState) -> Result<Value, Failure> {
        let mut outputs = Map::new();
        let scope = self.scope(run, state, None);
        for (name, output) in &self.plan().outputs {
            outputs.insert(name.clone(), self.evaluate(&scope, output)?);
        }
        Ok(Value::Object(outputs))
    }

    /// The steps that a step's expressions name.
    pub(crate) fn needs(&self, step: &PlannedStep) -> BTreeSet<String> {
        self.compiled.needs(step)
    }

    /// What expressions of a run see.
    fn scope<'s>(&'s self, run: &'s RunId, state: &'s RunState, item: Option<u32>) -> Scope<'s> {
        let item = item.and_then(|index| {
            let value = state.group().and_then(|group: &Group| group.item(index))?;
            Some(Item { value, index })
        });
        Scope {
            inputs: state.inputs(),
            steps: state.steps(),
            failure: state.failure(),
            item,
            event: None,
            run: run.as_str(),
            workflow: &self.plan().workflow,
        }
    }

    fn evaluate(&self, scope: &Scope<'_>, template: &Template) -> Result<Value, Failure> {
        self.compiled
            .evaluate(template, scope)
            .map_err(|error| expression(&error))
    }
}

fn expression(error: &EvaluationError) -> Failure {
    Failure::new(FailureClass::InvalidInput, "expression", error.to_string())
}

fn wrong_type(word: &str, wanted: &str, found: &Value) -> Failure {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Failure::new(
        FailureClass::InvalidInput,
        "expression",
        format!("`{word}` must be {wanted}, and is {found}"),
    )
}
