//! `send`: stamped draft → attach → send → confirm.

use docket_graph::{Mailbox, MessageHandle, encode, unexpected};
use docket_plugin_sdk::{Call, Failure, HttpError, Output, Problem};
use serde::Deserialize;
use serde_json::json;

use crate::delivery::{Ended, Message, after_sending, deliver, leaves_open};
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
        |draft| submit(&mailbox, draft),
        Ok,
    )?;
    let folder = if sent.is_draft {
        None
    } else {
        folder_name(&mailbox, &sent)?
    };
    let attachments: Vec<_> = mail
        .attachments
        .iter()
        .map(|(name, document)| json!({"name": name, "size": document.size()}))
        .collect();
    Output::new(json!({
        "state": if folder.is_some() { "sent" } else { "accepted" },
        "message": MessageHandle { id: sent.id, mailbox: address.to_owned() },
        "internet-message-id": sent.internet_message_id.unwrap_or_default(),
        "folder": folder,
        "attachments": attachments,
    }))
}

/// Submits the draft. Only 202 means that Exchange took it ("message: send").
fn submit(mailbox: &Mailbox<'_>, draft: &Message) -> Result<Ended<Message>, Failure> {
    let doing = "sending";
    let answer = mailbox
        .request("POST", &format!("/messages/{}/send", encode(&draft.id)))
        .send();
    let lost = match answer {
        Ok(answer) if answer.status == 202 => {
            for _ in 0..LOOKS {
                if let Some(message) = after_sending(mailbox, draft)?
                    && !message.is_draft
                {
                    return Ok(Ended::Known(message));
                }
            }
            return Ok(Ended::Known(draft.clone()));
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
    // A draft that is still one was not submitted, so sending it again cannot double it: a draft
    // that was submitted is no draft any more, and its id is refused.
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

fn folder_name(mailbox: &Mailbox<'_>, sent: &Message) -> Result<Option<String>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Folder {
        display_name: String,
    }
    let Some(id) = &sent.parent_folder_id else {
        return Ok(None);
    };
    let path = format!("/mailFolders/{}?$select=displayName", encode(id));
    let folder: Folder = mailbox.get(&path, "looking up the sent copy's folder")?;
    Ok(Some(folder.display_name))
}
