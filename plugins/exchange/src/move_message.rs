//! `move`: a message to another folder of its mailbox.

use docket_graph::{FolderPath, Mailbox, MessageHandle, Missing, encode, unexpected};
use docket_plugin_sdk::{Call, Failure, Output, Problem};
use serde::Deserialize;
use serde_json::json;

use crate::delivery::{Ended, leaves_open, lost_or_failed};

/// How many times a missing reply is followed by a look before the attempt gives up.
const ROUNDS: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    message: MessageHandle,
    folder: String,
    #[serde(default)]
    create: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    id: String,
    parent_folder_id: String,
}

pub(crate) fn run(call: &Call) -> Result<Output, Failure> {
    let input: Input = call.input()?;
    let mailbox = Mailbox::new(call, &input.message.mailbox)?;
    let missing = if input.create {
        Missing::Create
    } else {
        Missing::Fail
    };
    let folder = FolderPath::parse(&input.folder)?.resolve(&mailbox, missing)?;
    let path = format!("/messages/{}", encode(&input.message.id));
    let mut was_asked = false;
    let mut why = String::new();
    for _ in 0..ROUNDS {
        let place: Place = mailbox.get(
            &format!("{path}?$select=id,parentFolderId"),
            "looking for the message",
        )?;
        if place.parent_folder_id == folder {
            return output(place.id, &input.message.mailbox, was_asked);
        }
        was_asked = true;
        match request(&mailbox, &path, &folder)? {
            Ended::Known(id) => return output(id, &input.message.mailbox, true),
            Ended::Lost(reason) => why = reason,
        }
    }
    Err(Failure::Unavailable(Problem::new(
        "Interrupted",
        format!("the server's replies got lost again and again: {why}"),
    )))
}

fn request(mailbox: &Mailbox<'_>, path: &str, folder: &str) -> Result<Ended<String>, Failure> {
    #[derive(Deserialize)]
    struct Moved {
        id: String,
    }
    let doing = "moving the message";
    let answer = mailbox
        .request("POST", &format!("{path}/move"))
        .json(&json!({"destinationId": folder}))
        .send();
    match answer {
        Ok(answer) if answer.status == 201 => Ok(Ended::Known(answer.json::<Moved>()?.id)),
        Ok(answer) if leaves_open(&answer) => Ok(Ended::Lost(format!("status {}", answer.status))),
        Ok(answer) if answer.is_success() => Err(unexpected(&answer, doing)),
        Ok(answer) => Err(mailbox.failure(&answer, doing)),
        Err(error) => lost_or_failed(error),
    }
}

fn output(id: String, mailbox: &str, moved: bool) -> Result<Output, Failure> {
    Output::new(json!({
        "message": MessageHandle { id, mailbox: mailbox.to_owned() },
        "moved": moved,
    }))
}
