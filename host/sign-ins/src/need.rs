//! That somebody must sign in, and where.

use docket_model::{Account, Event, EventKind, Failure, RunId, WaitFor};
use jiff::Timestamp;

/// A run that begins to wait for a sign-in.
#[derive(Debug, Clone)]
pub struct Need {
    pub(crate) run: RunId,
    pub(crate) account: Account,
    pub(crate) since: Timestamp,
    pub(crate) until: Option<Timestamp>,
    pub(crate) failure: Failure,
}

impl Need {
    /// What an event says of it, if it does.
    #[must_use]
    pub fn of(run: &RunId, event: &Event) -> Option<Self> {
        let EventKind::StepWaiting { wait, .. } = &event.kind else {
            return None;
        };
        let WaitFor::SignIn {
            account, failure, ..
        } = &wait.on
        else {
            return None;
        };
        Some(Self {
            run: run.clone(),
            account: account.clone(),
            since: event.at,
            until: wait.until,
            failure: failure.clone(),
        })
    }
}

/// Where an account signs in: below `base`, the address of the host without a slash at its end.
#[must_use]
pub fn link(base: &str, account: &Account) -> String {
    let mut link = format!("{base}/sign-in/{}", account.connection);
    if let Some(user) = &account.user {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        link += &format!("?{}", query.append_pair("user", user).finish());
    }
    link
}
