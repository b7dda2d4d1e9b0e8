//! What a plugin says of itself.

use serde_json::{Value, json};

use crate::bindings::exports::docket::processor::actions as wit;

/// A plugin's description of itself.
#[derive(Debug, Clone)]
pub struct Manifest {
    id: &'static str,
    version: &'static str,
    summary: &'static str,
    actions: Vec<Action>,
}

impl Manifest {
    /// A plugin without actions. The id is what workflows write before the slash.
    #[must_use]
    pub const fn new(id: &'static str, version: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            version,
            summary,
            actions: Vec::new(),
        }
    }

    /// The same with one more action.
    #[must_use]
    pub fn action(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    /// The actions, for tests that check inputs against their schemas.
    #[must_use]
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    pub(crate) fn into_wit(self) -> wit::Manifest {
        wit::Manifest {
            id: self.id.into(),
            version: self.version.into(),
            summary: self.summary.into(),
            actions: self.actions.into_iter().map(Action::into_wit).collect(),
        }
    }
}

/// One action of a plugin.
#[derive(Debug, Clone)]
pub struct Action {
    name: &'static str,
    summary: &'static str,
    input: Value,
    output: Value,
    requests: Vec<[&'static str; 3]>,
    scopes: Vec<wit::Scope>,
    examples: Vec<(&'static str, Value)>,
}

impl Action {
    /// An action that takes an empty object and returns anything.
    #[must_use]
    pub fn new(name: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            summary,
            input: json!({"type": "object", "additionalProperties": false}),
            output: json!(true),
            requests: Vec::new(),
            scopes: Vec::new(),
            examples: Vec::new(),
        }
    }

    /// The same with a JSON Schema (2020-12) of its input.
    #[must_use]
    pub fn input(mut self, schema: Value) -> Self {
        self.input = schema;
        self
    }

    /// The same with a JSON Schema (2020-12) of its output.
    #[must_use]
    pub fn output(mut self, schema: Value) -> Self {
        self.output = schema;
        self
    }

    /// The same with requests that it makes: method, URL pattern, and why.
    #[must_use]
    pub fn request(mut self, method: &'static str, url: &'static str, why: &'static str) -> Self {
        self.requests.push([method, url, why]);
        self
    }

    /// The same with a scope that it needs: the delegated one, the one in its place for another's
    /// mailbox, the application permission, and why.
    #[must_use]
    pub fn scope(
        mut self,
        name: &str,
        shared: Option<&str>,
        application: Option<&str>,
        why: &str,
    ) -> Self {
        self.scopes.push(wit::Scope {
            name: name.into(),
            shared: shared.map(Into::into),
            application: application.map(Into::into),
            reason: why.into(),
        });
        self
    }

    /// The same with an input worth showing.
    #[must_use]
    pub fn example(mut self, title: &'static str, input: Value) -> Self {
        self.examples.push((title, input));
        self
    }

    /// The action's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The schema of its input.
    #[must_use]
    pub const fn input_schema(&self) -> &Value {
        &self.input
    }

    /// The examples: title and input.
    #[must_use]
    pub fn examples(&self) -> &[(&'static str, Value)] {
        &self.examples
    }

    fn into_wit(self) -> wit::Action {
        wit::Action {
            name: self.name.into(),
            kind: wit::ActionKind::Action,
            summary: self.summary.into(),
            input: self.input.to_string(),
            output: self.output.to_string(),
            requests: self
                .requests
                .into_iter()
                .map(|[method, url, reason]| wit::HttpNeed {
                    method: method.into(),
                    url: url.into(),
                    reason: reason.into(),
                })
                .collect(),
            scopes: self.scopes,
            examples: self
                .examples
                .into_iter()
                .map(|(title, input)| wit::Example {
                    title: title.into(),
                    input: input.to_string(),
                })
                .collect(),
        }
    }
}
