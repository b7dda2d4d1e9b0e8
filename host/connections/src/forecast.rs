//! What is going to end, and when: client secrets, certificates, sign-ins.

use docket_model::ConnectionKind;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::oauth::{CredentialKind, user_option};
use crate::registry::Connections;
use crate::status::Records;
use crate::vault::VaultError;

/// How long a sign-in lasts without use (Entra: refresh-tokens.md).
const SIGN_IN: SignedDuration = SignedDuration::from_hours(24 * 90);

/// Something that is going to end, or has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lapse {
    /// How soon.
    pub severity: Severity,
    /// The connection.
    pub connection: String,
    /// The account, where it is a sign-in.
    pub account: Option<String>,
    /// What.
    pub kind: LapseKind,
    /// When; `None` where it cannot be used as it is.
    pub at: Option<Timestamp>,
    /// The same in a sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// How soon something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Within 30 days.
    Notice,
    /// Within 14 days.
    Warning,
    /// Within 7 days.
    Urgent,
    /// Within a day.
    Critical,
    /// It has ended.
    Expired,
}

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LapseKind {
    /// A client secret.
    ClientSecret,
    /// A certificate.
    Certificate,
    /// A sign-in that nobody uses.
    SignIn,
    /// A record of the vault that cannot be read.
    Damaged,
}

impl Severity {
    /// How soon `at` is; `None` where it is more than 30 days away.
    #[must_use]
    pub fn of(at: Timestamp, now: Timestamp) -> Option<Self> {
        let left = at.duration_since(now);
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        if left <= SignedDuration::ZERO {
            return Some(Self::Expired);
        }
        [
            (days(1), Self::Critical),
            (days(7), Self::Urgent),
            (days(14), Self::Warning),
            (days(30), Self::Notice),
        ]
        .into_iter()
        .find_map(|(most, severity)| (left <= most).then_some(severity))
    }
}

impl Connections {
    /// What ends within 30 days or has ended, the worst first. Blocks on the disk.
    ///
    /// # Errors
    /// The vault's, where its folder cannot be read at all; a record that cannot be read is a lapse.
    pub fn forecast(&self, now: Timestamp) -> Result<Vec<Lapse>, VaultError> {
        let mut records = Records::read(&self.vault)?;
        let mut lapses = Vec::new();
        for held in self.by_name.values() {
            credential(held, &mut records, now, &mut lapses);
            sign_ins(held, &mut records, now, &mut lapses);
        }
        lapses.sort_by(|a, b| {
            let key = |lapse: &Lapse| (std::cmp::Reverse(lapse.severity), lapse.at);
            key(a)
                .cmp(&key(b))
                .then_with(|| (&a.connection, &a.account).cmp(&(&b.connection, &b.account)))
        });
        Ok(lapses)
    }
}

/// The credential that lasts longest counts: the others stand in for it or it for them. One whose end
/// is not known may last longer; but nobody can rely on it, so it hides no end that is to come.
fn credential(held: &Connection, records: &mut Records, now: Timestamp, lapses: &mut Vec<Lapse>) {
    let all = match records.credentials(held) {
        Ok(all) => all,
        Err(error) => {
            lapses.push(damaged(held, None, &error));
            return;
        }
    };
    let ends = all
        .iter()
        .filter_map(|one| Some((one.expires()?, one.status().kind)));
    let Some((at, kind)) = ends.max_by_key(|(at, _)| *at) else {
        return;
    };
    if at <= now && all.iter().any(|one| one.expires().is_none()) {
        return;
    }
    let Some(severity) = Severity::of(at, now) else {
        return;
    };
    let (kind, what, make) = match kind {
        CredentialKind::Secret => (
            LapseKind::ClientSecret,
            "client secret",
            "make a new one (New client secret), copy its Value",
        ),
        CredentialKind::Certificate => (
            LapseKind::Certificate,
            "certificate",
            "upload a new one (Certificates, Upload certificate)",
        ),
    };
    let name = &held.name;
    lapses.push(Lapse {
        severity,
        connection: name.clone(),
        account: None,
        kind,
        at: Some(at),
        message: format!("the {what} of {name} {}", ends_at(at, now)),
        remedy: match held.spec.provider {
            Some(_) => format!(
                "make a new one at the provider, and give it to `docket connections rotate-secret {name}`"
            ),
            None => format!(
                "in the Entra admin center open App registrations, the application {}, Certificates & secrets; {make}, and give it to `docket connections rotate-secret {name}`",
                held.spec.client_id
            ),
        },
    });
}

fn sign_ins(held: &Connection, records: &mut Records, now: Timestamp, lapses: &mut Vec<Lapse>) {
    for (account, sign_in) in records.sign_ins(held) {
        let record = match sign_in {
            Ok(record) => record,
            Err(error) => {
                lapses.push(damaged(held, Some(&account), &error));
                continue;
            }
        };
        // Other providers have rules of their own.
        let end = record.refreshed_at.checked_add(SIGN_IN);
        let (true, Ok(at)) = (held.spec.provider.is_none(), end) else {
            continue;
        };
        let Some(severity) = Severity::of(at, now) else {
            continue;
        };
        lapses.push(Lapse {
            severity,
            connection: held.name.clone(),
            account: Some(account.clone()),
            kind: LapseKind::SignIn,
            at: Some(at),
            message: format!(
                "the sign-in of {account} to {} {} unless it is used",
                held.name,
                ends_at(at, now)
            ),
            remedy: format!(
                "keep the host running, which uses it once a day; if it has ended, run `docket connections authorize {}{}` and sign in as {account}",
                held.name,
                user_option(held.spec.kind == ConnectionKind::PerUser, &account)
            ),
        });
    }
}

fn damaged(held: &Connection, account: Option<&str>, error: &VaultError) -> Lapse {
    let (message, remedy) = match error {
        VaultError::Damaged {
            path,
            problem,
            remedy,
        } => (format!("{path} is damaged: {problem}"), remedy.clone()),
        other => (
            other.to_string(),
            "see that the data folder can be read".to_owned(),
        ),
    };
    Lapse {
        severity: Severity::Expired,
        connection: held.name.clone(),
        account: account.map(str::to_owned),
        kind: LapseKind::Damaged,
        at: None,
        message,
        remedy,
    }
}

fn ends_at(at: Timestamp, now: Timestamp) -> String {
    let day = at.strftime("%F");
    let days = at.duration_since(now).as_hours() / 24;
    match (at <= now, days) {
        (true, _) => format!("ended on {day}"),
        (false, 0) => format!("ends on {day}, within a day"),
        (false, 1) => format!("ends on {day}, in 1 day"),
        (false, days) => format!("ends on {day}, in {days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities() {
        let now: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        for (hours, expected) in [
            (24 * 31, None),
            (24 * 30, Some(Severity::Notice)),
            (24 * 15, Some(Severity::Notice)),
            (24 * 14, Some(Severity::Warning)),
            (24 * 7, Some(Severity::Urgent)),
            (25, Some(Severity::Urgent)),
            (24, Some(Severity::Critical)),
            (1, Some(Severity::Critical)),
            (0, Some(Severity::Expired)),
            (-1, Some(Severity::Expired)),
        ] {
            let at = now.checked_add(SignedDuration::from_hours(hours)).unwrap();
            assert_eq!(Severity::of(at, now), expected, "{hours} hours");
        }
    }
}
