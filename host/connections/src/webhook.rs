//! The webhook that tells that somebody must sign in, signed as Standard Webhooks 1.0.0 says: a
//! receiver verifies it with any library of that specification.
//!
//! The secret is made here and kept in the vault. After a new one was made, requests carry the
//! signatures of both, until one more is made: the receiver changes over when it likes.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use docket_model::{Clock, SignInWebhook};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use jsonwebtoken::{Algorithm, EncodingKey};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use zeroize::{Zeroize, Zeroizing};

use crate::dial::{self, Addresses, Transport, read_ca_file};
use crate::policy::url::origin;
use crate::registry::Connections;
use crate::vault::{RecordId, RecordKind, Vault, VaultError};

/// Where the webhook is in `docket.yaml`.
const PLACE: &str = "sign-in-hook.webhook";
/// How long the receiver may take (Standard Webhooks: 15 to 30 seconds).
const PATIENCE: Duration = Duration::from_secs(20);
/// What secrets begin with.
const PREFIX: &str = "whsec_";
/// How many bytes a secret has that is made here; the specification wants 24 to 64.
const LENGTH: usize = 32;
/// How many secrets are in use at a time.
const MOST: usize = 2;
const SECRETS: RecordId<'_> = RecordId {
    connection: "",
    account: "",
    kind: RecordKind::WebhookSecrets,
};

/// A webhook, ready to be sent.
pub struct Webhook {
    url: Url,
    transport: Transport,
    vault: Vault,
    clock: Arc<dyn Clock>,
}

/// Why a webhook was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// `docket.yaml` is not right.
    #[error("{PLACE}.{field} in docket.yaml: {problem}")]
    Invalid {
        /// The key.
        field: &'static str,
        /// What is wrong, and how it must be.
        problem: String,
    },
    /// There is no secret to sign with.
    #[error(
        "the webhook has no secret to sign with; make one with `docket connections webhook-secret`, and give it to the receiver"
    )]
    NoSecret,
    /// What was given is no secret.
    #[error(
        "a webhook's secret is written {PREFIX}…, with 24 to 64 bytes in base64 (Standard Webhooks)"
    )]
    InvalidSecret,
    /// The receiver did not take it.
    #[error("{host} answered {status}")]
    Refused {
        /// Who.
        host: String,
        /// With which HTTP status.
        status: u16,
    },
    /// The receiver was not reached, or did not answer.
    #[error("{0}")]
    Unanswered(String),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Connections {
    /// The webhook of the project.
    ///
    /// # Errors
    /// [`WebhookError::Invalid`].
    pub fn webhook(&self, spec: &SignInWebhook) -> Result<Webhook, WebhookError> {
        let invalid = |field, problem: String| WebhookError::Invalid { field, problem };
        let url = crate::policy::url::normalise(&spec.url)
            .map_err(|problem| invalid("url", problem.to_string()))?;
        let addresses = Addresses::parse(&spec.allow_addresses).map_err(|text| {
            let problem = format!("`{text}` is no range of addresses; write 10.0.0.0/8");
            invalid("allow-addresses", problem)
        })?;
        let authorities = match spec.ca_file.as_deref().map(read_ca_file) {
            None => dial::Authorities::new(),
            Some(read) => read.map_err(|problem| invalid("ca-file", problem))?,
        };
        Ok(Webhook {
            url,
            transport: Transport::new(addresses, authorities, Arc::clone(&self.resolver)),
            vault: self.vault.clone(),
            clock: Arc::clone(&self.clock),
        })
    }

    /// Makes a new secret for webhooks, stores it, and gives it: it is shown nowhere else. Requests
    /// are signed with it and with the one before. Blocks on the disk.
    ///
    /// # Errors
    /// [`WebhookError::Vault`].
    pub fn new_webhook_secret(&self) -> Result<SecretString, WebhookError> {
        let mut bytes = Zeroizing::new([0_u8; LENGTH]);
        getrandom::fill(bytes.as_mut())
            .map_err(|error| VaultError::Io(format!("no random bytes: {error}")))?;
        let secret = SecretString::from(format!("{PREFIX}{}", STANDARD.encode(bytes.as_ref())));
        self.add_webhook_secret(&secret)?;
        Ok(secret)
    }

    /// Stores a secret for webhooks that was made elsewhere, `whsec_…`. Blocks on the disk.
    ///
    /// # Errors
    /// [`WebhookError::InvalidSecret`], [`WebhookError::Vault`].
    pub fn add_webhook_secret(&self, secret: &SecretString) -> Result<(), WebhookError> {
        let text = secret.expose_secret().trim();
        if bytes_of(text).is_none() {
            return Err(WebhookError::InvalidSecret);
        }
        let mut all = Secrets::read(&self.vault)?;
        all.0.retain(|known| known != text);
        all.0.insert(0, text.to_owned());
        all.0.truncate(MOST);
        all.write(&self.vault)?;
        Ok(())
    }
}

impl Webhook {
    /// Tells the receiver. `id` is the same for every attempt to tell the same, so that a receiver
    /// that was told twice can see it.
    ///
    /// # Errors
    /// [`WebhookError`]; all of them are worth another try once somebody has looked.
    pub async fn send(&self, id: &str, event: &serde_json::Value) -> Result<(), WebhookError> {
        let vault = self.vault.clone();
        let secrets = tokio::task::spawn_blocking(move || Secrets::read(&vault));
        let secrets = secrets
            .await
            .map_err(|_| VaultError::Io("the host is shutting down".to_owned()))??;
        let body = event.to_string();
        let at = self.clock.now().as_second();
        let signatures = secrets.sign(&format!("{id}.{at}.{body}"))?;
        let host = origin(&self.url);
        let unanswered =
            |error: crate::gate::GateError| WebhookError::Unanswered(error.to_string());
        let client = self
            .transport
            .client(&self.url, PLACE)
            .map_err(unanswered)?;
        let request = client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signatures)
            .body(body)
            .timeout(PATIENCE);
        let answer = request
            .send()
            .await
            .map_err(|error| unanswered(dial::failed(error, &host, PLACE)))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            // Whoever redirects takes it nowhere: the signature is for this receiver.
            status => Err(WebhookError::Refused {
                host,
                status: StatusCode::as_u16(&status),
            }),
        }
    }
}

/// The secrets, the newest first.
struct Secrets(Vec<String>);

impl Drop for Secrets {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Secrets {
    fn read(vault: &Vault) -> Result<Self, VaultError> {
        let Some(text) = vault.get(SECRETS)? else {
            return Ok(Self(Vec::new()));
        };
        let all = serde_json::from_str(text.expose_secret());
        all.map(Self).map_err(|_| VaultError::Damaged {
            path: PLACE.to_owned(),
            problem: "its secret cannot be read".to_owned(),
            remedy: "make a new one with `docket connections webhook-secret`".to_owned(),
        })
    }

    fn write(&self, vault: &Vault) -> Result<(), VaultError> {
        let text = serde_json::to_string(&self.0)
            .map(SecretString::from)
            .map_err(|error| VaultError::Io(error.to_string()))?;
        vault.put(SECRETS, &text)
    }

    /// `webhook-signature`: `v1,` and the signature in base64, one for each secret.
    fn sign(&self, signed: &str) -> Result<String, WebhookError> {
        let all: Option<Vec<String>> = self.0.iter().map(|one| sign(one, signed)).collect();
        match all {
            Some(all) if !all.is_empty() => Ok(all.join(" ")),
            _ => Err(WebhookError::NoSecret),
        }
    }
}

fn sign(secret: &str, signed: &str) -> Option<String> {
    let key = EncodingKey::from_secret(&bytes_of(secret)?);
    // HMAC-SHA256 as JWTs have it, but for the alphabet.
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).ok()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    Some(format!("v1,{}", STANDARD.encode(signature)))
}

/// The bytes of a secret as Standard Webhooks writes it.
pub(crate) fn bytes_of(secret: &str) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    (24..=64)
        .contains(&bytes.len())
        .then(|| Zeroizing::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_specification_shows() {
        // The test vector of the reference libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = r#"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}"#;
        assert_eq!(
            sign(secret, signed).unwrap(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        let both = Secrets(vec![secret.to_owned(), secret.to_owned()]);
        assert_eq!(both.sign(signed).unwrap().split(' ').count(), 2);
        let none = Secrets(Vec::new());
        assert_eq!(none.sign(signed), Err(WebhookError::NoSecret));
    }

    #[test]
    fn only_secrets_are_secrets() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for (text, is_one) in [
            (of(24), true),
            (of(64), true),
            (of(23), false),
            (of(65), false),
            (of(32).replace("whsec_", ""), false),
            ("whsec_!".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(bytes_of(&text).is_some(), is_one, "{text}");
        }
    }
}
