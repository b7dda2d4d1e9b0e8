//! One place of a run, a step or an item, and its attempts.

use docket_model::{
    Account, EffectCall, Failure, FailureClass, Outcome, StepResult, Wait, WaitFor,
};
use jiff::Timestamp;
use serde_json::Value;

/// Where a step or an item stands.
#[derive(Debug)]
pub(crate) enum Place {
    Untouched,
    Running(Box<Attempt>),
    /// The attempt waits for something else than time alone, or a built-in step for its time.
    Waiting {
        attempt: Box<Attempt>,
        wait: Wait,
        since: Timestamp,
    },
    /// The last attempt ended, and another follows at its time.
    Retrying {
        before: Box<Before>,
        at: Timestamp,
    },
    Skipped,
    Done(Value),
    /// The attempt that failed for good, and its failure.
    Failed(Box<Before>),
}

/// What an attempt leaves to the next one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Before {
    /// The number of the last attempt; 0 where there was none.
    pub(crate) attempt: u32,
    /// How many attempts failed in a way that counts against the step's `retry`.
    pub(crate) failures: u32,
    /// Whether any attempt intended an effect that may not be repeated.
    pub(crate) has_intended: bool,
    /// The fallback connection, once an attempt used it.
    pub(crate) connection: Option<String>,
    /// What the last attempt ended with.
    pub(crate) failure: Option<Failure>,
    /// When it ended.
    pub(crate) ended_at: Option<Timestamp>,
    /// Since when a sign-in is needed, while attempts end for nothing else.
    pub(crate) needed_since: Option<Timestamp>,
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
    /// The connection, where it is not the step's own.
    pub(crate) connection: Option<String>,
    /// The user to act as.
    pub(crate) act_as: Option<String>,
    /// What came before it.
    pub(crate) before: Before,
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
    /// What the attempt that comes next goes by, and its time; `None` where none comes.
    pub(crate) fn upcoming(&self) -> Option<(Before, Timestamp)> {
        match self {
            Self::Untouched => Some((Before::default(), Timestamp::MIN)),
            Self::Retrying { before, at } => Some((before.as_ref().clone(), *at)),
            _ => None,
        }
    }

    pub(crate) fn start(
        &mut self,
        attempt: u32,
        (input, connection, act_as): (Value, Option<String>, Option<String>),
        at: Timestamp,
    ) -> Result<(), &'static str> {
        let (before, _) = self.upcoming().ok_or("no attempt is due")?;
        if attempt != before.attempt.saturating_add(1) {
            return Err("attempts are numbered one by one");
        }
        *self = Self::Running(Box::new(Attempt {
            number: attempt,
            started_at: at,
            input,
            connection,
            act_as,
            before,
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

    pub(crate) fn wait(
        &mut self,
        number: u32,
        wait: Wait,
        since: Timestamp,
    ) -> Result<(), &'static str> {
        let attempt = self.attempt(number)?.clone();
        let since = match wait.on {
            WaitFor::SignIn { .. } => attempt.before.needed_since.unwrap_or(since),
            _ => since,
        };
        *self = Self::Waiting {
            attempt: Box::new(attempt),
            wait,
            since,
        };
        Ok(())
    }

    pub(crate) fn finish(
        &mut self,
        number: u32,
        result: StepResult,
        at: Timestamp,
    ) -> Result<(), &'static str> {
        let attempt = match self {
            Self::Waiting { attempt, .. } if attempt.number == number => attempt,
            _ => self.attempt(number)?,
        };
        *self = match result {
            StepResult::Done(output) => Self::Done(output.value),
            StepResult::Failed { failure, retry_at } => {
                let before = Box::new(attempt.left(failure, at));
                match retry_at {
                    None => Self::Failed(before),
                    Some(at) => Self::Retrying { before, at },
                }
            }
        };
        Ok(())
    }

    /// Lets the next attempt follow where the account's sign-in was waited for. Says whether it was.
    pub(crate) fn sign_in(&mut self, account: &Account, at: Timestamp) -> bool {
        let Self::Waiting {
            attempt,
            wait,
            since,
        } = self
        else {
            return false;
        };
        let WaitFor::SignIn {
            account: needed,
            failure,
            ..
        } = &wait.on
        else {
            return false;
        };
        if needed != account {
            return false;
        }
        let mut before = Box::new(attempt.left(failure.clone(), at));
        // The account is the right one again: no reason to look for another.
        before.failure = None;
        // Unless it is not: then the wait goes on, and has no longer time than it had.
        before.needed_since = Some(*since);
        *self = Self::Retrying { before, at };
        true
    }

    /// Lets an attempt follow at `at` where there would be none, with all attempts of `retry` again.
    /// Says whether there would.
    pub(crate) fn take_up(&mut self, at: Timestamp) -> bool {
        let Self::Failed(before) = self else {
            return false;
        };
        let mut before = std::mem::take(before);
        before.failures = 0;
        before.failure = None;
        before.needed_since = None;
        *self = Self::Retrying { before, at };
        true
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
        self.before.failures.saturating_add(u32::from(counts))
    }

    /// Whether it, or one before it, intended an effect that may not be repeated.
    pub(crate) fn has_intended(&self) -> bool {
        let is_unrepeatable = |effect: &Recorded| !effect.call.is_repeatable();
        self.before.has_intended || self.effects.iter().any(is_unrepeatable)
    }

    fn left(&self, failure: Failure, at: Timestamp) -> Before {
        Before {
            attempt: self.number,
            failures: self.failures_with(&failure),
            has_intended: self.has_intended(),
            connection: self.connection.clone(),
            failure: Some(failure),
            ended_at: Some(at),
            needed_since: None,
        }
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
