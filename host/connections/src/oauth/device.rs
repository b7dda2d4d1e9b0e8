//! Device code (RFC 8628): a machine without a browser shows a code, and its user enters it elsewhere.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use oauth2::{
    DeviceAuthorizationResponse, ExtraDeviceAuthorizationFields, RequestTokenError, Scope,
};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{Account, AuthError, Grant, SignedIn};

/// What Entra says besides (Entra: v2-oauth2-device-code.md).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    message: Option<String>,
}

impl ExtraDeviceAuthorizationFields for Message {}

pub(super) type Details = DeviceAuthorizationResponse<Message>;

/// A sign-in by device code that has begun. Dropping it gives it up.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceSignIn {
    /// What the user enters.
    pub user_code: String,
    /// Where.
    pub verification_uri: Url,
    /// The same for the user to read, in one sentence.
    pub message: String,
    /// When the code ends.
    pub expires_at: Timestamp,
    #[serde(skip)]
    details: Details,
    #[serde(skip)]
    account: Arc<Account>,
    #[serde(skip)]
    scopes: Vec<String>,
}

impl fmt::Debug for DeviceSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceSignIn")
            .field("verification_uri", &self.verification_uri)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// Asks for a code. `scopes` are what the workflows need.
    pub(crate) async fn begin_device(
        self: &Arc<Self>,
        scopes: &[String],
    ) -> Result<DeviceSignIn, AuthError> {
        let (subject, provider) = (&self.subject, &self.application.provider);
        let scopes = provider.with_always(scopes);
        let client = self.application.client();
        let request = client.exchange_device_code().map_err(|_| {
            subject.misconfigured("the provider has no `device-url`; sign in with a browser")
        })?;
        let now = self.application.now();
        let details: Details = request
            .add_scopes(scopes.iter().cloned().map(Scope::new))
            .request_async(&self.application.service(None))
            .await
            .map_err(|error| match error {
                RequestTokenError::ServerResponse(refusal) => subject.refused(&refusal),
                RequestTokenError::Request(problem) => subject.no_answer(&problem),
                RequestTokenError::Parse(..) | RequestTokenError::Other(_) => subject.nonsense(),
            })?;
        let verification_uri = Url::parse(details.verification_uri().as_str())
            .ok()
            .filter(is_safe)
            .ok_or_else(|| {
                subject.misconfigured("the sign-in service names a page that is not https")
            })?;
        let user_code: String = plain(details.user_code().secret());
        let life = SignedDuration::try_from(details.expires_in()).unwrap_or_default();
        let said = details.extra_fields().message.as_deref().map(plain);
        let message = said.filter(|text| !text.is_empty()).unwrap_or_else(|| {
            format!("Open {verification_uri} in a browser and enter the code {user_code}.")
        });
        Ok(DeviceSignIn {
            user_code,
            verification_uri,
            message,
            expires_at: now.checked_add(life).unwrap_or(now),
            details,
            account: Arc::clone(self),
            scopes,
        })
    }
}

impl DeviceSignIn {
    /// The account that is to sign in.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account.subject.account
    }

    /// Waits until the user has entered the code, as often as the service wants to be asked.
    pub(crate) async fn wait(self) -> Result<SignedIn, AuthError> {
        let application = &self.account.application;
        let grant = Grant::Device(&self.details);
        let answer = application.ask(&self.account.subject, &grant, None).await?;
        // The sign-in begins with its answer; the user may have taken minutes.
        let now = application.now();
        self.account.accept(&answer, &self.scopes, None, now).await
    }
}

/// A page that a user may be sent to: https, or on this machine.
fn is_safe(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || is_loopback && url.scheme() == "http"
}

/// A provider's text as a terminal may show it.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(400).collect()
}
