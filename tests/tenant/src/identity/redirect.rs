//! Redirect URIs: which are accepted, and how an answer gets there (reply-url.md).

use http::StatusCode;
use url::Url;

use crate::config::{RedirectKind, RedirectUri};
use crate::store::html::escape;
use crate::wire::Reply;

/// The kind of the registered URI that `uri` matches. For `localhost` over http the port is ignored;
/// path and case count.
pub(crate) fn matching(registered: &[RedirectUri], uri: &str) -> Option<RedirectKind> {
    let exact = registered.iter().find(|one| one.uri == uri);
    exact
        .or_else(|| {
            registered
                .iter()
                .find(|one| matches_on_localhost(&one.uri, uri))
        })
        .map(|one| one.kind)
}

fn matches_on_localhost(registered: &str, uri: &str) -> bool {
    match (localhost_rest(registered), localhost_rest(uri)) {
        (Some(left), Some(right)) => left == right,
        _ => false,
    }
}

/// What follows host and port of `http://localhost…`.
fn localhost_rest(uri: &str) -> Option<&str> {
    let rest = uri.strip_prefix("http://localhost")?;
    let rest = match rest.strip_prefix(':') {
        Some(port) => port.trim_start_matches(|letter: char| letter.is_ascii_digit()),
        None => rest,
    };
    match rest {
        "" => Some("/"),
        _ if rest.starts_with(['/', '?']) => Some(rest),
        _ => None,
    }
}

/// How the answer is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseMode {
    Query,
    Fragment,
    FormPost,
}

impl ResponseMode {
    pub(crate) fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("" | "query") => Some(Self::Query),
            Some("fragment") => Some(Self::Fragment),
            Some("form_post") => Some(Self::FormPost),
            Some(_) => None,
        }
    }
}

/// Sends the browser to `uri` with `pairs`.
pub(crate) fn deliver(uri: &str, mode: ResponseMode, pairs: &[(&str, String)]) -> Reply {
    // A URI without a path comes back with a slash; parsing adds it.
    let Ok(mut url) = Url::parse(uri) else {
        return Reply::empty(StatusCode::BAD_REQUEST);
    };
    match mode {
        ResponseMode::Query => {
            url.query_pairs_mut().extend_pairs(pairs);
            Reply::redirect(url.as_str())
        }
        ResponseMode::Fragment => {
            let fragment = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(pairs)
                .finish();
            url.set_fragment(Some(&fragment));
            Reply::redirect(url.as_str())
        }
        ResponseMode::FormPost => {
            let fields: String = pairs
                .iter()
                .map(|(name, value)| {
                    format!(
                        "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
                        escape(value)
                    )
                })
                .collect();
            Reply::html(
                StatusCode::OK,
                format!(
                    "<!doctype html><html><head><title>Working...</title></head><body onload=\"document.forms[0].submit()\">\
                     <form method=\"POST\" name=\"hiddenform\" action=\"{}\">{fields}<noscript><p>Script is disabled. \
                     Click Submit to continue.</p><input type=\"submit\" value=\"Submit\"></noscript></form></body></html>",
                    escape(url.as_str())
                ),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_ports_are_ignored_and_nothing_else() {
        let registered = [
            RedirectUri {
                uri: "http://localhost/callback".into(),
                kind: RedirectKind::Web,
            },
            RedirectUri {
                uri: "https://app.example/auth".into(),
                kind: RedirectKind::Spa,
            },
        ];
        let check = |uri: &str, expected: Option<RedirectKind>| {
            assert_eq!(matching(&registered, uri), expected, "{uri}")
        };
        check("http://localhost/callback", Some(RedirectKind::Web));
        check("http://localhost:4711/callback", Some(RedirectKind::Web));
        check("http://localhost:4711/Callback", None);
        check("http://localhost:4711/callback/", None);
        check("http://localhost.evil.example/callback", None);
        check("http://127.0.0.1:4711/callback", None);
        check("https://localhost:4711/callback", None);
        check("https://app.example/auth", Some(RedirectKind::Spa));
        check("https://app.example:8443/auth", None);
    }
}
