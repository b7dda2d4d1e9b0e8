//! What of a request and its answer is secret, so that tests can look for it where it must not be.

use http::header::LOCATION;
use serde_json::Value;
use url::form_urlencoded;

use crate::wire::{Call, Reply};

/// The names under which requests, redirects and answers carry secrets.
const NAMES: [&str; 11] = [
    "access_token",
    "authtoken",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "device_code",
    "id_token",
    "password",
    "refresh_token",
    "secret",
];
/// The shortest; what is shorter is a word.
const SHORTEST: usize = 20;
/// No answer with a secret is as large.
const LARGEST: usize = 64 << 10;

/// The secrets that a request carries.
pub(crate) fn of_request(call: &Call) -> Vec<String> {
    let mut found = Vec::new();
    form(call.query.as_bytes(), &mut found);
    if call
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
    {
        form(&call.body, &mut found);
    }
    if let Some((_, credential)) = call.header("authorization").and_then(|v| v.split_once(' ')) {
        found.push(credential.to_owned());
    }
    found.retain(|secret| secret.len() >= SHORTEST);
    found
}

/// The secrets that an answer carries.
pub(crate) fn of_answer(reply: &Reply) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(target) = reply.headers.get(LOCATION).and_then(|v| v.to_str().ok()) {
        url(target, &mut found);
    }
    if reply.body.len() <= LARGEST
        && let Ok(value) = serde_json::from_slice(&reply.body)
    {
        json(&value, &mut found);
    }
    found.retain(|secret| secret.len() >= SHORTEST);
    found
}

/// At any depth: the answer to a batch holds other answers.
fn json(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    // The `code` of an error is none.
                    Some(text) if name != "code" && NAMES.contains(&name.as_str()) => {
                        found.push(text.to_owned());
                    }
                    Some(text) if name == "uploadUrl" => url(text, found),
                    Some(_) => {}
                    None => json(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| json(value, found)),
        _ => {}
    }
}

fn url(text: &str, found: &mut Vec<String>) {
    if let Some((_, query)) = text.split_once(['?', '#']) {
        form(query.as_bytes(), found);
    }
}

fn form(text: &[u8], found: &mut Vec<String>) {
    for (name, value) in form_urlencoded::parse(text) {
        if NAMES.contains(&name.as_ref()) {
            found.push(value.into_owned());
        }
    }
}
