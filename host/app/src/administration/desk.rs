//! Who does what an administrator asks for: this process, or the one that serves the data folder.

use std::sync::Arc;

use anyhow::Result;
use docket_connections::probe::ProbeReport;
use docket_connections::{Callback, CredentialStatus, DeviceSignIn, SignIn, SignedIn};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{NewCredential, refused};
use crate::cli::Global;
use crate::host::Host;
use crate::project::Project;
use crate::server::client::{Serving, segment};

/// Whoever owns the data folder.
pub(crate) enum Desk {
    /// This process.
    Here(Arc<Host>),
    /// The process that serves it.
    There(Serving),
}

/// A sign-in by device code that has begun.
pub(crate) enum Device {
    Here(Box<DeviceSignIn>),
    There(Value),
}

impl Device {
    /// What is shown of it.
    pub(crate) fn shown(&self) -> Value {
        match self {
            Self::Here(begun) => {
                let mut shown = json!(begun);
                shown["account"] = begun.account().into();
                shown
            }
            Self::There(shown) => shown.clone(),
        }
    }
}

impl Desk {
    /// Finds the serving process, or opens the data folder.
    pub(crate) async fn open(global: &Global) -> Result<Self> {
        let project = Project::load(global)?;
        Ok(match Serving::find(&project.data).await {
            Some(serving) => Self::There(serving),
            None => Self::Here(Arc::new(Host::open(project, global).await?)),
        })
    }

    /// How the connections are, what of them ends within 30 days, and who must sign in.
    pub(crate) async fn list(&self) -> Result<Value> {
        match self {
            Self::Here(host) => Ok(super::list(host).await?),
            Self::There(serving) => serving.get("/api/connections").await,
        }
    }

    /// The app registration that a connection needs.
    pub(crate) async fn registration(&self, name: &str) -> Result<Value> {
        match self {
            Self::Here(host) => Ok(super::registration(host, name.to_owned()).await?),
            Self::There(serving) => serving.get(&at(name, "registration")).await,
        }
    }

    /// The scripts that give the rights, by connection.
    pub(crate) async fn rights(&self, name: Option<&str>) -> Result<Vec<(String, String)>> {
        match self {
            Self::Here(host) => Ok(super::rights(host, name.map(str::to_owned)).await?),
            Self::There(serving) => {
                let query = name.map_or(String::new(), |name| {
                    let mut query = url::form_urlencoded::Serializer::new(String::new());
                    format!("?{}", query.append_pair("name", name).finish())
                });
                let found = serving.get(&format!("/api/rights{query}")).await?;
                Ok(serde_json::from_value(found["scripts"].clone())?)
            }
        }
    }

    /// Takes a client secret or a certificate.
    pub(crate) async fn take_credential(
        &self,
        name: &str,
        new: NewCredential,
    ) -> Result<CredentialStatus> {
        match self {
            Self::Here(host) => Ok(super::take_credential(host, name.to_owned(), new).await?),
            Self::There(serving) => {
                let answer = serving.post(&at(name, "credential"), &json!(new)).await?;
                Ok(serde_json::from_value(answer["credential"].clone())?)
            }
        }
    }

    /// Takes a secret for the webhook; without one makes one, and gives it.
    pub(crate) async fn take_webhook_secret(
        &self,
        given: Option<SecretString>,
    ) -> Result<Option<SecretString>> {
        match self {
            Self::Here(host) => Ok(super::take_webhook_secret(host, given).await?),
            Self::There(serving) => {
                let given = given.as_ref().map(|secret| secret.expose_secret());
                let answer = serving
                    .post("/api/webhook-secret", &json!({"secret": given}))
                    .await?;
                Ok(answer["secret"].as_str().map(SecretString::from))
            }
        }
    }

    /// Begins a sign-in that comes back to `redirect`.
    pub(crate) async fn begin_sign_in(
        &self,
        name: &str,
        user: Option<&str>,
        redirect: &str,
    ) -> Result<SignIn> {
        match self {
            Self::Here(host) => {
                let user = user.map(str::to_owned);
                let redirect = Some(redirect.to_owned());
                let begun = super::begin_sign_in(host, name.to_owned(), user, redirect);
                Ok(begun.await.map_err(refused)?)
            }
            Self::There(serving) => {
                let order = json!({"user": user, "redirect-uri": redirect});
                let begun = serving.post(&at(name, "sign-in"), &order).await?;
                Ok(serde_json::from_value(begun)?)
            }
        }
    }

    /// Ends a sign-in with what came to its redirect.
    pub(crate) async fn finish_sign_in(&self, callback: Callback) -> Result<SignedIn> {
        match self {
            Self::Here(host) => Ok(super::finish_sign_in(host, callback).await?),
            Self::There(serving) => {
                let query = callback.to_query();
                let order = json!({"query": query.expose_secret()});
                let done = serving.post("/api/sign-ins", &order).await?;
                Ok(serde_json::from_value(done)?)
            }
        }
    }

    /// Begins a sign-in by device code.
    pub(crate) async fn begin_device(&self, name: &str, user: Option<&str>) -> Result<Device> {
        match self {
            Self::Here(host) => {
                let begun = super::begin_device(host, name.to_owned(), user.map(str::to_owned));
                Ok(Device::Here(Box::new(begun.await?)))
            }
            Self::There(serving) => {
                let order = json!({"user": user});
                let begun = serving.post(&at(name, "device-sign-in"), &order).await?;
                Ok(Device::There(begun))
            }
        }
    }

    /// Waits for its end. Dropping the future gives it up.
    pub(crate) async fn finish_device(&self, device: Device) -> Result<SignedIn> {
        match (self, device) {
            (Self::Here(host), Device::Here(begun)) => {
                Ok(super::finish_device(host, *begun).await?)
            }
            (Self::There(serving), Device::There(begun)) => {
                let id = begun["id"].as_str().unwrap_or_default();
                let path = format!("/api/device-sign-ins/{}", segment(id));
                let done = serving.post(&path, &json!({})).await?;
                Ok(serde_json::from_value(done)?)
            }
            _ => Err(anyhow::anyhow!("the sign-in was begun by somebody else")),
        }
    }

    /// Refreshes the sign-ins that nobody used for a day.
    pub(crate) async fn keep_alive(&self) -> Result<Value> {
        match self {
            Self::Here(host) => Ok(super::keep_alive(host).await?),
            Self::There(serving) => serving.post("/api/keep-alive", &json!({})).await,
        }
    }

    /// Tries a connection.
    pub(crate) async fn probe(
        &self,
        name: &str,
        user: Option<&str>,
        send: bool,
    ) -> Result<ProbeReport> {
        match self {
            Self::Here(host) => Ok(super::probe(host, name, user.map(str::to_owned), send).await?),
            Self::There(serving) => {
                let order = json!({"user": user, "send": send});
                let report = serving.post(&at(name, "test"), &order).await?;
                Ok(serde_json::from_value(report)?)
            }
        }
    }
}

/// The address of something of a connection.
fn at(name: &str, what: &str) -> String {
    format!("/api/connections/{}/{what}", segment(name))
}
