//! Replies and forwards, as drafts or sent at once (message-createreply.md, message-reply.md).

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use crate::error::GraphError;
use crate::graph::input::{self, Purpose};
use crate::graph::messages::{find, name_recipients, show};
use crate::graph::{Answer, Ctx, mime, send as sending};
use crate::rights::{Want, check_mailbox};
use crate::store::World;
use crate::store::html;
use crate::store::mailbox::folder;
use crate::store::message::{Message, Recipient};
use crate::wire::Reply;

/// Which kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Reply,
    ReplyAll,
    Forward,
}

/// `createReply`, `createReplyAll`, `createForward`: 201 with the draft.
pub(crate) fn create(ctx: &Ctx<'_>, id: &str, kind: Kind) -> Answer {
    let mut world = ctx.state.world();
    let world = &mut *world;
    ctx.mailbox(world, Want::Write)?;
    let draft = build(ctx, world, id, kind)?;
    world.check_room(ctx.account, draft.size())?;
    let message = ctx.mailbox_mut(world, Want::Write)?.insert(draft);
    let mailbox = ctx.mailbox(world, Want::Write)?;
    Ok(show(ctx, world, mailbox, &message, StatusCode::CREATED))
}

/// `reply`, `replyAll`, `forward`: 202.
pub(crate) fn send(ctx: &Ctx<'_>, id: &str, kind: Kind) -> Answer {
    let mut world = ctx.state.world();
    let world = &mut *world;
    if world.accounts[ctx.account].mailbox.is_none() {
        return Err(GraphError::no_mailbox());
    }
    check_mailbox(world, ctx.caller, ctx.account, Want::Send)?;
    let mut draft = build(ctx, world, id, kind)?;
    sending::prepare(ctx, world, &mut draft)?;
    world.check_room(ctx.account, draft.size())?;
    sending::submit(ctx, world, draft, true);
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

/// The draft of an answer to a message.
fn build(ctx: &Ctx<'_>, world: &mut World, id: &str, kind: Kind) -> Result<Message, GraphError> {
    let mailbox = world.accounts[ctx.account]
        .mailbox
        .as_ref()
        .ok_or_else(GraphError::no_mailbox)?;
    let original = Arc::clone(find(world, mailbox, None, id)?);
    let own = world.accounts[ctx.account].user.upn.clone();
    let mut draft = world.new_draft(ctx.call.now);
    draft.folder = folder::DRAFTS;
    let owner = world.accounts[ctx.account].as_recipient();
    draft.from = Some(owner.clone());
    draft.sender = Some(owner);
    let now = draft.created;
    address(&mut draft, &original, kind, &own);
    let prefix = if kind == Kind::Forward {
        "FW: "
    } else {
        "RE: "
    };
    let subject = original.subject.as_deref().unwrap_or("");
    draft.subject = Some(match subject.get(..4) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => subject.to_owned(),
        _ => format!("{prefix}{subject}"),
    });
    draft.conversation_id.clone_from(&original.conversation_id);
    draft.headers.push((
        "In-Reply-To".to_owned(),
        original.internet_message_id.clone(),
    ));
    if kind == Kind::Forward {
        for attachment in &original.attachments {
            draft.attach(attachment.clone(), now);
        }
    }
    if ctx.call.has_content_type("text/plain") {
        let (thread, from) = (draft.conversation_id.clone(), draft.from.clone());
        mime::apply(&mut draft, &ctx.call.body, now)?;
        draft.conversation_id = thread;
        draft.from = draft.from.or(from);
        return Ok(draft);
    }
    let mut comment = None;
    let mut own_body = false;
    if !ctx.call.body.is_empty() {
        let mut map = input::object(&ctx.call.body)?;
        comment =
            input::take(&mut map, "comment").and_then(|value| value.as_str().map(str::to_owned));
        if let Some(to) = input::take(&mut map, "toRecipients") {
            draft.to = input::recipients("toRecipients", &to)?;
        }
        if let Some(Value::Object(message)) = input::take(&mut map, "message") {
            own_body = input::member(&message, "body").is_some();
            if own_body && comment.is_some() {
                return Err(GraphError::bad_request(
                    "ErrorInvalidRequest",
                    "Specify either the comment parameter or the body property of the message parameter, not both.",
                ));
            }
            input::apply(&mut draft, message, Purpose::Create, now)?;
        }
    }
    if !own_body {
        quote(&mut draft, &original, comment.as_deref().unwrap_or(""));
    }
    name_recipients(world, &mut draft);
    Ok(draft)
}

/// Who an answer goes to; the original's reply-to is respected.
fn address(draft: &mut Message, original: &Message, kind: Kind, own: &str) {
    if kind == Kind::Forward {
        return;
    }
    draft.to = if original.reply_to.is_empty() {
        original.from.iter().cloned().collect()
    } else {
        original.reply_to.clone()
    };
    if kind == Kind::ReplyAll {
        let known: Vec<String> = draft
            .to
            .iter()
            .map(|one| one.address.to_ascii_lowercase())
            .collect();
        let others = |list: &[Recipient]| -> Vec<Recipient> {
            let is_other = |one: &&Recipient| {
                !one.address.eq_ignore_ascii_case(own)
                    && !known.contains(&one.address.to_ascii_lowercase())
            };
            list.iter().filter(is_other).cloned().collect()
        };
        let to = others(&original.to);
        draft.cc = others(&original.cc);
        draft.to.extend(to);
    }
}

/// The comment above the quoted original.
fn quote(draft: &mut Message, original: &Message, comment: &str) {
    let from = original
        .from
        .as_ref()
        .map_or("", |from| from.address.as_str());
    let quoted = if original.body.is_html {
        original.body.content.clone()
    } else {
        html::from_text(&original.body.content)
    };
    draft.body.is_html = true;
    draft.body.content = format!(
        "<html><body>{}<hr><div><b>From:</b> {}<br><b>Subject:</b> {}</div>{quoted}</body></html>",
        html::escape(comment),
        html::escape(from),
        html::escape(original.subject.as_deref().unwrap_or("")),
    );
}
