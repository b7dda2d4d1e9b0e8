//! Values with expressions and body templates in them.

use std::ops::Range;

use serde_json::Value;

use crate::expression::{Expression, Language, Part, split};
use crate::reader::Reader;
use crate::yaml::{Entry, Kind, Name, Node};
use crate::{Piece, SourceFile, Span, Template};

/// A value as it is written.
pub(crate) struct Content<'n> {
    pub(crate) form: Form<'n>,
    pub(crate) span: Span,
}

/// How it is written.
pub(crate) enum Form<'n> {
    /// A scalar without expressions.
    Scalar(Value),
    /// One whole expression.
    Expression(Placed<'n>),
    /// Text with expressions in it.
    Text(Vec<TextPart<'n>>),
    List(Vec<Content<'n>>),
    Object(Vec<(Name, Content<'n>)>),
    /// A body template.
    Render {
        template: Name,
        data: Box<Content<'n>>,
    },
    /// Something that could not be read, and was reported.
    Broken,
}

/// A piece of a text.
pub(crate) enum TextPart<'n> {
    Text(String),
    Expression(Placed<'n>),
}

/// An expression that knows where it stands.
pub(crate) struct Placed<'n> {
    pub(crate) expression: Expression,
    node: &'n Node,
    /// Where it starts in the node's text.
    start: usize,
}

impl Placed<'_> {
    /// Where bytes of the expression stand in the file.
    pub(crate) fn span(&self, file: &SourceFile, range: Range<usize>) -> Span {
        self.node.locate(
            file.text(),
            self.start + range.start..self.start + range.end,
        )
    }

    /// Where the whole expression stands.
    pub(crate) fn whole(&self, file: &SourceFile) -> Span {
        self.span(file, 0..self.expression.text().len())
    }
}

impl Content<'_> {
    /// The form that plans keep.
    pub(crate) fn to_template(&self) -> Template {
        match &self.form {
            Form::Scalar(value) => Template::Literal(value.clone()),
            Form::Expression(placed) => Template::Expression(placed.expression.text().to_owned()),
            Form::Text(parts) => Template::Text(parts.iter().map(TextPart::to_piece).collect()),
            Form::List(items) => match self.literal() {
                Some(value) => Template::Literal(value),
                None => Template::List(items.iter().map(Content::to_template).collect()),
            },
            Form::Object(fields) => match self.literal() {
                Some(value) => Template::Literal(value),
                None => {
                    let field = |(name, field): &(Name, Content<'_>)| {
                        (name.text.clone(), field.to_template())
                    };
                    Template::Object(fields.iter().map(field).collect())
                }
            },
            Form::Render { template, data } => Template::Render {
                template: template.text.clone(),
                data: Box::new(data.to_template()),
            },
            Form::Broken => Template::Literal(Value::Null),
        }
    }

    /// The value, where there is no expression and no template in it.
    pub(crate) fn literal(&self) -> Option<Value> {
        match &self.form {
            Form::Scalar(value) => Some(value.clone()),
            Form::List(items) => items
                .iter()
                .map(Content::literal)
                .collect::<Option<_>>()
                .map(Value::Array),
            Form::Object(fields) => {
                let field = |(name, field): &(Name, Content<'_>)| {
                    Some((name.text.clone(), field.literal()?))
                };
                fields
                    .iter()
                    .map(field)
                    .collect::<Option<_>>()
                    .map(Value::Object)
            }
            Form::Expression(_) | Form::Text(_) | Form::Render { .. } | Form::Broken => None,
        }
    }

    /// Hands over every expression.
    pub(crate) fn each_expression(&self, found: &mut impl FnMut(&Expression)) {
        match &self.form {
            Form::Scalar(_) | Form::Broken => {}
            Form::Expression(placed) => found(&placed.expression),
            Form::Text(parts) => parts.iter().for_each(|part| {
                if let TextPart::Expression(placed) = part {
                    found(&placed.expression);
                }
            }),
            Form::List(items) => items.iter().for_each(|item| item.each_expression(found)),
            Form::Object(fields) => {
                fields
                    .iter()
                    .for_each(|(_, field)| field.each_expression(found));
            }
            Form::Render { data, .. } => data.each_expression(found),
        }
    }

    /// An object without fields.
    pub(crate) const fn empty(span: Span) -> Self {
        Self {
            form: Form::Object(Vec::new()),
            span,
        }
    }
}

impl TextPart<'_> {
    fn to_piece(&self) -> Piece {
        match self {
            Self::Text(text) => Piece::Text(text.clone()),
            Self::Expression(placed) => Piece::Expression(placed.expression.text().to_owned()),
        }
    }
}

/// Reads a value. Body templates are known by their two keys, and stand inside `with` alone.
pub(super) fn content<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    node: &'n Node,
    may_render: bool,
) -> Content<'n> {
    let form = match &node.kind {
        Kind::Null | Kind::Bool(_) | Kind::Number(_) => Form::Scalar(node.to_json()),
        Kind::String(text) => written(reader, language, node, text),
        Kind::List(items) => {
            let item = |item| content(reader, language, item, may_render);
            Form::List(items.iter().map(item).collect())
        }
        Kind::Map(entries) if may_render && is_body_template(entries) => {
            render(reader, language, node.span, entries)
        }
        Kind::Map(entries) => Form::Object(object(reader, language, entries, may_render)),
    };
    Content {
        form,
        span: node.span,
    }
}

/// Reads the fields of an object; it is itself no body template.
pub(super) fn object<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    entries: &'n [Entry],
    may_render: bool,
) -> Vec<(Name, Content<'n>)> {
    let mut field = |Entry { key, value }: &'n Entry| {
        (key.clone(), content(reader, language, value, may_render))
    };
    entries.iter().map(&mut field).collect()
}

fn is_body_template(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| entry.key.text == "template")
        && entries
            .iter()
            .all(|entry| matches!(entry.key.text.as_str(), "template" | "data"))
}

fn render<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    span: Span,
    entries: &'n [Entry],
) -> Form<'n> {
    let mut template = None;
    let mut data = Content::empty(span);
    for Entry { key, value } in entries {
        if key.text == "data" {
            data = content(reader, language, value, false);
            if !matches!(
                data.form,
                Form::Object(_) | Form::Expression(_) | Form::Broken
            ) {
                reader.wrong_type(value, "`data`", "a mapping");
            }
        } else {
            template = reader.text(value, "`template`").filter(|path| {
                let problem = path_problem(&path.text);
                let code = reader.codes.value;
                if let Some(problem) = problem {
                    let message = format!("`{}` is no path of a template: {problem}", path.text);
                    let help = "write the path from the workflow's file, with `/`";
                    reader.push(reader.error(code, path.span, message).with_help(help));
                }
                problem.is_none()
            });
        }
    }
    match template {
        Some(template) => Form::Render {
            template,
            data: Box::new(data),
        },
        None => Form::Broken,
    }
}

fn path_problem(path: &str) -> Option<&'static str> {
    if path.contains("${{") {
        return Some("it must be written out, so that it can be checked");
    }
    if path.starts_with('/') || path.contains(['\\', ':', '\0']) {
        return Some("it must be relative");
    }
    if path.split('/').any(|part| matches!(part, ".." | "." | "")) {
        return Some("it must lead down from the workflow's folder");
    }
    None
}

fn written<'n>(
    reader: &mut Reader<'_>,
    language: &Language,
    node: &'n Node,
    text: &str,
) -> Form<'n> {
    let parts = match split(text) {
        Ok(parts) => parts,
        Err(unclosed) => {
            let at = node.locate(reader.file.text(), unclosed.0..unclosed.0 + 3);
            let error = reader.error("expression/unclosed", at, "this `${{` has no `}}`");
            let help = "close it, or write the sign itself as ${{ \"${{\" }}";
            reader.push(error.with_help(help));
            return Form::Broken;
        }
    };
    if parts.iter().all(|part| matches!(part, Part::Text(_))) {
        return Form::Scalar(Value::String(text.to_owned()));
    }
    let is_whole = parts.len() == 1;
    let mut pieces = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Part::Text(range) => pieces.push(TextPart::Text(text[range].to_owned())),
            Part::Expression(range) => match language.parse(&text[range.clone()]) {
                Ok(expression) => {
                    let placed = Placed {
                        expression,
                        node,
                        start: range.start,
                    };
                    if is_whole {
                        return Form::Expression(placed);
                    }
                    pieces.push(TextPart::Expression(placed));
                }
                Err(error) => {
                    let start = range.start;
                    let place = start + error.range.start..start + error.range.end;
                    let span = node.locate(reader.file.text(), place);
                    reader.push(reader.error("expression/syntax", span, error.message));
                    return Form::Broken;
                }
            },
        }
    }
    Form::Text(pieces)
}
