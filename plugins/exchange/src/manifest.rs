//! What the plugin says of itself: actions, schemas, and what it asks the operator for.
//!
//! The schemas are kept as JSON text (`schema/`), which makes a smaller component than code that
//! builds them.

use docket_plugin_sdk::{Action, Manifest};

const MESSAGES: &str = "{graph}/v1.0/users/{mailbox}/messages";
const MESSAGE: &str = "{graph}/v1.0/users/{mailbox}/messages/*";
const SEND: &str = "{graph}/v1.0/users/{mailbox}/messages/*/send";
const SEND_MAIL: &str = "{graph}/v1.0/users/{mailbox}/sendMail";
const REPLY: &str = "{graph}/v1.0/users/{mailbox}/messages/*/createReply";
const REPLY_ALL: &str = "{graph}/v1.0/users/{mailbox}/messages/*/createReplyAll";
const FORWARD: &str = "{graph}/v1.0/users/{mailbox}/messages/*/createForward";
const MOVE: &str = "{graph}/v1.0/users/{mailbox}/messages/*/move";
const COPY: &str = "{graph}/v1.0/users/{mailbox}/messages/*/copy";
const ATTACHMENTS: &str = "{graph}/v1.0/users/{mailbox}/messages/*/attachments";
const SESSION: &str = "{graph}/v1.0/users/{mailbox}/messages/*/attachments/createUploadSession";
const UPLOAD: &str = "{outlook}/**";
const FOLDER: &str = "{graph}/v1.0/users/{mailbox}/mailFolders/*";
const FOLDERS: &str = "{graph}/v1.0/users/{mailbox}/mailFolders/*/childFolders";

const DEFS: &str = include_str!("../schema/defs.json");
const CONTENT: &str = include_str!("../schema/content.json");
const ORIGINAL: &str = include_str!("../schema/original.json");
const SENT: &str = include_str!("../schema/sent.json");

const DEFER: &str = r#""defer-until": {"type": "string", "description": "When Exchange sends it: a time with its zone. Until then it lies in Drafts.", "examples": ["2026-11-23T08:00:00+01:00"]}"#;
/// What a mail must have: one kind of body, where it is no reply a subject, and somebody to go to.
const BODY: &str = r#""oneOf": [{"required": ["html"]}, {"required": ["text"]}, {"required": ["comment"]}, {"required": ["mime"]}, {"required": ["forward"], "not": {"anyOf": [{"required": ["html"]}, {"required": ["text"]}, {"required": ["comment"]}]}}]"#;
const RECIPIENTS: &str = r#""allOf": [{"anyOf": [{"required": ["to"]}, {"required": ["cc"]}, {"required": ["bcc"]}, {"required": ["in-reply-to"]}, {"required": ["mime"]}]}, {"anyOf": [{"required": ["subject"]}, {"required": ["in-reply-to"]}, {"required": ["forward"]}, {"required": ["mime"]}]}]"#;
const MESSAGE_OUT: &str = r##"{"$ref": "#/$defs/message"}"##;

pub(crate) fn manifest() -> Manifest {
    Manifest::new(
        "exchange",
        env!("CARGO_PKG_VERSION"),
        "Sends, drafts and files mail in Exchange Online.",
    )
    .action(send())
    .action(draft())
    .action(update_draft())
    .action(send_draft())
    .action(relocate())
    .action(copy())
    .action(mark())
    .action(delete())
}

/// An object schema of these properties.
fn object(properties: &[&str], rest: &str) -> String {
    let properties = properties.join(",");
    with_defs(&format!(
        r#"{{"type":"object","properties":{{{properties}}},{rest},"additionalProperties":false"#
    ))
}

/// A schema that ends here, with what its references name.
fn with_defs(open: &str) -> String {
    [open, ",\"$defs\":", DEFS, "}"].concat()
}

fn sent_output(message: &str) -> String {
    with_defs(&SENT.replace("MESSAGE", message))
}

fn send() -> Action {
    let own = r#""sent-items": {"enum": ["from-mailbox", "account", "none"], "default": "from-mailbox", "description": "Whose Sent Items get the copy: those of the mailbox in `from`, those of the account that sends, or nobody's (only with `delivery: fast`)."},
"delivery": {"enum": ["once", "fast"], "default": "once", "description": "`once`: one mail, whatever breaks. `fast`: one request; after a break the mail may go out twice."}"#;
    let message = r##"{"oneOf": [{"$ref": "#/$defs/message"}, {"type": "null"}], "description": "The sent copy; null with `delivery: fast`."}"##;
    composing(Action::new("send", "Sends a mail, effectively once."))
        .request("POST", SEND, "To send the draft.")
        .request("POST", SEND_MAIL, "To send a mail in one request, with `delivery: fast`.")
        .request("GET", FOLDER, "To say which folder the sent copy is in.")
        .scope(
            "Mail.Send",
            Some("Mail.Send.Shared"),
            Some("Mail.Send"),
            "To send the mail.",
        )
        .input(object(
            &[CONTENT, ORIGINAL, own, DEFER],
            &[BODY, RECIPIENTS].join(","),
        ))
        .output(sent_output(message))
        .example(
            "a signed document from a shared mailbox",
            r#"{"from": "contracts@example.com", "to": ["anna@example.com"], "subject": "Signed: supply agreement", "html": "<p>All parties have signed.</p>"}"#,
        )
        .example(
            "a reply in the thread, to everybody",
            r#"{"in-reply-to": {"id": "AAkALgAA…", "mailbox": "invoices@example.com"}, "reply-all": true, "comment": "We have paid this invoice."}"#,
        )
        .example(
            "a notice that may arrive twice",
            r#"{"to": {"address": "ops@example.com", "name": "Operations"}, "subject": "Import finished", "text": "12 invoices.", "delivery": "fast", "sent-items": "none"}"#,
        )
}

fn draft() -> Action {
    composing(Action::new(
        "draft",
        "Prepares a mail, a reply or a forwarded mail in Drafts.",
    ))
    .input(object(&[CONTENT, ORIGINAL, DEFER], BODY))
    .output(draft_output())
    .example(
        "a reply that quotes the original",
        r#"{"in-reply-to": {"id": "AAkALgAA…", "mailbox": "invoices@example.com"}, "comment": "We have received your invoice."}"#,
    )
    .example(
        "an invoice forwarded to accounting",
        r#"{"forward": {"id": "AAkALgAA…", "mailbox": "invoices@example.com"}, "to": "accounting@example.com", "comment": "Please check."}"#,
    )
}

fn draft_output() -> String {
    with_defs(
        r##"{"type": "object", "properties": {
"message": {"$ref": "#/$defs/message"},
"web-link": {"type": ["string", "null"], "description": "Opens it in Outlook on the web."},
"subject": {"type": "string"}
}, "required": ["message", "web-link", "subject"]"##,
    )
}

fn update_draft() -> Action {
    let message = r##""message": {"$ref": "#/$defs/message"}"##;
    attaching(read_write(
        Action::new(
            "update-draft",
            "Changes a draft: sets what is given, leaves the rest, and attaches what is not there yet by name.",
        )
        .request("GET", MESSAGE, "To see whether the message is a draft still.")
        .request("PATCH", MESSAGE, "To change the draft."),
        "To change the draft.",
    ))
    .input(object(
        &[message, CONTENT, DEFER],
        r#""required": ["message"], "minProperties": 2"#,
    ))
    .output(draft_output())
    .example(
        "another subject and one more recipient",
        r#"{"message": {"id": "AAkALgAA…", "mailbox": "contracts@example.com"}, "subject": "Signed: supply agreement", "cc": "legal@example.com"}"#,
    )
}

fn send_draft() -> Action {
    let message = r##""message": {"$ref": "#/$defs/message"}"##;
    read_write(
        Action::new(
            "send-draft",
            "Sends a draft, effectively once; one that was sent in the meantime is left as it is.",
        )
        .request("GET", MESSAGE, "To see what became of the draft.")
        .request("GET", MESSAGES, "To find the message again after a break.")
        .request(
            "PATCH",
            MESSAGE,
            "To mark the draft, so that it can be found again.",
        )
        .request("POST", SEND, "To send the draft.")
        .request("GET", FOLDER, "To say which folder the sent copy is in."),
        "To mark the draft and to find it again.",
    )
    .scope(
        "Mail.Send",
        Some("Mail.Send.Shared"),
        Some("Mail.Send"),
        "To send the draft.",
    )
    .input(object(&[message, DEFER], r#""required": ["message"]"#))
    .output(sent_output(MESSAGE_OUT))
    .example(
        "the draft of an earlier step",
        r#"{"message": {"id": "AAkALgAA…", "mailbox": "contracts@example.com"}}"#,
    )
}

fn relocate() -> Action {
    placing(
        Action::new("move", "Moves a message to another folder of its mailbox.")
            .request("POST", MOVE, "To move the message."),
        "To find folders and to move messages.",
    )
    .input(place_input())
    .output(place_output("moved", "False where it was there already."))
    .example(
        "into a folder below the inbox",
        r#"{"message": {"id": "AAkALgAA…", "mailbox": "invoices@example.com"}, "folder": "inbox/Invoices/2026", "create": true}"#,
    )
}

fn copy() -> Action {
    placing(
        Action::new("copy", "Copies a message to a folder of its mailbox, once.")
            .request("GET", MESSAGES, "To find the copy again after a break.")
            .request("PATCH", MESSAGE, "To mark the message, so that its copy can be found again.")
            .request("POST", COPY, "To copy the message."),
        "To find folders and to copy messages.",
    )
    .input(place_input())
    .output(with_defs(
        r##"{"type": "object", "properties": {"message": {"$ref": "#/$defs/message", "description": "The copy."}}, "required": ["message"]"##,
    ))
    .example(
        "into the archive",
        r#"{"message": {"id": "AAkALgAA…", "mailbox": "invoices@example.com"}, "folder": "archive"}"#,
    )
}

fn delete() -> Action {
    let message = r##""message": {"$ref": "#/$defs/message"}"##;
    read_write(
        Action::new("delete", "Moves a message to Deleted Items.")
            .request("GET", MESSAGE, "To see which folder the message is in.")
            .request("GET", FOLDER, "To find Deleted Items.")
            .request("POST", MOVE, "To move the message to Deleted Items."),
        "To move messages to Deleted Items.",
    )
    .input(object(&[message], r#""required": ["message"]"#))
    .output(place_output("deleted", "False where it was there already."))
    .example(
        "a message of an earlier step",
        r#"{"message": {"id": "AAkALgAA…", "mailbox": "invoices@example.com"}}"#,
    )
}

fn mark() -> Action {
    let own = r##""message": {"$ref": "#/$defs/message"},
"read": {"type": "boolean", "description": "Read, or unread."},
"flag": {"enum": ["flagged", "complete", "none"], "description": "The follow-up flag."},
"importance": {"enum": ["low", "normal", "high"]},
"categories": {"$ref": "#/$defs/names", "description": "The categories that it has from then on; an empty list removes all."},
"add-categories": {"$ref": "#/$defs/names", "description": "Categories to add to those that it has."},
"remove-categories": {"$ref": "#/$defs/names", "description": "Categories to take off."}"##;
    read_write(
        Action::new(
            "mark",
            "Marks a message: read or unread, flag, importance, categories.",
        )
        .request("GET", MESSAGE, "To see which categories the message has.")
        .request("PATCH", MESSAGE, "To mark the message."),
        "To mark messages.",
    )
    .input(object(&[own], r#""required": ["message"], "minProperties": 2"#))
    .output(with_defs(
        r##"{"type": "object", "properties": {"message": {"$ref": "#/$defs/message"}}, "required": ["message"]"##,
    ))
    .example(
        "a message that is done",
        r#"{"message": {"id": "AAkALgAA…", "mailbox": "invoices@example.com"}, "read": true, "flag": "complete", "add-categories": ["Booked"]}"#,
    )
}

fn place_input() -> String {
    let own = r##""message": {"$ref": "#/$defs/message"},
"folder": {"$ref": "#/$defs/folder", "description": "Where to: a well-known name (archive, inbox), or names with `/` between them. A slash inside a name is written \\/."},
"create": {"type": "boolean", "default": false, "description": "Create the folder where it is missing."}"##;
    object(&[own], r#""required": ["message", "folder"]"#)
}

fn place_output(done: &str, description: &str) -> String {
    with_defs(&format!(
        r##"{{"type":"object","properties":{{"message":{{"$ref":"#/$defs/message"}},"{done}":{{"type":"boolean","description":"{description}"}}}},"required":["message","{done}"]"##
    ))
}

/// What `send` and `draft` need alike.
fn composing(action: Action) -> Action {
    attaching(read_write(
        action
            .request("POST", MESSAGES, "To create the draft.")
            .request("POST", REPLY, "To create a reply.")
            .request("POST", REPLY_ALL, "To create a reply to everybody.")
            .request("POST", FORWARD, "To create a forwarded mail.")
            .request(
                "PATCH",
                MESSAGE,
                "To mark a reply's draft, so that it can be found again.",
            )
            .request("GET", MESSAGES, "To find the message again after a break.")
            .request("GET", MESSAGE, "To see what became of the message."),
        "To create the draft and to find it again.",
    ))
}

fn attaching(action: Action) -> Action {
    action
        .request("GET", ATTACHMENTS, "To see what is attached already.")
        .request("POST", ATTACHMENTS, "To attach files of less than 3 MB.")
        .request("POST", SESSION, "To attach larger files.")
        .request(
            "PUT",
            UPLOAD,
            "To upload larger files, without the account's token.",
        )
}

/// What `move` and `copy` need alike.
fn placing(action: Action, why: &'static str) -> Action {
    read_write(
        action
            .request("GET", MESSAGE, "To see which folder the message is in.")
            .request("GET", FOLDER, "To find the folder.")
            .request("GET", FOLDERS, "To find the folder by its path.")
            .request(
                "POST",
                FOLDERS,
                "To create the folder, when the step asks for it.",
            ),
        why,
    )
}

fn read_write(action: Action, why: &'static str) -> Action {
    action.scope(
        "Mail.ReadWrite",
        Some("Mail.ReadWrite.Shared"),
        Some("Mail.ReadWrite"),
        why,
    )
}
