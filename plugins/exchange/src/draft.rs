//! `draft`, `update-draft`, `send-draft`: a mail that a person, or a later step, sends.

use docket_graph::{Mailbox, MessageHandle};
use docket_plugin_sdk::{Call, Failure, Output, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::delivery::{Submission, deliver};
use crate::input::{Input, invalid};
use crate::mail::{Mail, deferral, deferred, files, properties};
use crate::message::{Ended, Message, SENT, interrupted, update};
use crate::{attach, send};

/// How many times a missing reply is followed by a look before the attempt gives up.
const ROUNDS: usize = 4;

pub(crate) fn create(call: &Call) -> Result<Output, Failure> {
    let input: Input = call.input()?;
    // A reply is created in the mailbox that holds the original.
    let holder = match input.original()? {
        Some((original, _)) => Some(original.mailbox.as_str()),
        None => input.from.as_deref(),
    };
    let mailbox = Mailbox::of(call, holder)?;
    let from = input.from.as_deref().unwrap_or(mailbox.address());
    let mail = Mail::new(&mailbox, &input, from, false)?;
    let draft = deliver(&mailbox, &mail, &|draft, _| Ok(Ended::Known(draft.clone())))?;
    output(&mailbox, &draft)
}

/// Sets what the input gives and leaves the rest; all of it can be done twice.
pub(crate) fn change(call: &Call) -> Result<Output, Failure> {
    let input: Input = call.input()?;
    let Some(handle) = &input.message else {
        return Err(invalid("NoMessage", "there is no draft", "give message"));
    };
    let mailbox = Mailbox::new(call, &handle.mailbox)?;
    let from = input.from.as_deref().unwrap_or_default();
    let mut message = properties(&mailbox, &input, from)?;
    let until = deferred(&input)?;
    if until.is_some() {
        let held = Value::Array(deferral(until));
        message.insert("singleValueExtendedProperties".to_owned(), held);
    }
    let files = files(call, &input, Vec::new())?;
    attach::check(&files)?;
    let mut draft = find(&mailbox, &handle.id)?;
    if !draft.is_draft {
        return Err(not_a_draft());
    }
    if !message.is_empty() {
        draft = update(&mailbox, &handle.id, &message.into(), "changing the draft")?;
    }
    let mut lost = String::new();
    for _ in 0..ROUNDS {
        match attach::all(&mailbox, &handle.id, &files, true)? {
            Ended::Known(_) => return output(&mailbox, &draft),
            Ended::Lost(why) => lost = why,
        }
    }
    Err(interrupted(&lost))
}

fn output(mailbox: &Mailbox<'_>, draft: &Message) -> Result<Output, Failure> {
    Output::new(json!({
        "message": draft.handle(mailbox),
        "web-link": draft.web_link,
        "subject": draft.subject,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SendDraft {
    message: MessageHandle,
    defer_until: Option<String>,
}

/// Sends a draft that is there, effectively once. It gets a stamp before it is sent, since its id may
/// change by being sent.
pub(crate) fn send(call: &Call) -> Result<Output, Failure> {
    let input: SendDraft = call.input()?;
    let mailbox = Mailbox::new(call, &input.message.mailbox)?;
    let until = deferred(&Input {
        defer_until: input.defer_until,
        ..Input::default()
    })?;
    let submission = Submission::new(&mailbox, SENT, until);
    let stamped = |look: bool| -> Result<Option<Message>, Failure> {
        if look {
            Ok(SENT.find(&mailbox)?.into_iter().next())
        } else {
            Ok(None)
        }
    };
    let mut lost = String::new();
    let mut look = call.attempt() > 1;
    for _ in 0..ROUNDS {
        let (draft, again) = match stamped(look)? {
            Some(found) => (found, true),
            None => (find(&mailbox, &input.message.id)?, false),
        };
        look = true;
        // Somebody sent it before, this step or a person: either way it is out.
        if !draft.is_draft {
            return send::output(&submission, &draft, &[]);
        }
        if !again {
            let mut properties = vec![SENT.of(&mailbox)];
            properties.extend(deferral(until));
            let change = json!({"singleValueExtendedProperties": properties});
            update(&mailbox, &draft.id, &change, "marking the draft")?;
        }
        match submission.send(&draft, again)? {
            Ended::Known(sent) => return send::output(&submission, &sent, &[]),
            Ended::Lost(why) => lost = why,
        }
    }
    Err(interrupted(&lost))
}

fn find(mailbox: &Mailbox<'_>, id: &str) -> Result<Message, Failure> {
    Message::get(mailbox, id, "looking for the draft")
}

fn not_a_draft() -> Failure {
    Failure::InvalidInput(
        Problem::new("NotADraft", "the message is no draft: it was sent already")
            .remedy("change drafts before they are sent"),
    )
}
