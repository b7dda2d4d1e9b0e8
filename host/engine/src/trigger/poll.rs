//! Sources: polled, and a run for each item that was never seen.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use docket_model::{
    Account, EffectCall, Failure, FailureClass, InvalidRunId, Outcome, Retry, RunId, SourcePoll,
    StepOutput, StepPath, StepResult,
};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::event::Event;
use super::{Armed, Shared, of_host};
use crate::{EngineError, Journal, StepCall, Stop, StoreError, retry};

/// A source that fails is polled again after this or its own `every`, whichever is longer, and ever
/// later.
const LEAST_WAIT: Duration = Duration::from_secs(5);
/// And at the latest after this or its own `every`.
const MOST_WAIT: Duration = Duration::from_secs(900);
/// How often it is looked whether an account must still sign in, without anybody saying that it has.
const SIGN_IN_AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// The longest key of an item, in bytes.
const LONGEST_KEY: usize = 1024;

/// What a poll gave.
struct Polled {
    /// Whether there is more to be had at once.
    has_more: bool,
}

impl Shared {
    /// Polls a source, for as long as it is polled itself.
    pub(super) async fn watch_source(&self, armed: &Armed, poll: &SourcePoll) {
        let mut failures = 0;
        loop {
            let mut again = std::pin::pin!(self.woken(&armed.name));
            let signed_in = self.engine.sign_ins().news();
            let seen = match self.sign_ins(poll).await {
                Ok(seen) => seen,
                Err(error) => {
                    self.note_failure(armed, of_host(&error), None);
                    0
                }
            };
            self.note_polling(&armed.name);
            let polled = tokio::select! {
                polled = self.poll(armed, poll) => polled,
                // What the poll under way would leave behind is not wanted any more.
                () = &mut again => continue,
            };
            let next = match polled {
                Ok(polled) => {
                    failures = 0;
                    let now = self.now();
                    let every = match polled.has_more {
                        true => SignedDuration::ZERO,
                        false => SignedDuration::try_from(poll.every).unwrap_or_default(),
                    };
                    now.saturating_add(every).unwrap_or(Timestamp::MAX)
                }
                Err(failure) if failure.class == FailureClass::SignInRequired => {
                    let until = self.now().saturating_add(SIGN_IN_AGAIN);
                    let until = until.unwrap_or(Timestamp::MAX);
                    let account = account(poll);
                    self.note_sign_in_needed(armed, account, failure, until);
                    tokio::select! {
                        () = self.has_signed_in(poll, seen, signed_in) => {}
                        () = self.engine.ports().timer.until(until) => {}
                        () = again => {}
                    }
                    continue;
                }
                Err(failure) => {
                    failures += 1;
                    let next = after_failure(poll, &failure, failures, &armed.name, self.now());
                    self.note_failure(armed, failure, Some(next));
                    self.wait(next, again).await;
                    continue;
                }
            };
            self.note_next(&armed.name, Some(next));
            self.wait(next, again).await;
        }
    }

    async fn wait(&self, until: Timestamp, again: impl Future<Output = ()>) {
        tokio::select! {
            () = self.engine.ports().timer.until(until) => {}
            () = again => {}
        }
    }

    /// Polls once, and starts what came.
    async fn poll(&self, armed: &Armed, poll: &SourcePoll) -> Result<Polled, Failure> {
        let _one_of_few = self.polls.acquire().await;
        let ports = self.engine.ports();
        let record = ports.store.trigger(&armed.name).await;
        let before = record.map_err(|error| of_host(&error.into()))?.cursor;
        let now = self.now();
        let call = self.call(armed, poll, before.clone(), now)?;
        let reporter = Arc::clone(&self.reporter);
        let ran = ports.runner.run(call, &mut ReadsOnly, reporter).await;
        let output = match ran {
            Ok(StepResult::Done(output)) => output,
            Ok(StepResult::Failed { failure, .. }) => return Err(failure),
            Err(stop) => {
                let what = stop.to_string();
                return Err(Failure::new(FailureClass::Unavailable, "host", what));
            }
        };
        let StepOutput { value, cursor } = output;
        let (items, more) = read(value)?;
        // A source that says so and gives neither items nor another cursor would be asked for ever.
        let has_come_on = !items.is_empty() || cursor != before;
        let event = |(key, item)| Event::of_item(&armed.trigger, key, now, item);
        let events = items.into_iter().map(event).collect();
        let taken = self.take(armed, cursor.as_deref(), events).await;
        taken.map_err(|error| of_host(&error))?;
        Ok(Polled {
            has_more: more && has_come_on,
        })
    }

    fn call(
        &self,
        armed: &Armed,
        poll: &SourcePoll,
        cursor: Option<String>,
        now: Timestamp,
    ) -> Result<StepCall, Failure> {
        let pinned = armed.plan.plugins.get(&poll.plugin).cloned();
        let pinned = pinned.ok_or_else(|| {
            let what = format!("the plugin {} is not pinned", poll.plugin);
            Failure::new(FailureClass::Permanent, "plan", what)
        })?;
        let damaged = |error: InvalidRunId| of_host(&StoreError::Damaged(error.to_string()).into());
        Ok(StepCall {
            run: name(&armed.name).map_err(damaged)?,
            path: StepPath {
                step: armed.trigger.id.as_str().into(),
                item: None,
            },
            attempt: 1,
            started_at: now,
            plugin: poll.plugin.clone(),
            pinned,
            action: poll.action.clone(),
            input: poll.with.clone(),
            connection: poll.connection.clone(),
            act_as: poll.act_as.clone(),
            // Nothing that a poll does is kept, so that nothing has to be found again.
            idempotency_key: format!("poll {} {now}", armed.name),
            timeout: poll.timeout,
            cursor,
        })
    }

    /// How often its account, or all accounts of its connection, have been let in.
    async fn sign_ins(&self, poll: &SourcePoll) -> Result<u64, EngineError> {
        match account(poll) {
            Some(account) => Ok(self.engine.sign_ins().count(&account).await?),
            None => Ok(0),
        }
    }

    /// Ready once its account has signed in more often than `seen`.
    async fn has_signed_in(
        &self,
        poll: &SourcePoll,
        seen: u64,
        mut news: tokio::sync::watch::Receiver<()>,
    ) {
        loop {
            if self.sign_ins(poll).await.is_ok_and(|count| count > seen) {
                return;
            }
            if news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn account(poll: &SourcePoll) -> Option<Account> {
    let connection = poll.connection.as_ref()?;
    Some(Account::new(connection, poll.act_as.as_deref()))
}

/// The name under which a source's polls are logged.
pub(super) fn name(trigger: &str) -> Result<RunId, InvalidRunId> {
    let hash = Sha256::digest(trigger.as_bytes());
    let hex: String = hash
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("poll-{hex}").parse()
}

fn after_failure(
    poll: &SourcePoll,
    failure: &Failure,
    failures: u32,
    name: &str,
    now: Timestamp,
) -> Timestamp {
    let retry = Retry {
        attempts: u32::MAX,
        delay: poll.every.max(LEAST_WAIT),
        max_delay: poll.every.max(MOST_WAIT),
        on: Some(FailureClass::ALL.map(|(_, class)| class).to_vec()),
    };
    retry::next_attempt(&retry, failure, failures, name, now).unwrap_or(Timestamp::MAX)
}

/// The items with their keys, and whether there are more.
fn read(mut output: Value) -> Result<(Vec<(String, Value)>, bool), Failure> {
    let more = output["more"].as_bool().unwrap_or(false);
    let Value::Array(items) = output["items"].take() else {
        return Err(nonsense("its output has no list `items`"));
    };
    let mut read = Vec::with_capacity(items.len());
    for item in items {
        let key = item["key"].as_str();
        let key = key.filter(|key| !key.is_empty() && key.len() <= LONGEST_KEY);
        let Some(key) = key else {
            return Err(nonsense("an item has no `key`, or one that is too long"));
        };
        read.push((key.to_owned(), item));
    }
    Ok((read, more))
}

fn nonsense(problem: &str) -> Failure {
    Failure::new(
        FailureClass::Crashed,
        "nonsense",
        format!("the source returned nonsense: {problem}"),
    )
    .with_remedy("this is an error of the plugin: tell its author")
}

/// The memory of a poll: none, since all that it may do can be done again.
struct ReadsOnly;

#[async_trait]
impl Journal for ReadsOnly {
    async fn effect<'a>(
        &mut self,
        call: EffectCall,
        exec: BoxFuture<'a, Result<Vec<Outcome>, Stop>>,
    ) -> Result<Vec<Outcome>, Stop> {
        if !call.is_repeatable() {
            let what = crate::step_journal::describe(&call);
            return Err(Stop::Fault(format!(
                "a source may read, and change nothing; it asked for {what}"
            )));
        }
        exec.await
    }
}
