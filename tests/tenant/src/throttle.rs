//! The throttle engine: the published limits of Outlook, per app and mailbox (throttling-outlook.md).

use std::collections::HashMap;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::http_date;
use crate::error::GraphError;

/// How `Retry-After` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryAfterStyle {
    /// Whole seconds.
    #[default]
    Seconds,
    /// Seconds with a fraction, `2.128`, as Graph has been seen to send.
    Fractional,
    /// An HTTP date.
    Date,
    /// No header at all.
    Absent,
}

/// The limits; `enabled: false` lets everything through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThrottleConfig {
    /// Whether limits apply.
    pub enabled: bool,
    /// Requests per window, app and mailbox.
    pub requests: u32,
    /// The requests' window in seconds.
    pub window_seconds: i64,
    /// Requests at the same time, per app and mailbox.
    pub concurrent: u32,
    /// Requests at the same time per app over all mailboxes (the other, disputed reading); 0 is no limit.
    pub concurrent_per_app: u32,
    /// Uploaded bytes per upload window, app and mailbox.
    pub upload_bytes: u64,
    /// The uploads' window in seconds.
    pub upload_window_seconds: i64,
    /// How `Retry-After` is written.
    pub retry_after: RetryAfterStyle,
}

impl Default for ThrottleConfig {
    /// Off, with the real numbers.
    fn default() -> Self {
        Self {
            enabled: false,
            ..Self::real()
        }
    }
}

impl ThrottleConfig {
    /// On, with the published numbers: 10,000 requests in 10 minutes, 4 at a time, 150 MB in 5 minutes.
    pub fn real() -> Self {
        Self {
            enabled: true,
            requests: 10_000,
            window_seconds: 600,
            concurrent: 4,
            concurrent_per_app: 0,
            upload_bytes: 150 * 1024 * 1024,
            upload_window_seconds: 300,
            retry_after: RetryAfterStyle::Seconds,
        }
    }
}

/// Counts of one app on one mailbox.
#[derive(Debug, Default)]
struct Meter {
    in_flight: u32,
    window: Window,
    upload: Window,
}

#[derive(Debug, Default)]
struct Window {
    start: Option<Timestamp>,
    used: u64,
}

impl Window {
    /// Rolls over when the window has passed; returns the seconds until it ends.
    fn roll(&mut self, now: Timestamp, seconds: i64) -> i64 {
        let start = *self.start.get_or_insert(now);
        let passed = now.duration_since(start).as_secs();
        if passed >= seconds || passed < 0 {
            self.start = Some(now);
            self.used = 0;
            return seconds;
        }
        seconds - passed
    }
}

/// The running counts.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    meters: HashMap<(String, String), Meter>,
    per_app: HashMap<String, u32>,
    /// The most requests that were ever under way at once on one mailbox, refused ones included.
    pub(crate) highest_in_flight: u32,
    /// How many requests were refused.
    pub(crate) refused: u64,
    /// How many requests were over the limits, whether those are on or not.
    pub(crate) over_limits: u64,
    /// How many requests came.
    pub(crate) requests: u64,
}

impl Throttle {
    /// Counts a request in. Refused requests count against the window too (throttling.md).
    pub(crate) fn enter(
        &mut self,
        config: &ThrottleConfig,
        app: &str,
        mailbox: &str,
        upload: u64,
        now: Timestamp,
    ) -> Result<(), GraphError> {
        let meter = self
            .meters
            .entry((app.to_owned(), mailbox.to_owned()))
            .or_default();
        self.highest_in_flight = self.highest_in_flight.max(meter.in_flight + 1);
        let left = meter.window.roll(now, config.window_seconds);
        let upload_left = meter.upload.roll(now, config.upload_window_seconds);
        meter.window.used += 1;
        let app_in_flight = self.per_app.entry(app.to_owned()).or_default();
        self.requests += 1;
        let over = if meter.in_flight >= config.concurrent
            || (config.concurrent_per_app > 0 && *app_in_flight >= config.concurrent_per_app)
        {
            Some(("MailboxConcurrency", 1))
        } else if meter.window.used > u64::from(config.requests) {
            Some(("RequestsPerWindow", left))
        } else if upload > 0 && meter.upload.used + upload > config.upload_bytes {
            Some(("MailboxUploadBytes", upload_left))
        } else {
            None
        };
        self.over_limits += u64::from(over.is_some());
        if let Some((limit, seconds)) = over
            && config.enabled
        {
            self.refused += 1;
            return Err(refuse(config.retry_after, limit, seconds, now));
        }
        meter.upload.used += upload;
        meter.in_flight += 1;
        *app_in_flight += 1;
        Ok(())
    }

    /// Counts a request out.
    pub(crate) fn leave(&mut self, app: &str, mailbox: &str) {
        if let Some(meter) = self.meters.get_mut(&(app.to_owned(), mailbox.to_owned())) {
            meter.in_flight = meter.in_flight.saturating_sub(1);
        }
        if let Some(count) = self.per_app.get_mut(app) {
            *count = count.saturating_sub(1);
        }
    }
}

fn refuse(style: RetryAfterStyle, limit: &str, seconds: i64, now: Timestamp) -> GraphError {
    let error = GraphError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "ApplicationThrottled",
        format!("Application is over its {limit} limit."),
    );
    match style {
        RetryAfterStyle::Seconds => error.with_header("retry-after", seconds.to_string()),
        RetryAfterStyle::Fractional => error.with_header("retry-after", format!("{seconds}.128")),
        RetryAfterStyle::Date => {
            let at = now
                .checked_add(SignedDuration::from_secs(seconds))
                .unwrap_or(now);
            error.with_header("retry-after", http_date(at))
        }
        RetryAfterStyle::Absent => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_bite_and_windows_roll() {
        let config = ThrottleConfig {
            requests: 3,
            concurrent: 2,
            ..ThrottleConfig::real()
        };
        let mut throttle = Throttle::default();
        let start = Timestamp::UNIX_EPOCH;
        assert!(throttle.enter(&config, "a", "m", 0, start).is_ok());
        assert!(throttle.enter(&config, "a", "m", 0, start).is_ok());
        let third = throttle.enter(&config, "a", "m", 0, start).unwrap_err();
        assert_eq!(
            third.message,
            "Application is over its MailboxConcurrency limit."
        );
        assert!(
            throttle.enter(&config, "a", "other", 0, start).is_ok(),
            "another mailbox has its own limit"
        );
        throttle.leave("a", "m");
        let fourth = throttle.enter(&config, "a", "m", 0, start).unwrap_err();
        assert_eq!(fourth.headers, [("retry-after", "600".to_owned())]);
        let later = start.checked_add(SignedDuration::from_secs(600)).unwrap();
        assert!(throttle.enter(&config, "a", "m", 0, later).is_ok());
    }
}
