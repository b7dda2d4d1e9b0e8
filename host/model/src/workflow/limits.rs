//! How much a workflow may ask for, and what is never tried again.

use crate::FailureClass;

/// The longest name of a workflow, in characters.
pub(crate) const LONGEST_WORKFLOW_NAME: usize = 128;
/// The most steps that `steps` or `on-error` may have.
pub(crate) const MOST_STEPS: usize = 1_000;
/// The most elements of a list of triggers.
pub(crate) const MOST_TRIGGERS: usize = 50;
/// The most items of a `for-each` at once.
pub(crate) const MOST_PARALLEL: u32 = 64;
/// The most attempts of a step.
pub(crate) const MOST_ATTEMPTS: u32 = 100;
/// The most runs of a workflow at a time that `concurrency` may name.
pub(crate) const MOST_RUNS: u32 = 10_000;

/// Failures that another attempt could never mend, or could make worse.
const NEVER_RETRIED: [(FailureClass, &str); 3] = [
    (
        FailureClass::InvalidInput,
        "the same input fails however often it is tried",
    ),
    (
        FailureClass::SignInRequired,
        "say what happens then with `on-sign-in-needed`",
    ),
    (
        FailureClass::OutcomeUnknown,
        "what was done could be done a second time",
    ),
];

/// Why failures of a class are never tried again; `None` where they may be.
pub(super) fn never_retried(class: FailureClass) -> Option<&'static str> {
    let found = NEVER_RETRIED.iter().find(|(never, _)| *never == class);
    found.map(|(_, why)| *why)
}

/// Whether failures of a class may be tried again.
pub(crate) fn may_be_retried(class: FailureClass) -> bool {
    never_retried(class).is_none()
}
