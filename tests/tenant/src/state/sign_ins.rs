//! Rights, sign-ins, app registrations: what an administrator would change.

use jiff::Timestamp;
use serde::Serialize;

use crate::config::{AppConfig, RedirectKind, RightKind};
use crate::error::TenantError;
use crate::identity::directory::{AccessToken, RefreshToken, Secret, new_secret};
use crate::state::TenantState;
use crate::store::UserState;

/// A secret as it was handed out: the only time its value is shown.
#[derive(Clone, Serialize)]
pub struct NewSecret {
    /// The key id.
    pub id: String,
    /// The value.
    pub value: String,
    /// When it ends.
    pub expires: Timestamp,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSecret")
            .field("id", &self.id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl TenantState {
    /// Gives (or takes) a right on a mailbox.
    ///
    /// # Errors
    /// When the user or mailbox is missing.
    pub fn set_right(
        &self,
        user: &str,
        kind: RightKind,
        mailbox: &str,
        given: bool,
    ) -> Result<(), TenantError> {
        self.world().set_right(user, mailbox, kind, given)
    }

    /// Changes what is the matter with a user's sign-in.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn set_user_state(
        &self,
        user: &str,
        change: impl FnOnce(&mut UserState),
    ) -> Result<(), TenantError> {
        let mut world = self.world();
        let number = world.expect_account(user)?;
        change(&mut world.accounts[number].state);
        Ok(())
    }

    /// Revokes every sign-in of a user, as an administrator does: all refresh tokens die.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn revoke_sign_ins(&self, user: &str) -> Result<(), TenantError> {
        let mut world = self.world();
        let number = world.expect_account(user)?;
        world.accounts[number].revoked_before = world.directory.new_stamp();
        Ok(())
    }

    /// The user changes the password: public clients' refresh tokens die, confidential clients' live.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn change_password(&self, user: &str) -> Result<(), TenantError> {
        let mut world = self.world();
        let number = world.expect_account(user)?;
        world.accounts[number].password_changed_before = world.directory.new_stamp();
        Ok(())
    }

    /// Registers an app (or replaces its registration).
    pub fn add_app(&self, app: AppConfig) {
        let now = self.now();
        self.world().directory.add_app(app, now);
    }

    /// Changes an app's registration.
    ///
    /// # Errors
    /// When there is no such app.
    pub fn set_app(
        &self,
        client_id: &str,
        change: impl FnOnce(&mut AppConfig),
    ) -> Result<(), TenantError> {
        let mut world = self.world();
        let app = world
            .directory
            .app_mut(client_id)
            .ok_or_else(|| TenantError::unknown("app", client_id))?;
        change(&mut app.config);
        Ok(())
    }

    /// The app's newest client secret.
    pub fn client_secret(&self, client_id: &str) -> Option<String> {
        self.world()
            .directory
            .app(client_id)?
            .secrets
            .last()
            .map(|secret| secret.value.clone())
    }

    /// Adds a client secret beside the others.
    ///
    /// # Errors
    /// When there is no such app.
    pub fn add_secret(
        &self,
        client_id: &str,
        expires: Timestamp,
    ) -> Result<NewSecret, TenantError> {
        let mut world = self.world();
        let app = world
            .directory
            .app_mut(client_id)
            .ok_or_else(|| TenantError::unknown("app", client_id))?;
        let secret = Secret {
            id: crate::guid::guid(),
            value: new_secret(),
            expires,
        };
        app.secrets.push(secret.clone());
        Ok(NewSecret {
            id: secret.id,
            value: secret.value,
            expires,
        })
    }

    /// Ends a client secret now; all of the app's when `id` is `None`.
    ///
    /// # Errors
    /// When there is no such app.
    pub fn expire_secret(&self, client_id: &str, id: Option<&str>) -> Result<(), TenantError> {
        let now = self.now();
        let mut world = self.world();
        let app = world
            .directory
            .app_mut(client_id)
            .ok_or_else(|| TenantError::unknown("app", client_id))?;
        for secret in app
            .secrets
            .iter_mut()
            .filter(|secret| id.is_none_or(|id| secret.id == id))
        {
            secret.expires = now;
        }
        Ok(())
    }

    /// Hands out an access token without a sign-in: delegated for `user`, else app-only with `scopes` as roles.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn access_token(
        &self,
        client_id: &str,
        user: Option<&str>,
        scopes: &[&str],
    ) -> Result<String, TenantError> {
        let now = self.now();
        let mut world = self.world();
        let account = user.map(|user| world.expect_account(user)).transpose()?;
        let expires = now.checked_add(world.timings.access_token).unwrap_or(now);
        let token = AccessToken {
            client_id: client_id.into(),
            account,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            expires,
        };
        Ok(world.directory.issue_access(token, now))
    }

    /// Hands out a refresh token of a confidential client without a sign-in.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn refresh_token(
        &self,
        client_id: &str,
        user: &str,
        scopes: &[&str],
    ) -> Result<String, TenantError> {
        let now = self.now();
        let mut world = self.world();
        let account = world.expect_account(user)?;
        let expires = now.checked_add(world.timings.refresh_token).unwrap_or(now);
        let stamp = world.directory.new_stamp();
        Ok(world.directory.issue_refresh(RefreshToken {
            client_id: client_id.to_ascii_lowercase().into(),
            account,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            kind: RedirectKind::Web,
            expires,
            stamp,
        }))
    }
}
