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

/// A date (its beginning, in UTC) or an RFC 3339 time with its zone, as a designer writes it.
#[must_use]
pub fn instant(text: &str) -> Option<i64> {
    let Some((time, zone)) = text.split_at_checked(19) else {
        return json_time(&format!("{text}T00:00:00Z"));
    };
    let zone = match zone.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => zone,
    };
    let offset = match (zone.get(..1)?, zone.get(1..)?) {
        ("Z", "") => 0,
        (sign @ ("+" | "-"), ahead) if ahead.len() == 5 => {
            let ahead = seconds(&format!("{ahead}:00"))?;
            if sign == "+" { ahead } else { -ahead }
        }
        _ => return None,
    };
    Some(json_time(&format!("{time}Z"))? - offset)
}

/// An instant as Graph's JSON and OData literals have it: `2026-11-21T08:00:00Z`.
#[must_use]
pub fn iso_time(instant: i64) -> String {
    let (day, second) = (instant.div_euclid(86_400), instant.rem_euclid(86_400));
    // Counted from 0000-03-01 on, in eras of 400 years, a leap day is an era's last day.
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (date, is_next_year) = (day - (153 * month + 2) / 5 + 1, month >= 10);
    let month = if is_next_year { month - 9 } else { month + 3 };
    format!(
        "{:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z",
        era * 400 + year + i64::from(is_next_year),
        second / 3600,
        second / 60 % 60,
        second % 60
    )
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
    fn instants_are_written_as_they_are_read() {
        for days in -200_000..60_000_i64 {
            let instant = days * 86_400 + days.rem_euclid(86_400);
            assert_eq!(json_time(&iso_time(instant)), Some(instant));
        }
        assert_eq!(iso_time(1_795_251_600), "2026-11-21T09:00:00Z");
    }

    #[test]
    fn what_designers_write_has_a_zone_or_is_a_day() {
        for (text, expected) in [
            ("1970-01-02", Some(86_400)),
            ("1970-01-01T00:00:05Z", Some(5)),
            ("1970-01-01T01:00:00.25+01:00", Some(0)),
            ("1969-12-31T22:30:00-01:30", Some(0)),
            ("", None),
            ("yesterday", None),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01T00:00:00+25:00", None),
            ("1970-01-01T00:00:00Z or 1 eq 1", None),
            ("1970-01-01 or 1 eq 1", None),
            ("1970-01-01T00:00:00.Z' or", None),
            ("äöüäöüäöüäöü", None),
        ] {
            assert_eq!(instant(text), expected, "{text:?}");
        }
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
