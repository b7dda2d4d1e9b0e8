//! `messages`: list → body and attachment list of each → attachments into documents.

use docket_graph::{FolderPath, Mailbox, Missing, encode};
use docket_plugin_sdk::{Call, Failure, HttpError, Output, Request, Response};
use serde::{Deserialize, Serialize};

use crate::attachment::{self, Attachment, Decision, Skipped};
use crate::fetch::{Answered, get_all};
use crate::input::Input;
use crate::listing::{Listed, Pages, Recipient};

/// The longest body that goes into the output, in bytes; outputs are kept in the journal.
const LONGEST_BODY: usize = 512 * 1024;

/// A message in the output.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message {
    id: String,
    mailbox: String,
    internet_message_id: String,
    subject: String,
    from: Person,
    to: Vec<Person>,
    received_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    preview: String,
    attachments: Vec<Attachment>,
    skipped: Vec<Skipped>,
}

#[derive(Serialize, Default)]
struct Person {
    name: String,
    address: String,
}

impl From<Recipient> for Person {
    fn from(recipient: Recipient) -> Self {
        let address = recipient.email_address.address.unwrap_or_default();
        let name = recipient.email_address.name.unwrap_or_default();
        Self {
            name: if name.is_empty() {
                address.clone()
            } else {
                name
            },
            address,
        }
    }
}

#[derive(Serialize)]
struct Found {
    messages: Vec<Message>,
    more: bool,
}

pub(crate) fn run(call: &Call) -> Result<Output, Failure> {
    let input: Input = call.input()?;
    let address = match &input.mailbox {
        Some(address) => address,
        None => &call.account()?.name,
    };
    let mailbox = Mailbox::new(call, address)?;
    let folder = FolderPath::parse(&input.folder)?.resolve(&mailbox, Missing::Fail)?;
    let mut pages = Pages::new(&mailbox, &folder, &input)?;
    let mut messages: Vec<Message> = Vec::new();
    let mut more = false;
    while let Some(mut page) = pages.next()? {
        // Where the filter cannot say what has attachments, all of the page has to be looked at.
        if !input.must_look_for_attachments() {
            let room = input.limit - messages.len();
            more = page.len() > room;
            page.truncate(room);
        }
        let mut found = import(&mailbox, &input, page)?;
        let room = input.limit - messages.len();
        more |= found.len() > room;
        found.truncate(room);
        messages.append(&mut found);
        call.progress(messages.len() as u64, None, "messages");
        if more {
            break;
        }
    }
    Output::new(Found { messages, more })
}

/// The messages of a page with all that belongs to them. One that was moved or deleted since it was
/// listed is left out.
fn import(
    mailbox: &Mailbox<'_>,
    input: &Input,
    page: Vec<Listed>,
) -> Result<Vec<Message>, Failure> {
    let requests: Vec<Request> = page
        .iter()
        .flat_map(|listed| {
            let path = format!("/messages/{}", encode(&listed.id));
            [
                format!("{path}?$select=body"),
                format!("{path}/attachments?$select=id,name,contentType,size,isInline"),
            ]
        })
        .map(|path| mailbox.request("GET", &path).build())
        .collect();
    let mut answers = get_all(mailbox, &requests).into_iter();
    let mut messages = Vec::with_capacity(page.len());
    let mut wanted = Vec::new();
    for listed in page {
        let (Some(body), Some(attachments)) = (answers.next(), answers.next()) else {
            break;
        };
        let mut message = Message::new(listed, mailbox.address());
        if message.take_body(mailbox, body)?.is_none() {
            continue;
        }
        let Some(attachments) = list_attachments(mailbox, attachments)? else {
            continue;
        };
        let before = wanted.len();
        for listed in attachments {
            match listed.decide(input) {
                Decision::Take(attachment, media_type) => {
                    let name = &attachment.name;
                    let request =
                        listed.request(mailbox, &message.id, name, &media_type, input.max_size);
                    wanted.push((messages.len(), attachment, request));
                }
                Decision::Mention(attachment) => message.attachments.push(attachment),
                Decision::Skip(skipped) => message.skipped.push(skipped),
                Decision::Ignore => {}
            }
        }
        let has_any =
            wanted.len() > before || !message.attachments.is_empty() || !message.skipped.is_empty();
        if has_any || !input.must_look_for_attachments() {
            messages.push(message);
        }
    }
    fetch_attachments(mailbox, input, &mut messages, wanted)?;
    Ok(messages)
}

type Wanted = (usize, Attachment, Request);

fn fetch_attachments(
    mailbox: &Mailbox<'_>,
    input: &Input,
    messages: &mut [Message],
    wanted: Vec<Wanted>,
) -> Result<(), Failure> {
    let requests: Vec<Request> = wanted.iter().map(|(.., request)| request.clone()).collect();
    let answers = get_all(mailbox, &requests);
    for ((at, mut attachment, _), answer) in wanted.into_iter().zip(answers) {
        let Some(message) = messages.get_mut(at) else {
            continue;
        };
        let why = match answer {
            Err(HttpError::TooLarge(_)) => attachment::too_large(input.max_size),
            answer => {
                let doing = format!("importing {}", attachment.name);
                match present(mailbox, answer, &doing)? {
                    Some(answer) => {
                        attachment.document = answer.document().map(|d| d.about().clone());
                        message.attachments.push(attachment);
                        continue;
                    }
                    None => "it was removed while it was being imported".to_owned(),
                }
            }
        };
        message.skipped.push(Skipped {
            name: attachment.name,
            why,
        });
    }
    Ok(())
}

impl Message {
    fn new(listed: Listed, mailbox: &str) -> Self {
        Self {
            id: listed.id,
            mailbox: mailbox.to_owned(),
            internet_message_id: listed.internet_message_id.unwrap_or_default(),
            subject: listed.subject.unwrap_or_default(),
            from: listed.from.map(Person::from).unwrap_or_default(),
            to: listed
                .to_recipients
                .unwrap_or_default()
                .into_iter()
                .map(Person::from)
                .collect(),
            received_at: listed.received_date_time.unwrap_or_default(),
            html: None,
            text: None,
            preview: listed.body_preview.unwrap_or_default(),
            attachments: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Takes the body over; `None` where the message is gone.
    fn take_body(
        &mut self,
        mailbox: &Mailbox<'_>,
        answer: Answered,
    ) -> Result<Option<()>, Failure> {
        #[derive(Deserialize)]
        struct WithBody {
            body: Option<Body>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            content_type: Option<String>,
            content: Option<String>,
        }
        let is_too_large = matches!(answer, Err(HttpError::TooLarge(_)));
        if !is_too_large {
            let Some(answer) = present(mailbox, answer, "reading the message")? else {
                return Ok(None);
            };
            let body = answer.json::<WithBody>()?.body;
            let (kind, content) = body.map_or((None, None), |b| (b.content_type, b.content));
            let content = content.unwrap_or_default();
            if content.len() <= LONGEST_BODY {
                match kind {
                    Some(kind) if kind.eq_ignore_ascii_case("html") => self.html = Some(content),
                    _ => self.text = Some(content),
                }
                return Ok(Some(()));
            }
        }
        self.skipped.push(Skipped {
            name: "body".to_owned(),
            why: format!("it has more than {LONGEST_BODY} bytes"),
        });
        Ok(Some(()))
    }
}

fn list_attachments(
    mailbox: &Mailbox<'_>,
    answer: Answered,
) -> Result<Option<Vec<attachment::Listed>>, Failure> {
    #[derive(Deserialize)]
    struct Page {
        value: Vec<attachment::Listed>,
        #[serde(rename = "@odata.nextLink")]
        next: Option<String>,
    }
    let doing = "listing the attachments";
    let Some(answer) = present(mailbox, answer, doing)? else {
        return Ok(None);
    };
    let mut page: Page = answer.json()?;
    let mut found = page.value;
    // A message holds 250 attachments ("Exchange Online limits"), so this ends.
    while let Some(link) = page.next.filter(|_| found.len() < 1000) {
        let answer = mailbox
            .request_to("GET", link)
            .send()
            .map_err(HttpError::into_failure)?;
        page = mailbox.success(&answer, doing)?.json()?;
        found.append(&mut page.value);
    }
    Ok(Some(found))
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
