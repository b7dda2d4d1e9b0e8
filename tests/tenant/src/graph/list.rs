//! Lists of messages: filter, order, search, pages (user-list-messages.md).

use std::cmp::Ordering;
use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::error::GraphError;
use crate::graph::filter::{self, Subject};
use crate::graph::query::Query;
use crate::graph::{Answer, Ctx, messages, render};
use crate::rights::Want;
use crate::store::mailbox::{Mailbox, position};
use crate::store::message::Message;
use crate::store::{World, html};
use crate::wire::Reply;

/// The default page.
const PAGE: usize = 10;

/// `GET /messages` and `GET /mailFolders/{id}/messages`
pub(crate) fn messages(ctx: &Ctx<'_>, folder: Option<&str>) -> Answer {
    let world = ctx.state.world();
    let mailbox = ctx.mailbox(&world, Want::ReadBasic)?;
    let folder = folder
        .map(|name| messages::folder_key(mailbox, name))
        .transpose()?;
    let query = &ctx.query;
    check(query)?;
    let page = query.top.or(ctx.prefer.page_size).unwrap_or(PAGE);
    let (rows, total, more) = select(mailbox, folder, query, page);
    let view = ctx.view(&world);
    let mut out = Map::new();
    let collection = match folder {
        Some(key) => format!(
            "mailFolders('{}')/messages",
            mailbox.ids.folder(key).replace('=', "%3D")
        ),
        None => "messages".to_owned(),
    };
    out.insert("@odata.context".into(), ctx.context(&world, &collection));
    if query.count
        && let Some(total) = total
    {
        out.insert("@odata.count".into(), total.into());
    }
    let value = rows
        .iter()
        .map(|message| Value::Object(render::message(mailbox, message, view)))
        .collect();
    out.insert("value".into(), value);
    if more {
        out.insert(
            "@odata.nextLink".into(),
            next_link(ctx, &world, query.skip.saturating_add(page)).into(),
        );
    }
    Ok(ctx.json(StatusCode::OK, &Value::Object(out)))
}

/// `GET …/messages/$count`: the number alone, as text.
pub(crate) fn count(ctx: &Ctx<'_>, folder: Option<&str>) -> Answer {
    let world = ctx.state.world();
    let mailbox = ctx.mailbox(&world, Want::ReadBasic)?;
    let folder = folder
        .map(|name| messages::folder_key(mailbox, name))
        .transpose()?;
    check(&ctx.query)?;
    let query = Query {
        count: true,
        skip: 0,
        ..ctx.query.clone()
    };
    let (_, total, _) = select(mailbox, folder, &query, 0);
    Ok(Reply::bytes(
        StatusCode::OK,
        "text/plain",
        total.unwrap_or(0).to_string(),
    ))
}

/// The same request with another `$skip`, on the origin that was addressed.
pub(crate) fn next_link(ctx: &Ctx<'_>, world: &World, skip: usize) -> String {
    let mut link = format!("{}?", ctx.own_link(world));
    for pair in ctx.call.query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or("").to_ascii_lowercase();
        if !matches!(name.as_str(), "$skip" | "%24skip" | "skip") {
            link.push_str(pair);
            link.push('&');
        }
    }
    link.push_str(&format!("%24skip={skip}"));
    link
}

/// Refuses what the service refuses.
fn check(query: &Query) -> Result<(), GraphError> {
    let probe = Message::draft(0, Timestamp::UNIX_EPOCH, "probe");
    if let Some(filter) = &query.filter {
        filter.check(&probe, "Microsoft.OutlookServices.Message")?;
    }
    for (path, _) in &query.order {
        if probe.value(path).is_none() {
            return Err(GraphError::bad_request(
                "RequestBroker--ParseUri",
                format!(
                    "Could not find a property named '{}' on type 'Microsoft.OutlookServices.Message'.",
                    path.join("/")
                ),
            ));
        }
    }
    if query.search.is_some() {
        if !query.order.is_empty() {
            return Err(GraphError::bad_request(
                "SearchWithOrderBy",
                "The query parameter '$orderBy' is not supported with '$search'.",
            ));
        }
        if query.filter.is_some() {
            return Err(GraphError::bad_request(
                "SearchWithFilter",
                "The query parameter '$filter' is not supported with '$search'.",
            ));
        }
    }
    // Properties of $orderby must lead the filter, in the same order (user-list-messages.md).
    if let Some(filter) = &query.filter
        && !query.order.is_empty()
    {
        let filtered = filter.properties();
        let leads = query
            .order
            .iter()
            .enumerate()
            .all(|(at, (path, _))| filtered.get(at) == Some(&path.join("/")));
        if !leads {
            return Err(GraphError::inefficient_filter());
        }
    }
    Ok(())
}

type Page = (Vec<Arc<Message>>, Option<usize>, bool);

/// One page of what the query wants, the total if it is cheap or asked for, and whether more follows.
fn select(mailbox: &Mailbox, folder: Option<u32>, query: &Query, page: usize) -> Page {
    let all = match folder {
        Some(key) => mailbox.folders.get(&key).map(|folder| &folder.items),
        None => Some(&mailbox.order),
    };
    let Some(all) = all else {
        return (Vec::new(), Some(0), false);
    };
    let is_newest_first = query.order.is_empty()
        || matches!(query.order.as_slice(), [(path, true)] if path == &["receiveddatetime"]);
    let fetch = |key: u64| mailbox.messages.get(&key);

    if let Some(keys) = query
        .filter
        .as_ref()
        .and_then(|filter| filter.candidates(mailbox))
    {
        let mut rows: Vec<&Arc<Message>> = keys.into_iter().filter_map(fetch).collect();
        rows.retain(|message| {
            folder.is_none_or(|folder| message.folder == folder) && passes(query, message)
        });
        rows.sort_by_key(|message| position(message));
        rows.dedup_by_key(|message| message.key);
        return paged(rows, query, page, is_newest_first);
    }
    let plain = query.filter.is_none() && query.search.is_none();
    if plain && is_newest_first {
        let rows: Vec<_> = all
            .iter()
            .skip(query.skip)
            .take(page)
            .filter_map(|position| fetch(position.1.0).cloned())
            .collect();
        let more = all.len() > query.skip.saturating_add(page);
        return (rows, Some(all.len()), more);
    }
    let matching = all
        .iter()
        .filter_map(|position| fetch(position.1.0))
        .filter(|message| passes(query, message));
    if is_newest_first && !query.count {
        // Stops one row after the page.
        let mut rows: Vec<_> = matching.skip(query.skip).take(page + 1).cloned().collect();
        let more = rows.len() > page;
        rows.truncate(page);
        return (rows, None, more);
    }
    paged(matching.collect(), query, page, is_newest_first)
}

fn paged(mut rows: Vec<&Arc<Message>>, query: &Query, page: usize, sorted: bool) -> Page {
    if !sorted {
        rows.sort_by(|left, right| by_order(query, left, right));
    }
    let total = rows.len();
    let rows: Vec<_> = rows
        .into_iter()
        .skip(query.skip)
        .take(page)
        .cloned()
        .collect();
    (rows, Some(total), total > query.skip.saturating_add(page))
}

fn by_order(query: &Query, left: &Message, right: &Message) -> Ordering {
    for (path, descending) in &query.order {
        let order = compare(left.value(path), right.value(path));
        let order = if *descending { order.reverse() } else { order };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn compare(left: Option<filter::Value<'_>>, right: Option<filter::Value<'_>>) -> Ordering {
    use filter::Value::{Bool, Exact, Null, Number, Text, Time};
    match (left, right) {
        (Some(Text(left)), Some(Text(right))) => left.to_lowercase().cmp(&right.to_lowercase()),
        (Some(Exact(left)), Some(Exact(right))) => left.cmp(right),
        (Some(Time(left)), Some(Time(right))) => left.cmp(&right),
        (Some(Bool(left)), Some(Bool(right))) => left.cmp(&right),
        (Some(Number(left)), Some(Number(right))) => left.total_cmp(&right),
        (Some(Null), Some(Null)) => Ordering::Equal,
        (Some(Null), _) => Ordering::Less,
        (_, Some(Null)) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

fn passes(query: &Query, message: &Message) -> bool {
    query
        .filter
        .as_ref()
        .is_none_or(|filter| filter.matches(message))
        && query
            .search
            .as_ref()
            .is_none_or(|search| finds(search, message))
}

/// A plain reading of KQL: words must all occur; `from:`, `to:`, `subject:`, `body:`, `attachment:` narrow.
fn finds(search: &str, message: &Message) -> bool {
    let search = search.trim().trim_matches('"').to_lowercase();
    let people = |list: &mut dyn Iterator<Item = &crate::store::message::Recipient>| {
        list.map(|one| format!("{} {}", one.name, one.address))
            .collect::<Vec<_>>()
            .join(" ")
            .to_lowercase()
    };
    let subject = || message.subject.as_deref().unwrap_or("").to_lowercase();
    let body = || {
        let content = &message.body.content;
        if message.body.is_html {
            html::to_text(content).to_lowercase()
        } else {
            content.to_lowercase()
        }
    };
    let from = || people(&mut message.from.iter());
    let to = || people(&mut message.recipients());
    let files = || {
        message
            .attachments
            .iter()
            .map(|one| one.name.to_lowercase())
            .collect::<Vec<_>>()
            .join(" ")
    };
    search
        .split_whitespace()
        .filter(|word| *word != "and")
        .all(|word| match word.split_once(':') {
            Some(("from", text)) => from().contains(text),
            Some(("to" | "recipients" | "participants", text)) => to().contains(text),
            Some(("subject", text)) => subject().contains(text),
            Some(("body", text)) => body().contains(text),
            Some(("attachment", text)) => files().contains(text),
            Some(("hasattachments" | "hasattachment", text)) => {
                message.has_attachments() == (text == "true")
            }
            _ => [subject(), body(), from(), files()]
                .iter()
                .any(|text| text.contains(word)),
        })
}
