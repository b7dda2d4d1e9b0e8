//! Imports mail and attachments from a folder of a Microsoft 365 mailbox.
//!
//! It only ever reads. Attachments go straight from the service into documents, and their bytes
//! never enter the plugin. Everything is asked for by GET, so an attempt that broke off is simply
//! run again.

mod attachment;
mod fetch;
mod import;
mod input;
mod listing;
mod name;

use docket_plugin_sdk::{
    Action, Call, Failure, Manifest, Output, Plugin, document_schema, export_plugin,
};
use serde_json::{Value, json};

/// The plugin.
pub struct GraphImport;

const FOLDER: &str = "{graph}/v1.0/users/{mailbox}/mailFolders/*";
const FOLDERS: &str = "{graph}/v1.0/users/{mailbox}/mailFolders/*/childFolders";
const LIST: &str = "{graph}/v1.0/users/{mailbox}/mailFolders/*/messages";
const MESSAGE: &str = "{graph}/v1.0/users/{mailbox}/messages/*";
const ATTACHMENTS: &str = "{graph}/v1.0/users/{mailbox}/messages/*/attachments";
const CONTENT: &str = "{graph}/v1.0/users/{mailbox}/messages/*/attachments/*/$value";

impl Plugin for GraphImport {
    fn manifest() -> Manifest {
        Manifest::new(
            "graph-import",
            env!("CARGO_PKG_VERSION"),
            "Imports mail and attachments from a Microsoft 365 folder.",
        )
        .action(messages_action())
    }

    fn run(call: &Call) -> Result<Output, Failure> {
        match call.action() {
            "messages" => import::run(call),
            _ => Err(call.unknown_action()),
        }
    }
}

fn messages_action() -> Action {
    Action::new(
        "messages",
        "Reads the messages of a folder, oldest first, with their attachments as documents.",
    )
    .request("GET", FOLDER, "To find the folder by its well-known name.")
    .request("GET", FOLDERS, "To find the folder by its path.")
    .request("GET", LIST, "To list the folder's messages.")
    .request("GET", MESSAGE, "To read a message's body.")
    .request("GET", ATTACHMENTS, "To list a message's attachments.")
    .request("GET", CONTENT, "To import an attachment.")
    .scope(
        "Mail.Read",
        Some("Mail.Read.Shared"),
        Some("Mail.Read"),
        "To read the messages and their attachments.",
    )
    .input(input_schema())
    .output(output_schema())
    .example(
        "unread invoices, PDFs only",
        json!({
            "mailbox": "invoices@example.com",
            "folder": "inbox/Invoices",
            "has-attachments": true,
            "unread": true,
            "types": [".pdf"]
        }),
    )
}

fn input_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "mailbox": {
                "type": "string",
                "format": "email",
                "description": "The mailbox to read; the account's own where it is left out."
            },
            "folder": {
                "type": "string",
                "minLength": 1,
                "default": "inbox",
                "description": "A well-known name (inbox, archive), or names with `/` between them."
            },
            "has-attachments": {
                "type": "boolean",
                "description": "Only messages with attachments, or only those without. Pictures inside the body count only with `inline`."
            },
            "unread": {
                "type": "boolean",
                "description": "Only unread messages, or only read ones."
            },
            "since": {
                "type": "string",
                "description": "Only messages received from then on: 2026-11-21 or 2026-11-21T08:00:00Z."
            },
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": 1000,
                "default": input::LIMIT,
                "description": "The most messages to import."
            },
            "page-size": {
                "type": "integer",
                "minimum": 1,
                "maximum": 200,
                "default": input::PAGE_SIZE,
                "description": "How many messages to ask for at once."
            },
            "inline": {
                "type": "boolean",
                "default": false,
                "description": "Import pictures inside the body as well."
            },
            "max-size": {
                "type": "integer",
                "minimum": 1,
                "maximum": input::LARGEST,
                "default": input::MAX_SIZE,
                "description": "The largest attachment to import, in bytes. Larger ones are listed under `skipped`."
            },
            "types": {
                "type": "array",
                "items": {"type": "string", "pattern": "^(\\.[^/]+|[^/]+/[^/]+)$"},
                "description": "Which attachments to import: endings (.pdf) or media types (image/*). Others are listed under `skipped`."
            }
        },
        "additionalProperties": false
    })
}

fn output_schema() -> Value {
    let person = json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "address": {"type": "string"}},
        "required": ["name", "address"],
        "additionalProperties": false
    });
    let attachment = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "kind": {
                "enum": ["file", "item", "link"],
                "description": "A file, an Outlook item such as a forwarded mail, or a link into the cloud, which has no document."
            },
            "inline": {"type": "boolean", "description": "Whether it is shown inside the body."},
            "document": document_schema()
        },
        "required": ["name", "kind", "inline"],
        "additionalProperties": false
    });
    let skipped = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "The attachment, or `body`."},
            "why": {"type": "string"}
        },
        "required": ["name", "why"],
        "additionalProperties": false
    });
    let message = json!({
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "The immutable id; with `mailbox` it names the message to other actions."},
            "mailbox": {"type": "string"},
            "internet-message-id": {"type": "string"},
            "subject": {"type": "string"},
            "from": person,
            "to": {"type": "array", "items": person},
            "received-at": {"type": "string", "description": "RFC 3339, in UTC."},
            "html": {"type": "string", "description": "The body, where it is HTML; made safe by the service."},
            "text": {"type": "string", "description": "The body, where it is plain text."},
            "preview": {"type": "string", "description": "The first 255 characters of the body."},
            "attachments": {"type": "array", "items": attachment},
            "skipped": {"type": "array", "items": skipped, "description": "What was left out, and why."}
        },
        "required": [
            "id", "mailbox", "internet-message-id", "subject", "from", "to", "received-at",
            "preview", "attachments", "skipped"
        ],
        "additionalProperties": false
    });
    json!({
        "type": "object",
        "properties": {
            "messages": {"type": "array", "items": message},
            "more": {"type": "boolean", "description": "Whether the folder holds more messages like these than `limit` allows."}
        },
        "required": ["messages", "more"],
        "additionalProperties": false
    })
}

export_plugin!(GraphImport);
