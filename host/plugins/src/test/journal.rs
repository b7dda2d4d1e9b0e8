//! The journal of a performance: it answers what is recorded, records what is new, and breaks one
//! unsafe effect where it is told to.

use async_trait::async_trait;
use docket_engine::{Journal, Stop};
use docket_model::{EffectCall, Outcome, StepPath};
use futures_util::future::BoxFuture;

/// Where an unsafe effect breaks, counted among the unsafe ones from 0, and on which side of the
/// server's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Break {
    pub(super) at: usize,
    /// Whether the server did its work before the reply was lost.
    pub(super) has_reached: bool,
}

/// An effect and what became of it.
pub(super) type Done = (EffectCall, Vec<Outcome>);

/// What happens when an effect breaks.
pub(super) type OnBreak<'s> = Box<dyn FnMut() + Send + 's>;

#[derive(Default)]
pub(super) struct Record<'s> {
    pub(super) effects: Vec<Done>,
    /// The next effect's place.
    next: usize,
    unsafe_seen: usize,
    broken: Option<(Break, OnBreak<'s>)>,
    /// The place of the effect that was broken.
    pub(super) broken_at: Option<usize>,
}

impl<'s> Record<'s> {
    /// One that answers what was recorded before.
    pub(super) fn replaying(effects: Vec<Done>) -> Self {
        Self {
            effects,
            ..Self::default()
        }
    }

    /// One that breaks an effect.
    pub(super) fn breaking(broken: Break, on_break: OnBreak<'s>) -> Self {
        Self {
            broken: Some((broken, on_break)),
            ..Self::default()
        }
    }

    /// How many of the recorded effects were asked for.
    pub(super) fn asked(&self) -> usize {
        self.next
    }
}

#[async_trait]
impl Journal for Record<'_> {
    async fn effect<'a>(
        &mut self,
        call: EffectCall,
        exec: BoxFuture<'a, Result<Vec<Outcome>, Stop>>,
    ) -> Result<Vec<Outcome>, Stop> {
        let index = self.next;
        self.next += 1;
        if let Some((recorded, outcomes)) = self.effects.get(index) {
            if *recorded == call {
                return Ok(outcomes.clone());
            }
            return Err(Stop::NonDeterministic {
                path: StepPath {
                    step: "case".into(),
                    item: None,
                },
                index: u32::try_from(index).unwrap_or(u32::MAX),
                recorded: described(recorded),
                now: described(&call),
            });
        }
        let mut breaks_here = None;
        if !call.is_repeatable() {
            let is_here = |(broken, _): &mut (Break, OnBreak<'_>)| broken.at == self.unsafe_seen;
            breaks_here = self.broken.take_if(is_here);
            self.unsafe_seen += 1;
        }
        let outcomes = match breaks_here {
            None => exec.await?,
            Some((broken, mut on_break)) => {
                self.broken_at = Some(index);
                let count = call.requests.len();
                if broken.has_reached {
                    exec.await?;
                }
                on_break();
                vec![Outcome::InDoubt; count]
            }
        };
        self.effects.push((call, outcomes.clone()));
        Ok(outcomes)
    }
}

/// An effect in words.
pub(super) fn described(call: &EffectCall) -> String {
    let lines: Vec<String> = call
        .requests
        .iter()
        .map(|request| format!("{} {}", request.method, request.url))
        .collect();
    lines.join(", ")
}
