//! One attempt's memory over the run's journal: it answers what was recorded, in order, and records
//! what is new.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use docket_model::{
    Clock, EffectCall, Event, EventKind, FailureClass, Outcome, RequestRecord, StepPath, StepResult,
};
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::appender::Appender;
use crate::fold::Recorded;
use crate::{Journal, Stop};

/// The journal of one attempt.
pub(crate) struct StepJournal {
    appender: Appender,
    clock: Arc<dyn Clock>,
    path: StepPath,
    attempt: u32,
    /// What an earlier run of this attempt did and this one has not done yet.
    recorded: VecDeque<Recorded>,
    /// The next effect's place in the attempt.
    index: u32,
    /// Once cancelled, no new effect begins.
    halt: CancellationToken,
    /// An effect was intended that may not be repeated.
    has_intended: bool,
    /// An effect was begun; it stays so if the effect is dropped under way.
    is_open: bool,
    /// The plugin strayed from the record: recorded, now. Nothing may be sent after that.
    strayed: Option<(String, String)>,
}

impl StepJournal {
    pub(crate) fn new(
        appender: Appender,
        clock: Arc<dyn Clock>,
        path: StepPath,
        attempt: u32,
        recorded: Vec<Recorded>,
        halt: CancellationToken,
    ) -> Self {
        let is_intent = |recorded: &Recorded| !recorded.call.is_repeatable();
        Self {
            has_intended: recorded.iter().any(is_intent),
            appender,
            clock,
            path,
            attempt,
            recorded: recorded.into(),
            index: 0,
            halt,
            is_open: false,
            strayed: None,
        }
    }

    /// Whether any effect was intended that may not be repeated, as far as this attempt goes.
    pub(crate) const fn has_intended(&self) -> bool {
        self.has_intended
    }

    /// The attempt's end as the record allows it: one that strayed from the record has none, and
    /// neither has one that ended before it did all that is recorded, unless it broke or ran out of
    /// something on the way.
    pub(crate) fn judge(mut self, end: Result<StepResult, Stop>) -> Result<StepResult, Stop> {
        let may_stop_early = match &end {
            Ok(StepResult::Done(_)) => false,
            Ok(StepResult::Failed { failure, .. }) => matches!(
                failure.class,
                FailureClass::Crashed | FailureClass::LimitExceeded
            ),
            Err(_) => true,
        };
        if self.strayed.is_none()
            && !may_stop_early
            && let Some(left) = self.recorded.pop_front()
        {
            let mut now = "the end of the attempt".to_owned();
            if let Ok(StepResult::Failed { failure, .. }) = &end {
                now += &format!(": {}", failure.message);
            }
            self.strayed = Some((describe(&left.call), now));
        }
        match self.strayed {
            Some(_) => Err(self.non_deterministic()),
            None => end,
        }
    }

    fn non_deterministic(&self) -> Stop {
        let (recorded, now) = self.strayed.clone().unwrap_or_default();
        Stop::NonDeterministic {
            path: self.path.clone(),
            index: self.index,
            recorded,
            now,
        }
    }

    /// Answers from memory; `None` where the call is new.
    async fn recall(&mut self, call: &EffectCall) -> Result<Option<Vec<Outcome>>, Stop> {
        let Some(recorded) = self.recorded.pop_front() else {
            return Ok(None);
        };
        if recorded.call != *call {
            self.strayed = Some(differing(&recorded.call, call));
            return Err(self.non_deterministic());
        }
        let outcomes = match recorded.outcomes {
            Some(outcomes) => outcomes,
            None => {
                let outcomes = vec![Outcome::InDoubt; call.requests.len()];
                self.record_done(None, outcomes.clone()).await?;
                outcomes
            }
        };
        self.index += 1;
        Ok(Some(outcomes))
    }

    async fn record_done(
        &self,
        call: Option<EffectCall>,
        outcomes: Vec<Outcome>,
    ) -> Result<(), Stop> {
        let event = self.event(EventKind::EffectDone {
            path: self.path.clone(),
            attempt: self.attempt,
            index: self.index,
            call,
            outcomes,
        });
        Ok(self.appender.append(vec![event]).await?)
    }

    fn event(&self, kind: EventKind) -> Event {
        Event {
            at: self.clock.now(),
            kind,
        }
    }
}

#[async_trait]
impl Journal for StepJournal {
    async fn effect<'a>(
        &mut self,
        call: EffectCall,
        exec: BoxFuture<'a, Result<Vec<Outcome>, Stop>>,
    ) -> Result<Vec<Outcome>, Stop> {
        let ready = Box::pin(std::future::ready(()));
        self.effect_when(call, ready, exec).await
    }

    async fn effect_when<'a>(
        &mut self,
        call: EffectCall,
        ready: BoxFuture<'a, ()>,
        exec: BoxFuture<'a, Result<Vec<Outcome>, Stop>>,
    ) -> Result<Vec<Outcome>, Stop> {
        if self.strayed.is_some() {
            return Err(self.non_deterministic());
        }
        if self.is_open || call.requests.is_empty() {
            let what = "an effect without requests, or after one that was abandoned";
            return Err(Stop::Fault(what.to_owned()));
        }
        if call.requests.len() > 1 && !call.is_repeatable() {
            let what = "an effect of several requests that are not all repeatable";
            return Err(Stop::Fault(what.to_owned()));
        }
        if let Some(outcomes) = self.recall(&call).await? {
            return Ok(outcomes);
        }
        tokio::select! {
            biased;
            () = self.halt.cancelled() => return Err(Stop::Cancelled),
            () = ready => {}
        }
        self.is_open = true;
        let count = call.requests.len();
        let unintended = if call.is_repeatable() {
            Some(call)
        } else {
            let intended = self.event(EventKind::EffectIntended {
                path: self.path.clone(),
                attempt: self.attempt,
                index: self.index,
                call,
            });
            self.has_intended = true;
            self.appender.append_synced(vec![intended]).await?;
            None
        };
        let outcomes = exec.await?;
        if outcomes.len() != count {
            return Err(Stop::Fault(format!(
                "an effect of {count} requests with {} outcomes",
                outcomes.len()
            )));
        }
        self.record_done(unintended, outcomes.clone()).await?;
        self.is_open = false;
        self.index += 1;
        Ok(outcomes)
    }
}

/// Two calls that differ, in words that show where; never with a header's value.
pub(crate) fn differing(recorded: &EffectCall, now: &EffectCall) -> (String, String) {
    let (was, is) = (describe(recorded), describe(now));
    if was != is {
        return (was, is);
    }
    let differ = |part: fn(&RequestRecord) -> String| {
        let of = |call: &EffectCall| call.requests.iter().map(part).collect::<Vec<_>>();
        of(recorded) != of(now)
    };
    let what = if differ(|request| format!("{:?}", request.body)) {
        "another body"
    } else if differ(|request| format!("{:?}", request.headers)) {
        "other headers"
    } else if differ(|request| format!("{:?}", request.sent_as)) {
        "another account"
    } else {
        "another promise about repeating it"
    };
    (was, format!("the same with {what}"))
}

pub(crate) fn describe(call: &EffectCall) -> String {
    let line = |request: &RequestRecord| format!("{} {}", request.method, request.url);
    call.requests
        .iter()
        .map(line)
        .collect::<Vec<_>>()
        .join(", ")
}
