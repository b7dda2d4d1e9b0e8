//! Messages, attachments and people as Graph's JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::clock::graph_time;
use crate::graph::input::{self, Purpose};
use crate::graph::query::{Expand, Prefer, Query};
use crate::store::html;
use crate::store::ids::IdForm;
use crate::store::mailbox::Mailbox;
use crate::store::message::{Attachment, Content, Message, Recipient};

/// How a client wants messages shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) query: &'a Query,
    pub(crate) prefer: &'a Prefer,
    /// A token for `Mail.ReadBasic` shows no bodies and no attachments.
    pub(crate) basic: bool,
    /// What Exchange's attachment sizes count beyond the bytes.
    pub(crate) overhead: usize,
}

/// A message in a list or alone; the caller adds `@odata.context`.
pub(crate) fn message(mailbox: &Mailbox, message: &Message, view: View<'_>) -> Map<String, Value> {
    let query = view.query;
    let mut out = Map::new();
    let change_key = message.change_key();
    out.insert("@odata.etag".into(), format!("W/\"{change_key}\"").into());
    out.insert(
        "id".into(),
        mailbox.message_id(message, view.prefer.ids).into(),
    );
    let mut put = |name: &str, lower: &str, value: &mut dyn FnMut() -> Value| {
        if query.selects(lower) {
            out.insert(name.to_owned(), value());
        }
    };
    put("createdDateTime", "createddatetime", &mut || {
        graph_time(message.created).into()
    });
    put("lastModifiedDateTime", "lastmodifieddatetime", &mut || {
        graph_time(message.modified).into()
    });
    put("changeKey", "changekey", &mut || change_key.clone().into());
    put("categories", "categories", &mut || {
        message.categories.clone().into()
    });
    put("receivedDateTime", "receiveddatetime", &mut || {
        graph_time(message.received).into()
    });
    put("sentDateTime", "sentdatetime", &mut || {
        graph_time(message.sent).into()
    });
    put("hasAttachments", "hasattachments", &mut || {
        message.has_attachments().into()
    });
    put("internetMessageId", "internetmessageid", &mut || {
        message.internet_message_id.clone().into()
    });
    put("subject", "subject", &mut || {
        message.subject.clone().unwrap_or_default().into()
    });
    if !view.basic {
        put("bodyPreview", "bodypreview", &mut || {
            message.preview().into()
        });
    }
    put("importance", "importance", &mut || {
        message.importance.clone().into()
    });
    put("parentFolderId", "parentfolderid", &mut || {
        mailbox.ids.folder(message.folder).into()
    });
    put("conversationId", "conversationid", &mut || {
        message.conversation_id.clone().into()
    });
    put("conversationIndex", "conversationindex", &mut || {
        conversation_index(message).into()
    });
    put(
        "isDeliveryReceiptRequested",
        "isdeliveryreceiptrequested",
        &mut || message.delivery_receipt.into(),
    );
    put(
        "isReadReceiptRequested",
        "isreadreceiptrequested",
        &mut || message.read_receipt.into(),
    );
    put("isRead", "isread", &mut || message.is_read.into());
    put("isDraft", "isdraft", &mut || message.is_draft.into());
    put("webLink", "weblink", &mut || {
        web_link(&mailbox.message_id(message, IdForm::Default)).into()
    });
    put(
        "inferenceClassification",
        "inferenceclassification",
        &mut || message.inference.clone().into(),
    );
    if !view.basic {
        put("body", "body", &mut || body(message, view.prefer));
    }
    if query.select.is_some() && query.selects("uniquebody") && !view.basic {
        out.insert("uniqueBody".into(), body(message, view.prefer));
    }
    for (name, lower, who) in [
        ("sender", "sender", &message.sender),
        ("from", "from", &message.from),
    ] {
        if let Some(who) = who
            && query.selects(lower)
        {
            out.insert(name.into(), recipient(who));
        }
    }
    for (name, lower, list) in [
        ("toRecipients", "torecipients", &message.to),
        ("ccRecipients", "ccrecipients", &message.cc),
        ("bccRecipients", "bccrecipients", &message.bcc),
        ("replyTo", "replyto", &message.reply_to),
    ] {
        if query.selects(lower) {
            out.insert(name.into(), list.iter().map(recipient).collect());
        }
    }
    if query.selects("flag") {
        out.insert(
            "flag".into(),
            message
                .flag
                .clone()
                .unwrap_or_else(|| json!({"flagStatus": "notFlagged"})),
        );
    }
    // Only on $select (message.md).
    if query.select.is_some() && query.selects("internetmessageheaders") {
        out.insert("internetMessageHeaders".into(), headers(message));
    }
    expansions(mailbox, message, view, &mut out);
    out
}

fn expansions(mailbox: &Mailbox, message: &Message, view: View<'_>, out: &mut Map<String, Value>) {
    let Expand {
        attachments,
        attachment_select,
        single,
        multi,
        ..
    } = &view.query.expand;
    if let Some(wanted) = single {
        let found: Vec<Value> = message
            .properties
            .iter()
            .filter(|(id, _)| wanted.contains(id))
            .map(|(id, value)| json!({"id": id, "value": value}))
            .collect();
        if !found.is_empty() {
            out.insert("singleValueExtendedProperties".into(), found.into());
        }
    }
    if let Some(wanted) = multi {
        let found: Vec<Value> = message
            .multi_properties
            .iter()
            .filter(|(id, _)| wanted.contains(id))
            .map(|(id, values)| json!({"id": id, "value": values}))
            .collect();
        if !found.is_empty() {
            out.insert("multiValueExtendedProperties".into(), found.into());
        }
    }
    if *attachments && !view.basic {
        let select = attachment_select.as_deref();
        let list = message
            .attachments
            .iter()
            .map(|one| Value::Object(attachment(mailbox, message, one, view, select, false)))
            .collect();
        out.insert("attachments".into(), list);
    }
}

/// An attachment; `with_item` shows an item attachment's item.
pub(crate) fn attachment(
    mailbox: &Mailbox,
    message: &Message,
    attachment: &Attachment,
    view: View<'_>,
    select: Option<&[String]>,
    with_item: bool,
) -> Map<String, Value> {
    let selects = |name: &str| select.is_none_or(|names| names.iter().any(|wanted| wanted == name));
    let mut out = Map::new();
    let kind = match &attachment.content {
        Content::File(_) => "#microsoft.graph.fileAttachment",
        Content::Item(_) => "#microsoft.graph.itemAttachment",
        Content::Reference(_) => "#microsoft.graph.referenceAttachment",
    };
    out.insert("@odata.type".into(), kind.into());
    if let (Content::File(_), Some(media)) = (&attachment.content, &attachment.content_type) {
        out.insert("@odata.mediaContentType".into(), media.clone().into());
    }
    out.insert(
        "id".into(),
        mailbox
            .attachment_id(message, attachment, view.prefer.ids)
            .into(),
    );
    let mut put = |name: &str, value: Value| {
        if selects(&name.to_ascii_lowercase()) {
            out.insert(name.to_owned(), value);
        }
    };
    put(
        "lastModifiedDateTime",
        graph_time(attachment.modified).into(),
    );
    put("name", attachment.name.clone().into());
    put("contentType", attachment.content_type.clone().into());
    put("size", (attachment.len() + view.overhead).into());
    put("isInline", attachment.is_inline.into());
    match &attachment.content {
        Content::File(bytes) => {
            put("contentId", attachment.content_id.clone().into());
            put(
                "contentLocation",
                attachment.content_location.clone().into(),
            );
            if selects("contentbytes") {
                out.insert("contentBytes".into(), STANDARD.encode(bytes).into());
            }
        }
        Content::Item(item) if with_item => {
            out.insert("item".into(), whole_item(mailbox, message, item, view));
        }
        Content::Item(_) | Content::Reference(_) => {}
    }
    out
}

/// A message inside a message, with everything that a stored one has; other items as they came.
fn whole_item(mailbox: &Mailbox, holder: &Message, item: &Value, view: View<'_>) -> Value {
    let kind = item
        .get("@odata.type")
        .and_then(Value::as_str)
        .unwrap_or("");
    let (Value::Object(map), true) = (item, kind.ends_with("microsoft.graph.message")) else {
        return item.clone();
    };
    let mut inner = Message::draft(holder.key, holder.created, "item");
    inner.internet_message_id = format!("<item-{}@item>", holder.key);
    inner.conversation_id.clone_from(&holder.conversation_id);
    if input::apply(&mut inner, map.clone(), Purpose::Create, holder.created).is_err() {
        return item.clone();
    }
    inner.is_draft = false;
    let expand = Expand {
        attachments: true,
        ..Expand::default()
    };
    let query = Query {
        expand,
        ..Query::default()
    };
    let mut out = Map::new();
    out.insert("@odata.type".into(), "#microsoft.graph.message".into());
    out.extend(self::message(
        mailbox,
        &inner,
        View {
            query: &query,
            ..view
        },
    ));
    out.insert("internetMessageHeaders".into(), headers(&inner));
    Value::Object(out)
}

fn headers(message: &Message) -> Value {
    message
        .headers
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

/// `{"emailAddress": {…}}`
pub(crate) fn recipient(recipient: &Recipient) -> Value {
    let name = if recipient.name.is_empty() {
        &recipient.address
    } else {
        &recipient.name
    };
    json!({"emailAddress": {"name": name, "address": recipient.address}})
}

/// The body in the form that was asked for; HTML unless text is preferred (user-list-messages.md).
fn body(message: &Message, prefer: &Prefer) -> Value {
    let content = &message.body.content;
    match (prefer.text_bodies, message.body.is_html) {
        (Some(true), true) => json!({"contentType": "text", "content": html::to_text(content)}),
        (Some(true) | None, false) => json!({"contentType": "text", "content": content}),
        (Some(false), false) => json!({"contentType": "html", "content": html::from_text(content)}),
        (_, true) if prefer.unsafe_html => json!({"contentType": "html", "content": content}),
        (_, true) => json!({"contentType": "html", "content": html::without_scripts(content)}),
    }
}

fn conversation_index(message: &Message) -> String {
    let mut raw = [0_u8; 22];
    raw[0] = 1;
    raw[1..9].copy_from_slice(&message.created.as_second().to_be_bytes());
    for (slot, byte) in raw[9..]
        .iter_mut()
        .zip(message.conversation_id.bytes().skip(4))
    {
        *slot = byte;
    }
    STANDARD.encode(raw)
}

fn web_link(id: &str) -> String {
    let id = id.replace('=', "%3D").replace('+', "%2B");
    format!("https://outlook.office365.com/owa/?ItemID={id}&exvsurl=1&viewmodel=ReadMessageItem")
}
