//! The language: CEL with what Docket adds, parsing, and evaluation.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, SourceInfo, operators};
use cel::common::types::{CelBool, DYN_TYPE};
use cel::common::value::CowVal;
use cel::{Context, Env, ExecutionError, Value as CelValue, extensions};
use serde_json::Value;

use super::hyphens::{self, Rewritten};
use super::placeholder::end_of_string;
use super::{MAX_EXPRESSION_BYTES, MAX_LOOPS, MAX_NESTING, Scope, added, convert};
use crate::{Position, SourceFile};

/// `==`, `!=` and `in` in parsed expressions. CEL's own compare lists and objects only with their
/// like, and views are none; no expression can write these names.
const EQUAL: &str = "@equal";
const UNEQUAL: &str = "@unequal";
const MEMBER: &str = "@member";

/// How much stack parsing may take, in units of what an operator takes: 1 KB in a development build.
const PARSER_DEPTH: usize = 400;
/// How much of it an open bracket takes.
const BRACKET: usize = 12;

/// CEL with what Docket adds.
pub(crate) struct Language(Arc<Env>);

/// A parsed expression.
pub(crate) struct Expression {
    /// As it was written.
    text: String,
    ast: IdedExpr,
    places: SourceInfo,
    rewritten: Rewritten,
}

/// An expression that cannot be parsed, or is beyond a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// What is wrong.
    pub(crate) message: String,
    /// Where, in bytes of the expression.
    pub(crate) range: Range<usize>,
}

impl Language {
    pub(crate) fn new() -> Self {
        let mut env = Env::stdlib();
        let added = [
            env.add_overload(EQUAL, "equal", vec![DYN_TYPE, DYN_TYPE], equal),
            env.add_overload(UNEQUAL, "unequal", vec![DYN_TYPE, DYN_TYPE], unequal),
            env.add_overload(MEMBER, "member", vec![DYN_TYPE, DYN_TYPE], member),
            env.add_extension(extensions::strings),
            env.add_extension(added::extension),
        ];
        debug_assert!(added.iter().all(Result::is_ok), "names clash: {added:?}");
        Self(Arc::new(env))
    }

    /// Parses an expression.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(crate) fn parse(&self, text: &str) -> Result<Expression, SyntaxError> {
        let whole = |message: String| SyntaxError {
            message,
            range: 0..text.len(),
        };
        if text.is_empty() {
            return Err(whole("the expression is empty".to_owned()));
        }
        if text.len() > MAX_EXPRESSION_BYTES {
            return Err(whole(format!(
                "the expression is longer than {MAX_EXPRESSION_BYTES} bytes"
            )));
        }
        let deep = || {
            format!("the expression stands too deep in itself: {MAX_NESTING} levels are the most")
        };
        if let Some(range) = too_deep(text) {
            return Err(SyntaxError {
                message: deep(),
                range,
            });
        }
        let rewritten = hyphens::rewrite(text);
        let parser = self.0.parser().enable_ident_escape_syntax(true);
        let parser = parser.max_recursion_depth(u16::MAX).error_recovery_limit(1);
        let (mut ast, places) = parser
            .parse_with_source_info(&rewritten.text)
            .map_err(|errors| syntax_error(text, &rewritten, &errors))?;
        let depth = prepare(&mut ast).ok_or_else(|| whole("the expression is not CEL".into()))?;
        if depth.nodes > MAX_NESTING {
            return Err(whole(deep()));
        }
        if depth.loops > MAX_LOOPS {
            return Err(whole(format!(
                "map, filter, all and exists stand in each other {} deep; {MAX_LOOPS} is the most",
                depth.loops
            )));
        }
        Ok(Expression {
            text: text.to_owned(),
            ast,
            places,
            rewritten,
        })
    }

    /// What an expression yields.
    ///
    /// # Errors
    /// Why it yields nothing, for people.
    pub(crate) fn evaluate(
        &self,
        expression: &Expression,
        scope: &Scope<'_>,
    ) -> Result<Value, String> {
        let context = self.context(scope);
        let value = CelValue::resolve_val(&expression.ast, &context).map_err(|e| say(&e))?;
        convert::to_json(value.as_ref())
    }

    /// What an expression yields, as text.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    pub(crate) fn evaluate_text(
        &self,
        expression: &Expression,
        scope: &Scope<'_>,
    ) -> Result<String, String> {
        let context = self.context(scope);
        let value = CelValue::resolve_val(&expression.ast, &context).map_err(|e| say(&e))?;
        convert::to_text(value.as_ref())
    }

    fn context<'p, 'v>(&self, scope: &'v Scope<'v>) -> Context<'p, 'v> {
        let mut context = Context::with_env(Arc::clone(&self.0));
        context.set_variable_resolver(scope);
        context
    }
}

impl Expression {
    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Its tree.
    pub(crate) fn ast(&self) -> &IdedExpr {
        &self.ast
    }

    /// Where a node stands: its name or its operator, in bytes of the expression. The whole where
    /// that is not known.
    pub(crate) fn range(&self, id: u64) -> Range<usize> {
        let whole = 0..self.text.len();
        let Some((start, stop)) = self.places.offset_for(id) else {
            return whole;
        };
        let start = self.original(start);
        let bytes = self.text.as_bytes();
        if bytes.get(start) == Some(&b'.') {
            let name = start
                + if bytes.get(start + 1) == Some(&b'?') {
                    2
                } else {
                    1
                };
            let end = hyphens::end_of_name(bytes, name);
            return if end > name {
                name..end
            } else {
                start..start + 1
            };
        }
        if bytes.get(start) == Some(&b'(') {
            let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
            let name = bytes.iter().take(start).rev().take_while(is_part).count();
            return if name > 0 {
                start - name..start
            } else {
                start..start + 1
            };
        }
        let end = self.original(stop.saturating_add(1));
        if start < end && end <= self.text.len() {
            start..end
        } else {
            whole
        }
    }

    fn original(&self, offset: u32) -> usize {
        self.rewritten.original(offset as usize)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

/// Where an expression stands too deep in itself for the parser, which recurses for brackets and
/// operators, and would use up the stack of a worker thread. Commas start afresh.
fn too_deep(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    // How deep it is in each open bracket, and outside.
    let mut levels = vec![0];
    let mut depth = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        let start = at;
        at += 1;
        match byte {
            b'"' | b'\'' => at = end_of_string(text, start),
            b'(' | b'[' | b'{' => {
                depth += BRACKET;
                levels.push(depth);
            }
            b')' | b']' | b'}' if levels.len() > 1 => {
                levels.pop();
            }
            b',' => depth = levels.last().copied().unwrap_or(0),
            b'.' | b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'!' | b'?' => depth += 1,
            b'=' | b'&' | b'|' if bytes.get(at) == Some(&byte) => {
                depth += 1;
                at += 1;
            }
            _ if byte.is_ascii_alphabetic() || byte == b'_' => {
                at = hyphens::end_of_name(bytes, start);
                depth += usize::from(text.get(start..at) == Some("in"));
            }
            _ => {}
        }
        if depth > PARSER_DEPTH {
            return Some(start..at);
        }
    }
    None
}

fn syntax_error(text: &str, rewritten: &Rewritten, errors: &cel::ParseErrors) -> SyntaxError {
    let Some(error) = errors.errors.first() else {
        return SyntaxError {
            message: "not CEL".to_owned(),
            range: 0..text.len(),
        };
    };
    let (line, column) = error.pos;
    let place = |number| usize::try_from(number).unwrap_or(1).max(1);
    let place = Position {
        line: place(line),
        column: place(column),
    };
    let at = SourceFile::new("", rewritten.text.as_str()).offset(place);
    let start = rewritten.original(at).min(text.len());
    let next = text.get(start..).and_then(|rest| rest.chars().next());
    let range = start..start + next.map_or(0, char::len_utf8);
    let message = error.msg.lines().next().unwrap_or("not CEL");
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let message = message.split(" expecting ").next().unwrap_or(message);
    let unexpected = [
        "mismatched input ",
        "extraneous input ",
        "no viable alternative at input ",
    ]
    .into_iter()
    .find_map(|start| message.strip_prefix(start));
    let message = match unexpected {
        Some("'<EOF>'") => "the expression ends too early".to_owned(),
        Some(token) => format!("{token} cannot stand here"),
        None => message.replace("<EOF>", "the end"),
    };
    SyntaxError { message, range }
}

/// How deep a tree is.
#[derive(Clone, Copy, Default)]
struct Depth {
    nodes: usize,
    /// Macros that stand in each other.
    loops: usize,
}

/// Puts Docket's comparisons in place of CEL's, and measures the tree. `None` where it has a hole.
fn prepare(node: &mut IdedExpr) -> Option<Depth> {
    let inner = match &mut node.expr {
        Expr::Unspecified => return None,
        Expr::Ident(_) | Expr::Literal(_) => Depth::default(),
        Expr::Select(select) => prepare(&mut select.operand)?,
        Expr::Call(call) => {
            replace_comparison(call);
            deepest(call.target.as_deref_mut().into_iter().chain(&mut call.args))?
        }
        Expr::List(list) => deepest(&mut list.elements)?,
        Expr::Map(map) => deepest(
            map.entries
                .iter_mut()
                .flat_map(|entry| parts(&mut entry.expr)),
        )?,
        Expr::Struct(made) => deepest(
            made.entries
                .iter_mut()
                .flat_map(|entry| parts(&mut entry.expr)),
        )?,
        Expr::Comprehension(made) => {
            let inner = deepest([
                &mut made.accu_init,
                &mut made.loop_cond,
                &mut made.loop_step,
                &mut made.result,
            ])?;
            let inner = Depth {
                loops: inner.loops + 1,
                ..inner
            };
            inner.max(prepare(&mut made.iter_range)?)
        }
    };
    Some(Depth {
        nodes: inner.nodes + 1,
        ..inner
    })
}

impl Depth {
    fn max(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.max(other.nodes),
            loops: self.loops.max(other.loops),
        }
    }
}

fn parts(entry: &mut EntryExpr) -> impl Iterator<Item = &mut IdedExpr> {
    let (key, value) = match entry {
        EntryExpr::StructField(field) => (None, &mut field.value),
        EntryExpr::MapEntry(entry) => (Some(&mut entry.key), &mut entry.value),
    };
    key.into_iter().chain(std::iter::once(value))
}

fn deepest<'a>(nodes: impl IntoIterator<Item = &'a mut IdedExpr>) -> Option<Depth> {
    nodes.into_iter().try_fold(Depth::default(), |depth, node| {
        Some(prepare(node)?.max(depth))
    })
}

fn replace_comparison(call: &mut CallExpr) {
    call.func_name = match call.func_name.as_str() {
        operators::EQUALS => EQUAL,
        operators::NOT_EQUALS => UNEQUAL,
        operators::IN => MEMBER,
        _ => return,
    }
    .to_owned();
}

/// The operator that a name in a parsed expression stands for; other names are themselves.
pub(crate) fn operator(name: &str) -> &str {
    match name {
        EQUAL => operators::EQUALS,
        UNEQUAL => operators::NOT_EQUALS,
        MEMBER => operators::IN,
        name => name,
    }
}

fn equal<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [a, b] = two(&args)?;
    Ok(CowVal::owned(CelBool::from(convert::equal(
        a.as_ref(),
        b.as_ref(),
    ))))
}

fn unequal<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [a, b] = two(&args)?;
    Ok(CowVal::owned(CelBool::from(!convert::equal(
        a.as_ref(),
        b.as_ref(),
    ))))
}

fn member<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [value, of] = two(&args)?;
    let is_in = convert::is_in(value.as_ref(), of.as_ref());
    is_in
        .map(|is_in| CowVal::owned(CelBool::from(is_in)))
        .ok_or_else(|| {
            let types = [value, of].map(|value| value.get_type().name().to_owned());
            ExecutionError::no_such_overload("in", types.to_vec())
        })
}

fn two<'s, 'b, 'v>(args: &'s [CowVal<'b, 'v>]) -> Result<[&'s CowVal<'b, 'v>; 2], ExecutionError> {
    match args {
        [a, b] => Ok([a, b]),
        _ => Err(ExecutionError::InvalidArgumentCount {
            expected: 2,
            actual: args.len(),
        }),
    }
}

/// What went wrong, for people, without the values: these may be private, and long. Only a key that
/// is not there is named.
fn say(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) if matches!(key.as_str(), "output" | "failure") => format!(
            "there is no `{key}`; a step that was left out or failed has no output, and one that \
             did not fail has no failure: ask with has(…)"
        ),
        ExecutionError::NoSuchKey(key) => {
            let key: String = key.chars().take(64).collect();
            format!("there is no `{key}`; ask with has(…)")
        }
        ExecutionError::IndexOutOfBounds(_) => "the list has no such element".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "the number becomes too large".to_owned(),
        ExecutionError::DuplicateKey(_) => "a key stands twice".to_owned(),
        ExecutionError::UndeclaredReference(name) => format!("`{name}` is not known"),
        ExecutionError::NoSuchOverload(error) => error.to_string(),
        ExecutionError::UnexpectedType { got, want } => format!("a {got} stands where {want} must"),
        ExecutionError::FunctionError { function, .. } => {
            format!("`{function}` does not work on this value")
        }
        ExecutionError::UnsupportedBinaryOperator(operator, a, b) => {
            format!(
                "`{operator}` does not work on {} and {}",
                a.type_of(),
                b.type_of()
            )
        }
        _ => "a value has the wrong type".to_owned(),
    }
}

#[cfg(test)]
#[path = "language_tests.rs"]
mod tests;
