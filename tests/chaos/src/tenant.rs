//! The tenant that the host must cope with: a clock that runs fast, the worst of what Exchange may
//! do where its documents are silent, and faults that change like the weather.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use docket_e2e::{Lab, LabClock};
use docket_tenant::{
    Clock, Fault, FaultAction, InFlightSend, RightKind, TenantConfig, TenantState,
};
use jiff::{SignedDuration, Timestamp};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

/// The mailboxes that mails are sent from.
pub(crate) const SENDERS: [&str; 2] = ["contracts@contoso.example", "invoices@contoso.example"];
/// Longer than any chaos lasts in the tenant's time, so that a sign-in is none of what is tried.
const FOR_GOOD: SignedDuration = SignedDuration::from_hours(24 * 365 * 5);
/// The longest that a message may be on its way and look like a draft, in the tenant's seconds.
const LONGEST_DELIVERY: i64 = 25;

/// Runs like the machine's clock until it is told to hurry.
struct FastClock {
    real: LabClock,
    speed: i64,
    hurries_since: Arc<OnceLock<Timestamp>>,
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        let real = self.real.now();
        let Some(since) = self.hurries_since.get() else {
            return real;
        };
        let ahead = (real.as_microsecond() - since.as_microsecond()).saturating_mul(self.speed);
        let now = since.as_microsecond().saturating_add(ahead);
        Timestamp::from_microsecond(now).unwrap_or(Timestamp::MAX)
    }
}

/// A laboratory whose account has signed in and whose tenant's clock hurries.
pub(crate) async fn lab(speed: u32) -> Result<Lab> {
    let mut config = TenantConfig::contoso();
    config.mail.clear();
    // Sending a draft again that is on its way sends it twice: nothing forgives a second submission.
    config.policies.in_flight_send = InFlightSend::SendsAgain;
    config.timings.access_token = FOR_GOOD;
    config.timings.refresh_token = FOR_GOOD;
    for app in &mut config.apps {
        for secret in &mut app.secrets {
            secret.expires = Timestamp::from_second(4_000_000_000).ok();
        }
    }
    for sender in SENDERS {
        let has_right = |kind| {
            let mut rights = config.rights.iter();
            rights.any(|right| right.mailbox == sender && right.kind == kind)
        };
        anyhow::ensure!(
            has_right(RightKind::SendAs) && has_right(RightKind::FullAccess),
            "the tenant lets nobody send as {sender}"
        );
    }
    let hurries_since = Arc::new(OnceLock::new());
    let real = LabClock::default();
    let clock = FastClock {
        real: real.clone(),
        speed: i64::from(speed),
        hurries_since: Arc::clone(&hurries_since),
    };
    let lab = Lab::start_by(config, real.clone(), Arc::new(clock)).await;
    hurries_since
        .set(real.now())
        .ok()
        .context("the clock hurries already")?;
    Ok(lab)
}

/// What goes wrong at the moment.
#[derive(Default)]
pub(crate) struct Weather {
    /// The faults that struck in rounds that are over.
    before: u64,
}

/// Where faults strike, the more delicate the more often.
const PLACES: [(&str, &str); 12] = [
    ("POST", "*/send"),
    ("POST", "*/send"),
    ("POST", "*/send"),
    ("POST", "*/send"),
    ("POST", "*/messages"),
    ("POST", "*/messages"),
    ("POST", "*/attachments"),
    ("POST", "*/attachments"),
    ("POST", "*/createuploadsession"),
    ("PUT", "*"),
    ("GET", "*/messages*"),
    ("POST", "*/token"),
];

impl Weather {
    /// Other weather: some faults, another delivery, another pace of the service.
    pub(crate) fn change(&mut self, state: &TenantState, chance: &mut StdRng) {
        self.before = self.struck(state);
        state.clear_faults();
        for _ in 0..chance.random_range(0..10) {
            let fault = fault(chance);
            state.add_fault(fault);
        }
        let delivery = match chance.random_bool(0.5) {
            true => 0,
            false => chance.random_range(1..=LONGEST_DELIVERY),
        };
        let service = Duration::from_millis(chance.random_range(0..12));
        state.set_timings(|timings| {
            timings.delivery = SignedDuration::from_secs(delivery);
            timings.service = service;
        });
    }

    /// Fair weather for good.
    pub(crate) fn clear(&mut self, state: &TenantState) {
        self.before = self.struck(state);
        state.clear_faults();
        state.set_timings(|timings| {
            timings.delivery = SignedDuration::ZERO;
            timings.service = Duration::ZERO;
        });
    }

    /// How many requests were struck so far.
    pub(crate) fn struck(&self, state: &TenantState) -> u64 {
        let faults = state.faults();
        self.before
            + faults
                .iter()
                .map(|fault| u64::from(fault.hits))
                .sum::<u64>()
    }
}

fn fault(chance: &mut StdRng) -> Fault {
    let (method, path) = PLACES.choose(chance).copied().unwrap_or(("POST", "*/send"));
    let after = chance.random_bool(0.5).then(|| "1".to_owned());
    let action = match chance.random_range(0..9) {
        0 => FaultAction::ResetBefore,
        1 | 2 => FaultAction::ResetAfter,
        3 => FaultAction::TimeoutAfterAccept,
        4 => FaultAction::GatewayTimeout,
        5 => FaultAction::CutOff {
            bytes: chance.random_range(0..200),
        },
        6 => FaultAction::Throttle { retry_after: after },
        7 => FaultAction::Unavailable { retry_after: after },
        _ => FaultAction::Latency {
            millis: chance.random_range(5..120),
        },
    };
    Fault::next(method, path, action)
        .nth(chance.random_range(1..5))
        .times(chance.random_range(1..3))
}
