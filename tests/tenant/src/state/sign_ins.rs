//! Rights, sign-ins, app registrations: what an administrator would change.

use jiff::Timestamp;
use serde::Serialize;

use crate::config::{AppConfig, RedirectKind, RightKind};
use crate::error::TenantError;
use crate::identity::directory::{AccessToken, RefreshToken, Secret, new_secret};
use crate::state::TenantState;
use crate::store::UserState;

/// The most sign-ins that are kept.
const KEPT: usize = 1000;

/// One answer of the token endpoint, as a sign-in log shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignInRecord {
    /// When.
    pub at: Timestamp,
    /// The app's client id, as it was sent.
    pub client_id: String,
    /// The app's display name; empty when the app is unknown.
    pub app: String,
    /// The grant, e.g. `authorization_code` or `client_credentials`.
    pub grant: String,
    /// Who signed in; `None` for app-only tokens, and where a refusal leaves it unknown.
    pub user: Option<String>,
    /// How the client showed who it is: `secret`, `certificate` or `none`.
    pub credential: String,
    /// The AADSTS number of a refusal; `None` when a token was issued.
    pub refusal: Option<u32>,
}

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
        let stamp = world.directory.new_stamp();
        let account = &mut world.accounts[number];
        let demanded = account.state.mfa_demanded;
        change(&mut account.state);
        match (demanded, account.state.mfa_demanded) {
            (false, true) => account.fresh_needed_before = stamp,
            (true, false) => account.fresh_needed_before = 0,
            _ => {}
        }
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

    /// An administrator resets the password: every client's refresh tokens die (refresh-tokens.md).
    ///
    /// # Errors
    /// When there is no such user.
    pub fn reset_password(&self, user: &str) -> Result<(), TenantError> {
        self.revoke_sign_ins(user)
    }

    /// The newest answers of the token endpoint, oldest first.
    pub fn sign_ins(&self) -> Vec<SignInRecord> {
        self.world().sign_ins.iter().cloned().collect()
    }

    pub(crate) fn record_sign_in(&self, record: SignInRecord) {
        let mut world = self.world();
        world.sign_ins.push_back(record);
        if world.sign_ins.len() > KEPT {
            world.sign_ins.pop_front();
        }
    }

    /// Takes back what users consented to: of one user, or of all when `user` is `None`; the
    /// administrator's consent for everybody goes with the latter.
    ///
    /// # Errors
    /// When there is no such app or user.
    pub fn revoke_consent(&self, client_id: &str, user: Option<&str>) -> Result<(), TenantError> {
        let mut world = self.world();
        let account = user.map(|user| world.expect_account(user)).transpose()?;
        let app = world
            .directory
            .app_mut(client_id)
            .ok_or_else(|| TenantError::unknown("app", client_id))?;
        match account {
            Some(account) => {
                app.consents.remove(&account);
            }
            None => {
                app.consents.clear();
                app.config.admin_consented = false;
            }
        }
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
            stamp: 0,
            answers_claims: false,
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
            signed_in: now,
            stamp,
        }))
    }
}
