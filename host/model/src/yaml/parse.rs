//! Text to tree.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span as Marks, Tag};

use super::{Entry, Kind, MAX_YAML_DEPTH, MAX_YAML_TEXT, MAX_YAML_VALUES, Name, Node, scalar};
use crate::{Diagnostic, Diagnostics, MAX_SOURCE_BYTES, SourceFile, Span};

/// Reads a file that holds one YAML document. `None` where it cannot be read at all; a tree may come
/// with diagnostics too, such as a key that stands twice.
pub(crate) fn parse(file: &SourceFile, diagnostics: &mut Diagnostics) -> Option<Node> {
    if file.text().len() > MAX_SOURCE_BYTES {
        let message = format!(
            "the file has {} bytes, and {MAX_SOURCE_BYTES} is the most",
            file.text().len()
        );
        let help = "take large data out of it; documents are inputs";
        diagnostics
            .push(Diagnostic::error("yaml/too-large", file, Span::at(0), message).with_help(help));
        return None;
    }
    let mut reader = Reader {
        file,
        parser: Parser::new_from_str(file.text()),
        diagnostics,
        anchors: HashMap::new(),
        read: Amount::default(),
    };
    match reader.document() {
        Ok(node) => Some(node),
        Err(Fatal::Syntax(error)) => {
            let at = error
                .marker()
                .byte_offset()
                .unwrap_or(0)
                .min(file.text().len());
            let rest = file.text().get(at..).and_then(|rest| rest.chars().next());
            let span = Span {
                start: at,
                end: at + rest.map_or(0, char::len_utf8),
            };
            let diagnostic = Diagnostic::error("yaml/syntax", file, span, error.info());
            diagnostics.push(if has_expression(file, at) {
                diagnostic.with_help(
                    "where an expression has `: ` or ` #` in it, quote the value: '${{ … }}'",
                )
            } else {
                diagnostic
            });
            None
        }
        Err(Fatal::Said(diagnostic)) => {
            diagnostics.push(*diagnostic);
            None
        }
    }
}

/// Whether an expression stands in the line, the likely reason why YAML fails there.
fn has_expression(file: &SourceFile, at: usize) -> bool {
    let line = file.position(at).line;
    file.text()
        .lines()
        .nth(line.saturating_sub(1))
        .is_some_and(|line| line.contains("${{"))
}

/// Why reading ends.
enum Fatal {
    Syntax(ScanError),
    Said(Box<Diagnostic>),
}

struct Reader<'a> {
    file: &'a SourceFile,
    parser: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    diagnostics: &'a mut Diagnostics,
    /// Values by anchor, each with what it is in all.
    anchors: HashMap<usize, (Node, Amount)>,
    /// What was read so far, what is repeated included.
    read: Amount,
}

/// How much a part of the file becomes.
#[derive(Clone, Copy, Default)]
struct Amount {
    values: usize,
    /// Text of its values and keys, in bytes.
    text: usize,
}

impl Amount {
    /// One value.
    const fn of(text: usize) -> Self {
        Self { values: 1, text }
    }
}

type Read<T> = Result<T, Fatal>;

impl<'a> Reader<'a> {
    fn document(&mut self) -> Read<Node> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (Event::StreamEnd, _) => {
                    return Err(self.fatal("yaml/empty", Span::at(0), "the file is empty"));
                }
                (event, marks) => {
                    let node = self.node(event, marks, 0)?;
                    self.end()?;
                    return Ok(node);
                }
            }
        }
    }

    /// Nothing but the end may follow.
    fn end(&mut self) -> Read<()> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentStart(..), marks) => {
                    let span = span(marks);
                    let message = "a second document starts here; a file holds one";
                    return Err(self.fatal("yaml/second-document", span, message));
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Read<(Event<'a>, Marks)> {
        match self.parser.next_event() {
            Some(event) => event.map_err(Fatal::Syntax),
            None => Ok((Event::StreamEnd, Marks::default())),
        }
    }

    fn fatal(&self, code: &'static str, span: Span, message: &str) -> Fatal {
        Fatal::Said(Box::new(Diagnostic::error(code, self.file, span, message)))
    }

    fn node(&mut self, event: Event<'a>, marks: Marks, depth: usize) -> Read<Node> {
        let start = span(marks);
        if depth > MAX_YAML_DEPTH {
            let message =
                format!("lists and mappings stand in each other more than {MAX_YAML_DEPTH} deep");
            return Err(self.fatal("yaml/too-deep", start, &message));
        }
        let before = self.read;
        let text = match &event {
            Event::Scalar(text, ..) => text.len(),
            _ => 0,
        };
        self.count(Amount::of(text), start)?;
        let (anchor, node) = match event {
            Event::Alias(anchor) => return self.alias(anchor, start),
            Event::Scalar(text, style, anchor, tag) => {
                let kind = self.scalar(text.into_owned(), style, tag.as_deref(), start);
                (anchor, Node { kind, span: start })
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), start);
                (anchor, self.list(start, depth)?)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), start);
                (anchor, self.map(start, depth)?)
            }
            _ => return Err(self.fatal("yaml/syntax", start, "a value is missing here")),
        };
        if anchor > 0 {
            let amount = Amount {
                values: self.read.values - before.values,
                text: self.read.text - before.text,
            };
            self.anchors.insert(anchor, (node.clone(), amount));
        }
        Ok(node)
    }

    fn count(&mut self, more: Amount, span: Span) -> Read<()> {
        self.read.values = self.read.values.saturating_add(more.values);
        self.read.text = self.read.text.saturating_add(more.text);
        let (code, message) = if self.read.values > MAX_YAML_VALUES {
            let what = format!("{MAX_YAML_VALUES} values, those");
            ("yaml/too-many-values", what)
        } else if self.read.text > MAX_YAML_TEXT {
            let what = format!("{MAX_YAML_TEXT} bytes of text, those");
            ("yaml/too-much-text", what)
        } else {
            return Ok(());
        };
        let message = format!("the file has more than {message} that aliases repeat included");
        Err(self.fatal(code, span, &message))
    }

    fn alias(&mut self, anchor: usize, at: Span) -> Read<Node> {
        let Some((_, amount)) = self.anchors.get(&anchor) else {
            let message = "the alias stands inside the value that it repeats";
            return Err(self.fatal("yaml/alias-cycle", at, message));
        };
        self.count(*amount, at)?;
        match self.anchors.get(&anchor) {
            Some((node, _)) => Ok(node.clone()),
            None => Err(self.fatal("yaml/alias-cycle", at, "the alias repeats nothing")),
        }
    }

    fn list(&mut self, start: Span, depth: usize) -> Read<Node> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, marks) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                let end = items.last().map_or(start, |item| item.span);
                let span = start.to(self.end_of_collection(end, marks));
                return Ok(Node {
                    kind: Kind::List(items),
                    span,
                });
            }
            items.push(self.node(event, marks, depth + 1)?);
        }
    }

    fn map(&mut self, start: Span, depth: usize) -> Read<Node> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Span> = HashMap::new();
        loop {
            let (event, marks) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                let end = entries.last().map_or(start, |entry| entry.value.span);
                let span = start.to(self.end_of_collection(end, marks));
                return Ok(Node {
                    kind: Kind::Map(entries),
                    span,
                });
            }
            let key = self.key(event, marks)?;
            let (event, marks) = self.next()?;
            let value = self.node(event, marks, depth + 1)?;
            let Some(key) = key else { continue };
            match seen.get(&key.text) {
                Some(first) => {
                    let message = format!("the key `{}` stands twice", key.text);
                    let diagnostic =
                        Diagnostic::error("yaml/duplicate-key", self.file, key.span, message);
                    self.diagnostics
                        .push(diagnostic.with_label(*first, "the first one"));
                }
                None => {
                    seen.insert(key.text.clone(), key.span);
                    entries.push(Entry { key, value });
                }
            }
        }
    }

    /// The last byte of a collection: its own closing sign in flow style, its last value's end in
    /// block style, where the end event stands at whatever follows.
    fn end_of_collection(&self, last: Span, marks: Marks) -> Span {
        let end = span(marks);
        let text = self.file.text().get(end.start..end.end).unwrap_or("");
        if matches!(text, "]" | "}") { end } else { last }
    }

    /// A key, which must be a scalar; what it looks like does not matter, so `1` is the text "1".
    fn key(&mut self, event: Event<'a>, marks: Marks) -> Read<Option<Name>> {
        let at = span(marks);
        match event {
            Event::Scalar(text, style, _, _) => {
                self.count(Amount::of(text.len()), at)?;
                if text == "<<" && style == ScalarStyle::Plain {
                    let message = "merge keys (`<<`) are not supported";
                    let help = "repeat the whole value with an alias, or write the keys out";
                    let diagnostic =
                        Diagnostic::error("yaml/merge-key", self.file, at, message).with_help(help);
                    self.diagnostics.push(diagnostic);
                    return Ok(None);
                }
                Ok(Some(Name {
                    text: text.into_owned(),
                    span: at,
                }))
            }
            Event::Alias(anchor) => match self.alias(anchor, at)?.kind {
                Kind::String(text) => Ok(Some(Name { text, span: at })),
                _ => Err(self.fatal("yaml/key", at, "a key must be text")),
            },
            _ => Err(self.fatal("yaml/key", at, "a key must be text")),
        }
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, tag: Option<&Tag>, at: Span) -> Kind {
        let resolved = match tag.map(|tag| (tag, tag.core_suffix())) {
            Some((_, Some("str"))) => return Kind::String(text),
            None if style == ScalarStyle::Plain => scalar::plain(&text),
            None => return Kind::String(text),
            Some((_, Some(wanted @ ("int" | "float" | "bool" | "null")))) => scalar::plain(&text)
                .and_then(|kind| match (&kind, wanted) {
                    (Kind::Number(_), "int" | "float")
                    | (Kind::Bool(_), "bool")
                    | (Kind::Null, "null") => Ok(kind),
                    _ => Err(format!("`{text}` is not what its tag says")),
                }),
            Some((tag, _)) => Err(unsupported(tag)),
        };
        resolved.unwrap_or_else(|message| {
            self.diagnostics
                .push(Diagnostic::error("yaml/value", self.file, at, message));
            Kind::String(text)
        })
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, at: Span) {
        if let Some(tag) = tag.filter(|tag| !matches!(tag.core_suffix(), Some("seq" | "map"))) {
            let diagnostic = Diagnostic::error("yaml/value", self.file, at, unsupported(tag));
            self.diagnostics.push(diagnostic);
        }
    }
}

fn unsupported(tag: &Tag) -> String {
    format!("the tag `{}` is not supported", tag.original())
}

fn span(marks: Marks) -> Span {
    let range = marks.byte_range().unwrap_or(0..0);
    Span {
        start: range.start,
        end: range.end.max(range.start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(text: &str) -> (Option<Node>, String) {
        let file = SourceFile::new("f", text);
        let mut diagnostics = Diagnostics::new();
        let node = parse(&file, &mut diagnostics);
        (node, diagnostics.to_string())
    }

    fn check(text: &str, expected: Value) {
        let (node, diagnostics) = read(text);
        assert_eq!(diagnostics, "", "{text}");
        assert_eq!(node.map(|node| node.to_json()), Some(expected), "{text}");
    }

    fn check_error(text: &str, expected: &str) {
        let (_, diagnostics) = read(text);
        assert!(diagnostics.starts_with(expected), "{text}: {diagnostics}");
    }

    #[test]
    fn reads_values() {
        check(
            "a: 1\nb: [x, 'y', \"1\", 1.5, ~, true]\n",
            json!({
                "a": 1, "b": ["x", "y", "1", 1.5, null, true],
            }),
        );
        check("on:\n  manual:\n", json!({"on": {"manual": null}}));
        check("1: a\ntrue: b\n", json!({"1": "a", "true": "b"}));
        check(
            "a: |\n  x\n  y\nb: >-\n  x\n  y\n",
            json!({"a": "x\ny\n", "b": "x y"}),
        );
        check(
            "a: &x {b: 1}\nc: *x\nd: [*x, *x]\n",
            json!({
                "a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}, {"b": 1}],
            }),
        );
        check("a: !!str 1\nb: !!int 2\n", json!({"a": "1", "b": 2}));
        check("---\na: 1\n...\n", json!({"a": 1}));
        check("\u{feff}a: 1\n", json!({"a": 1}));
    }

    #[test]
    fn knows_where_values_stand() {
        let text = "a: 1\nb:\n  - x\n  - {y: 'z'}\nc: |\n  t\n# end\n";
        let (node, _) = read(text);
        let mut found = Vec::new();
        collect(&node.unwrap(), &mut |span| {
            found.push(&text[span.start..span.end])
        });
        assert_eq!(
            found,
            [
                "a: 1\nb:\n  - x\n  - {y: 'z'}\nc: |\n  t\n",
                "1",
                "- x\n  - {y: 'z'}",
                "x",
                "{y: 'z'}",
                "'z'",
                "t\n"
            ]
        );
    }

    fn collect(node: &Node, seen: &mut impl FnMut(Span)) {
        seen(node.span);
        match &node.kind {
            Kind::List(items) => items.iter().for_each(|item| collect(item, seen)),
            Kind::Map(entries) => entries.iter().for_each(|entry| collect(&entry.value, seen)),
            _ => {}
        }
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        check_error("", "f:1:1: error[yaml/empty]");
        check_error("# only\n", "f:1:1: error[yaml/empty]");
        check_error("a: [1,\nb: 2", "f:1:4: error[yaml/syntax]");
        check_error("a: 'x\n", "f:2:1: error[yaml/syntax]");
        check_error("a: 1\n\tb: 2\n", "f:1:4: error[yaml/syntax]");
        check_error(
            "a: 1\na: 2\n",
            "f:2:1: error[yaml/duplicate-key]: the key `a` stands twice",
        );
        check_error("a: 1\n---\nb: 2\n", "f:2:1: error[yaml/second-document]");
        check_error("? [a]\n: 1\n", "f:1:3: error[yaml/key]");
        check_error("a: &x 1\n<<: *x\n", "f:2:1: error[yaml/merge-key]");
        check_error("a: *x\n", "f:1:4: error[yaml/syntax]");
        check_error("a: &x [*x]\n", "f:1:8: error[yaml/alias-cycle]");
        check_error(
            "a: !env HOME\n",
            "f:1:9: error[yaml/value]: the tag `!env` is not supported",
        );
        check_error("a: .inf\n", "f:1:4: error[yaml/value]");
    }

    #[test]
    fn stays_within_its_limits() {
        check_error(
            &("[".repeat(70) + &"]".repeat(70)),
            "f:1:66: error[yaml/too-deep]",
        );
        check_error(
            &"x".repeat(MAX_SOURCE_BYTES + 1),
            "f:1:1: error[yaml/too-large]",
        );
        check_error(
            &"- 1\n".repeat(MAX_YAML_VALUES),
            "f:100000:3: error[yaml/too-many-values]",
        );
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        check_error(&bomb, "f:5:");
        // Few values, and each of them large.
        let text = "x".repeat(MAX_YAML_TEXT / 16);
        let bomb = |aliases: usize| format!("a: &a [{text}]\nb: [{}]\n", "*a, ".repeat(aliases));
        let (node, _) = read(&bomb(14));
        assert!(node.is_some());
        check_error(&bomb(15), "f:2:61: error[yaml/too-much-text]");
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_is_written_makes_it_panic(text in "\\PC{0,80}") {
            read(&text);
        }

        #[test]
        fn nothing_like_yaml_makes_it_panic(
            tokens in proptest::collection::vec(proptest::sample::select(vec![
                "a", ":", " ", "\n", "  ", "- ", "[", "]", "{", "}", ",", "'", "\"", "|", ">", "&x",
                "*x", "!!str", "?", "#", "%", "---", "...", "\t", "ü", "\\", "<<", "~", "1", "@",
            ]), 0..40),
        ) {
            let (node, _) = read(&tokens.concat());
            if let Some(node) = node {
                let text = tokens.concat();
                collect(&node, &mut |span| assert!(text.get(span.start..span.end).is_some()));
            }
        }
    }
}
