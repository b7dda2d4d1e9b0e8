//! Exchange mail: send, draft, move.
//!
//! Mail goes out effectively once. A message is first created as a draft that carries a stamp: an
//! extended property with the step's idempotency key, the same for every attempt. Whenever it is
//! not known what became of a request, the plugin looks for the stamp and goes on from what it
//! finds; it never repeats a request in the hope that the first one got lost. See `delivery.rs`.

mod attach;
mod delivery;
mod draft;
mod mail;
mod move_message;
mod send;

use docket_graph::message_schema;
use docket_plugin_sdk::{
    Action, Call, Failure, Manifest, Output, Plugin, document_schema, export_plugin,
};
use serde_json::{Value, json};

/// The plugin.
pub struct Exchange;

const MESSAGES: &str = "{graph}/v1.0/users/{mailbox}/messages";
const MESSAGE: &str = "{graph}/v1.0/users/{mailbox}/messages/*";
const SEND: &str = "{graph}/v1.0/users/{mailbox}/messages/*/send";
const REPLY: &str = "{graph}/v1.0/users/{mailbox}/messages/*/createReply";
const MOVE: &str = "{graph}/v1.0/users/{mailbox}/messages/*/move";
const ATTACHMENTS: &str = "{graph}/v1.0/users/{mailbox}/messages/*/attachments";
const SESSION: &str = "{graph}/v1.0/users/{mailbox}/messages/*/attachments/createUploadSession";
const UPLOAD: &str = "{outlook}/**";
const FOLDER: &str = "{graph}/v1.0/users/{mailbox}/mailFolders/*";
const FOLDERS: &str = "{graph}/v1.0/users/{mailbox}/mailFolders/*/childFolders";

impl Plugin for Exchange {
    fn manifest() -> Manifest {
        Manifest::new(
            "exchange",
            env!("CARGO_PKG_VERSION"),
            "Sends, drafts and moves mail in Exchange Online.",
        )
        .action(send_action())
        .action(draft_action())
        .action(move_action())
    }

    fn run(call: &Call) -> Result<Output, Failure> {
        match call.action() {
            "send" => send::run(call),
            "draft" => draft::run(call),
            "move" => move_message::run(call),
            _ => Err(call.unknown_action()),
        }
    }
}

fn send_action() -> Action {
    let mut properties = content_properties();
    properties["from"] =
        address("The mailbox to send from; the account's own where it is left out.");
    composing(Action::new("send", "Sends a mail, effectively once."))
        .request("POST", SEND, "To send the draft.")
        .request("GET", FOLDER, "To say which folder the sent copy is in.")
        .scope(
            "Mail.Send",
            Some("Mail.Send.Shared"),
            Some("Mail.Send"),
            "To send the mail.",
        )
        .input(json!({
            "type": "object",
            "properties": properties,
            "required": ["to", "subject"],
            "oneOf": [{"required": ["html"]}, {"required": ["text"]}],
            "additionalProperties": false
        }))
        .output(json!({
            "type": "object",
            "properties": {
                "state": {
                    "enum": ["sent", "accepted"],
                    "description": "`accepted` where Exchange took the mail and the sent copy was not there yet."
                },
                "message": message_schema("The sent copy."),
                "internet-message-id": {"type": "string"},
                "folder": {
                    "type": ["string", "null"],
                    "description": "The display name of the folder that the sent copy is in."
                },
                "attachments": {"type": "array", "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
                    "required": ["name", "size"]
                }}
            },
            "required": ["state", "message", "internet-message-id", "folder", "attachments"]
        }))
        .example(
            "a signed document from a shared mailbox",
            json!({
                "from": "contracts@example.com",
                "to": ["anna@example.com"],
                "subject": "Signed: supply agreement",
                "html": "<p>All parties have signed.</p>"
            }),
        )
}

fn draft_action() -> Action {
    let mut properties = content_properties();
    properties["from"] =
        address("The mailbox to draft in; the account's own where it is left out.");
    properties["reply-to-message"] =
        message_schema("The message to reply to; recipients and subject then come from it.");
    composing(Action::new("draft", "Prepares a mail, or a reply, in Drafts."))
        .request("POST", REPLY, "To prepare a reply.")
        .input(json!({
            "type": "object",
            "properties": properties,
            "oneOf": [{"required": ["html"]}, {"required": ["text"]}],
            "anyOf": [{"required": ["reply-to-message"]}, {"required": ["to", "subject"]}],
            "additionalProperties": false
        }))
        .output(json!({
            "type": "object",
            "properties": {
                "message": message_schema("The draft."),
                "web-link": {"type": ["string", "null"], "description": "Opens it in Outlook on the web."},
                "subject": {"type": "string"}
            },
            "required": ["message", "web-link", "subject"]
        }))
        .example(
            "a reply",
            json!({
                "reply-to-message": {"id": "AAkALgAA…", "mailbox": "invoices@example.com"},
                "text": "We have received your invoice."
            }),
        )
}

fn move_action() -> Action {
    Action::new("move", "Moves a message to another folder of its mailbox.")
        .request("GET", MESSAGE, "To see which folder the message is in.")
        .request("POST", MOVE, "To move it.")
        .request("GET", FOLDER, "To find the folder.")
        .request("GET", FOLDERS, "To find the folder by its path.")
        .request("POST", FOLDERS, "To create the folder, when the step asks for it.")
        .scope(
            "Mail.ReadWrite",
            Some("Mail.ReadWrite.Shared"),
            Some("Mail.ReadWrite"),
            "To find folders and to move messages.",
        )
        .input(json!({
            "type": "object",
            "properties": {
                "message": message_schema("The message to move."),
                "folder": {
                    "type": "string",
                    "minLength": 1,
                    "description": "Where to: a well-known name (archive, deleteditems), or names with `/` between them."
                },
                "create": {
                    "type": "boolean",
                    "default": false,
                    "description": "Create the folder where it is missing."
                }
            },
            "required": ["message", "folder"],
            "additionalProperties": false
        }))
        .output(json!({
            "type": "object",
            "properties": {
                "message": message_schema("The message in its new place."),
                "moved": {"type": "boolean", "description": "False where it was there already."}
            },
            "required": ["message", "moved"]
        }))
        .example(
            "into a folder below the inbox",
            json!({
                "message": {"id": "AAkALgAA…", "mailbox": "invoices@example.com"},
                "folder": "inbox/Invoices/2026",
                "create": true
            }),
        )
}

/// What `send` and `draft` need alike.
fn composing(action: Action) -> Action {
    action
        .request("POST", MESSAGES, "To create the draft.")
        .request("GET", MESSAGES, "To find the message again after a break.")
        .request("GET", MESSAGE, "To see what became of the message.")
        .request("GET", ATTACHMENTS, "To see what is attached after a break.")
        .request("POST", ATTACHMENTS, "To attach files of less than 3 MB.")
        .request("POST", SESSION, "To attach larger files.")
        .request(
            "PUT",
            UPLOAD,
            "To upload larger files, without the account's token.",
        )
        .scope(
            "Mail.ReadWrite",
            Some("Mail.ReadWrite.Shared"),
            Some("Mail.ReadWrite"),
            "To create the draft and to find it again.",
        )
}

fn content_properties() -> Value {
    json!({
        "to": addresses("The recipients."),
        "cc": addresses("Those who get a copy."),
        "bcc": addresses("Those who get a copy without the others seeing it."),
        "reply-to": addresses("Where answers go."),
        "subject": {"type": "string", "maxLength": 255},
        "html": {"type": "string", "description": "The body as HTML."},
        "text": {"type": "string", "description": "The body as plain text."},
        "importance": {"enum": ["low", "normal", "high"], "default": "normal"},
        "headers": {
            "type": "object",
            "description": "Headers of your own; names begin with `x-`, five at most.",
            "patternProperties": {"^[xX]-": {"type": "string"}},
            "additionalProperties": false,
            "maxProperties": 5
        },
        "attachments": {
            "type": "array",
            "items": document_schema(),
            "description": "Documents to attach, up to 150 MB each where the mailbox allows it."
        }
    })
}

fn address(description: &str) -> Value {
    json!({"type": "string", "format": "email", "description": description})
}

fn addresses(description: &str) -> Value {
    json!({
        "description": description,
        "oneOf": [
            {"type": "string", "minLength": 3},
            {"type": "array", "items": {"type": "string", "minLength": 3}, "maxItems": 500}
        ]
    })
}

export_plugin!(Exchange);
