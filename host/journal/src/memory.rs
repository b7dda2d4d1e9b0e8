//! The journal in memory: the same rules as the one on disk, for tests and dry runs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use docket_engine::{
    Appending, Durability, EventStore, NewItem, Prune, Ready, Rest, RunFilter, RunSummary,
    StoreError, TriggerRecord, Verdict, WaitFilter, Waiting, shows_begun,
};
use docket_model::{Account, Digest, Event, EventKind, FORMAT, RunId, WaitFor};
use jiff::Timestamp;

use crate::{chain, codec, references};

/// A journal that is gone with the process.
#[derive(Default)]
pub struct MemoryStore(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// In the order of their start.
    runs: Vec<Run>,
    places: HashMap<RunId, usize>,
    blobs: HashMap<Digest, Vec<u8>>,
    /// Those that the last pruning found no run of.
    unused: HashSet<Digest>,
    sign_ins: HashMap<Account, u64>,
    triggers: HashMap<String, TriggerRecord>,
    items: HashMap<(String, String), RunId>,
}

struct Run {
    summary: RunSummary,
    events: Vec<Event>,
    plan: Digest,
    documents: BTreeSet<Digest>,
    /// What it waits for, while it is parked.
    rest: Rest,
}

impl MemoryStore {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn find(&self, run: &RunId) -> Option<&Run> {
        self.runs.get(*self.places.get(run)?)
    }

    fn append(&mut self, id: &RunId, first: u64, events: &[Event]) -> Result<(), StoreError> {
        let conflict = || StoreError::Conflict(id.clone());
        let place = match (self.places.get(id), events.first()) {
            (Some(place), _) => *place,
            (
                None,
                Some(Event {
                    at,
                    kind:
                        EventKind::RunStarted {
                            workflow,
                            plan,
                            group,
                            ..
                        },
                }),
            ) if first == 0 => {
                let summary = RunSummary {
                    id: id.clone(),
                    workflow: workflow.clone(),
                    started_at: *at,
                    finished_at: None,
                    result: None,
                    events: 0,
                    head: chain::start(id),
                    is_parked: false,
                    group: group.clone(),
                };
                let place = self.runs.len();
                self.runs.push(Run {
                    summary,
                    events: Vec::new(),
                    plan: *plan,
                    documents: BTreeSet::new(),
                    rest: Rest::default(),
                });
                self.places.insert(id.clone(), place);
                place
            }
            (None, _) => return Err(conflict()),
        };
        let run = self.runs.get_mut(place).ok_or_else(conflict)?;
        let is_resumed = matches!(
            events.first().map(|event| &event.kind),
            Some(EventKind::RunResumed)
        );
        if run.events.len() as u64 != first || run.summary.finished_at.is_some() != is_resumed {
            return Err(conflict());
        }
        for event in events {
            references::collect(event, &mut run.documents);
            run.summary.head = chain::next(run.summary.head, FORMAT, &codec::encode(event)?);
            run.summary.events += 1;
        }
        run.events.extend_from_slice(events);
        run.wake();
        (run.summary.finished_at, run.summary.result) = match events.last() {
            Some(Event {
                at,
                kind: EventKind::RunFinished { result },
            }) => (Some(*at), Some(result.clone())),
            _ => (None, None),
        };
        Ok(())
    }

    fn reindex(&mut self) {
        let runs = self.runs.iter().enumerate();
        self.places = runs
            .map(|(place, run)| (run.summary.id.clone(), place))
            .collect();
    }
}

impl Run {
    fn wake(&mut self) {
        self.summary.is_parked = false;
        self.rest = Rest::default();
    }

    /// It as one to be driven, that does not wait.
    fn to_ready(&self) -> Ready {
        let kinds = self.events.iter().rev().map(|event| &event.kind);
        let has_begun = kinds.filter_map(shows_begun).next().unwrap_or(false);
        self.summary.to_ready(has_begun)
    }

    fn accounts(&self) -> impl Iterator<Item = (&Account, u64)> {
        accounts(&self.rest)
    }
}

fn accounts(rest: &Rest) -> impl Iterator<Item = (&Account, u64)> {
    rest.steps.iter().filter_map(|step| match &step.wait.on {
        WaitFor::SignIn { account, seen, .. } => Some((account, *seen)),
        _ => None,
    })
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn submit(
        &self,
        run: &RunId,
        first: u64,
        events: &[Event],
        _durability: Durability,
    ) -> Result<Appending, StoreError> {
        self.held().append(run, first, events)?;
        Ok(Box::pin(std::future::ready(Ok(()))))
    }

    async fn events_from(&self, run: &RunId, first: u64) -> Result<Vec<Event>, StoreError> {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let held = self.held();
        let left = held.find(run).and_then(|run| run.events.get(first..));
        Ok(left.map(<[Event]>::to_vec).unwrap_or_default())
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunSummary>, StoreError> {
        Ok(self.held().find(run).map(|run| run.summary.clone()))
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunSummary>, StoreError> {
        let limit = filter.limit.map_or(usize::MAX, |limit| limit as usize);
        let is_wanted = |summary: &&RunSummary| {
            (!filter.only_unfinished || summary.finished_at.is_none())
                && filter
                    .workflow
                    .as_ref()
                    .is_none_or(|workflow| *workflow == summary.workflow)
        };
        let held = self.held();
        let end = match &filter.before {
            None => held.runs.len(),
            Some(before) => held.places.get(before).copied().unwrap_or(0),
        };
        let newest_first = held.runs[..end].iter().rev().map(|run| &run.summary);
        Ok(newest_first
            .filter(is_wanted)
            .take(limit)
            .cloned()
            .collect())
    }

    async fn put_blob(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        let digest = Digest::of(&bytes);
        let mut held = self.held();
        held.unused.remove(&digest);
        held.blobs.insert(digest, bytes);
        Ok(digest)
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.held().blobs.get(&digest).cloned())
    }

    async fn park(&self, run: &RunId, events: u64, rest: &Rest) -> Result<bool, StoreError> {
        let mut held = self.held();
        let count = |account: &Account| held.sign_ins.get(account).copied().unwrap_or(0);
        let is_late = accounts(rest).any(|(account, seen)| {
            let of_all = account.user.as_ref().map(|_| account.of_connection());
            count(account) + of_all.as_ref().map_or(0, count) > seen
        });
        let place = held.places.get(run).copied();
        let Some(run) = place.and_then(|place| held.runs.get_mut(place)) else {
            return Ok(false);
        };
        if is_late || run.summary.events != events || run.summary.finished_at.is_some() {
            return Ok(false);
        }
        run.summary.is_parked = true;
        run.rest = rest.clone();
        Ok(true)
    }

    async fn waiting(&self, filter: WaitFilter) -> Result<Vec<Waiting>, StoreError> {
        let held = self.held();
        let mut found = Vec::new();
        for run in &held.runs {
            for step in &run.rest.steps {
                let on = &step.wait.on;
                let fits = filter.run.as_ref().is_none_or(|id| *id == run.summary.id)
                    && filter.kind.as_ref().is_none_or(|kind| kind == on.kind())
                    && (filter.account.is_none() || filter.account.as_ref() == on.account());
                if fits {
                    found.push(Waiting {
                        run: run.summary.id.clone(),
                        workflow: run.summary.workflow.clone(),
                        step: step.clone(),
                    });
                }
            }
        }
        found.sort_by_key(|waiting| waiting.step.since.as_microsecond());
        found.truncate(filter.limit.map_or(usize::MAX, |limit| limit as usize));
        Ok(found)
    }

    async fn ready(&self) -> Result<Vec<Ready>, StoreError> {
        let held = self.held();
        let ready = |run: &&Run| run.summary.finished_at.is_none() && !run.summary.is_parked;
        Ok(held.runs.iter().filter(ready).map(Run::to_ready).collect())
    }

    async fn parked_in_groups(&self) -> Result<Vec<Ready>, StoreError> {
        let held = self.held();
        let runs = held.runs.iter().map(|run| &run.summary);
        Ok(runs
            .filter(|run| run.is_parked && run.group.is_some())
            .map(|run| run.to_ready(true))
            .collect())
    }

    async fn wake(&self, now: Timestamp, limit: u32) -> Result<Vec<Ready>, StoreError> {
        let mut held = self.held();
        let is_due = |run: &&mut Run| run.rest.wake_at.is_some_and(|at| at <= now);
        let mut due: Vec<&mut Run> = held.runs.iter_mut().filter(is_due).collect();
        due.sort_by_key(|run| run.rest.wake_at);
        due.truncate(limit as usize);
        let wake = |run: &mut Run| {
            run.wake();
            run.summary.to_ready(true)
        };
        Ok(due.into_iter().map(wake).collect())
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        let held = self.held();
        Ok(held.runs.iter().filter_map(|run| run.rest.wake_at).min())
    }

    async fn signed_in(&self, account: &Account) -> Result<(u64, Vec<Ready>), StoreError> {
        let mut held = self.held();
        let count = held.sign_ins.entry(account.clone()).or_default();
        *count += 1;
        let count = *count;
        let mut ready = Vec::new();
        for run in &mut held.runs {
            if run.accounts().any(|(waited, _)| account.covers(waited)) {
                run.wake();
                ready.push(run.summary.to_ready(true));
            }
        }
        Ok((count, ready))
    }

    async fn sign_ins(&self, account: &Account) -> Result<u64, StoreError> {
        Ok(self.held().sign_ins.get(account).copied().unwrap_or(0))
    }

    async fn verify(&self, run: &RunId) -> Result<Verdict, StoreError> {
        let held = self.held();
        let Some(kept) = held.find(run) else {
            return Ok(Verdict::Unknown);
        };
        let mut head = chain::start(run);
        for event in &kept.events {
            head = chain::next(head, FORMAT, &codec::encode(event)?);
        }
        let events = kept.events.len() as u64;
        Ok(match head == kept.summary.head {
            true => Verdict::Intact { events, head },
            false => Verdict::Broken {
                event: events.saturating_sub(1),
                why: "the chain ends otherwise than it did".to_owned(),
            },
        })
    }

    async fn trigger(&self, trigger: &str) -> Result<TriggerRecord, StoreError> {
        Ok(self
            .held()
            .triggers
            .get(trigger)
            .cloned()
            .unwrap_or_default())
    }

    async fn item(&self, trigger: &str, key: &str) -> Result<Option<RunId>, StoreError> {
        let key = (trigger.to_owned(), key.to_owned());
        Ok(self.held().items.get(&key).cloned())
    }

    async fn reset_trigger(&self, trigger: &str) -> Result<bool, StoreError> {
        let mut held = self.held();
        let record = held.triggers.get_mut(trigger);
        Ok(record.is_some_and(|record| record.cursor.take().is_some()))
    }

    async fn take_items(
        &self,
        trigger: &str,
        cursor: Option<&str>,
        items: Vec<NewItem>,
    ) -> Result<Vec<Ready>, StoreError> {
        let mut held = self.held();
        let mut record = held.triggers.remove(trigger).unwrap_or_default();
        record.cursor = cursor.map(str::to_owned);
        let mut ready = Vec::new();
        for NewItem { key, run, events } in items {
            if let Some(key) = key {
                let key = (trigger.to_owned(), key);
                if held.items.contains_key(&key) {
                    continue;
                }
                held.items.insert(key, run.clone());
            }
            if events.is_empty() {
                continue;
            }
            if held.append(&run, 0, &events).is_err() {
                continue;
            }
            record.started += 1;
            let at = events.first().map(|event| event.at);
            record.last_started_at = record.last_started_at.max(at);
            ready.extend(held.find(&run).map(Run::to_ready));
        }
        held.triggers.insert(trigger.to_owned(), record);
        Ok(ready)
    }

    async fn prune(&self, filter: Prune) -> Result<u64, StoreError> {
        let mut held = self.held();
        let is_wanted = |run: &&Run| {
            let ended = run.summary.finished_at;
            let state = run.summary.result.as_ref().map(codec::state);
            let workflow = filter.workflow.as_ref();
            ended.is_some_and(|at| at.as_microsecond() < filter.ended_before.as_microsecond())
                && state.is_some_and(|state| filter.states.iter().any(|wanted| wanted == state))
                && workflow.is_none_or(|workflow| *workflow == run.summary.workflow)
        };
        let mut old: Vec<&Run> = held.runs.iter().filter(is_wanted).collect();
        old.sort_by_key(|run| run.summary.finished_at);
        old.truncate(filter.limit as usize);
        let old: HashSet<RunId> = old.into_iter().map(|run| run.summary.id.clone()).collect();
        held.runs.retain(|run| !old.contains(&run.summary.id));
        held.reindex();
        if old.len() < filter.limit as usize {
            let plans: HashSet<Digest> = held.runs.iter().map(|run| run.plan).collect();
            let before = std::mem::take(&mut held.unused);
            let goes = |digest: &Digest| before.contains(digest) && !plans.contains(digest);
            held.blobs.retain(|digest, _| !goes(digest));
            let left = held.blobs.keys().copied();
            held.unused = left.filter(|digest| !plans.contains(digest)).collect();
        }
        Ok(old.len() as u64)
    }

    async fn uses_document(&self, digest: Digest) -> Result<bool, StoreError> {
        let held = self.held();
        Ok(held.runs.iter().any(|run| run.documents.contains(&digest)))
    }
}
