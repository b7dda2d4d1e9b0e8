//! A message as the output has it.

use docket_graph::{MessageHandle, text};
use docket_plugin_sdk::{DocumentRef, Failure};
use serde::Serialize;
use serde_json::Value;

use crate::attachment::{Attachment, Skipped};
use crate::take::Trouble;

/// A message in the output.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Message {
    /// For sources: what names the item for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    pub(crate) id: String,
    mailbox: String,
    message: MessageHandle,
    folder: String,
    internet_message_id: String,
    conversation_id: String,
    pub(crate) subject: String,
    from: Person,
    sender: Person,
    to: Vec<Person>,
    cc: Vec<Person>,
    bcc: Vec<Person>,
    reply_to: Vec<Person>,
    received_at: String,
    sent_at: String,
    read: bool,
    importance: String,
    categories: Vec<String>,
    web_link: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) html: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    preview: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) headers: Option<Vec<Header>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) original: Option<DocumentRef>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) skipped: Vec<Skipped>,
    /// For sources: why it is given without what belongs to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Unreadable>,
    /// Why it could not be read.
    #[serde(skip)]
    pub(crate) failed: Option<Failure>,
}

/// Why a message could not be read, for those who are told.
#[derive(Serialize)]
pub(crate) struct Unreadable {
    pub(crate) code: String,
    pub(crate) message: String,
}

#[derive(Serialize)]
pub(crate) struct Header {
    name: String,
    value: String,
}

#[derive(Serialize, Default)]
struct Person {
    name: String,
    address: String,
}

impl Person {
    fn read(recipient: &Value) -> Self {
        let of = |name| text(&recipient["emailAddress"], name).unwrap_or_default();
        let (name, address) = (of("name"), of("address"));
        Self {
            // Somebody without a name is called by the address.
            name: if name.is_empty() { address } else { name }.to_owned(),
            address: address.to_owned(),
        }
    }

    fn all(recipients: &Value) -> Vec<Self> {
        let all = recipients.as_array().into_iter().flatten();
        all.map(Self::read).collect()
    }
}

impl Message {
    /// As a listing of a folder has it.
    pub(crate) fn listed(row: &Value, folder: &str, mailbox: &str) -> Self {
        let of = |name: &str| text(row, name).unwrap_or_default().to_owned();
        let categories = row["categories"].as_array().into_iter().flatten();
        let mailbox = mailbox.to_owned();
        Self {
            key: None,
            id: of("id"),
            message: MessageHandle {
                id: of("id"),
                mailbox: mailbox.clone(),
            },
            mailbox,
            folder: folder.to_owned(),
            internet_message_id: of("internetMessageId"),
            conversation_id: of("conversationId"),
            subject: of("subject"),
            from: Person::read(&row["from"]),
            sender: Person::read(&row["sender"]),
            to: Person::all(&row["toRecipients"]),
            cc: Person::all(&row["ccRecipients"]),
            bcc: Person::all(&row["bccRecipients"]),
            reply_to: Person::all(&row["replyTo"]),
            received_at: of("receivedDateTime"),
            sent_at: of("sentDateTime"),
            read: row["isRead"].as_bool().unwrap_or(false),
            importance: of("importance"),
            categories: categories
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            web_link: of("webLink"),
            html: None,
            text: None,
            preview: of("bodyPreview"),
            headers: None,
            original: None,
            attachments: Vec::new(),
            skipped: Vec::new(),
            failure: None,
            failed: None,
        }
    }

    /// Takes note of what kept it from being read; the first reason stays.
    ///
    /// # Errors
    /// What keeps all others from being read, too.
    pub(crate) fn fail(&mut self, trouble: Trouble) -> Result<(), Failure> {
        match trouble {
            Trouble::OfAll(failure) => Err(failure),
            Trouble::OfOne(failure) => {
                self.failed.get_or_insert(failure);
                Ok(())
            }
        }
    }

    /// Whether documents of it were read.
    pub(crate) fn has_documents(&self) -> bool {
        let mut attachments = self.attachments.iter();
        self.original.is_some() || attachments.any(|attachment| attachment.document.is_some())
    }

    pub(crate) fn skip(&mut self, name: &str, why: String) {
        self.skipped.push(Skipped {
            name: name.to_owned(),
            why,
        });
    }
}

/// The headers of a message as the service lists them.
pub(crate) fn headers(list: &Value) -> Vec<Header> {
    let of = |header: &Value, name| text(header, name).unwrap_or_default().to_owned();
    let all = list.as_array().into_iter().flatten();
    all.map(|header| Header {
        name: of(header, "name"),
        value: of(header, "value"),
    })
    .collect()
}
