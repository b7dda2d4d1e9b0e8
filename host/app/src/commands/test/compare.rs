//! What must be there against what is: each difference in a line or two, `-` for what was expected and
//! `+` for what was found.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use docket_model::{Event, Expected, ExpectedFailure, FailureClass, RunResult};
use docket_tenant::{Message, Recipient, TenantState};
use serde_json::{Map, Value};

use super::case::{result_word, state_of};
use crate::inputs;

/// Where a run came to.
pub(super) enum Ending {
    /// It ended.
    Over(RunResult),
    /// It waits, and this is for what.
    Waits(String),
}

/// What there is after a run.
pub(super) struct After<'a> {
    pub(super) ending: Ending,
    pub(super) events: Vec<Event>,
    pub(super) tenant: &'a TenantState,
    /// The folder that files are named from.
    pub(super) folder: &'a Path,
}

/// A mail that must be there, by the fields that matter.
type Wanted = Map<String, Value>;

/// What is not as it must be; nothing where all is well.
///
/// # Errors
/// Where an expected file cannot be read.
pub(super) fn problems(expected: &Expected, after: &After<'_>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    result(expected, after, &mut found);
    for (step, wanted) in &expected.steps {
        let state = state_of(&after.events, step);
        if state != wanted {
            found.push(format!("step {step}"));
            found.push(format!("  - {wanted}"));
            found.push(format!("  + {state}"));
        }
    }
    outputs(expected, after, &mut found);
    for (mailbox, folders) in &expected.mailboxes {
        for (folder, wanted) in folders {
            let place = format!("{mailbox} / {folder}");
            match after.tenant.messages(mailbox, Some(folder)) {
                Ok(messages) => {
                    let mut there = Vec::new();
                    for one in &messages {
                        there.push((one.message.as_ref(), None));
                    }
                    mails(&place, wanted, &there, after.folder, &mut found)?;
                }
                // A folder that is not there is empty; a mailbox that is not there is a mistake.
                Err(_) if wanted.is_empty() && after.tenant.messages(mailbox, None).is_ok() => {}
                Err(error) => found.push(format!("{place}: {error}")),
            }
        }
    }
    if let Some(wanted) = &expected.outside {
        let outside = after.tenant.outside();
        let there: Vec<_> = outside
            .iter()
            .map(|mail| (mail.message.as_ref(), Some(&mail.recipients[..])))
            .collect();
        mails("outside", wanted, &there, after.folder, &mut found)?;
    }
    Ok(found)
}

fn result(expected: &Expected, after: &After<'_>, found: &mut Vec<String>) {
    let word = result_word(&after.ending);
    let wanted = expected.result.as_str();
    if word != wanted {
        found.push("the run".to_owned());
        found.push(format!("  - {wanted}"));
        let why = match &after.ending {
            Ending::Over(RunResult::Failed { path, failure }) => {
                let at = path.as_ref().map(|path| format!(" at {path}"));
                format!("{}: {}", at.unwrap_or_default(), failure.message)
            }
            Ending::Waits(what) => format!(": {what}"),
            Ending::Over(_) => String::new(),
        };
        found.push(format!("  + {word}{why}"));
        return;
    }
    let (Some(wanted), Ending::Over(RunResult::Failed { path, failure })) =
        (&expected.failure, &after.ending)
    else {
        return;
    };
    let ExpectedFailure {
        step,
        class,
        code,
        message,
    } = wanted;
    let at = path.as_ref().map(|path| path.step.to_string());
    let mut differ = |what: &str, wanted: Option<&str>, is: &str, fits: bool| {
        if let (Some(wanted), false) = (wanted, fits) {
            found.push(format!("the failure's {what}"));
            found.push(format!("  - {wanted}"));
            found.push(format!("  + {is}"));
        }
    };
    let at = at.unwrap_or_default();
    differ("step", step.as_deref(), &at, step.as_ref() == Some(&at));
    let (word, is_of_class) = (failure.class.as_str(), *class == Some(failure.class));
    differ("class", class.map(FailureClass::as_str), word, is_of_class);
    let is_code = code.as_ref() == Some(&failure.code);
    differ("code", code.as_deref(), &failure.code, is_code);
    let holds = message
        .as_ref()
        .is_some_and(|part| failure.message.contains(part));
    differ("message", message.as_deref(), &failure.message, holds);
}

fn outputs(expected: &Expected, after: &After<'_>, found: &mut Vec<String>) {
    let Ending::Over(RunResult::Succeeded { outputs }) = &after.ending else {
        return;
    };
    for (name, wanted) in &expected.outputs {
        let is = outputs.get(name).unwrap_or(&Value::Null);
        differing(&format!("outputs.{name}"), wanted, is, found);
    }
}

/// Notes where a value is not as it must be. An object may have more fields than are named.
fn differing(place: &str, wanted: &Value, is: &Value, found: &mut Vec<String>) {
    match (wanted, is) {
        (Value::Object(wanted), Value::Object(is)) => {
            for (name, wanted) in wanted {
                let is = is.get(name).unwrap_or(&Value::Null);
                differing(&format!("{place}.{name}"), wanted, is, found);
            }
        }
        (Value::Array(wanted), Value::Array(is)) if wanted.len() == is.len() => {
            for (at, (wanted, is)) in wanted.iter().zip(is).enumerate() {
                differing(&format!("{place}[{at}]"), wanted, is, found);
            }
        }
        // 1 and 1.0 are the same number to whoever writes a test. Whole numbers beyond what a double
        // holds are compared as they are.
        (Value::Number(a), Value::Number(b))
            if (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64() => {}
        (wanted, is) if wanted == is => {}
        (wanted, is) => {
            found.push(place.to_owned());
            found.push(format!("  - {wanted}"));
            found.push(format!("  + {is}"));
        }
    }
}

/// A mail, and whom it went to where it left the tenant.
type There<'a> = (&'a Message, Option<&'a [String]>);

/// Holds the mails of a place against those that must be there, in whatever order.
fn mails(
    place: &str,
    wanted: &[Wanted],
    there: &[There<'_>],
    folder: &Path,
    found: &mut Vec<String>,
) -> Result<()> {
    let mut left: Vec<&There<'_>> = there.iter().collect();
    let mut missing = Vec::new();
    // What fits goes first, so that a mail that fits nothing else is held against what is left.
    for wanted in wanted {
        let mut fitting = None;
        for (at, mail) in left.iter().enumerate() {
            if differences(wanted, mail, folder)?.is_empty() {
                fitting = Some(at);
                break;
            }
        }
        match fitting {
            Some(at) => drop(left.remove(at)),
            None => missing.push(wanted),
        }
    }
    if missing.is_empty() && left.is_empty() {
        return Ok(());
    }
    found.push(place.to_owned());
    for wanted in missing {
        let mut nearest: Option<(usize, Vec<String>)> = None;
        for (at, mail) in left.iter().enumerate() {
            let lines = differences(wanted, mail, folder)?;
            if nearest
                .as_ref()
                .is_none_or(|(_, few)| lines.len() < few.len())
            {
                nearest = Some((at, lines));
            }
        }
        match nearest {
            Some((at, lines)) => {
                let (mail, _) = left.remove(at);
                let subject = mail.subject.as_deref().unwrap_or("no subject");
                found.push(format!("  the mail \"{subject}\""));
                found.extend(lines.into_iter().map(|line| format!("    {line}")));
            }
            None => found.push(format!("  - {}", Value::Object(wanted.clone()))),
        }
    }
    for (mail, _) in left {
        let to: Vec<&str> = mail.to.iter().map(|one| one.address.as_str()).collect();
        let subject = mail.subject.as_deref().unwrap_or("no subject");
        found.push(format!("  + a mail \"{subject}\" to {}", to.join(", ")));
    }
    Ok(())
}

/// How a mail differs from what it must be, in pairs of lines.
fn differences(wanted: &Wanted, there: &There<'_>, folder: &Path) -> Result<Vec<String>> {
    let (mail, recipients) = there;
    let mut lines = Vec::new();
    let mut differ = |field: &str, wanted: String, is: String| {
        lines.push(format!("- {field}: {wanted}"));
        lines.push(format!("+ {field}: {is}"));
    };
    for (field, wanted) in wanted {
        match field.as_str() {
            "subject" => {
                let is = mail.subject.as_deref().unwrap_or_default();
                if wanted != is {
                    differ(field, shown(wanted), is.to_owned());
                }
            }
            "from" | "sender" => {
                let of = match field.as_str() {
                    "from" => &mail.from,
                    _ => &mail.sender,
                };
                let is = of.as_ref().map_or("", |one| one.address.as_str());
                if !wanted
                    .as_str()
                    .is_some_and(|wanted| wanted.eq_ignore_ascii_case(is))
                {
                    differ(field, shown(wanted), is.to_owned());
                }
            }
            "to" | "cc" | "bcc" => {
                let of = match field.as_str() {
                    "to" => &mail.to,
                    "cc" => &mail.cc,
                    _ => &mail.bcc,
                };
                let is = match recipients {
                    // Who got it outside is what counts there, whatever its head says.
                    Some(recipients) if field == "to" => lower(recipients.iter()),
                    _ => lower(of.iter().map(|one: &Recipient| &one.address)),
                };
                let all = wanted.as_array().into_iter().flatten();
                let wanted = lower(all.filter_map(Value::as_str));
                if wanted != is {
                    differ(field, joined(&wanted), joined(&is));
                }
            }
            "contains" => {
                for part in wanted.as_array().into_iter().flatten() {
                    let part = part.as_str().unwrap_or_default();
                    if !mail.body.content.contains(part) {
                        differ(field, part.to_owned(), mail.preview());
                    }
                }
            }
            "read" | "draft" => {
                let is = match field.as_str() {
                    "read" => mail.is_read,
                    _ => mail.is_draft,
                };
                if *wanted != Value::Bool(is) {
                    differ(field, shown(wanted), is.to_string());
                }
            }
            "categories" => {
                let all = wanted.as_array().into_iter().flatten();
                let wanted: BTreeSet<String> =
                    all.filter_map(Value::as_str).map(str::to_owned).collect();
                let is: BTreeSet<String> = mail.categories.iter().cloned().collect();
                if wanted != is {
                    differ(field, joined(&wanted), joined(&is));
                }
            }
            "attachments" => attachments(wanted, mail, folder, &mut differ)?,
            _ => {}
        }
    }
    Ok(lines)
}

fn attachments(
    wanted: &Value,
    mail: &Message,
    folder: &Path,
    differ: &mut impl FnMut(&str, String, String),
) -> Result<()> {
    let wanted: Vec<&Value> = wanted.as_array().into_iter().flatten().collect();
    let name = |one: &&Value| one["name"].as_str().unwrap_or_default().to_owned();
    let mut names: Vec<String> = wanted.iter().map(name).collect();
    let mut is: Vec<String> = mail
        .attachments
        .iter()
        .map(|one| one.name.clone())
        .collect();
    names.sort_unstable();
    is.sort_unstable();
    if names != is {
        differ("attachments", names.join(", "), is.join(", "));
        return Ok(());
    }
    for one in wanted {
        let Some(file) = one["file"].as_str() else {
            continue;
        };
        let path = folder.join(file);
        let bytes = std::fs::read(&path).map_err(|error| inputs::missing(&path, &error))?;
        let name = one["name"].as_str().unwrap_or_default();
        let mut same = mail.attachments.iter().filter(|held| held.name == name);
        if !same.any(|held| held.bytes().is_some_and(|held| held[..] == bytes[..])) {
            let found = mail.attachments.iter().find(|held| held.name == name);
            let size = found.map_or(0, docket_tenant::Attachment::len);
            differ(
                name,
                format!("{} bytes of {file}", bytes.len()),
                format!("{size} bytes that differ"),
            );
        }
    }
    Ok(())
}

fn lower<T: AsRef<str>>(all: impl Iterator<Item = T>) -> BTreeSet<String> {
    all.map(|one| one.as_ref().to_lowercase()).collect()
}

fn joined(all: &BTreeSet<String>) -> String {
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    match all.is_empty() {
        true => "nobody".to_owned(),
        false => all.join(", "),
    }
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_may_have_more_and_lists_may_not() {
        let check = |wanted: Value, is: Value, expected: &[&str]| {
            let mut found = Vec::new();
            differing("o", &wanted, &is, &mut found);
            assert_eq!(found, expected, "{wanted} {is}");
        };
        check(json!({"a": 1}), json!({"a": 1.0, "b": 2}), &[]);
        check(json!([1, 2]), json!([1, 2]), &[]);
        check(json!([1]), json!([1, 2]), &["o", "  - [1]", "  + [1,2]"]);
        check(
            json!({"a": [{"b": "x"}]}),
            json!({"a": [{"b": "y"}]}),
            &["o.a[0].b", "  - \"x\"", "  + \"y\""],
        );
        check(json!({"a": null}), json!({}), &[]);
    }
}
