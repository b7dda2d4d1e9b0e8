//! The steps of a workflow.

use std::collections::HashMap;
use std::time::Duration;

use super::content::{content, object};
use super::limits::{MOST_PARALLEL, MOST_STEPS};
use super::read::{CODES, expression};
use super::settings::{Defaults, on_sign_in_needed, retry};
use super::{Content, Form, Step};
use crate::Span;
use crate::built_in::BUILT_IN;
use crate::expression::Language;
use crate::reader::{Fields, Reader, name_problem};
use crate::schema::words;
use crate::yaml::{Kind, Name, Node};

/// The longest that an attempt takes where the step does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);

/// Reads `steps` or `on-error`. A step without an id is called `prefix` and its number.
pub(super) fn steps<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    node: &'n Node,
    (key, prefix): (&str, &str),
    defaults: &Defaults,
) -> Vec<Step<'n>> {
    let Kind::List(items) = &node.kind else {
        reader.wrong_type(node, &format!("`{key}`"), "a list");
        return Vec::new();
    };
    if items.is_empty() {
        let message = format!("`{key}` needs at least one step");
        reader.invalid(node.span, message, "");
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
        let id = format!("{prefix}-{}", index + 1);
        steps.push(step(reader, language, item, id, defaults));
    }
    steps
}

/// Reports ids that stand twice.
pub(super) fn unique<'s, 'n: 's>(
    reader: &mut Reader<'_>,
    steps: impl Iterator<Item = &'s Step<'n>>,
) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    let mut duplicates = Vec::new();
    for Step { id, .. } in steps {
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
}

fn step<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    node: &'n Node,
    made_up: String,
    defaults: &Defaults,
) -> Step<'n> {
    let fields = reader.fields(node, "a step", &words::STEP);
    let start = Span {
        start: node.span.start,
        end: node.span.start + 1,
    };
    let id = fields.get("id").and_then(|node| id(reader, node));
    let id = id.unwrap_or(Name {
        text: made_up,
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
    if uses.as_ref().is_some_and(|(name, _)| name.text == BUILT_IN) {
        for entry in words::FOR_PLUGINS
            .iter()
            .filter_map(|key| fields.entry(key))
        {
            let key = &entry.key.text;
            let message = format!("`{key}` means nothing for a step that waits");
            let help = match key.as_str() {
                "timeout" => "write `deadline` under `with`",
                _ => "remove it",
            };
            reader.invalid(entry.key.span, message, help);
        }
    }
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
        retry: match fields.get("retry") {
            Some(node) => retry(reader, node, &defaults.retry),
            None => defaults.retry.clone(),
        },
        on_sign_in_needed: match fields.entry("on-sign-in-needed") {
            Some(entry) => on_sign_in_needed(reader, entry),
            None => defaults.on_sign_in_needed.clone(),
        },
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
pub(super) fn uses(reader: &mut Reader<'_>, node: &Node) -> Option<(Name, Name)> {
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
