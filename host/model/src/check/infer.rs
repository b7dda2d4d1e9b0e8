//! The types of expressions, and what is wrong with them before anything runs.

use std::ops::Range;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr,
    SelectExpr, operators,
};

use super::facts::{StepFacts, cycle, string_literal};
use super::functions::{self, Mismatch};
use super::operators::{computed, order, sign};
use super::types::Type;
use crate::diagnostic::suggestion;
use crate::expression::{Expression, operator};

/// What expressions of one place in a workflow can see.
#[derive(Debug, Clone)]
pub(crate) struct Names<'a> {
    /// `inputs`.
    pub(crate) inputs: Type,
    /// All steps of the workflow.
    pub(crate) steps: &'a [StepFacts],
    /// How many of them are done before this place. The next one, if there is one, is where the
    /// place is.
    pub(crate) finished: usize,
    /// `item`, where the step repeats.
    pub(crate) item: Option<Type>,
    /// `failure`, in the steps of `on-error`.
    pub(crate) failure: Option<Type>,
    /// `event`, in the inputs of a trigger, which see nothing else.
    pub(crate) event: Option<Type>,
}

/// Something wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// Where, in bytes of the expression.
    pub(crate) range: Range<usize>,
}

const UNKNOWN_NAME: &str = "expression/unknown-name";
const UNKNOWN_STEP: &str = "expression/unknown-step";
const LATER_STEP: &str = "expression/later-step";
const CYCLE: &str = "expression/cycle";
const UNKNOWN_FIELD: &str = "expression/unknown-field";
const UNKNOWN_FUNCTION: &str = "expression/unknown-function";
const WRONG_TYPE: &str = "expression/wrong-type";

/// The type of an expression, and its problems.
pub(crate) fn infer(expression: &Expression, names: &Names<'_>) -> (Type, Vec<Problem>) {
    let mut inference = Inference {
        expression,
        names,
        locals: Vec::new(),
        problems: Vec::new(),
    };
    let found = inference.node(expression.ast());
    (found, inference.problems)
}

struct Inference<'a> {
    expression: &'a Expression,
    names: &'a Names<'a>,
    /// Variables of the macros around, the innermost last.
    locals: Vec<(String, Type)>,
    problems: Vec<Problem>,
}

impl Inference<'_> {
    fn problem(
        &mut self,
        id: u64,
        code: &'static str,
        message: String,
        help: Option<String>,
    ) -> Type {
        let range = self.expression.range(id);
        let problem = Problem {
            code,
            message,
            help,
            range,
        };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
        Type::Any
    }

    fn node(&mut self, node: &IdedExpr) -> Type {
        match &node.expr {
            Expr::Unspecified => Type::Any,
            Expr::Literal(literal) => of_literal(literal),
            Expr::Ident(name) => self.name(node.id, name.trim_start_matches('.')),
            Expr::Select(select) => self.select(node.id, select),
            Expr::Call(call) => self.call(node.id, call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(made) => {
                let message = format!("there is no type `{}`", made.type_name);
                let help = "an object is written {\"field\": value}".to_owned();
                self.problem(node.id, UNKNOWN_NAME, message, Some(help))
            }
        }
    }

    fn name(&mut self, id: u64, name: &str) -> Type {
        const TYPES: [&str; 10] = [
            "bool",
            "int",
            "uint",
            "double",
            "string",
            "bytes",
            "list",
            "map",
            "null_type",
            "type",
        ];
        if let Some((_, known)) = self.locals.iter().rev().find(|(local, _)| local == name) {
            return known.clone();
        }
        if let Some(event) = &self.names.event {
            return match name {
                "event" => event.clone(),
                _ if TYPES.contains(&name) => Type::Any,
                _ => {
                    let message = format!("`{name}` is not known here");
                    let help = "a trigger sees `event`, and there is no run yet".to_owned();
                    self.problem(id, UNKNOWN_NAME, message, Some(help))
                }
            };
        }
        match (name, &self.names.item) {
            ("inputs", _) => self.names.inputs.clone(),
            ("steps", _) => Type::Steps,
            ("run", _) => {
                let fields = ["id", "workflow"].map(|name| (name.to_owned(), Type::String));
                Type::object(fields, false)
            }
            ("item", Some(item)) => item.clone(),
            ("index", Some(_)) => Type::Int,
            ("failure", _) => match &self.names.failure {
                Some(failure) => failure.clone(),
                None => {
                    let message = "`failure` is there only in steps of `on-error`".to_owned();
                    self.problem(id, UNKNOWN_NAME, message, None)
                }
            },
            ("event", _) => {
                let message = "`event` is there only in a trigger".to_owned();
                let help = "hand on what you need of it as an input".to_owned();
                self.problem(id, UNKNOWN_NAME, message, Some(help))
            }
            ("item" | "index", None) => {
                let message = format!("`{name}` is there only in steps with `for-each`");
                self.problem(id, UNKNOWN_NAME, message, None)
            }
            _ if TYPES.contains(&name) => Type::Any,
            _ => {
                let failure = self.names.failure.as_ref().map(|_| "failure");
                let roots = ["inputs", "steps", "run", "item", "index"].into_iter();
                let roots = roots.chain(failure);
                let locals = self.locals.iter().map(|(local, _)| local.as_str());
                let locals = locals.filter(|local| !local.starts_with('@'));
                let help = suggestion(name, roots.chain(locals));
                self.problem(id, UNKNOWN_NAME, format!("`{name}` is not known"), help)
            }
        }
    }

    fn select(&mut self, id: u64, select: &SelectExpr) -> Type {
        let of = self.node(&select.operand);
        let field = self.field(id, &of, &select.field);
        if select.test { Type::Bool } else { field }
    }

    fn field(&mut self, id: u64, of: &Type, name: &str) -> Type {
        match of {
            Type::Any | Type::Never => Type::Any,
            Type::Steps => self.step(id, name),
            Type::Step(at) => self.step_field(id, *at, name),
            Type::Object(object) => match object.fields.get(name) {
                Some(field) => field.clone(),
                None if object.is_open => Type::Any,
                None => {
                    let of = match of {
                        _ if *of == self.names.inputs => "the workflow has no input",
                        _ if object.is_document => "a document has no field",
                        _ => "there is no field",
                    };
                    let message = format!("{of} `{name}`");
                    let known = object.fields.keys().map(String::as_str);
                    let help = minus(name, known.clone()).or_else(|| suggestion(name, known));
                    self.problem(id, UNKNOWN_FIELD, message, help)
                }
            },
            _ => {
                let message = format!("{} has no fields, and no `{name}`", of.described());
                self.problem(id, WRONG_TYPE, message, None)
            }
        }
    }

    fn step(&mut self, id: u64, name: &str) -> Type {
        let steps = self.names.steps;
        let finished = self.names.finished;
        match steps.iter().position(|step| step.id == name) {
            Some(at) if at < finished => Type::Step(at),
            Some(at) if at == finished => {
                let message = format!("the step `{name}` needs itself");
                let help = "a step sees the steps before it".to_owned();
                self.problem(id, CYCLE, message, Some(help))
            }
            Some(later) => {
                if let Some(cycle) = cycle(steps, finished, later) {
                    let message = format!("these steps need each other: {cycle}");
                    let help = "a step sees the steps before it; break the cycle".to_owned();
                    return self.problem(id, CYCLE, message, Some(help));
                }
                let message = format!("the step `{name}` runs later");
                let help = "steps run in order, and see the ones before them; move one of the two";
                self.problem(id, LATER_STEP, message, Some(help.to_owned()))
            }
            None => {
                let earlier = steps.iter().take(finished).map(|step| step.id.as_str());
                let help = minus(name, earlier.clone()).or_else(|| suggestion(name, earlier));
                self.problem(id, UNKNOWN_STEP, format!("there is no step `{name}`"), help)
            }
        }
    }

    fn step_field(&mut self, id: u64, at: usize, name: &str) -> Type {
        let Some(step) = self.names.steps.get(at) else {
            return Type::Any;
        };
        match name {
            "output" => step.output.clone(),
            "failure" if step.may_fail => Type::failure(),
            "failure" => {
                let message = format!("the step `{}` has no failure to look at", step.id);
                let help = "a failure ends the run, unless the step says `continue-on-error: true`";
                self.problem(id, UNKNOWN_FIELD, message, Some(help.to_owned()))
            }
            _ => {
                let message = format!("a step has no field `{name}`");
                let help = match &step.output {
                    Type::Object(output) if output.fields.contains_key(name) => {
                        Some(format!("did you mean `steps.{}.output.{name}`?", step.id))
                    }
                    _ => suggestion(name, ["output", "failure"]),
                };
                self.problem(id, UNKNOWN_FIELD, message, help)
            }
        }
    }

    fn list(&mut self, list: &ListExpr) -> Type {
        let mut element = Type::Never;
        for (at, node) in list.elements.iter().enumerate() {
            let found = self.node(node);
            let is_optional = list.optional_indices.contains(&at);
            element = element.or(if is_optional { Type::Any } else { found });
        }
        Type::list(element)
    }

    fn map(&mut self, map: &MapExpr) -> Type {
        let mut fields = Vec::new();
        let mut is_open = false;
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                continue;
            };
            let (key, value) = (self.node(&entry.key), self.node(&entry.value));
            match string_literal(&entry.key) {
                Some(_) if entry.optional => is_open = true,
                Some(name) => fields.push((name.to_owned(), value)),
                None => {
                    is_open = true;
                    if !key.meets(&Type::String) {
                        let message = format!("a key must be text, not {}", key.described());
                        self.problem(entry.key.id, WRONG_TYPE, message, None);
                    }
                }
            }
        }
        Type::object(fields, is_open)
    }

    /// What the macros `map`, `filter`, `all`, `exists` and `exists_one` become.
    fn comprehension(&mut self, made: &ComprehensionExpr) -> Type {
        let item = match self.node(&made.iter_range) {
            Type::List(item) => item.as_ref().clone(),
            Type::Any | Type::Never => Type::Any,
            Type::Object(_) | Type::Steps | Type::Step(_) => Type::String,
            other => {
                let message = format!("{} has no elements to go through", other.described());
                self.problem(made.iter_range.id, WRONG_TYPE, message, None)
            }
        };
        let start = self.node(&made.accu_init);
        let before = self.locals.len();
        self.locals.push((made.accu_var.clone(), start.clone()));
        self.locals.push((made.iter_var.clone(), item));
        self.node(&made.loop_cond);
        let grown = self.node(&made.loop_step);
        self.locals.truncate(before);
        self.locals.push((made.accu_var.clone(), start.or(grown)));
        let result = self.node(&made.result);
        self.locals.truncate(before);
        result
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Type {
        if let (Some(target), args) = (&call.target, &call.args) {
            return self.method(id, call, target, args);
        }
        let args: Vec<Type> = call.args.iter().map(|arg| self.node(arg)).collect();
        let name = operator(&call.func_name);
        match (name, args.as_slice()) {
            (operators::CONDITIONAL, [condition, yes, no]) => {
                self.must_be_bool(&call.args[0], condition);
                yes.clone().or(no.clone())
            }
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [a, b]) => {
                self.must_be_bool(&call.args[0], a);
                self.must_be_bool(&call.args[1], b);
                Type::Bool
            }
            (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, [a]) => {
                self.must_be_bool(&call.args[0], a);
                Type::Bool
            }
            (operators::EQUALS | operators::NOT_EQUALS, [a, b]) => self.equality(id, a, b),
            (operators::IN, [_, of]) => self.membership(id, of),
            (operators::INDEX, [of, index]) => self.index(id, of, index, &call.args[1]),
            (operators::OPT_INDEX, [of, index]) => {
                self.index(id, of, index, &call.args[1]);
                Type::Any
            }
            (operators::OPT_SELECT, [of, _]) => {
                if let Some(name) = string_literal(&call.args[1]) {
                    self.field(id, of, name);
                }
                Type::Any
            }
            (_, [a, b]) if sign(name).is_some() => self.arithmetic(id, name, a, b),
            (operators::NEGATE, [a]) if a.is_unknown() || a.is_number() => a.clone(),
            (operators::NEGATE, [a]) => {
                let message = format!("{} has no negative", a.described());
                self.problem(id, WRONG_TYPE, message, None)
            }
            _ => self.function(id, &call.func_name, false, &args),
        }
    }

    fn method(&mut self, id: u64, call: &CallExpr, target: &IdedExpr, args: &[IdedExpr]) -> Type {
        let name = call.func_name.as_str();
        if let Expr::Ident(namespace) = &target.expr {
            let is_local = self.locals.iter().any(|(local, _)| local == namespace);
            if !is_local && functions::is_namespace(namespace) {
                args.iter().for_each(|arg| drop(self.node(arg)));
                return functions::qualified(namespace, name, args.len()).unwrap_or_else(|| {
                    let message = format!("there is no function `{namespace}.{name}` like this");
                    self.problem(id, UNKNOWN_FUNCTION, message, None)
                });
            }
        }
        let mut all = vec![self.node(target)];
        all.extend(args.iter().map(|arg| self.node(arg)));
        self.function(id, name, true, &all)
    }

    fn function(&mut self, id: u64, name: &str, is_method: bool, args: &[Type]) -> Type {
        let mismatch = match functions::call(name, is_method, args) {
            Ok(result) => return result,
            Err(mismatch) => mismatch,
        };
        let shown = args
            .iter()
            .map(Type::described)
            .collect::<Vec<_>>()
            .join(", ");
        match mismatch {
            Mismatch::Unknown if functions::names(!is_method).contains(&name) => {
                let message = format!("`{name}` is called another way");
                let help = if is_method {
                    format!("write {name}(x)")
                } else {
                    format!("write x.{name}(…)")
                };
                self.problem(id, UNKNOWN_FUNCTION, message, Some(help))
            }
            Mismatch::Unknown => {
                let help = suggestion(name, functions::names(is_method));
                let message = format!("there is no function `{name}`");
                self.problem(id, UNKNOWN_FUNCTION, message, help)
            }
            Mismatch::Count => {
                let message = format!("`{name}` does not take that many arguments");
                self.problem(id, WRONG_TYPE, message, None)
            }
            Mismatch::Types => {
                let message = format!("`{name}` does not work on {shown}");
                self.problem(id, WRONG_TYPE, message, None)
            }
        }
    }

    fn must_be_bool(&mut self, node: &IdedExpr, found: &Type) {
        if !found.meets(&Type::Bool) {
            let message = format!("this must be true or false, not {}", found.described());
            self.problem(node.id, WRONG_TYPE, message, None);
        }
    }

    fn equality(&mut self, id: u64, a: &Type, b: &Type) -> Type {
        let may_be = a.meets(b)
            || (a.is_number() && b.is_number())
            || matches!((a, b), (Type::Null, _) | (_, Type::Null));
        if !may_be {
            let message = format!("{} and {} are never equal", a.described(), b.described());
            self.problem(id, WRONG_TYPE, message, None);
        }
        Type::Bool
    }

    fn membership(&mut self, id: u64, of: &Type) -> Type {
        if !matches!(of, Type::List(_) | Type::Object(_) | Type::Steps) && !of.is_unknown() {
            let message = format!(
                "nothing is in {}; `in` takes a list or an object",
                of.described()
            );
            let help = (*of == Type::String).then(|| "for text, use .contains(…)".to_owned());
            self.problem(id, WRONG_TYPE, message, help);
        }
        Type::Bool
    }

    fn index(&mut self, id: u64, of: &Type, index: &Type, written: &IdedExpr) -> Type {
        match of {
            Type::Any | Type::Never => Type::Any,
            Type::List(item) if index.is_unknown() || index.is_number() => item.as_ref().clone(),
            Type::Object(_) | Type::Steps | Type::Step(_) => match string_literal(written) {
                Some(name) => self.field(written.id, of, name),
                None if index.meets(&Type::String) => Type::Any,
                None => {
                    let message = format!("a field's name is text, not {}", index.described());
                    self.problem(written.id, WRONG_TYPE, message, None)
                }
            },
            _ => {
                let (of, index) = (of.described(), index.described());
                let message = format!("{of} has no element for {index}");
                self.problem(id, WRONG_TYPE, message, None)
            }
        }
    }

    fn arithmetic(&mut self, id: u64, name: &str, a: &Type, b: &Type) -> Type {
        let is_order = matches!(
            name,
            operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS
        );
        if let Some(result) = if is_order {
            order(a, b)
        } else {
            computed(name, a, b)
        } {
            return result;
        }
        let sign = sign(name).unwrap_or(name);
        let (left, right) = (a.described(), b.described());
        let message = format!("`{sign}` does not work on {left} and {right}");
        let is_mixed = a.is_number() && b.is_number();
        let help = match (a, b) {
            _ if is_mixed => Some("make both the same with int(…) or double(…)"),
            (Type::String, other) | (other, Type::String) if other.is_number() && !is_order => {
                Some("make text of the number with string(…)")
            }
            _ => None,
        };
        self.problem(id, WRONG_TYPE, message, help.map(str::to_owned))
    }
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::String,
        LiteralValue::UInt(_) => Type::Uint,
    }
}

/// For a name that begins with a known one and a hyphen, as in `inputs.count-1`.
fn minus<'a>(name: &str, mut known: impl Iterator<Item = &'a str>) -> Option<String> {
    let is_start = |start: &str| {
        name.strip_prefix(start)
            .is_some_and(|rest| rest.starts_with('-'))
    };
    known
        .any(is_start)
        .then(|| "to subtract, write blanks around `-`".to_owned())
}

#[cfg(test)]
#[path = "infer_tests.rs"]
mod tests;
