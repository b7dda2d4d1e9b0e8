//! The time of a case: it runs as this machine's does, and skips what the run only waits for.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use docket_engine::{Timer, TokioTimer};
use docket_model::Clock;
use jiff::{SignedDuration, Timestamp};

use crate::clock::SystemClock;

/// Waits up to this long are skipped even while something else is under way. Longer ones are skipped
/// once the run rests, so that no time-out ends what is under way.
const SHORT: SignedDuration = SignedDuration::from_secs(6);

/// A clock that is ahead of this machine's, by as much as was waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct SkippingClock(Arc<AtomicI64>);

impl SkippingClock {
    /// Goes on to a moment, unless it is past already.
    pub(super) fn skip_to(&self, at: Timestamp) {
        let ahead = at.as_microsecond() - Clock::now(self).as_microsecond();
        self.0.fetch_add(ahead.max(0) + 1, Ordering::SeqCst);
    }
}

impl Clock for SkippingClock {
    fn now(&self) -> Timestamp {
        let micros = SystemClock.now().as_microsecond() + self.0.load(Ordering::SeqCst);
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
    }
}

impl docket_tenant::Clock for SkippingClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }
}

impl Timer for SkippingClock {
    fn until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let clock = self.clone();
        if at.duration_since(Clock::now(self)) <= SHORT {
            return Box::pin(async move { clock.skip_to(at) });
        }
        TokioTimer::new(Arc::new(clock)).until(at)
    }
}
