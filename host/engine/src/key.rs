//! The idempotency key: what a step is known by outside.

use docket_model::{InvalidRunId, RunId, StepPath};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

/// The idempotency key of a step: the same for every attempt of it, and unique to this step of this
/// run. A UUID (RFC 9562, version 8) made of the SHA-256 of run and step, since that is the form in
/// which most providers take such keys.
#[must_use]
pub fn idempotency_key(run: &RunId, path: &StepPath) -> String {
    of_round(run, path, 0)
}

/// The key of a step of `on-error`, which may run once for each time that its run was resumed and
/// failed again: what it did then was about another failure.
pub(crate) fn of_round(run: &RunId, path: &StepPath, round: u32) -> String {
    // No two places have the same parts: neither ids nor numbers hold a NUL.
    let item = path.item.map(|item| item.to_string()).unwrap_or_default();
    let round = round.to_string();
    let mut parts = vec!["docket", "step", run.as_str(), &path.step, &item];
    if round != "0" {
        parts.push(&round);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(parts.join("\0").as_bytes())[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// What the run of a trigger's event is called: when the event was, so that runs sort, and 130 bits
/// of the SHA-256 of `parts`, so that no two events have the same run.
pub(crate) fn of_event(at: Timestamp, parts: &[&str]) -> Result<RunId, InvalidRunId> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let hash = Sha256::digest(format!("docket\0event\0{}", parts.join("\0")).as_bytes());
    let mut bits: u64 = 0;
    let mut have = 0;
    let mut tail = String::with_capacity(26);
    for byte in hash.iter().take(17) {
        bits = bits << 8 | u64::from(*byte);
        have += 8;
        while have >= 5 && tail.len() < 26 {
            have -= 5;
            tail.push(char::from(LETTERS[(bits >> have & 31) as usize]));
        }
    }
    format!("{}-{tail}", at.strftime("%Y%m%d-%H%M%S")).parse()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn key(run: &str, step: &str, item: Option<u32>) -> String {
        let run = run.parse().unwrap();
        idempotency_key(
            &run,
            &StepPath {
                step: step.into(),
                item,
            },
        )
    }

    #[test]
    fn is_a_uuid_that_never_changes() {
        // Stamped on mails that may be looked for years later: this value must stay.
        assert_eq!(
            key("r-1", "send", None),
            "b38b3aad-cb93-8763-8924-5323a0f0014e"
        );
    }

    #[test]
    fn an_event_has_one_run() {
        let at = Timestamp::UNIX_EPOCH;
        let run = of_event(at, &["w/schedule", "1970-01-01T00:00:00Z"]).unwrap();
        let again = of_event(at, &["w/schedule", "1970-01-01T00:00:00Z"]).unwrap();
        assert_eq!(run, again);
        assert!(run.as_str().starts_with("19700101-000000-"), "{run}");
        assert_eq!(run.as_str().len(), 16 + 26);
        assert_ne!(
            run,
            of_event(at, &["w/schedule1970", "-01-01T00:00:00Z"]).unwrap()
        );
    }

    #[test]
    fn differs_wherever_the_step_does() {
        let keys = [
            key("r-1", "send", None),
            key("r-2", "send", None),
            key("r-1", "send", Some(0)),
            key("r-1", "send", Some(1)),
            key("r-1", "send[0]", None),
            key("r-1", "send0", None),
            key("r-1s", "end", None),
        ];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        let path = StepPath {
            step: "tell".into(),
            item: None,
        };
        let run = "r-1".parse().unwrap();
        assert_eq!(of_round(&run, &path, 0), idempotency_key(&run, &path));
        assert_ne!(of_round(&run, &path, 1), of_round(&run, &path, 2));
        assert_ne!(of_round(&run, &path, 1), idempotency_key(&run, &path));
    }
}
