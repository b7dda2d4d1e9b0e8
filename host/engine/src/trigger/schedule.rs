//! Schedules: one run for each moment, and one for all that were missed.

use docket_model::{Schedule, Timetable, Trigger};
use jiff::{SignedDuration, Timestamp};

use super::event::Event;
use super::{Armed, Shared, of_host};
use crate::EngineError;

/// How long after a fault of the journal it is tried again.
const AFTER_FAULT: SignedDuration = SignedDuration::from_secs(30);
/// A last moment that lies further ahead was noted by a clock that went wrong, and counts no more. One
/// that lies less far ahead means that the clock was set back, and nothing is started until it is
/// over.
const MOST_AHEAD: SignedDuration = SignedDuration::from_hours(25);

impl Shared {
    /// Keeps a schedule, for as long as it is polled.
    pub(super) async fn keep_time(&self, armed: &Armed, schedule: &Schedule) {
        let table = match Timetable::new(schedule) {
            Ok(table) => table,
            // Only a plan of another version can have one.
            Err(error) => {
                let failure = docket_model::Failure::new(
                    docket_model::FailureClass::InvalidInput,
                    "schedule",
                    error.to_string(),
                );
                self.note_failure(armed, failure, None);
                return;
            }
        };
        loop {
            let again = self.woken(&armed.name);
            let until = match self.catch_up(armed, &table).await {
                Ok(next) => {
                    self.note_next(&armed.name, next);
                    next
                }
                Err(error) => {
                    let at = self.now().saturating_add(AFTER_FAULT).ok();
                    self.note_failure(armed, of_host(&error), at);
                    at
                }
            };
            let timer = &self.engine.ports().timer;
            let due = async {
                match until {
                    Some(at) => timer.until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = again => {}
            }
        }
    }

    /// Starts a run for the last moment that passed and has none, and gives the next moment.
    async fn catch_up(
        &self,
        armed: &Armed,
        table: &Timetable,
    ) -> Result<Option<Timestamp>, EngineError> {
        let store = &self.engine.ports().store;
        let cursor = store.trigger(&armed.name).await?.cursor;
        let now = self.now();
        let last = cursor.and_then(|cursor| cursor.parse::<Timestamp>().ok());
        let last = match last.filter(|last| last.duration_since(now) < MOST_AHEAD) {
            Some(last) => last,
            None => {
                // From now on, and durably: a moment that passes before the first one counts.
                let cursor = now.to_string();
                store
                    .take_items(&armed.name, Some(&cursor), Vec::new())
                    .await?;
                now
            }
        };
        let last = match table.last_between(last, now) {
            Some(moment) => {
                let event = Event::of_moment(&armed.trigger, moment);
                let cursor = moment.to_string();
                self.take(armed, Some(&cursor), vec![event]).await?;
                moment
            }
            None => last,
        };
        Ok(table.next_after(last))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.engine.ports().clock.now()
    }
}

/// When a schedule has its next moment, by what the store knows of it; for those who only look.
pub(super) fn next(trigger: &Trigger, cursor: Option<&str>, now: Timestamp) -> Option<Timestamp> {
    let docket_model::TriggerKind::Schedule(schedule) = &trigger.on else {
        return None;
    };
    let last = cursor.and_then(|cursor| cursor.parse().ok());
    let last = last.filter(|last: &Timestamp| last.duration_since(now) < MOST_AHEAD);
    let table = Timetable::new(schedule).ok()?;
    table.next_after(last.map_or(now, |last| last.max(now)))
}
