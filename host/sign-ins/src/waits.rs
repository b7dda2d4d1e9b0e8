//! Triggers' sources that wait for a sign-in. They are no runs, and no row of the journal says so.

use std::sync::Arc;

use docket_engine::{EngineError, TriggerState, Triggers};
use tokio::sync::watch;

use super::{Asking, Need};

impl Asking {
    /// The same where sources may wait for a sign-in, too.
    pub(crate) fn with_triggers(mut self, triggers: Arc<Triggers>) -> Self {
        self.triggers = Some(triggers);
        self
    }

    /// The sources that wait for a sign-in, each with its workflow. A source asks once an hour.
    pub(super) async fn sources_that_wait(&self) -> Result<Vec<(Need, String)>, EngineError> {
        let Some(triggers) = &self.triggers else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for one in triggers.list().await? {
            let TriggerState::SignInNeeded {
                since,
                account: Some(account),
                failure,
            } = one.state
            else {
                continue;
            };
            let need = Need {
                // Its polls are no runs, and are logged by this name.
                run: one.polls,
                account,
                since,
                until: None,
                failure: *failure,
            };
            found.push((need, one.workflow));
        }
        Ok(found)
    }
}

/// Ready once a source begins to wait for a sign-in.
pub(super) async fn came(sources: &mut Option<watch::Receiver<()>>) {
    let has_changed = match sources {
        Some(sources) => sources.changed().await.is_ok(),
        None => false,
    };
    if !has_changed {
        std::future::pending::<()>().await;
    }
}
