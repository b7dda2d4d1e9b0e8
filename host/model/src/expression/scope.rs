//! What an expression sees.

use std::collections::BTreeMap;

use cel::common::value::CowVal;
use cel::context::VariableResolver;
use serde_json::Value;

use super::view::{View, view};

/// What the finished steps of a run left behind, by id.
pub type Steps = BTreeMap<String, StepValue>;

/// What a finished step left behind. A step that was left out, because its `if` was false, has
/// neither.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepValue {
    /// The action's output. Of a step with `for-each` the list of the items' outputs in their
    /// order, null for an item that was left out or failed.
    pub output: Option<Value>,
    /// The failure, where the step failed and the run goes on (`continue-on-error`): an object with
    /// `class`, `code`, `message` and perhaps `remedy`, the JSON of [`crate::Failure`]. Of a step
    /// with `for-each` the first item's that failed.
    pub failure: Option<Value>,
}

/// What an expression sees. Cheap to build: nothing is copied, and of a large value only the parts
/// that an expression touches are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// `inputs`: the run's inputs, an object; see [`crate::resolve_inputs`].
    pub inputs: &'a Value,
    /// `steps`.
    pub steps: &'a Steps,
    /// `failure`, in the steps of `on-error`: the JSON of [`crate::Failure`], with `step` and perhaps
    /// `item` where a step failed.
    pub failure: Option<&'a Value>,
    /// `item` and `index`, in steps with `for-each`.
    pub item: Option<Item<'a>>,
    /// `event`, in the inputs of a trigger.
    pub event: Option<&'a Value>,
    /// `run.id`.
    pub run: &'a str,
    /// `run.workflow`: the workflow's name.
    pub workflow: &'a str,
}

/// An item of a `for-each`.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// `item`.
    pub value: &'a Value,
    /// `index`, from 0.
    pub index: u32,
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        Some(CowVal::Owned(match variable {
            "inputs" => view(self.inputs),
            "steps" => Box::new(View::steps(self.steps)),
            "failure" => view(self.failure?),
            "event" => view(self.event?),
            "item" => view(self.item?.value),
            "index" => Box::new(cel::common::types::CelInt::from(i64::from(
                self.item?.index,
            ))),
            "run" => Box::new(View::run(self.run, self.workflow)),
            _ => return None,
        }))
    }
}
