//! Names with hyphens: `steps.import-mail.output` is rewritten to CEL's own way of writing such a
//! name, ``steps.`import-mail`.output``, and offsets are mapped back.

use super::placeholder::end_of_string;

/// CEL text, and how its offsets lie in the text that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rewritten {
    pub(super) text: String,
    /// Where, in bytes of `text`, each sign stands that was put in; ascending.
    inserted: Vec<usize>,
}

impl Rewritten {
    /// The offset in the original of an offset in the rewritten text, both in bytes.
    pub(super) fn original(&self, offset: usize) -> usize {
        offset - self.inserted.partition_point(|at| *at < offset)
    }
}

/// Words that CEL's lexer takes for something else than a name, even after a dot.
const TOKENS: [&str; 4] = ["in", "true", "false", "null"];

pub(super) fn rewrite(original: &str) -> Rewritten {
    let bytes = original.as_bytes();
    let mut text = String::with_capacity(original.len() + 8);
    let mut inserted = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => at = end_of_string(original, at),
            b'.' => {
                let is_optional = bytes.get(at + 1) == Some(&b'?');
                let start = at + if is_optional { 2 } else { 1 };
                let end = end_of_name(bytes, start);
                let name = original.get(start..end).unwrap_or("");
                if name.contains('-') || TOKENS.contains(&name) {
                    text.push_str(original.get(copied..start).unwrap_or(""));
                    inserted.push(text.len());
                    text.push('`');
                    text.push_str(name);
                    inserted.push(text.len());
                    text.push('`');
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    text.push_str(original.get(copied..).unwrap_or(""));
    Rewritten { text, inserted }
}

/// The byte after the name that starts at `start`; `start` itself where none does.
pub(super) fn end_of_name(bytes: &[u8], start: usize) -> usize {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if !bytes.get(start).is_some_and(is_letter) {
        return start;
    }
    let mut end = start + 1;
    loop {
        match bytes.get(end) {
            Some(byte) if is_part(byte) => end += 1,
            Some(b'-') if bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric) => end += 2,
            _ => return end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(original: &str, expected: &str) {
        let rewritten = rewrite(original);
        assert_eq!(rewritten.text, expected, "{original}");
        let unquoted: Vec<usize> = (0..=rewritten.text.len())
            .filter(|at| !rewritten.inserted.contains(at) && rewritten.text.is_char_boundary(*at))
            .collect();
        for at in unquoted {
            let there = rewritten.text[at..].chars().find(|c| *c != '`');
            let here = original[rewritten.original(at)..]
                .chars()
                .find(|c| *c != '`');
            assert_eq!(there, here, "{original} at {at}");
        }
    }

    #[test]
    fn quotes_names_with_hyphens_after_a_dot_only() {
        check("steps.import-mail.output", "steps.`import-mail`.output");
        check("a.b-c-2d.e", "a.`b-c-2d`.e");
        check("a.b-1", "a.`b-1`");
        check("a.b - 1", "a.b - 1");
        check("a.b -1", "a.b -1");
        check("a.b- 1", "a.b- 1");
        check("a.b--c", "a.b--c");
        check("a-b", "a-b");
        check("1.5-x", "1.5-x");
        check("2.0e-3", "2.0e-3");
        check("a.?b-c", "a.?`b-c`");
        check(
            "has(a.b-c) ? a.b-c : 'a.b-c'",
            "has(a.`b-c`) ? a.`b-c` : 'a.b-c'",
        );
        check("a.in.true", "a.`in`.`true`");
        check("a.'ü'.b-ü", "a.'ü'.b-ü");
        check("\"ä\" + a.b-c + d.e-f", "\"ä\" + a.`b-c` + d.`e-f`");
        check("", "");
        check(".", ".");
        check("a.", "a.");
    }
}
