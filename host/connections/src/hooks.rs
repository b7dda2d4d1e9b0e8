//! The secrets of workflows' webhooks, which others call, and whether a request was signed with one.
//!
//! Requests are signed as the Standard Webhooks specification has it (standard-webhooks 1.0.0):
//! `webhook-id`, `webhook-timestamp` in seconds since 1970, and `webhook-signature`, which holds a
//! signature, or several of them with spaces between.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::hook_secret::{HookSecret, signatures, signed};
use crate::registry::Connections;
use crate::vault::{RecordId, RecordKind, VaultError};

/// How far the signature's time may be from ours, either way ("Verifying webhook authenticity").
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// The longest id, in bytes.
const LONGEST_ID: usize = 256;
/// The most signatures that one request may bring.
const MOST_SIGNATURES: usize = 8;

/// What a request says of its signature.
#[derive(Debug, Clone, Copy)]
pub struct Signature<'a> {
    /// `webhook-id`: the event's name, the same each time it is sent.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signatures: &'a str,
}

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The webhook has no secret, so that nobody can sign for it.
    #[error("the webhook has no secret yet")]
    NoSecret,
    /// A header is not what it must be.
    #[error("the header {0}")]
    Malformed(&'static str),
    /// It was signed too long ago, or in the future.
    #[error("the signature is not of now: webhook-timestamp is more than 5 minutes off")]
    Stale,
    /// No signature fits.
    #[error("the signature does not fit the request")]
    Forged,
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// A secret of a webhook, without the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SecretStatus {
    /// When it was stored.
    pub since: Timestamp,
    /// When it ends; the one in use has no end.
    pub until: Option<Timestamp>,
}

/// What the vault keeps: the newest first, and behind it the one that ends.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kept {
    secrets: Vec<One>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct One {
    #[serde(with = "exposed")]
    secret: SecretString,
    since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

/// For the vault's eyes alone.
mod exposed {
    use secrecy::{ExposeSecret as _, SecretString};
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        secret: &SecretString,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose_secret())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<SecretString, D::Error> {
        String::deserialize(from).map(SecretString::from)
    }
}

impl Connections {
    /// Stores the secret of a workflow's webhook. The one before stays valid for `overlap`; with
    /// none it ends at once. Blocks on the disk.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn set_hook_secret(
        &self,
        workflow: &str,
        secret: &HookSecret,
        overlap: SignedDuration,
    ) -> Result<(), VaultError> {
        let now = self.clock.now();
        let mut secrets = vec![One {
            secret: secret.text().clone(),
            since: now,
            until: None,
        }];
        let end = now.saturating_add(overlap).unwrap_or(Timestamp::MAX);
        let before = match self.kept(workflow) {
            // A new one mends what cannot be read.
            Err(VaultError::Damaged { .. }) => Vec::new(),
            kept => kept?,
        };
        let mut before = before
            .into_iter()
            .filter(|one| is_valid(one, now) && overlap.is_positive());
        secrets.extend(before.next().map(|one| One {
            until: Some(one.until.map_or(end, |until| until.min(end))),
            ..one
        }));
        let text = serde_json::to_string(&Kept { secrets })
            .map_err(|error| VaultError::Io(error.to_string()))?;
        self.vault.put(record(workflow), &SecretString::from(text))
    }

    /// The secrets of a workflow's webhook that are valid, the newest first. Blocks on the disk.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn hook_secrets(&self, workflow: &str) -> Result<Vec<SecretStatus>, VaultError> {
        let now = self.clock.now();
        let kept = self.kept(workflow)?.into_iter();
        Ok(kept
            .filter(|one| is_valid(one, now))
            .map(|one| SecretStatus {
                since: one.since,
                until: one.until,
            })
            .collect())
    }

    /// Looks at what can be told of a request before its body is read.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn look_at_signature(&self, signature: Signature<'_>) -> Result<(), Refused> {
        let id = signature.id;
        let is_line = |id: &str| id.bytes().all(|byte| byte.is_ascii_graphic());
        if id.is_empty() || id.len() > LONGEST_ID || !is_line(id) {
            return Err(Refused::Malformed(
                "webhook-id must have 1 to 256 characters of ASCII, and no space",
            ));
        }
        let seconds = signature.timestamp.parse::<i64>().ok();
        let at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        let Some(at) = at else {
            return Err(Refused::Malformed(
                "webhook-timestamp must be whole seconds since 1970",
            ));
        };
        if at.duration_since(self.clock.now()).abs() > TOLERANCE {
            return Err(Refused::Stale);
        }
        match given(signature.signatures).next() {
            Some(_) => Ok(()),
            None => Err(Refused::Malformed(
                "webhook-signature must have a signature: v1,BASE64",
            )),
        }
    }

    /// Whether a request was signed with a secret of the workflow's webhook. Signatures are compared in
    /// constant time. Blocks on the disk.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn verify_hook(
        &self,
        workflow: &str,
        signature: Signature<'_>,
        body: &[u8],
    ) -> Result<(), Refused> {
        self.look_at_signature(signature)?;
        let now = self.clock.now();
        let mut has_secret = false;
        let signed = signed(signature.id, signature.timestamp, body);
        for one in self.kept(workflow)? {
            if !is_valid(&one, now) {
                continue;
            }
            let Ok(secret) = HookSecret::parse(&one.secret) else {
                continue;
            };
            has_secret = true;
            if given(signature.signatures).any(|tag| secret.fits(&signed, &tag)) {
                return Ok(());
            }
        }
        match has_secret {
            true => Err(Refused::Forged),
            false => Err(Refused::NoSecret),
        }
    }

    fn kept(&self, workflow: &str) -> Result<Vec<One>, VaultError> {
        let Some(text) = self.vault.get(record(workflow))? else {
            return Ok(Vec::new());
        };
        let kept: Kept = serde_json::from_str(text.expose_secret()).map_err(|_| {
            // Without serde's words, which may repeat the text.
            VaultError::Damaged {
                path: format!("the record of the webhook of {workflow}"),
                problem: "it is no list of secrets".to_owned(),
                remedy: RecordKind::HookSecrets.remedy().to_owned(),
            }
        })?;
        Ok(kept.secrets)
    }
}

const fn record(workflow: &str) -> RecordId<'_> {
    RecordId {
        connection: workflow,
        account: "",
        kind: RecordKind::HookSecrets,
    }
}

fn is_valid(one: &One, now: Timestamp) -> bool {
    one.until.is_none_or(|until| now < until)
}

/// The signatures that are looked at.
fn given(header: &str) -> impl Iterator<Item = Vec<u8>> + '_ {
    signatures(header).take(MOST_SIGNATURES)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use docket_model::ManualClock;

    use super::*;
    use crate::{KeySource, Vault};

    fn open(folder: &std::path::Path, clock: &Arc<ManualClock>) -> Connections {
        let key = KeySource::File(folder.join("key"));
        let vault = Vault::open(&folder.join("vault"), &key).unwrap();
        Connections::open(&BTreeMap::new(), vault, Arc::clone(clock) as _).unwrap()
    }

    fn sign(secret: &HookSecret, id: &str, at: &str, body: &[u8]) -> String {
        secret.sign(&signed(id, at, body))
    }

    const AT: &str = "1795251600";

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::new("2026-11-21T09:00:00Z".parse().unwrap()))
    }

    #[test]
    fn only_what_was_signed_in_time_is_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let connections = open(folder.path(), &clock);
        let secret = HookSecret::generate().unwrap();
        let (id, body) = ("evt_1", b"{}".as_slice());
        let good = sign(&secret, id, AT, body);
        let check = |id: &str, timestamp: &str, signatures: &str, body: &[u8]| {
            let signature = Signature {
                id,
                timestamp,
                signatures,
            };
            connections.verify_hook("w", signature, body)
        };
        assert_eq!(check(id, AT, &good, body), Err(Refused::NoSecret));
        let none = SignedDuration::ZERO;
        connections.set_hook_secret("w", &secret, none).unwrap();
        assert_eq!(check(id, AT, &good, body), Ok(()));
        let among = format!("v1a,AAAA v1,AAAA {good}");
        assert_eq!(check(id, AT, &among, body), Ok(()));
        for (id, at, signatures, body) in [
            ("evt_2", AT, good.as_str(), body),
            (id, "1795251601", &good, body),
            (id, AT, &good, b"{ }"),
            (id, AT, "v1,AAAA", body),
            (id, AT, &good[..good.len() - 4], body),
        ] {
            assert_eq!(check(id, at, signatures, body), Err(Refused::Forged));
        }
        for (id, at, signatures) in [
            ("", AT, good.as_str()),
            ("a b", AT, &good),
            ("ä", AT, &good),
            (id, "soon", &good),
            (id, "-99999999999999", &good),
            (id, AT, ""),
            (id, AT, "v2,AAAA"),
            (id, AT, &good[3..]),
        ] {
            let refused = check(id, at, signatures, body);
            assert!(matches!(refused, Err(Refused::Malformed(_))), "{refused:?}");
        }
        let other = connections.verify_hook(
            "v",
            Signature {
                id,
                timestamp: AT,
                signatures: &good,
            },
            body,
        );
        assert_eq!(other, Err(Refused::NoSecret), "a secret is of one workflow");
        clock.advance(SignedDuration::from_secs(300));
        assert_eq!(check(id, AT, &good, body), Ok(()));
        clock.advance(SignedDuration::from_secs(1));
        assert_eq!(check(id, AT, &good, body), Err(Refused::Stale));
        clock.advance(SignedDuration::from_secs(-602));
        assert_eq!(check(id, AT, &good, body), Err(Refused::Stale));
    }

    #[test]
    fn two_secrets_are_valid_while_they_are_changed() {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let connections = open(folder.path(), &clock);
        let day = SignedDuration::from_hours(24);
        let secrets = [(); 3].map(|()| HookSecret::generate().unwrap());
        let fits = |secret: &HookSecret| {
            let at = docket_model::Clock::now(&*clock).as_second().to_string();
            let signatures = sign(secret, "evt", &at, b"");
            let signature = Signature {
                id: "evt",
                timestamp: &at,
                signatures: &signatures,
            };
            connections.verify_hook("w", signature, b"").is_ok()
        };
        let valid = || secrets.each_ref().map(fits);
        connections.set_hook_secret("w", &secrets[0], day).unwrap();
        connections.set_hook_secret("w", &secrets[1], day).unwrap();
        assert_eq!(valid(), [true, true, false]);
        assert_eq!(connections.hook_secrets("w").unwrap().len(), 2);
        connections.set_hook_secret("w", &secrets[2], day).unwrap();
        assert_eq!(valid(), [false, true, true]);
        clock.advance(day);
        assert_eq!(valid(), [false, false, true]);
        let left = connections.hook_secrets("w").unwrap();
        assert_eq!((left.len(), left[0].until), (1, None));
        let now = SignedDuration::ZERO;
        connections.set_hook_secret("w", &secrets[0], now).unwrap();
        assert_eq!(valid(), [true, false, false]);
    }

    #[test]
    fn a_new_secret_mends_what_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let connections = open(folder.path(), &clock());
        let secret = HookSecret::generate().unwrap();
        let day = SignedDuration::from_hours(24);
        connections.set_hook_secret("w", &secret, day).unwrap();
        for file in std::fs::read_dir(folder.path().join("vault")).unwrap() {
            let path = file.unwrap().path();
            if !path.ends_with("vault.json") {
                std::fs::write(path, "cut").unwrap();
            }
        }
        assert!(connections.hook_secrets("w").is_err());
        connections.set_hook_secret("w", &secret, day).unwrap();
        assert_eq!(connections.hook_secrets("w").unwrap().len(), 1);
    }

    #[test]
    fn a_secret_shows_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let connections = open(folder.path(), &clock());
        let secret = HookSecret::generate().unwrap();
        let none = SignedDuration::ZERO;
        connections.set_hook_secret("w", &secret, none).unwrap();
        let text = secret.text().expose_secret();
        assert!(!format!("{secret:?}").contains(&text[6..]));
        for file in std::fs::read_dir(folder.path().join("vault")).unwrap() {
            let kept = std::fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(!kept.contains(&text[6..]), "in plain text on the disk");
        }
    }
}
