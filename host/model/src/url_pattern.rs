//! URL patterns of rules, as `{graph}/v1.0/users/{mailbox}/messages/*`: those of grants and those that
//! plugins ask for.

/// A pattern, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlPattern<'p> {
    /// What it starts with.
    pub base: PatternBase<'p>,
    /// The segments of the path behind it.
    pub segments: Vec<PatternSegment<'p>>,
    /// Whether it ends with `**`, so that anything may follow.
    pub is_open: bool,
}

/// What a pattern starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternBase<'p> {
    /// An endpoint of the connection, by name.
    Endpoint(&'p str),
    /// A host that is reached by https, with a port where one is written.
    Host(&'p str),
}

/// One segment of a pattern's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternSegment<'p> {
    /// This text.
    Literal(&'p str),
    /// `{mailbox}`: a mailbox that the connection may use.
    Mailbox,
    /// `*`: anything.
    Any,
}

impl<'p> UrlPattern<'p> {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &'p str) -> Result<Self, String> {
        let (base, path) = split(url)?;
        let mut pattern = Self {
            base,
            segments: Vec::new(),
            is_open: false,
        };
        let mut parts = path.split('/').skip(1).peekable();
        while let Some(part) = parts.next() {
            match part {
                "**" if parts.peek().is_none() => pattern.is_open = true,
                "**" => return Err("`**` may only stand at the end".to_owned()),
                "" => return Err("a segment of the path is empty".to_owned()),
                "." | ".." => return Err("the path has a dot segment".to_owned()),
                part => pattern.segments.push(segment(part)?),
            }
        }
        Ok(pattern)
    }

    /// Whether this fits every URL that `other` fits.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let is_long_enough = match self.is_open {
            true => other.segments.len() >= self.segments.len(),
            false => !other.is_open && other.segments.len() == self.segments.len(),
        };
        let mut both = self.segments.iter().zip(&other.segments);
        self.base == other.base
            && is_long_enough
            && both.all(|(own, other)| own == other || *own == PatternSegment::Any)
    }
}

/// The base, and the rest, which is empty or starts with a slash.
fn split(url: &str) -> Result<(PatternBase<'_>, &str), String> {
    const START: &str =
        "the URL must start with an endpoint in braces, such as {graph}, or with https://";
    if let Some(rest) = url.strip_prefix('{') {
        let (name, path) = rest.split_once('}').ok_or(START)?;
        let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name == "mailbox" || !name.chars().all(is_letter) {
            return Err(START.to_owned());
        }
        if !(path.is_empty() || path.starts_with('/')) {
            return Err("a `/` must follow the endpoint".to_owned());
        }
        return Ok((PatternBase::Endpoint(name), path));
    }
    let rest = url.strip_prefix("https://").ok_or(START)?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.contains('@') {
        return Err("there is a user name before the host".to_owned());
    }
    if host.is_empty() || host.contains(['*', '{', '}', '?', '#']) {
        return Err("the host must be written out: no patterns in it".to_owned());
    }
    Ok((PatternBase::Host(host), path))
}

fn segment(part: &str) -> Result<PatternSegment<'_>, String> {
    match part {
        "*" => Ok(PatternSegment::Any),
        "{mailbox}" => Ok(PatternSegment::Mailbox),
        // The policy compares decoded segments of the normalised URL.
        part if part.bytes().all(|byte| byte.is_ascii_graphic())
            && !part.contains(['*', '{', '}', '%', '?', '#', '\\']) =>
        {
            Ok(PatternSegment::Literal(part))
        }
        part => Err(format!(
            "the segment `{part}` is none: `*` and `{{mailbox}}` are whole segments, and others are \
             plain ASCII without `%`, `?`, `#` and `\\`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_taken_apart() {
        let read = UrlPattern::parse("{graph}/users/{mailbox}/*/$value/**").unwrap();
        assert_eq!(read.base, PatternBase::Endpoint("graph"));
        assert!(read.is_open);
        let literal = PatternSegment::Literal;
        assert_eq!(
            read.segments,
            [
                literal("users"),
                PatternSegment::Mailbox,
                PatternSegment::Any,
                literal("$value")
            ]
        );
        let read = UrlPattern::parse("https://api.test:8443").unwrap();
        assert_eq!(read.base, PatternBase::Host("api.test:8443"));
        assert!(read.segments.is_empty() && !read.is_open);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (url, part) in [
            ("graph/a", "start with"),
            ("/a", "start with"),
            ("http://api.test/a", "start with"),
            ("{graph", "start with"),
            ("{}/a", "start with"),
            ("{Graph}/a", "start with"),
            ("{mailbox}/a", "start with"),
            ("{graph}a", "must follow"),
            ("https://*.test/a", "written out"),
            ("https:///a", "written out"),
            ("https://user@api.test/a", "user name"),
            ("https://api.test/", "empty"),
            ("{graph}/a/**/b", "at the end"),
            ("{graph}/a//b", "empty"),
            ("{graph}/a/", "empty"),
            ("{graph}/a/../b", "dot"),
            ("{graph}/a*", "`a*`"),
            ("{graph}/{user}", "`{user}`"),
            ("{graph}/a?b", "`a?b`"),
            ("{graph}/a%2fb", "`a%2fb`"),
            ("{graph}/a b", "`a b`"),
            ("{graph}/ä", "plain ASCII"),
        ] {
            let error = UrlPattern::parse(url).unwrap_err();
            assert!(error.contains(part), "{url}: {error}");
        }
    }
}
