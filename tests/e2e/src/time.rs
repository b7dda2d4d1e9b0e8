//! Time that runs, and that whoever waits for it moves forward.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use docket_engine::Timer;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

/// The machine's clock with an offset that grows whenever somebody waits.
#[derive(Debug, Clone, Default)]
pub struct LabClock(Arc<AtomicI64>);

impl LabClock {
    /// The present moment of the laboratory.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the laboratory's clock runs on the real one"
    )]
    pub fn now(&self) -> Timestamp {
        let micros = Timestamp::now().as_microsecond() + self.0.load(Ordering::SeqCst);
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
    }

    /// Moves on to a moment.
    pub fn advance_to(&self, at: Timestamp) {
        let ahead = at.as_microsecond() - self.now().as_microsecond();
        self.0.fetch_add(ahead.max(0) + 1, Ordering::SeqCst);
    }
}

impl docket_model::Clock for LabClock {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }
}

impl docket_tenant::Clock for LabClock {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }
}

impl Timer for LabClock {
    fn until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        Box::pin(async move { clock.advance_to(at) })
    }
}
