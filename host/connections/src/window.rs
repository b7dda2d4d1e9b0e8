//! How much there was of something in the time behind: a sliding window, counted in slots.

use std::time::Duration;

use tokio::time::Instant;

/// How finely a window is counted. What leaves the window leaves it a slot late, never early.
pub(crate) const SLOT: Duration = Duration::from_secs(10);

/// How far times to come back are spread.
const FURTHEST: Duration = Duration::from_secs(6 * 3600);

/// What entered in the last so many minutes, by weight: a request weighs one, a body its bytes.
#[derive(Debug)]
pub(crate) struct Window {
    most: u64,
    start: Instant,
    /// The slot that is being filled, counted from the start.
    slot: u64,
    /// One for each slot of the window, and the one that is being filled.
    counts: Box<[u64]>,
    /// Up to when those who were told to come back have been given times of their own.
    given_until: Instant,
}

impl Window {
    pub(crate) fn new(most: u64, length: Duration) -> Self {
        let slots = usize::try_from(length.as_secs() / SLOT.as_secs()).unwrap_or(usize::MAX - 1);
        let start = Instant::now();
        Self {
            most,
            start,
            slot: 0,
            counts: vec![0; slots + 1].into(),
            given_until: start,
        }
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&mut self) -> bool {
        self.total() == 0
    }

    /// Whether there is room for so much, or when there will be. What alone is more than ever fits has
    /// room in an empty window: it must be possible at all.
    pub(crate) fn room(&mut self, weight: u64) -> Result<(), Instant> {
        let mut left = self.total();
        let fits = |left: u64| left == 0 || left.saturating_add(weight) <= self.most;
        if weight == 0 || fits(left) {
            return Ok(());
        }
        // The oldest slots must leave first, as many as it takes.
        let slots = self.counts.len() as u64;
        let mut slot = (self.slot + 1).saturating_sub(slots);
        loop {
            left = left.saturating_sub(self.counts[self.place(slot)]);
            if fits(left) || slot == self.slot {
                let leaves = u32::try_from(slot + slots).unwrap_or(u32::MAX);
                return Err(self.start + SLOT.saturating_mul(leaves));
            }
            slot += 1;
        }
    }

    /// Counts what enters now.
    pub(crate) fn enter(&mut self, weight: u64) {
        self.total();
        let place = self.place(self.slot);
        self.counts[place] = self.counts[place].saturating_add(weight);
    }

    /// A time to come back for somebody who finds no room before `end`. Each has its own, as far behind
    /// the one before as that one needs of the window: all at once would find no room again.
    pub(crate) fn time_for(&mut self, weight: u64, end: Instant) -> Instant {
        // Somebody who does not wait and asks again and again puts nobody off without end.
        let time = self.given_until.clamp(end, end + FURTHEST);
        let length = SLOT.as_nanos() * self.counts.len() as u128;
        let share = length * u128::from(weight.min(self.most)) / u128::from(self.most.max(1));
        self.given_until = time + Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX));
        time
    }

    fn total(&mut self) -> u64 {
        let slots = self.counts.len() as u64;
        let passed = self.start.elapsed().as_secs() / SLOT.as_secs();
        for slot in self.slot + 1..=passed.min(self.slot + slots) {
            let place = self.place(slot);
            self.counts[place] = 0;
        }
        self.slot = self.slot.max(passed);
        self.counts.iter().sum()
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "the remainder is less than the number of slots"
    )]
    fn place(&self, slot: u64) -> usize {
        (slot % self.counts.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A window of a hundred in a minute, and when there is room in it, in seconds from its start.
    fn window() -> (Window, impl Fn(&mut Window, u64) -> Option<u64>) {
        let start = Instant::now();
        let when = move |window: &mut Window, weight| {
            let end = window.room(weight).err()?;
            Some((end - start).as_secs())
        };
        (Window::new(100, 60 * SECOND), when)
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_slots_must_leave_as_the_weight_takes() {
        let (mut window, when) = window();
        for weight in [30, 40, 30] {
            assert_eq!(when(&mut window, weight), None);
            window.enter(weight);
            tokio::time::advance(10 * SECOND).await;
        }
        // Each slot leaves 70 seconds after its beginning: a slot late, never early.
        for (weight, expected) in [
            (0, None),
            (1, Some(70)),
            (30, Some(70)),
            (31, Some(80)),
            (70, Some(80)),
            (71, Some(90)),
            (u64::MAX, Some(90)),
        ] {
            assert_eq!(when(&mut window, weight), expected, "{weight}");
        }
        tokio::time::advance(39 * SECOND).await;
        assert_eq!(when(&mut window, 30), Some(70));
        tokio::time::advance(SECOND).await;
        assert_eq!(when(&mut window, 30), None);
        assert_eq!(when(&mut window, 31), Some(80));
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_fits_has_an_empty_window() {
        let (mut window, when) = window();
        assert_eq!(when(&mut window, 1000), None);
        window.enter(1000);
        assert_eq!(when(&mut window, 1), Some(70));
        tokio::time::advance(69 * SECOND).await;
        assert!(!window.is_empty());
        tokio::time::advance(SECOND).await;
        assert!(window.is_empty());
        assert_eq!(when(&mut window, 1000), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_to_come_back_has_a_time_of_its_own() {
        let (mut window, _) = window();
        let start = Instant::now();
        let end = start + 70 * SECOND;
        let times: Vec<u64> = [50, 25, 1000, 10]
            .map(|weight| (window.time_for(weight, end) - start).as_secs())
            .into();
        assert_eq!(times, [70, 105, 122, 192]);
        for _ in 0..1000 {
            window.time_for(100, end);
        }
        assert_eq!(window.time_for(1, end), end + FURTHEST);
    }
}
