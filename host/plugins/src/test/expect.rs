//! What is to come of a case.

use std::collections::BTreeMap;

use docket_engine::Documents;
use docket_model::{Failure, FailureClass};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

use super::bench::{Bench, Performance};
use super::case::{Case, CaseError};
use super::compare::{difference, shown};
use super::script::{Sent, is_like};

/// What is to come of a case: an output or a failure, and what is sent on the way.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Expect {
    /// The whole output.
    pub output: Option<Value>,
    /// The failure.
    pub failure: Option<ExpectedFailure>,
    /// A source's cursor.
    pub cursor: Option<String>,
    /// All requests, in order. Left out, any are fine that the case answers.
    pub requests: Option<Vec<ExpectedRequest>>,
    /// Texts, each of which some line of the log holds.
    #[serde(default)]
    pub log: Vec<String>,
    /// The most fuel, wasmtime's count of instructions, that the attempt may use.
    pub fuel_at_most: Option<u64>,
    /// The most bytes of memory that it may use.
    pub memory_at_most: Option<u64>,
}

/// A failure.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExpectedFailure {
    /// What the engine acts upon.
    pub class: FailureClass,
    /// Its code.
    pub code: Option<String>,
    /// A part of its message.
    pub message: Option<String>,
    /// How long to wait, in milliseconds.
    pub after: Option<u64>,
}

/// A request: `POST https://a.example/*`, or its parts.
#[derive(Debug, Clone)]
pub struct ExpectedRequest {
    /// Method and URL, in which `*` stands for anything.
    request: String,
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    text: Option<String>,
    as_account: Option<bool>,
}

impl<'de> Deserialize<'de> for ExpectedRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        struct Parts {
            request: String,
            #[serde(default)]
            headers: BTreeMap<String, String>,
            json: Option<Value>,
            text: Option<String>,
            as_account: Option<bool>,
        }
        // One by one, so that a wrong part is named.
        let parts = match Value::deserialize(deserializer)? {
            Value::String(request) => Parts {
                request,
                headers: BTreeMap::new(),
                json: None,
                text: None,
                as_account: None,
            },
            other => serde_json::from_value(other).map_err(D::Error::custom)?,
        };
        Ok(Self {
            request: parts.request,
            headers: parts.headers,
            json: parts.json,
            text: parts.text,
            as_account: parts.as_account,
        })
    }
}

impl Expect {
    /// Whether it makes sense.
    pub(super) fn check(&self) -> Result<(), String> {
        match (&self.output, &self.failure) {
            (None, None) => {
                Err("`expect` has neither `output` nor `failure`; it must say which".to_owned())
            }
            (Some(_), Some(_)) => Err("`expect` has both `output` and `failure`".to_owned()),
            (None, Some(_)) if self.cursor.is_some() => {
                Err("a failure comes without a `cursor`".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Bench {
    /// What is not as a case expects it, in words; nothing where all is well.
    ///
    /// # Errors
    /// [`CaseError`] for a document in the expected output that cannot be read.
    pub fn judge(&self, case: &Case, performance: &Performance) -> Result<Vec<String>, CaseError> {
        let mut problems = performance.problems.clone();
        let expect = &case.expect;
        match (&expect.output, &expect.failure, &performance.result) {
            (Some(expected), _, Ok(output)) => {
                let documents: &dyn Documents = self.documents.as_ref();
                let expected = case.with_documents(expected, documents)?;
                if let Some(difference) = difference(&expected, &output.value) {
                    problems.push(format!("the output: {difference}"));
                }
                if expect.cursor.is_some() && expect.cursor != output.cursor {
                    problems.push(format!(
                        "the cursor is {:?}; {:?} is expected",
                        output.cursor, expect.cursor
                    ));
                }
            }
            (None, Some(expected), Err(failure)) => problems.extend(expected.judge(failure)),
            (Some(_), _, Err(failure)) => problems.push(format!(
                "it failed with {}: {}",
                word(failure.class),
                told(failure)
            )),
            (_, Some(expected), Ok(output)) => problems.push(format!(
                "it succeeded with {}; it is to fail with {}",
                shown(&output.value),
                word(expected.class)
            )),
            (None, None, _) => {}
        }
        if let Some(requests) = &expect.requests {
            problems.extend(judge_requests(requests, &performance.sent));
        }
        for text in &expect.log {
            if !performance.log.iter().any(|line| line.contains(text)) {
                problems.push(format!("no line of the log holds `{text}`"));
            }
        }
        let usage = &performance.usage;
        if let (Some(most), Some(fuel)) = (expect.fuel_at_most, usage.fuel)
            && fuel > most
        {
            problems.push(format!(
                "it used {fuel} of fuel; at most {most} is expected"
            ));
        }
        if let Some(most) = expect.memory_at_most
            && usage.memory as u64 > most
        {
            problems.push(format!(
                "it used {} bytes of memory; at most {most} are expected",
                usage.memory
            ));
        }
        Ok(problems)
    }
}

impl ExpectedFailure {
    fn judge(&self, failure: &Failure) -> Vec<String> {
        let mut problems = Vec::new();
        if self.class != failure.class {
            problems.push(format!(
                "it failed with {}: {}; {} is expected",
                word(failure.class),
                told(failure),
                word(self.class)
            ));
        }
        if let Some(code) = &self.code
            && *code != failure.code
        {
            problems.push(format!(
                "the failure's code is {}; {code} is expected",
                failure.code
            ));
        }
        if let Some(part) = &self.message
            && !failure.message.contains(part)
        {
            problems.push(format!(
                "the failure says `{}`, and not `{part}`",
                failure.message
            ));
        }
        let after = failure
            .retry_after
            .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        if self.after.is_some() && self.after != after {
            problems.push(format!(
                "the failure asks to wait {after:?} ms; {:?} is expected",
                self.after
            ));
        }
        problems
    }
}

fn told(failure: &Failure) -> String {
    let mut text = format!("{}: {}", failure.code, failure.message);
    for frame in failure.backtrace.iter().take(5) {
        text.push_str(&format!("\n    at {frame}"));
    }
    text
}

pub(super) fn word(class: FailureClass) -> &'static str {
    let found = FailureClass::ALL.iter().find(|(_, known)| *known == class);
    found.map_or("a failure", |(word, _)| word)
}

fn judge_requests(expected: &[ExpectedRequest], sent: &[Sent]) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, (expected, sent)) in (1..).zip(expected.iter().zip(sent)) {
        if let Some(problem) = expected.judge(sent) {
            problems.push(format!("request {number}, {}: {problem}", sent.line()));
        }
    }
    for (number, missing) in (1..).zip(expected).skip(sent.len()) {
        problems.push(format!("request {number}, {}: not sent", missing.request));
    }
    for (number, extra) in (1..).zip(sent).skip(expected.len()) {
        problems.push(format!("request {number}, {}: not expected", extra.line()));
    }
    problems
}

impl ExpectedRequest {
    fn judge(&self, sent: &Sent) -> Option<String> {
        if !is_like(&self.request, &sent.line()) {
            return Some(format!("{} is expected", self.request));
        }
        for (name, value) in &self.headers {
            match sent.header(name) {
                Some(found) if is_like(value, found) => {}
                found => {
                    return Some(format!(
                        "the header {name} is {found:?}; {value} is expected"
                    ));
                }
            }
        }
        if let Some(json) = &self.json {
            let found = serde_json::from_slice(&sent.body).unwrap_or(Value::Null);
            if let Some(difference) = difference(json, &found) {
                return Some(format!("the body: {difference}"));
            }
        }
        if let Some(text) = &self.text {
            let found = String::from_utf8_lossy(&sent.body);
            if !is_like(text, &found) {
                return Some(format!("the body is `{found}`; `{text}` is expected"));
            }
        }
        match self.as_account {
            Some(wanted) if wanted != sent.as_account => Some(if wanted {
                "it is to be sent as the account".to_owned()
            } else {
                "it is not to be sent as the account".to_owned()
            }),
            _ => None,
        }
    }
}
