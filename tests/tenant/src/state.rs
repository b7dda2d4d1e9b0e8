//! The running tenant's memory, as tests and the control API use it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::clock::Clock;
use crate::config::{AppConfig, RightKind, SeedMail, TenantConfig, UserConfig};
use crate::error::{GraphError, TenantError};
use crate::faults::{Fault, FaultAction, Faults};
use crate::identity::directory::{AccessToken, RefreshToken, Secret, new_secret};
use crate::recorder::{Recorded, Recorder};
use crate::store::ids::IdForm;
use crate::store::message::Message;
use crate::store::{OutsideMail, UserState, World, make_path};
use crate::throttle::{Throttle, ThrottleConfig};
use crate::wire::{Call, Reply};

/// A message where it lies.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// The mailbox's address.
    pub mailbox: String,
    /// The folder's path of display names, e.g. `Sent Items`.
    pub folder: String,
    /// Its default id.
    pub id: String,
    /// Its immutable id.
    pub immutable_id: String,
    /// The message.
    pub message: Arc<Message>,
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

/// What the throttle engine has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ThrottleCounts {
    /// The most requests at the same time on one mailbox, refused ones included.
    pub highest_in_flight: u32,
    /// Refused requests.
    pub refused: u64,
}

struct Inner {
    clock: Arc<dyn Clock>,
    world: Mutex<World>,
    faults: Mutex<Faults>,
    recorder: Mutex<Recorder>,
    throttle: Mutex<(ThrottleConfig, Throttle)>,
}

/// The tenant's memory; clones share it.
#[derive(Clone)]
pub struct TenantState(Arc<Inner>);

impl std::fmt::Debug for TenantState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantState").finish_non_exhaustive()
    }
}

/// A place in the throttle engine; dropping it counts the request out.
pub(crate) struct Permit {
    state: TenantState,
    key: (String, String),
}

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.state.0.throttle)
            .1
            .leave(&self.key.0, &self.key.1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TenantState {
    pub(crate) fn new(config: &TenantConfig, clock: Arc<dyn Clock>) -> Result<Self, TenantError> {
        let world = World::new(config, clock.now())?;
        let mut faults = Faults::default();
        for fault in &config.faults {
            faults.arm(fault.clone());
        }
        Ok(Self(Arc::new(Inner {
            clock,
            world: Mutex::new(world),
            faults: Mutex::new(faults),
            recorder: Mutex::new(Recorder::new(config.recorded_requests)),
            throttle: Mutex::new((config.throttle.clone(), Throttle::default())),
        })))
    }

    /// Everything, locked; mail that is due has been delivered.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = lock(&self.0.world);
        if !world.pending.is_empty() {
            world.settle(self.now());
        }
        world
    }

    /// The tenant's time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The tenant's GUID.
    pub fn tenant_id(&self) -> String {
        self.world().tenant_id.clone()
    }

    /// The tenant's mail domain.
    pub fn domain(&self) -> String {
        self.world().domain.clone()
    }

    // Mail

    /// Adds a user or shared mailbox.
    pub fn add_user(&self, user: UserConfig) {
        self.world().add_user(user);
    }

    /// Every mailbox's address.
    pub fn mailboxes(&self) -> Vec<String> {
        let world = self.world();
        world
            .accounts
            .iter()
            .filter(|one| one.mailbox.is_some())
            .map(|one| one.user.upn.clone())
            .collect()
    }

    /// The display paths of a mailbox's folders.
    ///
    /// # Errors
    /// When there is no such mailbox.
    pub fn folders(&self, mailbox: &str) -> Result<Vec<String>, TenantError> {
        let world = self.world();
        let (_, mailbox) = world.mailbox_named(mailbox)?;
        Ok(mailbox
            .folders
            .keys()
            .map(|key| World::folder_path(mailbox, *key))
            .filter(|path| !path.is_empty())
            .collect())
    }

    /// Makes a folder path (`Inbox/2026`), if it is missing, and returns the folder's id.
    ///
    /// # Errors
    /// When there is no such mailbox.
    pub fn add_folder(&self, mailbox: &str, path: &str) -> Result<String, TenantError> {
        let mut world = self.world();
        let number = world.expect_account(mailbox)?;
        let found = world.accounts[number]
            .mailbox
            .as_mut()
            .ok_or_else(|| TenantError::unknown("mailbox", mailbox))?;
        let key = make_path(found, path);
        Ok(found.ids.folder(key))
    }

    /// Puts mail into a mailbox as if it had arrived; returns its default id.
    ///
    /// # Errors
    /// When the mailbox or folder is missing.
    pub fn add_message(&self, mail: &SeedMail) -> Result<String, TenantError> {
        let now = self.now();
        let mut world = self.world();
        let key = world.add_mail(mail, now)?;
        let (_, mailbox) = world.mailbox_named(&mail.mailbox)?;
        let message = mailbox
            .messages
            .get(&key)
            .ok_or_else(|| TenantError::unknown("message", &mail.subject))?;
        Ok(mailbox.message_id(message, IdForm::Default))
    }

    /// The messages of a folder (a well-known name or a display path), newest first; of the whole
    /// mailbox when `folder` is `None`.
    ///
    /// # Errors
    /// When the mailbox or folder is missing.
    pub fn messages(
        &self,
        mailbox: &str,
        folder: Option<&str>,
    ) -> Result<Vec<StoredMessage>, TenantError> {
        let world = self.world();
        let (number, found) = world.mailbox_named(mailbox)?;
        let order = match folder {
            None => &found.order,
            Some(name) => {
                let key = found.find_folder(name).or_else(|| found.find_path(name));
                let key = key.ok_or_else(|| TenantError::unknown("folder", name))?;
                &found.folders[&key].items
            }
        };
        let address = &world.accounts[number].user.upn;
        Ok(order
            .iter()
            .filter_map(|at| found.messages.get(&at.1.0))
            .map(|message| StoredMessage {
                mailbox: address.clone(),
                folder: World::folder_path(found, message.folder),
                id: found.message_id(message, IdForm::Default),
                immutable_id: found.message_id(message, IdForm::Immutable),
                message: Arc::clone(message),
            })
            .collect())
    }

    /// A message by either of its ids; `None` when it is not there (any more).
    pub fn find_message(&self, mailbox: &str, id: &str) -> Option<StoredMessage> {
        let world = self.world();
        let (number, found) = world.mailbox_named(mailbox).ok()?;
        let message = found.resolve(found.ids.parse_item(id)?)?;
        Some(StoredMessage {
            mailbox: world.accounts[number].user.upn.clone(),
            folder: World::folder_path(found, message.folder),
            id: found.message_id(message, IdForm::Default),
            immutable_id: found.message_id(message, IdForm::Immutable),
            message: Arc::clone(message),
        })
    }

    /// Everything that left the tenant, oldest first.
    pub fn outside(&self) -> Vec<OutsideMail> {
        self.world().outside.clone()
    }

    /// Delivers everything that is under way, due or not.
    pub fn deliver_now(&self) {
        let now = self.now();
        lock(&self.0.world).deliver_all(now);
    }

    /// How many messages are under way.
    pub fn under_way(&self) -> usize {
        self.world().pending.len()
    }

    /// Makes every delta token of a mailbox stale: the next delta request gets 410.
    ///
    /// # Errors
    /// When there is no such mailbox.
    pub fn lose_delta(&self, mailbox: &str) -> Result<(), TenantError> {
        let mut world = self.world();
        let number = world.expect_account(mailbox)?;
        let found = world.accounts[number]
            .mailbox
            .as_mut()
            .ok_or_else(|| TenantError::unknown("mailbox", mailbox))?;
        found.delta_epoch += 1;
        Ok(())
    }

    /// Changes disputed behaviour while the tenant runs.
    pub fn set_policies(&self, change: impl FnOnce(&mut crate::config::Policies)) {
        change(&mut self.world().policies);
    }

    /// Changes how long things take while the tenant runs.
    pub fn set_timings(&self, change: impl FnOnce(&mut crate::config::Timings)) {
        change(&mut self.world().timings);
    }

    // Rights and sign-ins

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
            kind: crate::config::RedirectKind::Web,
            expires,
            stamp,
        }))
    }

    // Faults, throttle, recorder

    /// Arms a fault; returns its id.
    pub fn add_fault(&self, fault: Fault) -> String {
        lock(&self.0.faults).arm(fault)
    }

    /// Disarms a fault; `false` when there is none with this id.
    pub fn remove_fault(&self, id: &str) -> bool {
        lock(&self.0.faults).disarm(id)
    }

    /// Disarms every fault.
    pub fn clear_faults(&self) {
        lock(&self.0.faults).clear();
    }

    /// The armed faults, with their hits.
    pub fn faults(&self) -> Vec<Fault> {
        lock(&self.0.faults).all()
    }

    pub(crate) fn strike(&self, method: &str, path: &str) -> Vec<FaultAction> {
        lock(&self.0.faults).strike(method, path)
    }

    /// Applies a fault that changes the tenant and lets the request go on.
    pub(crate) fn apply_fault(&self, action: &FaultAction) {
        let done = match action {
            FaultAction::SignInLapses { user } => self.revoke_sign_ins(user),
            FaultAction::ScopeRevoked { client_id, scope } => self.set_app(client_id, |app| {
                app.delegated
                    .retain(|other| !other.eq_ignore_ascii_case(scope));
                app.roles.retain(|other| !other.eq_ignore_ascii_case(scope));
            }),
            FaultAction::SecretsExpire { client_id } => self.expire_secret(client_id, None),
            FaultAction::DeltaLost => {
                for account in &mut self.world().accounts {
                    if let Some(mailbox) = &mut account.mailbox {
                        mailbox.delta_epoch += 1;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a fault could not be applied");
        }
    }

    /// Changes the throttle's limits while the tenant runs.
    pub fn set_throttle(&self, config: ThrottleConfig) {
        lock(&self.0.throttle).0 = config;
    }

    /// What the throttle engine has counted.
    pub fn throttle_counts(&self) -> ThrottleCounts {
        let guard = lock(&self.0.throttle);
        ThrottleCounts {
            highest_in_flight: guard.1.highest_in_flight,
            refused: guard.1.refused,
        }
    }

    pub(crate) fn enter_throttle(
        &self,
        key: (String, String),
        upload: u64,
        now: Timestamp,
    ) -> Result<Permit, GraphError> {
        let mut guard = lock(&self.0.throttle);
        let (config, throttle) = &mut *guard;
        throttle.enter(config, &key.0, &key.1, upload, now)?;
        Ok(Permit {
            state: self.clone(),
            key,
        })
    }

    pub(crate) fn record(&self, call: &Call, reply: Option<&Reply>) {
        lock(&self.0.recorder).record(call, reply);
    }

    /// The requests that were made, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.0.recorder).all()
    }

    /// Forgets the requests that were made.
    pub fn clear_requests(&self) {
        lock(&self.0.recorder).clear();
    }
}
