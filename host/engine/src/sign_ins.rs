//! How often accounts have signed in: the store's counts, kept at hand since each attempt asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use docket_model::Account;
use tokio::sync::watch;

use crate::{EventStore, Ready, StoreError};

/// Counts of sign-ins. They never fall, whoever writes last.
pub(crate) struct SignIns {
    store: Arc<dyn EventStore>,
    known: Mutex<HashMap<Account, u64>>,
    /// Changes with every sign-in of anybody.
    news: watch::Sender<()>,
}

impl SignIns {
    pub(crate) fn new(store: Arc<dyn EventStore>) -> Self {
        Self {
            store,
            known: Mutex::default(),
            news: watch::Sender::new(()),
        }
    }

    /// How often an account has been let in: itself, or with all the accounts of its connection.
    pub(crate) async fn count(&self, account: &Account) -> Result<u64, StoreError> {
        let own = self.exactly(account).await?;
        Ok(match account.user {
            Some(_) => own + self.exactly(&account.of_connection()).await?,
            None => own,
        })
    }

    async fn exactly(&self, account: &Account) -> Result<u64, StoreError> {
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(account)
            .copied();
        match known {
            Some(count) => Ok(count),
            None => Ok(self.learn(account, self.store.sign_ins(account).await?)),
        }
    }

    /// Counts one more, and gives the runs that waited for it.
    pub(crate) async fn add(&self, account: &Account) -> Result<Vec<Ready>, StoreError> {
        let (count, ready) = self.store.signed_in(account).await?;
        self.learn(account, count);
        self.news.send_replace(());
        Ok(ready)
    }

    /// Tells of every sign-in from now on.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Asks the store again from now on.
    pub(crate) fn forget(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clear();
    }

    fn learn(&self, account: &Account, count: u64) -> u64 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let held = known.entry(account.clone()).or_default();
        *held = count.max(*held);
        *held
    }
}
