//! Tells people that runs wait for their sign-in: once for each account however many runs wait, again
//! after a set time while they do, and never after the sign-in.
//!
//! What was told lies in the journal. A mail is a run of its own that starts together with what is
//! remembered of it, so that whatever crashes nobody is told twice, and nobody is forgotten. Before
//! somebody is told, it is tried whether the sign-in is really needed.

mod list;
mod mail;
mod request;
mod sources;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use docket_connections::{AuthErrorClass, ConnectionError, Webhook};
use docket_engine::{EngineError, Timer as _, TokioTimer, TriggerItem, Triggers, WaitFilter};
use docket_model::{Account, Event, EventKind, Failure, Plan, RunId, SignInHookKind, WaitFor};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(crate) use self::list::list;
use self::request::Request;
use crate::exit::{Exit, Failed};
use crate::host::Host;

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

/// A run that begins to wait for a sign-in.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    run: RunId,
    account: Account,
    since: Timestamp,
    until: Option<Timestamp>,
    failure: Failure,
}

impl Need {
    /// What an event says of it, if it does.
    pub(crate) fn of(run: &RunId, event: &Event) -> Option<Self> {
        let EventKind::StepWaiting { wait, .. } = &event.kind else {
            return None;
        };
        let WaitFor::SignIn {
            account, failure, ..
        } = &wait.on
        else {
            return None;
        };
        Some(Self {
            run: run.clone(),
            account: account.clone(),
            since: event.at,
            until: wait.until,
            failure: failure.clone(),
        })
    }
}

/// Tells people, for as long as it runs.
pub(crate) struct Asking {
    host: Arc<Host>,
    /// What links begin with.
    base: String,
    every: Duration,
    by: Teller,
    /// Whose sources may wait, too.
    triggers: Option<Arc<Triggers>>,
    timer: TokioTimer,
    /// Accounts that could have a token after all, and when that was seen.
    answered: Mutex<HashMap<Account, Timestamp>>,
}

enum Teller {
    Mail {
        plan: Box<Plan>,
        administrator: Option<String>,
        /// Whose people may be written to.
        domains: BTreeSet<String>,
    },
    Webhook(Webhook),
}

/// An account that is needed.
#[derive(Default)]
struct Heard {
    /// When it is looked at.
    at: Timestamp,
    /// What was heard and may not be parked yet.
    needs: Vec<Need>,
}

/// What waits for one account.
struct Waits {
    since: Timestamp,
    until: Option<Timestamp>,
    failure: Failure,
    /// How many runs, by workflow.
    runs: BTreeMap<String, usize>,
}

/// What somebody is told.
struct Telling<'t> {
    account: &'t Account,
    waits: &'t Waits,
    reason: String,
    remedy: Option<String>,
    is_for_administrator: bool,
}

impl Asking {
    /// Makes ready what `docket.yaml` says; `None` where it says nothing. Links begin with `base`.
    ///
    /// # Errors
    /// What of `docket.yaml` is not right.
    pub(crate) fn open(host: &Arc<Host>, base: &str) -> Result<Option<Self>> {
        let Some(hook) = &host.project.spec.sign_in_hook else {
            return Ok(None);
        };
        let by = match &hook.by {
            SignInHookKind::Mail(mail) => Teller::Mail {
                plan: Box::new(mail::plan(host, mail)?),
                administrator: mail.administrator.clone(),
                domains: mail::domains(&host.project.spec, mail),
            },
            SignInHookKind::Webhook(spec) => {
                let webhook = host.connections.webhook(spec);
                Teller::Webhook(
                    webhook.map_err(|error| Failed::new(Exit::Invalid, error.to_string()))?,
                )
            }
        };
        Ok(Some(Self {
            host: Arc::clone(host),
            base: base.to_owned(),
            every: hook.every,
            by,
            triggers: None,
            timer: host.timer(),
            answered: Mutex::default(),
        }))
    }

    /// Tells whom it must until nobody can need anybody any more.
    pub(crate) async fn run(self, mut needs: mpsc::UnboundedReceiver<Need>) {
        let this = Arc::new(self);
        let mut heard: BTreeMap<Account, Heard> = BTreeMap::new();
        let mut look_at = this.host.now();
        let mut sources = this.triggers.as_ref().map(|triggers| triggers.needs());
        loop {
            let next = heard.values().map(|one| one.at).chain([look_at]).min();
            let next = next.unwrap_or(look_at);
            tokio::select! {
                need = needs.recv() => match need {
                    Some(need) => hear(&mut heard, need, this.host.now()),
                    None => return,
                },
                () = this.timer.until(next) => {}
                () = sources::came(&mut sources) => {
                    let soon = this.host.now().saturating_add(TOGETHER);
                    look_at = look_at.min(soon.unwrap_or(Timestamp::MAX));
                }
            }
            while let Ok(need) = needs.try_recv() {
                hear(&mut heard, need, this.host.now());
            }
            let now = this.host.now();
            if look_at <= now {
                look_at = now.saturating_add(LOOK).unwrap_or(Timestamp::MAX);
                match this.all_that_wait().await {
                    Ok(accounts) => {
                        for account in accounts {
                            heard.entry(account).or_default();
                        }
                    }
                    Err(error) => tracing::error!(%error, "it is not known who must sign in"),
                }
            }
            let due = heard.iter().filter(|(_, one)| one.at <= now);
            let due: Vec<Account> = due.map(|(account, _)| account.clone()).collect();
            for some in due.chunks(AT_ONCE) {
                let mut looking = JoinSet::new();
                for account in some {
                    let (this, account) = (Arc::clone(&this), account.clone());
                    let needs = heard.remove(&account).unwrap_or_default().needs;
                    looking.spawn(async move { this.look(account, needs).await });
                }
                while let Some(looked) = looking.join_next().await {
                    if let Ok((account, Some(at))) = looked {
                        let needs = Vec::new();
                        heard.insert(account, Heard { at, needs });
                    }
                }
            }
        }
    }

    /// The accounts that parked runs wait for.
    async fn all_that_wait(&self) -> Result<Vec<Account>, EngineError> {
        let filter = WaitFilter {
            kind: Some("sign-in".to_owned()),
            ..WaitFilter::default()
        };
        let all = self.host.store.waiting(filter).await?;
        let accounts = all.iter().filter_map(|one| one.step.wait.on.account());
        let mut accounts: Vec<Account> = accounts.cloned().collect();
        let sources = self.sources_that_wait().await?;
        accounts.extend(sources.into_iter().map(|(need, _)| need.account));
        Ok(accounts)
    }

    /// Looks whether somebody must be told, and tells. Says when to look again.
    async fn look(&self, account: Account, needs: Vec<Need>) -> (Account, Option<Timestamp>) {
        let again = match self.consider(&account, &needs).await {
            Ok(again) => again,
            Err(error) => {
                tracing::error!(%account, %error, "nobody could be told of a sign-in");
                Some(self.soon())
            }
        };
        (account, again)
    }

    fn soon(&self) -> Timestamp {
        let soon = self.host.now().saturating_add(SOON);
        soon.unwrap_or(Timestamp::MAX)
    }

    async fn consider(
        &self,
        account: &Account,
        needs: &[Need],
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
        let Some(waits) = self.waits(account, needs, signed_in_at).await? else {
            return Ok(None);
        };
        let store = self.host.store.as_ref();
        let known = Request::load(store, account).await?;
        let due = known.due(self.every, signed_in_at);
        if let Some(at) = due.filter(|at| *at > self.host.now()) {
            return Ok(Some(at));
        }
        let connections = &self.host.connections;
        let state = connections.sign_in_state(&account.connection, account.user.as_deref());
        let error = match state.await {
            Ok(()) if self.is_answered_now(account) => {
                // Whoever refused the token may take this one.
                let (connection, user) = (&account.connection, account.user.as_deref());
                self.host.engine.signed_in(connection, user).await?;
                return Ok(Some(self.soon()));
            }
            Ok(()) => None,
            Err(ConnectionError::Auth(error)) => Some(error),
            Err(error) => {
                tracing::error!(%account, %error, "nobody could be told of a sign-in");
                return Ok(Some(self.soon()));
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
            AuthErrorClass::Transient | AuthErrorClass::Host => Ok(Some(self.soon())),
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
                let known = Request::load(store, &all).await?;
                match known.due(self.every, None) {
                    Some(at) if at > self.host.now() => Ok(Some(at)),
                    _ => self.tell(&all, &known, &telling).await,
                }
            }
        }
    }

    /// Whether a token that can be had answers what waits, rather than having been refused before.
    fn is_answered_now(&self, account: &Account) -> bool {
        let now = self.host.now();
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.retain(|_, at| now.duration_since(*at) < ANSWERED);
        answered.insert(account.clone(), now).is_none()
    }

    async fn signed_in_at(&self, account: &Account) -> Result<Option<Timestamp>, ConnectionError> {
        let (host, account) = (Arc::clone(&self.host), account.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let user = account.user.as_deref();
            host.connections.signed_in_at(&account.connection, user)
        });
        // The host is shutting down where it is not answered.
        asked.await.unwrap_or(Ok(None))
    }

    /// What waits for an account, parked or about to be; `None` where nothing does.
    async fn waits(
        &self,
        account: &Account,
        needs: &[Need],
        signed_in_at: Option<Timestamp>,
    ) -> Result<Option<Waits>, EngineError> {
        let store = &self.host.store;
        let filter = WaitFilter {
            account: Some(account.clone()),
            ..WaitFilter::default()
        };
        let mut found: BTreeMap<RunId, (Need, String)> = BTreeMap::new();
        for waiting in store.waiting(filter).await? {
            let WaitFor::SignIn { failure, .. } = waiting.step.wait.on else {
                continue;
            };
            let need = Need {
                run: waiting.run.clone(),
                account: account.clone(),
                since: waiting.step.since,
                until: waiting.step.wait.until,
                failure,
            };
            found.entry(waiting.run).or_insert((need, waiting.workflow));
        }
        for (need, workflow) in self.sources_that_wait().await? {
            let is_older = signed_in_at.is_some_and(|at| at >= need.since);
            if need.account == *account && !is_older {
                found.insert(need.run.clone(), (need, workflow));
            }
        }
        for need in needs {
            let is_older = signed_in_at.is_some_and(|at| at >= need.since);
            if found.contains_key(&need.run) || is_older {
                continue;
            }
            // One that is parked has its row, or waits for something else.
            if let Some(run) = store.run(&need.run).await?
                && run.result.is_none()
                && !run.is_parked
            {
                found.insert(need.run.clone(), (need.clone(), run.workflow));
            }
        }
        let mut runs: BTreeMap<String, usize> = BTreeMap::new();
        for (_, workflow) in found.values() {
            *runs.entry(workflow.clone()).or_default() += 1;
        }
        let needs = found.values().map(|(need, _)| need);
        let first = needs.clone().min_by_key(|need| need.since);
        Ok(first.map(|first| Waits {
            since: first.since,
            until: needs.filter_map(|need| need.until).min(),
            failure: first.failure.clone(),
            runs,
        }))
    }

    /// Tells somebody, and remembers it. Says when to look again.
    async fn tell(
        &self,
        account: &Account,
        known: &Request,
        telling: &Telling<'_>,
    ) -> Result<Option<Timestamp>, EngineError> {
        let now = self.host.now();
        let told = match &self.by {
            Teller::Mail {
                plan,
                administrator,
                domains,
            } => match self.recipient(telling, administrator.as_deref(), domains) {
                Ok(to) => self.mail(account, known, telling, plan, &to).await?,
                Err(error) => Err(error),
            },
            Teller::Webhook(webhook) => {
                let event = json!({
                    "type": "sign-in.requested",
                    "timestamp": now,
                    "data": self.facts(telling, Timestamp::to_string),
                });
                let id = request::id(account, known.next());
                match webhook.send(&id, &event).await {
                    Ok(()) => {
                        let told = known.told(now, None);
                        told.store(self.host.store.as_ref(), account).await?;
                        Ok(told)
                    }
                    Err(error) => Err(error.to_string()),
                }
            }
        };
        let left = match told {
            Ok(told) => {
                tracing::info!(%account, told = told.told, "somebody was told of a sign-in");
                told
            }
            Err(error) => {
                tracing::warn!(%account, error, "nobody could be told of a sign-in");
                let failed = known.failed(now, error);
                failed.store(self.host.store.as_ref(), account).await?;
                failed
            }
        };
        Ok(left.due(self.every, None))
    }

    /// Starts the run of a mail, together with what is remembered of it.
    async fn mail(
        &self,
        account: &Account,
        known: &Request,
        telling: &Telling<'_>,
        plan: &Plan,
        to: &str,
    ) -> Result<Result<Request, String>, EngineError> {
        let subject = match telling.is_for_administrator {
            true => format!("The connection {} needs you", account.connection),
            false => format!("Please sign in as {}", self.person(account)),
        };
        let request = self.facts(telling, |at| at.strftime("%F %R UTC").to_string());
        let inputs = match mail::inputs(plan, to, &subject, request) {
            Ok(inputs) => inputs,
            Err(error) => return Ok(Err(error)),
        };
        let id = request::id(account, known.next());
        let run: RunId = match id.parse() {
            Ok(run) => run,
            Err(error) => return Ok(Err(format!("{id}: {error}"))),
        };
        let told = known.told(self.host.now(), Some(run.clone()));
        let items = vec![TriggerItem {
            key: Some(known.next().to_string()),
            run,
            inputs,
            failure: None,
        }];
        let cursor = told.to_json()?;
        let name = request::name(account);
        let engine = &self.host.engine;
        match engine.start_items(&name, Some(&cursor), plan, items).await {
            Ok(_) => Ok(Ok(told)),
            Err(error @ EngineError::Store(_)) => Err(error),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// Who gets the mail: the person, or who mends what the person cannot.
    fn recipient(
        &self,
        telling: &Telling<'_>,
        administrator: Option<&str>,
        domains: &BTreeSet<String>,
    ) -> Result<String, String> {
        let account = telling.account;
        let is_person = account.user.is_some() && !telling.is_for_administrator;
        if let Some(address) = administrator.filter(|_| !is_person) {
            return Ok(address.to_owned());
        }
        let specs = &self.host.project.spec.connections;
        let own = specs.get(&account.connection);
        let own = own.and_then(|spec| spec.account.as_ref());
        let person = account
            .user
            .as_ref()
            .or(own)
            .ok_or("there is nobody to tell; name an administrator under sign-in-hook.mail")?;
        match mail::domain(person).is_some_and(|domain| domains.contains(&domain)) {
            true => Ok(person.clone()),
            false => Err(format!(
                "{person} gets no mail: no address in docket.yaml is of the same domain"
            )),
        }
    }

    /// The account's name for people.
    fn person(&self, account: &Account) -> String {
        let specs = &self.host.project.spec.connections;
        let own = specs
            .get(&account.connection)
            .and_then(|spec| spec.account.clone());
        let user = account.user.clone().or(own);
        user.unwrap_or_else(|| account.connection.clone())
    }

    /// What is told, as data.
    fn facts(&self, telling: &Telling<'_>, moment: impl Fn(&Timestamp) -> String) -> Value {
        let Telling {
            account,
            waits,
            reason,
            remedy,
            is_for_administrator,
        } = telling;
        let workflows: Vec<Value> = waits
            .runs
            .iter()
            .map(|(name, runs)| json!({"name": name, "runs": runs}))
            .collect();
        json!({
            "connection": account.connection,
            "user": account.user,
            "account": self.person(account),
            "link": link(&self.base, account),
            "reason": reason.trim_end_matches('.'),
            "remedy": remedy.as_deref().map(|remedy| remedy.trim_end_matches('.')),
            "administrator": is_for_administrator,
            "since": moment(&waits.since),
            "until": waits.until.as_ref().map(moment),
            "runs": waits.runs.values().sum::<usize>(),
            "workflows": workflows,
        })
    }
}

fn hear(heard: &mut BTreeMap<Account, Heard>, need: Need, now: Timestamp) {
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

/// Where an account signs in.
pub(crate) fn link(base: &str, account: &Account) -> String {
    let mut link = format!("{base}/sign-in/{}", account.connection);
    if let Some(user) = &account.user {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        link += &format!("?{}", query.append_pair("user", user).finish());
    }
    link
}
