//! The steps of a workflow.

use std::collections::HashMap;
use std::time::Duration;

use super::content::{content, object};
use super::read::{CODES, expression};
use super::{Content, Form, Step};
use crate::expression::Language;
use crate::reader::{Fields, Reader, name_problem};
use crate::yaml::{Kind, Name, Node};
use crate::{Retry, Span};

const KEYS: [&str; 13] = [
    "id",
    "name",
    "uses",
    "with",
    "connection",
    "as",
    "if",
    "for-each",
    "max-parallel",
    "timeout",
    "retry",
    "continue-on-error",
    "description",
];
const UNSUPPORTED: [&str; 3] = ["on-error", "on-sign-in-needed", "concurrency"];
const RETRY_KEYS: [&str; 3] = ["attempts", "delay", "max-delay"];

/// The most steps that a workflow may have.
const MOST_STEPS: usize = 500;
/// The most items of a `for-each` at once.
const MOST_PARALLEL: u32 = 64;
const MOST_ATTEMPTS: u32 = 100;
/// The longest that an attempt takes where the step does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn steps<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    node: &'n Node,
) -> Vec<Step<'n>> {
    let Kind::List(items) = &node.kind else {
        reader.wrong_type(node, "`steps`", "a list");
        return Vec::new();
    };
    if items.is_empty() {
        reader.invalid(node.span, "a workflow needs at least one step", "");
    }
    if items.len() > MOST_STEPS {
        let message = format!(
            "there are {} steps, and {MOST_STEPS} is the most",
            items.len()
        );
        reader.invalid(node.span, message, "repeat a step with `for-each`");
        return Vec::new();
    }
    let mut steps = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        steps.push(step(reader, language, item, index));
    }
    let mut seen: HashMap<&str, Span> = HashMap::new();
    let mut duplicates = Vec::new();
    for Step { id, .. } in &steps {
        match seen.get(id.text.as_str()) {
            Some(first) => {
                let message = format!("the id `{}` stands twice", id.text);
                let error = reader.error("workflow/duplicate-id", id.span, message);
                duplicates.push(error.with_label(*first, "the first one"));
            }
            None => {
                seen.insert(&id.text, id.span);
            }
        }
    }
    duplicates
        .into_iter()
        .for_each(|duplicate| reader.push(duplicate));
    steps
}

fn step<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    node: &'n Node,
    index: usize,
) -> Step<'n> {
    let fields = reader.fields(node, "a step", &KEYS, &UNSUPPORTED);
    let start = Span {
        start: node.span.start,
        end: node.span.start + 1,
    };
    let id = fields.get("id").and_then(|node| id(reader, node));
    let id = id.unwrap_or_else(|| Name {
        text: format!("step-{}", index + 1),
        span: start,
    });
    for key in ["name", "description"] {
        if let Some(node) = fields.get(key) {
            reader.text(node, &format!("`{key}`"));
        }
    }
    let uses = match fields.get("uses") {
        Some(node) => uses(reader, node),
        None => {
            reader.missing(start, &format!("the step `{}`", id.text), "uses");
            None
        }
    };
    let span = uses
        .as_ref()
        .map_or(start, |(plugin, action)| plugin.span.to(action.span));
    let with = fields.get("with").map(|node| match &node.kind {
        Kind::Map(entries) => Content {
            form: Form::Object(object(reader, language, entries, true)),
            span: node.span,
        },
        Kind::Null => Content::empty(span),
        _ => {
            reader.wrong_type(node, "`with`", "a mapping");
            Content {
                form: Form::Broken,
                span: node.span,
            }
        }
    });
    let mut one = |key: &str| {
        let node = fields.get(key)?;
        Some(expression(reader, language, node, &format!("`{key}`")))
    };
    let (condition, for_each) = (one("if"), one("for-each"));
    let act_as = fields
        .get("as")
        .map(|node| content(reader, language, node, false));
    let connection = fields.get("connection");
    Step {
        connection: connection.and_then(|node| reader.text(node, "`connection`")),
        max_parallel: max_parallel(reader, fields, for_each.is_some()),
        timeout: fields
            .get("timeout")
            .and_then(|node| reader.duration(node, "`timeout`", Duration::from_secs(1), DAY))
            .unwrap_or(DEFAULT_TIMEOUT),
        retry: fields
            .get("retry")
            .map(|node| retry(reader, node))
            .unwrap_or_default(),
        continue_on_error: fields
            .get("continue-on-error")
            .and_then(|node| reader.boolean(node, "`continue-on-error`"))
            .unwrap_or(false),
        with: with.unwrap_or(Content::empty(span)),
        id,
        uses,
        act_as,
        condition,
        for_each,
        span,
    }
}

fn id(reader: &mut Reader<'_>, node: &Node) -> Option<Name> {
    let id = reader.text(node, "`id`")?;
    if let Some(problem) = name_problem(&id.text) {
        let error = format!("`{}` cannot be an id", id.text);
        reader.push(
            reader
                .error("workflow/invalid-id", id.span, error)
                .with_help(problem),
        );
    }
    Some(id)
}

/// `plugin/action`.
fn uses(reader: &mut Reader<'_>, node: &Node) -> Option<(Name, Name)> {
    let uses = reader.text(node, "`uses`")?;
    match uses.text.split_once('/') {
        Some((plugin, action)) if !plugin.is_empty() && !action.is_empty() => {
            let slash = plugin.len();
            let place = |range| node.locate(reader.file.text(), range);
            let (plugin_at, action_at) = (place(0..slash), place(slash + 1..uses.text.len()));
            Some((
                Name {
                    text: plugin.to_owned(),
                    span: plugin_at,
                },
                Name {
                    text: action.to_owned(),
                    span: action_at,
                },
            ))
        }
        _ => {
            let message = format!("`{}` names no action", uses.text);
            reader.invalid(
                uses.span,
                message,
                "write `plugin/action`, as in `exchange/send`",
            );
            None
        }
    }
}

fn max_parallel(reader: &mut Reader<'_>, fields: Fields<'_>, is_repeated: bool) -> u32 {
    let Some(entry) = fields.entry("max-parallel") else {
        return 1;
    };
    if !is_repeated {
        let message = "`max-parallel` means nothing without `for-each`";
        reader.push(reader.error(CODES.value, entry.key.span, message));
    }
    reader
        .whole(&entry.value, "`max-parallel`", 1, MOST_PARALLEL)
        .unwrap_or(1)
}

fn retry(reader: &mut Reader<'_>, node: &Node) -> Retry {
    let fields = reader.fields(node, "`retry`", &RETRY_KEYS, &[]);
    let mut retry = Retry::default();
    if let Some(node) = fields.get("attempts") {
        let attempts = reader.whole(node, "`attempts`", 1, MOST_ATTEMPTS);
        retry.attempts = attempts.unwrap_or(retry.attempts);
    }
    if let Some(node) = fields.get("delay") {
        let delay = reader.duration(node, "`delay`", Duration::ZERO, DAY);
        retry.delay = delay.unwrap_or(retry.delay);
    }
    match fields.get("max-delay") {
        Some(node) => {
            let longest = reader.duration(node, "`max-delay`", Duration::ZERO, DAY);
            retry.max_delay = longest.unwrap_or(retry.max_delay);
            if longest.is_some_and(|longest| longest < retry.delay) {
                reader.invalid(node.span, "`max-delay` is shorter than `delay`", "");
            }
        }
        None => retry.max_delay = retry.max_delay.max(retry.delay),
    }
    retry
}
