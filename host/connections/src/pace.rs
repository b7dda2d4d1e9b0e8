//! The pace of one mailbox: so many requests at a time and in ten minutes, so many bytes uploaded in
//! five, and a pause when the provider asked for one.
//!
//! Graph counts per application and mailbox (throttling-limits.md, throttling-outlook.md): 4 requests at
//! a time, 10,000 in ten minutes, 150 MB in the bodies of PATCH, POST and PUT in five. Waiters are served
//! in the order in which they came; who uploads lets those go first who do not, and who finds room where
//! a larger body does not. Time is tokio's monotonic one, as for every deadline; the wall clock may jump.
//!
//! A request waits for half a minute. If it takes longer its caller is told when to come back, so that
//! the run can be parked: a row waits at no cost. A piece of an upload session, though, waits for as long
//! as it takes: the session is not known to the next attempt, which would begin the file anew, and again
//! after the next pause.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use docket_model::{Clock, ConnectionLimits};
use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::window::{SLOT, Window};

/// The window of requests.
const REQUESTS: Duration = Duration::from_secs(600);
/// The window of uploaded bytes, and a slot: they are counted when they begin to leave, and the provider
/// may count them when they have arrived.
const UPLOADS: Duration = Duration::from_secs(300).saturating_add(SLOT);
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
    windows: Mutex<Windows>,
    /// Held by the piece of an upload that is next, so that none is overtaken by another.
    pieces: tokio::sync::Mutex<()>,
    paused_until: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Windows {
    requests: Window,
    uploads: Window,
}

/// Until when something stands in a request's way.
enum Closed {
    /// A pause, or a full window of requests: in everybody's.
    ToAll(Instant),
    /// A full window of uploads: in that of those who upload.
    ToUploads(Instant),
}

/// A turn, or why there is none.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Go; dropping it lets the next one go.
    Now(OwnedSemaphorePermit),
    /// The provider asked for a pause, or a window is full; there is a turn after this much longer.
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
            known.upload_mb_per_5_minutes = known
                .upload_mb_per_5_minutes
                .min(new.upload_mb_per_5_minutes);
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
                    windows: Mutex::new(Windows {
                        requests: Window::new(limits.per_10_minutes.into(), REQUESTS),
                        uploads: Window::new(limits.upload_bytes(), UPLOADS),
                    }),
                    pieces: tokio::sync::Mutex::default(),
                    paused_until: Mutex::new(None),
                })
            });
        Arc::clone(lane)
    }
}

impl Lane {
    /// Waits for the turn of a request with a body of so many bytes, and sits out a short pause. Without
    /// a deadline it is a piece of an upload, and there is always a turn in the end.
    pub(crate) async fn turn(&self, bytes: u64, deadline: Option<Instant>) -> Turn {
        let _in_order = match deadline {
            None => Some(self.pieces.lock().await),
            Some(_) => None,
        };
        // Others may ask for a longer pause while this one waits.
        let latest = deadline.map(|deadline| deadline.min(Instant::now() + LONGEST_WAIT));
        let mut held = None;
        loop {
            let permit = match held.take() {
                Some(permit) => permit,
                None => match self.permit(deadline).await {
                    Some(permit) => permit,
                    None => return Turn::Late,
                },
            };
            let closed = match self.enter(bytes) {
                Ok(()) => return Turn::Now(permit),
                Err(closed) => closed,
            };
            let (Closed::ToAll(end) | Closed::ToUploads(end)) = closed;
            if latest.is_some_and(|latest| end > latest) {
                let time = self.time_for(bytes, &closed);
                return Turn::Paused(time.saturating_duration_since(Instant::now()));
            }
            // Those who upload nothing may go meanwhile.
            held = matches!(closed, Closed::ToAll(_)).then_some(permit);
            tokio::time::sleep_until(end).await;
        }
    }

    /// One of the places; `None` where the deadline passed.
    async fn permit(&self, deadline: Option<Instant>) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.turns).acquire_owned();
        // The semaphore is never closed.
        match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, permit).await.ok()?.ok(),
            None => permit.await.ok(),
        }
    }

    /// Whether a new one would let through just as much.
    fn is_idle(&self) -> bool {
        let mut windows = self.windows();
        windows.requests.is_empty() && windows.uploads.is_empty() && self.paused_until().is_none()
    }

    /// Counts a request with a body of so many bytes, unless something stands in its way.
    fn enter(&self, bytes: u64) -> Result<(), Closed> {
        if let Some(end) = self.paused_until() {
            return Err(Closed::ToAll(end));
        }
        let mut windows = self.windows();
        windows.requests.room(1).map_err(Closed::ToAll)?;
        windows.uploads.room(bytes).map_err(Closed::ToUploads)?;
        windows.requests.enter(1);
        windows.uploads.enter(bytes);
        Ok(())
    }

    /// When somebody in whose way something stands is to come back.
    fn time_for(&self, bytes: u64, closed: &Closed) -> Instant {
        let mut windows = self.windows();
        match *closed {
            Closed::ToAll(end) => windows.requests.time_for(1, end),
            Closed::ToUploads(end) => windows.uploads.time_for(bytes, end),
        }
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
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
            held.push(lane.turn(0, Some(deadline)).await);
        }
        let mut fifth = Box::pin(lane.turn(0, Some(deadline)));
        let mut sixth = Box::pin(lane.turn(0, Some(deadline)));
        assert!(fifth.as_mut().now_or_never().is_none());
        assert!(sixth.as_mut().now_or_never().is_none());
        // Another mailbox does not wait, nor does another application.
        for (application, mailbox) in [("app", "b"), ("other", "contracts@contoso.example")] {
            let turn = pacer
                .lane(application, mailbox)
                .turn(0, Some(deadline))
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
        assert!(matches!(lane.turn(0, Some(near)).await, Turn::Late));
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
            lane.turn(0, Some(deadline)).now_or_never(),
            Some(Turn::Now(_))
        ));
        lane.note(429, &headers("5"), &clock);
        lane.note(503, &headers("2"), &clock);
        assert!(matches!(lane.turn(0, Some(deadline)).await, Turn::Now(_)));
        assert_eq!(start.elapsed().as_secs(), 5);

        lane.note(429, &headers("31"), &clock);
        match lane.turn(0, Some(deadline)).now_or_never() {
            Some(Turn::Paused(left)) => assert_eq!(left.as_secs_f64().round() as u64, 31),
            other => panic!("{other:?}"),
        }
        lane.note(429, &headers("99999999"), &clock);
        assert!(matches!(
            lane.turn(0, Some(deadline)).now_or_never(),
            Some(Turn::Paused(left)) if left <= LONGEST_PAUSE
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_past_the_deadline_is_told_at_once() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let lane = Pacer::default().lane("app", "a");
        lane.note(429, &headers("5"), &clock);
        let turn = lane
            .turn(0, Some(Instant::now() + Duration::from_secs(2)))
            .now_or_never();
        assert!(matches!(turn, Some(Turn::Paused(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_window_is_waited_for_or_told() {
        let limits = |at_a_time, per_10_minutes| ConnectionLimits {
            at_a_time,
            per_10_minutes,
            ..ConnectionLimits::default()
        };
        let all = [
            ("app", limits(9, 3)),
            ("app", limits(2, 5)),
            ("free", limits(1, 9)),
        ];
        let pacer = Pacer::new(all.into_iter());
        let lane = pacer.lane("app", "a");
        let far = Instant::now() + Duration::from_secs(3600);
        let held = [lane.turn(0, Some(far)).await, lane.turn(0, Some(far)).await];
        assert!(held.iter().all(|turn| matches!(turn, Turn::Now(_))));
        let third = lane.turn(0, Some(far)).now_or_never();
        assert!(third.is_none(), "the smaller number of both: two at a time");
        drop(held);
        tokio::time::advance(Duration::from_secs(300)).await;
        assert!(matches!(lane.turn(0, Some(far)).await, Turn::Now(_)));
        match lane.turn(0, Some(far)).now_or_never() {
            Some(Turn::Paused(left)) => assert_eq!(left.as_secs(), 310, "the first two leave"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            pacer.lane("app", "b").turn(0, Some(far)).await,
            Turn::Now(_)
        ));
        tokio::time::advance(Duration::from_secs(295)).await;
        // A short wait is sat out.
        assert!(matches!(lane.turn(0, Some(far)).await, Turn::Now(_)));
        assert!(matches!(lane.turn(0, Some(far)).await, Turn::Now(_)));
        assert!(
            matches!(lane.turn(0, Some(far)).await, Turn::Paused(_)),
            "the third is still in it"
        );
        tokio::time::advance(Duration::from_secs(3600)).await;
        let far = Instant::now() + Duration::from_secs(3600);
        for _ in 0..3 {
            assert!(matches!(lane.turn(0, Some(far)).await, Turn::Now(_)));
        }
    }

    const MB: u64 = 1_000_000;

    /// A lane with so many requests at a time, and so many megabytes of uploads.
    fn uploading(at_a_time: u32, upload_mb_per_5_minutes: u32) -> Arc<Lane> {
        let limits = ConnectionLimits {
            at_a_time,
            upload_mb_per_5_minutes,
            ..ConnectionLimits::default()
        };
        Pacer::new([("app", limits)].into_iter()).lane("app", "a")
    }

    #[tokio::test(start_paused = true)]
    async fn uploads_wait_for_room_and_keep_nobody_else_back() {
        let lane = uploading(1, 10);
        let deadline = Some(Instant::now() + Duration::from_secs(120));
        assert!(matches!(lane.turn(6 * MB, None).await, Turn::Now(_)));
        let mut second = Box::pin(lane.turn(6 * MB, None));
        let mut third = Box::pin(lane.turn(3 * MB, None));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(
            third.as_mut().now_or_never().is_none(),
            "the second is first"
        );
        // A request that uploads nothing, and one for which there is room.
        for bytes in [0, 3 * MB] {
            let turn = lane.turn(bytes, deadline).now_or_never();
            assert!(matches!(turn, Some(Turn::Now(_))), "{bytes}");
        }
        // What could be parked is told when to come back.
        match lane.turn(6 * MB, deadline).now_or_never() {
            Some(Turn::Paused(left)) => assert_eq!(left.as_secs(), 320),
            other => panic!("{other:?}"),
        }
        tokio::time::advance(Duration::from_secs(319)).await;
        assert!(second.as_mut().now_or_never().is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(second.as_mut().now_or_never(), Some(Turn::Now(_))));
        assert!(matches!(third.as_mut().now_or_never(), Some(Turn::Now(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_of_an_upload_sits_out_any_pause() {
        let lane = uploading(4, 10);
        let start = Instant::now();
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        lane.note(429, &headers("600"), &clock);
        assert!(matches!(lane.turn(MB, None).await, Turn::Now(_)));
        assert_eq!(start.elapsed().as_secs(), 600);
        // One that is larger than all of the window goes alone.
        assert!(matches!(lane.turn(256 * MB, None).await, Turn::Now(_)));
        assert_eq!(start.elapsed().as_secs(), 600 + 320);
    }

    /// A burst is parked once or twice, however large it is: a step has few attempts.
    #[tokio::test(start_paused = true)]
    async fn a_burst_of_uploads_is_spread_over_the_windows_that_it_takes() {
        let lane = uploading(4, 100);
        let start = Instant::now();
        let one = || async {
            let mut refusals = 0;
            loop {
                let deadline = Some(Instant::now() + Duration::from_secs(120));
                match lane.turn(MB, deadline).await {
                    Turn::Now(_) => return refusals,
                    Turn::Paused(left) => tokio::time::sleep(left).await,
                    Turn::Late => panic!("nobody holds a turn"),
                }
                refusals += 1;
            }
        };
        let refusals = futures_util::future::join_all((0..2_000).map(|_| one())).await;
        let most = refusals.into_iter().max();
        assert!(most <= Some(2), "{most:?}");
        let windows = start.elapsed().as_secs_f64() / 310.0;
        assert!((19.0..24.0).contains(&windows), "{windows}");
    }
}
