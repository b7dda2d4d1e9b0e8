//! What every plugin must keep, tried on the cases of this one.
//!
//! *The same call does the same.* Each case is performed again, and replayed from its record: the same
//! requests byte for byte, the same end, the same fuel. A run that goes on after a crash relies on it.
//!
//! *It looks before it repeats.* Each request of a case that is not repeatable is broken, once before
//! it reached the server and once after. Until a look was answered, a plugin may not send the same
//! again, in this attempt or in one that the engine starts after a failure that may go away. What a
//! look finds is said under `interrupted` in the case; a plugin whose look found that the request had
//! arrived may not send it again at all.

use std::sync::Arc;

use docket_model::{EffectCall, Outcome};
use serde::Serialize;

use super::bench::{Bench, Performance};
use super::case::{Case, CaseError};
use super::expect::word;
use super::journal::{Break, Done, Record, described};

/// Attempts that the engine would make, at most.
const ATTEMPTS: u32 = 3;

/// What is checked of every plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The same call does the same.
    Determinism,
    /// An unsafe request whose reply is missing is looked up before it is sent again.
    Interrupted,
}

/// A check of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Conformance {
    /// What was checked.
    pub check: Check,
    /// The case's name.
    pub case: String,
    /// In which way it was tried.
    pub how: String,
    /// What is wrong; nothing where all is well.
    pub problems: Vec<String>,
}

impl Bench {
    /// Holds the plugin to what every plugin must keep, on a case. `first` is its performance.
    ///
    /// # Errors
    /// [`CaseError`] for a case that cannot be performed.
    pub async fn conformance(
        &self,
        case: &Case,
        first: &Performance,
    ) -> Result<Vec<Conformance>, CaseError> {
        let mut found = vec![self.again(case, first).await?];
        let unsafe_calls = first.effects.iter().filter(is_unsafe);
        for (at, (call, _)) in unsafe_calls.enumerate() {
            for has_reached in [false, true] {
                let broken = Break { at, has_reached };
                let problems = self.interrupted(case, broken).await?;
                let side = if has_reached { "after" } else { "before" };
                found.push(Conformance {
                    check: Check::Interrupted,
                    case: case.name.clone(),
                    how: format!("{} broke {side} it took effect", described(call)),
                    problems,
                });
            }
        }
        Ok(found)
    }

    async fn again(&self, case: &Case, first: &Performance) -> Result<Conformance, CaseError> {
        let mut problems = Vec::new();
        let second = self.perform(case).await?;
        if let Some(problem) = differing(first, &second) {
            problems.push(format!("performed again, {problem}"));
        }
        let record = Record::replaying(first.effects.clone());
        let replayed = self
            .perform_with(case, self.servers(case)?, record, case.attempt)
            .await;
        match replayed {
            Ok(replayed) => {
                if replayed.asked != first.effects.len() {
                    problems.push(format!(
                        "replayed, it made {} effects of {}",
                        replayed.asked,
                        first.effects.len()
                    ));
                } else if replayed.result != first.result {
                    problems.push("replayed, it ended otherwise".to_owned());
                }
            }
            Err(error) => problems.push(format!("replayed, {}", error.problem)),
        }
        Ok(Conformance {
            check: Check::Determinism,
            case: case.name.clone(),
            how: "performed twice, and replayed".to_owned(),
            problems,
        })
    }

    /// Performs a case with an unsafe effect broken, as often as the engine would.
    async fn interrupted(&self, case: &Case, broken: Break) -> Result<Vec<String>, CaseError> {
        let servers = self.servers(case)?;
        let looks = if broken.has_reached {
            &case.interrupted.reached
        } else {
            &case.interrupted.lost
        };
        let on_break = {
            let servers = Arc::clone(&servers);
            let looks = looks.clone();
            Box::new(move || servers.change(&looks))
        };
        let record = Record::breaking(broken, on_break);
        let mut ended = self
            .perform_with(case, Arc::clone(&servers), record, case.attempt)
            .await?;
        let Some(at) = ended.broken_at else {
            return Ok(vec![
                "it did not send the request this time: it is not deterministic".to_owned(),
            ]);
        };
        let doubtful = ended.effects[at].0.clone();
        let mut problems = Vec::new();
        let mut after = ended.effects.split_off(at + 1);
        for attempt in case.attempt.. {
            problems.extend(repeats(&doubtful, &after, broken.has_reached));
            let may_go_away = match &ended.result {
                Ok(_) => false,
                Err(failure) => failure.class.is_transient(),
            };
            if !problems.is_empty() || !may_go_away || attempt + 1 >= case.attempt + ATTEMPTS {
                break;
            }
            ended = self
                .perform_with(case, Arc::clone(&servers), Record::default(), attempt + 1)
                .await?;
            after = std::mem::take(&mut ended.effects);
        }
        if let Err(failure) = &ended.result
            && matches!(
                failure.class,
                docket_model::FailureClass::Crashed | docket_model::FailureClass::LimitExceeded
            )
        {
            problems.push(format!(
                "it broke with {}: {}",
                word(failure.class),
                failure.message
            ));
        }
        problems.extend(ended.problems);
        problems.dedup();
        Ok(problems)
    }
}

fn is_unsafe((call, _): &&Done) -> bool {
    !call.is_repeatable()
}

/// How an attempt repeats a request whose reply is missing against the rules.
fn repeats(doubtful: &EffectCall, effects: &[Done], has_reached: bool) -> Option<String> {
    let mut has_looked = false;
    for (call, outcomes) in effects {
        if call.is_repeatable() {
            has_looked |= outcomes.iter().any(tells_something);
        } else if is_same(doubtful, call) {
            if !has_looked {
                return Some(format!(
                    "it sent {} again without a look whether it had arrived; look first, or fail \
                     with outcome-unknown",
                    described(call)
                ));
            }
            if has_reached {
                return Some(format!(
                    "it sent {} again although it had arrived; what its look finds then is said \
                     under `interrupted.reached`",
                    described(call)
                ));
            }
        }
    }
    None
}

/// Whether a look told anything: a server that is busy or broken has not looked.
fn tells_something(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Answered(answer) => answer.status < 500 && answer.status != 429,
        Outcome::Failed(_) | Outcome::InDoubt => false,
    }
}

/// The same method, URL and body. Headers may tell attempts apart.
fn is_same(one: &EffectCall, other: &EffectCall) -> bool {
    let requests = one.requests.iter().zip(&other.requests);
    one.requests.len() == other.requests.len()
        && requests.into_iter().all(|(one, other)| {
            one.method == other.method && one.url == other.url && one.body == other.body
        })
}

fn differing(one: &Performance, other: &Performance) -> Option<String> {
    if one.effects.len() != other.effects.len() {
        return Some(format!(
            "it made {} effects, and not {}",
            other.effects.len(),
            one.effects.len()
        ));
    }
    for ((one, _), (other, _)) in one.effects.iter().zip(&other.effects) {
        if one != other {
            let (one, other) = (described(one), described(other));
            return Some(if one == other {
                format!("it sent {other} with other headers or another body")
            } else {
                format!("it sent {other}, and not {one}")
            });
        }
    }
    if one.result != other.result {
        return Some("it ended otherwise".to_owned());
    }
    if one.usage.fuel != other.usage.fuel {
        return Some(format!(
            "it used {} of fuel, and not {}: something in it depends on more than the call",
            other.usage.fuel.unwrap_or_default(),
            one.usage.fuel.unwrap_or_default()
        ));
    }
    None
}
