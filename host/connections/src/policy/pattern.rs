//! One rule of a grant: a method and a URL pattern.

use docket_model::{PatternBase, PatternSegment, RequestRule, UrlPattern};
use url::Url;

/// A rule, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    method: String,
    base: Base,
    segments: Vec<Segment>,
    /// Whether it ends with `**`.
    is_open: bool,
}

/// What a pattern starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// An endpoint of the connection, by name.
    Endpoint(String),
    /// An `https` origin.
    Origin(Url),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Mailbox,
    Any,
}

impl Pattern {
    /// Reads a rule.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(rule: &RequestRule) -> Result<Self, String> {
        let method = rule.method.as_str();
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err("the method must be in capitals, such as GET".to_owned());
        }
        let UrlPattern {
            base,
            segments,
            is_open,
        } = UrlPattern::parse(&rule.url)?;
        let base = match base {
            PatternBase::Endpoint(name) => Base::Endpoint(name.to_owned()),
            PatternBase::Host(host) => {
                Base::Origin(super::url::normalise(&format!("https://{host}/"))?)
            }
        };
        let segments = segments.into_iter().map(|segment| match segment {
            PatternSegment::Literal(text) => Segment::Literal(text.to_owned()),
            PatternSegment::Mailbox => Segment::Mailbox,
            PatternSegment::Any => Segment::Any,
        });
        Ok(Self {
            method: method.to_owned(),
            base,
            segments: segments.collect(),
            is_open,
        })
    }

    /// The method.
    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// What it starts with.
    pub(crate) fn base(&self) -> &Base {
        &self.base
    }

    /// Matches the decoded segments that follow the base. `Some` holds the segments that stand where
    /// the pattern says `{mailbox}`.
    pub(crate) fn matches<'s>(&self, segments: &'s [String]) -> Option<Vec<&'s str>> {
        let fits = if self.is_open {
            segments.len() >= self.segments.len()
        } else {
            segments.len() == self.segments.len()
        };
        if !fits {
            return None;
        }
        let mut mailboxes = Vec::new();
        for (pattern, segment) in self.segments.iter().zip(segments) {
            match pattern {
                Segment::Literal(text) if text == segment => {}
                Segment::Literal(_) => return None,
                Segment::Any => {}
                Segment::Mailbox => mailboxes.push(segment.as_str()),
            }
        }
        Some(mailboxes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(method: &str, url: &str) -> RequestRule {
        RequestRule {
            method: method.to_owned(),
            url: url.to_owned(),
        }
    }

    #[track_caller]
    fn check(pattern: &str, path: &str, expected: Option<&[&str]>) {
        let pattern = Pattern::parse(&rule("GET", pattern)).unwrap();
        let segments: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        assert_eq!(pattern.matches(&segments).as_deref(), expected, "{path}");
    }

    #[test]
    fn matching() {
        check("{graph}/v1.0/me", "v1.0/me", Some(&[]));
        check("{graph}/v1.0/me", "v1.0/me/messages", None);
        check("{graph}/v1.0/me", "v1.0", None);
        check("{graph}/v1.0/me", "V1.0/me", None);
        check("{graph}", "", Some(&[]));
        check("{graph}/**", "", Some(&[]));
        check("{graph}/**", "a/b/c", Some(&[]));
        check("{graph}/a/**", "b", None);
        check("{graph}/a/*/c", "a/b/c", Some(&[]));
        check("{graph}/a/*/c", "a/c", None);
        check(
            "{graph}/users/{mailbox}/messages/*",
            "users/x/messages/1",
            Some(&["x"]),
        );
        check(
            "{graph}/users/{mailbox}/messages/*",
            "users/x/messages",
            None,
        );
        check("https://api.test/users/{mailbox}", "users/y", Some(&["y"]));
    }

    #[test]
    fn bad_rules() {
        for (method, url, part) in [
            ("get", "{graph}/a", "capitals"),
            ("", "{graph}/a", "capitals"),
            ("GET ", "{graph}/a", "capitals"),
            ("GET", "graph/a", "start with"),
            ("GET", "{graph}/a/../b", "dot"),
            ("GET", "https://user@api.test/a", "user name"),
            ("GET", "https://api.test:x/a", "not valid"),
            ("GET", "https://0x7f.1/a", "host"),
        ] {
            let error = Pattern::parse(&rule(method, url)).unwrap_err();
            assert!(error.contains(part), "{method} {url}: {error}");
        }
    }
}
