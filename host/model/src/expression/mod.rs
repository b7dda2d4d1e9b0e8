//! Expressions: CEL in `${{ … }}`.
//!
//! An expression sees `inputs`, `steps.<id>.output` and `.failure`, `run.id`, `run.workflow`, and
//! in steps with `for-each` also `item` and `index`; the inputs of a trigger see `event` alone. Its
//! functions are CEL's own, those of CEL's strings library and a few of Docket's (docs/expressions.md
//! has them all); none of them reads a clock, draws a random number or reaches outside, so
//! an expression is a function of what it sees. What it yields is data and is never evaluated
//! again.
//!
//! Beyond CEL there is one rule: after a dot a name may hold hyphens that a letter or digit
//! follows, as in `steps.import-mail.output`. So a minus after such a name needs spaces around it.
//!
//! CEL terminates. What an expression may cost is bounded by [`MAX_EXPRESSION_BYTES`], by
//! [`MAX_NESTING`] and by how deep macros such as `map` may stand in each other
//! ([`MAX_LOOPS`]): at worst it takes the product of as many list lengths.

mod added;
mod convert;
mod hyphens;
mod language;
mod placeholder;
mod scope;
mod view;

pub(crate) use language::{Expression, Language, operator};
pub(crate) use placeholder::{Part, split};
pub use scope::{Item, Scope, StepValue, Steps};

/// The longest expression, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 8 * 1024;

/// How deep the parts of an expression may stand in each other. Each operator, dot, call and bracket
/// is a level, except that a row of `&&` or of `||` is as flat as can be.
pub const MAX_NESTING: usize = 32;

/// How deep `map`, `filter`, `all`, `exists` and `exists_one` may stand in each other.
pub const MAX_LOOPS: usize = 3;
