//! Telling somebody: by a mail, which is a run of its own, or by a webhook.

use docket_connections::Webhook;
use docket_engine::{EngineError, ItemStart, TriggerItem};
use docket_model::{Account, RunId};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::mail::{self, Mail};
use crate::need::link;
use crate::request::{self, Request};
use crate::waits::Waits;

/// By what people are told.
pub enum Teller {
    /// A mail to the person, or to who mends what the person cannot.
    Mail(Box<Mail>),
    /// A request to a program, which knows how to reach people.
    Webhook(Webhook),
}

/// What somebody is told.
pub(crate) struct Telling<'t> {
    pub(crate) account: &'t Account,
    pub(crate) waits: &'t Waits,
    pub(crate) reason: String,
    pub(crate) remedy: Option<String>,
    pub(crate) is_for_administrator: bool,
}

impl Asking {
    /// Tells somebody, and remembers it. Says when to look again.
    pub(crate) async fn tell(
        &self,
        account: &Account,
        known: &Request,
        telling: &Telling<'_>,
    ) -> Result<Option<Timestamp>, EngineError> {
        let (now, store) = (self.now(), self.ports.store.as_ref());
        let told = match &self.setting.by {
            Teller::Mail(mail) => match self.recipient(telling, mail) {
                Ok(to) => self.mail(account, known, telling, mail, &to).await?,
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
                        told.store(store, account).await?;
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
                failed.store(store, account).await?;
                failed
            }
        };
        Ok(left.due(self.setting.every, None))
    }

    /// Starts the run of a mail, together with what is remembered of it.
    async fn mail(
        &self,
        account: &Account,
        known: &Request,
        telling: &Telling<'_>,
        mail: &Mail,
        to: &str,
    ) -> Result<Result<Request, String>, EngineError> {
        let subject = match telling.is_for_administrator {
            true => format!("The connection {} needs you", account.connection),
            false => format!("Please sign in as {}", self.person(account)),
        };
        let request = self.facts(telling, |at| at.strftime("%F %R UTC").to_string());
        let inputs = match mail.inputs(to, &subject, request) {
            Ok(inputs) => inputs,
            Err(error) => return Ok(Err(error)),
        };
        let id = request::id(account, known.next());
        let run: RunId = match id.parse() {
            Ok(run) => run,
            Err(error) => return Ok(Err(format!("{id}: {error}"))),
        };
        let told = known.told(self.now(), Some(run.clone()));
        let items = vec![TriggerItem {
            key: Some(known.next().to_string()),
            run,
            start: ItemStart::With(inputs),
        }];
        let cursor = told.to_json()?;
        let name = request::name(account);
        let engine = &self.ports.engine;
        match engine
            .start_items(&name, Some(&cursor), &mail.plan, items)
            .await
        {
            Ok(_) => Ok(Ok(told)),
            Err(error @ EngineError::Store(_)) => Err(error),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// Who gets the mail: the person, or who mends what the person cannot.
    fn recipient(&self, telling: &Telling<'_>, mail: &Mail) -> Result<String, String> {
        let account = telling.account;
        let is_person = account.user.is_some() && !telling.is_for_administrator;
        if let Some(address) = mail.administrator.as_ref().filter(|_| !is_person) {
            return Ok(address.clone());
        }
        let person = self
            .address(account)
            .ok_or("there is nobody to tell; name an administrator under sign-in-hook.mail")?;
        match mail::domain(person).is_some_and(|domain| mail.domains.contains(&domain)) {
            true => Ok(person.to_owned()),
            false => Err(format!(
                "{person} gets no mail: no address in docket.yaml is of the same domain"
            )),
        }
    }

    /// The account's address: the user's, or that of the connection itself.
    fn address<'a>(&'a self, account: &'a Account) -> Option<&'a str> {
        let own = || self.setting.accounts.get(&account.connection);
        account.user.as_ref().or_else(own).map(String::as_str)
    }

    /// The account's name for people.
    fn person<'a>(&'a self, account: &'a Account) -> &'a str {
        self.address(account).unwrap_or(&account.connection)
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
            "link": link(&self.setting.base, account),
            "reason": reason.trim_end_matches('.'),
            "remedy": remedy.as_deref().map(|remedy| remedy.trim_end_matches('.')),
            "administrator": is_for_administrator,
            "since": moment(&waits.since),
            "until": waits.until.as_ref().map(moment),
            "runs": waits.runs.values().sum::<u64>(),
            "workflows": workflows,
        })
    }
}
