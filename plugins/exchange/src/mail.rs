//! A mail as an input describes it: checked, and in Graph's form ("message resource type").

use docket_graph::MessageHandle;
use docket_plugin_sdk::{Call, Document, DocumentRef, Failure, Problem};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::delivery::STAMP;

/// The most recipients of a message, over all three lists ("message resource type").
const MAX_RECIPIENTS: usize = 500;

/// The input of `send` and `draft`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Input {
    pub(crate) from: Option<String>,
    #[serde(default)]
    to: Addresses,
    #[serde(default)]
    cc: Addresses,
    #[serde(default)]
    bcc: Addresses,
    #[serde(default)]
    reply_to: Addresses,
    subject: Option<String>,
    html: Option<String>,
    text: Option<String>,
    importance: Option<String>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    attachments: Vec<DocumentRef>,
    pub(crate) reply_to_message: Option<MessageHandle>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Addresses {
    One(String),
    Many(Vec<String>),
}

impl Default for Addresses {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Addresses {
    fn all(&self) -> &[String] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Many(addresses) => addresses,
        }
    }
}

/// A mail that can be created.
pub(crate) struct Mail {
    /// The message in Graph's form, with the stamp.
    pub(crate) message: Value,
    /// What to attach, under names that are unique in the mail.
    pub(crate) attachments: Vec<(String, Document)>,
}

impl Mail {
    /// Checks the input. `mailbox` is where the mail is created.
    pub(crate) fn new(call: &Call, input: &Input, mailbox: &str) -> Result<Self, Failure> {
        let count = [&input.to, &input.cc, &input.bcc]
            .iter()
            .map(|list| list.all().len())
            .sum::<usize>();
        if count > MAX_RECIPIENTS {
            return Err(invalid(
                "TooManyRecipients",
                format!("{count} recipients are too many"),
                "a message takes 500 recipients over to, cc and bcc; send several",
            ));
        }
        let mut message = Map::new();
        let lists = [
            ("toRecipients", "to", &input.to),
            ("ccRecipients", "cc", &input.cc),
            ("bccRecipients", "bcc", &input.bcc),
            ("replyTo", "reply-to", &input.reply_to),
        ];
        for (property, name, list) in lists {
            if !list.all().is_empty() {
                message.insert(property.to_owned(), recipients(name, list.all())?);
            }
        }
        if input.reply_to_message.is_none() && count == 0 {
            return Err(invalid(
                "NoRecipients",
                "the mail has no recipients",
                "give at least one address in to, cc or bcc",
            ));
        }
        if let Some(subject) = &input.subject {
            message.insert("subject".to_owned(), one_line("subject", subject)?.into());
        }
        let (kind, content) = match (&input.html, &input.text) {
            (Some(html), None) => ("html", html),
            (None, Some(text)) => ("text", text),
            _ => {
                return Err(invalid(
                    "NoBody",
                    "the mail needs either html or text",
                    "give one of the two",
                ));
            }
        };
        message.insert(
            "body".to_owned(),
            json!({"contentType": kind, "content": content}),
        );
        if let Some(importance) = &input.importance {
            message.insert("importance".to_owned(), importance.as_str().into());
        }
        // `from` only where it differs: the service fills in the rest ("Send Outlook messages from
        // another user").
        if !mailbox.eq_ignore_ascii_case(&call.account()?.name) {
            message.insert(
                "from".to_owned(),
                json!({"emailAddress": {"address": mailbox}}),
            );
        }
        if !input.headers.is_empty() {
            message.insert(
                "internetMessageHeaders".to_owned(),
                headers(&input.headers)?,
            );
        }
        message.insert(
            "singleValueExtendedProperties".to_owned(),
            json!([{"id": STAMP, "value": call.idempotency_key()}]),
        );
        Ok(Self {
            message: Value::Object(message),
            attachments: attachments(call, &input.attachments)?,
        })
    }
}

fn invalid(code: &str, message: impl Into<String>, remedy: &str) -> Failure {
    Failure::InvalidInput(Problem::new(code, message).remedy(remedy))
}

fn recipients(list: &str, addresses: &[String]) -> Result<Value, Failure> {
    let mut found = Vec::with_capacity(addresses.len());
    for address in addresses {
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
        found.push(json!({"emailAddress": {"address": trimmed}}));
    }
    Ok(found.into())
}

fn one_line<'t>(name: &str, text: &'t str) -> Result<&'t str, Failure> {
    if text.contains(char::is_control) {
        return Err(invalid(
            "ControlCharacter",
            format!("{name} has a control character in it"),
            "remove line breaks and tabs; they could smuggle in a header",
        ));
    }
    Ok(text)
}

fn headers(headers: &Map<String, Value>) -> Result<Value, Failure> {
    let mut list = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let is_name = name.len() > 2
            && name
                .get(..2)
                .is_some_and(|start| start.eq_ignore_ascii_case("x-"))
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
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

/// The documents by names that no other one has: after a break, the name says what is attached.
fn attachments(call: &Call, wanted: &[DocumentRef]) -> Result<Vec<(String, Document)>, Failure> {
    let mut found: Vec<(String, Document)> = Vec::with_capacity(wanted.len());
    for about in wanted {
        let document = call.document(about)?;
        let clean: String = about
            .name
            .chars()
            .map(|c| {
                if c.is_control() || "/\\".contains(c) {
                    '_'
                } else {
                    c
                }
            })
            .collect();
        let mut name = clean.clone();
        let mut number = 2;
        while found
            .iter()
            .any(|(taken, _)| taken.eq_ignore_ascii_case(&name))
        {
            name = match clean.rsplit_once('.') {
                Some((stem, extension)) => format!("{stem} ({number}).{extension}"),
                None => format!("{clean} ({number})"),
            };
            number += 1;
        }
        found.push((name, document.clone()));
    }
    Ok(found)
}
