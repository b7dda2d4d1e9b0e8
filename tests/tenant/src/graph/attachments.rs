//! Attachments of a message (message-list-attachments.md, attachment-get.md).

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value};

use crate::clock::whole_seconds;
use crate::error::GraphError;
use crate::graph::messages::find;
use crate::graph::{Answer, Ctx, input, render};
use crate::rights::Want;
use crate::store::World;
use crate::store::mailbox::Mailbox;
use crate::store::message::{Attachment, Content, Message};
use crate::wire::Reply;

fn context(ctx: &Ctx<'_>, world: &World, id: &str, suffix: &str) -> Value {
    let id = id.replace('=', "%3D");
    ctx.context(world, &format!("messages('{id}')/attachments{suffix}"))
}

fn find_attachment<'m>(
    mailbox: &Mailbox,
    message: &'m Message,
    id: &str,
) -> Result<&'m Attachment, GraphError> {
    let item = mailbox
        .ids
        .parse_item(id)
        .ok_or_else(GraphError::id_malformed)?;
    let number = item.attachment.filter(|_| item.key == message.key);
    let found =
        number.and_then(|number| message.attachments.iter().find(|one| one.number == number));
    found.ok_or_else(GraphError::item_not_found)
}

/// `GET /messages/{id}/attachments`: every `contentBytes` included unless `$select` leaves it out.
pub(crate) fn list(ctx: &Ctx<'_>, id: &str) -> Answer {
    let world = ctx.state.world();
    let mailbox = ctx.mailbox(&world, Want::Read)?;
    let message = find(&world, mailbox, None, id)?;
    let (view, select) = (ctx.view(&world), ctx.query.select.as_deref());
    let value: Vec<Value> = message
        .attachments
        .iter()
        .skip(ctx.query.skip)
        .take(ctx.query.top.unwrap_or(usize::MAX))
        .map(|one| {
            Value::Object(render::attachment(
                mailbox, message, one, view, select, false,
            ))
        })
        .collect();
    let mut out = Map::new();
    out.insert("@odata.context".into(), context(ctx, &world, id, ""));
    if ctx.query.count {
        out.insert("@odata.count".into(), message.attachments.len().into());
    }
    out.insert("value".into(), value.into());
    Ok(ctx.json(StatusCode::OK, &Value::Object(out)))
}

/// `GET /messages/{id}/attachments/{id}`
pub(crate) fn get(ctx: &Ctx<'_>, id: &str, attachment_id: &str) -> Answer {
    let world = ctx.state.world();
    let mailbox = ctx.mailbox(&world, Want::Read)?;
    let message = find(&world, mailbox, None, id)?;
    let attachment = find_attachment(mailbox, message, attachment_id)?;
    Ok(show(
        ctx,
        &world,
        mailbox,
        message,
        attachment,
        id,
        StatusCode::OK,
    ))
}

fn show(
    ctx: &Ctx<'_>,
    world: &World,
    mailbox: &Mailbox,
    message: &Message,
    attachment: &Attachment,
    id: &str,
    status: StatusCode,
) -> Reply {
    let mut out = Map::new();
    out.insert("@odata.context".into(), context(ctx, world, id, "/$entity"));
    let (view, select) = (ctx.view(world), ctx.query.select.as_deref());
    out.extend(render::attachment(
        mailbox,
        message,
        attachment,
        view,
        select,
        ctx.query.expand.item,
    ));
    ctx.json(status, &Value::Object(out))
}

/// `GET /messages/{id}/attachments/{id}/$value`: raw bytes of a file, MIME of a message.
pub(crate) fn value(ctx: &Ctx<'_>, id: &str, attachment_id: &str) -> Answer {
    let world = ctx.state.world();
    let mailbox = ctx.mailbox(&world, Want::Read)?;
    let message = find(&world, mailbox, None, id)?;
    let attachment = find_attachment(mailbox, message, attachment_id)?;
    match &attachment.content {
        Content::File(bytes) => {
            let media = attachment
                .content_type
                .as_deref()
                .unwrap_or("application/octet-stream");
            Ok(Reply::bytes(StatusCode::OK, media, bytes.clone()))
        }
        Content::Item(item) => {
            let kind = item
                .get("@odata.type")
                .and_then(Value::as_str)
                .unwrap_or("")
                .trim_start_matches('#');
            let media = match kind {
                "microsoft.graph.event" => "text/calendar",
                "microsoft.graph.contact" => "text/vcard",
                _ => "text/plain",
            };
            Ok(Reply::bytes(StatusCode::OK, media, item_text(kind, item)))
        }
        Content::Reference(_) => Err(GraphError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "ErrorInvalidOperation",
            "Reference attachments have no raw content.",
        )),
    }
}

/// A short text of an item in its own format.
fn item_text(kind: &str, item: &Value) -> String {
    let part = |name: &str| {
        item.get(name)
            .and_then(Value::as_str)
            .unwrap_or("")
            .replace(['\r', '\n'], " ")
    };
    let content = item
        .pointer("/body/content")
        .and_then(Value::as_str)
        .unwrap_or("");
    match kind {
        "microsoft.graph.event" => format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nSUMMARY:{}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
            part("subject")
        ),
        "microsoft.graph.contact" => {
            format!(
                "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:{}\r\nEND:VCARD\r\n",
                part("displayName")
            )
        }
        _ => format!(
            "Subject: {}\r\nMIME-Version: 1.0\r\n\r\n{content}",
            part("subject")
        ),
    }
}

/// `POST /messages/{id}/attachments`: below 3 MB, as the whole request is capped.
pub(crate) fn add(ctx: &Ctx<'_>, id: &str) -> Answer {
    let attachment = input::attachment(input::object(&ctx.call.body)?)?;
    let mut world = ctx.state.world();
    let world = &mut *world;
    let mailbox = ctx.mailbox(world, Want::Write)?;
    let (key, size) =
        find(world, mailbox, None, id).map(|message| (message.key, message.size()))?;
    if size + attachment.len() > world.policies.max_message {
        return Err(too_big());
    }
    world.check_room(ctx.account, attachment.len())?;
    let now = whole_seconds(ctx.call.now);
    let mailbox = ctx.mailbox_mut(world, Want::Write)?;
    let mut number = 0;
    let message = mailbox
        .update(key, now, |message| number = message.attach(attachment, now))
        .ok_or_else(GraphError::item_not_found)?;
    let mailbox = ctx.mailbox(world, Want::Write)?;
    let message = Arc::clone(&message);
    let added = message
        .attachments
        .iter()
        .find(|one| one.number == number)
        .ok_or_else(GraphError::item_not_found)?;
    Ok(show(
        ctx,
        world,
        mailbox,
        &message,
        added,
        id,
        StatusCode::CREATED,
    ))
}

pub(crate) fn too_big() -> GraphError {
    GraphError::bad_request(
        "ErrorMessageSizeExceeded",
        "The message exceeds the maximum supported size.",
    )
}

/// `DELETE /messages/{id}/attachments/{id}`
pub(crate) fn delete(ctx: &Ctx<'_>, id: &str, attachment_id: &str) -> Answer {
    let mut world = ctx.state.world();
    let world = &mut *world;
    let mailbox = ctx.mailbox(world, Want::Write)?;
    let message = find(world, mailbox, None, id)?;
    let number = find_attachment(mailbox, message, attachment_id)?.number;
    let key = message.key;
    ctx.mailbox_mut(world, Want::Write)?
        .update(key, whole_seconds(ctx.call.now), |message| {
            message.attachments.retain(|one| one.number != number)
        });
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}
