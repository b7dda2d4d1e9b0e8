//! Finds `${{ … }}` in text.

use std::ops::Range;

/// A piece of a text, as a range of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text as it stands.
    Text(Range<usize>),
    /// An expression, without the braces and the blanks inside them.
    Expression(Range<usize>),
}

/// A `${{` at this byte has no `}}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unclosed(pub(crate) usize);

const OPEN: &str = "${{";
const CLOSE: &str = "}}";

/// Splits a text. A `}}` that closes braces of the expression itself, or stands in one of its
/// strings, does not end it; `${{ "${{" }}` is how to write the sign itself.
pub(crate) fn split(text: &str) -> Result<Vec<Part>, Unclosed> {
    let mut parts = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find(OPEN) {
        let open = from + found;
        let inner = open + OPEN.len();
        let close = end_of_expression(text, inner).ok_or(Unclosed(open))?;
        if open > from {
            parts.push(Part::Text(from..open));
        }
        let written = &text[inner..close];
        let start = inner + (written.len() - written.trim_start().len());
        parts.push(Part::Expression(start..start + written.trim().len()));
        from = close + CLOSE.len();
    }
    if from < text.len() || parts.is_empty() {
        parts.push(Part::Text(from..text.len()));
    }
    Ok(parts)
}

fn end_of_expression(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => {
                at = end_of_string(text, at);
                continue;
            }
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b'}' if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The byte after the CEL string whose first quote is at `quote`; the text's end where it is not
/// closed. Knows triple quotes, escapes, and raw strings, which have none.
pub(super) fn end_of_string(text: &str, quote: usize) -> usize {
    let bytes = text.as_bytes();
    let sign = &bytes[quote..=quote];
    let triple = sign.repeat(3);
    let delimiter = if bytes[quote..].starts_with(&triple) {
        triple.as_slice()
    } else {
        sign
    };
    let is_raw = is_raw(&bytes[..quote]);
    let mut at = quote + delimiter.len();
    while at < bytes.len() {
        if bytes[at] == b'\\' && !is_raw {
            at += 2;
        } else if bytes[at..].starts_with(delimiter) {
            return at + delimiter.len();
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Whether what stands before a quote is a prefix with `r`: `r`, `R`, `br` and the like.
fn is_raw(before: &[u8]) -> bool {
    let word = before
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
    let word: Vec<u8> = word.map(u8::to_ascii_lowercase).collect();
    matches!(word.as_slice(), b"r" | b"br" | b"rb")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text in plain, expressions in angle brackets.
    fn check(text: &str, expected: Result<&str, usize>) {
        let found = split(text).map(|parts| {
            let show = |part| match part {
                Part::Text(range) => text[range].to_owned(),
                Part::Expression(range) => format!("<{}>", &text[range]),
            };
            parts.into_iter().map(show).collect::<String>()
        });
        assert_eq!(
            found.as_deref(),
            expected.map_err(Unclosed).as_ref().copied(),
            "{text}"
        );
    }

    #[test]
    fn splits_at_the_right_braces() {
        check("", Ok(""));
        check("plain $ {{ }} text", Ok("plain $ {{ }} text"));
        check("${{ a }}", Ok("<a>"));
        check("${{a}}${{  b  }}!", Ok("<a><b>!"));
        check(
            "x ${{ {\"a\": {\"b\": 1}} }} y",
            Ok("x <{\"a\": {\"b\": 1}}> y"),
        );
        check("${{ {\"a\":1}}}", Ok("<{\"a\":1}>"));
        check("${{ \"}}\" }}", Ok("<\"}}\">"));
        check("${{ '\\'}}' }}", Ok("<'\\'}}'>"));
        check("${{ r'\\' }}", Ok("<r'\\'>"));
        check("${{ '''a'}}''' }}", Ok("<'''a'}}'''>"));
        check("${{ '${{' }}", Ok("<'${{'>"));
        check("${{ }}", Ok("<>"));
        check("ü ${{ ä }} ß", Ok("ü <ä> ß"));
        check("a ${{ b }", Err(2));
        check("${{ \"}}", Err(0));
        check("${{ {}}", Err(0));
    }
}
