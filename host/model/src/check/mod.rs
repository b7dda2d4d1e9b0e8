//! Holds a workflow against the project's plugins and connections before anything runs.

mod body;
mod facts;
mod fit;
mod functions;
mod infer;
mod operators;
mod plan;
mod shape;
mod step;
mod trigger;
mod types;

pub(crate) use facts::named_steps;
pub use plan::validate;

use crate::workflow::{Content, Form, Placed, TextPart};
use crate::{Diagnostic, Diagnostics, SourceFile};
use fit::Validators;
use infer::Names;
use shape::{Shape, ShapeKind};
use types::Type;

/// What one check shares: the file, and where problems go.
struct Checker<'a> {
    file: &'a SourceFile,
    diagnostics: Diagnostics,
    validators: Validators,
}

impl Checker<'_> {
    /// What is known of a value; reports what is wrong with its expressions.
    fn shape(&mut self, content: &Content<'_>, names: &Names<'_>) -> Shape {
        let kind = match &content.form {
            Form::Scalar(value) => ShapeKind::Scalar(value.clone()),
            Form::Expression(placed) => ShapeKind::Typed(self.infer(placed, names)),
            Form::Text(parts) => {
                for part in parts {
                    if let TextPart::Expression(placed) = part {
                        self.text_part(placed, names);
                    }
                }
                ShapeKind::Typed(Type::String)
            }
            Form::List(items) => {
                ShapeKind::List(items.iter().map(|item| self.shape(item, names)).collect())
            }
            Form::Object(fields) => {
                let field = |(name, field): &(_, Content<'_>)| {
                    (crate::yaml::Name::clone(name), self.shape(field, names))
                };
                ShapeKind::Object(fields.iter().map(field).collect())
            }
            Form::Render { data, .. } => {
                self.shape(data, names);
                ShapeKind::Typed(Type::String)
            }
            Form::Broken => ShapeKind::Typed(Type::Any),
        };
        let span = match &content.form {
            Form::Expression(placed) => placed.whole(self.file),
            _ => content.span,
        };
        Shape { kind, span }
    }

    /// The type of a value.
    fn type_of(&mut self, content: &Content<'_>, names: &Names<'_>) -> Type {
        self.shape(content, names).to_type()
    }

    fn infer(&mut self, placed: &Placed<'_>, names: &Names<'_>) -> Type {
        let (found, problems) = infer::infer(&placed.expression, names);
        for problem in problems {
            let span = placed.span(self.file, problem.range);
            let error = Diagnostic::error(problem.code, self.file, span, problem.message);
            self.diagnostics.push(Diagnostic {
                help: problem.help,
                ..error
            });
        }
        found
    }

    fn text_part(&mut self, placed: &Placed<'_>, names: &Names<'_>) {
        let found = self.infer(placed, names);
        let help = match found {
            Type::List(_) => "join it: .join(\", \")",
            Type::Object(_) | Type::Steps | Type::Step(_) => "take one of its fields",
            Type::Bytes => "make text of it with string(…)",
            Type::Null => "remove the expression",
            _ => return,
        };
        let message = format!("{} cannot stand in text", found.described());
        let span = placed.whole(self.file);
        let error = Diagnostic::error("expression/wrong-type", self.file, span, message);
        self.diagnostics.push(error.with_help(help));
    }

    /// Reports a value that cannot be of the type that its place needs.
    fn must_be(
        &mut self,
        content: &Content<'_>,
        names: &Names<'_>,
        what: &str,
        wanted: &Type,
    ) -> Type {
        let shape = self.shape(content, names);
        let found = shape.to_type();
        if !found.meets(wanted) {
            let message = format!(
                "{what} must be {}, not {}",
                wanted.described(),
                found.described()
            );
            let error = Diagnostic::error("expression/wrong-type", self.file, shape.span, message);
            self.diagnostics.push(error);
        }
        found
    }
}

impl Shape {
    fn to_type(&self) -> Type {
        match &self.kind {
            ShapeKind::Scalar(value) => Type::of_value(value),
            ShapeKind::List(items) => {
                Type::list(items.iter().map(Self::to_type).fold(Type::Never, Type::or))
            }
            ShapeKind::Object(fields) => {
                let field = |(name, field): &(crate::yaml::Name, Self)| {
                    (name.text.clone(), field.to_type())
                };
                Type::object(fields.iter().map(field), false)
            }
            ShapeKind::Typed(found) => found.clone(),
        }
    }
}
