//! One rule of a grant: a method and a URL pattern.

use docket_model::RequestRule;
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
        let (base, path) = split(&rule.url)?;
        let mut segments = Vec::new();
        let mut is_open = false;
        let mut parts = path.split('/').skip(1).peekable();
        while let Some(part) = parts.next() {
            match part {
                "**" if parts.peek().is_none() => is_open = true,
                "**" => return Err("** may only stand at the end".to_owned()),
                "*" => segments.push(Segment::Any),
                "{mailbox}" => segments.push(Segment::Mailbox),
                "" => return Err("a segment of the path is empty".to_owned()),
                "." | ".." => return Err("the path has a dot segment".to_owned()),
                literal => {
                    if !literal.is_ascii()
                        || literal
                            .bytes()
                            .any(|byte| byte <= b' ' || b"*{}%?#\\\x7f".contains(&byte))
                    {
                        return Err(format!(
                            "the segment `{literal}` is none: write *, {{mailbox}} or plain text"
                        ));
                    }
                    segments.push(Segment::Literal(literal.to_owned()));
                }
            }
        }
        Ok(Self {
            method: method.to_owned(),
            base,
            segments,
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

/// Splits a pattern into its base and the rest, which is empty or starts with a slash.
fn split(pattern: &str) -> Result<(Base, &str), String> {
    const START: &str =
        "the URL must start with an endpoint in braces, such as {graph}, or with https://";
    if let Some(rest) = pattern.strip_prefix('{') {
        let (name, path) = rest.split_once('}').ok_or(START)?;
        if name.is_empty()
            || name == "mailbox"
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            || !(path.is_empty() || path.starts_with('/'))
        {
            return Err(START.to_owned());
        }
        return Ok((Base::Endpoint(name.to_owned()), path));
    }
    let rest = pattern.strip_prefix("https://").ok_or(START)?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains(['*', '{', '?', '#']) {
        return Err("the host must be written out: no patterns in it".to_owned());
    }
    let origin = super::url::normalise(&format!("https://{authority}/"))?;
    Ok((Base::Origin(origin), path))
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
            ("GET", "http://api.test/a", "start with"),
            ("GET", "{graph", "start with"),
            ("GET", "{}/a", "start with"),
            ("GET", "{mailbox}/a", "start with"),
            ("GET", "{graph}a", "start with"),
            ("GET", "{graph}/a/**/b", "at the end"),
            ("GET", "{graph}/a//b", "empty"),
            ("GET", "{graph}/a/", "empty"),
            ("GET", "{graph}/a/../b", "dot"),
            ("GET", "{graph}/a*", "a*"),
            ("GET", "{graph}/{user}", "{user}"),
            ("GET", "{graph}/a?b", "a?b"),
            ("GET", "{graph}/a%2fb", "a%2fb"),
            ("GET", "https://*.test/a", "host"),
            ("GET", "https://user@api.test/a", "user name"),
        ] {
            let error = Pattern::parse(&rule(method, url)).unwrap_err();
            assert!(error.contains(part), "{method} {url}: {error}");
        }
    }
}
