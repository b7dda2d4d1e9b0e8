//! A request to sign in: what is remembered of it, and when its next telling is due.

use std::time::Duration;

use docket_engine::{EngineError, EventStore, StoreError};
use docket_model::{Account, Digest, RunId};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long after a failure the next try follows, by how many there were (the schedule that Standard
/// Webhooks recommends).
const AFTER_FAILURE: [SignedDuration; 7] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(5),
    SignedDuration::from_hours(10),
    SignedDuration::from_hours(14),
];

/// What the journal remembers of one account's requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Request {
    /// How often somebody was told, ever.
    #[serde(default)]
    pub(crate) told: u64,
    /// When it was last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) told_at: Option<Timestamp>,
    /// The run that told it, where that was a mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RunId>,
    /// Why the last try to tell somebody failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// How many tries have failed since somebody was told.
    #[serde(default)]
    tries: u32,
    /// When the next one follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    try_at: Option<Timestamp>,
}

impl Request {
    /// Reads an account's.
    ///
    /// # Errors
    /// The journal's.
    pub(crate) async fn load(
        store: &dyn EventStore,
        account: &Account,
    ) -> Result<Self, StoreError> {
        let text = store.trigger(&name(account)).await?.cursor;
        match text.as_deref().map(serde_json::from_str) {
            None => Ok(Self::default()),
            Some(read) => read.map_err(|error| {
                StoreError::Damaged(format!("the sign-in request of {account}: {error}"))
            }),
        }
    }

    /// When somebody is to be told: every so often while runs wait; and at once where the account
    /// has signed in since, so that what waits now is another request. `None` is at once.
    pub(crate) fn due(
        &self,
        every: Duration,
        signed_in_at: Option<Timestamp>,
    ) -> Option<Timestamp> {
        if self.try_at.is_some() {
            return self.try_at;
        }
        let told_at = self.told_at?;
        if signed_in_at.is_some_and(|at| at > told_at) {
            return None;
        }
        let every = SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX);
        Some(told_at.saturating_add(every).unwrap_or(Timestamp::MAX))
    }

    /// The number of the next telling. Each has one, so that none happens twice.
    pub(crate) const fn next(&self) -> u64 {
        self.told + 1
    }

    /// Somebody is told.
    pub(crate) fn told(&self, now: Timestamp, run: Option<RunId>) -> Self {
        Self {
            told: self.next(),
            told_at: Some(now),
            run,
            ..Self::default()
        }
    }

    /// Nobody could be told.
    pub(crate) fn failed(&self, now: Timestamp, error: String) -> Self {
        let tried = usize::try_from(self.tries).unwrap_or(usize::MAX);
        let pause = AFTER_FAILURE[tried.min(AFTER_FAILURE.len() - 1)];
        Self {
            error: Some(error),
            tries: self.tries.saturating_add(1),
            try_at: Some(now.saturating_add(pause).unwrap_or(Timestamp::MAX)),
            ..self.clone()
        }
    }

    /// Remembers it, durably.
    ///
    /// # Errors
    /// The journal's.
    pub(crate) async fn store(
        &self,
        store: &dyn EventStore,
        account: &Account,
    ) -> Result<(), EngineError> {
        let text = self.to_json()?;
        store
            .take_items(&name(account), Some(&text), Vec::new())
            .await?;
        Ok(())
    }

    pub(crate) fn to_json(&self) -> Result<String, StoreError> {
        serde_json::to_string(self).map_err(|error| StoreError::Io(error.to_string()))
    }
}

/// What the journal calls an account's requests. No trigger of a workflow has such a name.
pub(crate) fn name(account: &Account) -> String {
    let user = account.user.as_deref().unwrap_or_default();
    format!("sign-in-request/{}/{user}", account.connection)
}

/// What an account's n-th telling is known by: the mail's run, and the webhook's id.
pub(crate) fn id(account: &Account, n: u64) -> String {
    let digest = Digest::of(name(account).as_bytes()).to_hex();
    format!("sign-in-request-{}-{n}", &digest[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(hour: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hour)
    }

    #[test]
    fn somebody_is_told_once_a_day_and_at_once_after_a_sign_in() {
        let request = Request::default();
        assert_eq!(request.due(DAY, None), None);
        assert_eq!(request.due(DAY, Some(at(0))), None);
        let told = request.told(at(10), None);
        assert_eq!(told.due(DAY, None), Some(at(34)));
        assert_eq!(told.due(DAY, Some(at(9))), Some(at(34)), "an older sign-in");
        assert_eq!(told.due(DAY, Some(at(11))), None, "another request");
        let again = told.told(at(34), None);
        assert_eq!((again.told, again.due(DAY, None)), (2, Some(at(58))));
    }

    #[test]
    fn failures_are_tried_again_later_and_later_and_count_as_nothing_told() {
        let mut request = Request::default().told(at(1), None);
        let mut before = SignedDuration::ZERO;
        for _ in 0..10 {
            request = request.failed(at(30), "no".to_owned());
            let pause = request.due(DAY, None).unwrap().duration_since(at(30));
            assert!(pause >= before, "{pause:?} after {before:?}");
            before = pause;
        }
        assert_eq!((request.told, request.told_at), (1, Some(at(1))));
        let told = request.told(at(31), None);
        assert_eq!(
            (told.error.as_deref(), told.due(DAY, None)),
            (None, Some(at(55)))
        );
        let text = told.to_json().unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), told);
    }

    #[test]
    fn ids_are_of_one_account_and_one_telling() {
        let anna = Account::new("people", Some("Anna@contoso.example"));
        let ben = Account::new("people", Some("ben@contoso.example"));
        assert_eq!(
            id(&anna, 1),
            id(&Account::new("people", Some("anna@contoso.example")), 1)
        );
        assert_ne!(id(&anna, 1), id(&anna, 2));
        assert_ne!(id(&anna, 1), id(&ben, 1));
        assert!(id(&anna, u64::MAX).parse::<RunId>().is_ok());
    }
}
