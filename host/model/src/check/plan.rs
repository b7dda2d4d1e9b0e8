//! A workflow's text to its plan.

use super::Checker;
use super::body::{Load, Used};
use super::facts::StepFacts;
use super::fit::Validators;
use super::infer::Names;
use super::types::Type;
use crate::expression::Language;
use crate::reader::Reader;
use crate::workflow::{self, Step, Workflow};
use crate::{
    Catalog, Concurrency, Diagnostics, PLAN_FORMAT, Plan, PlannedStep, SourceFile, TriggerKind,
    yaml,
};

/// Checks a workflow and makes its plan. There is a plan exactly when there is no error among the
/// diagnostics, which come in the order of the file.
///
/// `templates` reads a body template by its path as the workflow has it, which is relative to the
/// workflow's file and leads down from its folder; it says why where it cannot. It should look at a
/// file's length first: [`crate::MAX_SOURCE_BYTES`] is the most.
pub fn validate(
    source: &SourceFile,
    catalog: &Catalog,
    templates: &dyn Fn(&str) -> Result<String, String>,
) -> (Option<Plan>, Diagnostics) {
    let (plan, mut diagnostics) = check(source, catalog, templates);
    diagnostics.sort(source);
    (plan.filter(|_| !diagnostics.has_errors()), diagnostics)
}

fn check(
    source: &SourceFile,
    catalog: &Catalog,
    templates: Load<'_>,
) -> (Option<Plan>, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let Some(root) = yaml::parse(source, &mut diagnostics) else {
        return (None, diagnostics);
    };
    let language = Language::new();
    let mut reader = Reader {
        file: source,
        codes: workflow::CODES,
        diagnostics,
    };
    let workflow = workflow::read(&mut reader, &language, &root);
    let Some(workflow) = workflow else {
        return (None, reader.diagnostics);
    };
    let mut checker = Checker {
        file: source,
        diagnostics: reader.diagnostics,
        validators: Validators::default(),
    };
    let plan = checker.plan(&workflow, catalog, templates);
    (Some(plan), checker.diagnostics)
}

impl Checker<'_> {
    fn plan(&mut self, workflow: &Workflow<'_>, catalog: &Catalog, templates: Load<'_>) -> Plan {
        self.connections(workflow, catalog);
        let all = || workflow.steps.iter().chain(&workflow.on_error);
        let found: Vec<_> = all().map(|step| self.find(step, catalog)).collect();
        let with_found = || all().zip(&found);
        let facts: Vec<StepFacts> = with_found()
            .map(|(step, found)| StepFacts::of(step, *found))
            .collect();
        let main = workflow.steps.len();
        // After a failure nobody knows which steps are done: each may have failed.
        let mut facts_on_error = facts.clone();
        let (before, _) = facts_on_error.split_at_mut(main);
        before.iter_mut().for_each(|fact| fact.may_fail = true);
        let inputs = workflow.inputs.iter();
        let inputs = inputs.map(|(name, spec)| (name.clone(), Type::of_input(spec)));
        let mut names = Names {
            inputs: Type::object(inputs, false),
            steps: facts.get(..main).unwrap_or_default(),
            finished: 0,
            item: None,
            failure: None,
            event: None,
        };
        self.group(workflow, &names);
        let mut used = Used::new(templates);
        let mut steps = Vec::with_capacity(facts.len());
        for (at, (step, found)) in with_found().enumerate() {
            if at == main {
                names.steps = &facts_on_error;
                names.failure = Some(Type::failure());
            }
            names.finished = at;
            self.expressions(step, *found, names.clone(), &mut used);
            let connection = self.connection(step, *found, workflow, catalog);
            let fallback = self.fallback(step, connection.as_deref(), catalog);
            steps.extend(planned(step, connection, fallback));
        }
        names = Names {
            steps: facts.get(..main).unwrap_or_default(),
            finished: main,
            failure: None,
            ..names
        };
        let mut outputs = std::collections::BTreeMap::new();
        for (name, content) in &workflow.outputs {
            self.shape(content, &names);
            outputs.insert(name.text.clone(), content.to_template());
        }
        let triggers = self.triggers(workflow, catalog);
        let sources = triggers.iter().filter_map(|trigger| match &trigger.on {
            TriggerKind::Source(poll) => Some(&poll.plugin),
            _ => None,
        });
        let used_plugins = steps.iter().map(|step| &step.plugin).chain(sources);
        let plugins = used_plugins.filter_map(|name| {
            let plugin = catalog.plugins.get(name)?;
            Some((name.clone(), plugin.pin()))
        });
        Plan {
            format: PLAN_FORMAT,
            workflow: workflow.name.text.clone(),
            source: self.file.digest(),
            inputs: workflow.inputs.clone(),
            plugins: plugins.collect(),
            triggers,
            // Where a step has no action, there is an error and no plan.
            on_error: steps.split_off(main.min(steps.len())),
            steps,
            timeout: workflow.timeout,
            concurrency: workflow.concurrency.as_ref().map(|together| Concurrency {
                group: together.group.as_ref().map(workflow::Content::to_template),
                max: together.max,
            }),
            outputs,
            templates: used
                .texts
                .into_iter()
                .filter_map(|(name, text)| Some((name, text?)))
                .collect(),
        }
    }

    /// The group of `concurrency` is known before the first step: it sees the inputs alone.
    fn group(&mut self, workflow: &Workflow<'_>, names: &Names<'_>) {
        let together = workflow.concurrency.as_ref();
        if let Some(group) = together.and_then(|together| together.group.as_ref()) {
            let names = Names {
                steps: &[],
                ..names.clone()
            };
            self.must_be(group, &names, "`group`", &Type::String);
        }
    }
}

fn planned(
    step: &Step<'_>,
    connection: Option<String>,
    fallback: Option<String>,
) -> Option<PlannedStep> {
    let (plugin, action) = step.uses.as_ref()?;
    let template = |content: &Option<workflow::Content<'_>>| {
        content.as_ref().map(workflow::Content::to_template)
    };
    Some(PlannedStep {
        id: step.id.text.clone(),
        plugin: plugin.text.clone(),
        action: action.text.clone(),
        with: step.with.to_template(),
        condition: template(&step.condition),
        for_each: template(&step.for_each),
        max_parallel: step.max_parallel,
        connection,
        act_as: template(&step.act_as),
        fallback,
        on_sign_in_needed: step.on_sign_in_needed.does,
        retry: step.retry.clone(),
        timeout: step.timeout,
        continue_on_error: step.continue_on_error,
    })
}
