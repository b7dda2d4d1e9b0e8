//! Everything the tenant remembers: accounts with their mailboxes, mail under way, the outside world.

pub(crate) mod delivery;
pub(crate) mod html;
pub(crate) mod ids;
pub(crate) mod mailbox;
pub(crate) mod message;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use crate::clock::whole_seconds;
use crate::config::{Policies, RightKind, SeedMail, TenantConfig, Timings, UserConfig};
use crate::error::{GraphError, TenantError};
use crate::graph::upload::UploadSession;
use crate::identity::directory::Directory;
use crate::state::SignInRecord;
use crate::store::delivery::Submission;
use crate::store::mailbox::Mailbox;
use crate::store::message::{Message, Recipient};

/// What is the matter with a user's sign-in; changed through [`crate::TenantState::set_user_state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct UserState {
    /// The account is switched off (AADSTS50057).
    pub disabled: bool,
    /// Too many wrong passwords (AADSTS50053).
    pub locked: bool,
    /// The password ran out (AADSTS50055).
    pub password_expired: bool,
    /// Multi-factor authentication is demanded: what was signed in before must be signed in afresh
    /// (AADSTS50076), and Graph challenges the access tokens of clients that declared `cp1`. An
    /// interactive sign-in answers it.
    pub mfa_demanded: bool,
    /// A conditional access policy blocks the user (AADSTS53003).
    pub blocked_by_policy: bool,
    /// The user is not assigned to the app (AADSTS50105).
    pub unassigned: bool,
}

/// A user or shared mailbox.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) user: UserConfig,
    pub(crate) state: UserState,
    /// Sign-ins older than this stamp are revoked, for every client.
    pub(crate) revoked_before: u64,
    /// Sign-ins of public clients older than this stamp died with the password.
    pub(crate) password_changed_before: u64,
    /// Sign-ins older than this stamp must be made afresh, with multi-factor authentication.
    pub(crate) fresh_needed_before: u64,
    pub(crate) mailbox: Option<Mailbox>,
}

impl Account {
    /// The account as sender or recipient.
    pub(crate) fn as_recipient(&self) -> Recipient {
        Recipient::named(&self.user.display_name, &self.user.upn)
    }
}

/// A mail that left the tenant.
#[derive(Debug, Clone)]
pub struct OutsideMail {
    /// When it left.
    pub at: Timestamp,
    /// The addresses outside that got it.
    pub recipients: Vec<String>,
    /// The mail.
    pub message: Arc<Message>,
}

/// The tenant's whole memory; one lock guards it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) tenant_id: String,
    pub(crate) domain: String,
    pub(crate) display_name: String,
    pub(crate) timings: Timings,
    pub(crate) policies: Policies,
    pub(crate) accounts: Vec<Account>,
    pub(crate) rights: HashSet<(usize, usize, RightKind)>,
    pub(crate) directory: Directory,
    pub(crate) uploads: HashMap<String, UploadSession>,
    pub(crate) outside: Vec<OutsideMail>,
    /// The newest answers of the token endpoint.
    pub(crate) sign_ins: VecDeque<SignInRecord>,
    pub(crate) pending: BTreeMap<(Timestamp, u64), Submission>,
    by_name: HashMap<String, usize>,
    next_key: u64,
}

impl World {
    /// Builds the tenant that `config` describes.
    pub(crate) fn new(config: &TenantConfig, now: Timestamp) -> Result<Self, TenantError> {
        let mut world = Self {
            tenant_id: config.tenant_id.clone(),
            domain: config.domain.to_ascii_lowercase(),
            display_name: config.display_name.clone(),
            timings: config.timings.clone(),
            policies: config.policies.clone(),
            accounts: Vec::new(),
            rights: HashSet::new(),
            directory: Directory::new(&config.apps, now),
            uploads: HashMap::new(),
            outside: Vec::new(),
            sign_ins: VecDeque::new(),
            pending: BTreeMap::new(),
            by_name: HashMap::new(),
            next_key: 1,
        };
        for user in &config.users {
            world.add_user(user.clone());
        }
        for right in &config.rights {
            world.set_right(&right.user, &right.mailbox, right.kind, true)?;
        }
        for mail in &config.mail {
            world.add_mail(mail, now)?;
        }
        Ok(world)
    }

    /// Adds an account; the same UPN again replaces the user and keeps the mailbox.
    pub(crate) fn add_user(&mut self, user: UserConfig) -> usize {
        let upn = user.upn.to_ascii_lowercase();
        if let Some(&number) = self.by_name.get(&upn) {
            self.by_name.insert(user.id.to_ascii_lowercase(), number);
            self.accounts[number].user = user;
            return number;
        }
        let number = self.accounts.len();
        let mailbox = user.has_mailbox.then(|| {
            let mut mailbox = Mailbox::new(&user.id, &user.localised);
            for path in &user.folders {
                make_path(&mut mailbox, path);
            }
            mailbox
        });
        self.by_name.insert(upn, number);
        self.by_name.insert(user.id.to_ascii_lowercase(), number);
        self.accounts.push(Account {
            user,
            state: UserState::default(),
            revoked_before: 0,
            password_changed_before: 0,
            fresh_needed_before: 0,
            mailbox,
        });
        number
    }

    /// An account by UPN, address or object id.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name
            .get(name)
            .or_else(|| self.by_name.get(&name.to_ascii_lowercase()))
            .copied()
    }

    pub(crate) fn expect_account(&self, name: &str) -> Result<usize, TenantError> {
        self.find(name)
            .ok_or_else(|| TenantError::unknown("user", name))
    }

    /// The mailbox of an account by name.
    pub(crate) fn mailbox_named(&self, name: &str) -> Result<(usize, &Mailbox), TenantError> {
        let number = self.expect_account(name)?;
        let mailbox = self.accounts[number].mailbox.as_ref();
        mailbox
            .map(|mailbox| (number, mailbox))
            .ok_or_else(|| TenantError::unknown("mailbox", name))
    }

    pub(crate) fn set_right(
        &mut self,
        user: &str,
        mailbox: &str,
        kind: RightKind,
        given: bool,
    ) -> Result<(), TenantError> {
        let right = (
            self.expect_account(user)?,
            self.expect_account(mailbox)?,
            kind,
        );
        if given {
            self.rights.insert(right);
        } else {
            self.rights.remove(&right);
        }
        Ok(())
    }

    /// Whether `user` has `kind` on `mailbox`; everybody has everything on their own.
    pub(crate) fn has_right(&self, user: usize, mailbox: usize, kind: RightKind) -> bool {
        user == mailbox || self.rights.contains(&(user, mailbox, kind))
    }

    /// Whether the mailbox of `account` takes `more` bytes.
    pub(crate) fn has_room(&self, account: usize, more: usize) -> bool {
        let account = &self.accounts[account];
        let held = account.mailbox.as_ref().map_or(0, |mailbox| mailbox.size);
        account
            .user
            .quota
            .is_none_or(|quota| held.saturating_add(more) <= quota)
    }

    /// Refuses what the mailbox of `account` has no room for.
    pub(crate) fn check_room(&self, account: usize, more: usize) -> Result<(), GraphError> {
        if self.has_room(account, more) {
            Ok(())
        } else {
            Err(GraphError::quota_exceeded())
        }
    }

    /// Whether an address belongs to the tenant's domain.
    pub(crate) fn is_internal(&self, address: &str) -> bool {
        address
            .rsplit_once('@')
            .is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(&self.domain))
    }

    /// The next item number.
    pub(crate) fn new_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    /// An empty draft.
    pub(crate) fn new_draft(&mut self, now: Timestamp) -> Message {
        let key = self.new_key();
        Message::draft(key, whole_seconds(now), &self.domain)
    }

    /// Puts mail into a mailbox as if it had arrived.
    pub(crate) fn add_mail(&mut self, mail: &SeedMail, now: Timestamp) -> Result<u64, TenantError> {
        let number = self.expect_account(&mail.mailbox)?;
        let at = whole_seconds(now.checked_sub(mail.age).unwrap_or(now));
        let mut message = self.new_draft(at);
        let to_itself = self.accounts[number].as_recipient();
        let mailbox = self.accounts[number]
            .mailbox
            .as_mut()
            .ok_or_else(|| TenantError::unknown("mailbox", &mail.mailbox))?;
        message.folder = mailbox
            .find_folder(&mail.folder)
            .or_else(|| mailbox.find_path(&mail.folder))
            .ok_or_else(|| TenantError::unknown("folder", &mail.folder))?;
        let host = mail
            .from
            .address
            .rsplit_once('@')
            .map_or("outside.example", |(_, host)| host);
        message.internet_message_id = format!("<{}@{host}>", crate::guid::random_name(18));
        message.is_draft = false;
        message.is_read = mail.is_read;
        message.subject = Some(mail.subject.clone());
        message.body = mail.body.clone();
        message.from = Some(mail.from.clone());
        message.sender = Some(mail.from.clone());
        message.to = if mail.to.is_empty() {
            vec![to_itself]
        } else {
            mail.to.clone()
        };
        for attachment in &mail.attachments {
            message.attach(attachment.clone(), at);
        }
        Ok(mailbox.insert(message).key)
    }

    /// The display path of a folder, e.g. `Inbox/2026`.
    pub(crate) fn folder_path(mailbox: &Mailbox, key: u32) -> String {
        let mut names = Vec::new();
        let mut at = mailbox.folders.get(&key);
        while let Some(folder) = at {
            let Some(parent) = folder.parent else { break };
            names.push(folder.name.as_str());
            at = mailbox.folders.get(&parent);
        }
        names.reverse();
        names.join("/")
    }
}

/// Makes every folder of a path that is missing.
pub(crate) fn make_path(mailbox: &mut Mailbox, path: &str) -> u32 {
    let mut at = mailbox::folder::ROOT;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        at = match mailbox.child_named(at, name) {
            Some(child) => child,
            None => mailbox.add_folder(at, name, false, false),
        };
    }
    at
}
