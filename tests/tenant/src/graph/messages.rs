//! Single messages: create, read, change, delete, move, copy.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use crate::clock::whole_seconds;
use crate::error::GraphError;
use crate::graph::input::{self, Purpose};
use crate::graph::{Answer, Ctx, mime, render};
use crate::rights::Want;
use crate::store::World;
use crate::store::delivery::copy_of;
use crate::store::mailbox::{ABSENT, Mailbox, folder};
use crate::store::message::Message;
use crate::wire::Reply;

/// The folder that a name or id of the path means.
pub(crate) fn folder_key(mailbox: &Mailbox, name: &str) -> Result<u32, GraphError> {
    if let Some(key) = mailbox.find_folder(name) {
        return Ok(key);
    }
    // A well-formed id of a folder that is gone, as against something that is no id at all.
    let is_absent = ABSENT
        .iter()
        .any(|absent| absent.eq_ignore_ascii_case(name));
    if is_absent || mailbox.ids.parse_folder(name).is_some() {
        Err(GraphError::folder_not_found())
    } else {
        Err(GraphError::id_malformed())
    }
}

/// The message that an id of the path means.
pub(crate) fn find<'m>(
    world: &World,
    mailbox: &'m Mailbox,
    folder: Option<&str>,
    id: &str,
) -> Result<&'m Arc<Message>, GraphError> {
    let item = mailbox
        .ids
        .parse_item(id)
        .ok_or_else(GraphError::id_malformed)?;
    let gone = || {
        if world.policies.stale_id_is_malformed {
            GraphError::id_malformed()
        } else {
            GraphError::item_not_found()
        }
    };
    let message = mailbox.resolve(item).ok_or_else(gone)?;
    if let Some(folder) = folder
        && folder_key(mailbox, folder)? != message.folder
    {
        return Err(gone());
    }
    Ok(message)
}

/// A message alone, with its context.
pub(crate) fn show(
    ctx: &Ctx<'_>,
    world: &World,
    mailbox: &Mailbox,
    message: &Message,
    status: StatusCode,
) -> Reply {
    let mut out = serde_json::Map::new();
    out.insert(
        "@odata.context".into(),
        ctx.context(world, "messages/$entity"),
    );
    out.extend(render::message(mailbox, message, ctx.view(world)));
    ctx.json(status, &Value::Object(out))
}

/// A message as an action's result, which names its type.
fn show_typed(ctx: &Ctx<'_>, world: &World, mailbox: &Mailbox, message: &Message) -> Reply {
    let mut out = serde_json::Map::new();
    let context = format!("{}/v1.0/$metadata#message", ctx.call.base);
    out.insert("@odata.context".into(), context.into());
    out.insert("@odata.type".into(), "#microsoft.graph.message".into());
    out.extend(render::message(mailbox, message, ctx.view(world)));
    ctx.json(StatusCode::CREATED, &Value::Object(out))
}

/// `POST /messages` and `POST /mailFolders/{id}/messages`: a draft, from JSON or MIME.
pub(crate) fn create(ctx: &Ctx<'_>, folder_name: Option<&str>) -> Answer {
    let mut world = ctx.state.world();
    let world = &mut *world;
    let mailbox = ctx.mailbox(world, Want::Write)?;
    let folder = folder_name.map_or(Ok(folder::DRAFTS), |name| folder_key(mailbox, name))?;
    let mut draft = world.new_draft(ctx.call.now);
    draft.folder = folder;
    let now = draft.created;
    if ctx.call.has_content_type("text/plain") {
        mime::apply(&mut draft, &ctx.call.body, now)?;
        let owner = world.accounts[ctx.account].as_recipient();
        draft.from.get_or_insert_with(|| owner.clone());
        draft.sender.get_or_insert(owner);
    } else {
        input::apply(
            &mut draft,
            input::object(&ctx.call.body)?,
            Purpose::Create,
            now,
        )?;
    }
    name_recipients(world, &mut draft);
    world.check_room(ctx.account, draft.size())?;
    let mailbox = ctx.mailbox_mut(world, Want::Write)?;
    let message = mailbox.insert(draft);
    let mailbox = ctx.mailbox(world, Want::Write)?;
    Ok(show(ctx, world, mailbox, &message, StatusCode::CREATED))
}

/// Fills in the display names that the directory knows.
pub(crate) fn name_recipients(world: &World, message: &mut Message) {
    let people = message
        .to
        .iter_mut()
        .chain(&mut message.cc)
        .chain(&mut message.bcc)
        .chain(message.from.as_mut());
    for person in people {
        if person.name.is_empty()
            && let Some(account) = world.find(&person.address)
        {
            person
                .name
                .clone_from(&world.accounts[account].user.display_name);
        }
    }
}

/// `GET /messages/{id}`
pub(crate) fn get(ctx: &Ctx<'_>, folder: Option<&str>, id: &str) -> Answer {
    let world = ctx.state.world();
    let mailbox = ctx.mailbox(&world, Want::ReadBasic)?;
    let message = find(&world, mailbox, folder, id)?;
    Ok(show(ctx, &world, mailbox, message, StatusCode::OK))
}

/// `GET /messages/{id}/$value`: MIME
pub(crate) fn value(ctx: &Ctx<'_>, folder: Option<&str>, id: &str) -> Answer {
    let message = {
        let world = ctx.state.world();
        let mailbox = ctx.mailbox(&world, Want::Read)?;
        Arc::clone(find(&world, mailbox, folder, id)?)
    };
    Ok(Reply::bytes(
        StatusCode::OK,
        "text/plain",
        mime::write(&message),
    ))
}

/// `PATCH /messages/{id}`
pub(crate) fn update(ctx: &Ctx<'_>, folder: Option<&str>, id: &str) -> Answer {
    let map = input::object(&ctx.call.body)?;
    let mut world = ctx.state.world();
    let world = &mut *world;
    let mailbox = ctx.mailbox(world, Want::Write)?;
    let message = find(world, mailbox, folder, id)?;
    check_etag(ctx, message)?;
    // Tried on a copy first, so that a refused change leaves nothing behind.
    let now = whole_seconds(ctx.call.now);
    let mut changed = Message::clone(message);
    input::apply(&mut changed, map, Purpose::Update, now)?;
    name_recipients(world, &mut changed);
    let mailbox = ctx.mailbox_mut(world, Want::Write)?;
    let key = changed.key;
    let message = mailbox
        .update(key, now, |message| *message = changed)
        .ok_or_else(GraphError::item_not_found)?;
    let mailbox = ctx.mailbox(world, Want::Write)?;
    Ok(show(ctx, world, mailbox, &message, StatusCode::OK))
}

/// `If-Match` (412 when somebody else changed it).
fn check_etag(ctx: &Ctx<'_>, message: &Message) -> Result<(), GraphError> {
    let Some(wanted) = ctx.call.header("if-match") else {
        return Ok(());
    };
    let wanted = wanted.trim_start_matches("W/").trim_matches('"');
    if wanted == "*" || wanted == message.change_key() {
        return Ok(());
    }
    Err(GraphError::new(
        StatusCode::PRECONDITION_FAILED,
        "ErrorIrresolvableConflict",
        "The send or update operation could not be performed because the change key passed in the request does not \
         match the current change key for the item.",
    ))
}

/// `DELETE /messages/{id}`: to Deleted Items, from there to recoverable items.
pub(crate) fn delete(
    ctx: &Ctx<'_>,
    folder_name: Option<&str>,
    id: &str,
    permanently: bool,
) -> Answer {
    let mut world = ctx.state.world();
    let world = &mut *world;
    let mailbox = ctx.mailbox(world, Want::Write)?;
    let (key, from) =
        find(world, mailbox, folder_name, id).map(|message| (message.key, message.folder))?;
    let mailbox = ctx.mailbox_mut(world, Want::Write)?;
    match from {
        _ if permanently => mailbox.remove(key),
        folder::RECOVERABLE => mailbox.remove(key),
        folder::DELETED => mailbox.relocate(key, folder::RECOVERABLE, whole_seconds(ctx.call.now)),
        _ => mailbox.relocate(key, folder::DELETED, whole_seconds(ctx.call.now)),
    };
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// The folder of a `destinationId`; a display name is no id (python-o365#619).
fn destination(ctx: &Ctx<'_>, mailbox: &Mailbox) -> Result<u32, GraphError> {
    let map = input::object(&ctx.call.body)?;
    let name = input::member(&map, "destinationId")
        .and_then(Value::as_str)
        .ok_or_else(|| {
            GraphError::bad_request(
                "ErrorInvalidRequest",
                "The parameter 'DestinationId' is missing.",
            )
        })?;
    folder_key(mailbox, name).map_err(|error| {
        if error.status == StatusCode::NOT_FOUND {
            GraphError::new(
                StatusCode::NOT_FOUND,
                "ErrorItemNotFound",
                "The target folder could not be found.",
            )
        } else {
            error
        }
    })
}

/// `POST /messages/{id}/move`: 201 with the message under its new id.
pub(crate) fn relocate(ctx: &Ctx<'_>, folder: Option<&str>, id: &str) -> Answer {
    let mut world = ctx.state.world();
    let world = &mut *world;
    let mailbox = ctx.mailbox(world, Want::Write)?;
    let key = find(world, mailbox, folder, id)?.key;
    let to = destination(ctx, mailbox)?;
    let mailbox = ctx.mailbox_mut(world, Want::Write)?;
    let now = whole_seconds(ctx.call.now);
    let message = mailbox
        .relocate(key, to, now)
        .ok_or_else(GraphError::item_not_found)?;
    let mailbox = ctx.mailbox(world, Want::Write)?;
    Ok(show_typed(ctx, world, mailbox, &message))
}

/// `POST /messages/{id}/copy`
pub(crate) fn copy(ctx: &Ctx<'_>, folder: Option<&str>, id: &str) -> Answer {
    let mut world = ctx.state.world();
    let world = &mut *world;
    let mailbox = ctx.mailbox(world, Want::Write)?;
    let original = Arc::clone(find(world, mailbox, folder, id)?);
    let to = destination(ctx, mailbox)?;
    world.check_room(ctx.account, original.size())?;
    let key = world.new_key();
    let copy = Message {
        folder: to,
        ..copy_of(&original, key, whole_seconds(ctx.call.now))
    };
    let message = ctx.mailbox_mut(world, Want::Write)?.insert(copy);
    let mailbox = ctx.mailbox(world, Want::Write)?;
    Ok(show_typed(ctx, world, mailbox, &message))
}
