//! `messages` and `message`: what is in a folder, or one message, at one time.

use docket_graph::{Folder, FolderPath, Mailbox, Missing, below, encode};
use docket_plugin_sdk::{Call, Failure, Output, Problem};
use serde::Serialize;

use crate::input::Input;
use crate::listing::{Pages, SELECT};
use crate::message::Message;
use crate::take::Taking;

#[derive(Serialize)]
struct Found {
    messages: Vec<Message>,
    more: bool,
}

/// The messages of a folder, and of the folders below it where that is asked for.
pub(crate) fn folder(call: &Call) -> Result<Output, Failure> {
    let input: Input = call.input()?;
    let mailbox = Mailbox::of(call, input.mailbox.as_deref())?;
    let top = FolderPath::parse(&input.folder)?.resolve(&mailbox, Missing::Fail)?;
    let mut folders = vec![top];
    if input.subfolders {
        let deeper = below(&mailbox, &folders[0])?;
        folders.extend(deeper);
    }
    let mut taking = Taking::new(&mailbox, &input);
    let mut messages: Vec<Message> = Vec::new();
    let mut more = false;
    for folder in &folders {
        let mut pages = Pages::new(&mailbox, folder, &input)?;
        while let Some(mut page) = pages.next()? {
            page.retain(|listed| input.wants(listed));
            let room = input.limit - messages.len();
            // Where a list cannot say what has attachments, all of the page has to be looked at.
            if !input.must_look_for_attachments() {
                more |= page.len() > room;
                page.truncate(room);
            }
            let mut found = taking.all(&page, folder)?.complete()?;
            more |= found.len() > room;
            found.truncate(room);
            messages.append(&mut found);
            call.progress(messages.len() as u64, None, "messages");
            if more {
                return Output::new(Found { messages, more });
            }
        }
    }
    Output::new(Found { messages, more })
}

/// One message.
pub(crate) fn one(call: &Call) -> Result<Output, Failure> {
    let input: Input = call.input()?;
    let Some(handle) = &input.message else {
        return Err(Failure::InvalidInput(
            Problem::new("NoMessage", "there is no message").remedy("give message"),
        ));
    };
    let mailbox = Mailbox::new(call, &handle.mailbox)?;
    let path = format!("/messages/{}?$select={SELECT}", encode(&handle.id));
    let listed = mailbox.get(&path, "looking for the message")?;
    let nowhere = Folder {
        id: String::new(),
        path: String::new(),
    };
    let mut taking = Taking::new(&mailbox, &input);
    let found = taking.all(&[listed], &nowhere)?.complete()?;
    match found.into_iter().next() {
        Some(message) => Output::new(message),
        None => Err(Failure::NotFound(
            Problem::new(
                "MessageGone",
                "the message was removed while it was being imported",
            )
            .remedy("look where it was moved to"),
        )),
    }
}
