//! Mail: what tests put into mailboxes, and what they find there.

use std::sync::Arc;

use crate::config::{Policies, SeedMail, Timings, UserConfig};
use crate::error::TenantError;
use crate::state::TenantState;
use crate::store::ids::IdForm;
use crate::store::message::Message;
use crate::store::{OutsideMail, World, make_path};

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

impl TenantState {
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
        self.unsettled().deliver_all(now);
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

    /// How disputed behaviour is switched.
    pub fn policies(&self) -> Policies {
        self.world().policies.clone()
    }

    /// Changes disputed behaviour while the tenant runs.
    pub fn set_policies(&self, change: impl FnOnce(&mut Policies)) {
        change(&mut self.world().policies);
    }

    /// Changes how long things take while the tenant runs.
    pub fn set_timings(&self, change: impl FnOnce(&mut Timings)) {
        change(&mut self.world().timings);
    }
}
