//! The one place where the machine's clock is read.

use docket_model::Clock;
use jiff::Timestamp;

/// The machine's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the real clock; everybody else is handed one"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
