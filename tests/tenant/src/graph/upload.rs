//! Upload sessions for large attachments, on an origin of their own
//! (outlook-large-attachments.md, attachment-createuploadsession.md).

use bytes::BytesMut;
use http::{Method, StatusCode};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::clock::whole_seconds;
use crate::error::GraphError;
use crate::graph::attachments::too_big;
use crate::graph::messages::find;
use crate::graph::{Answer, Ctx, input};
use crate::guid::random_name;
use crate::rights::Want;
use crate::state::TenantState;
use crate::store::message::Attachment;
use crate::wire::{Call, Reply};

/// The largest attachment.
const MAX_ATTACHMENT: u64 = 150 * 1024 * 1024;
/// OneDrive's chunk rule, which Outlook does not have.
const STRICT_CHUNK: u64 = 320 * 1024;
/// The largest piece that one PUT may carry, in bytes.
pub(crate) const MAX_PIECE: usize = 64 * 1024 * 1024;

/// A file that is being uploaded.
#[derive(Debug)]
pub(crate) struct UploadSession {
    pub(crate) client_id: String,
    pub(crate) account: usize,
    key: u64,
    name: String,
    content_type: String,
    size: u64,
    is_inline: bool,
    content_id: Option<String>,
    expires: Timestamp,
    received: BytesMut,
    /// How many pieces came; the answer's key changes case from one to the next.
    pieces: u32,
}

/// `POST /messages/{id}/attachments/createUploadSession`
pub(crate) fn create(ctx: &Ctx<'_>, id: &str) -> Answer {
    let mut map = input::object(&ctx.call.body)?;
    let Some(Value::Object(item)) = input::take(&mut map, "attachmentItem") else {
        return Err(GraphError::bad_request(
            "ErrorInvalidRequest",
            "The parameter 'AttachmentItem' is missing.",
        ));
    };
    let missing = |name: &str| {
        GraphError::bad_request(
            "ErrorInvalidRequest",
            format!("The property '{name}' of the attachment item is missing."),
        )
    };
    let name = input::member(&item, "name")
        .and_then(Value::as_str)
        .ok_or_else(|| missing("name"))?;
    let size = input::member(&item, "size")
        .and_then(Value::as_u64)
        .ok_or_else(|| missing("size"))?;
    if size > MAX_ATTACHMENT {
        return Err(too_big());
    }
    let mut world = ctx.state.world();
    let world = &mut *world;
    if world.policies.shared_upload_refused && ctx.caller.account != Some(ctx.account) {
        return Err(GraphError::access_denied());
    }
    if size < world.policies.min_upload_session {
        return Err(GraphError::bad_request(
            "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
            "The size of the attachment should not be less than the minimum size.",
        ));
    }
    let mailbox = ctx.mailbox(world, Want::Write)?;
    let message = find(world, mailbox, None, id)?;
    if message.size() as u64 + size > world.policies.max_message as u64 {
        return Err(too_big());
    }
    world.check_room(ctx.account, usize::try_from(size).unwrap_or(usize::MAX))?;
    let content_type = input::member(&item, "contentType").and_then(Value::as_str);
    let expires = ctx
        .call
        .now
        .checked_add(world.timings.upload_session)
        .unwrap_or(ctx.call.now);
    let session = UploadSession {
        client_id: ctx.caller.client_id.to_string(),
        account: ctx.account,
        key: message.key,
        name: name.to_owned(),
        content_type: content_type
            .unwrap_or_else(|| input::media_type(name))
            .to_owned(),
        size,
        is_inline: input::member(&item, "isInline")
            .and_then(input::boolean)
            .unwrap_or(false),
        content_id: input::member(&item, "contentId")
            .and_then(Value::as_str)
            .map(str::to_owned),
        expires,
        received: BytesMut::new(),
        pieces: 0,
    };
    let token = format!("eyJhbGciOiJSUzI1NiIs{}", random_name(180));
    let url = format!(
        "{}/api/gv1.0/users('{}@{}')/messages('{}')/AttachmentSessions('{}')?authtoken={token}",
        ctx.call.upload_base,
        world.accounts[ctx.account].user.id,
        world.tenant_id,
        id,
        random_name(40),
    );
    world.uploads.retain(|_, old| old.expires > ctx.call.now);
    world.uploads.insert(token, session);
    let body = json!({
        "@odata.context": format!("{}/v1.0/$metadata#microsoft.graph.uploadSession", ctx.call.base),
        "uploadUrl": url,
        "expirationDateTime": expires.to_string(),
        "nextExpectedRanges": ["0-"],
    });
    Ok(ctx.json(StatusCode::CREATED, &body))
}

/// Whether a path is an upload session's.
pub(crate) fn is_session(path: &str) -> bool {
    path.starts_with("/api/") && path.contains("/AttachmentSessions(")
}

/// Who an upload counts against: the app and the mailbox.
pub(crate) fn owner(state: &TenantState, call: &Call) -> Option<(String, String)> {
    let world = state.world();
    let session = world.uploads.get(&call.query_value("authtoken")?)?;
    Some((session.client_id.clone(), session.account.to_string()))
}

/// Answers on the upload origin: PUT a piece, or DELETE the session.
pub(crate) fn handle(state: &TenantState, call: &Call) -> Reply {
    answer(state, call)
        .unwrap_or_else(|error| Reply::refusal(&error, call))
        .with_graph_headers(call)
}

fn answer(state: &TenantState, call: &Call) -> Answer {
    if call.headers.contains_key("authorization") && !state.policies().upload_takes_authorization {
        return Err(GraphError::new(
            StatusCode::UNAUTHORIZED,
            "InvalidAuthenticationToken",
            "The upload URL carries its own authentication; an Authorization header is not accepted.",
        ));
    }
    let token = call.query_value("authtoken").unwrap_or_default();
    let mut world = state.world();
    let gone = || {
        GraphError::new(
            StatusCode::NOT_FOUND,
            "ErrorItemNotFound",
            "The upload session was not found.",
        )
    };
    let session = world.uploads.get(&token).ok_or_else(gone)?;
    if session.expires <= call.now {
        world.uploads.remove(&token);
        return Err(gone());
    }
    match call.method {
        Method::DELETE => {
            world.uploads.remove(&token);
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        }
        Method::PUT => {
            let strict = world.policies.strict_upload_chunks;
            let session = world.uploads.get_mut(&token).ok_or_else(gone)?;
            if let Some(reply) = session.put(call, strict)? {
                return Ok(reply);
            }
            let session = world.uploads.remove(&token).ok_or_else(gone)?;
            let now = whole_seconds(call.now);
            let mailbox = world.accounts[session.account]
                .mailbox
                .as_mut()
                .ok_or_else(GraphError::no_mailbox)?;
            let mut attachment = Attachment::file(
                &session.name,
                &session.content_type,
                session.received.freeze(),
            );
            attachment.is_inline = session.is_inline;
            attachment.content_id = session.content_id;
            let mut number = 0;
            let message = mailbox
                .update(session.key, now, |message| {
                    number = message.attach(attachment, now)
                })
                .ok_or_else(GraphError::item_not_found)?;
            let form = crate::store::ids::IdForm::Default;
            let id = mailbox
                .ids
                .attachment(form, message.key, message.generation, number);
            // The session's own path with `/AttachmentSessions('…')` replaced.
            let path = percent_decode_str(&call.path)
                .decode_utf8_lossy()
                .into_owned();
            let path = path
                .split("/AttachmentSessions(")
                .next()
                .unwrap_or("")
                .to_owned();
            let location = format!("{}{path}/Attachments('{id}')", call.base);
            Ok(Reply::empty(StatusCode::CREATED).with("location", &location))
        }
        _ => Err(GraphError::method_not_allowed()),
    }
}

impl UploadSession {
    /// Takes a piece; `None` when the file is complete.
    fn put(&mut self, call: &Call, strict: bool) -> Result<Option<Reply>, GraphError> {
        let bad = |message: &str| GraphError::bad_request("ErrorInvalidRequest", message);
        let range = call
            .header("content-range")
            .ok_or_else(|| bad("The Content-Range header is missing."))?;
        let (first, last, total) =
            parse_range(range).ok_or_else(|| bad("The Content-Range header is invalid."))?;
        if total != self.size {
            return Err(bad(
                "The Content-Range header's total differs from the size of the upload session.",
            ));
        }
        if last - first + 1 != call.body.len() as u64 {
            return Err(bad(
                "The Content-Range header does not fit the Content-Length header.",
            ));
        }
        let expected = self.received.len() as u64;
        if first != expected {
            return Err(GraphError::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "ErrorInvalidRange",
                format!("The uploaded fragment is out of order; expected {expected}."),
            ));
        }
        if strict && last + 1 != total && !(last - first + 1).is_multiple_of(STRICT_CHUNK) {
            return Err(bad("The fragment's length must be a multiple of 320 KiB."));
        }
        if self.received.is_empty() {
            // One allocation for the whole file.
            self.received
                .reserve(usize::try_from(self.size).unwrap_or(0));
        }
        self.received.extend_from_slice(&call.body);
        self.pieces += 1;
        let next = last + 1;
        if next == total {
            return Ok(None);
        }
        // The documentation's own pages spell the key both ways.
        let key = if self.pieces % 2 == 1 {
            "NextExpectedRanges"
        } else {
            "nextExpectedRanges"
        };
        let body = json!({
            "@odata.context": format!("{}/api/v2.0/$metadata#AttachmentSessions/$entity", call.base),
            "ExpirationDateTime": self.expires.to_string(),
            key: [next.to_string()],
        });
        Ok(Some(Reply::graph_json(StatusCode::OK, &body)))
    }
}

/// `bytes a-b/total`
fn parse_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, total) = (
        first.trim().parse().ok()?,
        last.trim().parse().ok()?,
        total.trim().parse().ok()?,
    );
    (first <= last && last < total).then_some((first, last, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |text: &str, expected| assert_eq!(parse_range(text), expected, "{text}");
        check("bytes 0-2097151/3483322", Some((0, 2_097_151, 3_483_322)));
        check("bytes 5-4/10", None);
        check("bytes 0-10/10", None);
        check("bytes */10", None);
        check("0-1/2", None);
    }
}
