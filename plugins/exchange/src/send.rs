//! `send`: stamped draft → attach → send → confirm; or, where a mail may go out twice, one request.

use docket_graph::{Mailbox, encode, text};
use docket_plugin_sdk::{AccountKind, Call, Failure, Output, Part};
use serde_json::{Value, json};

use crate::attach;
use crate::delivery::{Submission, deliver};
use crate::input::{Delivery, Input, SentItems, invalid};
use crate::mail::{File, Mail};
use crate::message::{CREATED, Ended, Message, ended, interrupted};

/// The most files that go along in the one request of a fast mail: a request has at most 64 parts.
const MOST_FAST_FILES: usize = 30;

pub(crate) fn run(call: &Call) -> Result<Output, Failure> {
    let input: Input = call.input()?;
    let from = match (&input.from, input.original()?) {
        (None, Some((original, _))) => Some(original.mailbox.as_str()),
        (from, _) => from.as_deref(),
    };
    let sender = Mailbox::of(call, from)?;
    let mailbox = holder(call, &input, &sender)?;
    if input.delivery == Delivery::Fast {
        return fast(&mailbox, &input, sender.address());
    }
    if input.sent_items == SentItems::None {
        return Err(invalid(
            "CopyNeeded",
            "without a copy in Sent Items a lost reply could not be told from a lost mail",
            "keep the copy and delete it in a later step, or give `delivery: fast`",
        ));
    }
    let mail = Mail::new(&mailbox, &input, sender.address(), true)?;
    let submission = Submission::new(&mailbox, CREATED, mail.deferred);
    let sent = deliver(&mailbox, &mail, &|draft, again| {
        submission.send(draft, again)
    })?;
    output(&submission, &sent, &mail.files)
}

/// The mailbox that the mail is created in, and whose Sent Items it ends in.
fn holder<'c>(call: &'c Call, input: &Input, sender: &Mailbox<'c>) -> Result<Mailbox<'c>, Failure> {
    let is_accounts = input.sent_items == SentItems::Account;
    if let Some((original, _)) = input.original()? {
        let holder = Mailbox::new(call, &original.mailbox)?;
        let is_own = call.account()?.kind != AccountKind::Application
            && holder.address().eq_ignore_ascii_case(&call.account()?.name);
        if is_accounts && !is_own {
            return Err(invalid(
                "SentItemsElsewhere",
                format!(
                    "a reply is kept beside its original, in {}",
                    holder.address()
                ),
                "leave sent-items out",
            ));
        }
        return Ok(holder);
    }
    if is_accounts {
        Mailbox::own(call)
    } else {
        Mailbox::new(call, sender.address())
    }
}

/// What the step says of a mail that Exchange took.
pub(crate) fn output(
    submission: &Submission<'_, '_>,
    sent: &Message,
    files: &[File],
) -> Result<Output, Failure> {
    let mailbox = submission.mailbox;
    let (state, folder) = match sent.is_draft {
        false => ("sent", folder_name(mailbox, sent)),
        true if submission.is_held() => ("scheduled", None),
        true => ("accepted", None),
    };
    Output::new(json!({
        "state": state,
        "message": sent.handle(mailbox),
        "internet-message-id": sent.internet_message_id.as_deref().unwrap_or_default(),
        "folder": folder,
        "attachments": listed(files),
    }))
}

fn listed(files: &[File]) -> Value {
    let listed = |file: &File| json!({"name": file.name, "size": file.document.size()});
    files.iter().map(listed).collect()
}

/// The display name of the folder that the sent copy is in, where it can be had.
fn folder_name(mailbox: &Mailbox<'_>, sent: &Message) -> Option<String> {
    let folder = encode(sent.folder.as_ref()?);
    let path = format!("/mailFolders/{folder}?$select=displayName");
    match mailbox.get(&path, "looking up the sent copy's folder") {
        Ok(folder) => text(&folder, "displayName").map(str::to_owned),
        Err(failure) => {
            let why = &failure.problem().message;
            mailbox.call().log(&format!("the mail is sent; {why}"));
            None
        }
    }
}

/// One request, `sendMail`, that leaves nothing to look for: where its reply is lost, the engine
/// tries again, and the mail may go out twice.
fn fast(mailbox: &Mailbox<'_>, input: &Input, from: &str) -> Result<Output, Failure> {
    if input.original()?.is_some() || input.defer_until.is_some() {
        return Err(invalid(
            "FastCannot",
            "a fast mail can be no reply, nor forwarded, nor held back",
            "leave `delivery: fast` out",
        ));
    }
    let mail = Mail::new(mailbox, input, from, true)?;
    let size: u64 = mail.files.iter().map(|file| file.document.size()).sum();
    if size >= attach::SESSION_FROM || mail.files.len() > MOST_FAST_FILES {
        return Err(invalid(
            "TooMuchForFast",
            format!(
                "{} files of {size} bytes do not fit into one request",
                mail.files.len()
            ),
            "a fast mail takes 30 files of less than 3 MB in all; leave `delivery: fast` out",
        ));
    }
    let (media_type, body) = match input.mime {
        Some(_) if input.sent_items == SentItems::None => {
            return Err(invalid(
                "MimeIsKept",
                "a MIME message always leaves a copy in Sent Items",
                "leave `sent-items: none` out",
            ));
        }
        Some(_) => mail.body,
        None => (mail.body.0, wrapped(mail.body.1, input, &mail.files)),
    };
    let answer = mailbox
        .request("POST", "/sendMail")
        // The designer accepted that it may be sent twice; so it need not be journaled beforehand.
        .repeatable()
        .header("content-type", media_type)
        .parts(body)
        .send();
    match ended(mailbox, answer, &[202], "sending")? {
        Ended::Known(_) => Output::new(json!({
            "state": "accepted",
            "message": null,
            "internet-message-id": mail.mime_id.unwrap_or_default(),
            "folder": null,
            "attachments": listed(&mail.files),
        })),
        Ended::Lost(why) => Err(interrupted(&why)),
    }
}

/// The body of `sendMail` around a message's JSON, with its files inside.
fn wrapped(message: Vec<Part>, input: &Input, files: &[File]) -> Vec<Part> {
    let mut parts = vec![Part::Bytes(b"{\"message\":".to_vec())];
    for part in message {
        match part {
            Part::Bytes(mut json) if !files.is_empty() => {
                json.truncate(json.len().saturating_sub(1));
                json.extend_from_slice(b",\"attachments\":[");
                parts.push(Part::Bytes(json));
                for (number, file) in files.iter().enumerate() {
                    if number > 0 {
                        parts.push(Part::Bytes(b",".to_vec()));
                    }
                    parts.extend(attach::parts(file));
                }
                parts.push(Part::Bytes(b"]}".to_vec()));
            }
            part => parts.push(part),
        }
    }
    let end: &[u8] = if input.sent_items == SentItems::None {
        b",\"saveToSentItems\":false}"
    } else {
        b"}"
    };
    parts.push(Part::Bytes(end.to_vec()));
    joined(parts)
}

/// The same parts, neighbouring bytes joined.
fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        match (joined.last_mut(), part) {
            (Some(Part::Bytes(before)), Part::Bytes(bytes)) => before.extend_from_slice(&bytes),
            (_, part) => joined.push(part),
        }
    }
    joined
}
