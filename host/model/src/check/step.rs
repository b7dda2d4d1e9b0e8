//! One step, held against its plugin, its connection and what it can see.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Checker;
use super::body::Used;
use super::facts::{StepFacts, named_steps};
use super::fit;
use super::infer::Names;
use super::shape::Shape;
use super::types::Type;
use crate::diagnostic::suggestion;
use crate::workflow::{Step, Workflow};
use crate::yaml::Name;
use crate::{
    ActionKind, ActionSpec, BUILT_IN, Catalog, ConnectionKind, Diagnostic, OnSignInNeeded, built_in,
};

/// What the catalog has of a step.
#[derive(Clone, Copy)]
pub(super) struct Found<'c> {
    pub(super) action: Option<&'c ActionSpec>,
}

impl Checker<'_> {
    /// Finds a step's action; a source is none.
    pub(super) fn find<'c>(&mut self, step: &Step<'_>, catalog: &'c Catalog) -> Found<'c> {
        let found = self.look_up(step, catalog);
        if let (Some(spec), Some((plugin, action))) = (found.action, &step.uses)
            && spec.kind == ActionKind::Source
        {
            let message = format!(
                "`{}/{}` is a trigger's source, no step",
                plugin.text, action.text
            );
            let help = "write it under `on`: `source: {uses: …}`".to_owned();
            self.report("workflow/source-as-step", action, message, Some(help));
        }
        found
    }

    /// Finds an action, whatever its kind.
    pub(super) fn look_up<'c>(&mut self, step: &Step<'_>, catalog: &'c Catalog) -> Found<'c> {
        Found {
            action: self.action(step, catalog),
        }
    }

    fn action<'c>(&mut self, step: &Step<'_>, catalog: &'c Catalog) -> Option<&'c ActionSpec> {
        let (plugin, action) = step.uses.as_ref()?;
        let found = match plugin.text == BUILT_IN {
            true => Some(built_in()),
            false => catalog
                .plugins
                .get(&plugin.text)
                .map(|found| &found.manifest),
        };
        let Some(found) = found else {
            let message = format!("there is no plugin `{}`", plugin.text);
            let known = catalog.plugins.keys().map(String::as_str);
            let help = suggestion(&plugin.text, known)
                .unwrap_or_else(|| "add it to `plugins` in docket.yaml".to_owned());
            self.report("workflow/unknown-plugin", plugin, message, Some(help));
            return None;
        };
        let Some(spec) = found.action(&action.text) else {
            let message = format!(
                "the plugin `{}` has no action `{}`",
                plugin.text, action.text
            );
            let known = found.actions.iter().map(|action| action.name.as_str());
            let help = suggestion(&action.text, known);
            self.report("workflow/unknown-action", action, message, help);
            return None;
        };
        Some(spec)
    }

    /// The connection that a step uses: its own, else the one that the workflow has for its plugin.
    pub(super) fn connection(
        &mut self,
        step: &Step<'_>,
        found: Found<'_>,
        workflow: &Workflow<'_>,
        catalog: &Catalog,
    ) -> Option<String> {
        let (plugin, action) = step.uses.as_ref()?;
        let shared = workflow
            .connections
            .iter()
            .find(|(name, _)| name.text == plugin.text);
        let Some(name) = step.connection.as_ref().or(shared.map(|(_, name)| name)) else {
            if found.action.is_some_and(|action| !action.scopes.is_empty()) {
                let message = format!(
                    "`{}/{}` acts as an account and has no connection",
                    plugin.text, action.text
                );
                let names = catalog.connections.keys().map(|name| format!("`{name}`"));
                let names: Vec<String> = names.collect();
                let help = if names.is_empty() {
                    "add one to `connections` in docket.yaml, and name it in the workflow"
                        .to_owned()
                } else {
                    let plugin = &plugin.text;
                    format!(
                        "write `connections: {{{plugin}: NAME}}`; there is {}",
                        names.join(", ")
                    )
                };
                let at = Name {
                    text: String::new(),
                    span: step.span,
                };
                self.report("workflow/missing-connection", &at, message, Some(help));
            }
            return None;
        };
        if let Some(kind) = catalog.connections.get(&name.text) {
            self.acting_user(step, name, *kind);
        } else if step.connection.is_some() {
            // The ones that the workflow shares are reported once, where they stand.
            self.unknown_connection(name, catalog);
        }
        Some(name.text.clone())
    }

    /// The connection to fall back to when an account must sign in first, where the step asks for it.
    pub(super) fn fallback(
        &mut self,
        step: &Step<'_>,
        connection: Option<&str>,
        catalog: &Catalog,
    ) -> Option<String> {
        let OnSignInNeeded::Fallback(_) = step.on_sign_in_needed.does else {
            return None;
        };
        let (plugin, _) = step.uses.as_ref()?;
        let connection = connection.filter(|name| catalog.connections.contains_key(*name));
        let fallback = catalog.fallbacks.get(connection?).cloned();
        if fallback.is_none() && plugin.text != BUILT_IN {
            let message = format!("the connection `{}` has no fallback", connection?);
            let at = Name {
                text: String::new(),
                span: step.on_sign_in_needed.span.unwrap_or(step.span),
            };
            let help = "give it one in docket.yaml with `fallback`, or write `wait` or `fail` here";
            self.report("workflow/fallback", &at, message, Some(help.to_owned()));
        }
        fallback
    }

    /// `as` goes with a connection of the kind per-user, and with no other.
    fn acting_user(&mut self, step: &Step<'_>, connection: &Name, kind: ConnectionKind) {
        let is_per_user = kind == ConnectionKind::PerUser;
        let (span, message, help) = match &step.act_as {
            Some(act_as) if !is_per_user => (
                act_as.span,
                format!(
                    "`as` needs a connection of the kind per-user; `{}` is {}",
                    connection.text,
                    kind.as_str()
                ),
                "remove `as`: the step acts as the connection's account",
            ),
            None if is_per_user => (
                step.span,
                format!(
                    "`{}` is a connection of the kind per-user, and the step names no user",
                    connection.text
                ),
                "add `as` with the user's name, such as `as: anna@example.com`",
            ),
            _ => return,
        };
        let at = Name {
            text: String::new(),
            span,
        };
        self.report("workflow/as", &at, message, Some(help.to_owned()));
    }

    /// Checks the workflow's own `connections`.
    pub(super) fn connections(&mut self, workflow: &Workflow<'_>, catalog: &Catalog) {
        for (plugin, connection) in &workflow.connections {
            if !catalog.plugins.contains_key(&plugin.text) {
                let message = format!("there is no plugin `{}`", plugin.text);
                let help = suggestion(&plugin.text, catalog.plugins.keys().map(String::as_str));
                self.report("workflow/unknown-plugin", plugin, message, help);
            }
            if !catalog.connections.contains_key(&connection.text) {
                self.unknown_connection(connection, catalog);
            }
        }
    }

    fn unknown_connection(&mut self, name: &Name, catalog: &Catalog) {
        let message = format!("there is no connection `{}`", name.text);
        let help = suggestion(&name.text, catalog.connections.keys().map(String::as_str))
            .unwrap_or_else(|| "add it to `connections` in docket.yaml".to_owned());
        self.report("workflow/unknown-connection", name, message, Some(help));
    }

    /// Checks everything in a step that holds expressions. `names` is what the step sees; `item` is
    /// filled in here.
    pub(super) fn expressions(
        &mut self,
        step: &Step<'_>,
        found: Found<'_>,
        mut names: Names<'_>,
        used: &mut Used<'_>,
    ) {
        if let Some(list) = &step.for_each {
            let wanted = Type::list(Type::Any);
            names.item = Some(match self.must_be(list, &names, "`for-each`", &wanted) {
                Type::List(item) => item.as_ref().clone(),
                _ => Type::Any,
            });
        }
        if let Some(condition) = &step.condition {
            self.must_be(condition, &names, "`if`", &Type::Bool);
        }
        if let Some(act_as) = &step.act_as {
            self.must_be(act_as, &names, "`as`", &Type::String);
        }
        let shape = self.shape(&step.with, &names);
        self.bodies(&step.with, &names, used);
        let (Some(action), Some((plugin, _))) = (found.action, &step.uses) else {
            return;
        };
        let what = format!("{}/{}", plugin.text, action.name);
        self.fits(&action.input, &shape, &what);
    }

    /// Reports what of an input does not fit the schema of an action, which is called `what`.
    pub(super) fn fits(&mut self, schema: &Value, shape: &Shape, what: &str) {
        for misfit in fit::misfits(schema, shape, what, &mut self.validators) {
            let error = Diagnostic::error("workflow/input", self.file, misfit.span, misfit.message);
            self.diagnostics.push(Diagnostic {
                help: misfit.help,
                ..error
            });
        }
    }

    pub(super) fn report(
        &mut self,
        code: &'static str,
        at: &Name,
        message: String,
        help: Option<String>,
    ) {
        let error = Diagnostic::error(code, self.file, at.span, message);
        self.diagnostics.push(Diagnostic { help, ..error });
    }
}

impl StepFacts {
    /// What later steps can know of a step.
    pub(super) fn of(step: &Step<'_>, found: Found<'_>) -> Self {
        let one = found
            .action
            .map_or(Type::Any, |action| Type::of_schema(&action.output));
        let output = match &step.for_each {
            None => one,
            // An item that was left out or failed leaves null.
            Some(_) if step.condition.is_some() || step.continue_on_error => Type::list(Type::Any),
            Some(_) => Type::list(one),
        };
        let mut needs = BTreeSet::new();
        let optional = [&step.condition, &step.for_each, &step.act_as]
            .into_iter()
            .flatten();
        for content in optional.chain([&step.with]) {
            content.each_expression(&mut |expression| named_steps(expression.ast(), &mut needs));
        }
        Self {
            id: step.id.text.clone(),
            output,
            may_fail: step.continue_on_error,
            needs,
        }
    }
}
