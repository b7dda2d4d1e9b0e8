//! Reading a YAML tree into types: known keys, right types, and a diagnostic for everything else.

use std::time::Duration;

use crate::schema::words::{LONGEST_NAME, Words};
use crate::yaml::{Entry, Kind, Name, Node};
use crate::{Diagnostic, Diagnostics, SourceFile, Span};

/// The codes of one kind of file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Codes {
    pub(crate) unknown_key: &'static str,
    pub(crate) missing_key: &'static str,
    pub(crate) wrong_type: &'static str,
    pub(crate) value: &'static str,
    pub(crate) unsupported: &'static str,
}

/// Reads one file and collects its problems.
pub(crate) struct Reader<'a> {
    pub(crate) file: &'a SourceFile,
    pub(crate) codes: Codes,
    pub(crate) diagnostics: Diagnostics,
}

/// The entries of a mapping whose keys are all known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'n>(&'n [Entry]);

impl<'n> Fields<'n> {
    pub(crate) fn get(self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    pub(crate) fn entry(self, name: &str) -> Option<&'n Entry> {
        self.0.iter().find(|entry| entry.key.text == name)
    }
}

impl Reader<'_> {
    pub(crate) fn error(
        &self,
        code: &'static str,
        span: Span,
        what: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(code, self.file, span, what)
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// A mapping with keys of one's own choice.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Entry] {
        match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Null => &[],
            _ => {
                self.wrong_type(node, what, "a mapping");
                &[]
            }
        }
    }

    /// A mapping with these words.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        words: &'static Words,
    ) -> Fields<'n> {
        self.fields_besides(node, what, words, &[])
    }

    /// The same where the caller reports some other keys itself.
    pub(crate) fn fields_besides<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        words: &'static Words,
        reported: &[&str],
    ) -> Fields<'n> {
        let entries = self.entries(node, what);
        for Entry { key, .. } in entries {
            let name = key.text.as_str();
            if !reported.contains(&name) && words.names().all(|known| known != name) {
                let message = format!("{what} has no key `{name}`");
                let error = self.error(self.codes.unknown_key, key.span, message);
                self.push(error.with_nearest(name, words.names()));
            }
        }
        Fields(entries)
    }

    pub(crate) fn wrong_type(&mut self, node: &Node, what: &str, wanted: &str) {
        let message = format!("{what} must be {wanted}, not {}", node.described());
        let error = self.error(self.codes.wrong_type, node.span, message);
        self.push(match node.kind {
            Kind::Number(_) | Kind::Bool(_) if wanted == "text" => error.with_help("quote it"),
            _ => error,
        });
    }

    pub(crate) fn missing(&mut self, at: Span, what: &str, key: &str) {
        let message = format!("{what} needs the key `{key}`");
        self.push(self.error(self.codes.missing_key, at, message));
    }

    pub(crate) fn invalid(&mut self, span: Span, message: impl Into<String>, help: &str) {
        let error = self.error(self.codes.value, span, message);
        self.push(if help.is_empty() {
            error
        } else {
            error.with_help(help)
        });
    }

    /// A text that is not empty.
    pub(crate) fn text(&mut self, node: &Node, what: &str) -> Option<Name> {
        match &node.kind {
            Kind::String(text) if !text.trim().is_empty() => Some(Name {
                text: text.clone(),
                span: node.span,
            }),
            Kind::String(_) => {
                self.invalid(node.span, format!("{what} is empty"), "");
                None
            }
            _ => {
                self.wrong_type(node, what, "text");
                None
            }
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, node: &Node, what: &str) -> Vec<Name> {
        let Kind::List(items) = &node.kind else {
            self.wrong_type(node, what, "a list");
            return Vec::new();
        };
        let each = format!("an element of {what}");
        items
            .iter()
            .filter_map(|item| self.text(item, &each))
            .collect()
    }

    pub(crate) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        if let Kind::Bool(value) = node.kind {
            return Some(value);
        }
        self.wrong_type(node, what, "true or false");
        None
    }

    /// A whole number within a range.
    pub(crate) fn whole(&mut self, node: &Node, what: &str, least: u32, most: u32) -> Option<u32> {
        let wanted = format!("a whole number from {least} to {most}");
        let Kind::Number(number) = &node.kind else {
            self.wrong_type(node, what, &wanted);
            return None;
        };
        let number = number
            .as_u64()
            .and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.invalid(node.span, format!("{what} must be {wanted}"), "");
        }
        number
    }

    /// A duration such as `30s`, `5m` or `1h30m`, within a range.
    pub(crate) fn duration(
        &mut self,
        node: &Node,
        what: &str,
        least: Duration,
        most: Duration,
    ) -> Option<Duration> {
        let parsed = match &node.kind {
            Kind::String(text) => parse_duration(text),
            _ => None,
        };
        let Some(parsed) = parsed else {
            let message = format!("{what} must be a duration");
            self.invalid(
                node.span,
                message,
                "write it as `500ms`, `30s`, `5m`, `2h` or `1h30m`",
            );
            return None;
        };
        if !(least..=most).contains(&parsed) {
            let hours = most.as_secs() / 3600;
            let most = match hours {
                48.. => format!("{}d", hours / 24),
                _ => format!("{hours}h"),
            };
            let message = format!("{what} must be from {least:?} to {most}");
            self.invalid(node.span, message, "");
            return None;
        }
        Some(parsed)
    }
}

/// A duration as workflows write it: `500ms`, `30s`, `5m`, `1h30m`, `3d`; `None` where it is none.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut all = Duration::ZERO;
    let mut largest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        let after = rest.get(digits..)?;
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let unit = match after.get(..end)? {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        if unit >= largest {
            return None;
        }
        largest = unit;
        all = all.checked_add(Duration::from_millis(number.checked_mul(unit)?))?;
        rest = after.get(end..)?;
    }
    (largest != u64::MAX).then_some(all)
}

/// Why a text is no name of a step or an input; `None` where it is one. After a dot in an expression
/// such a name reads as a name, hyphens and all.
pub(crate) fn name_problem(name: &str) -> Option<&'static str> {
    let bytes = name.as_bytes();
    if !bytes.first().is_some_and(u8::is_ascii_alphabetic) {
        return Some("it must begin with a letter");
    }
    if bytes.len() > LONGEST_NAME {
        return Some("it may have 64 characters at most");
    }
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !bytes.iter().all(is_allowed) {
        return Some("it may have letters, digits, `-` and `_`");
    }
    let has_odd_hyphen = bytes
        .windows(2)
        .any(|two| two[0] == b'-' && !two[1].is_ascii_alphanumeric());
    if has_odd_hyphen || bytes.last() == Some(&b'-') {
        return Some("a letter or digit must follow each `-`");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        for (text, expected) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("2d", Some(172_800_000)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("5x", None),
            ("-5s", None),
            ("1.5h", None),
            ("30m1h", None),
            ("5s5s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
            ("5ß", None),
        ] {
            assert_eq!(
                parse_duration(text),
                expected.map(Duration::from_millis),
                "{text}"
            );
        }
    }

    #[test]
    fn names_are_what_expressions_can_write() {
        for (name, is_name) in [
            ("a", true),
            ("import-mail", true),
            ("a_b", true),
            ("A1", true),
            ("a-1", true),
            ("", false),
            ("1a", false),
            ("-a", false),
            ("a-", false),
            ("a--b", false),
            ("a-_b", false),
            ("a.b", false),
            ("ä", false),
            ("a b", false),
        ] {
            assert_eq!(name_problem(name).is_none(), is_name, "{name}");
        }
        assert!(name_problem(&"a".repeat(65)).is_some());
    }
}
