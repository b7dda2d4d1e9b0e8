//! `move`, `copy`, `delete`: where a message lies.

use docket_graph::{FolderPath, Mailbox, MessageHandle, Missing};
use docket_plugin_sdk::{Call, Failure, Output};
use serde::Deserialize;
use serde_json::json;

use crate::message::{COPIED, Ended, Message, ended, interrupted, path, update};

/// How many times a missing reply is followed by a look before the attempt gives up.
const ROUNDS: usize = 3;

/// The folder of deleted messages, in every language.
const DELETED: &str = "deleteditems";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    message: MessageHandle,
    #[serde(default)]
    folder: Option<String>,
    #[serde(default)]
    create: bool,
}

impl Input {
    /// The id of the folder that it names.
    fn folder(&self, mailbox: &Mailbox<'_>) -> Result<String, Failure> {
        let missing = if self.create {
            Missing::Create
        } else {
            Missing::Fail
        };
        let path = FolderPath::parse(self.folder.as_deref().unwrap_or_default())?;
        Ok(path.resolve(mailbox, missing)?.id)
    }
}

/// Moves a message, and finds it there if that was done before.
pub(crate) fn relocate(call: &Call) -> Result<Output, Failure> {
    let input: Input = call.input()?;
    let mailbox = Mailbox::new(call, &input.message.mailbox)?;
    let folder = input.folder(&mailbox)?;
    let (message, moved) = to(&mailbox, &input.message.id, &folder)?;
    Output::new(json!({"message": message, "moved": moved}))
}

/// Moves a message to Deleted Items.
pub(crate) fn delete(call: &Call) -> Result<Output, Failure> {
    let mut input: Input = call.input()?;
    let mailbox = Mailbox::new(call, &input.message.mailbox)?;
    input.folder = Some(DELETED.to_owned());
    let folder = input.folder(&mailbox)?;
    let (message, deleted) = to(&mailbox, &input.message.id, &folder)?;
    Output::new(json!({"message": message, "deleted": deleted}))
}

fn to(mailbox: &Mailbox<'_>, id: &str, folder: &str) -> Result<(MessageHandle, bool), Failure> {
    let mut was_asked = false;
    let mut lost = String::new();
    for _ in 0..ROUNDS {
        let place = Message::get(mailbox, id, "looking for the message")?;
        if place.folder.as_deref() == Some(folder) {
            return Ok((place.handle(mailbox), was_asked));
        }
        was_asked = true;
        match request(mailbox, id, "move", folder)? {
            Ended::Known(moved) => return Ok((moved.handle(mailbox), true)),
            Ended::Lost(why) => lost = why,
        }
    }
    Err(interrupted(&lost))
}

/// Copies a message once. The original gets a stamp first, which its copy inherits: after a break
/// the copy is the other message that has it.
pub(crate) fn copy(call: &Call) -> Result<Output, Failure> {
    let input: Input = call.input()?;
    let mailbox = Mailbox::new(call, &input.message.mailbox)?;
    let folder = input.folder(&mailbox)?;
    // The id that Graph gives, to tell the original from its copy by.
    let id = &Message::get(&mailbox, &input.message.id, "looking for the message")?.id;
    let mut lost = String::new();
    let mut look = call.attempt() > 1;
    let mut is_stamped = false;
    for _ in 0..ROUNDS {
        if look {
            let stamped = COPIED.find(&mailbox)?;
            is_stamped |= stamped.iter().any(|message| message.id == *id);
            let mut others = stamped.into_iter().filter(|message| message.id != *id);
            if let Some(copy) = others.next() {
                return Output::new(json!({"message": copy.handle(&mailbox)}));
            }
        }
        look = true;
        if !is_stamped {
            let stamp = json!({"singleValueExtendedProperties": [COPIED.of(&mailbox)]});
            update(&mailbox, id, &stamp, "marking the message")?;
            is_stamped = true;
        }
        match request(&mailbox, id, "copy", &folder)? {
            Ended::Known(copy) => {
                return Output::new(json!({"message": copy.handle(&mailbox)}));
            }
            Ended::Lost(why) => lost = why,
        }
    }
    Err(interrupted(&lost))
}

fn request(
    mailbox: &Mailbox<'_>,
    id: &str,
    action: &str,
    folder: &str,
) -> Result<Ended<Message>, Failure> {
    let answer = mailbox
        .request("POST", &format!("{}/{action}", path(id)))
        .json(&json!({"destinationId": folder}))
        .send();
    // Both are documented with 201, and shown with 200 in places.
    let doing = format!("the {action} of the message");
    Ok(match ended(mailbox, answer, &[200, 201], &doing)? {
        Ended::Known(answer) => Ended::Known(Message::read(&answer.json()?)?),
        Ended::Lost(why) => Ended::Lost(why),
    })
}
