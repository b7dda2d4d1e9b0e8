//! What a plugin says of itself.

use std::borrow::Cow;

use serde_json::Value;

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

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn described(&self) -> Value {
        serde_json::json!({
            "id": self.id,
            "summary": self.summary,
            "actions": self.actions.iter().map(Action::described).collect::<Vec<_>>(),
        })
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
    kind: wit::ActionKind,
    summary: &'static str,
    input: Json,
    output: Json,
    requests: Vec<[&'static str; 3]>,
    scopes: Vec<wit::Scope>,
    examples: Vec<(&'static str, Json)>,
}

/// JSON in a manifest: a [`Value`], or text that is JSON already, which makes a smaller component
/// than the code that `json!` becomes.
#[derive(Debug, Clone)]
pub struct Json(Cow<'static, str>);

impl Json {
    /// The value; `null` where the text is no JSON, which the host refuses.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}

impl From<&'static str> for Json {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Action {
    /// An action that takes an empty object and returns anything.
    #[must_use]
    pub fn new(name: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            kind: wit::ActionKind::Action,
            summary,
            input: r#"{"type":"object","additionalProperties":false}"#.into(),
            output: "true".into(),
            requests: Vec::new(),
            scopes: Vec::new(),
            examples: Vec::new(),
        }
    }

    /// A source: polled by a trigger. Its output has a list `items`, each of which starts a run, and
    /// a [cursor](crate::Output::with_cursor) that the next poll gets. An item's `key` is text that
    /// names it for good: what was returned before under the same key starts nothing. An item that the
    /// source cannot read, though others come, has `failure`, an object with the texts `code` and
    /// `message`: its run fails with that at once, by way of the workflow's `on-error`.
    #[must_use]
    pub fn source(name: &'static str, summary: &'static str) -> Self {
        Self {
            kind: wit::ActionKind::Source,
            ..Self::new(name, summary)
        }
    }

    /// The same with a JSON Schema (2020-12) of its input.
    #[must_use]
    pub fn input(mut self, schema: impl Into<Json>) -> Self {
        self.input = schema.into();
        self
    }

    /// The same with a JSON Schema (2020-12) of its output.
    #[must_use]
    pub fn output(mut self, schema: impl Into<Json>) -> Self {
        self.output = schema.into();
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
    pub fn example(mut self, title: &'static str, input: impl Into<Json>) -> Self {
        self.examples.push((title, input.into()));
        self
    }

    /// The action's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The schema of its input.
    #[must_use]
    pub fn input_schema(&self) -> Value {
        self.input.value()
    }

    /// The schema of its output.
    #[must_use]
    pub fn output_schema(&self) -> Value {
        self.output.value()
    }

    /// The requests that it makes: method, URL pattern, and why.
    #[must_use]
    pub fn requests(&self) -> &[[&'static str; 3]] {
        &self.requests
    }

    /// The examples: title and input.
    #[must_use]
    pub fn examples(&self) -> Vec<(&'static str, Value)> {
        let examples = self.examples.iter();
        examples
            .map(|(title, input)| (*title, input.value()))
            .collect()
    }

    #[cfg(not(target_family = "wasm"))]
    fn described(&self) -> Value {
        let scope = |scope: &wit::Scope| {
            let names = [
                Some(&scope.name),
                scope.shared.as_ref(),
                scope.application.as_ref(),
            ];
            serde_json::json!([names, scope.reason])
        };
        serde_json::json!({
            "name": self.name,
            "kind": if self.kind == wit::ActionKind::Source { "source" } else { "action" },
            "summary": self.summary,
            "requests": self.requests.iter().map(|need| need.join(" | ")).collect::<Vec<_>>(),
            "scopes": self.scopes.iter().map(scope).collect::<Vec<_>>(),
            "input": self.input_schema(),
            "output": self.output_schema(),
            "examples": self.examples(),
        })
    }

    fn into_wit(self) -> wit::Action {
        wit::Action {
            name: self.name.into(),
            kind: self.kind,
            summary: self.summary.into(),
            input: self.input.0.into_owned(),
            output: self.output.0.into_owned(),
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
                    input: input.0.into_owned(),
                })
                .collect(),
        }
    }
}
