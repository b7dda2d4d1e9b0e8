//! Client secrets and certificates of connections: stored, added ahead of time, and rotated.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::connection::Connection;
use crate::oauth::{Account, AuthError, AuthErrorClass, Credential, Others};
use crate::registry::{ConnectionError, Connections};

impl Connections {
    /// Stores a connection's client secret in the place of what was there. `expires` is what Entra
    /// shows beside it. Blocks on the disk.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn set_client_secret(
        &self,
        connection: &str,
        secret: &SecretString,
        expires: Option<Timestamp>,
    ) -> Result<(), ConnectionError> {
        self.set_credential(connection, Credential::secret(secret, expires)?)
    }

    /// Stores a connection's client secret or certificate in the place of what was there, untried.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn set_credential(
        &self,
        connection: &str,
        credential: Credential,
    ) -> Result<(), ConnectionError> {
        self.put_credential(connection, credential, Others::Drop)
    }

    /// Stores a client secret or certificate beside the one in use, for when the service does not
    /// accept that one any more. Blocks on the disk.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn add_credential(
        &self,
        connection: &str,
        credential: Credential,
    ) -> Result<(), ConnectionError> {
        self.put_credential(connection, credential, Others::Before)
    }

    /// The same as [`Connections::rotate_credential`], with a client secret.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn rotate_secret(
        &self,
        connection: &str,
        secret: &SecretString,
        expires: Option<Timestamp>,
    ) -> Result<(), ConnectionError> {
        self.rotate_credential(connection, Credential::secret(secret, expires)?)
            .await
    }

    /// Tries a client secret or certificate at the sign-in service, and takes it into use if it is
    /// accepted. The one before stays behind it: it takes the service a while to know a new one
    /// everywhere.
    ///
    /// It is tried as it will be used: by a refresh of a stored sign-in, or, for app-only connections
    /// and where no sign-in is of use, by client credentials.
    ///
    /// # Errors
    /// [`ConnectionError::Auth`] where it was refused or the service was not reached. Nothing has
    /// changed then.
    pub async fn rotate_credential(
        &self,
        connection: &str,
        credential: Credential,
    ) -> Result<(), ConnectionError> {
        let held = Arc::clone(self.get(connection)?);
        let account = self.signed_in_account(&held).await;
        let tried = match &account {
            Some(account) => account.try_credential(&credential).await,
            None => Err(held.application.subject.sign_in_required("nobody")),
        };
        match tried {
            Ok(()) => {}
            Err(error) if is_of_the_account(error.class) => {
                try_alone(&held, &credential).await?;
            }
            Err(error) => return Err(error.into()),
        }
        let stored = {
            let held = Arc::clone(&held);
            tokio::task::spawn_blocking(move || held.application.store(credential, Others::Behind))
        };
        match stored.await {
            Ok(stored) => stored?,
            Err(_) => {
                let problem = "the host is shutting down, and the credential is not stored";
                let error =
                    held.application
                        .subject
                        .other(AuthErrorClass::Host, problem, "run it again");
                return Err(error.into());
            }
        }
        self.credential_came(&held);
        Ok(())
    }

    fn put_credential(
        &self,
        connection: &str,
        credential: Credential,
        others: Others,
    ) -> Result<(), ConnectionError> {
        let held = self.get(connection)?;
        held.application.store(credential, others)?;
        self.credential_came(held);
        Ok(())
    }

    fn credential_came(&self, held: &Connection) {
        for account in held.accounts() {
            account.forget_refusal();
        }
        self.tell(&held.name, None);
    }

    /// An account whose token can be asked for: the application, or somebody who has signed in.
    async fn signed_in_account(&self, held: &Arc<Connection>) -> Option<Arc<Account>> {
        if held.has_one_account() {
            return held.account(None).ok();
        }
        let (vault, name) = (self.vault.clone(), held.name.clone());
        let users = tokio::task::spawn_blocking(move || crate::status::users(&vault, &name));
        let users = users.await.ok()?.ok()?;
        held.account(users.first().map(String::as_str)).ok()
    }
}

/// Whether a refusal is of the account by which a credential was tried, and says nothing of the
/// credential: one of many users may have left.
const fn is_of_the_account(class: AuthErrorClass) -> bool {
    matches!(
        class,
        AuthErrorClass::SignInRequired | AuthErrorClass::ConsentRequired | AuthErrorClass::Blocked
    )
}

/// Tries a credential by itself. A token without any permission proves it as well as another.
async fn try_alone(held: &Connection, credential: &Credential) -> Result<(), AuthError> {
    let application = Arc::new(Account::of_application(&held.application));
    application.try_credential(credential).await
}
