//! Delta queries over one folder's messages (delta-query-messages.md).

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::GraphError;
use crate::graph::filter::{Expr, Op};
use crate::graph::messages::folder_key;
use crate::graph::query::Query;
use crate::graph::{Answer, Ctx, render};
use crate::rights::Want;
use crate::store::ids::IdForm;
use crate::store::mailbox::{Change, ChangeKind, Folder, Mailbox, position};

const PAGE: usize = 10;
/// A first round with a filter stops here.
const MAX_FILTERED: usize = 5000;

/// What a token holds; clients see base64.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Token {
    folder: u32,
    epoch: u32,
    /// Changes up to here are known.
    since: u64,
    /// The first round's end, fixed when it began.
    until: u64,
    /// How many rows of this round were given.
    given: usize,
    /// Whether this is the first round, which walks the folder.
    first: bool,
    /// The last row of the first round, so that changes under way do not shift pages.
    after: Option<(i64, u64)>,
    /// The options of the first request.
    options: Vec<(String, String)>,
}

impl Token {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

fn lost() -> GraphError {
    GraphError::new(
        StatusCode::GONE,
        "SyncStateNotFound",
        "The sync state generation is not found; generation=1; please restart the synchronization from scratch.",
    )
}

/// `GET /mailFolders/{id}/messages/delta`
pub(crate) fn messages(ctx: &Ctx<'_>, folder: &str) -> Answer {
    let world = ctx.state.world();
    let mailbox = ctx.mailbox(&world, Want::ReadBasic)?;
    let key = folder_key(mailbox, folder)?;
    let folder = mailbox
        .folders
        .get(&key)
        .ok_or_else(GraphError::folder_not_found)?;
    let token = match ctx
        .query
        .skip_token
        .as_deref()
        .or(ctx.query.delta_token.as_deref())
    {
        Some(text) => {
            let token = Token::decode(text)
                .filter(|token| token.folder == key)
                .ok_or_else(|| GraphError::bad_request("BadRequest", "Badly formed token."))?;
            if token.epoch != mailbox.delta_epoch {
                return Err(lost());
            }
            token
        }
        None => start(ctx, mailbox, key)?,
    };
    let mut query = Query::default();
    for (name, value) in &token.options {
        query.set(name, value.clone())?;
    }
    let page = ctx.prefer.page_size.or(query.top).unwrap_or(PAGE);
    let view = render::View {
        query: &query,
        ..ctx.view(&world)
    };
    let round = if token.first {
        walk(mailbox, folder, &query, &token, page, view)
    } else {
        changes(mailbox, folder, &query, &token, page, view, ctx.prefer.ids)
    };
    let link = format!("{}?", ctx.own_link(&world));
    let mut out = Map::new();
    out.insert(
        "@odata.context".into(),
        format!("{}/v1.0/$metadata#Collection(message)", ctx.call.base).into(),
    );
    match round.next {
        Some(next) => out.insert(
            "@odata.nextLink".into(),
            format!("{link}$skiptoken={}", next.encode()).into(),
        ),
        None => {
            let done = Token {
                since: round.until,
                given: 0,
                first: false,
                after: None,
                ..token
            };
            out.insert(
                "@odata.deltaLink".into(),
                format!("{link}$deltatoken={}", done.encode()).into(),
            )
        }
    };
    out.insert("value".into(), round.rows.into());
    Ok(ctx.json(StatusCode::OK, &Value::Object(out)))
}

/// The token of a first request: its options are checked here and ride along.
fn start(ctx: &Ctx<'_>, mailbox: &Mailbox, folder: u32) -> Result<Token, GraphError> {
    let unsupported = |what: &str| {
        Err(GraphError::bad_request(
            "ErrorInvalidUrlQuery",
            format!(
                "The following parameters are not supported with change tracking over the 'Messages' resource: '{what}'."
            ),
        ))
    };
    if ctx.query.search.is_some() {
        return unsupported("$search");
    }
    if let Some(filter) = &ctx.query.filter
        && !matches!(filter, Expr::Compare(Op::Ge | Op::Gt, path, _) if path == &["receiveddatetime"])
    {
        return unsupported("$filter");
    }
    if !matches!(ctx.query.order.as_slice(), [] | [(_, true)]) {
        return unsupported("$orderby");
    }
    let options = ctx
        .call
        .query_pairs()
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| {
            matches!(
                name.trim_start_matches('$'),
                "select" | "filter" | "top" | "expand" | "changetype" | "orderby"
            )
        })
        .collect();
    Ok(Token {
        folder,
        epoch: mailbox.delta_epoch,
        since: 0,
        until: mailbox.sequence,
        given: 0,
        first: true,
        after: None,
        options,
    })
}

struct Round {
    rows: Vec<Value>,
    next: Option<Token>,
    /// Changes up to here are covered.
    until: u64,
}

fn shows(query: &Query, kind: &str) -> bool {
    query
        .change_type
        .as_deref()
        .is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind))
}

fn row(mailbox: &Mailbox, key: u64, view: render::View<'_>) -> Option<Value> {
    let message = mailbox.messages.get(&key)?;
    let mut out = Map::new();
    out.insert("@odata.type".into(), "#microsoft.graph.message".into());
    out.extend(render::message(mailbox, message, view));
    Some(Value::Object(out))
}

/// The first round: what the folder holds.
fn walk(
    mailbox: &Mailbox,
    folder: &Folder,
    query: &Query,
    token: &Token,
    page: usize,
    view: render::View<'_>,
) -> Round {
    use std::cmp::Reverse;
    use std::ops::Bound::{Excluded, Unbounded};
    if !shows(query, "created") {
        return Round {
            rows: Vec::new(),
            next: None,
            until: token.until,
        };
    }
    let from = token.after.map_or(Unbounded, |(time, key)| {
        Excluded((Reverse(time), Reverse(key)))
    });
    let left = if query.filter.is_some() {
        MAX_FILTERED.saturating_sub(token.given)
    } else {
        usize::MAX
    };
    let found: Vec<u64> = folder
        .items
        .range((from, Unbounded))
        .filter_map(|at| mailbox.messages.get(&at.1.0))
        .filter(|message| {
            query
                .filter
                .as_ref()
                .is_none_or(|filter| filter.matches(message.as_ref()))
        })
        .take(left.min(page + 1))
        .map(|message| message.key)
        .collect();
    let more = found.len() > page;
    let given: Vec<u64> = found.into_iter().take(page).collect();
    let last = given
        .last()
        .and_then(|key| mailbox.messages.get(key))
        .map(|message| {
            let at = position(message);
            (at.0.0, at.1.0)
        });
    let next = more.then(|| Token {
        given: token.given.saturating_add(given.len()),
        after: last,
        ..token.clone()
    });
    Round {
        rows: given
            .iter()
            .filter_map(|key| row(mailbox, *key, view))
            .collect(),
        next,
        until: token.until,
    }
}

/// A later round: what changed since.
fn changes(
    mailbox: &Mailbox,
    folder: &Folder,
    query: &Query,
    token: &Token,
    page: usize,
    view: render::View<'_>,
    form: IdForm,
) -> Round {
    // A round's end is fixed by its first page.
    let until = if token.given == 0 {
        mailbox.sequence
    } else {
        token.until
    };
    let start = folder
        .log
        .partition_point(|change| change.sequence <= token.since);
    let mut order: Vec<u64> = Vec::new();
    let mut seen: HashMap<u64, (Change, Change)> = HashMap::new();
    for change in folder.log[start..]
        .iter()
        .take_while(|change| change.sequence <= until)
    {
        match seen.get_mut(&change.key) {
            Some((_, last)) => *last = *change,
            None => {
                order.push(change.key);
                seen.insert(change.key, (*change, *change));
            }
        }
    }
    let mut rows = Vec::new();
    for key in order {
        let Some((first, last)) = seen.get(&key) else {
            continue;
        };
        let value = match last.kind {
            // Came and went within the round: nobody needs to know.
            ChangeKind::Removed if first.kind == ChangeKind::Created => None,
            ChangeKind::Removed if shows(query, "deleted") => {
                let generation = match form {
                    IdForm::Default => last.generation,
                    IdForm::Immutable => last.immutable_generation,
                };
                Some(json!({
                    "@odata.type": "#microsoft.graph.message",
                    "id": mailbox.ids.message(form, key, generation),
                    "@removed": {"reason": "deleted"},
                }))
            }
            ChangeKind::Created | ChangeKind::Updated => {
                let kind = if first.kind == ChangeKind::Updated {
                    "updated"
                } else {
                    "created"
                };
                let passes = mailbox.messages.get(&key).is_some_and(|message| {
                    message.folder == folder.key
                        && query
                            .filter
                            .as_ref()
                            .is_none_or(|filter| filter.matches(message.as_ref()))
                });
                if passes && shows(query, kind) {
                    row(mailbox, key, view)
                } else {
                    None
                }
            }
            ChangeKind::Removed => None,
        };
        rows.extend(value);
    }
    let total = rows.len();
    let rows: Vec<Value> = rows.into_iter().skip(token.given).take(page).collect();
    let more = token.given.saturating_add(rows.len()) < total;
    let next = more.then(|| Token {
        given: token.given.saturating_add(rows.len()),
        until,
        ..token.clone()
    });
    Round { rows, next, until }
}
