//! A plan: a checked workflow, pinned by digest. Only a plan can run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Digest, RequestRule};

/// The version of the stored form of plans.
pub const PLAN_FORMAT: u32 = 1;

/// A checked workflow with everything that it needs pinned. Its stored form is its JSON, and its
/// digest that of these bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plan {
    /// [`PLAN_FORMAT`] when it was made.
    pub format: u32,
    /// The workflow's name.
    pub workflow: String,
    /// The digest of the workflow's file.
    pub source: Digest,
    /// The inputs by name.
    pub inputs: BTreeMap<String, InputSpec>,
    /// The steps in order.
    pub steps: Vec<PlannedStep>,
    /// The outputs by name, evaluated when all steps are done.
    pub outputs: BTreeMap<String, Template>,
    /// The plugins that the steps use, by name.
    pub plugins: BTreeMap<String, PinnedPlugin>,
    /// The body templates that the steps use: name (the path as written) to text.
    pub templates: BTreeMap<String, String>,
}

/// An input of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InputSpec {
    /// The type; `string` where the workflow says nothing.
    #[serde(rename = "type")]
    pub kind: InputType,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether a run must give it.
    #[serde(default)]
    pub required: bool,
    /// What it is where a run does not give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// The type of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputType {
    /// Text.
    String,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// A document.
    Document,
    /// A list of anything.
    List,
    /// An object of anything.
    Object,
}

/// A plugin as a plan pins it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PinnedPlugin {
    /// Its version, for people.
    pub version: String,
    /// The digest of the component.
    pub component: Digest,
    /// What the operator granted it when the plan was made.
    pub grants: Vec<RequestRule>,
}

/// A step that can run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PlannedStep {
    /// Unique in the plan; `step-3` where the workflow gives none.
    pub id: String,
    /// The plugin's name in [`Plan::plugins`].
    pub plugin: String,
    /// The action's name.
    pub action: String,
    /// The input.
    pub with: Template,
    /// Left out unless true.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Template>,
    /// Run once for each element of this list, as `item` with `index`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<Template>,
    /// How many items at once; 1 where the workflow says nothing.
    #[serde(default = "one")]
    pub max_parallel: u32,
    /// The connection's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The user to act as, with a per-user connection.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub act_as: Option<Template>,
    /// When to try again.
    pub retry: Retry,
    /// The longest that an attempt may take.
    pub timeout: Duration,
    /// Go on with the next step even if this one failed.
    #[serde(default)]
    pub continue_on_error: bool,
}

const fn one() -> u32 {
    1
}

/// When to try again, for failures that may go better ([`crate::FailureClass::is_transient`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Retry {
    /// How many attempts in all; at least 1.
    pub attempts: u32,
    /// The wait after the first; it doubles from then on.
    pub delay: Duration,
    /// The longest wait, unless the provider asks for more.
    pub max_delay: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            delay: Duration::from_secs(2),
            max_delay: Duration::from_secs(300),
        }
    }
}

/// A value with expressions in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Template {
    /// A value without any expression.
    Literal(Value),
    /// One whole expression, in CEL; its value keeps its type.
    Expression(String),
    /// Text with expressions in it.
    Text(Vec<Piece>),
    /// A list.
    List(Vec<Template>),
    /// An object.
    Object(Vec<(String, Template)>),
    /// A body template, rendered to text.
    Render {
        /// Its name in [`Plan::templates`].
        template: String,
        /// What it sees.
        data: Box<Template>,
    },
}

/// A piece of a text with expressions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// An expression in CEL.
    Expression(String),
}

impl Plan {
    /// The stored form: JSON, the same bytes for equal plans.
    ///
    /// # Errors
    /// None that a plan can bring about; serde's type has room for them.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// The digest of the stored form.
    ///
    /// # Errors
    /// As [`Self::to_json`].
    pub fn digest(&self) -> serde_json::Result<Digest> {
        self.to_json().map(|bytes| Digest::of(&bytes))
    }

    /// The step of that id.
    #[must_use]
    pub fn step(&self, id: &str) -> Option<&PlannedStep> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// Hands over the text of every expression, the same one perhaps several times.
    pub(crate) fn each_expression(&self, found: &mut impl FnMut(&str)) {
        for step in &self.steps {
            let optional = [&step.condition, &step.for_each, &step.act_as];
            let templates = optional.into_iter().flatten().chain([&step.with]);
            templates.for_each(|template| template.each_expression(found));
        }
        self.outputs
            .values()
            .for_each(|template| template.each_expression(found));
    }
}

impl Template {
    /// A literal empty object.
    #[must_use]
    pub fn empty() -> Self {
        Self::Literal(Value::Object(Map::new()))
    }

    fn each_expression(&self, found: &mut impl FnMut(&str)) {
        match self {
            Self::Literal(_) => {}
            Self::Expression(text) => found(text),
            Self::Text(pieces) => pieces.iter().for_each(|piece| match piece {
                Piece::Text(_) => {}
                Piece::Expression(text) => found(text),
            }),
            Self::List(items) => items.iter().for_each(|item| item.each_expression(found)),
            Self::Object(fields) => {
                fields
                    .iter()
                    .for_each(|(_, field)| field.each_expression(found));
            }
            Self::Render { data, .. } => data.each_expression(found),
        }
    }
}
