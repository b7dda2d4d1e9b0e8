//! The control API under `/_tenant`: what tests in other languages, and curl, steer the tenant with.
//!
//! | request | does |
//! | --- | --- |
//! | `GET /_tenant` | tenant, users with their state, apps, rights |
//! | `GET /_tenant/mailboxes[/{mailbox}]` | folders and messages, attachments with SHA-256 |
//! | `POST /_tenant/mailboxes/{mailbox}/messages` | mail arrives: `from`, `subject`, `html` or `text`, `folder`, `attachments` |
//! | `POST /_tenant/mailboxes/{mailbox}/folders` | makes `{"path": "Inbox/2026"}` |
//! | `POST /_tenant/mailboxes/{mailbox}/lose-delta` | its delta tokens get 410 |
//! | `GET /_tenant/outside` | what left the tenant |
//! | `POST /_tenant/deliver` | delivers what is under way |
//! | `GET`, `DELETE /_tenant/requests` | the recorder |
//! | `GET`, `POST`, `DELETE /_tenant/faults`, `DELETE /_tenant/faults/{id}` | see [`Fault`] |
//! | `GET`, `PUT /_tenant/throttle` | counts and limits; limits as [`ThrottleConfig`] |
//! | `GET`, `PUT /_tenant/policies` | see [`Policies`]; what is not named stays |
//! | `GET`, `PUT /_tenant/timings` | how long things take and last, in seconds; what is not named stays |
//! | `GET`, `POST /_tenant/clock` | the tenant's time; `{"advance_seconds": 3600}` moves it |
//! | `GET /_tenant/sign-ins` | the newest answers of the token endpoint |
//! | `POST`, `DELETE /_tenant/rights` | gives or takes a [`Right`] |
//! | `POST /_tenant/users` | `upn`, `display_name`, `id`, `shared`, `admin`, `without_mailbox`, `folders`, `localised`, `quota`, `keeps_delegate_copies` |
//! | `PUT /_tenant/users/{user}/state` | see [`UserState`](crate::UserState) |
//! | `POST /_tenant/users/{user}/revoke`, `…/change-password`, `…/reset-password` | ends sign-ins |
//! | `POST /_tenant/apps`, `GET`, `PATCH /_tenant/apps/{id}` | a registration, by the names of [`AppConfig`](crate::AppConfig); `secrets` is how many to make, `certificates` are PEM |
//! | `GET /_tenant/apps/{id}/secret` | the newest secret's value |
//! | `POST /_tenant/apps/{id}/secrets` | a further secret, `{"days": 180}` |
//! | `DELETE /_tenant/apps/{id}/secrets[/{key}]` | secrets expire now |
//! | `DELETE /_tenant/apps/{id}/consents[/{user}]` | takes consent back, of one user or of all |
//! | `DELETE /_tenant/apps/{id}/scopes/{scope}` | the app loses a scope or role |
//! | `POST /_tenant/tokens` | an access token: `client_id`, `user`, `scopes` |

mod apps;
mod people;

use http::{Method, StatusCode};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::config::{Policies, Right, RightKind, SeedMail, Timings};
use crate::error::TenantError;
use crate::faults::Fault;
use crate::graph::read_attachment;
use crate::state::{StoredMessage, TenantState};
use crate::store::message::{Attachment, Body, Recipient};
use crate::throttle::ThrottleConfig;
use crate::wire::{Call, Reply};

/// Answers a control request.
pub(crate) fn handle(state: &TenantState, call: &Call) -> Reply {
    let path = percent_encoding::percent_decode_str(&call.path)
        .decode_utf8_lossy()
        .into_owned();
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .skip(1)
        .collect();
    match route(state, call, &parts) {
        Ok(Some(value)) => Reply::json(StatusCode::OK, &value),
        Ok(None) => Reply::empty(StatusCode::NO_CONTENT),
        Err(Refusal(status, message)) => Reply::json(status, &json!({"error": message})),
    }
}

struct Refusal(StatusCode, String);

/// What a control request did: an answer, nothing to say, or a refusal.
type Done = Result<Option<Value>, Refusal>;

impl From<TenantError> for Refusal {
    fn from(error: TenantError) -> Self {
        Self(StatusCode::NOT_FOUND, error.to_string())
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }
}

fn route(state: &TenantState, call: &Call, parts: &[&str]) -> Done {
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let method = &call.method;
    let body = &call.body;
    let is = |wanted: &Method| method == wanted;
    match parts {
        [] if is(&get) => Ok(Some(about(state))),
        ["mailboxes"] if is(&get) => Ok(Some(mailboxes(state, None)?)),
        ["mailboxes", mailbox] if is(&get) => Ok(Some(mailboxes(state, Some(mailbox))?)),
        ["mailboxes", mailbox, "messages"] if is(&post) => {
            let id =
                state.add_message(&serde_json::from_slice::<NewMail>(body)?.into_seed(mailbox)?)?;
            Ok(Some(json!({"id": id})))
        }
        ["mailboxes", mailbox, "folders"] if is(&post) => {
            let new: NewFolder = serde_json::from_slice(body)?;
            Ok(Some(json!({"id": state.add_folder(mailbox, &new.path)?})))
        }
        ["mailboxes", mailbox, "lose-delta"] if is(&post) => {
            Ok(state.lose_delta(mailbox).map(|()| None)?)
        }
        ["outside"] if is(&get) => Ok(Some(outside(state))),
        ["deliver"] if is(&post) => {
            state.deliver_now();
            Ok(None)
        }
        ["requests"] if is(&get) => Ok(Some(serde_json::to_value(state.requests())?)),
        ["requests"] if is(&delete) => {
            state.clear_requests();
            Ok(None)
        }
        ["faults"] if is(&get) => Ok(Some(serde_json::to_value(state.faults())?)),
        ["faults"] if is(&post) => Ok(Some(
            json!({"id": state.add_fault(serde_json::from_slice::<Fault>(body)?)}),
        )),
        ["faults"] if is(&delete) => {
            state.clear_faults();
            Ok(None)
        }
        ["faults", id] if is(&delete) => {
            if state.remove_fault(id) {
                Ok(None)
            } else {
                Err(Refusal(
                    StatusCode::NOT_FOUND,
                    format!("no such fault: {id}"),
                ))
            }
        }
        ["throttle"] if is(&get) => {
            let mut shown = serde_json::to_value(state.throttle_counts())?;
            shown["limits"] = serde_json::to_value(state.throttle())?;
            Ok(Some(shown))
        }
        ["throttle"] if is(&put) => {
            state.set_throttle(serde_json::from_slice::<ThrottleConfig>(body)?);
            Ok(None)
        }
        ["policies"] if is(&get) => Ok(Some(serde_json::to_value(state.policies())?)),
        ["policies"] if is(&put) => {
            // What is not named keeps its value.
            let mut all = serde_json::to_value(state.policies())?;
            let given: serde_json::Map<String, Value> = serde_json::from_slice(body)?;
            if let Value::Object(all) = &mut all {
                all.extend(given);
            }
            let wanted: Policies = serde_json::from_value(all)?;
            state.set_policies(|policies| *policies = wanted);
            Ok(None)
        }
        ["rights"] if is(&post) || is(&delete) => {
            let right: Right = serde_json::from_slice(body)?;
            state.set_right(&right.user, right.kind, &right.mailbox, is(&post))?;
            Ok(None)
        }
        ["timings"] if is(&get) => Ok(Some(timings(state))),
        ["timings"] if is(&put) => {
            let named: NamedTimings = serde_json::from_slice(body)?;
            state.set_timings(|timings| named.apply(timings));
            Ok(None)
        }
        ["clock"] if is(&get) => Ok(Some(json!({"now": state.now()}))),
        ["clock"] if is(&post) => {
            let step: ClockStep = serde_json::from_slice(body)?;
            state.advance(SignedDuration::from_secs(step.advance_seconds));
            Ok(Some(json!({"now": state.now()})))
        }
        ["sign-ins"] if is(&get) => Ok(Some(serde_json::to_value(state.sign_ins())?)),
        ["tokens"] if is(&post) => {
            let new: NewToken = serde_json::from_slice(body)?;
            let scopes: Vec<&str> = new.scopes.iter().map(String::as_str).collect();
            let token = state.access_token(&new.client_id, new.user.as_deref(), &scopes)?;
            Ok(Some(json!({"access_token": token})))
        }
        _ => {
            let found = match parts {
                ["apps", rest @ ..] => apps::route(state, call, rest),
                ["users", rest @ ..] => people::route(state, call, rest),
                _ => None,
            };
            found.unwrap_or_else(|| {
                Err(Refusal(
                    StatusCode::NOT_FOUND,
                    format!("no such control: {method} {}", call.path),
                ))
            })
        }
    }
}

#[derive(Deserialize)]
struct NewFolder {
    path: String,
}

#[derive(Deserialize)]
struct ClockStep {
    advance_seconds: i64,
}

/// What of the timings is named, in seconds; the rest stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedTimings {
    access_token_seconds: Option<i64>,
    refresh_token_seconds: Option<i64>,
    /// `null` ends the policy.
    #[serde(default, deserialize_with = "given")]
    sign_in_frequency_seconds: Option<Option<i64>>,
    code_seconds: Option<i64>,
    device_code_seconds: Option<i64>,
    device_interval_seconds: Option<u32>,
    delivery_seconds: Option<i64>,
    upload_session_seconds: Option<i64>,
    service_millis: Option<u64>,
}

/// Tells `null` from an absent member.
fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<i64>>, D::Error> {
    Option::<i64>::deserialize(from).map(Some)
}

impl NamedTimings {
    fn apply(self, timings: &mut Timings) {
        for (place, value) in [
            (&mut timings.access_token, self.access_token_seconds),
            (&mut timings.refresh_token, self.refresh_token_seconds),
            (&mut timings.code, self.code_seconds),
            (&mut timings.device_code, self.device_code_seconds),
            (&mut timings.delivery, self.delivery_seconds),
            (&mut timings.upload_session, self.upload_session_seconds),
        ] {
            if let Some(seconds) = value {
                *place = SignedDuration::from_secs(seconds);
            }
        }
        if let Some(seconds) = self.sign_in_frequency_seconds {
            timings.sign_in_frequency = seconds.map(SignedDuration::from_secs);
        }
        if let Some(seconds) = self.device_interval_seconds {
            timings.device_interval = seconds;
        }
        if let Some(millis) = self.service_millis {
            timings.service = std::time::Duration::from_millis(millis);
        }
    }
}

fn timings(state: &TenantState) -> Value {
    let timings = state.world().timings.clone();
    json!({
        "access_token_seconds": timings.access_token.as_secs(),
        "refresh_token_seconds": timings.refresh_token.as_secs(),
        "sign_in_frequency_seconds": timings.sign_in_frequency.map(|most| most.as_secs()),
        "code_seconds": timings.code.as_secs(),
        "device_code_seconds": timings.device_code.as_secs(),
        "device_interval_seconds": timings.device_interval,
        "delivery_seconds": timings.delivery.as_secs(),
        "upload_session_seconds": timings.upload_session.as_secs(),
        "service_millis": u64::try_from(timings.service.as_millis()).unwrap_or(u64::MAX),
    })
}

#[derive(Deserialize)]
struct NewToken {
    client_id: String,
    #[serde(default)]
    user: Option<String>,
    scopes: Vec<String>,
}

#[derive(Deserialize)]
struct NewMail {
    #[serde(default)]
    folder: Option<String>,
    from: Recipient,
    #[serde(default)]
    to: Vec<Recipient>,
    subject: String,
    #[serde(default)]
    html: Option<String>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    attachments: Vec<serde_json::Map<String, Value>>,
}

impl NewMail {
    fn into_seed(self, mailbox: &str) -> Result<SeedMail, Refusal> {
        let attachments: Result<Vec<Attachment>, Refusal> = self
            .attachments
            .into_iter()
            .map(|map| {
                read_attachment(map)
                    .map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.message))
            })
            .collect();
        let body = match self.html {
            Some(content) => Body {
                is_html: true,
                content,
            },
            None => Body {
                is_html: false,
                content: self.text,
            },
        };
        Ok(SeedMail {
            folder: self.folder.unwrap_or_else(|| "inbox".to_owned()),
            to: self.to,
            body,
            attachments: attachments?,
            ..SeedMail::text(mailbox, self.from, &self.subject, "")
        })
    }
}

fn about(state: &TenantState) -> Value {
    let world = state.world();
    let apps: Vec<Value> = world
        .directory
        .apps
        .values()
        .map(|app| json!({"client_id": app.config.client_id, "name": app.config.name, "delegated": app.config.delegated, "roles": app.config.roles}))
        .collect();
    let users: Vec<Value> = world
        .accounts
        .iter()
        .map(|one| json!({"upn": one.user.upn, "name": one.user.display_name, "id": one.user.id, "signs_in": one.user.can_sign_in, "state": one.state}))
        .collect();
    let kinds = [
        RightKind::FullAccess,
        RightKind::SendAs,
        RightKind::SendOnBehalf,
    ];
    let mut rights: Vec<Value> = Vec::new();
    for kind in kinds {
        for (user, mailbox, _) in world.rights.iter().filter(|(_, _, other)| *other == kind) {
            let name = |number: usize| world.accounts[number].user.upn.clone();
            rights.push(json!({"user": name(*user), "mailbox": name(*mailbox), "kind": kind}));
        }
    }
    json!({"tenant_id": world.tenant_id, "domain": world.domain, "users": users, "apps": apps, "rights": rights})
}

fn file(attachment: &Attachment) -> Value {
    let digest = attachment.bytes().map(|bytes| hex(&Sha256::digest(bytes)));
    json!({
        "name": attachment.name,
        "content_type": attachment.content_type,
        "size": attachment.len(),
        "is_inline": attachment.is_inline,
        "sha256": digest,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn message(stored: &StoredMessage) -> Value {
    let message = &stored.message;
    let addresses = |list: &[Recipient]| {
        list.iter()
            .map(|one| one.address.clone())
            .collect::<Vec<_>>()
    };
    json!({
        "mailbox": stored.mailbox,
        "folder": stored.folder,
        "id": stored.id,
        "immutableId": stored.immutable_id,
        "internetMessageId": message.internet_message_id,
        "subject": message.subject,
        "from": message.from.as_ref().map(|from| &from.address),
        "sender": message.sender.as_ref().map(|sender| &sender.address),
        "to": addresses(&message.to),
        "cc": addresses(&message.cc),
        "bcc": addresses(&message.bcc),
        "isDraft": message.is_draft,
        "isRead": message.is_read,
        "inFlight": message.in_flight,
        "receivedDateTime": message.received,
        "properties": message.properties.iter().map(|(id, value)| json!({"id": id, "value": value})).collect::<Vec<_>>(),
        "attachments": message.attachments.iter().map(file).collect::<Vec<_>>(),
    })
}

fn mailboxes(state: &TenantState, only: Option<&str>) -> Result<Value, TenantError> {
    let names = only.map_or_else(|| state.mailboxes(), |name| vec![name.to_owned()]);
    let mut out = Vec::new();
    for name in names {
        let messages: Vec<Value> = state.messages(&name, None)?.iter().map(message).collect();
        out.push(json!({"mailbox": name, "folders": state.folders(&name)?, "messages": messages}));
    }
    Ok(json!({"mailboxes": out}))
}

fn outside(state: &TenantState) -> Value {
    let list: Vec<Value> = state
        .outside()
        .iter()
        .map(|mail| {
            let message = &mail.message;
            json!({
                "at": mail.at,
                "recipients": mail.recipients,
                "from": message.from.as_ref().map(|from| &from.address),
                "sender": message.sender.as_ref().map(|sender| &sender.address),
                "subject": message.subject,
                "internetMessageId": message.internet_message_id,
                "attachments": message.attachments.iter().map(file).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({"mail": list})
}
