//! `draft`: a new mail or a reply, prepared in Drafts.

use docket_graph::{Mailbox, MessageHandle, encode};
use docket_plugin_sdk::{Call, Failure, Output};
use serde_json::json;

use crate::delivery::{Ended, Message, deliver};
use crate::mail::{Input, Mail};

pub(crate) fn run(call: &Call) -> Result<Output, Failure> {
    let input: Input = call.input()?;
    let original = input.reply_to_message.as_ref();
    let address = match (&input.from, original) {
        (Some(from), _) => from,
        (None, Some(original)) => &original.mailbox,
        (None, None) => &call.account()?.name,
    };
    // A reply is created in the mailbox that holds the original.
    let holder = original.map_or(address.as_str(), |original| &original.mailbox);
    let mailbox = Mailbox::new(call, holder)?;
    let mail = Mail::new(call, &input, address)?;
    let (path, body) = match original {
        Some(original) => (
            format!("/messages/{}/createReply", encode(&original.id)),
            json!({"message": &mail.message}),
        ),
        None => ("/messages".to_owned(), mail.message.clone()),
    };
    let draft: Message = deliver(
        &mailbox,
        &path,
        &body,
        &mail,
        |draft, _| Ok(Ended::Known(draft.clone())),
        Ok,
    )?;
    Output::new(json!({
        "message": MessageHandle { id: draft.id, mailbox: holder.to_owned() },
        "web-link": draft.web_link,
        "subject": draft.subject.unwrap_or_default(),
    }))
}
