//! When to try again: exponential backoff with jitter that is a function of the step, so that a
//! journal tells the same story however often it is told.

use std::time::Duration;

use docket_model::{Failure, Retry};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

/// When the next attempt starts, after the `failures`th failure (from 1) at `now`; `None`
/// where the attempts are used up or the failure will not go away.
///
/// The wait doubles from `retry.delay` up to `retry.max_delay`, and between its half and its whole
/// is spread by `key`, so that a thousand runs that failed together do not come back together. A
/// provider's Retry-After is always waited for, however long; the spread then comes on top.
pub(crate) fn next_attempt(
    retry: &Retry,
    failure: &Failure,
    failures: u32,
    key: &str,
    now: Timestamp,
) -> Option<Timestamp> {
    if !retry.covers(failure.class) || failures >= retry.attempts {
        return None;
    }
    let doublings = failures.saturating_sub(1).min(31);
    let backoff = retry
        .delay
        .saturating_mul(1 << doublings)
        .min(retry.max_delay.max(retry.delay));
    let spread = (backoff / 2).mul_f64(fraction(key, failures));
    let wait = match failure.retry_after {
        Some(asked) => asked.saturating_add(spread),
        None => Duration::ZERO,
    };
    let wait = wait.max(backoff / 2 + spread);
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    Some(now.saturating_add(wait).unwrap_or(Timestamp::MAX))
}

/// A number from 0 to 1 that is the same for the same key and failure.
fn fraction(key: &str, failures: u32) -> f64 {
    let hash = Sha256::digest(format!("{key}\0{failures}").as_bytes());
    f64::from(u16::from_be_bytes([hash[0], hash[1]])) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use docket_model::FailureClass;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn wait(class: FailureClass, after: Option<u64>, failures: u32, key: &str) -> Option<f64> {
        let retry = Retry {
            attempts: 9,
            delay: Duration::from_secs(2),
            max_delay: Duration::from_secs(60),
            on: None,
        };
        let mut failure = Failure::new(class, "code", "message");
        failure.retry_after = after.map(Duration::from_secs);
        let at = next_attempt(&retry, &failure, failures, key, NOW)?;
        Some(at.duration_since(NOW).as_secs_f64())
    }

    #[test]
    fn doubles_up_to_the_longest_wait_and_ends_with_the_attempts() {
        for (failures, low, high) in [
            (1, 1.0, 2.0),
            (2, 2.0, 4.0),
            (3, 4.0, 8.0),
            (6, 30.0, 60.0),
            (8, 30.0, 60.0),
        ] {
            for key in ["a", "b", "c", "d"] {
                let waited = wait(FailureClass::Unavailable, None, failures, key).unwrap();
                assert!((low..=high).contains(&waited), "{failures}: {waited}");
            }
        }
        assert_eq!(wait(FailureClass::Unavailable, None, 9, "a"), None);
    }

    #[test]
    fn waits_at_least_as_long_as_the_provider_asks() {
        for (after, low, high) in [(0, 1.0, 2.0), (10, 10.0, 11.0), (3600, 3600.0, 3601.0)] {
            let waited = wait(FailureClass::Throttled, Some(after), 1, "a").unwrap();
            assert!((low..=high).contains(&waited), "{after}: {waited}");
        }
        assert!(wait(FailureClass::Throttled, Some(u64::MAX), 1, "a").is_some());
    }

    #[test]
    fn spreads_steps_but_repeats_itself() {
        let of = |key| wait(FailureClass::Unavailable, None, 1, key);
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
    }

    #[test]
    fn tries_again_what_it_is_told_to() {
        let retry = Retry {
            on: Some(vec![FailureClass::Crashed]),
            ..Retry::default()
        };
        let next = |class| {
            let failure = Failure::new(class, "code", "message");
            next_attempt(&retry, &failure, 1, "a", NOW)
        };
        assert!(next(FailureClass::Crashed).is_some());
        assert_eq!(next(FailureClass::Unavailable), None);
    }

    #[test]
    fn tries_again_only_what_may_go_better() {
        use FailureClass::*;
        for class in [
            InvalidInput,
            Denied,
            NotFound,
            SignInRequired,
            OutcomeUnknown,
            Permanent,
            Crashed,
            LimitExceeded,
        ] {
            assert_eq!(wait(class, None, 1, "a"), None, "{class:?}");
        }
    }
}
