//! The one spelling of a URL: what a plugin wrote, made into what is really sent, or refused.
//!
//! Everything that two parsers may read in two ways is refused rather than repaired, so that the URL
//! which the policy matched and the URL which the server reads are the same.

use percent_encoding::percent_decode_str;
use url::Url;

/// The longest URL, in bytes.
const MAX_LENGTH: usize = 16 * 1024;

/// Parses and normalises an absolute URL.
///
/// # Errors
/// What is wrong with it, in words that hold no part of it beyond its host.
pub(crate) fn normalise(text: &str) -> Result<Url, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("the URL is longer than {MAX_LENGTH} bytes"));
    }
    if !text.is_ascii() {
        return Err("the URL holds characters outside ASCII; percent-encode them".to_owned());
    }
    if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err("the URL holds a space or a control character; percent-encode it".to_owned());
    }
    if text.contains('\\') {
        return Err("the URL holds a backslash".to_owned());
    }
    if text.contains('#') {
        return Err("the URL has a fragment".to_owned());
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("the URL is not absolute; write https://…".to_owned());
    };
    if !["https", "http"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return Err("the URL's scheme is not https".to_owned());
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if authority.contains('@') {
        return Err("the URL holds a user name or a password".to_owned());
    }
    let path = tail.split('?').next().unwrap_or_default();
    check_path(path)?;
    let url = Url::parse(text).map_err(|error| format!("the URL is not valid: {error}"))?;
    // A host in any other spelling than the one that is dialled (percent-encoded, a number, octal,
    // Punycode made by mapping) is a host that a reader takes for another one.
    let host = url.host_str().unwrap_or_default();
    let spelling = match (url.port(), url.port_or_known_default()) {
        (Some(port), _) => authority.eq_ignore_ascii_case(&format!("{host}:{port}")),
        (None, Some(port)) => {
            authority.eq_ignore_ascii_case(host)
                || authority.eq_ignore_ascii_case(&format!("{host}:{port}"))
        }
        (None, None) => false,
    };
    if host.is_empty() || !spelling {
        return Err("the URL's host is not written as it is sent".to_owned());
    }
    if host.ends_with('.') {
        return Err("the URL's host ends with a dot".to_owned());
    }
    let segments = url.path().split('/').skip(1);
    let count = segments.clone().count();
    if segments
        .clone()
        .enumerate()
        .any(|(at, segment)| segment.is_empty() && at + 1 != count)
    {
        return Err("the URL's path has an empty segment".to_owned());
    }
    Ok(url)
}

/// Refuses what servers decode once more, or otherwise than we do.
fn check_path(path: &str) -> Result<(), String> {
    let bytes = path.as_bytes();
    for at in (0..bytes.len()).filter(|&at| bytes[at] == b'%') {
        let code = path
            .get(at + 1..at + 3)
            .filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            None => return Err("the URL's path has a % that encodes nothing".to_owned()),
            Some(b'/' | b'\\' | b'.' | b'%') => {
                return Err(
                    "the URL's path has an encoded slash, backslash, dot or percent sign"
                        .to_owned(),
                );
            }
            Some(byte) if byte < b' ' || byte == 0x7f => {
                return Err("the URL's path has an encoded control character".to_owned());
            }
            Some(_) => {}
        }
    }
    // `..;x` is `..` to some servers.
    if path
        .split('/')
        .any(|segment| matches!(segment.split_once(';'), Some(("." | "..", _))))
    {
        return Err("the URL's path has a dot segment with parameters".to_owned());
    }
    Ok(())
}

/// The segments of a normalised URL's path, decoded. A slash at the end counts for nothing.
///
/// # Errors
/// When one is not UTF-8.
pub(crate) fn segments(url: &Url) -> Result<Vec<String>, String> {
    let path = url.path().trim_start_matches('/');
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split('/')
        .map(|segment| {
            percent_decode_str(segment)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| "the URL's path is not UTF-8 once decoded".to_owned())
        })
        .collect()
}

/// Whether two URLs have scheme, host and port in common.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// Scheme, host and port: what may be shown of any URL.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let found = normalise(text);
        match (found, expected) {
            (Ok(url), Ok(expected)) => assert_eq!(url.as_str(), expected, "{text}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
            (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn one_spelling() {
        check(
            "https://graph.test/v1.0/me",
            Ok("https://graph.test/v1.0/me"),
        );
        check(
            "HTTPS://Graph.Test/v1.0/me?$top=1",
            Ok("https://graph.test/v1.0/me?$top=1"),
        );
        check("https://graph.test:443/a", Ok("https://graph.test/a"));
        check("https://graph.test:8443/a", Ok("https://graph.test:8443/a"));
        check("https://graph.test", Ok("https://graph.test/"));
        check("https://graph.test?x=1", Ok("https://graph.test/?x=1"));
        check("https://graph.test/a/b/", Ok("https://graph.test/a/b/"));
        check(
            "https://graph.test/users/a/../b",
            Ok("https://graph.test/users/b"),
        );
        check(
            "https://graph.test/../../a/./b",
            Ok("https://graph.test/a/b"),
        );
        check(
            "https://graph.test/a%20b%40c",
            Ok("https://graph.test/a%20b%40c"),
        );
        check("https://127.0.0.1/a", Ok("https://127.0.0.1/a"));
        check("https://[::1]:4/a", Ok("https://[::1]:4/a"));
        // The query is the server's business, encoded or not.
        check(
            "https://graph.test/a?p=%2e%2e%2f",
            Ok("https://graph.test/a?p=%2e%2e%2f"),
        );
    }

    #[test]
    fn refusals() {
        for (text, part) in [
            ("", "absolute"),
            ("/v1.0/me", "absolute"),
            ("graph.test/v1.0", "absolute"),
            ("ftp://graph.test/a", "scheme"),
            ("file:///etc/passwd", "scheme"),
            ("https:graph.test/a", "absolute"),
            ("https:///graph.test/a", "host"),
            ("https://user@graph.test/a", "user name"),
            ("https://user:pass@graph.test/a", "user name"),
            ("https://graph.test@evil.test/a", "user name"),
            ("https://graph.test\\@evil.test/a", "backslash"),
            ("https://evil.test/\\graph.test", "backslash"),
            ("https://graph.test#@evil.test/", "fragment"),
            ("https://graph.test/a#b", "fragment"),
            ("https://graph.test/a\r\nHost: evil", "control"),
            ("https://graph.test/a b", "space"),
            (" https://graph.test/a", "space"),
            ("https://gra\tph.test/a", "control"),
            ("https://graph.test/\0", "control"),
            ("https://ɡraph.test/a", "ASCII"),
            ("https://ｇraph.test/a", "ASCII"),
            ("https://graph.test/ä", "ASCII"),
            ("https://gr%61ph.test/a", "host"),
            ("https://2130706433/a", "host"),
            ("https://0x7f.1/a", "host"),
            ("https://127.1/a", "host"),
            ("https://0177.0.0.1/a", "host"),
            ("https://[0:0:0:0:0:0:0:1]/a", "host"),
            ("https://graph.test./a", "dot"),
            ("https://graph.test:/a", "host"),
            ("https://graph.test:0443/a", "host"),
            ("https://graph.test:99999/a", "valid"),
            ("https:///a", "host"),
            ("https://graph.test/a%2fb", "slash"),
            ("https://graph.test/a%2Fb", "slash"),
            ("https://graph.test/a%5cb", "slash"),
            ("https://graph.test/%2e%2e/b", "dot"),
            ("https://graph.test/.%2E/b", "dot"),
            ("https://graph.test/a%252fb", "percent"),
            ("https://graph.test/a%00", "control"),
            ("https://graph.test/a%0d%0aX", "control"),
            ("https://graph.test/a%zz", "encodes nothing"),
            ("https://graph.test/a%2", "encodes nothing"),
            ("https://graph.test/a%+2b", "encodes nothing"),
            ("https://graph.test//a", "empty segment"),
            ("https://graph.test/a//b", "empty segment"),
            ("https://graph.test/a/..;x/b", "parameters"),
        ] {
            check(text, Err(part));
        }
        check(
            &format!("https://graph.test/{}", "a".repeat(MAX_LENGTH)),
            Err("longer"),
        );
    }

    proptest! {
        /// Whatever is accepted stays what it is when it is read again, and nothing panics.
        #[test]
        fn normal_is_a_fixed_point(text in "(https?://)?[a-zA-Z0-9.:@%\\[\\]/?#\\\\;~$'() -]{0,40}") {
            if let Ok(url) = normalise(&text) {
                let again = normalise(url.as_str());
                prop_assert_eq!(again, Ok(url.clone()));
                prop_assert!(url.username().is_empty() && url.password().is_none());
                prop_assert!(url.fragment().is_none());
                if let Ok(segments) = segments(&url) {
                    for segment in segments {
                        prop_assert!(!segment.contains(['/', '\\', '%', '\r', '\n', '\0']));
                        prop_assert!(segment != ".." && segment != ".");
                    }
                }
            }
        }

        #[test]
        fn never_panics(text in any::<String>()) {
            let _ = normalise(&text);
            let _ = normalise(&format!("https://{text}"));
            let _ = normalise(&format!("https://h/{text}"));
        }
    }
}
