//! Sending: `sendMail` and `send` (user-sendmail.md, message-send.md).

use http::StatusCode;
use serde_json::Value;

use crate::clock::whole_seconds;
use crate::config::InFlightSend;
use crate::error::GraphError;
use crate::graph::input::{self, Purpose};
use crate::graph::messages::{find, name_recipients};
use crate::graph::{Answer, Ctx, mime};
use crate::rights::{Want, check_mailbox, check_send};
use crate::store::World;
use crate::store::delivery::Submission;
use crate::store::mailbox::folder;
use crate::store::message::Message;
use crate::wire::Reply;

/// The most recipients over to, cc and bcc.
const MAX_RECIPIENTS: usize = 500;

/// `POST /me/sendMail`: 202 and nothing else.
pub(crate) fn send_mail(ctx: &Ctx<'_>) -> Answer {
    let mut save = true;
    let mut json = None;
    if !ctx.call.has_content_type("text/plain") {
        let mut map = input::object(&ctx.call.body)?;
        if let Some(flag) = input::member(&map, "saveToSentItems") {
            save = input::boolean(flag).unwrap_or(true);
        }
        json = match input::take(&mut map, "message") {
            Some(Value::Object(message)) => Some(message),
            // Without the wrapper there is nobody to send to.
            _ => return Err(no_recipients()),
        };
    }
    let mut world = ctx.state.world();
    let world = &mut *world;
    if world.accounts[ctx.account].mailbox.is_none() {
        return Err(GraphError::no_mailbox());
    }
    check_mailbox(world, ctx.caller, ctx.account, Want::Send)?;
    let mut draft = world.new_draft(ctx.call.now);
    draft.folder = folder::DRAFTS;
    let now = draft.created;
    match json {
        Some(map) => input::apply(&mut draft, map, Purpose::Create, now)?,
        None => mime::apply(&mut draft, &ctx.call.body, now)?,
    }
    prepare(ctx, world, &mut draft)?;
    world.check_room(ctx.account, draft.size())?;
    let key = draft.key;
    let mailbox = world.accounts[ctx.account]
        .mailbox
        .as_mut()
        .ok_or_else(GraphError::no_mailbox)?;
    mailbox.insert(draft);
    world.submit(
        Submission {
            account: ctx.account,
            key,
            save,
        },
        ctx.call.now,
    );
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

/// `POST /messages/{id}/send`
pub(crate) fn send_draft(ctx: &Ctx<'_>, folder: Option<&str>, id: &str) -> Answer {
    let mut world = ctx.state.world();
    let world = &mut *world;
    let mailbox = world.accounts[ctx.account]
        .mailbox
        .as_ref()
        .ok_or_else(GraphError::no_mailbox)?;
    check_mailbox(world, ctx.caller, ctx.account, Want::Send)?;
    let message = find(world, mailbox, folder, id)?;
    if !message.is_draft {
        return Err(GraphError::item_not_found());
    }
    let again = message.in_flight;
    if again && world.policies.in_flight_send == InFlightSend::NotFound {
        return Err(GraphError::item_not_found());
    }
    let mut draft = Message::clone(message);
    prepare(ctx, world, &mut draft)?;
    if again {
        // The worst case: a second copy goes out.
        draft =
            crate::store::delivery::copy_of(&draft, world.new_key(), whole_seconds(ctx.call.now));
    }
    submit(ctx, world, draft, again);
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

/// Stores `draft` (new or changed) and hands it to transport.
pub(crate) fn submit(ctx: &Ctx<'_>, world: &mut World, draft: Message, is_new: bool) {
    let key = draft.key;
    let Some(mailbox) = world.accounts[ctx.account].mailbox.as_mut() else {
        return;
    };
    if is_new {
        mailbox.insert(draft);
    } else {
        mailbox.update(key, whole_seconds(ctx.call.now), |message| *message = draft);
    }
    world.submit(
        Submission {
            account: ctx.account,
            key,
            save: true,
        },
        ctx.call.now,
    );
}

/// Checks recipients and rights, and fills in from and sender.
pub(crate) fn prepare(ctx: &Ctx<'_>, world: &World, draft: &mut Message) -> Result<(), GraphError> {
    let named = draft
        .from
        .as_ref()
        .map(|from| from.address.as_str())
        .filter(|address| !address.is_empty());
    let (from, sender) = check_send(world, ctx.caller, ctx.account, named)?;
    check_recipients(draft)?;
    if draft.size() > world.policies.max_message {
        return Err(super::attachments::too_big());
    }
    draft.from = Some(world.accounts[from].as_recipient());
    draft.sender = Some(world.accounts[sender].as_recipient());
    name_recipients(world, draft);
    Ok(())
}

fn no_recipients() -> GraphError {
    GraphError::bad_request(
        "ErrorInvalidRecipients",
        "At least one recipient isn't valid., A message can't be sent because it contains no recipients.",
    )
}

fn check_recipients(draft: &Message) -> Result<(), GraphError> {
    let count = draft.recipients().count();
    if count == 0 {
        return Err(no_recipients());
    }
    if count > MAX_RECIPIENTS {
        return Err(GraphError::bad_request(
            "ErrorInvalidRecipients",
            format!(
                "At least one recipient isn't valid., The message has more than {MAX_RECIPIENTS} recipients."
            ),
        ));
    }
    let bad = draft
        .recipients()
        .find(|recipient| !is_address(&recipient.address));
    if let Some(bad) = bad {
        let shown = if bad.address.is_empty() {
            &bad.name
        } else {
            &bad.address
        };
        return Err(GraphError::bad_request(
            "ErrorInvalidRecipients",
            format!(
                "At least one recipient isn't valid., Recipient '{shown}' is not resolved. All recipients must be \
                 resolved before a message can be submitted."
            ),
        ));
    }
    Ok(())
}

/// One address, not two joined by `;` (Microsoft365R#110).
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    !local.is_empty()
        && !domain.is_empty()
        && !domain.contains('@')
        && !text.contains(|letter: char| {
            letter.is_whitespace() || matches!(letter, ';' | ',' | '<' | '>')
        })
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn addresses() {
        let check = |text: &str, expected: bool| assert_eq!(is_address(text), expected, "{text}");
        check("anna@contoso.example", true);
        check("a@x.example;b@x.example", false);
        check("anna", false);
        check("@x.example", false);
        check("", false);
    }
}
