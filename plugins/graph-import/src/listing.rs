//! A folder's messages, page by page.

use docket_graph::{Folder, Mailbox, encode, next_link, rows, too_many_pages};
use docket_plugin_sdk::{Failure, HttpError};
use serde_json::Value;

use crate::input::{Input, Order, received};

/// What is read of each message; the body comes later, since a page of large ones would be more
/// than the host takes in one answer.
pub(crate) const SELECT: &str = "id,internetMessageId,conversationId,subject,from,sender,toRecipients,ccRecipients,bccRecipients,replyTo,receivedDateTime,sentDateTime,hasAttachments,isRead,isDraft,importance,categories,bodyPreview,webLink";

/// The most pages that are read: a bound where a server's next links go round in a circle.
const MOST_PAGES: usize = 1000;

const DOING: &str = "listing the messages";

/// The pages of a list, read one after the other.
pub(crate) struct Pages<'m, 'c> {
    mailbox: &'m Mailbox<'c>,
    path: String,
    /// The same list with less of a filter, should the service refuse the first.
    plain: String,
    next: Option<String>,
    read: usize,
}

impl<'m, 'c> Pages<'m, 'c> {
    /// The messages of a folder that the input asks for.
    pub(crate) fn new(
        mailbox: &'m Mailbox<'c>,
        folder: &Folder,
        input: &Input,
    ) -> Result<Self, Failure> {
        let order = match input.order {
            Order::OldestFirst => "receivedDateTime",
            Order::NewestFirst => "receivedDateTime%20desc",
        };
        let path = |filter: &str| {
            format!(
                "/mailFolders/{}/messages?$filter={}&$orderby={order}&$select={SELECT}&$top={}",
                encode(&folder.id),
                encode(filter),
                // One more than the limit tells whether there is more.
                input.page_size.min(input.limit.saturating_add(1))
            )
        };
        let filter = input.filter()?;
        let plain = filter.split(" and ").next().unwrap_or_default();
        Ok(Self {
            mailbox,
            path: path(&filter),
            plain: path(plain),
            next: None,
            read: 0,
        })
    }

    /// The next page; `None` after the last one.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<Value>>, Failure> {
        let mut page = match (self.read, self.next.take()) {
            (0, _) => self.first()?,
            (_, Some(link)) => {
                let request = self.mailbox.follow(&self.path, &link);
                self.mailbox.read(request, DOING)?
            }
            (_, None) => return Ok(None),
        };
        self.read += 1;
        self.next = next_link(&page).map(str::to_owned);
        if self.read >= MOST_PAGES && self.next.is_some() {
            return Err(too_many_pages(DOING));
        }
        Ok(Some(rows(&mut page)))
    }

    fn first(&mut self) -> Result<Value, Failure> {
        match self.mailbox.get(&self.path, DOING) {
            // What the service will not filter is filtered here.
            Err(failure)
                if failure.problem().code == "InefficientFilter" && self.path != self.plain =>
            {
                self.path.clone_from(&self.plain);
                self.mailbox.get(&self.path, DOING)
            }
            page => page,
        }
    }
}

/// One page of all that was received in a folder since then, oldest first: the first one, or the one
/// that `link` leads to. Gives its rows, and the link to the next one.
pub(crate) fn received_since(
    mailbox: &Mailbox<'_>,
    folder: &str,
    since: i64,
    page_size: usize,
    link: Option<&str>,
) -> Result<(Vec<Value>, Option<String>), Failure> {
    let path = format!(
        "/mailFolders/{}/messages?$filter={}&$orderby=receivedDateTime&$select={SELECT}&$top={page_size}",
        encode(folder),
        encode(&received(since)),
    );
    let request = match link {
        Some(link) => mailbox.follow(&path, link),
        None => mailbox.request("GET", &path),
    };
    let mut page = mailbox.read(request, DOING)?;
    let next = next_link(&page).map(str::to_owned);
    Ok((rows(&mut page), next))
}

/// A page of what came into a folder: its rows, and the link that goes on from there.
pub(crate) struct Changes {
    pub(crate) rows: Vec<Value>,
    pub(crate) link: String,
    /// Whether there is no more at the moment.
    pub(crate) is_end: bool,
}

/// What came into a folder since a link was given, or since then ("message: delta"); `None` where
/// the service has lost the link's place.
pub(crate) fn changes(
    mailbox: &Mailbox<'_>,
    folder: &str,
    since: i64,
    page_size: usize,
    link: Option<&str>,
) -> Result<Option<Changes>, Failure> {
    let path = format!(
        "/mailFolders/{}/messages/delta?changeType=created&$filter={}&$select={SELECT}",
        encode(folder),
        encode(&received(since)),
    );
    // The page's size has to be asked for each time; all else rides in the link.
    let preference = format!("odata.maxpagesize={page_size}");
    let path = match link {
        Some(link) => mailbox.link_path(&path, link),
        None => path,
    };
    let answer = mailbox
        .request_preferring("GET", &path, &preference)
        .send()
        .map_err(HttpError::into_failure)?;
    if answer.status == 410 {
        return Ok(None);
    }
    let mut page: Value = match mailbox.success(&answer, DOING) {
        Ok(answer) => answer.json()?,
        // The same by another status ("Microsoft Graph error responses").
        Err(failure) if is_lost(&failure.problem().code) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let of = |name: &str| page[name].as_str().map(str::to_owned);
    let (next, end) = (of("@odata.nextLink"), of("@odata.deltaLink"));
    let is_end = next.is_none();
    let Some(link) = next.or(end) else {
        return Err(Failure::Unavailable(docket_plugin_sdk::Problem::new(
            "InvalidAnswer",
            "the server's answer leads nowhere: it has neither a next nor a delta link",
        )));
    };
    Ok(Some(Changes {
        rows: rows(&mut page),
        link,
        is_end,
    }))
}

fn is_lost(code: &str) -> bool {
    ["SyncStateNotFound", "resyncRequired"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(code))
}
