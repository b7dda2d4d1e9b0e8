//! One place of a run, a step or an item, and its attempts.

use docket_model::{EffectCall, Failure, FailureClass, Outcome, StepResult};
use jiff::Timestamp;
use serde_json::Value;

/// Where a step or an item stands.
#[derive(Debug)]
pub(crate) enum Place {
    Untouched,
    Running(Box<Attempt>),
    /// The last attempt failed, and another follows at its time.
    Retrying {
        /// The last attempt.
        attempt: u32,
        /// How many attempts failed in a way that counts against the step's `retry`.
        failures: u32,
        at: Timestamp,
    },
    Skipped,
    Done(Value),
    Failed(Failure),
}

/// An attempt under way, with all that it did so far.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attempt {
    /// From 1.
    pub(crate) number: u32,
    /// When it started; the guest's time.
    pub(crate) started_at: Timestamp,
    /// The step's input.
    pub(crate) input: Value,
    /// How many attempts before it failed in a way that counts against the step's `retry`.
    pub(crate) failures: u32,
    /// Its effects, in order; only the last may lack its outcomes.
    pub(crate) effects: Vec<Recorded>,
}

/// An effect as the journal has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recorded {
    /// What was to be sent.
    pub(crate) call: EffectCall,
    /// What became of it, one for each request; `None` where nobody knows.
    pub(crate) outcomes: Option<Vec<Outcome>>,
}

impl Place {
    /// The number and the counted failures of the attempt that comes next, and its time; `None`
    /// where none comes.
    pub(crate) const fn upcoming(&self) -> Option<(u32, u32, Timestamp)> {
        match self {
            Self::Untouched => Some((1, 0, Timestamp::MIN)),
            Self::Retrying {
                attempt,
                failures,
                at,
            } => Some((attempt.saturating_add(1), *failures, *at)),
            _ => None,
        }
    }

    pub(crate) fn start(
        &mut self,
        attempt: u32,
        input: Value,
        at: Timestamp,
    ) -> Result<(), &'static str> {
        let (number, failures, _) = self.upcoming().ok_or("no attempt is due")?;
        if attempt != number {
            return Err("attempts are numbered one by one");
        }
        *self = Self::Running(Box::new(Attempt {
            number,
            started_at: at,
            input,
            failures,
            effects: Vec::new(),
        }));
        Ok(())
    }

    pub(crate) fn skip(&mut self) -> Result<(), &'static str> {
        match self {
            Self::Untouched => {
                *self = Self::Skipped;
                Ok(())
            }
            _ => Err("the step has begun"),
        }
    }

    pub(crate) fn finish(&mut self, number: u32, result: StepResult) -> Result<(), &'static str> {
        let attempt = self.attempt(number)?;
        *self = match result {
            StepResult::Done(output) => Self::Done(output.value),
            StepResult::Failed {
                failure,
                retry_at: None,
            } => Self::Failed(failure),
            StepResult::Failed {
                failure,
                retry_at: Some(at),
            } => Self::Retrying {
                attempt: attempt.number,
                failures: attempt.failures_with(&failure),
                at,
            },
        };
        Ok(())
    }

    pub(crate) fn attempt(&mut self, number: u32) -> Result<&mut Attempt, &'static str> {
        match self {
            Self::Running(attempt) if attempt.number == number => Ok(attempt),
            _ => Err("this attempt is not under way"),
        }
    }
}

impl Attempt {
    /// How many failures count against the step's `retry` if this attempt fails so. Waiting for a
    /// sign-in does not use them up.
    pub(crate) fn failures_with(&self, failure: &Failure) -> u32 {
        let counts = failure.class != FailureClass::SignInRequired;
        self.failures.saturating_add(u32::from(counts))
    }

    pub(crate) fn intend(&mut self, index: u32, call: EffectCall) -> Result<(), &'static str> {
        if call.is_repeatable() {
            return Err("an effect that may be repeated needs no intent");
        }
        self.push(index, call, None)
    }

    pub(crate) fn done(
        &mut self,
        index: u32,
        call: Option<EffectCall>,
        outcomes: Vec<Outcome>,
    ) -> Result<(), &'static str> {
        if let Some(call) = call {
            if !call.is_repeatable() {
                return Err("an effect that may not be repeated needs an intent");
            }
            if call.requests.len() != outcomes.len() {
                return Err("each request has one outcome");
            }
            return self.push(index, call, Some(outcomes));
        }
        let is_last = self.effects.len() == place(index) + 1;
        let open = self
            .effects
            .last_mut()
            .filter(|last| is_last && last.outcomes.is_none());
        let open = open.ok_or("the effect was not intended, or was done before")?;
        if open.call.requests.len() != outcomes.len() {
            return Err("each request has one outcome");
        }
        open.outcomes = Some(outcomes);
        Ok(())
    }

    fn push(
        &mut self,
        index: u32,
        call: EffectCall,
        outcomes: Option<Vec<Outcome>>,
    ) -> Result<(), &'static str> {
        if call.requests.is_empty() {
            return Err("an effect has a request");
        }
        if self.effects.len() != place(index) {
            return Err("effects are numbered one by one");
        }
        if self
            .effects
            .last()
            .is_some_and(|last| last.outcomes.is_none())
        {
            return Err("the effect before it is not done");
        }
        self.effects.push(Recorded { call, outcomes });
        Ok(())
    }
}

fn place(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}
