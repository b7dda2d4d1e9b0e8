//! One case: what a plugin tries, and how the host must answer.

use docket_model::{Failure, FailureClass, StepResult};
use serde_json::Value;

/// What a plugin tries, and how the host must answer.
pub struct Case {
    /// A short name.
    pub name: &'static str,
    /// What the plugin tries, in a few words.
    pub tries: &'static str,
    /// How it tries.
    pub attack: Attack,
    /// How the host must answer.
    pub expect: Expect,
}

/// How a plugin tries it.
pub enum Attack {
    /// A component that is added.
    Add(Vec<u8>),
    /// The first action of a component that is added for it.
    Guest(Vec<u8>),
    /// An action of the probe with a connection and an input. `{audience}`, `{files}`, `{granted}`,
    /// `{evil}`, `{port}` and `{graph}` in the input stand for what only the run knows.
    Probe(&'static str, &'static str, Value),
}

/// How the host must answer.
pub enum Expect {
    /// The component is not taken; the message holds this.
    NotTaken(&'static str),
    /// The attempt fails with this class and code, and a message that holds this.
    Fails(FailureClass, &'static str, &'static str),
    /// The guest broke: it trapped or misused the interface, and the message holds this.
    Breaks(&'static str),
    /// Every request is refused, each for one of these reasons: `denied`, or a part of the words.
    Refused(&'static [&'static str]),
    /// The requests are answered so, one by one. With `!` in front, it must not be in the answer.
    Answers(&'static [&'static str]),
    /// The output holds this, and does no harm.
    Returns(&'static str),
    /// The log ends with a line that holds this.
    Logs(&'static str),
}

impl Expect {
    /// Judges the end of an attempt: how it was denied, or what went wrong.
    ///
    /// # Errors
    /// What is not as it must be.
    pub(crate) fn judge(&self, result: &StepResult, log: &[String]) -> Result<String, String> {
        match (self, result) {
            (Self::Fails(class, code, part), StepResult::Failed { failure, .. }) => {
                let is_it = failure.class == *class && failure.code == *code;
                named(failure, is_it && failure.message.contains(part))
            }
            (Self::Breaks(part), StepResult::Failed { failure, .. }) => {
                let is_it = failure.class == FailureClass::Crashed;
                named(failure, is_it && failure.message.contains(part))
            }
            (Self::Refused(parts), StepResult::Done(output)) => {
                let answers = answers(&output.value);
                let is_refused = |answer: &String| {
                    !answer.starts_with("status") && parts.iter().any(|part| answer.contains(part))
                };
                match answers.iter().find(|answer| !is_refused(answer)) {
                    Some(other) => Err(format!("not refused as it must be: {other}")),
                    None => answers
                        .into_iter()
                        .next()
                        .ok_or("no request was made".to_owned()),
                }
            }
            (Self::Answers(parts), StepResult::Done(output)) => {
                let answers = answers(&output.value);
                let fits = |(answer, part): (&String, &&str)| match part.strip_prefix('!') {
                    Some(part) => !answer.contains(part),
                    None => answer.contains(*part),
                };
                if answers.len() == parts.len() && answers.iter().zip(*parts).all(fits) {
                    return answers.into_iter().next_back().ok_or_else(String::new);
                }
                Err(format!("answered {answers:?}"))
            }
            (Self::Returns(part), StepResult::Done(output)) => {
                let text = output.value.to_string();
                if text.contains(part) {
                    return Ok(format!("harmless: {text}"));
                }
                Err(format!("it returned {text}"))
            }
            (Self::Logs(part), StepResult::Done(_)) => match log.last() {
                Some(line) if line.contains(part) => Ok(line.clone()),
                other => Err(format!("the log ends with {other:?}")),
            },
            (_, other) => Err(format!("it ended with {other:?}")),
        }
    }
}

/// The failure in words, if it is the one that must be, and says what to do.
fn named(failure: &Failure, is_it: bool) -> Result<String, String> {
    // A guest's own failure says what its author thought of.
    let is_hosts = matches!(
        failure.class,
        FailureClass::Crashed | FailureClass::LimitExceeded
    );
    if is_it && (failure.remedy.is_some() || !is_hosts) {
        return Ok(format!("{}: {}", failure.code, failure.message));
    }
    Err(format!("it failed with {failure:?}"))
}

/// What the probe saw of each request.
fn answers(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items
        .map(|item| match item["error"].as_str() {
            Some(error) => format!("{}: {error}", item["kind"].as_str().unwrap_or_default()),
            None => format!(
                "status {} {} {}",
                item["status"],
                item["text"].as_str().unwrap_or_default(),
                item["headers"]
            ),
        })
        .collect()
}
