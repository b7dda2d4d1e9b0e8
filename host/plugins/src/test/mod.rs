//! Tests of a component: cases with scripted answers, and what every plugin must keep.
//!
//! A case is a YAML or JSON file beside the plugin: an action, its input, what servers answer, and
//! what is to come of it. [`Bench`] runs cases in the sandbox that runs plugins for real, with its
//! policy and its limits, and [`conformance`](Bench::conformance) runs each case again with every
//! unsafe request broken.

mod bench;
mod case;
mod compare;
mod conformance;
mod expect;
mod journal;
mod script;

pub use bench::{Bench, Performance};
pub use case::{Case, CaseError, read_cases};
pub use conformance::{Check, Conformance};
pub use expect::Expect;
pub use script::Sent;
