//! Which headers a plugin may set, and which of an answer it may see.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::gate::GateError;

/// The most headers of one request.
const MAX_HEADERS: usize = 64;
/// The most bytes of all their names and values.
const MAX_BYTES: usize = 32 * 1024;

/// Headers that are the host's, or that change how the message or the request is read
/// (RFC 9110 section 7.6.1, RFC 9112 section 6; the method overrides are OData's and its kin's).
/// Accept-Encoding would have answers come in a coding that hides from the host what is in them.
const HOSTS_OWN: [&str; 28] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

/// Beginnings of further ones.
const HOSTS_OWN_PREFIXES: [&str; 3] = ["proxy-", "x-forwarded-", "sec-"];

/// Headers of an answer that are not for plugins: credentials, and what concerns one connection.
const HIDDEN: [&str; 13] = [
    "alt-svc",
    "authentication-info",
    "clear-site-data",
    "connection",
    "keep-alive",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "www-authenticate",
];

/// What of a plugin's headers follows a redirect to another origin; the rest might hold a key.
const TRAVEL: [&str; 6] = [
    "accept",
    "accept-language",
    "if-modified-since",
    "if-none-match",
    "prefer",
    "range",
];

/// Checks a plugin's headers.
///
/// # Errors
/// [`GateError::Denied`] for one of the host's own, [`GateError::Invalid`] for one that is no header.
/// Neither holds a value.
pub(crate) fn check(headers: &[(String, String)]) -> Result<HeaderMap, GateError> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_BYTES {
        return Err(GateError::Invalid(format!(
            "more than {MAX_HEADERS} headers, or more than {MAX_BYTES} bytes of them"
        )));
    }
    let mut checked = HeaderMap::with_capacity(headers.len() + 2);
    for (at, (name, value)) in headers.iter().enumerate() {
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            GateError::Invalid(format!("the name of header {} is not valid", at + 1))
        })?;
        if HOSTS_OWN.contains(&parsed.as_str())
            || HOSTS_OWN_PREFIXES
                .iter()
                .any(|prefix| parsed.as_str().starts_with(prefix))
        {
            return Err(GateError::Denied {
                what: format!("the header {parsed}"),
                remedy: "it is the host's own to set: leave it out of the request".to_owned(),
            });
        }
        let value = HeaderValue::from_str(value).map_err(|_| {
            GateError::Invalid(format!("the value of header {parsed} is not valid"))
        })?;
        checked.append(parsed, value);
    }
    Ok(checked)
}

/// What a plugin may see of an answer's headers, names in lower case.
pub(crate) fn visible(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| {
            !HIDDEN.contains(&name.as_str()) && !name.as_str().starts_with("proxy-")
        })
        .map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect()
}

/// What may go along to another origin.
pub(crate) fn travelling(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| TRAVEL.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Result<HeaderMap, GateError> {
        check(&[(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn the_hosts_own_are_denied_in_any_case() {
        for name in
            HOSTS_OWN
                .iter()
                .copied()
                .chain(["Proxy-Foo", "X-Forwarded-For", "Sec-Fetch-Site"])
        {
            for name in [name.to_owned(), name.to_ascii_uppercase()] {
                let error = one(&name, "canary").unwrap_err();
                assert!(matches!(error, GateError::Denied { .. }), "{name}: {error}");
                assert!(!error.to_string().contains("canary"), "{error}");
            }
        }
    }

    #[test]
    fn smuggling_is_not_well_formed() {
        for (name, value) in [
            ("x", "a\r\nAuthorization: Bearer x"),
            ("x", "a\nb"),
            ("x", "a\rb"),
            ("x", "a\0b"),
            ("x\r\nHost", "a"),
            ("Authorization ", "a"),
            (" authorization", "a"),
            ("authorization:", "a"),
            ("", "a"),
            ("x y", "a"),
            ("authorizatioń", "a"),
        ] {
            let found = one(name, value);
            assert!(
                matches!(found, Err(GateError::Invalid(_))),
                "{name:?}: {found:?}"
            );
        }
    }

    #[test]
    fn others_pass_in_order() {
        let headers = [
            ("Prefer", "a"),
            ("prefer", "b"),
            ("Content-Type", "text/plain"),
        ];
        let checked =
            check(&headers.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
        let prefer: Vec<_> = checked.get_all("prefer").iter().collect();
        assert_eq!(prefer, ["a", "b"]);
        assert_eq!(checked["content-type"], "text/plain");
        let many = vec![("a".to_owned(), String::new()); MAX_HEADERS + 1];
        assert!(matches!(check(&many), Err(GateError::Invalid(_))));
    }

    #[test]
    fn credentials_in_answers_are_hidden() {
        let mut headers = HeaderMap::new();
        for name in [
            "set-cookie",
            "www-authenticate",
            "proxy-authenticate",
            "etag",
            "retry-after",
        ] {
            headers.insert(name, HeaderValue::from_static("v"));
        }
        let mut names: Vec<_> = visible(&headers)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        names.sort();
        assert_eq!(names, ["etag", "retry-after"]);
    }
}
