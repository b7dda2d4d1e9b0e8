//! Who must sign in: what parked runs wait for, and who was told of it.

use std::collections::BTreeMap;

use docket_engine::{EventStore, StoreError, WaitFilter, Waiting};
use docket_model::{Account, RunId, RunResult, WaitFor};
use jiff::Timestamp;
use serde::Serialize;

use crate::request::Request;

/// An account that parked runs wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Needed {
    /// The connection.
    pub connection: String,
    /// The user, for a connection of the kind per-user.
    pub user: Option<String>,
    /// Since when the first one waits.
    pub since: Timestamp,
    /// When the first one gives up, if one does.
    pub until: Option<Timestamp>,
    /// How many runs wait.
    pub runs: usize,
    /// What the first one was told.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// When somebody was told last.
    pub told_at: Option<Timestamp>,
    /// The run that told it, where that was a mail.
    pub told_by: Option<RunId>,
    /// Why nobody could be told.
    pub error: Option<String>,
}

/// The accounts that parked runs wait for, the longest first, each with how many runs do and who was
/// told of it.
///
/// # Errors
/// The journal's.
pub async fn list(store: &dyn EventStore) -> Result<Vec<Needed>, StoreError> {
    let filter = WaitFilter {
        kind: Some("sign-in".to_owned()),
        ..WaitFilter::default()
    };
    // They come with the longest first.
    let mut order: Vec<Account> = Vec::new();
    let mut by_account: BTreeMap<Account, Vec<Waiting>> = BTreeMap::new();
    for waiting in store.waiting(filter).await? {
        let Some(account) = waiting.step.wait.on.account().cloned() else {
            continue;
        };
        let all = by_account.entry(account.clone()).or_default();
        if all.is_empty() {
            order.push(account);
        }
        all.push(waiting);
    }
    let mut found = Vec::new();
    for account in order {
        let all = by_account.remove(&account).unwrap_or_default();
        if let Some(one) = describe(store, &account, &all).await? {
            found.push(one);
        }
    }
    Ok(found)
}

async fn describe(
    store: &dyn EventStore,
    account: &Account,
    all: &[Waiting],
) -> Result<Option<Needed>, StoreError> {
    let Some(first) = all.first() else {
        return Ok(None);
    };
    let WaitFor::SignIn { failure, .. } = &first.step.wait.on else {
        return Ok(None);
    };
    let mut runs: Vec<&str> = all.iter().map(|one| one.run.as_str()).collect();
    runs.sort_unstable();
    runs.dedup();
    let mut request = Request::load(store, account).await?;
    if account.user.is_some() {
        // What keeps all users of a connection was told once for all of them.
        let of_all = Request::load(store, &Account::new(&account.connection, None)).await?;
        if of_all.told_at > request.told_at || (of_all.error.is_some() && request.told_at.is_none())
        {
            request = of_all;
        }
    }
    let since = first.step.since;
    let is_of_this = request.told_at.is_some_and(|at| at >= since);
    let mut error = request.error.clone();
    if let Some(run) = request.run.as_ref().filter(|_| is_of_this)
        && let Some(run) = store.run(run).await?
        && let Some(RunResult::Failed { failure, .. }) = run.result
    {
        error = Some(format!("the mail was not sent: {}", failure.message));
    }
    Ok(Some(Needed {
        connection: account.connection.clone(),
        user: account.user.clone(),
        since,
        until: all.iter().filter_map(|one| one.step.wait.until).min(),
        runs: runs.len(),
        message: failure.message.clone(),
        help: failure.remedy.clone(),
        told_at: request.told_at,
        told_by: request.run,
        error,
    }))
}
