//! What the engine needs of a journal.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use docket_model::{
    Account, Digest, Event, EventKind, Failure, RunGroup, RunId, RunResult, StepPath, Wait, WaitFor,
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;

/// When an append is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Once it is in order behind all earlier appends; the disk follows, within milliseconds.
    Ordered,
    /// Once it, and with it all earlier appends, survives a crash of process and machine.
    Synced,
}

/// Ready once what was handed over is as durable as was asked for.
pub type Appending = BoxFuture<'static, Result<(), StoreError>>;

/// Keeps the events of runs, and the blobs (plans) that they name.
///
/// Appends of all runs form one order, and what is durable is always a prefix of it.
///
/// A run that is not over is either *ready*, somebody may drive it, or *parked*: it waits, and rows
/// say for what. An append makes it ready.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Hands over events to append to a run. `first` is the number of the first one, counted from 0 in
    /// the run.
    ///
    /// A run's first event must be its `RunStarted`. All events of one call are kept, or none. They are
    /// handed over exactly if this future ends; what it gives waits for the rest, and may be dropped.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where `first` is not the run's next number, or the run has ended and
    /// the first event is no `RunResumed`: somebody else owns the run. Nothing is appended then.
    /// Otherwise the disk's errors; after one of these every later append fails, until the store is
    /// opened again. Of an [`Ordered`](Durability::Ordered) append that did not happen, the run's
    /// next one may be the first to tell, and it does not happen either.
    async fn submit(
        &self,
        run: &RunId,
        first: u64,
        events: &[Event],
        durability: Durability,
    ) -> Result<Appending, StoreError>;

    /// Appends events to a run: hands them over, and waits. When this future is dropped, the append
    /// may or may not happen.
    ///
    /// # Errors
    /// As [`Self::submit`].
    async fn append(
        &self,
        run: &RunId,
        first: u64,
        events: &[Event],
        durability: Durability,
    ) -> Result<(), StoreError> {
        self.submit(run, first, events, durability).await?.await
    }

    /// A run's events in order; empty for an unknown run. Sees every append that was asked for
    /// before.
    ///
    /// # Errors
    /// The disk's; [`StoreError::Newer`] and [`StoreError::Damaged`].
    async fn events(&self, run: &RunId) -> Result<Vec<Event>, StoreError> {
        self.events_from(run, 0).await
    }

    /// The same without its first `first` events.
    ///
    /// # Errors
    /// As [`Self::events`].
    async fn events_from(&self, run: &RunId, first: u64) -> Result<Vec<Event>, StoreError>;

    /// One run.
    ///
    /// # Errors
    /// The disk's.
    async fn run(&self, run: &RunId) -> Result<Option<RunSummary>, StoreError>;

    /// Runs, the last started first.
    ///
    /// # Errors
    /// The disk's.
    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunSummary>, StoreError>;

    /// Stores a blob by its digest; durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    async fn put_blob(&self, bytes: Vec<u8>) -> Result<Digest, StoreError>;

    /// A blob.
    ///
    /// # Errors
    /// The disk's; [`StoreError::Damaged`] where the bytes do not have the digest.
    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Parks a run that has exactly `events` events. Says whether it did: not where the run has
    /// ended or has more events, nor where an account that it waits for, with its whole connection, has
    /// signed in more often than the wait has seen.
    ///
    /// # Errors
    /// The disk's.
    async fn park(&self, run: &RunId, events: u64, rest: &Rest) -> Result<bool, StoreError>;

    /// What parked runs wait for, the longest first.
    ///
    /// # Errors
    /// The disk's.
    async fn waiting(&self, filter: WaitFilter) -> Result<Vec<Waiting>, StoreError>;

    /// The accounts whose sign-in parked runs wait for, the one waited for longest first; or that one
    /// account. However many runs wait, there is one of each.
    ///
    /// # Errors
    /// The disk's.
    async fn sign_ins_needed(&self, of: Option<&Account>) -> Result<Vec<SignInNeeded>, StoreError> {
        let filter = WaitFilter {
            kind: Some("sign-in".to_owned()),
            account: of.cloned(),
            ..WaitFilter::default()
        };
        let mut found: Vec<SignInNeeded> = Vec::new();
        let mut places: HashMap<Account, usize> = HashMap::new();
        let mut counted: HashSet<(Account, RunId)> = HashSet::new();
        for Waiting {
            run,
            workflow,
            step,
        } in self.waiting(filter).await?
        {
            let WaitFor::SignIn {
                account, failure, ..
            } = step.wait.on
            else {
                continue;
            };
            let place = *places.entry(account.clone()).or_insert(found.len());
            if place == found.len() {
                found.push(SignInNeeded {
                    account: account.clone(),
                    since: step.since,
                    until: None,
                    failure,
                    runs: BTreeMap::new(),
                });
            }
            let one = &mut found[place];
            one.until = [one.until, step.wait.until].into_iter().flatten().min();
            if counted.insert((account, run)) {
                *one.runs.entry(workflow).or_default() += 1;
            }
        }
        Ok(found)
    }

    /// The runs that are ready, the first started first.
    ///
    /// # Errors
    /// The disk's.
    async fn ready(&self) -> Result<Vec<Ready>, StoreError>;

    /// The parked runs of groups: with the ready ones that have begun, these hold the places of their
    /// groups, since nothing waits that nobody has driven.
    ///
    /// # Errors
    /// The disk's.
    async fn parked_in_groups(&self) -> Result<Vec<Ready>, StoreError>;

    /// Makes the parked runs ready whose time has come, the earliest first, at most `limit`.
    ///
    /// # Errors
    /// The disk's.
    async fn wake(&self, now: Timestamp, limit: u32) -> Result<Vec<Ready>, StoreError>;

    /// When the next parked run is to be woken.
    ///
    /// # Errors
    /// The disk's.
    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Counts a sign-in of an account, durably, and makes the runs ready that wait for it; without a
    /// user, those that wait for any account of the connection. Gives the new count, and those runs.
    ///
    /// # Errors
    /// The disk's.
    async fn signed_in(&self, account: &Account) -> Result<(u64, Vec<Ready>), StoreError>;

    /// How often an account has signed in; without a user, how often the whole connection has.
    ///
    /// # Errors
    /// The disk's.
    async fn sign_ins(&self, account: &Account) -> Result<u64, StoreError>;

    /// Whether the run's record is as it was written.
    ///
    /// # Errors
    /// The disk's. A record that was changed is an answer, no error.
    async fn verify(&self, run: &RunId) -> Result<Verdict, StoreError>;

    /// How far a trigger has come.
    ///
    /// # Errors
    /// The disk's.
    async fn trigger(&self, trigger: &str) -> Result<TriggerRecord, StoreError>;

    /// The run that an item of a trigger has had; it may have been removed since, and an item that
    /// started none has the id alone.
    ///
    /// # Errors
    /// The disk's.
    async fn item(&self, trigger: &str, key: &str) -> Result<Option<RunId>, StoreError>;

    /// Forgets how far a trigger has come. The items that it has seen stay so. Says whether there was
    /// anything to forget.
    ///
    /// # Errors
    /// The disk's.
    async fn reset_trigger(&self, trigger: &str) -> Result<bool, StoreError>;

    /// Sets a trigger's cursor and starts a run for each of its items that was never seen, or notes it as
    /// seen where it has no events, all at once and durably. Gives the runs that were started, those among them that their events end.
    /// An item counts as seen for ever, and so does one whose run's id exists.
    ///
    /// # Errors
    /// The disk's.
    async fn take_items(
        &self,
        trigger: &str,
        cursor: Option<&str>,
        items: Vec<NewItem>,
    ) -> Result<Vec<Ready>, StoreError>;

    /// Removes runs that ended before a moment, with their events, the oldest first. Says how many
    /// went. Where these were fewer than the limit, the plans go, too, that no run has and that no run
    /// had at the last pruning before.
    ///
    /// # Errors
    /// The disk's.
    async fn prune(&self, filter: Prune) -> Result<u64, StoreError>;

    /// Whether a run's events name this document.
    ///
    /// # Errors
    /// The disk's.
    async fn uses_document(&self, digest: Digest) -> Result<bool, StoreError>;

    /// How many runs are ready, and how many steps of parked ones wait for what.
    ///
    /// # Errors
    /// The disk's.
    async fn counts(&self) -> Result<Counts, StoreError> {
        let mut counts = Counts {
            ready: self.ready().await?.len() as u64,
            ..Counts::default()
        };
        for one in self.waiting(WaitFilter::default()).await? {
            let kind = one.step.wait.on.kind().to_owned();
            *counts.waiting.entry(kind).or_default() += 1;
        }
        Ok(counts)
    }

    /// Gives room that removed runs took back to the disk, in small pieces, so that appends go on
    /// between them. A store that keeps nothing on a disk has nothing to give.
    ///
    /// # Errors
    /// The disk's. What was given back before stays so.
    async fn reclaim(&self) -> Result<Reclaimed, StoreError> {
        Ok(Reclaimed::default())
    }
}

/// How many runs are about to be driven, and what the others wait for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Runs that are ready.
    pub ready: u64,
    /// Steps of parked runs, by the kind of their wait ([`docket_model::WaitFor::kind`]).
    pub waiting: BTreeMap<String, u64>,
}

/// What became of the room that removed runs took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reclaimed {
    /// Bytes that the disk has again.
    pub freed: u64,
    /// Bytes that stay free within the journal, for runs to come.
    pub free: u64,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only those that have no `RunFinished`.
    pub only_unfinished: bool,
    /// Only runs of this workflow.
    pub workflow: Option<String>,
    /// Only those that started before this one; none where there is no such run.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Its id.
    pub id: RunId,
    /// Its workflow.
    pub workflow: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub result: Option<RunResult>,
    /// How many events it has.
    pub events: u64,
    /// The head of its chain: the hash that covers all its events.
    pub head: Digest,
    /// Whether it waits, and nothing but time or somebody else makes it go on.
    pub is_parked: bool,
    /// The runs that it shares its workflow's `concurrency` with.
    pub group: Option<RunGroup>,
}

impl RunSummary {
    /// It as one to be driven.
    #[must_use]
    pub fn to_ready(&self, has_begun: bool) -> Ready {
        Ready {
            run: self.id.clone(),
            workflow: self.workflow.clone(),
            group: self.group.clone(),
            has_begun,
        }
    }
}

/// Whether this event shows that its run was driven, and so holds a place of its group: the last of a
/// run's events that says so counts. A start does not, nor does a resumption, since what ended gave its
/// place away. `None` of what a run is only told, which it may be while it stands aside.
#[must_use]
pub const fn shows_begun(kind: &EventKind) -> Option<bool> {
    match kind {
        EventKind::Signalled { .. } | EventKind::SignedIn { .. } => None,
        EventKind::RunStarted { .. } | EventKind::RunResumed => Some(false),
        _ => Some(true),
    }
}

/// A run that somebody may drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Its id.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// The runs that it shares its workflow's `concurrency` with.
    pub group: Option<RunGroup>,
    /// Whether it was driven since its start, or since it was resumed ([`shows_begun`]); it holds a
    /// place of its group then.
    pub has_begun: bool,
}

/// What a run that rests waits for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rest {
    /// When it goes on at the latest.
    pub wake_at: Option<Timestamp>,
    /// What its steps wait for. Of those that only wait for their next attempt, the first to go on.
    pub steps: Vec<RestingStep>,
}

/// A step that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct RestingStep {
    /// Which step.
    pub path: StepPath,
    /// Since when.
    pub since: Timestamp,
    /// For what, and how long.
    pub wait: Wait,
}

/// Which waits to list; all that are named must fit.
#[derive(Debug, Clone, Default)]
pub struct WaitFilter {
    /// Only those of this run.
    pub run: Option<RunId>,
    /// Only those of this kind: `sign-in`, `timer`, `event`, `approval`, `retry`.
    pub kind: Option<String>,
    /// Only those for a sign-in of this account.
    pub account: Option<Account>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// A step of a parked run, and what it waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// The step.
    pub step: RestingStep,
}

/// An account whose sign-in parked runs wait for.
#[derive(Debug, Clone, PartialEq)]
pub struct SignInNeeded {
    /// Which account.
    pub account: Account,
    /// Since when the first one waits.
    pub since: Timestamp,
    /// When the first one gives up, if one does.
    pub until: Option<Timestamp>,
    /// What the one that waits longest was told.
    pub failure: Failure,
    /// How many runs wait, by workflow.
    pub runs: BTreeMap<String, u64>,
}

/// Whether a run's record is what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every event is as it was written, none is missing, and none was added.
    Intact {
        /// How many there are.
        events: u64,
        /// The head of the chain. Whoever kept it elsewhere can tell that it was not all made anew.
        head: Digest,
    },
    /// It is not. All events before this one are.
    Broken {
        /// The event's number, from 0.
        event: u64,
        /// What is wrong there.
        why: String,
    },
    /// There is no such run.
    Unknown,
}

/// How far a trigger has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TriggerRecord {
    /// Its cursor.
    pub cursor: Option<String>,
    /// How many runs it has started.
    pub started: u64,
    /// When it started the last one.
    pub last_started_at: Option<Timestamp>,
}

/// An item of a trigger that is to have a run, or to be noted as seen.
#[derive(Debug, Clone)]
pub struct NewItem {
    /// What the item is known by, unique to its trigger; without one it is known by its run's id, for
    /// as long as there is that run.
    pub key: Option<String>,
    /// The run.
    pub run: RunId,
    /// Its first events: `RunStarted`, and, where it cannot go on from there, how it fails. None where
    /// there is to be no run: the item is noted as seen then, by the id that its run would have.
    pub events: Vec<Event>,
}

/// Which runs to remove.
#[derive(Debug, Clone)]
pub struct Prune {
    /// Only those that ended before.
    pub ended_before: Timestamp,
    /// Only those that ended so: `succeeded`, `failed`, `cancelled`.
    pub states: Vec<String>,
    /// Only runs of this workflow.
    pub workflow: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process appended to the run.
    #[error("run {0} is being worked on by another process")]
    Conflict(RunId),
    /// The data is of a newer version of Docket.
    #[error(
        "the data was written by a newer version of Docket (format {found}, this one reads up to {supported}); upgrade Docket"
    )]
    Newer {
        /// The format found.
        found: u32,
        /// The newest that this host reads.
        supported: u32,
    },
    /// The data is not what was written.
    #[error("the data is damaged: {0}")]
    Damaged(String),
    /// No room on the disk.
    #[error("the disk is full: {0}; free some room, nothing that was recorded is lost")]
    Full(String),
    /// Another process has the data folder open.
    #[error("the data folder is in use by another process: {0}")]
    InUse(String),
    /// Anything else that the disk or the database says.
    #[error("the journal cannot be written or read: {0}")]
    Io(String),
}
