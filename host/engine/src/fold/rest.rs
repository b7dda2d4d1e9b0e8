//! What a run that has nothing to do waits for, as rows for its store.

use docket_model::{Wait, WaitFor};
use jiff::Timestamp;

use super::{Next, RunState, path};
use crate::{Rest, RestingStep};

impl RunState {
    /// What the run waits for at `now`.
    pub(crate) fn rest(&self, now: Timestamp) -> Rest {
        let wake_at = match self.next(now) {
            Next::Wait(until) => until,
            // There is something to do after all.
            _ => Some(now),
        };
        let mut steps = Vec::new();
        if let Some((step, group)) = self.current().zip(self.group.as_ref()) {
            for (item, _, wait, since) in group.waiting() {
                steps.push(RestingStep {
                    path: path(step, item),
                    since,
                    wait: wait.clone(),
                });
            }
            if let Some((item, before, at)) = group.retrying()
                && let Some(failure) = before.failure.clone()
            {
                steps.push(RestingStep {
                    path: path(step, item),
                    since: before.ended_at.unwrap_or(now),
                    wait: Wait {
                        on: WaitFor::Retry { failure },
                        until: Some(at),
                    },
                });
            }
        }
        Rest { wake_at, steps }
    }
}
