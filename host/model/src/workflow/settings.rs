//! Settings that a workflow gives for all its steps and a step for itself, and those of whole runs.

use std::time::Duration;

use super::Content;
use super::content::content;
use super::limits::{MOST_ATTEMPTS, MOST_RUNS, never_retried};
use crate::expression::Language;
use crate::reader::Reader;
use crate::schema::words;
use crate::yaml::{Entry, Kind, Name, Node};
use crate::{FailureClass, OnSignInNeeded, Retry, Span};

const DAY: Duration = Duration::from_secs(86_400);
/// The longest that anything is waited for.
pub(super) const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// What steps have that say nothing themselves.
#[derive(Default)]
pub(super) struct Defaults {
    pub(super) retry: Retry,
    pub(super) on_sign_in_needed: WhenSignInNeeded,
}

/// `on-sign-in-needed`, and where it stands.
#[derive(Clone, Default)]
pub(crate) struct WhenSignInNeeded {
    pub(crate) does: OnSignInNeeded,
    pub(crate) span: Option<Span>,
}

/// `concurrency` as it is written.
pub(crate) struct Together<'n> {
    pub(crate) group: Option<Content<'n>>,
    pub(crate) max: u32,
}

/// `retry`; what it leaves out is as in `default`.
pub(super) fn retry(reader: &mut Reader<'_>, node: &Node, default: &Retry) -> Retry {
    let fields = reader.fields(node, "`retry`", &words::RETRY);
    let mut retry = default.clone();
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
    if let Some(node) = fields.get("on") {
        let names = reader.texts(node, "`on`");
        retry.on = Some(
            names
                .iter()
                .filter_map(|name| class(reader, name))
                .collect(),
        );
    }
    retry
}

fn class(reader: &mut Reader<'_>, name: &Name) -> Option<FailureClass> {
    let found = FailureClass::ALL
        .iter()
        .find(|(word, _)| *word == name.text);
    let Some((_, class)) = found else {
        let message = format!("there is no class of failures `{}`", name.text);
        let error = reader.error(reader.codes.value, name.span, message);
        let words = FailureClass::ALL.iter().map(|(word, _)| *word);
        reader.push(error.with_nearest(&name.text, words));
        return None;
    };
    if let Some(why) = never_retried(*class) {
        let message = format!("`{}` is never tried again", name.text);
        reader.invalid(name.span, message, why);
        return None;
    }
    Some(*class)
}

/// `wait`, `fallback` or `fail`, or how long to wait: `{wait: 3d}`, `{fallback: 3d}`.
pub(super) fn on_sign_in_needed(reader: &mut Reader<'_>, entry: &Entry) -> WhenSignInNeeded {
    const WORDS: [&str; 3] = ["wait", "fallback", "fail"];
    let node = &entry.value;
    let does = match &node.kind {
        Kind::String(word) if WORDS.contains(&word.as_str()) => match word.as_str() {
            "fallback" => OnSignInNeeded::Fallback(OnSignInNeeded::DEFAULT_WAIT),
            "fail" => OnSignInNeeded::Fail,
            _ => OnSignInNeeded::default(),
        },
        Kind::String(word) => {
            let message = format!("`on-sign-in-needed` cannot be `{word}`");
            let error = reader.error(reader.codes.value, node.span, message);
            reader.push(error.with_nearest(word, WORDS));
            OnSignInNeeded::default()
        }
        Kind::Map(entries) if entries.len() == 1 => {
            let fields = reader.fields(node, "`on-sign-in-needed`", &words::ON_SIGN_IN_NEEDED);
            let mut time = |key: &str| {
                let node = fields.get(key)?;
                reader.duration(node, &format!("`{key}`"), Duration::from_secs(1), YEAR)
            };
            match (time("wait"), time("fallback")) {
                (Some(time), _) => OnSignInNeeded::Wait(time),
                (None, Some(time)) => OnSignInNeeded::Fallback(time),
                (None, None) => OnSignInNeeded::default(),
            }
        }
        _ => {
            let help = "write `wait`, `fallback` or `fail`, or how long to wait: `{wait: 3d}`";
            reader.invalid(node.span, "`on-sign-in-needed` is one of three words", help);
            OnSignInNeeded::default()
        }
    };
    WhenSignInNeeded {
        does,
        span: Some(node.span),
    }
}

/// `concurrency`: a number, or `{group: …, max: …}`.
pub(super) fn concurrency<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    node: &'n Node,
) -> Option<Together<'n>> {
    if let Kind::Number(_) = node.kind {
        let max = reader.whole(node, "`concurrency`", 1, MOST_RUNS)?;
        return Some(Together { group: None, max });
    }
    let fields = reader.fields(node, "`concurrency`", &words::CONCURRENCY);
    if !matches!(node.kind, Kind::Map(_)) {
        return None;
    }
    let group = fields.get("group");
    let max = match fields.get("max") {
        Some(node) => reader.whole(node, "`max`", 1, MOST_RUNS)?,
        None => 1,
    };
    Some(Together {
        group: group.map(|node| content(reader, language, node, false)),
        max,
    })
}
