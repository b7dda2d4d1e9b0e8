//! The pace of one mailbox: so many requests at a time and in ten minutes, and a pause when the provider
//! asked for one.
//!
//! Graph counts per application and mailbox (throttling-limits.md): 4 requests at a time, 10,000 in ten
//! minutes. Waiters are served in the order in which they came. Time is tokio's monotonic one, as for every deadline; the
//! wall clock may jump.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use docket_model::{Clock, ConnectionLimits};
use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How finely a window is counted. What leaves the window leaves it a slot late, never early.
const SLOT: Duration = Duration::from_secs(10);
/// The slots of a window of ten minutes, and the one that is being filled.
const SLOTS: usize = 61;
/// The longest pause that a request sits out; for a longer one the caller is told to come back.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest pause that is believed.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// How many lanes are kept before those that hold nothing back are let go.
const MANY: usize = 4096;

/// The lanes of all mailboxes.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// By application; the smaller numbers where several connections share one.
    limits: HashMap<String, ConnectionLimits>,
    lanes: Mutex<HashMap<(String, String), Arc<Lane>>>,
}

/// One mailbox's lane.
#[derive(Debug)]
pub(crate) struct Lane {
    turns: Arc<Semaphore>,
    window: Mutex<Window>,
    paused_until: Mutex<Option<Instant>>,
}

/// How many requests began in the last ten minutes.
#[derive(Debug)]
struct Window {
    most: u32,
    start: Instant,
    /// The slot that is being filled, counted from the start.
    slot: u64,
    counts: [u32; SLOTS],
}

impl Window {
    fn new(most: u32) -> Self {
        Self {
            most,
            start: Instant::now(),
            slot: 0,
            counts: [0; SLOTS],
        }
    }

    /// The requests that are in the window.
    fn total(&mut self) -> u32 {
        let passed = self.start.elapsed().as_secs() / SLOT.as_secs();
        for slot in self.slot + 1..=passed.min(self.slot + SLOTS as u64) {
            *self.count(slot) = 0;
        }
        self.slot = self.slot.max(passed);
        self.counts.iter().sum()
    }

    /// Counts a request, or says when there is room for one.
    fn enter(&mut self) -> Result<(), Instant> {
        if self.total() < self.most {
            *self.count(self.slot) += 1;
            return Ok(());
        }
        // The oldest slot with something in it must leave first.
        let oldest = (self.slot + 1).saturating_sub(SLOTS as u64);
        let first = (oldest..=self.slot).find(|slot| *self.count(*slot) > 0);
        let leaves = first.unwrap_or(self.slot) + SLOTS as u64;
        let after = u32::try_from(leaves).unwrap_or(u32::MAX);
        Err(self.start + SLOT.saturating_mul(after))
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "the remainder is less than the number of slots"
    )]
    fn count(&mut self, slot: u64) -> &mut u32 {
        &mut self.counts[(slot % SLOTS as u64) as usize]
    }
}

/// A turn, or why there is none.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Go; dropping it lets the next one go.
    Now(OwnedSemaphorePermit),
    /// The provider asked for a pause, or the window is full, for this much longer.
    Paused(Duration),
    /// The deadline passed while others had the turns.
    Late,
}

impl Pacer {
    /// For applications with these limits.
    pub(crate) fn new<'a>(all: impl Iterator<Item = (&'a str, ConnectionLimits)>) -> Self {
        let mut limits: HashMap<String, ConnectionLimits> = HashMap::new();
        for (application, new) in all {
            let known = limits.entry(application.to_owned()).or_insert(new);
            known.at_a_time = known.at_a_time.min(new.at_a_time);
            known.per_10_minutes = known.per_10_minutes.min(new.per_10_minutes);
        }
        Self {
            limits,
            lanes: Mutex::default(),
        }
    }

    /// The lane of an application and a mailbox (or a host, where the mailbox is not known).
    pub(crate) fn lane(&self, application: &str, mailbox: &str) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() >= MANY && lanes.len().is_power_of_two() {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.is_idle());
        }
        let lane = lanes
            .entry((application.to_owned(), mailbox.to_owned()))
            .or_insert_with(|| {
                let limits = self.limits.get(application).copied().unwrap_or_default();
                let at_a_time = usize::try_from(limits.at_a_time).unwrap_or(1).max(1);
                Arc::new(Lane {
                    turns: Arc::new(Semaphore::new(at_a_time)),
                    window: Mutex::new(Window::new(limits.per_10_minutes)),
                    paused_until: Mutex::new(None),
                })
            });
        Arc::clone(lane)
    }
}

impl Lane {
    /// Waits for a turn, and sits out a short pause.
    pub(crate) async fn turn(&self, deadline: Instant) -> Turn {
        let permit = Arc::clone(&self.turns).acquire_owned();
        // The semaphore is never closed.
        let Ok(Ok(permit)) = tokio::time::timeout_at(deadline, permit).await else {
            return Turn::Late;
        };
        // Others may ask for a longer pause while this one waits.
        let until_wait = Instant::now() + LONGEST_WAIT;
        while let Err(end) = self.enter() {
            if end > deadline || end > until_wait {
                return Turn::Paused(end.saturating_duration_since(Instant::now()));
            }
            tokio::time::sleep_until(end).await;
        }
        Turn::Now(permit)
    }

    /// Whether a new one would let through just as much.
    fn is_idle(&self) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.total() == 0 && self.paused_until().is_none()
    }

    /// Counts a request, unless there is a pause or the window is full; then it says until when.
    fn enter(&self) -> Result<(), Instant> {
        if let Some(end) = self.paused_until() {
            return Err(end);
        }
        self.window
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .enter()
    }

    /// Takes note of an answer that asks for a pause.
    pub(crate) fn note(&self, status: u16, headers: &HeaderMap, clock: &dyn Clock) {
        if !matches!(status, 429 | 503) {
            return;
        }
        let Some(pause) = retry_after(headers, clock.now()) else {
            return;
        };
        let end = Instant::now() + pause.min(LONGEST_PAUSE);
        let mut until = self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if until.is_none_or(|known| known < end) {
            *until = Some(end);
        }
    }

    fn paused_until(&self) -> Option<Instant> {
        let mut until = self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if until.is_some_and(|end| end <= Instant::now()) {
            *until = None;
        }
        *until
    }
}

/// The pause that an answer asks for: seconds, also with a fraction as Graph sends them, or a date
/// (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use docket_model::ManualClock;
    use futures_util::FutureExt;
    use http::HeaderValue;

    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn pauses_are_read_in_all_their_forms() {
        let now: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        for (value, expected) in [
            ("2", Some(2_000)),
            ("2.128", Some(2_128)),
            ("0", Some(0)),
            (" 7 ", Some(7_000)),
            ("Sat, 21 Nov 2026 09:00:10 GMT", Some(10_000)),
            ("Sat, 21 Nov 2026 08:00:10 GMT", Some(0)),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("1e300", None),
            ("soon", None),
            ("", None),
        ] {
            let found = retry_after(&headers(value), now).map(|pause| pause.as_millis());
            assert_eq!(found, expected, "{value}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn four_at_a_time_in_the_order_of_arrival() {
        let pacer = Pacer::default();
        let lane = pacer.lane("app", "contracts@contoso.example");
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(lane.turn(deadline).await);
        }
        let mut fifth = Box::pin(lane.turn(deadline));
        let mut sixth = Box::pin(lane.turn(deadline));
        assert!(fifth.as_mut().now_or_never().is_none());
        assert!(sixth.as_mut().now_or_never().is_none());
        // Another mailbox does not wait, nor does another application.
        for (application, mailbox) in [("app", "b"), ("other", "contracts@contoso.example")] {
            let turn = pacer
                .lane(application, mailbox)
                .turn(deadline)
                .now_or_never();
            assert!(
                matches!(turn, Some(Turn::Now(_))),
                "{application} {mailbox}"
            );
        }
        held.pop();
        assert!(
            sixth.as_mut().now_or_never().is_none(),
            "the fifth came first"
        );
        assert!(matches!(fifth.as_mut().now_or_never(), Some(Turn::Now(_))));
        let near = Instant::now() + Duration::from_secs(1);
        assert!(matches!(lane.turn(near).await, Turn::Late));
        assert!(Instant::now() >= near);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_pause_is_sat_out_and_a_long_one_is_told() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let pacer = Pacer::default();
        let lane = pacer.lane("app", "a");
        let start = Instant::now();
        let deadline = start + Duration::from_secs(100);
        lane.note(200, &headers("5"), &clock);
        assert!(matches!(
            lane.turn(deadline).now_or_never(),
            Some(Turn::Now(_))
        ));
        lane.note(429, &headers("5"), &clock);
        lane.note(503, &headers("2"), &clock);
        assert!(matches!(lane.turn(deadline).await, Turn::Now(_)));
        assert_eq!(start.elapsed().as_secs(), 5);

        lane.note(429, &headers("31"), &clock);
        match lane.turn(deadline).now_or_never() {
            Some(Turn::Paused(left)) => assert_eq!(left.as_secs_f64().round() as u64, 31),
            other => panic!("{other:?}"),
        }
        lane.note(429, &headers("99999999"), &clock);
        assert!(matches!(
            lane.turn(deadline).now_or_never(),
            Some(Turn::Paused(left)) if left <= LONGEST_PAUSE
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_past_the_deadline_is_told_at_once() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let lane = Pacer::default().lane("app", "a");
        lane.note(429, &headers("5"), &clock);
        let turn = lane
            .turn(Instant::now() + Duration::from_secs(2))
            .now_or_never();
        assert!(matches!(turn, Some(Turn::Paused(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_window_is_waited_for_or_told() {
        let limits = |at_a_time, per_10_minutes| ConnectionLimits {
            at_a_time,
            per_10_minutes,
        };
        let all = [
            ("app", limits(9, 3)),
            ("app", limits(2, 5)),
            ("free", limits(1, 9)),
        ];
        let pacer = Pacer::new(all.into_iter());
        let lane = pacer.lane("app", "a");
        let far = Instant::now() + Duration::from_secs(3600);
        let held = [lane.turn(far).await, lane.turn(far).await];
        assert!(held.iter().all(|turn| matches!(turn, Turn::Now(_))));
        let third = lane.turn(far).now_or_never();
        assert!(third.is_none(), "the smaller number of both: two at a time");
        drop(held);
        tokio::time::advance(Duration::from_secs(300)).await;
        assert!(matches!(lane.turn(far).await, Turn::Now(_)));
        match lane.turn(far).now_or_never() {
            Some(Turn::Paused(left)) => assert_eq!(left.as_secs(), 310, "the first two leave"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            pacer.lane("app", "b").turn(far).await,
            Turn::Now(_)
        ));
        tokio::time::advance(Duration::from_secs(295)).await;
        // A short wait is sat out.
        assert!(matches!(lane.turn(far).await, Turn::Now(_)));
        assert!(matches!(lane.turn(far).await, Turn::Now(_)));
        assert!(
            matches!(lane.turn(far).await, Turn::Paused(_)),
            "the third is still in it"
        );
        tokio::time::advance(Duration::from_secs(3600)).await;
        let far = Instant::now() + Duration::from_secs(3600);
        for _ in 0..3 {
            assert!(matches!(lane.turn(far).await, Turn::Now(_)));
        }
    }
}
