//! `send`: stamped draft → attach → send → confirm.

use docket_graph::{Mailbox, MessageHandle, encode, unexpected};
use docket_plugin_sdk::{Call, Failure, HttpError, Output, Problem};
use serde::Deserialize;
use serde_json::json;

use crate::delivery::{Ended, Message, after_sending, deliver, leaves_open, unsettled};
use crate::mail::{Input, Mail};

/// How often the sent copy is looked for. It appears with a delay, and the step does not depend on
/// it: once Exchange has taken the mail, it is sent.
const LOOKS: usize = 2;

pub(crate) fn run(call: &Call) -> Result<Output, Failure> {
    let input: Input = call.input()?;
    let address = input.from.as_deref().unwrap_or(&call.account()?.name);
    let mailbox = Mailbox::new(call, address)?;
    let mail = Mail::new(call, &input, address)?;
    let sent = deliver(
        &mailbox,
        "/messages",
        &mail.message,
        &mail,
        |draft, again| submit(&mailbox, draft, again),
        Ok,
    )?;
    let folder = if sent.is_draft {
        None
    } else {
        folder_name(&mailbox, &sent)
    };
    let attachments: Vec<_> = mail
        .attachments
        .iter()
        .map(|(name, document)| json!({"name": name, "size": document.size()}))
        .collect();
    Output::new(json!({
        "state": if sent.is_draft { "accepted" } else { "sent" },
        "message": MessageHandle { id: sent.id, mailbox: address.to_owned() },
        "internet-message-id": sent.internet_message_id.unwrap_or_default(),
        "folder": folder,
        "attachments": attachments,
    }))
}

/// Submits the draft. Only 202 means that Exchange took it ("message: send"). `again` says that it
/// may have been submitted before.
fn submit(mailbox: &Mailbox<'_>, draft: &Message, again: bool) -> Result<Ended<Message>, Failure> {
    let doing = "sending";
    if again && let Some(wait) = unsettled(mailbox, draft) {
        return Err(Failure::Throttled(
            Problem::new(
                "SendUnsettled",
                "the mail may be on its way already: the reply to an earlier request was lost",
            )
            .remedy("nothing: the step looks again, and sends it if it is still a draft"),
            Some(wait),
        ));
    }
    let answer = mailbox
        .request("POST", &format!("/messages/{}/send", encode(&draft.id)))
        .send();
    let lost = match answer {
        Ok(answer) if answer.status == 202 => {
            return Ok(Ended::Known(sent_copy(mailbox, draft)));
        }
        Ok(answer) if leaves_open(&answer) => format!("status {}", answer.status),
        Ok(answer) if answer.is_success() => return Err(unexpected(&answer, doing)),
        Ok(answer) => {
            let failure = mailbox.failure(&answer, doing);
            // Another attempt's request, thought lost, may have sent the draft away.
            if !matches!(failure, Failure::NotFound(_)) {
                return Err(failure);
            }
            failure.problem().message.clone()
        }
        Err(HttpError::Interrupted(why)) => why,
        Err(HttpError::TooLarge(_)) => "the answer was too long".to_owned(),
        Err(error) => return Err(error.into_failure()),
    };
    // Whether a draft that is still one was submitted, only time tells: the next round looks.
    match after_sending(mailbox, draft)? {
        Some(message) if !message.is_draft => Ok(Ended::Known(message)),
        Some(_) => Ok(Ended::Lost(lost)),
        None => Err(Failure::OutcomeUnknown(
            Problem::new(
                "SendOutcomeUnknown",
                format!(
                    "the draft is gone and no sent copy is to be found in {}: {lost}",
                    mailbox.address()
                ),
            )
            .remedy(
                "look for the mail at its recipients; rules or an administrator may have moved \
                 the sent copy",
            ),
        )),
    }
}

/// The sent copy of a mail that Exchange took, or the draft where the copy is not there yet. The
/// mail is out, so no failure to find the copy may fail the step: somebody would send it again.
fn sent_copy(mailbox: &Mailbox<'_>, draft: &Message) -> Message {
    for _ in 0..LOOKS {
        match after_sending(mailbox, draft) {
            Ok(Some(message)) if !message.is_draft => return message,
            Ok(_) => {}
            Err(failure) => {
                let why = &failure.problem().message;
                mailbox
                    .call()
                    .log(&format!("the mail is sent; its copy was not found: {why}"));
                break;
            }
        }
    }
    draft.clone()
}

/// The display name of the folder that the sent copy is in, where it can be had.
fn folder_name(mailbox: &Mailbox<'_>, sent: &Message) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Folder {
        display_name: String,
    }
    let path = format!(
        "/mailFolders/{}?$select=displayName",
        encode(sent.parent_folder_id.as_ref()?)
    );
    match mailbox.get::<Folder>(&path, "looking up the sent copy's folder") {
        Ok(folder) => Some(folder.display_name),
        Err(failure) => {
            let why = &failure.problem().message;
            mailbox.call().log(&format!("the mail is sent; {why}"));
            None
        }
    }
}
