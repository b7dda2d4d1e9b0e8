//! Waiting until a moment, as a port: nothing else in the engine waits for time.

use std::sync::Arc;
use std::time::Duration;

use docket_model::Clock;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

/// Waits for moments.
pub trait Timer: Send + Sync {
    /// A future that is ready once the clock shows `at` or later.
    fn until(&self, at: Timestamp) -> BoxFuture<'static, ()>;
}

/// The real timer, on tokio's.
pub struct TokioTimer {
    clock: Arc<dyn Clock>,
}

impl TokioTimer {
    /// A timer that goes by `clock`, and so keeps up when the machine slept or its clock was set:
    /// it is late by 30 seconds at most.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl Timer for TokioTimer {
    fn until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        const LONGEST: Duration = Duration::from_secs(30);
        let clock = Arc::clone(&self.clock);
        async move {
            // A negative duration does not convert: the moment has come.
            while let Ok(left) = Duration::try_from(at.duration_since(clock.now())) {
                if left.is_zero() {
                    break;
                }
                // The one place where the engine sleeps: everybody else asks a `Timer`.
                tokio::time::sleep(left.min(LONGEST)).await;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use docket_model::ManualClock;
    use jiff::SignedDuration;

    #[tokio::test]
    async fn waits_by_the_clock_that_it_was_given() {
        let start = Timestamp::UNIX_EPOCH;
        let clock = Arc::new(ManualClock::new(start));
        let timer = TokioTimer::new(Arc::clone(&clock) as _);
        let later = start + SignedDuration::from_hours(1);
        for (at, is_due) in [(Timestamp::MIN, true), (start, true), (later, false)] {
            assert_eq!(timer.until(at).now_or_never().is_some(), is_due, "{at}");
        }
        clock.advance(SignedDuration::from_hours(1));
        assert!(timer.until(later).now_or_never().is_some());
        assert!(timer.until(Timestamp::MAX).now_or_never().is_none());
    }
}
