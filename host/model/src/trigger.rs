//! What starts a workflow by itself: `on:` in its checked form.
//!
//! | trigger | an event is | what its `inputs` see beside `event.id`, `event.at`, `event.trigger` |
//! |---|---|---|
//! | `schedule` | a moment of the schedule | nothing |
//! | `webhook` | a signed request | `event.body`, its JSON |
//! | `source` | an item that a plugin's source gave | `event.item`, as the action's schema has it |
//!
//! Each event starts one run, but an item for which the source's `if` is not true. `inputs` makes the run's inputs of it; a webhook without `inputs` takes
//! the body's members for them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{OnSignInNeeded, PlannedStep, Retry, Template};

/// A trigger of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trigger {
    /// Unique in the workflow; the kind's word where the workflow gives none. What is known of the
    /// trigger (its cursor, the items that it has seen) is kept under the workflow's name and this.
    pub id: String,
    /// What brings about its events.
    pub on: TriggerKind,
    /// The run's inputs by name; `None` where the workflow says nothing of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<BTreeMap<String, Template>>,
}

/// What brings about the events of a trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerKind {
    /// Time.
    Schedule(Schedule),
    /// Signed requests.
    Webhook,
    /// A plugin's source, which is polled.
    Source(Box<SourcePoll>),
}

/// When a schedule has its moments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Schedule {
    /// By five fields: minute, hour, day of the month, month, day of the week, as in POSIX and
    /// Vixie cron; with names, steps, `L`, `W` and `#`. See [`Timetable`].
    #[serde(rename_all = "kebab-case")]
    Cron {
        /// The fields.
        cron: String,
        /// The IANA name of the time zone that they are in: `Europe/Berlin`.
        time_zone: String,
    },
    /// At the whole multiples of this since 1970 in UTC; so neither a restart nor a change of the
    /// workflow moves them.
    Every(Duration),
}

/// How a source is polled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SourcePoll {
    /// The plugin's name in [`crate::Plan::plugins`].
    pub plugin: String,
    /// The action's name.
    pub action: String,
    /// The input; written out, since there is nothing that an expression could see.
    pub with: Value,
    /// The connection's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The user to act as, with a per-user connection.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub act_as: Option<String>,
    /// How long after a poll that found no more the next one comes.
    pub every: Duration,
    /// The longest that a poll may take.
    pub timeout: Duration,
    /// Whether an item starts a run; it sees what `inputs` see. Without it each does.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Template>,
}

impl Trigger {
    /// What is known of it is kept under this name: `workflow/id`; of a source with its action
    /// behind it, since a cursor means nothing to another one.
    #[must_use]
    pub fn name(&self, workflow: &str) -> String {
        match &self.on {
            TriggerKind::Source(poll) => {
                format!("{workflow}/{} {}/{}", self.id, poll.plugin, poll.action)
            }
            _ => format!("{workflow}/{}", self.id),
        }
    }

    /// Its kind in a word: `schedule`, `webhook`, `source`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.on {
            TriggerKind::Schedule(_) => "schedule",
            TriggerKind::Webhook => "webhook",
            TriggerKind::Source(_) => "source",
        }
    }
}

impl SourcePoll {
    /// It as a step that calls the action, for those who look at what is called, as whom and with what.
    #[must_use]
    pub fn to_step(&self, id: &str) -> PlannedStep {
        let literal = |text: &String| Template::Literal(text.as_str().into());
        PlannedStep {
            id: id.to_owned(),
            plugin: self.plugin.clone(),
            action: self.action.clone(),
            with: Template::Literal(self.with.clone()),
            condition: None,
            for_each: None,
            max_parallel: 1,
            connection: self.connection.clone(),
            act_as: self.act_as.as_ref().map(literal),
            fallback: None,
            on_sign_in_needed: OnSignInNeeded::default(),
            retry: Retry::default(),
            timeout: self.timeout,
            continue_on_error: false,
        }
    }
}

/// A schedule ready to be asked for its moments. The rules of time zones are those that this version
/// of Docket was built with, the same on every machine.
///
/// Where clocks go forward, fields that name one time of the day (`30 2 * * *`) have their moment as
/// soon as the gap is over, and fields with `*` or steps in minute or hour go on behind it. Where
/// clocks go back, the former have one moment, the first, and the latter one in each pass.
#[derive(Debug, Clone)]
pub struct Timetable(Table);

#[derive(Debug, Clone)]
enum Table {
    Cron(Box<croner::Cron>, TimeZone),
    /// Microseconds.
    Every(i64),
}

impl Timetable {
    /// Reads a schedule.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn new(schedule: &Schedule) -> Result<Self, InvalidSchedule> {
        Ok(Self(match schedule {
            Schedule::Cron { cron, time_zone } => {
                let zone = TimeZoneDatabase::bundled().get(time_zone);
                let zone = zone.map_err(|_unknown| InvalidSchedule::TimeZone(time_zone.clone()))?;
                Table::Cron(Box::new(fields(cron)?), zone)
            }
            Schedule::Every(time) => {
                let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
                Table::Every(micros.max(1))
            }
        }))
    }

    /// The first moment after `after`; `None` where there is none as long as time can be counted.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            Table::Cron(cron, zone) => {
                let next = cron.find_next_occurrence(&after.to_zoned(zone.clone()), false);
                Some(next.ok()?.timestamp())
            }
            Table::Every(micros) => {
                let next = after.as_microsecond().div_euclid(*micros).checked_add(1)?;
                Timestamp::from_microsecond(next.checked_mul(*micros)?).ok()
            }
        }
    }

    /// The last moment after `after` and not after `until`; `None` where there is none.
    #[must_use]
    pub fn last_between(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let last = match &self.0 {
            Table::Cron(cron, zone) => {
                let last = cron.find_previous_occurrence(&until.to_zoned(zone.clone()), true);
                last.ok()?.timestamp()
            }
            Table::Every(micros) => {
                let last = until.as_microsecond().div_euclid(*micros) * micros;
                Timestamp::from_microsecond(last).ok()?
            }
        };
        (after < last && last <= until).then_some(last)
    }
}

fn fields(cron: &str) -> Result<croner::Cron, InvalidSchedule> {
    let parser = croner::parser::CronParser::builder()
        .seconds(croner::parser::Seconds::Disallowed)
        .year(croner::parser::Year::Disallowed)
        .build();
    let read = parser.parse(cron);
    let read = read.map_err(|error| InvalidSchedule::Cron(error.to_string()))?;
    let from = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    match read.find_next_occurrence(&from, false) {
        Ok(_) => Ok(read),
        Err(_) => Err(InvalidSchedule::Never),
    }
}

/// Why a schedule has no moments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// The fields cannot be read.
    #[error("this is no cron expression: {0}")]
    Cron(String),
    /// The fields fit no day at all.
    #[error("this moment never comes")]
    Never,
    /// There is no such time zone.
    #[error("there is no time zone `{0}`")]
    TimeZone(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(fields: &str, zone: &str) -> Timetable {
        Timetable::new(&Schedule::Cron {
            cron: fields.to_owned(),
            time_zone: zone.to_owned(),
        })
        .unwrap()
    }

    /// The next moments after one, each after the one before.
    fn check(table: &Timetable, after: &str, expected: &[&str]) {
        let mut now = at(after);
        for wanted in expected {
            now = table.next_after(now).unwrap();
            assert_eq!(now, at(wanted), "{table:?} after {after}");
        }
    }

    #[test]
    fn cron_goes_by_the_clock_on_the_wall() {
        let table = cron("0 7 * * 1-5", "Europe/Berlin");
        // A Friday in winter; the clocks went forward on 2027-03-28.
        check(
            &table,
            "2027-03-26T05:00:00Z",
            &[
                "2027-03-26T06:00:00Z",
                "2027-03-29T05:00:00Z",
                "2027-03-30T05:00:00Z",
            ],
        );
        check(
            &cron("0 0 L * *", "UTC"),
            "2028-02-01T00:00:00Z",
            &["2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z"],
        );
    }

    #[test]
    fn what_falls_into_a_gap_comes_right_after_it() {
        // 02:00 to 03:00 does not exist on 2027-03-28 in Berlin.
        check(
            &cron("30 2 * * *", "Europe/Berlin"),
            "2027-03-27T12:00:00Z",
            &["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"],
        );
        check(
            &cron("*/30 * * * *", "Europe/Berlin"),
            "2027-03-28T00:15:00Z",
            &[
                "2027-03-28T00:30:00Z",
                "2027-03-28T01:00:00Z",
                "2027-03-28T01:30:00Z",
            ],
        );
    }

    #[test]
    fn an_hour_that_comes_twice_has_one_fixed_moment_and_all_steps() {
        // 02:00 to 03:00 comes twice on 2026-10-25 in Berlin.
        check(
            &cron("30 2 * * *", "Europe/Berlin"),
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        );
        check(
            &cron("*/30 * * * *", "Europe/Berlin"),
            "2026-10-25T00:15:00Z",
            &[
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-25T02:00:00Z",
            ],
        );
    }

    #[test]
    fn multiples_of_a_time_stay_where_they_are() {
        let table = Timetable::new(&Schedule::Every(Duration::from_secs(900))).unwrap();
        check(
            &table,
            "2026-11-21T09:03:20Z",
            &["2026-11-21T09:15:00Z", "2026-11-21T09:30:00Z"],
        );
        check(&table, "1969-12-31T23:50:00Z", &["1970-01-01T00:00:00Z"]);
        assert_eq!(table.next_after(Timestamp::MAX), None);
    }

    #[test]
    fn the_last_moment_of_a_time_is_found() {
        for table in [
            cron("*/15 * * * *", "Europe/Berlin"),
            Timetable::new(&Schedule::Every(Duration::from_secs(900))).unwrap(),
        ] {
            for (after, until, expected) in [
                ("09:00:00", "09:14:59", None),
                ("09:00:00", "09:15:00", Some("09:15:00")),
                ("09:00:00", "12:16:00", Some("12:15:00")),
                ("09:15:00", "09:15:00", None),
                ("10:00:00", "09:00:00", None),
            ] {
                let at = |time: &str| at(&format!("2026-11-21T{time}Z"));
                let found = table.last_between(at(after), at(until));
                assert_eq!(found, expected.map(at), "{after} {until}");
            }
        }
    }

    #[test]
    fn schedules_that_mean_nothing_are_refused() {
        let check = |fields: &str, zone: &str| {
            Timetable::new(&Schedule::Cron {
                cron: fields.to_owned(),
                time_zone: zone.to_owned(),
            })
            .unwrap_err()
        };
        for fields in ["", "* * * *", "* * * * * *", "61 * * * *", "x * * * *"] {
            assert!(matches!(check(fields, "UTC"), InvalidSchedule::Cron(_)));
        }
        assert_eq!(check("0 0 30 2 *", "UTC"), InvalidSchedule::Never);
        let zone = "Europe/Bärlin";
        let unknown = InvalidSchedule::TimeZone(zone.to_owned());
        assert_eq!(check("* * * * *", zone), unknown);
    }
}
