//! One connection at work: its application, its endpoints, and the accounts that act through it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use docket_model::{ConnectionKind, ConnectionSpec};
use url::Url;

use crate::mailboxes::MailboxIds;
use crate::oauth::{Account, Application};
use crate::policy::{Endpoint, Scope};
use crate::registry::BindingError;

/// How many users' accounts are kept before those that nobody uses are let go.
const MANY: usize = 4096;
/// The longest user principal name (Entra: the local part has 64 characters, the domain 48; other
/// providers have longer ones).
const LONGEST_NAME: usize = 320;

/// A connection, ready for use.
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) spec: ConnectionSpec,
    pub(crate) application: Arc<Application>,
    endpoints: Vec<Endpoint>,
    /// What its mailboxes are called by the directory.
    ids: Arc<MailboxIds>,
    /// The account of all who use it; per-user connections have none.
    one: Option<Arc<Account>>,
    users: Mutex<HashMap<String, Arc<Account>>>,
}

impl Connection {
    pub(crate) fn new(
        name: &str,
        spec: ConnectionSpec,
        application: Arc<Application>,
        endpoints: Vec<Endpoint>,
    ) -> Self {
        let one = match spec.kind {
            ConnectionKind::ServiceAccount => {
                let account = spec.account.as_deref().unwrap_or_default();
                Some(Account::of_user(&application, account))
            }
            ConnectionKind::AppOnly => Some(Account::of_application(&application)),
            _ => None,
        };
        Self {
            name: name.to_owned(),
            spec,
            application,
            endpoints,
            ids: Arc::default(),
            one: one.map(Arc::new),
            users: Mutex::default(),
        }
    }

    /// Whether all who use it act as the same account.
    pub(crate) fn has_one_account(&self) -> bool {
        self.one.is_some()
    }

    /// The account to act as.
    ///
    /// # Errors
    /// When it is not the connection's, or the connection acts for users and none is named.
    pub(crate) fn account(&self, user: Option<&str>) -> Result<Arc<Account>, BindingError> {
        let name = || self.name.clone();
        match (&self.one, user) {
            (Some(one), None) => Ok(Arc::clone(one)),
            (Some(one), Some(user)) => {
                match user.to_lowercase() == one.subject.account.to_lowercase() {
                    true => Ok(Arc::clone(one)),
                    false => Err(BindingError::OneAccount {
                        connection: name(),
                        user: user.to_owned(),
                    }),
                }
            }
            (None, None) => Err(BindingError::UserNeeded(name())),
            (None, Some(user)) if is_user(user) => Ok(self.user(&user.to_lowercase())),
            (None, Some(_)) => Err(BindingError::NoUser(name())),
        }
    }

    /// The origins that it works with: where tokens come from, and where they go.
    pub(crate) fn origins(&self) -> BTreeSet<Url> {
        let endpoints = self.endpoints.iter().map(|endpoint| endpoint.base.clone());
        let token = self.application.provider.token.url().clone();
        let root = |mut url: Url| {
            url.set_path("/");
            url.set_query(None);
            url
        };
        endpoints.chain([token]).map(root).collect()
    }

    /// The accounts that are in memory; the vault may know more.
    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        self.one.iter().chain(users.values()).cloned().collect()
    }

    /// A user's account. Whose token nobody uses is let go when there are many: a workflow's input
    /// may name anybody.
    fn user(&self, name: &str) -> Arc<Account> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = users.get(name) {
            return Arc::clone(account);
        }
        if users.len() >= MANY && users.len().is_power_of_two() {
            users.retain(|_, account| Arc::strong_count(account) > 1 || account.is_in_use());
        }
        let account = Arc::new(Account::of_user(&self.application, name));
        users.insert(name.to_owned(), Arc::clone(&account));
        account
    }

    /// What the connection allows the account.
    pub(crate) fn scope(&self, account: &Account) -> Scope {
        let is_application = self.spec.kind == ConnectionKind::AppOnly;
        Scope {
            connection: self.name.clone(),
            endpoints: self.endpoints.clone(),
            own: (!is_application).then(|| account.subject.account.clone()),
            is_per_user: self.spec.kind == ConnectionKind::PerUser,
            mailboxes: self.spec.mailboxes.clone(),
            ids: Arc::clone(&self.ids),
        }
    }
}

fn is_user(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/')
        && name
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}
