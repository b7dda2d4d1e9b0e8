//! Plans in few words.

use std::collections::BTreeMap;
use std::time::Duration;

use docket_model::{
    BUILT_IN, Digest, OnSignInNeeded, PLAN_FORMAT, PinnedPlugin, Plan, PlannedStep, Retry, Template,
};
use serde_json::Value;

/// A plan of these steps whose output `all` is the output of the last one.
pub(crate) fn plan(steps: Vec<PlannedStep>) -> Plan {
    let outputs = steps.last().map(|step| {
        (
            "all".to_owned(),
            expression(&format!("steps.{}.output", step.id)),
        )
    });
    Plan {
        format: PLAN_FORMAT,
        workflow: "w".to_owned(),
        source: Digest::of(b"w.yaml"),
        inputs: BTreeMap::new(),
        outputs: outputs.into_iter().collect(),
        triggers: Vec::new(),
        plugins: BTreeMap::from([(
            "p".to_owned(),
            PinnedPlugin {
                version: "1.0.0".to_owned(),
                component: Digest::of(b"component"),
                grants: Vec::new(),
            },
        )]),
        steps,
        templates: BTreeMap::new(),
        on_error: Vec::new(),
        timeout: None,
        concurrency: None,
    }
}

/// The step with a connection.
pub(crate) fn connected(step: PlannedStep) -> PlannedStep {
    PlannedStep {
        connection: Some("contoso".to_owned()),
        ..step
    }
}

/// A step that waits.
pub(crate) fn wait(id: &str, action: &str, with: Value) -> PlannedStep {
    PlannedStep {
        plugin: BUILT_IN.to_owned(),
        with: literal(with),
        ..named(id, action)
    }
}

/// A step with the id of its action.
pub(crate) fn step(action: &str) -> PlannedStep {
    named(action, action)
}

pub(crate) fn named(id: &str, action: &str) -> PlannedStep {
    PlannedStep {
        id: id.to_owned(),
        plugin: "p".to_owned(),
        action: action.to_owned(),
        with: Template::empty(),
        condition: None,
        for_each: None,
        max_parallel: 1,
        connection: None,
        act_as: None,
        retry: Retry {
            attempts: 3,
            delay: Duration::from_secs(2),
            max_delay: Duration::from_secs(60),
            on: None,
        },
        fallback: None,
        on_sign_in_needed: OnSignInNeeded::default(),
        timeout: Duration::from_secs(30),
        continue_on_error: false,
    }
}

/// The step once for each element of the input `list`, which is its input.
pub(crate) fn each(step: PlannedStep, max_parallel: u32) -> PlannedStep {
    PlannedStep {
        for_each: Some(expression("inputs.list")),
        with: expression("item"),
        max_parallel,
        ..step
    }
}

pub(crate) fn expression(text: &str) -> Template {
    Template::Expression(text.to_owned())
}

pub(crate) fn literal(value: Value) -> Template {
    Template::Literal(value)
}
