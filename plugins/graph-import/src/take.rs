//! Taking over listed messages: body, headers, attachments and original of each.
//!
//! A few at a time, so that no more than a few answers are in memory; the bytes of attachments and
//! originals go into documents and never come here.

use docket_graph::{Folder, Mailbox, attachments_path, encode, next_link, rows, text};
use docket_plugin_sdk::{DocumentRef, Failure, HttpError, Request, Response};
use serde_json::Value;

use crate::attachment::{self, Attachment, Decision};
use crate::fetch::{Answered, get_all};
use crate::input::{Body, Input, LARGEST};
use crate::listing::SELECT;
use crate::message::{Message, headers};
use crate::name::{clean, with_ending};

/// How many messages are taken over side by side.
const AT_A_TIME: usize = 4;
/// The longest body that goes into the output, in bytes; outputs are kept in the journal.
const LONGEST_BODY: usize = 512 * 1024;
/// The most bytes of bodies in one output.
const LONGEST_BODIES: usize = 8 * 1024 * 1024;
/// The longest answer that can hold such a body, in bytes: JSON may write a character as two.
const LONGEST_ANSWER: u32 = 1536 * 1024;

/// What became of some messages. One that was moved or deleted since it was listed is nowhere.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) messages: Vec<Message>,
    /// Those that could not be read, each for a reason of its own.
    pub(crate) failed: Vec<(Message, Failure)>,
}

impl Taken {
    /// The messages, if all could be read.
    pub(crate) fn complete(self) -> Result<Vec<Message>, Failure> {
        match self.failed.into_iter().next() {
            Some((_, failure)) => Err(failure),
            None => Ok(self.messages),
        }
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

    /// The messages of these rows with all that belongs to them.
    ///
    /// # Errors
    /// What stands in the way of all messages.
    pub(crate) fn all(&mut self, rows: &[Value], folder: &Folder) -> Result<Taken, Failure> {
        let mut taken = Taken::default();
        for group in rows.chunks(AT_A_TIME) {
            let mailbox = self.mailbox.address();
            let listed = |row| Message::listed(row, &folder.path, mailbox);
            let mut group = self.bodies(group.iter().map(listed).collect())?;
            if self.input.attachments {
                self.attachments(&mut group)?;
            }
            if self.input.original {
                self.originals(&mut group)?;
            }
            let has_any =
                |message: &Message| !(message.attachments.is_empty() && message.skipped.is_empty());
            if self.input.must_look_for_attachments() {
                group.retain(|message| message.failed.is_some() || has_any(message));
            }
            for mut message in group {
                match message.failed.take() {
                    Some(failure) => taken.failed.push((message, failure)),
                    None => taken.messages.push(message),
                }
            }
        }
        Ok(taken)
    }

    /// What a listing says of a message; `None` where it is gone.
    pub(crate) fn row(&self, id: &str) -> Result<Option<Value>, Trouble> {
        let path = format!("/messages/{}?$select={SELECT}", encode(id));
        let request = self.mailbox.request("GET", &path).build();
        let mut answers = get_all(self.mailbox, &[request]);
        let Some(answer) = answers.pop() else {
            return Ok(None);
        };
        match present(self.mailbox, answer, "reading the message")? {
            Some(answer) => answer.json().map(Some).map_err(Trouble::of_one),
            None => Ok(None),
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
                match self.take_body(&mut message, answer) {
                    Ok(false) => continue,
                    Ok(true) => {}
                    Err(trouble) => message.fail(trouble)?,
                }
                present.push(message);
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
    fn take_body(&mut self, message: &mut Message, answer: Answered) -> Result<bool, Trouble> {
        let doing = "reading the message";
        let why = match answer {
            Err(HttpError::TooLarge(_)) => too_long(),
            answer => match spared(present(self.mailbox, answer, doing))? {
                Ok(Some(answer)) => {
                    let read = self.read_body(message, &answer);
                    return read.map(|()| true).map_err(Trouble::of_one);
                }
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
        let readable = messages.iter().filter(|message| message.failed.is_none());
        let requests: Vec<Request> = readable
            .map(|message| attachments_path(&message.id))
            .map(|path| self.mailbox.request("GET", &path).build())
            .collect();
        let answers = get_all(self.mailbox, &requests);
        let mut wanted: Vec<Wanted> = Vec::new();
        let all = messages.iter_mut().enumerate();
        let readable = all.filter(|(_, message)| message.failed.is_none());
        for ((at, message), answer) in readable.zip(answers) {
            let listed = match spared(self.list(&message.id, answer)) {
                Ok(Ok(listed)) => listed,
                Ok(Err(why)) => {
                    message.skip("attachments", why);
                    continue;
                }
                Err(trouble) => {
                    message.fail(trouble)?;
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
            match self.document(answer, &attachment.name, too_large) {
                Ok(Ok(document)) => {
                    attachment.document = Some(document);
                    message.attachments.push(attachment);
                }
                Ok(Err(why)) => message.skip(&attachment.name, why),
                Err(trouble) => message.fail(trouble)?,
            }
        }
        Ok(())
    }

    fn list(&self, message: &str, answer: Answered) -> Result<Vec<Value>, Trouble> {
        let doing = "listing the attachments";
        let Some(answer) = present(self.mailbox, answer, doing)? else {
            return Ok(Vec::new());
        };
        let mut page: Value = answer.json().map_err(Trouble::of_one)?;
        let path = attachments_path(message);
        let mut found = rows(&mut page);
        // A message holds 250 attachments ("Exchange Online limits"), so this ends.
        while let Some(link) = next_link(&page).filter(|_| found.len() < 1000) {
            let next = self.mailbox.read(self.mailbox.follow(&path, link), doing);
            page = next.map_err(Trouble::of_class)?;
            found.append(&mut rows(&mut page));
        }
        Ok(found)
    }

    /// The messages themselves, as the service writes them in MIME ("Get MIME content of a message").
    fn originals(&self, messages: &mut [Message]) -> Result<(), Failure> {
        let requests: Vec<Request> = messages
            .iter()
            .filter(|message| message.failed.is_none())
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
        let readable = messages.iter_mut().filter(|one| one.failed.is_none());
        for (message, answer) in readable.zip(answers) {
            match self.document(answer, "the original", attachment::too_large(LARGEST)) {
                Ok(Ok(document)) => message.original = Some(document),
                Ok(Err(why)) => message.skip("original", why),
                Err(trouble) => message.fail(trouble)?,
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
    ) -> Result<Result<DocumentRef, String>, Trouble> {
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
fn spared<T>(found: Result<T, Trouble>) -> Result<Result<T, String>, Trouble> {
    match found {
        Ok(found) => Ok(Ok(found)),
        Err(Trouble::OfOne(Failure::InvalidInput(problem) | Failure::Permanent(problem))) => {
            Ok(Err(problem.message))
        }
        Err(trouble) => Err(trouble),
    }
}

/// Why something could not be read.
pub(crate) enum Trouble {
    /// Nothing can be read now: an account that must sign in, a throttled mailbox, no way there, a
    /// request that nobody granted.
    OfAll(Failure),
    /// The service's answer about one message. Others may be answered better.
    OfOne(Failure),
}

impl Trouble {
    const fn of_one(failure: Failure) -> Self {
        Self::OfOne(failure)
    }

    /// By the failure's class, where the answer is not at hand.
    fn of_class(failure: Failure) -> Self {
        match failure {
            Failure::SignInRequired(_) | Failure::Throttled(..) => Self::OfAll(failure),
            _ => Self::OfOne(failure),
        }
    }
}

fn too_long() -> String {
    format!("it has more than {LONGEST_BODY} bytes")
}

/// A 2xx answer; `None` where what was asked for is gone.
fn present(
    mailbox: &Mailbox<'_>,
    answer: Answered,
    doing: &str,
) -> Result<Option<Response>, Trouble> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error @ (HttpError::Interrupted(_) | HttpError::TooLarge(_))) => {
            return Err(Trouble::OfOne(error.into_failure()));
        }
        Err(error) => return Err(Trouble::OfAll(error.into_failure())),
    };
    match mailbox.success(&answer, doing) {
        Ok(_) => Ok(Some(answer)),
        Err(Failure::NotFound(_)) => Ok(None),
        Err(failure) if matches!(answer.status, 401 | 429) => Err(Trouble::OfAll(failure)),
        Err(failure) => Err(Trouble::OfOne(failure)),
    }
}
