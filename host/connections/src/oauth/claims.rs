//! Claims challenges: a resource does not take a token until its account has signed in as a policy
//! wants it, and says so in a form that the sign-in service understands (Entra: claims-challenge.md).
//!
//! Graph sends them to clients that say that they know them, by the capability `cp1`; their tokens
//! then live for up to a day, and are ended at once when an administrator ends a session
//! (Entra: concept-continuous-access-evaluation.md).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The longest challenge that is passed on, in bytes of its JSON.
const MOST: usize = 4096;

/// What the next token must be asked for with: the JSON of a `claims` parameter.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Claims(Box<str>);

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims(…)")
    }
}

impl Claims {
    /// Claims, where the text is a JSON object of a usual size.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_one = text.len() <= MOST && serde_json::from_str::<Map<String, Value>>(text).is_ok();
        is_one.then(|| Self(text.into()))
    }

    /// The challenge of a 401, if it is one: `error="insufficient_claims", claims="…"` with the
    /// claims in base64.
    pub(crate) fn of_challenge(headers: &HeaderMap) -> Option<Self> {
        headers.get_all(WWW_AUTHENTICATE).iter().find_map(|header| {
            let text = header.to_str().ok()?;
            let (_, parameters) = text
                .split_once(' ')
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))?;
            if value(parameters, "error")? != "insufficient_claims" {
                return None;
            }
            let encoded = value(parameters, "claims")?;
            // Either alphabet is seen, with padding and without.
            let plain = encoded
                .trim_end_matches('=')
                .replace('-', "+")
                .replace('_', "/");
            let decoded = STANDARD_NO_PAD.decode(plain).ok()?;
            Self::parse(std::str::from_utf8(&decoded).ok()?)
        })
    }
}

/// A parameter of a challenge (RFC 9110 section 11.2); Microsoft quotes all of them.
fn value<'t>(parameters: &'t str, name: &str) -> Option<&'t str> {
    let mut rest = parameters;
    loop {
        let (key, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        if key.trim_matches([',', ' ']).eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after;
    }
}

/// The `claims` parameter: that challenges are understood, and what one asks for.
pub(super) fn parameter(challenge: Option<&Claims>) -> String {
    let mut all = challenge
        .and_then(|claims| serde_json::from_str::<Map<String, Value>>(&claims.0).ok())
        .unwrap_or_default();
    let token = all.entry("access_token").or_insert_with(|| json!({}));
    if !token.is_object() {
        *token = json!({});
    }
    token["xms_cc"] = json!({"values": ["cp1"]});
    Value::Object(all).to_string()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(header: &str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(header).unwrap());
        let found = Claims::of_challenge(&headers);
        let found = found.as_ref().map(|claims| claims.0.as_ref());
        assert_eq!(found, expected, "{header}");
    }

    #[test]
    fn challenges_are_told_from_other_refusals() {
        let claims = r#"{"access_token":{"nbf":{"essential":true, "value":"1604106651"}}}"#;
        let encoded = base64::engine::general_purpose::STANDARD.encode(claims);
        let of = |error: &str, claims: &str| {
            format!(
                r#"Bearer realm="", authorization_uri="https://login.test/a", error="{error}", claims="{claims}""#
            )
        };
        check(&of("insufficient_claims", &encoded), Some(claims));
        let safe = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
        check(&of("insufficient_claims", &safe), Some(claims));
        check(&of("invalid_token", &encoded), None);
        check(&of("insufficient_claims", "%%%"), None);
        check(&of("insufficient_claims", "W10="), None);
        let long = STANDARD_NO_PAD.encode(format!("{{\"a\":\"{}\"}}", "x".repeat(MOST)));
        check(&of("insufficient_claims", &long), None);
        check("Bearer", None);
        check("Bearer error=\"insufficient_claims", None);
        check("", None);
    }

    #[test]
    fn what_is_asked_for_goes_beside_what_is_understood() {
        assert_eq!(
            parameter(None),
            r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#
        );
        let challenge = Claims::parse(r#"{"access_token":{"nbf":{"value":"1"}},"id_token":{}}"#);
        let both: Value = serde_json::from_str(&parameter(challenge.as_ref())).unwrap();
        assert_eq!(both["access_token"]["nbf"]["value"], "1");
        assert_eq!(both["access_token"]["xms_cc"]["values"][0], "cp1");
        assert!(both["id_token"].is_object());
    }
}
