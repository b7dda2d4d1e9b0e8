//! Creating a stamped draft effectively once, and knowing what became of it.
//!
//! Graph offers no idempotency of its own. So each message carries a stamp, and this is the rule
//! that everything here follows: *whenever a reply is missing, look*. What is found decides:
//!
//! | found | it means | next |
//! |---|---|---|
//! | nothing | nothing was created | create the draft |
//! | a draft that lacks an attachment | created, not submitted | attach what is missing, send |
//! | a complete draft | perhaps submitted | wait until it cannot be on its way any more, send |
//! | no draft any more | submitted | done |
//!
//! The third line is the delicate one. Exchange moves a submitted message to Sent Items only after
//! transport has taken it ("Understand the process of sending Outlook mail"); until then it looks
//! like a draft, and what sending it again does is not documented. So a draft that may have been
//! submitted is sent again only once it has lain unchanged for [`SETTLED_AFTER`].

use std::time::Duration;

use docket_graph::{Mailbox, encode, json_time, odata_text, unexpected};
use docket_plugin_sdk::{Failure, HttpError, Problem, Response};
use serde::Deserialize;
use serde_json::Value;

use crate::attach;
use crate::mail::Mail;

/// The extended property that holds the idempotency key; a named property of Docket's own
/// ("Outlook extended properties overview").
pub(crate) const STAMP: &str =
    "String {6f1c5a52-6c0b-4d7e-9c52-2f5e1a4b8d31} Name DocketIdempotencyKey";

/// What is read of a message.
pub(crate) const SELECT: &str = "id,isDraft,subject,webLink,internetMessageId,parentFolderId,createdDateTime,lastModifiedDateTime";

/// After how many seconds without a change a draft is not on its way any more. Transport takes
/// seconds as a rule; the wait is only ever needed after a break in the one request that sends.
const SETTLED_AFTER: i64 = 60;

/// How many times a missing reply is followed by a look before the attempt gives up. The engine's
/// next attempt looks again.
const ROUNDS: usize = 4;

/// A message as Graph describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) is_draft: bool,
    #[serde(default)]
    pub(crate) subject: Option<String>,
    #[serde(default)]
    pub(crate) web_link: Option<String>,
    #[serde(default)]
    pub(crate) internet_message_id: Option<String>,
    #[serde(default)]
    pub(crate) parent_folder_id: Option<String>,
    #[serde(default)]
    created_date_time: Option<String>,
    #[serde(default)]
    last_modified_date_time: Option<String>,
}

/// How a piece of work ended.
pub(crate) enum Ended<T> {
    /// It is known how.
    Known(T),
    /// A reply is missing: look.
    Lost(String),
}

/// Turns an answer's absence into a look or a failure.
pub(crate) fn lost_or_failed<T>(error: HttpError) -> Result<Ended<T>, Failure> {
    match error {
        HttpError::Interrupted(why) => Ok(Ended::Lost(why)),
        // The effect took place; only what was said of it is too long.
        HttpError::TooLarge(limit) => Ok(Ended::Lost(format!("an answer of over {limit} bytes"))),
        error => Err(error.into_failure()),
    }
}

/// Whether an answer leaves open if the request took effect: a gateway may give up on a request
/// that the service then carries out.
pub(crate) const fn leaves_open(answer: &Response) -> bool {
    matches!(answer.status, 408 | 500 | 502 | 503 | 504)
}

/// The stamped message, created by `path` where it is not there, with everything attached. Then
/// `finish` does the last thing to it, if it is still a draft; it is told whether an earlier
/// `finish` may have done it already.
pub(crate) fn deliver<T>(
    mailbox: &Mailbox<'_>,
    create: &str,
    body: &Value,
    mail: &Mail,
    mut finish: impl FnMut(&Message, bool) -> Result<Ended<T>, Failure>,
    already: impl Fn(Message) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut lost = None;
    let mut look = mailbox.call().attempt() > 1;
    let mut may_be_finished = look;
    for _ in 0..ROUNDS {
        let found = if look { stamped(mailbox)? } else { None };
        let is_found = found.is_some();
        look = true;
        let draft = match found {
            Some(message) if !message.is_draft => return already(message),
            Some(draft) => draft,
            None => match create_draft(mailbox, create, body)? {
                Ended::Known(draft) => draft,
                Ended::Lost(why) => {
                    lost = Some(why);
                    continue;
                }
            },
        };
        match attach::all(mailbox, &draft.id, &mail.attachments, is_found)? {
            // What was incomplete was not finished before.
            Ended::Known(was_complete) => may_be_finished &= is_found && was_complete,
            Ended::Lost(why) => {
                lost = Some(why);
                continue;
            }
        }
        match finish(&draft, may_be_finished)? {
            Ended::Known(done) => return Ok(done),
            Ended::Lost(why) => lost = Some(why),
        }
        may_be_finished = true;
    }
    let why = lost.unwrap_or_default();
    Err(Failure::Unavailable(Problem::new(
        "Interrupted",
        format!("the server's replies got lost again and again: {why}"),
    )))
}

fn create_draft(
    mailbox: &Mailbox<'_>,
    path: &str,
    body: &Value,
) -> Result<Ended<Message>, Failure> {
    let doing = "creating the draft";
    match mailbox.request("POST", path).json(body).send() {
        // createReply is documented with 201 and shown with 200.
        Ok(answer) if matches!(answer.status, 200 | 201) => answer.json().map(Ended::Known),
        Ok(answer) if leaves_open(&answer) => Ok(Ended::Lost(format!("status {}", answer.status))),
        Ok(answer) if answer.is_success() => Err(unexpected(&answer, doing)),
        Ok(answer) => Err(mailbox.failure(&answer, doing)),
        Err(error) => lost_or_failed(error),
    }
}

/// How long a draft that may have been submitted must still be left alone; `None` where it can be
/// sent. A draft whose age is not known is as young as can be.
pub(crate) fn unsettled(mailbox: &Mailbox<'_>, draft: &Message) -> Option<Duration> {
    let changed = draft.last_modified_date_time.as_deref();
    let age = changed
        .and_then(json_time)
        .map_or(0, |changed| mailbox.server_time().saturating_sub(changed));
    let left = SETTLED_AFTER.saturating_sub(age).min(SETTLED_AFTER);
    u64::try_from(left)
        .ok()
        .filter(|left| *left > 0)
        .map(Duration::from_secs)
}

/// The message that carries this step's stamp. A submitted one counts before a draft: then the
/// draft is a second one, of a request that was thought lost.
pub(crate) fn stamped(mailbox: &Mailbox<'_>) -> Result<Option<Message>, Failure> {
    let mut found: Vec<Message> =
        mailbox.find_stamped(STAMP, mailbox.call().idempotency_key(), SELECT)?;
    found.sort_by(|a, b| {
        (a.is_draft, &a.created_date_time).cmp(&(b.is_draft, &b.created_date_time))
    });
    Ok(found.into_iter().next())
}

/// What became of a message that was sent: by immutable id, then by its Internet message id, then
/// by its stamp. Graph's documents disagree on whether the first survives sending.
pub(crate) fn after_sending(
    mailbox: &Mailbox<'_>,
    draft: &Message,
) -> Result<Option<Message>, Failure> {
    let path = format!("/messages/{}?$select={SELECT}", encode(&draft.id));
    match mailbox.get::<Message>(&path, "looking for the sent copy") {
        Ok(message) => return Ok(Some(message)),
        Err(Failure::NotFound(_)) => {}
        Err(failure) => return Err(failure),
    }
    if let Some(id) = &draft.internet_message_id {
        let filter = format!("internetMessageId eq {}", odata_text(id));
        let mut copies: Vec<Message> = mailbox.find(&filter, SELECT)?;
        copies.sort_by_key(|copy| copy.is_draft);
        if let Some(copy) = copies.into_iter().next() {
            return Ok(Some(copy));
        }
    }
    stamped(mailbox)
}
