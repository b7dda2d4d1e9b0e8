//! The webhook that tells that somebody must sign in, signed as Standard Webhooks 1.0.0 says: a
//! receiver verifies it with any library of that specification.
//!
//! The secret is made here and kept in the vault. After a new one was made, requests carry the
//! signatures of both, until one more is made: the receiver changes over when it likes.

use std::sync::Arc;
use std::time::Duration;

use docket_model::{Clock, SignInWebhook};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::dial::{self, Addresses, Transport, read_ca_file};
use crate::hook_secret::{HookSecret, InvalidSecret, signed};
use crate::policy::url::origin;
use crate::registry::Connections;
use crate::vault::{RecordId, RecordKind, Vault, VaultError};

/// Where the webhook is in `docket.yaml`.
const PLACE: &str = "sign-in-hook.webhook";
/// How long the receiver may take (Standard Webhooks: 15 to 30 seconds).
const PATIENCE: Duration = Duration::from_secs(20);
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
    #[error(transparent)]
    InvalidSecret(#[from] InvalidSecret),
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

    /// Whether there is a secret to sign webhooks with. Blocks on the disk.
    ///
    /// # Errors
    /// The vault's.
    pub fn has_webhook_secret(&self) -> Result<bool, VaultError> {
        Ok(!Secrets::read(&self.vault)?.0.is_empty())
    }

    /// Makes a new secret for webhooks, stores it, and gives it: it is shown nowhere else. Requests
    /// are signed with it and with the one before. Blocks on the disk.
    ///
    /// # Errors
    /// [`WebhookError::Vault`].
    pub fn new_webhook_secret(&self) -> Result<SecretString, WebhookError> {
        let secret = HookSecret::generate()?;
        self.keep_webhook_secret(&secret)?;
        Ok(secret.text().clone())
    }

    /// Stores a secret for webhooks that was made elsewhere, `whsec_…`. Blocks on the disk.
    ///
    /// # Errors
    /// [`WebhookError::InvalidSecret`], [`WebhookError::Vault`].
    pub fn add_webhook_secret(&self, secret: &SecretString) -> Result<(), WebhookError> {
        self.keep_webhook_secret(&HookSecret::parse(secret)?)?;
        Ok(())
    }

    fn keep_webhook_secret(&self, secret: &HookSecret) -> Result<(), VaultError> {
        let mut all = match Secrets::read(&self.vault) {
            // A new one mends what cannot be read.
            Err(VaultError::Damaged { .. }) => Secrets(Vec::new()),
            read => read?,
        };
        let text = secret.text().expose_secret();
        all.0.retain(|known| known.text().expose_secret() != text);
        all.0.insert(0, secret.clone());
        all.0.truncate(MOST);
        all.write(&self.vault)
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
        let at = self.clock.now().as_second().to_string();
        let signatures = secrets.sign(&signed(id, &at, body.as_bytes()))?;
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
struct Secrets(Vec<HookSecret>);

impl Secrets {
    fn read(vault: &Vault) -> Result<Self, VaultError> {
        let Some(text) = vault.get(SECRETS)? else {
            return Ok(Self(Vec::new()));
        };
        let all: Option<Vec<String>> = serde_json::from_str(text.expose_secret()).ok();
        let all = all.and_then(|all| {
            let all = all.into_iter().map(SecretString::from);
            all.map(|one| HookSecret::parse(&one).ok()).collect()
        });
        all.map(Self).ok_or_else(|| VaultError::Damaged {
            path: PLACE.to_owned(),
            problem: "its secret cannot be read".to_owned(),
            remedy: "make a new one with `docket connections webhook-secret`".to_owned(),
        })
    }

    fn write(&self, vault: &Vault) -> Result<(), VaultError> {
        let all = self.0.iter().map(|one| one.text().expose_secret());
        let text = serde_json::to_string(&all.collect::<Vec<_>>())
            .map(SecretString::from)
            .map_err(|error| VaultError::Io(error.to_string()))?;
        vault.put(SECRETS, &text)
    }

    /// `webhook-signature`: one signature for each secret.
    fn sign(&self, signed: &[u8]) -> Result<String, WebhookError> {
        if self.0.is_empty() {
            return Err(WebhookError::NoSecret);
        }
        let all: Vec<String> = self.0.iter().map(|one| one.sign(signed)).collect();
        Ok(all.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_signature_of_each_secret() {
        let secrets = [(); 2].map(|()| HookSecret::generate().unwrap());
        let signed = signed("msg", "1614265330", b"{}");
        let expected = secrets.each_ref().map(|one| one.sign(&signed)).join(" ");
        assert_eq!(Secrets(secrets.to_vec()).sign(&signed), Ok(expected));
        let none = Secrets(Vec::new());
        assert_eq!(none.sign(&signed), Err(WebhookError::NoSecret));
    }
}
