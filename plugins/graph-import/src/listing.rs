//! The folder's messages, page by page.

use docket_graph::{Mailbox, encode};
use docket_plugin_sdk::{Failure, HttpError, Problem};
use serde::Deserialize;

use crate::input::Input;

/// What is read of each message; the body comes later, since a page of large ones would be more
/// than the host takes in one answer.
const SELECT: &str = "id,internetMessageId,subject,from,toRecipients,receivedDateTime,bodyPreview";

/// The most pages that are read: a bound where a server's next links go round in a circle.
const MOST_PAGES: usize = 1000;

/// A message as the list has it ("message resource type"); drafts lack some of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) internet_message_id: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) from: Option<Recipient>,
    pub(crate) to_recipients: Option<Vec<Recipient>>,
    pub(crate) received_date_time: Option<String>,
    pub(crate) body_preview: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recipient {
    pub(crate) email_address: EmailAddress,
}

#[derive(Deserialize)]
pub(crate) struct EmailAddress {
    pub(crate) name: Option<String>,
    pub(crate) address: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    value: Vec<Listed>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

/// The pages of a list, read one after the other.
pub(crate) struct Pages<'m, 'c> {
    mailbox: &'m Mailbox<'c>,
    first: Option<String>,
    next: Option<String>,
    read: usize,
}

impl<'m, 'c> Pages<'m, 'c> {
    /// The messages of a folder that the input asks for, oldest first.
    pub(crate) fn new(
        mailbox: &'m Mailbox<'c>,
        folder: &str,
        input: &Input,
    ) -> Result<Self, Failure> {
        let path = format!(
            "/mailFolders/{}/messages?$filter={}&$orderby=receivedDateTime&$select={SELECT}&$top={}",
            encode(folder),
            encode(&input.filter()?),
            // One more than the limit tells whether there is more.
            input.page_size.min(input.limit.saturating_add(1))
        );
        Ok(Self {
            mailbox,
            first: Some(path),
            next: None,
            read: 0,
        })
    }

    /// The next page; `None` after the last one.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<Listed>>, Failure> {
        let doing = "listing the messages";
        let request = match (self.first.take(), self.next.take()) {
            (Some(path), _) => self.mailbox.request("GET", &path),
            // The link is the service's own and is followed to the letter ("Paging Microsoft Graph
            // data in your app"); the preferences have to be sent again.
            (None, Some(link)) => self.mailbox.request_to("GET", link),
            (None, None) => return Ok(None),
        };
        self.read += 1;
        if self.read > MOST_PAGES {
            return Err(Failure::Permanent(
                Problem::new(
                    "TooManyPages",
                    format!("the list of messages has more than {MOST_PAGES} pages"),
                )
                .remedy("narrow it with `since`, or give a larger `page-size`"),
            ));
        }
        let answer = request.send().map_err(HttpError::into_failure)?;
        let page: Page = self.mailbox.success(&answer, doing)?.json()?;
        self.next = page.next;
        Ok(Some(page.value))
    }
}
