//! `on`: what starts a workflow.
//!
//! ```yaml
//! on:
//!   manual:
//!   schedule: {cron: "0 7 * * 1-5", time-zone: Europe/Berlin}
//!   webhook:
//!     inputs: {title: "${{ event.body.title }}"}
//!   source:
//!     - id: invoices
//!       uses: graph-import/new-messages
//!       with: {mailbox: invoices@contoso.example, folder: Invoices}
//!       every: 1m
//!       if: ${{ event.item.importance == "high" }}
//!       inputs: {mail: "${{ event.item }}"}
//! ```
//!
//! `schedule` and `source` may be lists; each element has an `id` then, under which what is known of
//! it is kept.

use std::time::Duration;

use super::content::{content, object};
use super::limits::MOST_TRIGGERS;
use super::read::{CODES, expression};
use super::settings::{Defaults, YEAR};
use super::step::uses;
use super::{Content, Form, Step, Trigger, TriggerOn};
use crate::expression::Language;
use crate::reader::{Reader, name_problem};
use crate::schema::words;
use crate::yaml::{Entry, Kind, Name, Node};
use crate::{Schedule, Span};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// How often a source is polled that does not say.
const POLL_EVERY: Duration = Duration::from_secs(60);
/// The longest that a poll takes that does not say.
const POLL_TIMEOUT: Duration = Duration::from_secs(600);

/// `on`: a trigger's name, a list of names, or a mapping from names to settings.
pub(super) fn triggers<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    node: &'n Node,
) -> Vec<Trigger<'n>> {
    let mut found = Vec::new();
    match &node.kind {
        Kind::String(name) => {
            let name = Name {
                text: name.clone(),
                span: node.span,
            };
            one(reader, language, &name, None, &mut found);
        }
        Kind::List(_) => {
            for name in reader.texts(node, "`on`") {
                one(reader, language, &name, None, &mut found);
            }
        }
        Kind::Map(entries) => {
            for Entry { key, value } in entries {
                one(reader, language, key, Some(value), &mut found);
            }
        }
        _ => reader.wrong_type(node, "`on`", "a trigger, or a mapping of triggers"),
    }
    unique(reader, &found);
    found
}

fn one<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    name: &Name,
    settings: Option<&'n Node>,
    found: &mut Vec<Trigger<'n>>,
) {
    let settings = settings.filter(|node| node.kind != Kind::Null);
    match (name.text.as_str(), settings) {
        ("manual", None) => {}
        ("manual", Some(node)) => {
            reader.fields(node, "`manual`", &words::MANUAL);
        }
        ("webhook", node) => found.push(webhook(reader, language, name, node)),
        ("schedule" | "source", None) => {
            let example = match name.text.as_str() {
                "schedule" => "write `schedule: {every: 1h}`, or `{cron: \"0 7 * * *\"}`",
                _ => "write `source: {uses: graph-import/new-messages, every: 1m}`",
            };
            let message = format!("`{}` says nothing of when", name.text);
            reader.invalid(name.span, message, example);
        }
        ("schedule" | "source", Some(node)) => several(reader, language, name, node, found),
        (other, _) => {
            let message = format!("there is no trigger `{other}`");
            let error = reader.error(CODES.unknown_key, name.span, message);
            reader.push(error.with_nearest(other, words::TRIGGERS.names()));
        }
    }
}

/// One mapping, or a list of mappings with ids.
fn several<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    kind: &Name,
    node: &'n Node,
    found: &mut Vec<Trigger<'n>>,
) {
    let nodes = match &node.kind {
        Kind::List(nodes) => nodes.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if nodes.is_empty() || nodes.len() > MOST_TRIGGERS {
        let message = format!("`{}` has from 1 to {MOST_TRIGGERS} elements", kind.text);
        reader.invalid(node.span, message, "");
        return;
    }
    for node in nodes {
        let read = match kind.text.as_str() {
            "schedule" => schedule(reader, language, node),
            _ => source(reader, language, node),
        };
        let Some((id, mut trigger)) = read else {
            continue;
        };
        if id.is_none() && nodes.len() > 1 {
            reader.missing(
                Span::at(node.span.start),
                &format!("each `{}` of several", kind.text),
                "id",
            );
        }
        trigger.id = id.unwrap_or(Name {
            text: kind.text.clone(),
            span: node.span,
        });
        found.push(trigger);
    }
}

fn webhook<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    name: &Name,
    node: Option<&'n Node>,
) -> Trigger<'n> {
    let fields = node.map(|node| reader.fields(node, "`webhook`", &words::WEBHOOK));
    if let Some(node) = fields.and_then(|fields| fields.get("description")) {
        reader.text(node, "`description`");
    }
    let inputs = fields.and_then(|fields| fields.get("inputs"));
    Trigger {
        id: name.clone(),
        on: TriggerOn::Webhook,
        inputs: inputs.map(|node| inputs_of(reader, language, node)),
        span: name.span,
    }
}

type Read<'n> = Option<(Option<Name>, Trigger<'n>)>;

fn schedule<'n>(reader: &mut Reader<'_>, language: &Language, node: &'n Node) -> Read<'n> {
    let Kind::Map(_) = node.kind else {
        reader.wrong_type(node, "`schedule`", "a mapping");
        return None;
    };
    let fields = reader.fields(node, "`schedule`", &words::SCHEDULE);
    let id = fields.get("id").and_then(|node| id(reader, node));
    if let Some(node) = fields.get("description") {
        reader.text(node, "`description`");
    }
    let cron = fields.get("cron");
    let time_zone = fields.get("time-zone");
    let every = fields.entry("every");
    let when = match (cron, every) {
        (Some(cron), None) => {
            let cron = reader.text(cron, "`cron`");
            let zone = time_zone.map(|node| reader.text(node, "`time-zone`"));
            match (cron, zone) {
                (Some(cron), None) => Some(When::Cron(cron, None)),
                (Some(cron), Some(Some(zone))) => Some(When::Cron(cron, Some(zone))),
                _ => None,
            }
        }
        (None, Some(every)) => {
            if let Some(zone) = fields.entry("time-zone") {
                let help = "write `cron` for times of the day, or remove it";
                let message = "`time-zone` means nothing with `every`";
                reader.invalid(zone.key.span, message, help);
            }
            let time = reader.duration(&every.value, "`every`", SECOND, YEAR);
            time.map(When::Every)
        }
        (Some(_), Some(every)) => {
            let message = "a schedule has `cron` or `every`, not both";
            reader.invalid(every.key.span, message, "remove one of them");
            None
        }
        (None, None) => {
            let help = "write `every: 1h`, or `cron: \"0 7 * * *\"`";
            reader.invalid(node.span, "this schedule says nothing of when", help);
            None
        }
    };
    let inputs = fields.get("inputs");
    let inputs = inputs.map(|node| inputs_of(reader, language, node));
    let schedule = match when? {
        When::Every(time) => Schedule::Every(time),
        When::Cron(cron, zone) => timed(reader, cron, zone),
    };
    let trigger = Trigger {
        id: Name {
            text: String::new(),
            span: node.span,
        },
        on: TriggerOn::Schedule(schedule),
        inputs,
        span: Span::at(node.span.start),
    };
    Some((id, trigger))
}

enum When {
    Cron(Name, Option<Name>),
    Every(Duration),
}

/// Reads the fields of a schedule by the clock; UTC where it names no time zone.
fn timed(reader: &mut Reader<'_>, cron: Name, zone: Option<Name>) -> Schedule {
    let (zone, zone_span) = match zone {
        Some(zone) => (zone.text, zone.span),
        None => ("UTC".to_owned(), cron.span),
    };
    let schedule = Schedule::Cron {
        cron: cron.text,
        time_zone: zone,
    };
    if let Err(error) = crate::Timetable::new(&schedule) {
        let (span, help) = match &error {
            crate::InvalidSchedule::TimeZone(_) => (
                zone_span,
                "write the name that IANA has, as in `Europe/Berlin`",
            ),
            _ => (
                cron.span,
                "the five fields are minute, hour, day of the month, month and day of the week: \
                 `30 7 * * 1-5`",
            ),
        };
        reader.invalid(span, error.to_string(), help);
    }
    schedule
}

fn source<'n>(reader: &mut Reader<'_>, language: &Language, node: &'n Node) -> Read<'n> {
    let Kind::Map(_) = node.kind else {
        reader.wrong_type(node, "`source`", "a mapping");
        return None;
    };
    let fields = reader.fields(node, "`source`", &words::SOURCE);
    let id = fields.get("id").and_then(|node| id(reader, node));
    if let Some(node) = fields.get("description") {
        reader.text(node, "`description`");
    }
    let start = Span::at(node.span.start);
    let uses = match fields.get("uses") {
        Some(node) => uses(reader, node),
        None => {
            reader.missing(start, "`source`", "uses");
            None
        }
    };
    let span = uses
        .as_ref()
        .map_or(start, |(plugin, action)| plugin.span.to(action.span));
    let with = match fields.get("with").map(|node| (node, &node.kind)) {
        Some((node, Kind::Map(entries))) => Content {
            form: Form::Object(object(reader, language, entries, false)),
            span: node.span,
        },
        Some((node, kind)) if *kind != Kind::Null => {
            reader.wrong_type(node, "`with`", "a mapping");
            Content {
                form: Form::Broken,
                span: node.span,
            }
        }
        _ => Content::empty(span),
    };
    let act_as = fields.get("as");
    let act_as = act_as.map(|node| content(reader, language, node, false));
    for (what, content) in [("with", Some(&with)), ("as", act_as.as_ref())] {
        let Some(content) = content else { continue };
        let mut has_expression = false;
        content.each_expression(&mut |_| has_expression = true);
        if has_expression {
            let message = format!("`{what}` of a source has an expression");
            let help = "write it out: there is nothing yet that an expression could see";
            reader.invalid(content.span, message, help);
        }
    }
    let connection = fields.get("connection");
    let connection = connection.and_then(|node| reader.text(node, "`connection`"));
    let mut time = |key: &str, least, most| {
        let node = fields.get(key)?;
        reader.duration(node, &format!("`{key}`"), least, most)
    };
    let every = time("every", SECOND, DAY).unwrap_or(POLL_EVERY);
    let timeout = time("timeout", SECOND, DAY).unwrap_or(POLL_TIMEOUT);
    let condition = fields.get("if");
    let condition = condition.map(|node| expression(reader, language, node, "`if`"));
    let inputs = fields.get("inputs");
    let inputs = inputs.map(|node| inputs_of(reader, language, node));
    let defaults = Defaults::default();
    let name = Name {
        text: String::new(),
        span: node.span,
    };
    // What is checked of it is what is checked of a step that calls the action.
    let step = Step {
        id: name.clone(),
        uses,
        with,
        connection,
        act_as,
        condition,
        for_each: None,
        max_parallel: 1,
        timeout,
        retry: defaults.retry,
        on_sign_in_needed: defaults.on_sign_in_needed,
        continue_on_error: false,
        span,
    };
    let trigger = Trigger {
        id: name,
        on: TriggerOn::Source(Box::new(step), every),
        inputs,
        span: start,
    };
    Some((id, trigger))
}

fn id(reader: &mut Reader<'_>, node: &Node) -> Option<Name> {
    let id = reader.text(node, "`id`")?;
    if let Some(problem) = name_problem(&id.text) {
        let error = format!("`{}` cannot be an id", id.text);
        let error = reader.error("workflow/invalid-id", id.span, error);
        reader.push(error.with_help(problem));
    }
    Some(id)
}

fn inputs_of<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    node: &'n Node,
) -> Vec<(Name, Content<'n>)> {
    let entries = reader.entries(node, "`inputs`");
    object(reader, language, entries, false)
}

/// Reports ids that stand twice.
fn unique(reader: &mut Reader<'_>, triggers: &[Trigger<'_>]) {
    for (at, trigger) in triggers.iter().enumerate() {
        let before = triggers.get(..at).unwrap_or_default();
        if let Some(first) = before.iter().find(|one| one.id.text == trigger.id.text) {
            let message = format!("the id `{}` stands twice", trigger.id.text);
            let error = reader.error("workflow/duplicate-id", trigger.id.span, message);
            reader.push(error.with_label(first.id.span, "the first one"));
        }
    }
}
