//! Messages that cannot be read: when they are tried again, and when that is enough.
//!
//! One that the service answers with errors keeps no other back: it is set aside, tried again for an hour
//! and more, and given with the reason then, so that its run can put it where somebody looks. An outage
//! must not send all mail there. So a try counts only where the service has shown another message since
//! the one before; or where there is but one that it does not show, since that is no outage.

use serde::{Deserialize, Serialize};

/// The most that are set aside. That more cannot be read is the service's trouble, and not theirs.
pub(crate) const MOST_HELD: usize = 100;

/// How many tries that count are enough.
const TRIES: u32 = 5;
/// The wait after the first one, in seconds; it doubles from then on.
const FIRST_WAIT: i64 = 300;

/// A message that is set aside.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) id: String,
    /// The tries that counted.
    tries: u32,
    /// When the last one was, in seconds since the epoch.
    tried: i64,
}

impl Held {
    /// One that could not be read for the first time.
    pub(crate) fn new(id: &str, now: i64) -> Self {
        Self {
            id: id.to_owned(),
            tries: 1,
            tried: now,
        }
    }

    /// Whether it is time to try again.
    pub(crate) fn is_due(&self, now: i64) -> bool {
        now - self.tried >= FIRST_WAIT << self.tries.saturating_sub(1).min(TRIES)
    }

    /// Takes note of another try that failed. `shown_at` is when another message was last read, and
    /// `is_only` says that no other could not be. Whether it was the last try.
    pub(crate) fn failed_again(&mut self, now: i64, shown_at: i64, is_only: bool) -> bool {
        if is_only || shown_at > self.tried {
            self.tries += 1;
        }
        self.tried = now;
        self.tries >= TRIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many minutes one is given up that is tried whenever it is due.
    fn given_up_after(shown_at: impl Fn(i64) -> i64, is_only: bool) -> Option<i64> {
        let mut held = Held::new("A", 0);
        (0..1000).find(|minute| {
            let now = minute * 60;
            held.is_due(now) && held.failed_again(now, shown_at(now), is_only)
        })
    }

    #[test]
    fn only_what_the_message_is_to_blame_for_counts() {
        assert_eq!(given_up_after(|_| 0, true), Some(75));
        assert_eq!(given_up_after(|now| now, false), Some(75));
        assert_eq!(given_up_after(|_| 0, false), None, "an outage");
        // Mail was read before the outage, and is again after it.
        let outage = |now| if now < 600 * 60 { 60 } else { now };
        assert_eq!(given_up_after(outage, false), Some(665));
    }
}
