//! An attempt's time, which stands still while the host itself holds a request back.
//!
//! A mailbox has its uploads of five minutes, and the next piece of a file waits for minutes, behind
//! those of other runs. That is no fault of the step, whose time limit should end what hangs. Nor would
//! it help to give up: the next attempt would begin the file anew, and come as far.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The time that an attempt has. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Allowance(watch::Sender<Clock>);

#[derive(Clone, Copy)]
struct Clock {
    /// When the time is over.
    end: Instant,
    /// Since when it stands still.
    stopped: Option<Instant>,
}

impl Allowance {
    /// It runs from now on.
    pub(crate) fn new(time: Duration) -> Self {
        Self(watch::Sender::new(Clock {
            end: Instant::now() + time,
            stopped: None,
        }))
    }

    /// What is left of it.
    pub(crate) fn left(&self) -> Duration {
        let Clock { end, stopped } = *self.0.borrow();
        end.saturating_duration_since(stopped.unwrap_or_else(Instant::now))
    }

    /// Does work for which the time stands still, and says how long it took. If the work is dropped,
    /// the attempt is.
    pub(crate) async fn standing_still<T>(&self, work: impl Future<Output = T>) -> (T, Duration) {
        let mut work = pin!(work);
        // Mostly nothing holds it back, and nobody needs to hear of it.
        let first = std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        if let Poll::Ready(done) = first {
            return (done, Duration::ZERO);
        }
        let began = Instant::now();
        self.0.send_modify(|clock| clock.stopped = Some(began));
        let done = work.await;
        let took = began.elapsed();
        self.0.send_modify(|clock| {
            clock.stopped = None;
            clock.end += took;
        });
        (done, took)
    }

    /// Does work while there is time; `None` where it was over first.
    pub(crate) async fn limit<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut clock = self.0.subscribe();
        loop {
            let Clock { end, stopped } = *clock.borrow_and_update();
            let over = async {
                match stopped {
                    None => tokio::time::sleep_until(end).await,
                    Some(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                Ok(()) = clock.changed() => {}
                () = over => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn time_stands_still_while_the_host_waits() {
        let time = Allowance::new(10 * SECOND);
        let start = Instant::now();
        let work = async {
            tokio::time::sleep(4 * SECOND).await;
            let ((), took) = time.standing_still(tokio::time::sleep(300 * SECOND)).await;
            assert_eq!(took, 300 * SECOND);
            assert_eq!(time.left(), 6 * SECOND);
            tokio::time::sleep(5 * SECOND).await;
            time.left()
        };
        assert_eq!(time.limit(work).await, Some(SECOND));
        assert_eq!(start.elapsed(), 309 * SECOND);
        let work = async {
            time.standing_still(tokio::time::sleep(300 * SECOND)).await;
            std::future::pending::<()>().await;
        };
        assert_eq!(time.limit(work).await, None);
        assert_eq!(start.elapsed(), 610 * SECOND);
        assert_eq!(time.left(), Duration::ZERO);
    }
}
