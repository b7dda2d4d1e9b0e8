//! A guest's own word about why it failed, as the engine acts upon it.

use std::time::Duration;

use docket_model::{Failure, FailureClass};

use crate::bindings::actions::{self, Problem, Throttle};
use crate::reporting::line;

/// The longest code.
const CODE_AT_MOST: usize = 128;

pub(crate) fn failure_of(failure: actions::Failure) -> Failure {
    use actions::Failure as Guest;
    let (class, problem) = match failure {
        Guest::InvalidInput(problem) => (FailureClass::InvalidInput, problem),
        Guest::Denied(problem) => (FailureClass::Denied, problem),
        Guest::NotFound(problem) => (FailureClass::NotFound, problem),
        Guest::Throttled(Throttle { problem, after }) => {
            let mut failure = with_class(FailureClass::Throttled, problem);
            failure.retry_after = after.map(Duration::from_millis);
            return failure;
        }
        Guest::Unavailable(problem) => (FailureClass::Unavailable, problem),
        Guest::SignInRequired(problem) => (FailureClass::SignInRequired, problem),
        Guest::OutcomeUnknown(problem) => (FailureClass::OutcomeUnknown, problem),
        Guest::Permanent(problem) => (FailureClass::Permanent, problem),
    };
    with_class(class, problem)
}

fn with_class(class: FailureClass, problem: Problem) -> Failure {
    let code = line(&problem.code);
    let code = &code[..code.floor_char_boundary(CODE_AT_MOST)];
    let failure = Failure::new(class, code, line(&problem.message));
    match problem.remedy {
        Some(remedy) => failure.with_remedy(line(&remedy)),
        None => failure,
    }
}
