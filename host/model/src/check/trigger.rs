//! Triggers, held against the workflow's inputs and, for sources, their plugin.

use std::collections::BTreeMap;

use super::Checker;
use super::infer::Names;
use super::types::Type;
use crate::diagnostic::suggestion;
use crate::workflow::{Content, Step, Trigger, TriggerOn, Workflow};
use crate::yaml::Name;
use crate::{ActionKind, Catalog, InputSpec, SourcePoll, TriggerKind};

impl Checker<'_> {
    /// Checks the workflow's triggers, and gives them as the plan has them.
    pub(super) fn triggers(
        &mut self,
        workflow: &Workflow<'_>,
        catalog: &Catalog,
    ) -> Vec<crate::Trigger> {
        let triggers = workflow.triggers.iter();
        triggers
            .filter_map(|trigger| self.trigger(trigger, workflow, catalog))
            .collect()
    }

    fn trigger(
        &mut self,
        trigger: &Trigger<'_>,
        workflow: &Workflow<'_>,
        catalog: &Catalog,
    ) -> Option<crate::Trigger> {
        let mut event = vec![
            ("id".to_owned(), Type::String),
            ("at".to_owned(), Type::String),
            ("trigger".to_owned(), Type::String),
        ];
        let on = match &trigger.on {
            TriggerOn::Schedule(schedule) => Some(TriggerKind::Schedule(schedule.clone())),
            TriggerOn::Webhook => {
                event.push(("body".to_owned(), Type::Any));
                Some(TriggerKind::Webhook)
            }
            TriggerOn::Source(step, every) => {
                let (poll, item) = self.source(step, *every, workflow, catalog);
                event.push(("item".to_owned(), item));
                poll.map(|poll| TriggerKind::Source(Box::new(poll)))
            }
        };
        let names = Names {
            inputs: Type::object([], false),
            steps: &[],
            finished: 0,
            item: None,
            failure: None,
            event: Some(Type::object(event, false)),
        };
        if let TriggerOn::Source(step, _) = &trigger.on
            && let Some(condition) = &step.condition
        {
            self.must_be(condition, &names, "`if`", &Type::Bool);
        }
        let takes_body = matches!(trigger.on, TriggerOn::Webhook) && trigger.inputs.is_none();
        if !takes_body {
            self.trigger_inputs(trigger, workflow, &names);
        }
        let inputs = trigger.inputs.as_ref().map(|inputs| {
            let one =
                |(name, content): &(Name, Content<'_>)| (name.text.clone(), content.to_template());
            inputs.iter().map(one).collect::<BTreeMap<_, _>>()
        });
        Some(crate::Trigger {
            id: trigger.id.text.clone(),
            on: on?,
            inputs,
        })
    }

    /// What a trigger gives must be what the workflow takes.
    fn trigger_inputs(
        &mut self,
        trigger: &Trigger<'_>,
        workflow: &Workflow<'_>,
        names: &Names<'_>,
    ) {
        let given = trigger.inputs.as_deref().unwrap_or_default();
        for (name, content) in given {
            let what = format!("the input `{}`", name.text);
            match workflow.inputs.get(&name.text) {
                Some(spec) => {
                    self.trigger_input(content, names, &what, spec);
                }
                None => {
                    self.shape(content, names);
                    let known = workflow.inputs.keys().map(String::as_str);
                    let message = format!("the workflow has no input `{}`", name.text);
                    let help = suggestion(&name.text, known);
                    self.report("workflow/input", name, message, help);
                }
            }
        }
        let is_given = |name: &str| given.iter().any(|(given, _)| given.text == name);
        for (name, spec) in &workflow.inputs {
            if spec.required && !is_given(name) {
                let message = format!("the trigger gives no `{name}`, which the workflow requires");
                let help = format!("write `inputs: {{{name}: …}}` in the trigger");
                let at = Name {
                    text: String::new(),
                    span: trigger.span,
                };
                self.report("workflow/input", &at, message, Some(help));
            }
        }
    }

    fn trigger_input(
        &mut self,
        content: &Content<'_>,
        names: &Names<'_>,
        what: &str,
        spec: &InputSpec,
    ) {
        let may_be_null = !spec.required;
        if may_be_null && content.literal().is_some_and(|value| value.is_null()) {
            return;
        }
        self.must_be(content, names, what, &Type::of_kind(spec.kind));
    }

    /// A source's poll, and the type of its items.
    fn source(
        &mut self,
        step: &Step<'_>,
        every: std::time::Duration,
        workflow: &Workflow<'_>,
        catalog: &Catalog,
    ) -> (Option<SourcePoll>, Type) {
        let Some((plugin, action)) = &step.uses else {
            return (None, Type::Any);
        };
        let found = self.look_up(step, catalog);
        let connection = self.connection(step, found, workflow, catalog);
        let mut item = Type::Any;
        if let Some(spec) = found.action {
            let what = format!("{}/{}", plugin.text, spec.name);
            if spec.kind != ActionKind::Source {
                let message = format!("`{what}` is a step's action, and gives no items");
                let help = "use it in `steps`, and a source here".to_owned();
                self.report("workflow/step-as-source", action, message, Some(help));
            } else if let Type::Object(output) = Type::of_schema(&spec.output)
                && let Some(Type::List(of)) = output.fields.get("items")
            {
                item = of.as_ref().clone();
            }
            // One with expressions in it was reported where it was read.
            if step.with.literal().is_some() {
                let nothing = Names {
                    inputs: Type::object([], false),
                    steps: &[],
                    finished: 0,
                    item: None,
                    failure: None,
                    event: None,
                };
                let shape = self.shape(&step.with, &nothing);
                self.fits(&spec.input, &shape, &what);
            }
        }
        let act_as = step.act_as.as_ref().and_then(|content| {
            let value = content.literal()?;
            if value.as_str().is_none_or(str::is_empty) {
                let at = Name {
                    text: String::new(),
                    span: content.span,
                };
                let message = "`as` is a user's name".to_owned();
                self.report("workflow/value", &at, message, None);
            }
            Some(value.as_str()?.to_owned())
        });
        let poll = SourcePoll {
            plugin: plugin.text.clone(),
            action: action.text.clone(),
            with: step.with.literal().unwrap_or_default(),
            connection,
            act_as,
            every,
            timeout: step.timeout,
            condition: step.condition.as_ref().map(Content::to_template),
        };
        (Some(poll), item)
    }
}
