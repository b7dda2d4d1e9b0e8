//! Times that Graph writes, as seconds since the Unix epoch. A plugin has no clock of its own: what
//! it knows of the server's time is what the server says.

use docket_plugin_sdk::Response;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// When the server sent an answer, by its own clock.
#[must_use]
pub fn sent_at(answer: &Response) -> Option<i64> {
    http_time(answer.header("date")?)
}

/// A time in Graph's JSON: `2026-11-21T08:00:00Z`. A fraction is dropped.
#[must_use]
pub fn json_time(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let days = days(number(year)?, number(month)?, number(day)?)?;
    let time = time.split('.').next()?;
    (parts.next().is_none()).then_some(days * 86_400 + seconds(time)?)
}

/// A time in a header: `Sat, 21 Nov 2026 08:00:00 GMT` (RFC 9110 section 5.6.7, the one form that
/// servers may still write).
#[must_use]
pub fn http_time(text: &str) -> Option<i64> {
    let mut words = text.trim().strip_suffix(" GMT")?.split(' ');
    words.next()?.strip_suffix(',')?;
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let days = days(number(year)?, i64::try_from(month).ok()?, number(day)?)?;
    let seconds = seconds(words.next()?)?;
    words.next().is_none().then_some(days * 86_400 + seconds)
}

fn number(digits: &str) -> Option<i64> {
    let is_number = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// The seconds of `hh:mm:ss`; a leap second counts as the one after.
fn seconds(text: &str) -> Option<i64> {
    let mut parts = text.split(':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let is_time = hour < 24 && minute < 60 && second <= 60 && parts.next().is_none();
    is_time.then_some(hour * 3600 + minute * 60 + second)
}

/// The days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Counted from March on, a leap day is the year's last day.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let before_month = (153 * month + 2) / 5;
    Some(year * 365 + leap_days + before_month + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_mean_the_same_instant() {
        for (json, http, expected) in [
            ("1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("1969-12-31T23:59:59Z", "Wed, 31 Dec 1969 23:59:59 GMT", -1),
            (
                "2000-02-29T12:00:00Z",
                "Tue, 29 Feb 2000 12:00:00 GMT",
                951_825_600,
            ),
            (
                "2000-03-01T00:00:00Z",
                "Wed, 01 Mar 2000 00:00:00 GMT",
                951_868_800,
            ),
            (
                "2026-11-21T09:00:00Z",
                "Sat, 21 Nov 2026 09:00:00 GMT",
                1_795_251_600,
            ),
            (
                "2100-03-01T00:00:00Z",
                "Mon, 01 Mar 2100 00:00:00 GMT",
                4_107_542_400,
            ),
        ] {
            assert_eq!(json_time(json), Some(expected), "{json}");
            assert_eq!(http_time(http), Some(expected), "{http}");
        }
        assert_eq!(json_time("1970-01-01T00:00:01.9999999Z"), Some(1));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for bad in [
            "",
            "now",
            "2026-11-21",
            "2026-11-21T09:00:00",
            "2026-11-21T09:00:00+01:00",
            "2026-13-21T09:00:00Z",
            "2026-11-00T09:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T09:00Z",
            "2026-11-21-01T09:00:00Z",
            "+026-11-21T09:00:00Z",
            "99999999999999999999-11-21T09:00:00Z",
        ] {
            assert_eq!(json_time(bad), None, "{bad}");
        }
        for bad in [
            "",
            "7",
            "Sat, 21 Nov 2026 09:00:00",
            "Sat, 21 Nov 2026 09:00:00 CET",
            "Sat 21 Nov 2026 09:00:00 GMT",
            "Sat, 21 nov 2026 09:00:00 GMT",
            "Saturday, 21-Nov-26 09:00:00 GMT",
            "Sat, 21 Nov 2026 09:00:00 x GMT",
        ] {
            assert_eq!(http_time(bad), None, "{bad}");
        }
    }
}
