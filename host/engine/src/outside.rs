//! What reaches runs from outside: signals, sign-ins, orders to end or to go on.

use docket_model::{Account, Event, EventKind, RunId, RunResult, Signal};
use tokio::sync::oneshot;

use crate::drive::Told;
use crate::engine::{Engine, Owner};
use crate::fold::Next;
use crate::trigger::refuse_unfit;
use crate::{Durability, EngineError};

impl Engine {
    /// Ends a run: no new effect begins, and requests under way are awaited and recorded. A run
    /// that has ended stays as it is. Says how the run ended.
    ///
    /// # Errors
    /// [`EngineError::UnknownRun`], and the journal's.
    pub async fn cancel(&self, run: &RunId) -> Result<RunResult, EngineError> {
        loop {
            // Told of once the run has no owner any more: the place that it held in its group is free.
            let mut coming = self.changes().coming();
            let Ok(_owner) = self.own(run) else {
                let hold = self.driven().get(run).cloned();
                if let Some(hold) = hold {
                    hold.cancel.cancel();
                    hold.is_free.cancelled().await;
                }
                continue;
            };
            let (_, state) = self.load(run).await?;
            if let Next::Nothing(result) = state.next(self.ports().clock.now()) {
                return Ok(result);
            }
            let summary = self.summary(run).await?;
            coming.are(vec![summary.to_ready(summary.is_parked)]);
            let result = RunResult::Cancelled;
            let kind = EventKind::RunFinished {
                result: result.clone(),
            };
            self.append_alone(run, state.events(), kind).await?;
            return Ok(result);
        }
    }

    /// Lets a run go on that failed or was cancelled: what failed is tried again with all its
    /// attempts, as the same step with the same idempotency key, and what was done stays done.
    ///
    /// # Errors
    /// [`EngineError::UnknownRun`], [`EngineError::NotFailed`], [`EngineError::UnderWay`],
    /// [`EngineError::Unstartable`] for a run that a trigger could make no inputs for, and the
    /// journal's.
    pub async fn resume(&self, run: &RunId) -> Result<(), EngineError> {
        let mut coming = self.changes().coming();
        let _owner = self.own(run)?;
        let summary = self.summary(run).await?;
        refuse_unfit(&self.ports().store.events(run).await?)?;
        match summary.result {
            Some(RunResult::Failed { .. } | RunResult::Cancelled) => {}
            _ => return Err(EngineError::NotFailed(run.clone())),
        }
        // It gave its place in its group away when it ended.
        coming.are(vec![summary.to_ready(false)]);
        let kind = EventKind::RunResumed;
        self.append_alone(run, summary.events, kind).await
    }

    /// Tells a run something, durably, whether it waits for it yet or not. The same `id` again is
    /// the same signal, and changes nothing; so whoever does not know whether it was heard may send
    /// it again.
    ///
    /// # Errors
    /// [`EngineError::UnknownRun`], [`EngineError::Over`], and the journal's.
    pub async fn signal(&self, run: &RunId, id: &str, signal: Signal) -> Result<(), EngineError> {
        let id = id.to_owned();
        let kind = EventKind::Signalled { id, signal };
        loop {
            let mut coming = self.changes().coming();
            let Ok(_owner) = self.own(run) else {
                match self.tell_driven(run, &kind).await {
                    Some(told) => return told,
                    None => continue,
                }
            };
            let summary = self.summary(run).await?;
            if summary.finished_at.is_some() {
                return Err(EngineError::Over(run.clone()));
            }
            // What is not parked is known to whoever drives it.
            coming.are(vec![summary.to_ready(summary.is_parked)]);
            return self.append_alone(run, summary.events, kind).await;
        }
    }

    /// Lets all runs go on that wait for this account's sign-in, in whatever order, and remembers it
    /// for those that are about to wait. Without a user it is for every account of the connection: its
    /// one account has signed in, or its application has another credential. Says how many were
    /// parked. Call it once the sign-in is stored; calling it again is harmless.
    ///
    /// # Errors
    /// The journal's.
    pub async fn signed_in(
        &self,
        connection: &str,
        user: Option<&str>,
    ) -> Result<usize, EngineError> {
        let account = Account::new(connection, user);
        let ready = self.sign_ins().add(&account).await?;
        let count = ready.len();
        self.changes().add(ready);
        // Runs that wait for one thing and do another are driven, not parked. They look for sign-ins
        // before they rest, and this is only to make them look sooner.
        for hold in self.driven().values() {
            let _ = hold.inbox.try_send(Told::SignIn);
        }
        Ok(count)
    }

    /// Hears what a run is told while it is owned and nobody drives it.
    pub(crate) async fn answer(&self, owner: &Owner, told: Told) -> Result<(), EngineError> {
        let (kind, done) = match told {
            Told::Signal(kind, done) => (*kind, done),
            // Whoever drives it next looks for itself.
            Told::SignIn => return Ok(()),
        };
        let summary = self.summary(&owner.run).await?;
        self.append_alone(&owner.run, summary.events, kind).await?;
        // Whoever told it may have gone away.
        let _ = done.send(Ok(()));
        Ok(())
    }

    /// Tells whoever drives the run; `None` where nobody does any more, or the drive ended before it
    /// was heard.
    async fn tell_driven(&self, run: &RunId, kind: &EventKind) -> Option<Result<(), EngineError>> {
        let hold = self.driven().get(run).cloned()?;
        let (done, heard) = oneshot::channel();
        let told = Told::Signal(Box::new(kind.clone()), done);
        if hold.inbox.send(told).await.is_ok()
            && let Ok(result) = heard.await
        {
            return Some(result);
        }
        hold.is_free.cancelled().await;
        None
    }

    /// Appends to a run that this task owns and nobody drives.
    async fn append_alone(
        &self,
        run: &RunId,
        first: u64,
        kind: EventKind,
    ) -> Result<(), EngineError> {
        let at = self.ports().clock.now();
        let event = Event { at, kind };
        let store = &self.ports().store;
        Ok(store
            .append(run, first, &[event], Durability::Synced)
            .await?)
    }
}
