//! A message and what belongs to it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use crate::store::html;

/// Somebody's name and address.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Recipient {
    /// The display name; empty when unknown.
    #[serde(default)]
    pub name: String,
    /// The SMTP address, as written.
    pub address: String,
}

impl Recipient {
    /// A recipient known by address alone.
    pub fn of(address: impl Into<String>) -> Self {
        Self {
            name: String::new(),
            address: address.into(),
        }
    }

    /// A recipient with a display name.
    pub fn named(name: impl Into<String>, address: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            address: address.into(),
        }
    }
}

/// A message's body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Body {
    /// Whether `content` is HTML.
    pub is_html: bool,
    /// The text or HTML.
    pub content: String,
}

/// What an attachment holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// A file's bytes.
    File(Bytes),
    /// A message, event or contact, as Graph's JSON.
    Item(Value),
    /// A link to a file in the cloud, as Graph's JSON properties.
    Reference(Value),
}

/// An attachment of a message.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// The attachment's number within its message.
    pub number: u32,
    /// The file name.
    pub name: String,
    /// The media type; absent for items.
    pub content_type: Option<String>,
    /// Whether the body shows it.
    pub is_inline: bool,
    /// The `cid:` that the body refers to.
    pub content_id: Option<String>,
    /// The `Content-Location`.
    pub content_location: Option<String>,
    /// When it was attached.
    pub modified: Timestamp,
    /// What it holds.
    pub content: Content,
}

impl Attachment {
    /// A file.
    pub fn file(name: &str, content_type: &str, bytes: impl Into<Bytes>) -> Self {
        Self {
            number: 0,
            name: name.to_owned(),
            content_type: Some(content_type.to_owned()),
            is_inline: false,
            content_id: None,
            content_location: None,
            modified: Timestamp::UNIX_EPOCH,
            content: Content::File(bytes.into()),
        }
    }

    /// The same, shown inside the body under `content_id`.
    pub fn inline(mut self, content_id: &str) -> Self {
        self.is_inline = true;
        self.content_id = Some(content_id.to_owned());
        self
    }

    /// The file's bytes; `None` for items and references.
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.content {
            Content::File(bytes) => Some(bytes),
            Content::Item(_) | Content::Reference(_) => None,
        }
    }

    /// The content's size in bytes.
    pub fn len(&self) -> usize {
        match &self.content {
            Content::File(bytes) => bytes.len(),
            Content::Item(value) | Content::Reference(value) => value.to_string().len(),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A message in a mailbox.
#[derive(Debug, Clone)]
pub struct Message {
    /// The item's number, unique in the tenant; part of its ids.
    pub key: u64,
    /// How often the default id has changed.
    pub generation: u32,
    /// How often the immutable id has changed (only when the policy says that sending changes it).
    pub immutable_generation: u32,
    /// Bumped by every change; the `changeKey`.
    pub change: u64,
    /// The folder's number in its mailbox.
    pub folder: u32,
    /// When the item was made.
    pub created: Timestamp,
    /// When it last changed.
    pub modified: Timestamp,
    /// When it arrived.
    pub received: Timestamp,
    /// When it was sent.
    pub sent: Timestamp,
    /// The subject; `None` when never set.
    pub subject: Option<String>,
    /// The body.
    pub body: Body,
    /// The mailbox that it is from.
    pub from: Option<Recipient>,
    /// Who really sent it.
    pub sender: Option<Recipient>,
    /// To.
    pub to: Vec<Recipient>,
    /// Cc.
    pub cc: Vec<Recipient>,
    /// Bcc.
    pub bcc: Vec<Recipient>,
    /// Reply-To.
    pub reply_to: Vec<Recipient>,
    /// The `Message-ID`, angle brackets included.
    pub internet_message_id: String,
    /// The conversation.
    pub conversation_id: String,
    /// `low`, `normal` or `high`.
    pub importance: String,
    /// `focused` or `other`.
    pub inference: String,
    /// Categories.
    pub categories: Vec<String>,
    /// The follow-up flag, as Graph's JSON.
    pub flag: Option<Value>,
    /// Whether it was read.
    pub is_read: bool,
    /// Whether it is still a draft.
    pub is_draft: bool,
    /// A read receipt was asked for.
    pub read_receipt: bool,
    /// A delivery receipt was asked for.
    pub delivery_receipt: Option<bool>,
    /// Internet headers, in order.
    pub headers: Vec<(String, String)>,
    /// Single-value extended properties: canonical id and value.
    pub properties: Vec<(String, String)>,
    /// Multi-value extended properties.
    pub multi_properties: Vec<(String, Vec<String>)>,
    /// Attachments.
    pub attachments: Vec<Attachment>,
    /// The MIME text that it was made from, if any.
    pub mime: Option<Bytes>,
    /// Whether it was handed to transport and still waits in Drafts.
    pub in_flight: bool,
}

impl Message {
    /// An empty draft made at `now`.
    pub(crate) fn draft(key: u64, now: Timestamp, domain: &str) -> Self {
        Self {
            key,
            generation: 0,
            immutable_generation: 0,
            change: 0,
            folder: 0,
            created: now,
            modified: now,
            received: now,
            sent: now,
            subject: None,
            body: Body::default(),
            from: None,
            sender: None,
            to: Vec::new(),
            cc: Vec::new(),
            bcc: Vec::new(),
            reply_to: Vec::new(),
            internet_message_id: format!("<{}@{domain}>", crate::guid::random_name(18)),
            conversation_id: conversation(&crate::guid::random_name(24)),
            importance: "normal".to_owned(),
            inference: "focused".to_owned(),
            categories: Vec::new(),
            flag: None,
            is_read: true,
            is_draft: true,
            read_receipt: false,
            delivery_receipt: Some(false),
            headers: Vec::new(),
            properties: Vec::new(),
            multi_properties: Vec::new(),
            attachments: Vec::new(),
            mime: None,
            in_flight: false,
        }
    }

    /// Whether an attachment that is not inline exists: inline ones do not count (message.md).
    pub fn has_attachments(&self) -> bool {
        self.attachments
            .iter()
            .any(|attachment| !attachment.is_inline)
    }

    /// The first 255 characters of the body's text.
    pub fn preview(&self) -> String {
        let text = if self.body.is_html {
            html::to_text(&self.body.content)
        } else {
            self.body.content.clone()
        };
        text.trim().chars().take(255).collect()
    }

    /// The `changeKey`.
    pub(crate) fn change_key(&self) -> String {
        let mut raw = [0_u8; 30];
        raw[..8].copy_from_slice(&[0x09, 0, 0, 0, 0x16, 0, 0, 0]);
        raw[8..16].copy_from_slice(&self.key.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        raw[22..].copy_from_slice(&self.change.to_be_bytes());
        STANDARD.encode(raw)
    }

    /// Attaches `attachment` and returns its number.
    pub(crate) fn attach(&mut self, mut attachment: Attachment, now: Timestamp) -> u32 {
        let number = self
            .attachments
            .iter()
            .map(|other| other.number)
            .max()
            .unwrap_or(0)
            + 1;
        attachment.number = number;
        attachment.modified = now;
        self.attachments.push(attachment);
        number
    }

    /// Everybody it goes to.
    pub fn recipients(&self) -> impl Iterator<Item = &Recipient> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }

    /// An extended property's value by canonical id.
    pub fn property(&self, id: &str) -> Option<&str> {
        let id = canonical_property(id);
        self.properties
            .iter()
            .find(|(name, _)| *name == id)
            .map(|(_, value)| value.as_str())
    }

    /// Sets an extended property.
    pub(crate) fn set_property(&mut self, id: &str, value: String) {
        let id = canonical_property(id);
        match self.properties.iter_mut().find(|(name, _)| *name == id) {
            Some((_, old)) => *old = value,
            None => self.properties.push((id, value)),
        }
    }

    /// Its size in bytes, roughly as Exchange counts it.
    pub fn size(&self) -> usize {
        self.body.content.len() + self.attachments.iter().map(Attachment::len).sum::<usize>()
    }
}

/// A conversation id made of `seed`.
pub(crate) fn conversation(seed: &str) -> String {
    format!("AAQk{}=", seed.replace('_', "x"))
}

/// An extended property's id with its type and GUID in one spelling; the name keeps its case,
/// as names are case-sensitive (extended-properties-overview.md).
pub(crate) fn canonical_property(id: &str) -> String {
    let mut words = id.split_whitespace();
    let (Some(kind), Some(set)) = (words.next(), words.next()) else {
        return id.trim().to_owned();
    };
    let kind = capitalised(kind);
    match words.next() {
        None => format!("{kind} {}", set.to_ascii_lowercase()),
        Some(how) => {
            let rest = id.split_once(how).map_or("", |(_, rest)| rest.trim());
            let how = capitalised(how);
            let rest = if how == "Id" {
                rest.to_ascii_lowercase()
            } else {
                rest.to_owned()
            };
            format!("{kind} {} {how} {rest}", set.to_ascii_lowercase())
        }
    }
}

fn capitalised(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    let mut letters = lower.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + letters.as_str()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn property_ids_ignore_case_but_for_the_name() {
        let check = |input: &str, expected: &str| {
            assert_eq!(canonical_property(input), expected, "{input}")
        };
        check(
            "string {ABC} name Docket Key",
            "String {abc} Name Docket Key",
        );
        check("String {abc} Name docket", "String {abc} Name docket");
        check("Integer 0x0E08", "Integer 0x0e08");
        check("Integer {ABC} Id 0x8002", "Integer {abc} Id 0x8002");
        check(
            "String {00020329-0000-0000-C000-000000000046} Name Name",
            "String {00020329-0000-0000-c000-000000000046} Name Name",
        );
    }
}
