//! A workflow's file, top level.

use std::collections::BTreeMap;
use std::time::Duration;

use super::content::{content, object};
use super::limits::LONGEST_WORKFLOW_NAME;
use super::settings::{self, Defaults, YEAR};
use super::trigger::triggers;
use super::{Content, Form, Workflow, step};
use crate::expression::Language;
use crate::inputs::described;
use crate::reader::{Codes, Reader, name_problem};
use crate::schema::words;
use crate::yaml::{Entry, Kind, Name, Node};
use crate::{InputSpec, InputType};

pub(crate) const CODES: Codes = Codes {
    unknown_key: "workflow/unknown-key",
    missing_key: "workflow/missing-key",
    wrong_type: "workflow/wrong-type",
    value: "workflow/value",
    unsupported: "workflow/unsupported",
};

/// Reads a workflow. `None` where it is no mapping at all; the reader has the problems.
pub(crate) fn read<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    root: &'n Node,
) -> Option<Workflow<'n>> {
    reader.codes = CODES;
    if !matches!(root.kind, Kind::Map(_)) {
        reader.wrong_type(root, "a workflow", "a mapping");
        return None;
    }
    let fields = reader.fields(root, "a workflow", &words::WORKFLOW);
    let name = match fields.get("workflow") {
        Some(node) => workflow_name(reader, node),
        None => {
            reader.missing(crate::Span::at(root.span.start), "a workflow", "workflow");
            None
        }
    };
    if let Some(node) = fields.get("description") {
        reader.text(node, "`description`");
    }
    let triggers = fields
        .get("on")
        .map(|node| triggers(reader, language, node))
        .unwrap_or_default();
    let inputs = fields
        .get("inputs")
        .map(|node| inputs(reader, node))
        .unwrap_or_default();
    let connections = fields
        .get("connections")
        .map(|node| connections(reader, node));
    let timeout = fields.get("timeout");
    let timeout =
        timeout.and_then(|node| reader.duration(node, "`timeout`", Duration::from_secs(1), YEAR));
    let concurrency = fields.get("concurrency");
    let concurrency = concurrency.and_then(|node| settings::concurrency(reader, language, node));
    let mut defaults = Defaults::default();
    if let Some(node) = fields.get("retry") {
        defaults.retry = settings::retry(reader, node, &defaults.retry);
    }
    if let Some(entry) = fields.entry("on-sign-in-needed") {
        defaults.on_sign_in_needed = settings::on_sign_in_needed(reader, entry);
    }
    let steps = match fields.get("steps") {
        Some(node) => step::steps(reader, language, node, ("steps", "step"), &defaults),
        None => {
            reader.missing(crate::Span::at(root.span.start), "a workflow", "steps");
            Vec::new()
        }
    };
    let on_error = fields.get("on-error").map(|node| {
        let words = ("on-error", "on-error");
        step::steps(reader, language, node, words, &defaults)
    });
    let on_error = on_error.unwrap_or_default();
    step::unique(reader, steps.iter().chain(&on_error));
    let outputs = match fields.get("outputs") {
        Some(node) => {
            let entries = reader.entries(node, "`outputs`");
            object(reader, language, entries, false)
        }
        None => Vec::new(),
    };
    Some(Workflow {
        name: name.unwrap_or(Name {
            text: String::new(),
            span: root.span,
        }),
        triggers,
        inputs,
        connections: connections.unwrap_or_default(),
        steps,
        on_error,
        timeout,
        concurrency,
        outputs,
    })
}

fn workflow_name(reader: &mut Reader<'_>, node: &Node) -> Option<Name> {
    let name = reader.text(node, "`workflow`")?;
    if name.text.chars().count() > LONGEST_WORKFLOW_NAME || name.text.contains(char::is_control) {
        let help = format!("a name is one line of at most {LONGEST_WORKFLOW_NAME} characters");
        reader.invalid(name.span, "this cannot be a workflow's name", &help);
    }
    Some(name)
}

fn inputs(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, InputSpec> {
    let mut inputs = BTreeMap::new();
    for Entry { key, value } in reader.entries(node, "`inputs`") {
        if let Some(problem) = name_problem(&key.text) {
            let message = format!("`{}` cannot be an input's name", key.text);
            reader.invalid(key.span, message, problem);
        }
        inputs.insert(key.text.clone(), input(reader, &key.text, value));
    }
    inputs
}

fn input(reader: &mut Reader<'_>, name: &str, node: &Node) -> InputSpec {
    let mut spec = InputSpec {
        kind: InputType::String,
        description: None,
        required: false,
        default: None,
    };
    match &node.kind {
        Kind::String(text) => {
            let name = Name {
                text: text.clone(),
                span: node.span,
            };
            spec.kind = input_type(reader, &name);
            return spec;
        }
        Kind::Null => return spec,
        _ => {}
    }
    let fields = reader.fields(node, &format!("the input `{name}`"), &words::INPUT);
    if let Some(kind) = fields
        .get("type")
        .and_then(|node| reader.text(node, "`type`"))
    {
        spec.kind = input_type(reader, &kind);
    }
    let description = fields.get("description");
    spec.description = description
        .and_then(|node| reader.text(node, "`description`"))
        .map(|description| description.text);
    if let Some(required) = fields
        .get("required")
        .and_then(|n| reader.boolean(n, "`required`"))
    {
        spec.required = required;
    }
    if let Some(entry) = fields.entry("default") {
        default(reader, name, &mut spec, entry);
    }
    spec
}

fn input_type(reader: &mut Reader<'_>, name: &Name) -> InputType {
    if let Some((_, kind)) = InputType::ALL.iter().find(|(word, _)| *word == name.text) {
        return *kind;
    }
    let message = format!("there is no type `{}`", name.text);
    let error = reader.error(CODES.value, name.span, message);
    reader.push(error.with_nearest(&name.text, words::input_types()));
    InputType::String
}

fn default(reader: &mut Reader<'_>, name: &str, spec: &mut InputSpec, entry: &Entry) {
    let node = &entry.value;
    let value = node.to_json();
    if value.to_string().contains("${{") {
        let help = "a default is plain data; compute what you need where you use the input";
        let message = format!("the default of `{name}` has an expression");
        reader.invalid(node.span, message, help);
        return;
    }
    if spec.required {
        let message = format!("the input `{name}` is required, so that its default is never used");
        reader.invalid(entry.key.span, message, "remove `required` or `default`");
    }
    if spec.kind.admits(&value) {
        spec.default = Some(value);
    } else if !value.is_null() {
        let (wanted, found) = (spec.kind.with_article(), described(&value));
        let message = format!("the default of `{name}` must be {wanted}, not {found}");
        reader.push(reader.error(CODES.wrong_type, node.span, message));
    }
}

fn connections(reader: &mut Reader<'_>, node: &Node) -> Vec<(Name, Name)> {
    let mut connections = Vec::new();
    for Entry { key, value } in reader.entries(node, "`connections`") {
        if let Some(name) = reader.text(value, &format!("the connection for `{}`", key.text)) {
            connections.push((key.clone(), name));
        }
    }
    connections
}

/// A value that is one whole expression, or a literal of the right kind.
pub(super) fn expression<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    node: &'n Node,
    what: &str,
) -> Content<'n> {
    let read = content(reader, language, node, false);
    let is_bare_text = match &read.form {
        Form::Scalar(value) => value.is_string(),
        Form::Text(_) => true,
        _ => false,
    };
    if is_bare_text {
        let message = format!("{what} must be one whole expression");
        reader.invalid(node.span, message, "put all of it in ${{ … }}");
        return Content {
            form: Form::Broken,
            span: node.span,
        };
    }
    read
}
