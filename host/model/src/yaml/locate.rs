//! Finds a part of a scalar's text in the file, where it may be quoted, folded or indented.

use std::ops::Range;

/// The bytes of `written`, a scalar as it stands in the file, that bytes `range` of its `text` come
/// from. `None` where the two do not run in parallel.
pub(super) fn locate(written: &str, text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let quoted = match written.chars().next() {
        Some('\'') => follow(
            Source {
                written,
                at: 1,
                style: Style::Single,
            },
            text,
            range.clone(),
        ),
        Some('"') => follow(
            Source {
                written,
                at: 1,
                style: Style::Double,
            },
            text,
            range.clone(),
        ),
        _ => None,
    };
    // A block scalar may begin with a quote of its own.
    quoted.or_else(|| {
        follow(
            Source {
                written,
                at: 0,
                style: Style::Plain,
            },
            text,
            range,
        )
    })
}

fn follow(mut source: Source<'_>, text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let mut start = None;
    let mut end = None;
    for (at, wanted) in text.char_indices() {
        if wanted.is_whitespace() {
            continue;
        }
        if at >= range.end {
            break;
        }
        let found = source.find(wanted)?;
        if at >= range.start {
            start.get_or_insert(found.start);
            end = Some(found.end);
        }
    }
    // A range without anything but blanks: where the next sign would be.
    let rest = source.at;
    Some(start.unwrap_or(rest)..end.unwrap_or(rest))
}

struct Source<'a> {
    written: &'a str,
    at: usize,
    style: Style,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
}

impl Source<'_> {
    /// The next sign that is no blank, if it is the wanted one.
    fn find(&mut self, wanted: char) -> Option<Range<usize>> {
        loop {
            let rest = self.written.get(self.at..)?;
            let next = rest.chars().next()?;
            let start = self.at;
            self.at += next.len_utf8();
            if next.is_whitespace() {
                continue;
            }
            let mut sign = next;
            match (self.style, next) {
                (Style::Single, '\'') => self.at += 1,
                (Style::Double, '\\') => {
                    sign = rest.chars().nth(1)?;
                    self.at += sign.len_utf8();
                    match sign {
                        '"' | '\\' | '/' => {}
                        'n' | 't' | 'r' | ' ' | '_' | '\n' => continue,
                        _ => return None,
                    }
                }
                _ => {}
            }
            return (sign == wanted).then_some(start..self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, text: &str, part: &str, expected: Option<&str>) {
        let start = text.find(part).unwrap();
        let found = locate(written, text, start..start + part.len());
        assert_eq!(found.map(|range| &written[range]), expected, "{written}");
    }

    #[test]
    fn finds_parts_in_every_style() {
        check("a ${{ b }} c", "a ${{ b }} c", "b", Some("b"));
        check(
            "'it''s ${{ b }}'",
            "it's ${{ b }}",
            "${{ b }}",
            Some("${{ b }}"),
        );
        check(
            "\"a\\n\\\"x\\\" ${{ b }}\"",
            "a\n\"x\" ${{ b }}",
            "b",
            Some("b"),
        );
        check("\"\\u00e4 b\"", "ä b", "b", None);
        check(
            "one\n    two\n  three\n",
            "one\n  two\nthree\n",
            "three",
            Some("three"),
        );
        check("\"a\" ${{ b }}\n", "\"a\" ${{ b }}\n", "b", Some("b"));
        check(
            "one\n  two\n\n  three",
            "one two\nthree",
            "two",
            Some("two"),
        );
        check(
            "a ${{\n    b }}",
            "a ${{ b }}",
            "${{ b }}",
            Some("${{\n    b }}"),
        );
        check("ö\n  ü ä", "ö ü ä", "ä", Some("ä"));
        check("abc", "xyz", "y", None);
    }
}
