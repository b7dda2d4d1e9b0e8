//! Body templates of a workflow: there, well formed, and given what they read.

use std::collections::BTreeMap;

use super::Checker;
use super::fit::Validators;
use super::infer::Names;
use super::types::Type;
use crate::body::{Bodies, BodyError};
use crate::diagnostic::suggestion;
use crate::workflow::{Content, Form};
use crate::yaml::Name;
use crate::{Diagnostic, MAX_SOURCE_BYTES, SourceFile, Span};

/// Reads a body template by its path relative to the workflow's file; says why where it cannot.
pub(crate) type Load<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// The body templates that a workflow uses.
pub(super) struct Used<'a> {
    load: Load<'a>,
    bodies: Bodies,
    /// Their text by path; `None` where one cannot be used, which was reported.
    pub(super) texts: BTreeMap<String, Option<String>>,
}

impl<'a> Used<'a> {
    pub(super) fn new(load: Load<'a>) -> Self {
        Self {
            load,
            bodies: Bodies::new(),
            texts: BTreeMap::new(),
        }
    }
}

impl Checker<'_> {
    /// Checks every body template in a value.
    pub(super) fn bodies(&mut self, content: &Content<'_>, names: &Names<'_>, used: &mut Used<'_>) {
        match &content.form {
            Form::List(items) => items.iter().for_each(|item| self.bodies(item, names, used)),
            Form::Object(fields) => {
                fields
                    .iter()
                    .for_each(|(_, field)| self.bodies(field, names, used));
            }
            Form::Render { template, data } => {
                if self.is_usable(template, used) {
                    self.variables(template, data, names, used);
                }
            }
            Form::Scalar(_) | Form::Expression(_) | Form::Text(_) | Form::Broken => {}
        }
    }

    fn is_usable(&mut self, name: &Name, used: &mut Used<'_>) -> bool {
        if let Some(text) = used.texts.get(&name.text) {
            return text.is_some();
        }
        let loaded = (used.load)(&name.text).and_then(|text| match text.len() {
            0..=MAX_SOURCE_BYTES => Ok(text),
            size => Err(format!(
                "it has {size} bytes, and {MAX_SOURCE_BYTES} is the most"
            )),
        });
        let text = match loaded {
            Ok(text) => match used.bodies.add(&name.text, &text) {
                Ok(()) => Some(text),
                Err(error) => {
                    self.diagnostics.push(syntax(&name.text, text, &error));
                    None
                }
            },
            Err(why) => {
                let message = format!("the template `{}` cannot be read: {why}", name.text);
                let error = Diagnostic::error("template/missing", self.file, name.span, message);
                let help = "the path is relative to the workflow's file";
                self.diagnostics.push(error.with_help(help));
                None
            }
        };
        let is_usable = text.is_some();
        used.texts.insert(name.text.clone(), text);
        is_usable
    }

    /// Holds what a template reads against its data.
    fn variables(
        &mut self,
        template: &Name,
        data: &Content<'_>,
        names: &Names<'_>,
        used: &Used<'_>,
    ) {
        // Its expressions' problems were reported with the step's input.
        let mut silent = Checker {
            file: self.file,
            diagnostics: crate::Diagnostics::new(),
            validators: Validators::default(),
        };
        let given = silent.type_of(data, names);
        let mut read = std::collections::BTreeSet::new();
        for path in used.bodies.variables(&template.text) {
            let Some((missing, known)) = missing(&given, &path) else {
                continue;
            };
            if !read.insert(missing.clone()) {
                continue;
            }
            let message = format!(
                "`{}` reads `{missing}`, which is not in its `data`",
                template.text
            );
            let last = missing.rsplit('.').next().unwrap_or(&missing);
            let help = suggestion(last, known.iter().map(String::as_str));
            let error = Diagnostic::error(
                "template/unknown-variable",
                self.file,
                template.span,
                message,
            );
            self.diagnostics.push(Diagnostic { help, ..error });
        }
    }
}

/// The first part of a path that is not in an object of this type, and what there is in its place.
fn missing(given: &Type, path: &str) -> Option<(String, Vec<String>)> {
    let mut found = given;
    let mut end = 0;
    for part in path.split('.') {
        end += part.len() + usize::from(end > 0);
        let Type::Object(object) = found else {
            return None;
        };
        match object.fields.get(part) {
            Some(field) => found = field,
            None if object.is_open => return None,
            None => {
                let known = object.fields.keys().cloned().collect();
                return Some((path.get(..end).unwrap_or(path).to_owned(), known));
            }
        }
    }
    None
}

fn syntax(name: &str, text: String, error: &BodyError) -> Diagnostic {
    let file = SourceFile::new(name, text);
    let line = error.line.map_or(1, |line| line.max(1));
    let start = file.offset(crate::Position { line, column: 1 });
    let span = error.range.clone().map_or(Span::at(start), Span::from);
    let length = file.text().len();
    let span = Span {
        start: span.start.min(length),
        end: span.end.min(length),
    };
    Diagnostic::error("template/syntax", &file, span, error.message.clone())
}
