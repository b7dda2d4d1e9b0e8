//! Taking over listed messages: body, headers, attachments and original of each.
//!
//! A few at a time, so that no more than a few answers are in memory; the bytes of attachments and
//! originals go into documents and never come here.

use docket_graph::{
    Folder, Mailbox, MessageHandle, attachments_path, encode, next_link, rows, text,
};
use docket_plugin_sdk::{DocumentRef, Failure, HttpError, Request, Response};
use serde::Serialize;
use serde_json::Value;

use crate::attachment::{self, Attachment, Decision, Skipped};
use crate::fetch::{Answered, get_all};
use crate::input::{Body, Input, LARGEST};
use crate::name::{clean, with_ending};

/// How many messages are taken over side by side.
const AT_A_TIME: usize = 4;
/// The longest body that goes into the output, in bytes; outputs are kept in the journal.
const LONGEST_BODY: usize = 512 * 1024;
/// The most bytes of bodies in one output.
const LONGEST_BODIES: usize = 8 * 1024 * 1024;
/// The longest answer that can hold such a body, in bytes: JSON may write a character as two.
const LONGEST_ANSWER: u32 = 1536 * 1024;

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
    subject: String,
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
    html: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    preview: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<Header>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<DocumentRef>,
    attachments: Vec<Attachment>,
    skipped: Vec<Skipped>,
}

#[derive(Serialize)]
struct Header {
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

/// Takes over messages, and counts what it took.
pub(crate) struct Taking<'m, 'c> {
    mailbox: &'m Mailbox<'c>,
    input: &'m Input,
    /// The bytes of bodies that still fit into the output.
    room: usize,
}

type Wanted = (usize, Attachment, Request);

impl<'m, 'c> Taking<'m, 'c> {
    pub(crate) fn new(mailbox: &'m Mailbox<'c>, input: &'m Input) -> Self {
        Self {
            mailbox,
            input,
            room: LONGEST_BODIES,
        }
    }

    /// The messages of these rows with all that belongs to them. One that was moved or deleted since
    /// it was listed is left out.
    pub(crate) fn all(&mut self, rows: &[Value], folder: &Folder) -> Result<Vec<Message>, Failure> {
        let mut messages = Vec::with_capacity(rows.len());
        for group in rows.chunks(AT_A_TIME) {
            let group = group.iter().map(|row| self.listed(row, folder)).collect();
            let mut group = self.bodies(group)?;
            if self.input.attachments {
                self.attachments(&mut group)?;
            }
            if self.input.original {
                self.originals(&mut group)?;
            }
            let has_any =
                |message: &Message| !(message.attachments.is_empty() && message.skipped.is_empty());
            if self.input.must_look_for_attachments() {
                group.retain(has_any);
            }
            messages.append(&mut group);
        }
        Ok(messages)
    }

    fn listed(&self, row: &Value, folder: &Folder) -> Message {
        let of = |name: &str| text(row, name).unwrap_or_default().to_owned();
        let categories = row["categories"].as_array().into_iter().flatten();
        let mailbox = self.mailbox.address().to_owned();
        Message {
            key: None,
            id: of("id"),
            message: MessageHandle {
                id: of("id"),
                mailbox: mailbox.clone(),
            },
            mailbox,
            folder: folder.path.clone(),
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
        }
    }

    /// The messages that are still there, with their bodies and headers.
    fn bodies(&mut self, messages: Vec<Message>) -> Result<Vec<Message>, Failure> {
        let wanted: &[bool] = match (self.input.body, self.input.headers) {
            (Body::AsIs, _) => &[false],
            (Body::Text, _) => &[true],
            (Body::Both, _) => &[false, true],
            (Body::None, true) => &[false],
            (Body::None, false) => return Ok(messages),
        };
        let mut found = messages;
        for as_text in wanted {
            let requests: Vec<Request> = found
                .iter()
                .map(|message| self.body_request(&message.id, *as_text))
                .collect();
            let answers = get_all(self.mailbox, &requests);
            let mut present = Vec::with_capacity(found.len());
            for (mut message, answer) in found.into_iter().zip(answers) {
                if self.take_body(&mut message, answer)? {
                    present.push(message);
                }
            }
            found = present;
        }
        Ok(found)
    }

    fn body_request(&self, id: &str, as_text: bool) -> Request {
        let select = match (self.input.body, self.input.headers) {
            (Body::None, _) => "internetMessageHeaders",
            (_, true) => "body,internetMessageHeaders",
            (_, false) => "body",
        };
        let path = format!("/messages/{}?$select={select}", encode(id));
        let preference = "outlook.body-content-type=\"text\"";
        let request = if as_text {
            self.mailbox.request_preferring("GET", &path, preference)
        } else {
            self.mailbox.request("GET", &path)
        };
        request.inline(LONGEST_ANSWER).build()
    }

    /// Takes a body over; false where the message is gone.
    fn take_body(&mut self, message: &mut Message, answer: Answered) -> Result<bool, Failure> {
        let doing = "reading the message";
        let why = match answer {
            Err(HttpError::TooLarge(_)) => too_long(),
            answer => match spared(present(self.mailbox, answer, doing))? {
                Ok(Some(answer)) => return self.read_body(message, &answer).map(|()| true),
                Ok(None) => return Ok(false),
                Err(why) => why,
            },
        };
        message.skip("body", why);
        Ok(true)
    }

    fn read_body(&mut self, message: &mut Message, answer: &Response) -> Result<(), Failure> {
        let mut body: Value = answer.json()?;
        if self.input.headers {
            message.headers = Some(headers(&body["internetMessageHeaders"]));
        }
        let is_html = text(&body["body"], "contentType")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("html"));
        let content = match body["body"]["content"].take() {
            Value::String(content) => content,
            _ => String::new(),
        };
        if self.input.body == Body::None {
            return Ok(());
        }
        if content.len() > LONGEST_BODY {
            message.skip("body", too_long());
        } else if content.len() > self.room {
            let why = format!("the bodies before it fill the output: {LONGEST_BODIES} bytes");
            message.skip("body", why);
        } else {
            self.room -= content.len();
            if is_html {
                message.html = Some(content);
            } else {
                message.text = Some(content);
            }
        }
        Ok(())
    }

    /// Imports what is attached. A message that goes meanwhile keeps what was read of it.
    fn attachments(&self, messages: &mut [Message]) -> Result<(), Failure> {
        let lists = messages.iter().map(|message| attachments_path(&message.id));
        let requests: Vec<Request> = lists
            .map(|path| self.mailbox.request("GET", &path).build())
            .collect();
        let answers = get_all(self.mailbox, &requests);
        let mut wanted: Vec<Wanted> = Vec::new();
        for (at, (message, answer)) in messages.iter_mut().zip(answers).enumerate() {
            let listed = match spared(self.list(&message.id, answer))? {
                Ok(listed) => listed,
                Err(why) => {
                    message.skip("attachments", why);
                    continue;
                }
            };
            for listed in listed {
                match attachment::decide(&listed, self.input) {
                    Decision::Take(attachment, media_type) => {
                        let id = text(&listed, "id").unwrap_or_default();
                        let limit = self.input.max_size;
                        let request = attachment::request(
                            self.mailbox,
                            &message.id,
                            id,
                            &attachment.name,
                            &media_type,
                            limit,
                        );
                        wanted.push((at, attachment, request));
                    }
                    Decision::Mention(attachment) => message.attachments.push(attachment),
                    Decision::Skip(skipped) => message.skipped.push(skipped),
                    Decision::Ignore => {}
                }
            }
        }
        let requests: Vec<Request> = wanted.iter().map(|(.., request)| request.clone()).collect();
        let answers = get_all(self.mailbox, &requests);
        for ((at, mut attachment, _), answer) in wanted.into_iter().zip(answers) {
            let Some(message) = messages.get_mut(at) else {
                continue;
            };
            let too_large = attachment::too_large(self.input.max_size);
            match self.document(answer, &attachment.name, too_large)? {
                Ok(document) => {
                    attachment.document = Some(document);
                    message.attachments.push(attachment);
                }
                Err(why) => message.skip(&attachment.name, why),
            }
        }
        Ok(())
    }

    fn list(&self, message: &str, answer: Answered) -> Result<Vec<Value>, Failure> {
        let doing = "listing the attachments";
        let Some(answer) = present(self.mailbox, answer, doing)? else {
            return Ok(Vec::new());
        };
        let mut page: Value = answer.json()?;
        let path = attachments_path(message);
        let mut found = rows(&mut page);
        // A message holds 250 attachments ("Exchange Online limits"), so this ends.
        while let Some(link) = next_link(&page).filter(|_| found.len() < 1000) {
            page = self.mailbox.read(self.mailbox.follow(&path, link), doing)?;
            found.append(&mut rows(&mut page));
        }
        Ok(found)
    }

    /// The messages themselves, as the service writes them in MIME ("Get MIME content of a message").
    fn originals(&self, messages: &mut [Message]) -> Result<(), Failure> {
        let requests: Vec<Request> = messages
            .iter()
            .map(|message| {
                let name = with_ending(&clean(&message.subject), ".eml");
                let path = format!("/messages/{}/$value", encode(&message.id));
                self.mailbox
                    .request("GET", &path)
                    .into_document(&name, Some("message/rfc822"), LARGEST)
                    .build()
            })
            .collect();
        let answers = get_all(self.mailbox, &requests);
        for (message, answer) in messages.iter_mut().zip(answers) {
            match self.document(answer, "the original", attachment::too_large(LARGEST))? {
                Ok(document) => message.original = Some(document),
                Err(why) => message.skip("original", why),
            }
        }
        Ok(())
    }

    /// The document that an answer went into, or why there is none.
    fn document(
        &self,
        answer: Answered,
        name: &str,
        too_large: String,
    ) -> Result<Result<DocumentRef, String>, Failure> {
        let doing = format!("importing {name}");
        if matches!(answer, Err(HttpError::TooLarge(_))) {
            return Ok(Err(too_large));
        }
        let found = spared(present(self.mailbox, answer, &doing))?;
        Ok(found.and_then(|answer| {
            let document = answer.as_ref().and_then(Response::document);
            document
                .map(|document| document.about().clone())
                .ok_or_else(|| "it was removed while it was being imported".to_owned())
        }))
    }
}

/// What the service will never show of a message must not keep all others waiting: it is left out, and
/// said why.
fn spared<T>(found: Result<T, Failure>) -> Result<Result<T, String>, Failure> {
    match found {
        Ok(found) => Ok(Ok(found)),
        Err(Failure::InvalidInput(problem) | Failure::Permanent(problem)) => {
            Ok(Err(problem.message))
        }
        Err(failure) => Err(failure),
    }
}

impl Message {
    fn skip(&mut self, name: &str, why: String) {
        self.skipped.push(Skipped {
            name: name.to_owned(),
            why,
        });
    }
}

fn too_long() -> String {
    format!("it has more than {LONGEST_BODY} bytes")
}

fn headers(list: &Value) -> Vec<Header> {
    let of = |header: &Value, name| text(header, name).unwrap_or_default().to_owned();
    let all = list.as_array().into_iter().flatten();
    all.map(|header| Header {
        name: of(header, "name"),
        value: of(header, "value"),
    })
    .collect()
}

/// A 2xx answer; `None` where what was asked for is gone.
fn present(
    mailbox: &Mailbox<'_>,
    answer: Answered,
    doing: &str,
) -> Result<Option<Response>, Failure> {
    let answer = answer.map_err(HttpError::into_failure)?;
    match mailbox.success(&answer, doing) {
        Ok(_) => Ok(Some(answer)),
        Err(Failure::NotFound(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}
