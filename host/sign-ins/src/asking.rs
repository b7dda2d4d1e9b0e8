//! When somebody is told: what was heard is gathered, the journal is looked into again and again, and
//! each account's next telling is waited for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use docket_connections::{AuthErrorClass, ConnectionError, Connections};
use docket_engine::{Engine, EngineError, EventStore, Timer, Triggers};
use docket_model::{Account, Clock};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::need::Need;
use crate::request::Request;
use crate::tell::{Teller, Telling};
use crate::waits::{self, Sources};

/// How long runs are gathered that begin to wait together, so that one telling names them all.
const TOGETHER: SignedDuration = SignedDuration::from_secs(2);
/// How often all that waits is looked at, whether it was heard of or not.
const LOOK: SignedDuration = SignedDuration::from_mins(10);
/// How long after a look another one follows, where the sign-in service was not reached.
const SOON: SignedDuration = SignedDuration::from_mins(1);
/// How long a token that could be had after all counts as the answer to what waits.
const ANSWERED: SignedDuration = SignedDuration::from_mins(10);
/// How many accounts are looked at side by side.
const AT_ONCE: usize = 16;
/// How many runs that are not parked yet are remembered of an account.
const MOST_HEARD: usize = 100;

/// What people are told by and of.
pub struct Ports {
    /// Starts the mails' runs, and wakes what a token answers.
    pub engine: Arc<Engine>,
    /// The journal.
    pub store: Arc<dyn EventStore>,
    /// The accounts.
    pub connections: Arc<Connections>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Waits for it.
    pub timer: Arc<dyn Timer>,
}

/// How people are told.
pub struct Setting {
    /// What links begin with: the host's address, without a slash at its end.
    pub base: String,
    /// How long after one telling the next one follows, while runs wait.
    pub every: Duration,
    /// By what.
    pub by: Teller,
    /// The accounts of connections that have one of their own, by the connections' names.
    pub accounts: BTreeMap<String, String>,
}

/// Tells people, for as long as it runs.
pub struct Asking {
    pub(crate) ports: Ports,
    pub(crate) setting: Setting,
    /// Whose sources may wait, too.
    pub(crate) triggers: Option<Arc<Triggers>>,
    /// Accounts that could have a token after all, and when that was seen.
    answered: Mutex<HashMap<Account, Timestamp>>,
    /// Held while it is told what keeps all users of a connection: many of them may be looked at.
    telling_of_all: tokio::sync::Mutex<()>,
}

/// An account that is needed.
#[derive(Default)]
struct Heard {
    /// When it is looked at.
    at: Timestamp,
    /// What was heard and may not be parked yet.
    needs: Vec<Need>,
}

/// Those who are needed, and may have to be told.
type AllHeard = BTreeMap<Account, Heard>;

impl Asking {
    /// Nobody is told before [`Self::run`].
    #[must_use]
    pub fn new(ports: Ports, setting: Setting) -> Self {
        Self {
            ports,
            setting,
            triggers: None,
            answered: Mutex::default(),
            telling_of_all: tokio::sync::Mutex::default(),
        }
    }

    /// The same where these triggers' sources may wait for a sign-in, too.
    #[must_use]
    pub fn with_triggers(mut self, triggers: Arc<Triggers>) -> Self {
        self.triggers = Some(triggers);
        self
    }

    /// Tells whom it must until nobody can need anybody any more: until all senders of `needs` are gone.
    pub async fn run(self, mut needs: mpsc::UnboundedReceiver<Need>) {
        let this = Arc::new(self);
        let mut heard = AllHeard::new();
        let mut look_at = this.now();
        let mut sources = this.triggers.as_ref().map(|triggers| triggers.needs());
        loop {
            let next = heard.values().map(|one| one.at).chain([look_at]).min();
            let next = next.unwrap_or(look_at);
            tokio::select! {
                need = needs.recv() => match need {
                    Some(need) => hear(&mut heard, need, this.now()),
                    None => return,
                },
                () = this.ports.timer.until(next) => {}
                () = waits::came(&mut sources) => look_at = look_at.min(this.after(TOGETHER)),
            }
            while let Ok(need) = needs.try_recv() {
                hear(&mut heard, need, this.now());
            }
            if look_at <= this.now() {
                look_at = this.after(LOOK);
                match this.all_that_wait().await {
                    Ok(accounts) => {
                        for account in accounts {
                            heard.entry(account).or_default();
                        }
                    }
                    Err(error) => tracing::error!(%error, "it is not known who must sign in"),
                }
            }
            this.look_at_those_due(&mut heard).await;
        }
    }

    async fn look_at_those_due(self: &Arc<Self>, heard: &mut AllHeard) {
        let now = self.now();
        let due = heard.iter().filter(|(_, one)| one.at <= now);
        let due: Vec<Account> = due.map(|(account, _)| account.clone()).collect();
        if due.is_empty() {
            return;
        }
        let sources = match self.sources_that_wait().await {
            Ok(sources) => Arc::new(sources),
            Err(error) => {
                tracing::error!(%error, "nobody could be told of a sign-in");
                for account in due {
                    heard.entry(account).or_default().at = self.after(SOON);
                }
                return;
            }
        };
        for some in due.chunks(AT_ONCE) {
            let mut looking = JoinSet::new();
            for account in some {
                let (this, account) = (Arc::clone(self), account.clone());
                let sources = Arc::clone(&sources);
                let needs = heard.remove(&account).unwrap_or_default().needs;
                looking.spawn(async move { this.look(account, needs, &sources).await });
            }
            while let Some(looked) = looking.join_next().await {
                if let Ok((account, Some(at))) = looked {
                    let needs = Vec::new();
                    heard.insert(account, Heard { at, needs });
                }
            }
        }
    }

    /// Looks whether somebody must be told, and tells. Says when to look again.
    async fn look(
        &self,
        account: Account,
        needs: Vec<Need>,
        sources: &Sources,
    ) -> (Account, Option<Timestamp>) {
        let again = match self.consider(&account, &needs, sources).await {
            Ok(again) => again,
            Err(error) => {
                tracing::error!(%account, %error, "nobody could be told of a sign-in");
                Some(self.after(SOON))
            }
        };
        (account, again)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    fn after(&self, time: SignedDuration) -> Timestamp {
        self.now().saturating_add(time).unwrap_or(Timestamp::MAX)
    }

    async fn consider(
        &self,
        account: &Account,
        needs: &[Need],
        sources: &Sources,
    ) -> Result<Option<Timestamp>, EngineError> {
        let signed_in_at = match self.signed_in_at(account).await {
            Ok(at) => at,
            // A sign-in that cannot be read is none, and another one mends it.
            Err(ConnectionError::Vault(_)) => None,
            // The connection is gone, or was changed: nobody can sign in for those that wait.
            Err(error) => {
                tracing::warn!(%account, %error, "runs wait for a sign-in that is not possible");
                return Ok(None);
            }
        };
        let Some(waits) = self.waits(account, needs, sources, signed_in_at).await? else {
            return Ok(None);
        };
        let store = self.ports.store.as_ref();
        let known = Request::load(store, account).await?;
        let due = known.due(self.setting.every, signed_in_at);
        if let Some(at) = due.filter(|at| *at > self.now()) {
            return Ok(Some(at));
        }
        let connections = &self.ports.connections;
        let state = connections.sign_in_state(&account.connection, account.user.as_deref());
        let error = match state.await {
            Ok(()) if self.is_answered_now(account) => {
                // Whoever refused the token may take this one.
                let (connection, user) = (&account.connection, account.user.as_deref());
                self.ports.engine.signed_in(connection, user).await?;
                return Ok(Some(self.after(SOON)));
            }
            Ok(()) => None,
            Err(ConnectionError::Auth(error)) => Some(error),
            Err(error) => {
                tracing::error!(%account, %error, "nobody could be told of a sign-in");
                return Ok(Some(self.after(SOON)));
            }
        };
        let mut telling = Telling {
            account,
            waits: &waits,
            reason: waits.failure.message.clone(),
            remedy: None,
            is_for_administrator: false,
        };
        let Some(error) = error else {
            return self.tell(account, &known, &telling).await;
        };
        telling.reason = error.message;
        match error.class {
            AuthErrorClass::SignInRequired | AuthErrorClass::ConsentRequired => {
                self.tell(account, &known, &telling).await
            }
            AuthErrorClass::Transient | AuthErrorClass::Host => Ok(Some(self.after(SOON))),
            AuthErrorClass::Blocked => {
                telling.remedy = Some(error.remedy);
                telling.is_for_administrator = true;
                self.tell(account, &known, &telling).await
            }
            // It keeps all users of the connection, and is told once for all of them.
            AuthErrorClass::Credential | AuthErrorClass::Configuration => {
                let all = Account::new(&account.connection, None);
                telling.remedy = Some(error.remedy);
                telling.is_for_administrator = true;
                telling.account = &all;
                let _one_at_a_time = self.telling_of_all.lock().await;
                let known = Request::load(store, &all).await?;
                match known.due(self.setting.every, None) {
                    Some(at) if at > self.now() => Ok(Some(at)),
                    _ => self.tell(&all, &known, &telling).await,
                }
            }
        }
    }

    /// Whether a token that can be had answers what waits, rather than having been refused before.
    fn is_answered_now(&self, account: &Account) -> bool {
        let now = self.now();
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.retain(|_, at| now.duration_since(*at) < ANSWERED);
        answered.insert(account.clone(), now).is_none()
    }

    async fn signed_in_at(&self, account: &Account) -> Result<Option<Timestamp>, ConnectionError> {
        let (connections, account) = (Arc::clone(&self.ports.connections), account.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let user = account.user.as_deref();
            connections.signed_in_at(&account.connection, user)
        });
        // The host is shutting down where it is not answered.
        asked.await.unwrap_or(Ok(None))
    }
}

fn hear(heard: &mut AllHeard, need: Need, now: Timestamp) {
    let at = now.saturating_add(TOGETHER).unwrap_or(Timestamp::MAX);
    let one = heard.entry(need.account.clone()).or_insert(Heard {
        at,
        needs: Vec::new(),
    });
    one.at = one.at.min(at);
    if one.needs.len() < MOST_HEARD {
        one.needs.push(need);
    }
}
