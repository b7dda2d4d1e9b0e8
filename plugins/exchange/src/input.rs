//! What a designer writes under `with`, and the checks that need no mailbox.

use docket_graph::MessageHandle;
use docket_plugin_sdk::{DocumentRef, Failure, Problem};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The most recipients of a message, over to, cc and bcc ("message resource type").
const MOST_RECIPIENTS: usize = 500;
/// The most headers of one's own ("message resource type").
const MOST_HEADERS: usize = 5;

/// The input of `send`, `draft` and `update-draft`. Which of it an action takes, its schema says.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Input {
    /// The draft that `update-draft` changes.
    pub(crate) message: Option<MessageHandle>,
    pub(crate) from: Option<String>,
    pub(crate) to: Value,
    pub(crate) cc: Value,
    pub(crate) bcc: Value,
    pub(crate) reply_to: Value,
    pub(crate) subject: Option<String>,
    pub(crate) html: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) mime: Option<DocumentRef>,
    pub(crate) importance: Option<String>,
    pub(crate) categories: Option<Vec<String>>,
    pub(crate) headers: Map<String, Value>,
    pub(crate) delivery_receipt: Option<bool>,
    pub(crate) read_receipt: Option<bool>,
    pub(crate) attachments: Vec<DocumentRef>,
    pub(crate) inline: Vec<Inline>,
    pub(crate) in_reply_to: Option<MessageHandle>,
    pub(crate) reply_all: bool,
    pub(crate) forward: Option<MessageHandle>,
    pub(crate) sent_items: SentItems,
    pub(crate) defer_until: Option<String>,
    pub(crate) delivery: Delivery,
}

/// A picture inside the body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inline {
    pub(crate) document: DocumentRef,
    /// What the body calls it by: `<img src="cid:…">`.
    pub(crate) cid: String,
}

/// Where the sent copy goes.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SentItems {
    #[default]
    FromMailbox,
    Account,
    None,
}

/// How a mail is sent.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Delivery {
    #[default]
    Once,
    Fast,
}

/// The failure of an input that cannot work.
pub(crate) fn invalid(code: &str, message: impl Into<String>, remedy: &str) -> Failure {
    Failure::InvalidInput(Problem::new(code, message).remedy(remedy))
}

impl Input {
    /// The message that is answered or forwarded, and Graph's action for it.
    pub(crate) fn original(&self) -> Result<Option<(&MessageHandle, &'static str)>, Failure> {
        match (&self.in_reply_to, &self.forward) {
            (Some(_), Some(_)) => Err(invalid(
                "ReplyAndForward",
                "a mail is either a reply or forwarded",
                "give one of in-reply-to and forward",
            )),
            (Some(original), None) if self.reply_all => Ok(Some((original, "createReplyAll"))),
            (Some(original), None) => Ok(Some((original, "createReply"))),
            (None, Some(original)) => Ok(Some((original, "createForward"))),
            (None, None) => Ok(None),
        }
    }

    /// The recipients by Graph's property, where there are any, and how many they are.
    pub(crate) fn recipients(&self) -> Result<(Map<String, Value>, usize), Failure> {
        let lists = [
            ("toRecipients", "to", &self.to),
            ("ccRecipients", "cc", &self.cc),
            ("bccRecipients", "bcc", &self.bcc),
            ("replyTo", "reply-to", &self.reply_to),
        ];
        let mut found = Map::new();
        let mut count = 0;
        for (property, name, list) in lists {
            let people = people(name, list)?;
            if property != "replyTo" {
                count += people.len();
            }
            if !people.is_empty() {
                found.insert(property.to_owned(), people.into());
            }
        }
        if count > MOST_RECIPIENTS {
            return Err(invalid(
                "TooManyRecipients",
                format!("{count} recipients are too many"),
                "a message takes 500 recipients over to, cc and bcc; send several",
            ));
        }
        Ok((found, count))
    }

    /// The body in Graph's form; `None` where the input has none.
    pub(crate) fn body(&self) -> Result<Option<Value>, Failure> {
        let (kind, content) = match (&self.html, &self.text) {
            (Some(html), None) => ("html", html),
            (None, Some(text)) => ("text", text),
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(invalid(
                    "TwoBodies",
                    "the mail has both html and text",
                    "give one of the two",
                ));
            }
        };
        Ok(Some(json!({"contentType": kind, "content": content})))
    }
}

/// An address in `from`; its form is checked where it becomes a URL.
pub(crate) fn person(address: &str, name: &str) -> Value {
    if name.is_empty() {
        json!({"emailAddress": {"address": address}})
    } else {
        json!({"emailAddress": {"address": address, "name": name}})
    }
}

/// Recipients: an address, an object with `address` and `name`, or a list of such.
fn people(list: &str, value: &Value) -> Result<Vec<Value>, Failure> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(all) => all.iter().map(|one| recipient(list, one)).collect(),
        one => recipient(list, one).map(|one| vec![one]),
    }
}

fn recipient(list: &str, value: &Value) -> Result<Value, Failure> {
    let (address, name) = match value {
        Value::String(address) => (address.as_str(), ""),
        _ => (
            value["address"].as_str().unwrap_or_default(),
            value["name"].as_str().unwrap_or_default(),
        ),
    };
    let trimmed = address.trim();
    let is_address = trimmed.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    let has_strays =
        trimmed.contains(|c: char| c.is_control() || c.is_whitespace() || ";,<>\"".contains(c));
    if !is_address || has_strays {
        return Err(invalid(
            "InvalidRecipient",
            format!("{address:?} in {list} is no address"),
            "give one plain address each, as in anna@example.com",
        ));
    }
    Ok(person(trimmed, one_line(list, name)?))
}

/// Text without control characters.
pub(crate) fn one_line<'t>(name: &str, text: &'t str) -> Result<&'t str, Failure> {
    if text.contains(char::is_control) {
        return Err(invalid(
            "ControlCharacter",
            format!("{name} has a control character in it"),
            "remove line breaks and tabs; they could smuggle in a header",
        ));
    }
    Ok(text)
}

/// Headers of one's own in Graph's form.
pub(crate) fn headers(headers: &Map<String, Value>) -> Result<Value, Failure> {
    if headers.len() > MOST_HEADERS {
        return Err(invalid(
            "TooManyHeaders",
            format!("{} headers are too many", headers.len()),
            "a message takes five headers of your own",
        ));
    }
    let mut list = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let (start, rest) = name.split_at_checked(2).unwrap_or_default();
        let is_name = start.eq_ignore_ascii_case("x-")
            && !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_name {
            return Err(invalid(
                "InvalidHeader",
                format!("{name:?} is no header of your own"),
                "begin with `x-` and use letters, digits and hyphens",
            ));
        }
        let value = one_line(name, value.as_str().unwrap_or_default())?;
        list.push(json!({"name": name, "value": value}));
    }
    Ok(list.into())
}
