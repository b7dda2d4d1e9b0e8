//! What the plugin says of itself: actions, schemas, and what it asks the operator for.
//!
//! The schemas are kept as JSON text (`schema/`), which makes a smaller component than code that
//! builds them.

use docket_plugin_sdk::{Action, Manifest};

const FOLDER: &str = "{graph}/v1.0/users/{mailbox}/mailFolders/*";
const FOLDERS: &str = "{graph}/v1.0/users/{mailbox}/mailFolders/*/childFolders";
const LIST: &str = "{graph}/v1.0/users/{mailbox}/mailFolders/*/messages";
const DELTA: &str = "{graph}/v1.0/users/{mailbox}/mailFolders/*/messages/delta";
const MESSAGE: &str = "{graph}/v1.0/users/{mailbox}/messages/*";
const ORIGINAL: &str = "{graph}/v1.0/users/{mailbox}/messages/*/$value";
const ATTACHMENTS: &str = "{graph}/v1.0/users/{mailbox}/messages/*/attachments";
const CONTENT: &str = "{graph}/v1.0/users/{mailbox}/messages/*/attachments/*/$value";

const SELECT: &str = include_str!("../schema/select.json");
const TAKE: &str = include_str!("../schema/take.json");
const MESSAGE_OUT: &str = include_str!("../schema/message.json");
const DEFS: &str = include_str!("../schema/defs.json");

/// What a message always has in an output.
const REQUIRED: &str = r#""required": ["id", "mailbox", "message", "folder", "internet-message-id", "conversation-id", "subject", "from", "sender", "to", "cc", "bcc", "reply-to", "received-at", "sent-at", "read", "importance", "categories", "web-link", "preview", "attachments", "skipped"], "additionalProperties": false"#;

pub(crate) fn manifest() -> Manifest {
    Manifest::new(
        "graph-import",
        env!("CARGO_PKG_VERSION"),
        "Imports mail and attachments from a Microsoft 365 folder.",
    )
    .action(messages())
    .action(message())
    .action(new_messages())
}

fn messages() -> Action {
    let own = r#""subfolders": {"type": "boolean", "default": false, "description": "Read the folders below it as well, one after the other."},
"since": {"type": "string", "description": "Only messages received from then on: 2026-11-21 or 2026-11-21T08:00:00Z."},
"order": {"enum": ["oldest-first", "newest-first"], "default": "oldest-first", "description": "By when they were received, in each folder."},
"limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100, "description": "The most messages to import."},
"page-size": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50, "description": "How many messages to ask for at once."}"#;
    let output = format!(
        r##"{{"type":"object","properties":{{"messages":{{"type":"array","items":{{"$ref":"#/$defs/message"}}}},"more":{{"type":"boolean","description":"Whether there are more messages like these than `limit` allows."}}}},"required":["messages","more"],"additionalProperties":false,"$defs":{}}}"##,
        defs("")
    );
    taking(listing(Action::new(
        "messages",
        "Reads the messages of a folder, with their attachments as documents.",
    )))
    .input(object(&[SELECT, own, TAKE]))
    .output(output)
    .example(
        "unread invoices, PDFs only",
        r#"{"mailbox": "invoices@example.com", "folder": "inbox/Invoices", "has-attachments": true, "unread": true, "types": [".pdf"]}"#,
    )
    .example(
        "the newest from one sender, with the original",
        r#"{"mailbox": "invoices@example.com", "from": "@fabrikam.example", "order": "newest-first", "limit": 1, "original": true}"#,
    )
}

fn message() -> Action {
    let own = r#""message": {"type": "object", "description": "The message.", "properties": {"id": {"type": "string", "minLength": 1}, "mailbox": {"type": "string", "format": "email"}}, "required": ["id", "mailbox"], "additionalProperties": false}"#;
    let input = object(&[own, TAKE]);
    let input = input.replacen('{', r#"{"required":["message"],"#, 1);
    let output =
        format!(r#"{{"type":"object","properties":{{{MESSAGE_OUT}}},{REQUIRED},"$defs":{DEFS}}}"#);
    taking(Action::new(
        "message",
        "Reads one message, with its attachments as documents.",
    ))
    .input(input)
    .output(output)
    .example(
        "a message of an earlier step, as text",
        r#"{"message": {"id": "AAkALgAA…", "mailbox": "invoices@example.com"}, "body": "text"}"#,
    )
}

fn new_messages() -> Action {
    let own = r#""since": {"type": "string", "description": "Messages received from then on; from the first poll on where it is left out."},
"limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 25, "description": "About how many messages one poll gives; the next ones follow at once."}"#;
    let output = format!(
        r##"{{"type":"object","properties":{{"items":{{"type":"array","items":{{"$ref":"#/$defs/message"}}}},"more":{{"type":"boolean","description":"Whether there is more to be had at once."}}}},"required":["items","more"],"additionalProperties":false,"$defs":{}}}"##,
        defs(
            r#""key": {"type": "string", "description": "The immutable id: what names the item for good."},
"failure": {"type": "object", "description": "Why the service does not show what belongs to it, though it was tried for an hour and more. Its run fails with that.", "properties": {"code": {"type": "string"}, "message": {"type": "string"}}, "required": ["code", "message"], "additionalProperties": false},"#
        )
    );
    taking(listing(Action::source(
        "new-messages",
        "Gives each message that comes into a folder, once, with its attachments as documents.",
    )))
    .request("GET", DELTA, "To learn which messages came into the folder.")
    .input(object(&[SELECT, own, TAKE]))
    .output(output)
    .example(
        "invoices as they come",
        r#"{"mailbox": "invoices@example.com", "folder": "inbox/Invoices", "has-attachments": true, "types": [".pdf"]}"#,
    )
}

fn object(properties: &[&str]) -> String {
    let properties = properties.join(",");
    format!(r#"{{"type":"object","properties":{{{properties}}},"additionalProperties":false}}"#)
}

/// The definitions with `message`, which has `more` properties.
fn defs(more: &str) -> String {
    let rest = DEFS.trim_start().trim_start_matches('{');
    format!(
        r#"{{"message":{{"type":"object","properties":{{{more}{MESSAGE_OUT}}},{REQUIRED}}},{rest}"#
    )
}

/// What finding messages needs.
fn listing(action: Action) -> Action {
    action
        .request("GET", FOLDER, "To find the folder by its well-known name.")
        .request("GET", FOLDERS, "To find the folder by its path.")
        .request("GET", LIST, "To list the folder's messages.")
}

/// What reading them needs.
fn taking(action: Action) -> Action {
    action
        .request("GET", MESSAGE, "To read a message's body.")
        .request(
            "GET",
            ORIGINAL,
            "To import a whole message, when the step asks for it.",
        )
        .request("GET", ATTACHMENTS, "To list a message's attachments.")
        .request("GET", CONTENT, "To import an attachment.")
        .scope(
            "Mail.Read",
            Some("Mail.Read.Shared"),
            Some("Mail.Read"),
            "To read the messages and their attachments.",
        )
}
