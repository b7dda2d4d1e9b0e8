//! What waits for an account: parked runs, those about to be, and triggers' sources. The last are no
//! runs, and no row of the journal says so.

use std::collections::BTreeMap;

use docket_engine::{EngineError, TriggerState, WaitFilter};
use docket_model::{Account, Failure, RunId, WaitFor};
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
    pub(crate) runs: BTreeMap<String, usize>,
}

/// Sources that wait, each with its workflow.
pub(crate) type Sources = Vec<(Need, String)>;

impl Asking {
    /// The accounts that parked runs and sources wait for.
    pub(crate) async fn all_that_wait(&self) -> Result<Vec<Account>, EngineError> {
        let filter = WaitFilter {
            kind: Some("sign-in".to_owned()),
            ..WaitFilter::default()
        };
        let all = self.ports.store.waiting(filter).await?;
        let accounts = all.iter().filter_map(|one| one.step.wait.on.account());
        let mut accounts: Vec<Account> = accounts.cloned().collect();
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
        let filter = WaitFilter {
            account: Some(account.clone()),
            ..WaitFilter::default()
        };
        let mut found: BTreeMap<RunId, (Need, String)> = BTreeMap::new();
        for waiting in store.waiting(filter).await? {
            let WaitFor::SignIn { failure, .. } = waiting.step.wait.on else {
                continue;
            };
            let need = Need {
                run: waiting.run.clone(),
                account: account.clone(),
                since: waiting.step.since,
                until: waiting.step.wait.until,
                failure,
            };
            found.entry(waiting.run).or_insert((need, waiting.workflow));
        }
        let is_older = |need: &Need| signed_in_at.is_some_and(|at| at >= need.since);
        for (need, workflow) in sources {
            if need.account == *account && !is_older(need) {
                found.insert(need.run.clone(), (need.clone(), workflow.clone()));
            }
        }
        for need in needs {
            if found.contains_key(&need.run) || is_older(need) {
                continue;
            }
            // One that is parked has its row, or waits for something else.
            if let Some(run) = store.run(&need.run).await?
                && run.result.is_none()
                && !run.is_parked
            {
                found.insert(need.run.clone(), (need.clone(), run.workflow));
            }
        }
        let mut runs: BTreeMap<String, usize> = BTreeMap::new();
        for (_, workflow) in found.values() {
            *runs.entry(workflow.clone()).or_default() += 1;
        }
        let needs = found.values().map(|(need, _)| need);
        let first = needs.clone().min_by_key(|need| need.since);
        Ok(first.map(|first| Waits {
            since: first.since,
            until: needs.filter_map(|need| need.until).min(),
            failure: first.failure.clone(),
            runs,
        }))
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
