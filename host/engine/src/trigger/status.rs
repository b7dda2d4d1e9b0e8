//! How triggers are, for those who look.

use std::sync::Arc;

use docket_model::{Account, Failure, RunId};
use jiff::Timestamp;
use tokio::sync::Notify;

use super::{Armed, Shared, poll, schedule};
use crate::{EngineError, StoreError};

/// How a trigger is.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerStatus {
    /// What it is known by.
    pub name: String,
    /// Its workflow.
    pub workflow: String,
    /// Its id in the workflow.
    pub id: String,
    /// `schedule`, `webhook` or `source`.
    pub kind: &'static str,
    /// The name under which its polls are logged, and their sign-ins are reported; no run has it.
    pub polls: RunId,
    /// How many runs it has started, ever.
    pub started: u64,
    /// When it started the last one.
    pub last_started_at: Option<Timestamp>,
    /// The next moment of a schedule, or the next poll of a source.
    pub next_at: Option<Timestamp>,
    /// How it is.
    pub state: TriggerState,
    /// How many runs it has started since the process began.
    pub started_lately: u64,
    /// How often it failed since the process began.
    pub failed_lately: u64,
}

/// How a trigger is.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum TriggerState {
    /// It waits for its next event.
    #[default]
    Waiting,
    /// It is being polled.
    Polling,
    /// The last time it failed. It is tried again.
    Failing {
        /// Since when it has failed each time.
        since: Timestamp,
        /// The last failure.
        failure: Box<Failure>,
    },
    /// It goes on when the account has signed in.
    SignInNeeded {
        /// Since when.
        since: Timestamp,
        /// Who; `None` where the source has no connection.
        account: Option<Account>,
        /// What the source said.
        failure: Box<Failure>,
    },
}

impl TriggerState {
    /// It in a word: `waiting`, `polling`, `failing`, `sign-in-needed`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Polling => "polling",
            Self::Failing { .. } => "failing",
            Self::SignInNeeded { .. } => "sign-in-needed",
        }
    }
}

/// What is known of a trigger in memory.
#[derive(Default)]
pub(super) struct Live {
    state: TriggerState,
    /// What it was before it was polled, so that a failure knows its beginning.
    trouble_since: Option<Timestamp>,
    next_at: Option<Timestamp>,
    started: u64,
    failed: u64,
    wake: Arc<Notify>,
}

impl Shared {
    pub(super) async fn status(&self, armed: Armed) -> Result<TriggerStatus, EngineError> {
        let record = self.engine.ports().store.trigger(&armed.name).await?;
        let polls = poll::name(&armed.name);
        let polls = polls.map_err(|error| StoreError::Damaged(error.to_string()))?;
        let by_record = schedule::next(&armed.trigger, record.cursor.as_deref(), self.now());
        let live = self.live();
        let live = live.get(&armed.name);
        Ok(TriggerStatus {
            workflow: armed.plan.workflow.clone(),
            id: armed.trigger.id.clone(),
            kind: armed.trigger.kind(),
            polls,
            started: record.started,
            last_started_at: record.last_started_at,
            next_at: live.and_then(|live| live.next_at).or(by_record),
            state: live.map(|live| live.state.clone()).unwrap_or_default(),
            started_lately: live.map_or(0, |live| live.started),
            failed_lately: live.map_or(0, |live| live.failed),
            name: armed.name,
        })
    }

    fn note(&self, name: &str, change: impl FnOnce(&mut Live)) {
        if let Some(live) = self.live().get_mut(name) {
            change(live);
        }
    }

    pub(super) fn note_started(&self, name: &str, count: usize) {
        self.note(name, |live| live.started += count as u64);
    }

    pub(super) fn note_polling(&self, name: &str) {
        self.note(name, |live| {
            live.state = TriggerState::Polling;
            live.next_at = None;
        });
    }

    /// All is well, and it goes on then.
    pub(super) fn note_next(&self, name: &str, next: Option<Timestamp>) {
        self.note(name, |live| {
            live.state = TriggerState::Waiting;
            live.trouble_since = None;
            live.next_at = next;
        });
    }

    pub(super) fn note_failure(&self, armed: &Armed, failure: Failure, next: Option<Timestamp>) {
        self.tell(armed, &failure);
        let now = self.now();
        self.note(&armed.name, |live| {
            let since = *live.trouble_since.get_or_insert(now);
            live.failed += 1;
            live.next_at = next;
            live.state = TriggerState::Failing {
                since,
                failure: Box::new(failure),
            };
        });
    }

    pub(super) fn note_sign_in_needed(
        &self,
        armed: &Armed,
        account: Option<Account>,
        failure: Failure,
        next: Timestamp,
    ) {
        let now = self.now();
        let mut is_new = false;
        self.note(&armed.name, |live| {
            is_new = live.trouble_since.is_none();
            let since = *live.trouble_since.get_or_insert(now);
            live.failed += 1;
            live.next_at = Some(next);
            live.state = TriggerState::SignInNeeded {
                since,
                account,
                failure: Box::new(failure.clone()),
            };
        });
        if is_new {
            self.tell(armed, &failure);
            self.needs.send_replace(());
        }
    }

    /// Ready once somebody says that the trigger should look again.
    pub(super) fn woken(&self, name: &str) -> impl Future<Output = ()> + use<> {
        let wake = self.live().get(name).map(|live| Arc::clone(&live.wake));
        async move {
            match wake {
                Some(wake) => wake.notified().await,
                None => std::future::pending().await,
            }
        }
    }

    pub(super) fn wake(&self, name: &str) {
        self.note(name, |live| live.wake.notify_one());
    }
}
