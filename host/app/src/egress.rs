//! No way out at all: for looking at components that belong to no project.

use std::sync::Arc;

use docket_engine::StepCall;
use docket_model::{Failure, FailureClass};
use docket_sandbox::{Channel, Egress};

/// Refuses every step a way out.
pub(crate) struct Nowhere;

impl Egress for Nowhere {
    fn channel(&self, _call: &StepCall) -> Result<Arc<dyn Channel>, Failure> {
        Err(Failure::new(
            FailureClass::Denied,
            "connection",
            "there is no connection here",
        ))
    }
}
