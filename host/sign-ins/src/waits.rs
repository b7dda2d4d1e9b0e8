//! What waits for an account: parked runs, those about to be, and triggers' sources. The last are no
//! runs, and no row of the journal says so.

use std::collections::{BTreeMap, BTreeSet};

use docket_engine::{EngineError, TriggerState};
use docket_model::{Account, Failure, RunId};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::asking::Asking;
use crate::need::Need;

/// What waits for one account.
pub(crate) struct Waits {
    pub(crate) since: Timestamp,
    pub(crate) until: Option<Timestamp>,
    pub(crate) failure: Failure,
    /// How many runs, by workflow.
    pub(crate) runs: BTreeMap<String, u64>,
}

/// Sources that wait, each with its workflow.
pub(crate) type Sources = Vec<(Need, String)>;

impl Asking {
    /// The accounts that parked runs and sources wait for.
    pub(crate) async fn all_that_wait(&self) -> Result<Vec<Account>, EngineError> {
        let needed = self.ports.store.sign_ins_needed(None).await?;
        let mut accounts: Vec<Account> = needed.into_iter().map(|one| one.account).collect();
        let sources = self.sources_that_wait().await?;
        accounts.extend(sources.into_iter().map(|(need, _)| need.account));
        Ok(accounts)
    }

    /// The sources that wait for a sign-in. A source asks once an hour.
    pub(crate) async fn sources_that_wait(&self) -> Result<Sources, EngineError> {
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

    /// What waits for an account, parked or about to be; `None` where nothing does.
    pub(crate) async fn waits(
        &self,
        account: &Account,
        needs: &[Need],
        sources: &[(Need, String)],
        signed_in_at: Option<Timestamp>,
    ) -> Result<Option<Waits>, EngineError> {
        let store = &self.ports.store;
        let parked = store.sign_ins_needed(Some(account)).await?.pop();
        let mut found = parked.map(|parked| Waits {
            since: parked.since,
            until: parked.until,
            failure: parked.failure,
            runs: parked.runs,
        });
        let mut add = |need: &Need, workflow: String| {
            let waits = found.get_or_insert_with(|| Waits {
                since: need.since,
                until: None,
                failure: need.failure.clone(),
                runs: BTreeMap::new(),
            });
            if need.since < waits.since {
                waits.since = need.since;
                waits.failure = need.failure.clone();
            }
            waits.until = [waits.until, need.until].into_iter().flatten().min();
            *waits.runs.entry(workflow).or_default() += 1;
        };
        let is_older = |need: &Need| signed_in_at.is_some_and(|at| at >= need.since);
        for (need, workflow) in sources {
            if need.account == *account && !is_older(need) {
                add(need, workflow.clone());
            }
        }
        // A run tells of each of its steps.
        let mut heard: BTreeSet<&RunId> = BTreeSet::new();
        for need in needs.iter().filter(|need| !is_older(need)) {
            if !heard.insert(&need.run) {
                continue;
            }
            // One that is parked has its row, or waits for something else.
            if let Some(run) = store.run(&need.run).await?
                && run.result.is_none()
                && !run.is_parked
            {
                add(need, run.workflow);
            }
        }
        Ok(found)
    }
}

/// Ready once a source begins to wait for a sign-in.
pub(crate) async fn came(sources: &mut Option<watch::Receiver<()>>) {
    let has_changed = match sources {
        Some(sources) => sources.changed().await.is_ok(),
        None => false,
    };
    if !has_changed {
        std::future::pending::<()>().await;
    }
}
