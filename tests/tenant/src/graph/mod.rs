//! Graph v1.0 mail: who calls, on which mailbox, and which handler answers.

mod attachments;
mod batch;
mod delta;
mod filter;
mod filter_parse;
mod folders;
mod input;
mod list;
mod messages;
mod mime;
mod path;
mod query;
mod render;
mod reply;
mod send;
pub(crate) mod upload;
mod users;

use http::{Method, StatusCode};
use serde_json::Value;

use crate::error::GraphError;
use crate::graph::path::Segment;
use crate::graph::query::{Prefer, Query};
use crate::graph::render::View;
use crate::identity::aadsts;
use crate::rights::{Caller, Want, check_mailbox};
use crate::state::TenantState;
use crate::store::World;
use crate::store::mailbox::Mailbox;
use crate::wire::{Call, Reply};

/// The largest request that Graph reads, in bytes.
pub(crate) const MAX_REQUEST: usize = 4 * 1024 * 1024;

/// A Graph request that was let in: the caller and the mailbox are known.
pub(crate) struct Admission {
    pub(crate) caller: Caller,
    segments: Vec<Segment>,
    /// The account of the path, when it names one.
    account: Option<usize>,
    /// How many segments the account took.
    consumed: usize,
}

impl Admission {
    /// What the throttle counts by.
    pub(crate) fn throttle_key(&self) -> (String, String) {
        let mailbox = self
            .account
            .map_or_else(String::new, |account| account.to_string());
        (self.caller.client_id.to_string(), mailbox)
    }
}

/// Everything that a handler needs.
pub(crate) struct Ctx<'a> {
    pub(crate) state: &'a TenantState,
    pub(crate) call: &'a Call,
    pub(crate) caller: &'a Caller,
    /// The account of the path.
    pub(crate) account: usize,
    pub(crate) query: Query,
    pub(crate) prefer: Prefer,
}

pub(crate) type Answer = Result<Reply, GraphError>;

impl Ctx<'_> {
    /// The mailbox of the path, if the caller may do `want` with it.
    pub(crate) fn mailbox<'w>(
        &self,
        world: &'w World,
        want: Want,
    ) -> Result<&'w Mailbox, GraphError> {
        let mailbox = world.accounts[self.account]
            .mailbox
            .as_ref()
            .ok_or_else(GraphError::no_mailbox)?;
        check_mailbox(world, self.caller, self.account, want)?;
        Ok(mailbox)
    }

    /// The same, to change it.
    pub(crate) fn mailbox_mut<'w>(
        &self,
        world: &'w mut World,
        want: Want,
    ) -> Result<&'w mut Mailbox, GraphError> {
        self.mailbox(world, want)?;
        world.accounts[self.account]
            .mailbox
            .as_mut()
            .ok_or_else(GraphError::no_mailbox)
    }

    /// How messages are shown to this caller.
    pub(crate) fn view<'v>(&'v self, world: &World) -> View<'v> {
        let basic = check_mailbox(world, self.caller, self.account, Want::Read).is_err();
        View {
            query: &self.query,
            prefer: &self.prefer,
            basic,
            overhead: world.policies.attachment_overhead,
        }
    }

    /// `…/$metadata#users('id')/rest`
    pub(crate) fn context(&self, world: &World, rest: &str) -> Value {
        let select = self
            .query
            .select
            .as_ref()
            .map_or_else(String::new, |names| format!("({})", names.join(",")));
        let (collection, entity) = rest
            .strip_suffix("/$entity")
            .map_or((rest, ""), |collection| (collection, "/$entity"));
        let user = &world.accounts[self.account].user.id;
        format!(
            "{}/v1.0/$metadata#users('{user}')/{collection}{select}{entity}",
            self.call.base
        )
        .into()
    }

    /// The address of the request itself, without its query, for links in the answer.
    pub(crate) fn own_link(&self, world: &World) -> String {
        let Call { base, path, .. } = self.call;
        if world.policies.links_by_object_id
            && let Some(rest) = path::below_user(path)
        {
            let id = &world.accounts[self.account].user.id;
            return format!("{base}/v1.0/users/{id}{rest}");
        }
        format!("{base}{path}")
    }

    pub(crate) fn json(&self, status: StatusCode, value: &Value) -> Reply {
        self.prefer.confirm(Reply::graph_json(status, value))
    }
}

/// Looks at the head of a request: the token, and whose mailbox it is about.
pub(crate) fn admit(state: &TenantState, call: &Call) -> Result<Admission, GraphError> {
    let segments = path::parse(&call.path)
        .ok_or_else(|| GraphError::bad_request("BadRequest", "Invalid version: use /v1.0."))?;
    let caller = authenticate(state, call)?;
    let world = state.world();
    let (account, consumed) = match segments.first().map(|segment| segment.name.as_str()) {
        Some("me") => match caller.account {
            Some(account) => (Some(account), 1),
            None => {
                return Err(GraphError::bad_request(
                    "BadRequest",
                    "/me request is only valid with delegated authentication flow.",
                ));
            }
        },
        Some("users") if segments.len() > 1 => {
            let name = &segments[1].raw;
            match world.find(name) {
                Some(account) => (Some(account), 2),
                None if segments.len() > 2 => return Err(GraphError::invalid_user(name)),
                None => return Err(GraphError::no_such_resource(name)),
            }
        }
        _ => (None, 0),
    };
    drop(world);
    Ok(Admission {
        caller,
        segments,
        account,
        consumed,
    })
}

fn authenticate(state: &TenantState, call: &Call) -> Result<Caller, GraphError> {
    let header = call.header("authorization").unwrap_or("");
    let token = match header.split_once(' ') {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() =>
        {
            token.trim()
        }
        _ => return Err(GraphError::unauthenticated("Access token is empty.")),
    };
    let world = state.world();
    let Some(known) = world.directory.access.get(token) else {
        return Err(GraphError::unauthenticated(
            "CompactToken parsing failed with error code: 80049217",
        ));
    };
    if known.expires <= call.now {
        return Err(GraphError::unauthenticated(
            "Lifetime validation failed, the token is expired.",
        ));
    }
    let challenged = known.answers_claims
        && known
            .account
            .is_some_and(|account| known.stamp <= world.accounts[account].fresh_needed_before);
    if challenged {
        return Err(GraphError::claims_challenge(aadsts::CLAIMS));
    }
    Ok(Caller {
        client_id: known.client_id.clone(),
        account: known.account,
        scopes: known.scopes.clone(),
    })
}

/// Answers an admitted request.
pub(crate) fn handle(state: &TenantState, call: &Call, admission: &Admission) -> Reply {
    let answer = dispatch(state, call, admission);
    answer
        .unwrap_or_else(|error| Reply::refusal(&error, call))
        .with_graph_headers(call)
}

fn dispatch(state: &TenantState, call: &Call, admission: &Admission) -> Answer {
    if admission
        .segments
        .first()
        .is_some_and(|segment| segment.name == "$batch")
    {
        return batch::run(state, call);
    }
    let Some(account) = admission.account else {
        let name = admission
            .segments
            .first()
            .map_or("", |segment| segment.raw.as_str());
        return Err(GraphError::no_segment(name));
    };
    let ctx = Ctx {
        state,
        call,
        caller: &admission.caller,
        account,
        query: Query::parse(call)?,
        prefer: Prefer::parse(call),
    };
    route(&ctx, &admission.segments[admission.consumed..])
}

/// Finds the handler below `/me` or `/users/{id}`.
fn route(ctx: &Ctx<'_>, rest: &[Segment]) -> Answer {
    let names: Vec<&str> = rest.iter().map(|segment| segment.name.as_str()).collect();
    let raw = |index: usize| rest[index].raw.as_str();
    match names.as_slice() {
        [] => only(ctx, &Method::GET, users::get),
        ["sendmail"] => only(ctx, &Method::POST, send::send_mail),
        ["translateexchangeids"] => only(ctx, &Method::POST, users::translate_ids),
        ["revokesigninsessions"] => only(ctx, &Method::POST, users::revoke_sessions),
        ["mailfolders"] => match ctx.call.method {
            Method::GET => folders::list(ctx, None),
            Method::POST => folders::create(ctx, None),
            _ => Err(GraphError::method_not_allowed()),
        },
        ["mailfolders", "delta"] => only(ctx, &Method::GET, folders::delta),
        ["mailfolders", _] => match ctx.call.method {
            Method::GET => folders::get(ctx, raw(1)),
            Method::PATCH => folders::rename(ctx, raw(1)),
            Method::DELETE => folders::delete(ctx, raw(1)),
            _ => Err(GraphError::method_not_allowed()),
        },
        ["mailfolders", _, "childfolders"] => match ctx.call.method {
            Method::GET => folders::list(ctx, Some(raw(1))),
            Method::POST => folders::create(ctx, Some(raw(1))),
            _ => Err(GraphError::method_not_allowed()),
        },
        ["mailfolders", _, "childfolders", _, ..] => {
            let mut inner = vec![rest[0].clone()];
            inner.extend_from_slice(&rest[3..]);
            route(ctx, &inner)
        }
        ["mailfolders", _, "move"] => {
            only(ctx, &Method::POST, |ctx| folders::relocate(ctx, raw(1)))
        }
        ["mailfolders", _, "messages"] => match ctx.call.method {
            Method::GET => list::messages(ctx, Some(raw(1))),
            Method::POST => messages::create(ctx, Some(raw(1))),
            _ => Err(GraphError::method_not_allowed()),
        },
        ["mailfolders", _, "messages", "$count"] => {
            only(ctx, &Method::GET, |ctx| list::count(ctx, Some(raw(1))))
        }
        ["messages", "$count"] => only(ctx, &Method::GET, |ctx| list::count(ctx, None)),
        ["mailfolders", _, "messages", "delta"] => {
            only(ctx, &Method::GET, |ctx| delta::messages(ctx, raw(1)))
        }
        ["mailfolders", _, "messages", _, ..] => message_route(ctx, Some(raw(1)), &rest[3..]),
        ["messages"] => match ctx.call.method {
            Method::GET => list::messages(ctx, None),
            Method::POST => messages::create(ctx, None),
            _ => Err(GraphError::method_not_allowed()),
        },
        ["messages", "delta"] => Err(GraphError::bad_request(
            "BadRequest",
            "Change tracking is not supported against 'microsoft.graph.message'.",
        )),
        ["messages", _, ..] => message_route(ctx, None, &rest[1..]),
        _ => Err(GraphError::no_segment(
            rest.first().map_or("", |segment| segment.raw.as_str()),
        )),
    }
}

/// Finds the handler below one message; `folder` is the folder of the path, if any.
fn message_route(ctx: &Ctx<'_>, folder: Option<&str>, rest: &[Segment]) -> Answer {
    let names: Vec<&str> = rest.iter().map(|segment| segment.name.as_str()).collect();
    let id = rest[0].raw.as_str();
    let method = &ctx.call.method;
    match (method, &names[1..]) {
        (&Method::GET, []) => messages::get(ctx, folder, id),
        (&Method::PATCH, []) => messages::update(ctx, folder, id),
        (&Method::DELETE, []) => messages::delete(ctx, folder, id, false),
        (&Method::GET, ["$value"]) => messages::value(ctx, folder, id),
        (&Method::POST, ["permanentdelete"]) => messages::delete(ctx, folder, id, true),
        (&Method::POST, ["send"]) => send::send_draft(ctx, folder, id),
        (&Method::POST, ["move"]) => messages::relocate(ctx, folder, id),
        (&Method::POST, ["copy"]) => messages::copy(ctx, folder, id),
        (&Method::POST, ["createreply"]) => reply::create(ctx, id, reply::Kind::Reply),
        (&Method::POST, ["createreplyall"]) => reply::create(ctx, id, reply::Kind::ReplyAll),
        (&Method::POST, ["createforward"]) => reply::create(ctx, id, reply::Kind::Forward),
        (&Method::POST, ["reply"]) => reply::send(ctx, id, reply::Kind::Reply),
        (&Method::POST, ["replyall"]) => reply::send(ctx, id, reply::Kind::ReplyAll),
        (&Method::POST, ["forward"]) => reply::send(ctx, id, reply::Kind::Forward),
        (&Method::GET, ["attachments"]) => attachments::list(ctx, id),
        (&Method::POST, ["attachments"]) => attachments::add(ctx, id),
        (&Method::POST, ["attachments", "createuploadsession"]) => upload::create(ctx, id),
        (&Method::GET, ["attachments", _]) => attachments::get(ctx, id, &rest[2].raw),
        (&Method::DELETE, ["attachments", _]) => attachments::delete(ctx, id, &rest[2].raw),
        (&Method::GET, ["attachments", _, "$value"]) => attachments::value(ctx, id, &rest[2].raw),
        (_, [] | ["$value" | "send" | "move" | "copy" | "attachments", ..]) => {
            Err(GraphError::method_not_allowed())
        }
        _ => Err(GraphError::no_segment(
            rest.get(1).map_or("", |segment| segment.raw.as_str()),
        )),
    }
}

fn only(ctx: &Ctx<'_>, method: &Method, handler: impl FnOnce(&Ctx<'_>) -> Answer) -> Answer {
    if ctx.call.method == method {
        handler(ctx)
    } else {
        Err(GraphError::method_not_allowed())
    }
}

/// An attachment out of Graph's JSON, for the control API.
pub(crate) fn read_attachment(
    map: serde_json::Map<String, Value>,
) -> Result<crate::store::message::Attachment, GraphError> {
    input::attachment(map)
}
