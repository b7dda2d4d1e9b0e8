//! The places of the step under way: one, or one for each item of its `for-each`.
//!
//! Every event and every question costs the same, however many items there are.

use std::collections::BTreeSet;

use docket_model::{Account, Failure, StepResult, StepValue, Wait};
use jiff::Timestamp;
use serde_json::Value;

use super::place::{Attempt, Before, Place};

/// A step under way.
#[derive(Debug)]
pub(crate) struct Group {
    /// The items; `None` where the step is a single place.
    items: Option<Vec<Value>>,
    places: Vec<Place>,
    /// All places before this one were touched.
    untouched: usize,
    running: BTreeSet<usize>,
    /// Each keeps its share of `max-parallel`, so that what waits is no more than what may run.
    waiting: BTreeSet<usize>,
    retrying: BTreeSet<(Timestamp, usize)>,
    /// The first of the places that failed for good.
    failed: Option<usize>,
    ended: usize,
}

impl Group {
    /// A step without `for-each`.
    pub(crate) fn of_one() -> Self {
        Self::of(None, 1)
    }

    /// A step with `for-each`.
    pub(crate) fn of_items(items: Vec<Value>) -> Self {
        let count = items.len();
        Self::of(Some(items), count)
    }

    fn of(items: Option<Vec<Value>>, count: usize) -> Self {
        Self {
            items,
            places: std::iter::repeat_with(|| Place::Untouched)
                .take(count)
                .collect(),
            untouched: 0,
            running: BTreeSet::new(),
            waiting: BTreeSet::new(),
            retrying: BTreeSet::new(),
            failed: None,
            ended: 0,
        }
    }

    /// Whether there are items.
    pub(crate) const fn is_of_items(&self) -> bool {
        self.items.is_some()
    }

    /// An item's value.
    pub(crate) fn item(&self, item: u32) -> Option<&Value> {
        self.items.as_ref()?.get(usize::try_from(item).ok()?)
    }

    /// How many attempts are under way.
    pub(crate) fn running_count(&self) -> usize {
        self.running.len()
    }

    /// How many attempts are under way or wait.
    pub(crate) fn begun_count(&self) -> usize {
        self.running.len() + self.waiting.len()
    }

    /// The attempts that wait, and since when.
    pub(crate) fn waiting(
        &self,
    ) -> impl Iterator<Item = (Option<u32>, &Attempt, &Wait, Timestamp)> {
        self.waiting
            .iter()
            .filter_map(|place| match &self.places[*place] {
                Place::Waiting {
                    attempt,
                    wait,
                    since,
                } => Some((self.name(*place), attempt.as_ref(), wait, *since)),
                _ => None,
            })
    }

    /// The next attempt that waits for its time alone, and that time.
    pub(crate) fn retrying(&self) -> Option<(Option<u32>, &Before, Timestamp)> {
        let (at, place) = *self.retrying.first()?;
        match &self.places[place] {
            Place::Retrying { before, .. } => Some((self.name(place), before, at)),
            _ => None,
        }
    }

    pub(crate) fn note_intent(&mut self, item: Option<u32>) {
        let place = self.index(item).ok();
        if let Some(Place::Running(attempt)) = place.and_then(|place| self.places.get_mut(place)) {
            attempt.before.has_intended = true;
        }
    }

    /// What a place's next attempt goes by.
    pub(crate) fn before(&self, item: Option<u32>) -> Option<Before> {
        let place = self.places.get(self.index(item).ok()?)?;
        place.upcoming().map(|(before, _)| before)
    }

    /// The attempts under way.
    pub(crate) fn running(&self) -> impl Iterator<Item = (Option<u32>, &Attempt)> {
        self.running
            .iter()
            .filter_map(|place| match &self.places[*place] {
                Place::Running(attempt) => Some((self.name(*place), attempt.as_ref())),
                _ => None,
            })
    }

    /// The attempt under way of a step or item.
    pub(crate) fn under_way(&self, item: Option<u32>) -> Option<&Attempt> {
        match self.places.get(self.index(item).ok()?)? {
            Place::Running(attempt) => Some(attempt),
            _ => None,
        }
    }

    /// The first place that failed for good.
    pub(crate) fn first_failure(&self) -> Option<(Option<u32>, &Failure)> {
        match &self.places[self.failed?] {
            Place::Failed(before) => Some((self.name(self.failed?), before.failure.as_ref()?)),
            _ => None,
        }
    }

    pub(crate) fn has_failed(&self, item: Option<u32>) -> bool {
        let place = self.index(item).ok();
        place.is_some_and(|place| matches!(self.places[place], Place::Failed(_)))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ended == self.places.len()
    }

    /// The attempt to start at `now`: one that waited before one that is new. Otherwise the time of
    /// the next one that waits, if any does.
    pub(crate) fn next(&self, now: Timestamp) -> Result<(Option<u32>, u32), Option<Timestamp>> {
        let waiting = self.retrying.first().copied();
        let place = match waiting {
            Some((at, place)) if at <= now => place,
            _ if self.untouched < self.places.len() => self.untouched,
            _ => return Err(waiting.map(|(at, _)| at)),
        };
        match self.places[place].upcoming() {
            Some((before, _)) => Ok((self.name(place), before.attempt.saturating_add(1))),
            None => Err(None),
        }
    }

    pub(crate) fn start(
        &mut self,
        item: Option<u32>,
        attempt: u32,
        given: (Value, Option<String>, Option<String>),
        at: Timestamp,
    ) -> Result<(), &'static str> {
        let place = self.index(item)?;
        if let Some((_, due)) = self.places[place].upcoming() {
            self.retrying.remove(&(due, place));
        }
        self.places[place].start(attempt, given, at)?;
        self.running.insert(place);
        self.touch();
        Ok(())
    }

    pub(crate) fn attempt(
        &mut self,
        item: Option<u32>,
        number: u32,
    ) -> Result<&mut Attempt, &'static str> {
        let place = self.index(item)?;
        self.places[place].attempt(number)
    }

    pub(crate) fn skip(&mut self, item: Option<u32>) -> Result<(), &'static str> {
        let place = self.index(item)?;
        self.places[place].skip()?;
        self.ended += 1;
        self.touch();
        Ok(())
    }

    pub(crate) fn wait(
        &mut self,
        item: Option<u32>,
        attempt: u32,
        wait: Wait,
        since: Timestamp,
    ) -> Result<(), &'static str> {
        let place = self.index(item)?;
        self.places[place].wait(attempt, wait, since)?;
        self.running.remove(&place);
        self.waiting.insert(place);
        Ok(())
    }

    /// What a place waits for.
    pub(crate) fn wait_of(&self, item: Option<u32>) -> Option<&Wait> {
        match self.places.get(self.index(item).ok()?)? {
            Place::Waiting { wait, .. } => Some(wait),
            _ => None,
        }
    }

    pub(crate) fn finish(
        &mut self,
        item: Option<u32>,
        attempt: u32,
        result: StepResult,
        at: Timestamp,
    ) -> Result<(), &'static str> {
        let place = self.index(item)?;
        self.places[place].finish(attempt, result, at)?;
        self.running.remove(&place);
        self.waiting.remove(&place);
        match &self.places[place] {
            Place::Retrying { at, .. } => {
                self.retrying.insert((*at, place));
            }
            Place::Failed(_) => {
                self.ended += 1;
                self.failed = Some(self.failed.map_or(place, |first| first.min(place)));
            }
            _ => self.ended += 1,
        }
        Ok(())
    }

    /// Lets all go on that wait for the account's sign-in.
    pub(crate) fn sign_in(&mut self, account: &Account, at: Timestamp) {
        let (places, retrying) = (&mut self.places, &mut self.retrying);
        self.waiting.retain(|place| {
            let goes_on = places[*place].sign_in(account, at);
            if goes_on {
                retrying.insert((at, *place));
            }
            !goes_on
        });
    }

    /// Lets all be tried again that failed for good.
    pub(crate) fn take_up(&mut self, at: Timestamp) {
        for (number, place) in self.places.iter_mut().enumerate() {
            if place.take_up(at) {
                self.retrying.insert((at, number));
                self.ended -= 1;
            }
        }
        self.failed = None;
    }

    /// What later steps see of it.
    pub(crate) fn into_value(mut self) -> StepValue {
        let failure = self.first_failure().map(|(_, failure)| to_json(failure));
        let output = |place| match place {
            Place::Done(value) => Some(value),
            _ => None,
        };
        let output = match self.items {
            Some(_) => {
                let places = self.places.into_iter();
                Some(
                    places
                        .map(|place| output(place).unwrap_or_default())
                        .collect(),
                )
            }
            None => self.places.pop().and_then(output),
        };
        StepValue { output, failure }
    }

    /// Moves the mark on; each place is passed once.
    fn touch(&mut self) {
        while let Some(place) = self.places.get(self.untouched)
            && !matches!(place, Place::Untouched)
        {
            self.untouched += 1;
        }
    }

    fn index(&self, item: Option<u32>) -> Result<usize, &'static str> {
        match (&self.items, item) {
            (None, None) => Ok(0),
            (Some(items), Some(item)) => usize::try_from(item)
                .ok()
                .filter(|item| *item < items.len())
                .ok_or("there is no such item"),
            _ => Err("items are for a step with for-each that was expanded"),
        }
    }

    fn name(&self, place: usize) -> Option<u32> {
        self.items.as_ref()?;
        u32::try_from(place).ok()
    }
}

/// A failure as expressions see it.
fn to_json(failure: &Failure) -> Value {
    serde_json::to_value(failure).unwrap_or_default()
}
