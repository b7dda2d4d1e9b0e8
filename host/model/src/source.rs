//! Source text and places in it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{MietteError, NamedSource, SourceCode, SourceSpan, SpanContents};

use crate::Digest;

/// The largest workflow, project file or body template that is read, in bytes. Whoever reads files
/// checks the length before the content; [`crate::validate`] and the like check it again.
pub const MAX_SOURCE_BYTES: usize = 1 << 20;

/// A text with the name that diagnostics show for it. Clones share the text.
#[derive(Clone)]
pub struct SourceFile(Arc<Inner>);

struct Inner {
    source: NamedSource<String>,
    /// Where each line starts, in bytes.
    lines: Vec<usize>,
}

/// A range of bytes of a [`SourceFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

/// A place for people: line and column from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl SourceFile {
    /// A text under a name, such as a path relative to the project.
    #[must_use]
    pub fn new(name: impl AsRef<str>, text: impl Into<String>) -> Self {
        let text = text.into();
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(after_breaks).collect();
        let source = NamedSource::new(name, text);
        Self(Arc::new(Inner { source, lines }))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.source.name()
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.source.inner()
    }

    /// The digest of the text.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    /// Where an offset in bytes is; past the end, where the end is.
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text().len());
        let line = self.0.lines.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|line| self.0.lines.get(line));
        let start = start.copied().unwrap_or(0);
        let before = self.text().as_bytes().get(start..offset).unwrap_or(&[]);
        let column = String::from_utf8_lossy(before).chars().count() + 1;
        Position { line, column }
    }

    /// The offset in bytes of a line and a column from 1; the end of the line, or of the text,
    /// where the place lies past it.
    #[must_use]
    pub(crate) fn offset(&self, place: Position) -> usize {
        let Some(start) = self.0.lines.get(place.line.saturating_sub(1)) else {
            return self.text().len();
        };
        let rest = self.text().get(*start..).unwrap_or("");
        let line = rest.split('\n').next().unwrap_or("");
        let skip = place.column.saturating_sub(1);
        let within = line
            .char_indices()
            .nth(skip)
            .map_or(line.len(), |(at, _)| at);
        start + within
    }
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceFile").field(&self.name()).finish()
    }
}

impl SourceCode for SourceFile {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        self.0.source.read_span(span, lines_before, lines_after)
    }
}

impl Span {
    /// A span of no length.
    #[must_use]
    pub const fn at(offset: usize) -> Self {
        Self {
            start: offset,
            end: offset,
        }
    }

    /// From the start of this to the end of `other`.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self {
            start: self.start,
            end: other.end.max(self.start),
        }
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }
}

impl From<Span> for SourceSpan {
    fn from(span: Span) -> Self {
        (span.start, span.end.saturating_sub(span.start)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_and_characters_from_one() {
        let file = SourceFile::new("a.yaml", "ab\nçd\n\nx");
        for (offset, line, column) in [
            (0, 1, 1),
            (2, 1, 3),
            (3, 2, 1),
            (5, 2, 2),
            (7, 3, 1),
            (8, 4, 1),
            (99, 4, 2),
        ] {
            let place = Position { line, column };
            assert_eq!(file.position(offset), place, "{offset}");
            assert_eq!(file.offset(place), offset.min(9), "{place:?}");
        }
        assert_eq!(file.offset(Position { line: 9, column: 9 }), 9);
    }
}
