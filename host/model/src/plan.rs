//! A plan: a checked workflow, pinned by digest. Only a plan can run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::built_in::BUILT_IN;
use crate::{Digest, FailureClass, RequestRule, Trigger, TriggerKind};

/// The version of the stored form of plans.
pub const PLAN_FORMAT: u32 = 2;

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
    /// What is done once the run has failed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_error: Vec<PlannedStep>,
    /// The longest that a run may take, waiting included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How many runs may be under way at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// The outputs by name, evaluated when all steps are done.
    pub outputs: BTreeMap<String, Template>,
    /// What starts it by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// The plugins that the steps and the triggers use, by name.
    pub plugins: BTreeMap<String, PinnedPlugin>,
    /// The body templates that the steps use: name (the path as written) to text.
    pub templates: BTreeMap<String, String>,
}

/// How many runs of a workflow may be under way at a time; the others wait for their turn, in the
/// order of their starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Concurrency {
    /// Runs for which this gives the same text count together; all of them where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Template>,
    /// How many; at least 1. A run that waits counts.
    pub max: u32,
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

impl InputType {
    /// All, each with the word that workflows have for it.
    pub const ALL: [(&'static str, Self); 7] = [
        ("string", Self::String),
        ("number", Self::Number),
        ("integer", Self::Integer),
        ("boolean", Self::Boolean),
        ("document", Self::Document),
        ("list", Self::List),
        ("object", Self::Object),
    ];
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
    /// The plugin's name in [`Plan::plugins`], or [`BUILT_IN`].
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
    /// The connection to use instead while [`Self::on_sign_in_needed`] says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// What to do when an account must sign in first.
    #[serde(default, skip_serializing_if = "OnSignInNeeded::is_default")]
    pub on_sign_in_needed: OnSignInNeeded,
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

/// What a step does when an account must sign in first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnSignInNeeded {
    /// The run waits, at most so long.
    Wait(Duration),
    /// The step uses its fallback connection, unless it may have done something that cannot be
    /// repeated; then the run waits, at most so long.
    Fallback(Duration),
    /// The step fails.
    Fail,
}

impl OnSignInNeeded {
    /// How long a run waits where nothing is said: 30 days.
    pub const DEFAULT_WAIT: Duration = Duration::from_secs(30 * 86_400);

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for OnSignInNeeded {
    fn default() -> Self {
        Self::Wait(Self::DEFAULT_WAIT)
    }
}

/// When to try again, for failures that may go better ([`Self::on`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Retry {
    /// How many attempts in all; at least 1.
    pub attempts: u32,
    /// The wait after the first; it doubles from then on.
    pub delay: Duration,
    /// The longest wait, unless the provider asks for more.
    pub max_delay: Duration,
    /// The classes of failures that are tried again; without it those that may go better by
    /// themselves ([`FailureClass::is_transient`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<FailureClass>>,
}

impl Retry {
    /// Whether a failure of this class is tried again.
    #[must_use]
    pub fn covers(&self, class: FailureClass) -> bool {
        match &self.on {
            Some(classes) => classes.contains(&class),
            None => class.is_transient(),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            delay: Duration::from_secs(2),
            max_delay: Duration::from_secs(300),
            on: None,
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
        self.all_steps().find(|step| step.id == id)
    }

    /// The steps, then those of `on-error`.
    pub fn all_steps(&self) -> impl Iterator<Item = &PlannedStep> {
        self.steps.iter().chain(&self.on_error)
    }

    /// The polls of its triggers' sources, as steps that call their actions.
    pub fn polls(&self) -> impl Iterator<Item = PlannedStep> {
        self.triggers
            .iter()
            .filter_map(|trigger| match &trigger.on {
                TriggerKind::Source(poll) => Some(poll.to_step(&trigger.id)),
                TriggerKind::Schedule(_) | TriggerKind::Webhook => None,
            })
    }

    /// Hands over the text of every expression, the same one perhaps several times.
    pub(crate) fn each_expression(&self, found: &mut impl FnMut(&str)) {
        self.all_steps()
            .for_each(|step| step.each_expression(found));
        let group = self.concurrency.as_ref();
        let group = group.and_then(|concurrency| concurrency.group.as_ref());
        let triggers = self.triggers.iter();
        let inputs = triggers.flat_map(|trigger| trigger.inputs.iter().flatten());
        let inputs = inputs.map(|(_, input)| input);
        let conditions = self
            .triggers
            .iter()
            .filter_map(|trigger| match &trigger.on {
                TriggerKind::Source(poll) => poll.condition.as_ref(),
                TriggerKind::Schedule(_) | TriggerKind::Webhook => None,
            });
        let templates = self.outputs.values().chain(group).chain(inputs);
        let templates = templates.chain(conditions);
        templates.for_each(|template| template.each_expression(found));
    }
}

impl PlannedStep {
    /// Whether the host does it itself: it waits.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.plugin == BUILT_IN
    }

    /// Hands over the text of every expression.
    pub(crate) fn each_expression(&self, found: &mut impl FnMut(&str)) {
        let optional = [&self.condition, &self.for_each, &self.act_as];
        let templates = optional.into_iter().flatten().chain([&self.with]);
        templates.for_each(|template| template.each_expression(found));
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
