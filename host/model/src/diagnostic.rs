//! Diagnostics: what is wrong with a file, where, and what to do about it.
//!
//! Checks collect every problem that they find. Rendering with snippets is miette's, in the binary;
//! the plain form is one line for each problem, and the machines' form is serde's.

use std::fmt;

use miette::LabeledSpan;
use serde::{Serialize, Serializer};

use crate::{Position, SourceFile, Span};

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing can run.
    Error,
    /// It runs, and is probably not what was meant.
    Warning,
}

/// Another place that has to do with a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where, in the same file.
    pub span: Span,
    /// What is there.
    pub text: String,
}

/// A problem.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Its kind, stable: `workflow/unknown-key`.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// In which file.
    pub file: SourceFile,
    /// Where in it.
    pub span: Span,
    /// Other places in it.
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// The code of a secret in a file: pictures of that file would show it.
    pub const SECRET: &'static str = "project/secret";

    /// An error.
    #[must_use]
    pub fn error(
        code: &'static str,
        file: &SourceFile,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            file: file.clone(),
            span,
            labels: Vec::new(),
            help: None,
        }
    }

    /// A warning.
    #[must_use]
    pub fn warning(
        code: &'static str,
        file: &SourceFile,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        let severity = Severity::Warning;
        Self {
            severity,
            ..Self::error(code, file, span, message)
        }
    }

    /// The same with help.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with the nearest of `known` as help, or with all of them where none is near.
    #[must_use]
    pub fn with_nearest<'a>(
        self,
        name: &str,
        known: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Self {
        match suggestion(name, known) {
            Some(help) => self.with_help(help),
            None => self,
        }
    }

    /// The same with another place.
    #[must_use]
    pub fn with_label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Where it starts.
    #[must_use]
    pub fn position(&self) -> Position {
        self.file.position(self.span.start)
    }

    /// Where it ends.
    #[must_use]
    pub fn end(&self) -> Position {
        self.file.position(self.span.end)
    }
}

/// The plain form: `file:line:column: error[code]: message`, then a line for each other place and
/// for the help.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position();
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let (name, code, message) = (self.file.name(), self.code, &self.message);
        write!(f, "{name}:{line}:{column}: {severity}[{code}]: {message}")?;
        for label in &self.labels {
            let Position { line, column } = self.file.position(label.span.start);
            write!(f, "\n  at {line}:{column}: {}", label.text)?;
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.file)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let main = LabeledSpan::new_primary_with_span(Some("here".to_owned()), self.span);
        let others = self.labels.iter();
        let others = others.map(|label| LabeledSpan::at(label.span, label.text.as_str()));
        Some(Box::new(std::iter::once(main).chain(others)))
    }
}

/// For machines: lines and columns from 1.
impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct Form<'a> {
            code: &'a str,
            severity: Severity,
            message: &'a str,
            file: &'a str,
            line: usize,
            column: usize,
            end_line: usize,
            end_column: usize,
            #[serde(skip_serializing_if = "Option::is_none")]
            help: Option<&'a str>,
        }
        let (start, end) = (self.position(), self.end());
        Form {
            code: self.code,
            severity: self.severity,
            message: &self.message,
            file: self.file.name(),
            line: start.line,
            column: start.column,
            end_line: end.line,
            end_column: end.column,
            help: self.help.as_deref(),
        }
        .serialize(serializer)
    }
}

/// The problems of one check.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds all of another check.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether one of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// They, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// Puts them in the order of their places: the main file's first, then other files'.
    pub(crate) fn sort(&mut self, main: &SourceFile) {
        self.0.sort_by(|a, b| {
            let key = |d: &Diagnostic| (d.file.name() != main.name(), d.file.name().to_owned());
            key(a).cmp(&key(b)).then(a.span.cmp(&b.span))
        });
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// All of them in the plain form.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(diagnostic, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Names that a help lists where none of them is near.
const LISTED_AT_MOST: usize = 12;

/// The longest name that is compared with others, in bytes: comparing takes time and memory by the
/// product of the lengths, and some names are whoever's who sends an event.
const LONGEST_COMPARED: usize = 200;

/// What to suggest for a name that is not among `known`: the nearest, or the whole short list.
pub(crate) fn suggestion<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(nearest) = nearest(name, known.clone()) {
        return Some(format!("did you mean `{nearest}`?"));
    }
    let all: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
    match all.as_slice() {
        [] => None,
        [only] => Some(format!("there is only {only}")),
        all if all.len() <= LISTED_AT_MOST => Some(format!("there are {}", all.join(", "))),
        _ => None,
    }
}

/// The one of `known` that `name` was probably meant to be.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST_COMPARED {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace('_', "-");
    let wanted = plain(name);
    let furthest = wanted.chars().count() / 3;
    let known = known.into_iter();
    let likely = known.filter(|candidate| candidate.len() <= LONGEST_COMPARED);
    let scored = likely.map(|candidate| {
        (
            strsim::damerau_levenshtein(&wanted, &plain(candidate)),
            candidate,
        )
    });
    let (distance, candidate) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= furthest).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_was_probably_meant() {
        for (name, expected) in [
            ("step", Some("did you mean `steps`?")),
            ("timeuot", Some("did you mean `timeout`?")),
            (
                "continue_on_error",
                Some("did you mean `continue-on-error`?"),
            ),
            ("Timeout", Some("did you mean `timeout`?")),
            (
                "zebra",
                Some("there are `steps`, `timeout`, `continue-on-error`"),
            ),
        ] {
            let known = ["steps", "timeout", "continue-on-error"];
            assert_eq!(suggestion(name, known).as_deref(), expected, "{name}");
        }
        assert_eq!(suggestion("a", []), None);
        // Whatever its length.
        let long = "x".repeat(16 << 20);
        let only = format!("there is only `{long}`");
        assert_eq!(suggestion(&long, [long.as_str()]), Some(only));
        assert_eq!(
            suggestion("abc", ["xyz"]).as_deref(),
            Some("there is only `xyz`")
        );
    }

    #[test]
    fn shows_the_place_in_both_forms() {
        let file = SourceFile::new("w.yaml", "a: 1\nb: 2\n");
        let diagnostic = Diagnostic::error("x/y", &file, Span { start: 5, end: 6 }, "no")
            .with_label(Span::at(0), "first")
            .with_help("do this");
        assert_eq!(
            diagnostic.to_string(),
            "w.yaml:2:1: error[x/y]: no\n  at 1:1: first\n  help: do this"
        );
        assert_eq!(
            serde_json::to_value(&diagnostic).unwrap(),
            serde_json::json!({
                "code": "x/y", "severity": "error", "message": "no", "file": "w.yaml",
                "line": 2, "column": 1, "end-line": 2, "end-column": 2, "help": "do this",
            })
        );
    }
}
