//! What an administrator does with connections and the vault. Commands do it here where they own the
//! data folder, and the serving process does it for them where that one does.

mod desk;
mod probe;
pub(crate) mod vault;

use std::sync::Arc;

use docket_connections::{
    Callback, ConnectionError, Credential, CredentialStatus, DeviceSignIn, FinishError, SignIn,
    SignedIn, WebhookError,
};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) use self::desk::Desk;
pub(crate) use self::probe::probe;
use crate::answers;
use crate::exit::{Exit, Failed};
use crate::host::Host;

/// A client secret or a certificate, and what becomes of the one in use. It has no `Debug`: it holds
/// the secret.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct NewCredential {
    /// The client secret's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
    /// A certificate and its private key, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
    /// When a client secret ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Timestamp>,
    /// What becomes of the one in use.
    pub(crate) how: How,
}

/// How a credential is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum How {
    /// In the place of the one in use, untried.
    Replace,
    /// Behind the one in use, untried.
    Beside,
    /// In the place of the one in use, once the sign-in service has accepted it.
    Rotate,
}

/// An error of the connections, with the exit code that tells what kind of help it needs.
pub(crate) fn refused(error: ConnectionError) -> Failed {
    let exit = match &error {
        ConnectionError::Unknown(_)
        | ConnectionError::Binding(_)
        | ConnectionError::Credential(_)
        | ConnectionError::NobodySignsIn(_)
        | ConnectionError::NoRedirect(_) => Exit::Invalid,
        ConnectionError::Vault(_) => Exit::Storage,
        ConnectionError::Auth(_) => Exit::SignInNeeded,
    };
    Failed::new(exit, error.to_string())
}

/// An error of a sign-in's end.
pub(crate) fn not_finished(error: FinishError) -> Failed {
    match error {
        FinishError::Auth(error) => refused(ConnectionError::Auth(error)),
        FinishError::Unknown => Failed::new(Exit::SignInNeeded, error.to_string()),
    }
}

/// Steps aside for what blocks on the disk.
pub(crate) async fn aside<T: Send + 'static>(
    host: &Arc<Host>,
    work: impl FnOnce(&Host) -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    let host = Arc::clone(host);
    match tokio::task::spawn_blocking(move || work(&host)).await {
        Ok(done) => done,
        Err(_) => Err(Failed::new(Exit::Fault, "the host is shutting down")),
    }
}

/// How the connections are, what of them ends within 30 days, and who must sign in.
pub(crate) async fn list(host: &Arc<Host>) -> Result<Value, Failed> {
    let unreadable =
        |error: docket_connections::VaultError| Failed::new(Exit::Storage, error.to_string());
    let mut found = aside(host, move |host| {
        answers::connections(&host.connections, host.now()).map_err(unreadable)
    })
    .await?;
    let needed = docket_sign_ins::list(host.store.as_ref()).await;
    let needed = needed.map_err(|error| crate::host::store_failed(&error))?;
    if let Some(fields) = found.as_object_mut() {
        fields.insert("sign-ins-needed".to_owned(), json!(needed));
    }
    Ok(found)
}

/// The app registration that a connection needs.
pub(crate) async fn registration(host: &Arc<Host>, name: String) -> Result<Value, Failed> {
    aside(host, move |host| {
        let scopes = host.scopes(&name);
        let app = host.connections.registration(&name, &scopes);
        Ok(json!(app.map_err(refused)?))
    })
    .await
}

/// The script that gives the rights of one connection, or of all: by name, and empty where there is
/// nothing to give.
pub(crate) async fn rights(
    host: &Arc<Host>,
    name: Option<String>,
) -> Result<Vec<(String, String)>, Failed> {
    aside(host, move |host| {
        let names = match name {
            Some(name) => vec![name],
            None => host
                .connections
                .names()
                .into_iter()
                .map(str::to_owned)
                .collect(),
        };
        let script = |name: String| {
            let script = host.connections.rights_script(&name, &host.scopes(&name));
            let script = script.map_err(|error| refused(error.into()))?;
            Ok((name, script))
        };
        names.into_iter().map(script).collect()
    })
    .await
}

/// Takes a client secret or a certificate.
pub(crate) async fn take_credential(
    host: &Arc<Host>,
    name: String,
    new: NewCredential,
) -> Result<CredentialStatus, Failed> {
    let NewCredential {
        secret,
        certificate,
        expires,
        how,
    } = new;
    let credential = match (secret, certificate) {
        (Some(secret), None) => Credential::secret(&SecretString::from(secret), expires),
        (None, Some(pem)) => Credential::certificate(&SecretString::from(pem)),
        _ => {
            let what = "a credential is a client secret or a certificate";
            return Err(Failed::new(Exit::Invalid, what));
        }
    };
    let credential = credential.map_err(|error| Failed::new(Exit::Invalid, error.to_string()))?;
    let about = credential.status();
    if how == How::Rotate {
        let rotated = host.connections.rotate_credential(&name, credential).await;
        rotated.map_err(|error| {
            refused(error).with_help("nothing has changed: the credential in use stays in use")
        })?;
        return Ok(about);
    }
    aside(host, move |host| {
        let stored = match how {
            How::Beside => host.connections.add_credential(&name, credential),
            How::Replace | How::Rotate => host.connections.set_credential(&name, credential),
        };
        stored.map_err(refused)
    })
    .await?;
    Ok(about)
}

/// Begins a sign-in that comes back to `redirect`.
pub(crate) async fn begin_sign_in(
    host: &Arc<Host>,
    name: String,
    user: Option<String>,
    redirect: Option<String>,
) -> Result<SignIn, ConnectionError> {
    let host = Arc::clone(host);
    // It may read the workflows, for the scopes that they need.
    let begun = tokio::task::spawn_blocking(move || {
        let scopes = host.scopes(&name);
        let (user, redirect) = (user.as_deref(), redirect.as_deref());
        host.connections
            .begin_sign_in(&name, user, redirect, &scopes)
    });
    match begun.await {
        Ok(begun) => begun,
        Err(_) => {
            Err(docket_connections::VaultError::Io("the host is shutting down".to_owned()).into())
        }
    }
}

/// Ends a sign-in with what came to its redirect.
pub(crate) async fn finish_sign_in(host: &Host, callback: Callback) -> Result<SignedIn, Failed> {
    let finished = host.connections.finish_sign_in(callback).await;
    finished.map_err(not_finished)
}

/// Begins a sign-in by device code.
pub(crate) async fn begin_device(
    host: &Arc<Host>,
    name: String,
    user: Option<String>,
) -> Result<DeviceSignIn, Failed> {
    let asked = name.clone();
    let scopes = aside(host, move |host| Ok(host.scopes(&asked))).await?;
    let connections = &host.connections;
    let begun = connections.begin_device_sign_in(&name, user.as_deref(), &scopes);
    begun.await.map_err(refused)
}

/// Waits for its end. Dropping the future gives it up.
pub(crate) async fn finish_device(host: &Host, begun: DeviceSignIn) -> Result<SignedIn, Failed> {
    let finished = host.connections.finish_device_sign_in(begun).await;
    finished.map_err(|error| refused(ConnectionError::Auth(error)))
}

/// Refreshes the sign-ins that nobody used for a day.
pub(crate) async fn keep_alive(host: &Host) -> Result<Value, Failed> {
    let kept = host.connections.keep_alive(host.now()).await;
    let kept = kept.map_err(|error| Failed::new(Exit::Storage, error.to_string()))?;
    let failed = kept.iter().filter(|one| one.error.is_some()).count();
    Ok(json!({"refreshed": kept.len() - failed, "failed": failed, "accounts": kept}))
}

/// Takes a secret for the project's webhook; without one makes one, and gives it.
pub(crate) async fn take_webhook_secret(
    host: &Arc<Host>,
    given: Option<SecretString>,
) -> Result<Option<SecretString>, Failed> {
    aside(host, move |host| {
        let connections = &host.connections;
        let taken = match given {
            Some(secret) => connections.add_webhook_secret(&secret).map(|()| None),
            None => connections.new_webhook_secret().map(Some),
        };
        taken.map_err(|error| {
            let exit = match &error {
                WebhookError::Vault(_) => Exit::Storage,
                _ => Exit::Invalid,
            };
            Failed::new(exit, error.to_string())
        })
    })
    .await
}
