//! Who must sign in: what parked runs wait for, and who was told of it.

use docket_engine::{EventStore, SignInNeeded, StoreError};
use docket_model::{Account, RunId, RunResult};
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
    pub runs: u64,
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
    let mut found = Vec::new();
    for needed in store.sign_ins_needed(None).await? {
        found.push(describe(store, needed).await?);
    }
    Ok(found)
}

async fn describe(store: &dyn EventStore, needed: SignInNeeded) -> Result<Needed, StoreError> {
    let SignInNeeded {
        account,
        since,
        until,
        failure,
        runs,
    } = needed;
    let mut request = Request::load(store, &account).await?;
    if account.user.is_some() {
        // What keeps all users of a connection was told once for all of them.
        let of_all = Request::load(store, &Account::new(&account.connection, None)).await?;
        if of_all.told_at > request.told_at || (of_all.error.is_some() && request.told_at.is_none())
        {
            request = of_all;
        }
    }
    let is_of_this = request.told_at.is_some_and(|at| at >= since);
    let mut error = request.error.clone();
    if let Some(run) = request.run.as_ref().filter(|_| is_of_this)
        && let Some(run) = store.run(run).await?
        && let Some(RunResult::Failed { failure, .. }) = run.result
    {
        error = Some(format!("the mail was not sent: {}", failure.message));
    }
    Ok(Needed {
        connection: account.connection,
        user: account.user,
        since,
        until,
        runs: runs.values().sum(),
        message: failure.message,
        help: failure.remedy,
        told_at: request.told_at,
        told_by: request.run,
        error,
    })
}
