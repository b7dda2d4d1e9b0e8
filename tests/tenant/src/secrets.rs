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

/// The secrets of one exchange.
pub(crate) fn of(call: &Call, reply: Option<&Reply>) -> Vec<String> {
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
    let Some(reply) = reply else { return found };
    if let Some(target) = reply.headers.get(LOCATION).and_then(|v| v.to_str().ok()) {
        url(target, &mut found);
    }
    if let Ok(Value::Object(fields)) = serde_json::from_slice(&reply.body) {
        for (name, value) in &fields {
            match value.as_str() {
                Some(text) if NAMES.contains(&name.as_str()) => found.push(text.to_owned()),
                Some(text) if name == "uploadUrl" => url(text, &mut found),
                _ => {}
            }
        }
    }
    // An error's `code` is a word, and no secret.
    found.retain(|secret| secret.len() >= 20);
    found
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
