//! The words of a workflow's file.

use serde_json::{Value, json};

use super::{Form, LONGEST_NAME, NAME, Words, word};
use crate::workflow::limits::{
    LONGEST_WORKFLOW_NAME, MOST_ATTEMPTS, MOST_PARALLEL, MOST_RUNS, may_be_retried,
};
use crate::{ActionKind, FailureClass, InputType};

/// A workflow, top level.
pub(crate) static WORKFLOW: Words = Words {
    name: "workflow",
    rows: &[
        word(
            "workflow",
            Form::Line(LONGEST_WORKFLOW_NAME),
            "The workflow's name: one line. Runs, logs and pages show it.",
        )
        .required(),
        word("description", Form::Text, "What it does, for people."),
        word(
            "on",
            ON,
            "What starts a run. Without it a run is started by `docket run`.",
        ),
        word(
            "inputs",
            Form::Named(
                NAME,
                &Form::Either(&[
                    Form::Listed(input_types),
                    Form::Mapping(&INPUT),
                    Form::Nothing,
                ]),
            ),
            "What a run is given, by name; expressions read `inputs.NAME`.",
        ),
        word(
            "connections",
            Form::Connections,
            "Which connection of docket.yaml each plugin acts through, unless a step says otherwise.",
        ),
        word(
            "timeout",
            Form::Duration,
            "The longest that a run may take, waiting included. It fails then.",
        ),
        word(
            "retry",
            Form::Mapping(&RETRY),
            "When steps are tried again; a step may say otherwise.",
        ),
        word("on-sign-in-needed", ON_SIGN_IN, SIGN_IN_ABOUT),
        word(
            "concurrency",
            Form::Either(&[Form::Whole(1, MOST_RUNS), Form::Mapping(&CONCURRENCY)]),
            "How many runs may be under way at a time; the others wait for their turn.",
        ),
        word("steps", Form::Steps, "What is done, in this order.").required(),
        word(
            "on-error",
            Form::Steps,
            "What is done once the run has failed. These steps see `failure`.",
        ),
        word(
            "outputs",
            Form::Named("", &Form::Value),
            "What the run gives back, by name, once all steps are done.",
        ),
    ],
    rules: None,
};

const ON: Form = Form::Either(&[
    Form::OneOf(&BARE),
    Form::List(&Form::OneOf(&BARE)),
    Form::Mapping(&TRIGGERS),
]);
/// The triggers that need no settings.
const BARE: [&str; 2] = ["manual", "webhook"];

/// `on`: the triggers with their settings.
pub(crate) static TRIGGERS: Words = Words {
    name: "triggers",
    rows: &[
        word(
            "manual",
            Form::Mapping(&MANUAL),
            "Started by a person or a program: `docket run`, or the server's API.",
        ),
        word(
            "webhook",
            Form::Mapping(&WEBHOOK),
            "Started by a signed request to the server.",
        ),
        word(
            "schedule",
            Form::Either(&[
                Form::Mapping(&SCHEDULE),
                Form::List(&Form::Mapping(&SCHEDULE)),
            ]),
            "Started by the clock: one schedule, or a list of schedules with ids.",
        ),
        word(
            "source",
            Form::Either(&[Form::Mapping(&SOURCE), Form::List(&Form::Mapping(&SOURCE))]),
            "Started by what a plugin's source finds: one source, or a list of sources with ids.",
        ),
    ],
    rules: None,
};

/// `on: {manual: …}`.
pub(crate) static MANUAL: Words = Words {
    name: "manual",
    rows: &[],
    rules: None,
};

const TRIGGER_ID: &str = "What is known of it is kept under this; each of several has one.";
const TRIGGER_INPUTS: &str = "What the run is given, by name; expressions see `event`.";

/// `on: {webhook: …}`.
pub(crate) static WEBHOOK: Words = Words {
    name: "webhook",
    rows: &[
        word("description", Form::Text, "Who posts it, for people."),
        word("inputs", Form::Named("", &Form::Value), TRIGGER_INPUTS),
    ],
    rules: None,
};

/// `on: {schedule: …}`.
pub(crate) static SCHEDULE: Words = Words {
    name: "schedule",
    rows: &[
        word("id", Form::Pattern(NAME), TRIGGER_ID),
        word("description", Form::Text, "What it is for, for people."),
        word(
            "cron",
            Form::Text,
            "Minute, hour, day of the month, month and day of the week: `30 7 * * MON-FRI`.",
        ),
        word(
            "time-zone",
            Form::Text,
            "The time zone of `cron`, by the name that IANA has; UTC where nothing is said.",
        ),
        word("every", Form::Duration, "How often, in place of `cron`."),
        word("inputs", Form::Named("", &Form::Value), TRIGGER_INPUTS),
    ],
    rules: Some(|| {
        json!({
            "type": "object",
            "oneOf": [{"required": ["cron"]}, {"required": ["every"]}],
            "dependencies": {"time-zone": ["cron"]}
        })
    }),
};

/// `on: {source: …}`.
pub(crate) static SOURCE: Words = Words {
    name: "source",
    rows: &[
        word("id", Form::Pattern(NAME), TRIGGER_ID),
        word("description", Form::Text, "What it is for, for people."),
        word(
            "uses",
            Form::Uses(ActionKind::Source),
            "The source: `plugin/source`.",
        )
        .required(),
        word(
            "with",
            Form::With,
            "What the source is given, written out: there is no run yet that an expression could see.",
        ),
        word(
            "connection",
            Form::Connection,
            "The connection of docket.yaml to act through, in place of the workflow's for this plugin.",
        ),
        word(
            "as",
            Form::Text,
            "The user to act as, where the connection is of the kind per-user.",
        ),
        word(
            "every",
            Form::Duration,
            "How often it is polled, up to a day; every minute where nothing is said.",
        ),
        word(
            "if",
            Form::Condition,
            "An item starts no run unless this is true: one whole expression that sees `event`, the item as \
             `event.item`. Each item is judged once.",
        ),
        word(
            "timeout",
            Form::Duration,
            "The longest that a poll may take, up to a day; 10 minutes where nothing is said.",
        ),
        word("inputs", Form::Named("", &Form::Value), TRIGGER_INPUTS),
    ],
    rules: None,
};

/// An input.
pub(crate) static INPUT: Words = Words {
    name: "input",
    rows: &[
        word(
            "type",
            Form::Listed(input_types),
            "What kind of value it is; `string` where nothing is said.",
        ),
        word(
            "description",
            Form::Text,
            "What it is for, for whoever starts a run.",
        ),
        word("required", Form::Boolean, "Whether a run must be given it."),
        word(
            "default",
            Form::Data,
            "What it is where a run is not given it: plain data, without expressions.",
        ),
    ],
    rules: Some(default_or_required),
};

fn default_or_required() -> Value {
    json!({
        "if": {"properties": {"required": {"const": true}}, "required": ["required"]},
        "then": {"properties": {"default": false}}
    })
}

/// The types of inputs.
pub(crate) fn input_types() -> Vec<&'static str> {
    InputType::ALL.iter().map(|(word, _)| *word).collect()
}

/// `retry`.
pub(crate) static RETRY: Words = Words {
    name: "retry",
    rows: &[
        word(
            "attempts",
            Form::Whole(1, MOST_ATTEMPTS),
            "How many attempts in all; 1 tries once.",
        ),
        word(
            "delay",
            Form::Duration,
            "The wait after the first attempt; it doubles from then on.",
        ),
        word(
            "max-delay",
            Form::Duration,
            "The longest wait, unless the provider asks for more.",
        ),
        word(
            "on",
            Form::List(&Form::Listed(retried_failures)),
            "The classes of failures that are tried again; those that may go better by themselves \
             where nothing is said.",
        ),
    ],
    rules: None,
};

fn retried_failures() -> Vec<&'static str> {
    let all = FailureClass::ALL.iter();
    all.filter(|(_, class)| may_be_retried(*class))
        .map(|(word, _)| *word)
        .collect()
}

const SIGN_IN_ABOUT: &str = "What happens when an account must sign in first: `wait` (30 days, or so long), `fallback` (to \
     the connection's fallback) or `fail`.";

const ON_SIGN_IN: Form = Form::Either(&[
    Form::OneOf(&["wait", "fallback", "fail"]),
    Form::One(&ON_SIGN_IN_NEEDED),
]);

/// `on-sign-in-needed` with a time.
pub(crate) static ON_SIGN_IN_NEEDED: Words = Words {
    name: "on-sign-in-needed",
    rows: &[
        word("wait", Form::Duration, "The run waits, at most so long."),
        word(
            "fallback",
            Form::Duration,
            "The step uses the connection's fallback; where that is not safe any more, the run waits, \
             at most so long.",
        ),
    ],
    rules: None,
};

/// `concurrency`.
pub(crate) static CONCURRENCY: Words = Words {
    name: "concurrency",
    rows: &[
        word(
            "group",
            Form::Value,
            "Runs for which this gives the same text count together. It sees the inputs.",
        ),
        word(
            "max",
            Form::Whole(1, MOST_RUNS),
            "How many at a time; 1 where nothing is said.",
        ),
    ],
    rules: None,
};

/// A step.
pub(crate) static STEP: Words = Words {
    name: "step",
    rows: &[
        word(
            "id",
            Form::Pattern(NAME),
            "What other steps know it by: `steps.ID.output`. Letters, digits, `-` and `_`.",
        ),
        word("name", Form::Text, "What it is called, for people."),
        word("description", Form::Text, "What it does, for people."),
        word(
            "uses",
            Form::Uses(ActionKind::Action),
            "The action: `plugin/action`.",
        )
        .required(),
        word("with", Form::With, "What the action is given."),
        word(
            "connection",
            Form::Connection,
            "The connection of docket.yaml to act through, in place of the workflow's for this plugin.",
        ),
        word(
            "as",
            Form::Text,
            "The user to act as, where the connection is of the kind per-user.",
        ),
        word(
            "if",
            Form::Condition,
            "The step is left out unless this is true: one whole expression.",
        ),
        word(
            "for-each",
            Form::Items,
            "The step is done once for each element of this list, as `item` with `index`.",
        ),
        word(
            "max-parallel",
            Form::Whole(1, MOST_PARALLEL),
            "How many elements of `for-each` at a time; 1 where nothing is said.",
        ),
        word(
            "timeout",
            Form::Duration,
            "The longest that an attempt may take, up to a day; 10 minutes where nothing is said. It stands \
             still while a request waits for its turn at a mailbox that is at its limits.",
        ),
        word(
            "retry",
            Form::Mapping(&RETRY),
            "When it is tried again; what is left out is as the workflow says.",
        ),
        word(
            "continue-on-error",
            Form::Boolean,
            "Go on with the next step even if this one failed.",
        ),
        word("on-sign-in-needed", ON_SIGN_IN, SIGN_IN_ABOUT),
    ],
    rules: Some(step_rules),
};

/// What means nothing for a step that waits.
pub(crate) const FOR_PLUGINS: [&str; 5] =
    ["connection", "as", "retry", "timeout", "on-sign-in-needed"];

fn step_rules() -> Value {
    let refused: serde_json::Map<String, Value> = FOR_PLUGINS
        .iter()
        .map(|word| ((*word).to_owned(), Value::Bool(false)))
        .collect();
    json!({
        "dependencies": {"max-parallel": ["for-each"]},
        "allOf": [{
            "if": {"properties": {"uses": {"pattern": "^wait/"}}, "required": ["uses"]},
            "then": {"properties": refused}
        }, {
            "properties": {"id": {"maxLength": LONGEST_NAME}}
        }]
    })
}
