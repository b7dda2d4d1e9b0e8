//! Stamps a document's name and digest into a register, so that anybody can show later which document
//! it was.
//!
//! Every entry carries the step's idempotency key. Before an entry is made, and whenever a reply was
//! lost, the register is asked for that key: so a document is stamped once, however often requests
//! break.

use std::time::Duration;

use docket_plugin_sdk::{
    Action, Call, DocumentRef, Failure, HttpError, Manifest, Output, Plugin, Problem, Response,
    document_schema, export_plugin,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// How often an entry is sent in one attempt, each time after a look.
const TRIES: u32 = 3;

/// The plugin.
pub struct Register;

#[derive(Deserialize)]
struct Input {
    document: DocumentRef,
    #[serde(default)]
    note: Option<String>,
}

impl Plugin for Register {
    fn manifest() -> Manifest {
        let output = json!({
            "type": "object",
            "properties": {
                "number": {"type": "integer", "description": "The entry's number."},
                "digest": {"type": "string"},
                "new": {"type": "boolean", "description": "Whether this attempt made the entry."}
            },
            "required": ["number", "digest", "new"]
        });
        let stamp = Action::new("stamp", "Enters a document into the register, once.")
            .input(json!({
                "type": "object",
                "properties": {
                    "document": document_schema(),
                    "note": {"type": "string", "maxLength": 200}
                },
                "required": ["document"],
                "additionalProperties": false
            }))
            .output(output)
            .request(
                "GET",
                "{register}/entries",
                "To see whether the document is in the register already.",
            )
            .request(
                "POST",
                "{register}/entries",
                "To enter the document's name and digest.",
            );
        Manifest::new(
            "document-register",
            env!("CARGO_PKG_VERSION"),
            "Keeps a register of documents by their digests.",
        )
        .action(stamp)
    }

    fn run(call: &Call) -> Result<Output, Failure> {
        match call.action() {
            "stamp" => stamp(call),
            _ => Err(call.unknown_action()),
        }
    }
}

fn stamp(call: &Call) -> Result<Output, Failure> {
    let input: Input = call.input()?;
    let about = call.document(&input.document)?.about();
    let entry = json!({
        "key": call.idempotency_key(),
        "name": about.name,
        "digest": about.digest,
        "size": about.size,
        "note": input.note,
    });
    for _ in 0..TRIES {
        if let Some(number) = look(call)? {
            return done(number, &about.digest, false);
        }
        if let Some(number) = enter(call, &entry)? {
            return done(number, &about.digest, true);
        }
    }
    Err(Failure::Unavailable(Problem::new(
        "Interrupted",
        format!("the register's replies were lost {TRIES} times"),
    )))
}

fn done(number: u64, digest: &str, is_new: bool) -> Result<Output, Failure> {
    Output::new(json!({"number": number, "digest": digest, "new": is_new}))
}

/// The number of the entry with this step's key.
fn look(call: &Call) -> Result<Option<u64>, Failure> {
    let url = format!(
        "{}/entries?key={}",
        call.endpoint("register")?,
        call.idempotency_key()
    );
    let response = call
        .request("GET", url)
        .as_account()
        .send()
        .map_err(HttpError::into_failure)?;
    let found: Value = good(response)?.json()?;
    Ok(found["entries"][0]["number"].as_u64())
}

/// Makes the entry, and gives its number; `None` where nobody knows whether it was made, which the next
/// look tells.
fn enter(call: &Call, entry: &Value) -> Result<Option<u64>, Failure> {
    let url = format!("{}/entries", call.endpoint("register")?);
    let sent = call.request("POST", url).as_account().json(entry).send();
    let response = match sent {
        Ok(response) => response,
        Err(HttpError::Interrupted(_)) => return Ok(None),
        Err(error) => return Err(error.into_failure()),
    };
    // A gateway that gave up waiting says nothing of whether the entry was made.
    if matches!(response.status, 502 | 504) {
        return Ok(None);
    }
    let made: Value = good(response)?.json()?;
    match made["number"].as_u64() {
        Some(number) => Ok(Some(number)),
        None => Err(Failure::OutcomeUnknown(Problem::new(
            "NoNumber",
            "the register took the entry and gave no number",
        ))),
    }
}

/// An answer that is a success.
fn good(response: Response) -> Result<Response, Failure> {
    let problem = |message: &str| Problem::new(format!("Http{}", response.status), message);
    match response.status {
        200..=299 => Ok(response),
        403 => Err(Failure::Denied(
            problem("the register does not let this account in")
                .remedy("ask the register's administrator for the right to make entries"),
        )),
        429 => {
            let seconds = response.header("retry-after");
            let seconds = seconds.and_then(|text| text.parse().ok());
            Err(Failure::Throttled(
                problem("the register asks to wait"),
                seconds.map(Duration::from_secs),
            ))
        }
        500.. => Err(Failure::Unavailable(problem("the register does not work"))),
        _ => Err(Failure::Permanent(problem("the register refused it"))),
    }
}

export_plugin!(Register);
