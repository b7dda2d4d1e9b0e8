//! Messages as Graph describes them, and the look-ups that tell what became of one.

use docket_graph::{Mailbox, MessageHandle, encode, odata_text, text, unexpected};
use docket_plugin_sdk::{Failure, HttpError, Problem, Response};
use serde_json::{Value, json};

/// An extended property that holds a step's idempotency key; a named property of Docket's own
/// ("Outlook extended properties overview").
#[derive(Clone, Copy)]
pub(crate) struct Stamp(&'static str);

/// On the message that a step created.
pub(crate) const CREATED: Stamp =
    Stamp("String {6f1c5a52-6c0b-4d7e-9c52-2f5e1a4b8d31} Name DocketIdempotencyKey");
/// On a draft that somebody else created and a step sends.
pub(crate) const SENT: Stamp =
    Stamp("String {6f1c5a52-6c0b-4d7e-9c52-2f5e1a4b8d31} Name DocketSendKey");
/// On a message that a step copies, and so on its copy.
pub(crate) const COPIED: Stamp =
    Stamp("String {6f1c5a52-6c0b-4d7e-9c52-2f5e1a4b8d31} Name DocketCopyKey");

impl Stamp {
    /// The property with this step's key.
    pub(crate) fn of(self, mailbox: &Mailbox<'_>) -> Value {
        json!({"id": self.0, "value": mailbox.call().idempotency_key()})
    }

    /// The messages that carry this step's stamp; submitted ones before drafts, older before newer.
    /// A draft beside a submitted one is a second one, of a request that was thought lost.
    pub(crate) fn find(self, mailbox: &Mailbox<'_>) -> Result<Vec<Message>, Failure> {
        let rows = mailbox.find_stamped(self.0, mailbox.call().idempotency_key(), SELECT)?;
        let found: Result<Vec<Message>, Failure> = rows.iter().map(Message::read).collect();
        let mut found = found?;
        found.sort_by(|a, b| (a.is_draft, &a.created).cmp(&(b.is_draft, &b.created)));
        Ok(found)
    }
}

/// What is read of a message.
const SELECT: &str = "id,isDraft,subject,webLink,internetMessageId,parentFolderId,createdDateTime,lastModifiedDateTime";

/// A message as Graph describes it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) is_draft: bool,
    pub(crate) subject: String,
    pub(crate) web_link: Option<String>,
    pub(crate) internet_message_id: Option<String>,
    pub(crate) folder: Option<String>,
    /// When it last changed; RFC 3339.
    pub(crate) modified: Option<String>,
    created: Option<String>,
}

impl Message {
    /// Reads it out of an answer.
    pub(crate) fn read(value: &Value) -> Result<Self, Failure> {
        let of = |name: &str| text(value, name).map(str::to_owned);
        let (Some(id), Some(is_draft)) = (of("id"), value["isDraft"].as_bool()) else {
            return Err(Failure::Unavailable(Problem::new(
                "InvalidAnswer",
                "the server's answer is no message",
            )));
        };
        Ok(Self {
            id,
            is_draft,
            subject: of("subject").unwrap_or_default(),
            web_link: of("webLink"),
            internet_message_id: of("internetMessageId"),
            folder: of("parentFolderId"),
            modified: of("lastModifiedDateTime"),
            created: of("createdDateTime"),
        })
    }

    /// The message of that immutable id.
    pub(crate) fn get(mailbox: &Mailbox<'_>, id: &str, doing: &str) -> Result<Self, Failure> {
        let path = format!("{}?$select={SELECT}", path(id));
        Self::read(&mailbox.get(&path, doing)?)
    }

    /// A message of that Internet message id, one that was submitted rather than a draft.
    pub(crate) fn by_internet_id(mailbox: &Mailbox<'_>, id: &str) -> Result<Option<Self>, Failure> {
        let filter = format!("internetMessageId eq {}", odata_text(id));
        let copies = mailbox.find(&filter, SELECT)?;
        let copies: Result<Vec<Self>, Failure> = copies.iter().map(Self::read).collect();
        Ok(copies?.into_iter().min_by_key(|copy| copy.is_draft))
    }

    /// What other steps name it by.
    pub(crate) fn handle(&self, mailbox: &Mailbox<'_>) -> MessageHandle {
        MessageHandle {
            id: self.id.clone(),
            mailbox: mailbox.address().to_owned(),
        }
    }

    /// What became of it after it was sent: by immutable id, then by its Internet message id, then
    /// by the stamp. Graph's documents disagree on whether the first survives sending.
    pub(crate) fn after_sending(
        &self,
        mailbox: &Mailbox<'_>,
        stamp: Stamp,
    ) -> Result<Option<Self>, Failure> {
        match Self::get(mailbox, &self.id, "looking for the sent copy") {
            Ok(message) => return Ok(Some(message)),
            Err(Failure::NotFound(_)) => {}
            Err(failure) => return Err(failure),
        }
        if let Some(id) = &self.internet_message_id
            && let Some(copy) = Self::by_internet_id(mailbox, id)?
        {
            return Ok(Some(copy));
        }
        Ok(stamp.find(mailbox)?.into_iter().next())
    }
}

/// The path of a message below its mailbox.
pub(crate) fn path(id: &str) -> String {
    format!("/messages/{}", encode(id))
}

/// How often a repeatable request is sent before its failure counts.
const TRIES: usize = 3;

/// How a piece of work ended.
pub(crate) enum Ended<T> {
    /// It is known how.
    Known(T),
    /// A reply is missing: look.
    Lost(String),
}

/// What an answer to a request with an effect means: only the documented status is success. Graph
/// has answered 200 to mail that it did not send.
pub(crate) fn ended(
    mailbox: &Mailbox<'_>,
    answer: Result<Response, HttpError>,
    documented: &[u16],
    doing: &str,
) -> Result<Ended<Response>, Failure> {
    match answer {
        Ok(answer) if documented.contains(&answer.status) => {
            // Keeps the server's time.
            mailbox.success(&answer, doing)?;
            Ok(Ended::Known(answer))
        }
        Ok(answer) if leaves_open(&answer) => Ok(Ended::Lost(format!("status {}", answer.status))),
        Ok(answer) if answer.is_success() => Err(unexpected(&answer, doing)),
        Ok(answer) => Err(mailbox.failure(&answer, doing)),
        Err(HttpError::Interrupted(why)) => Ok(Ended::Lost(why)),
        // The effect took place; only what was said of it is too long.
        Err(HttpError::TooLarge(limit)) => {
            Ok(Ended::Lost(format!("an answer of over {limit} bytes")))
        }
        Err(error) => Err(error.into_failure()),
    }
}

/// Whether an answer leaves open if the request took effect: a gateway may give up on a request
/// that the service then carries out. An answer that says when to come back was not carried out.
fn leaves_open(answer: &Response) -> bool {
    matches!(answer.status, 408 | 500 | 502 | 503 | 504)
        && !(answer.status == 503 && answer.header("retry-after").is_some())
}

/// Changes a message's properties ("Update message"). Setting the same twice is setting it once, so
/// a lost reply is followed by the same request.
pub(crate) fn update(
    mailbox: &Mailbox<'_>,
    id: &str,
    change: &Value,
    doing: &str,
) -> Result<Message, Failure> {
    let mut lost = String::new();
    for _ in 0..TRIES {
        let answer = mailbox
            .request("PATCH", &path(id))
            .repeatable()
            .json(change)
            .send();
        match ended(mailbox, answer, &[200], doing)? {
            Ended::Known(answer) => return Message::read(&answer.json()?),
            Ended::Lost(why) => lost = why,
        }
    }
    Err(interrupted(&lost))
}

/// The failure of an attempt whose replies got lost again and again.
pub(crate) fn interrupted(why: &str) -> Failure {
    Failure::Unavailable(Problem::new(
        "Interrupted",
        format!("the server's replies got lost again and again: {why}"),
    ))
}
