//! Mail folders (mailfolder.md, user-list-mailfolders.md).

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::clock::whole_seconds;
use crate::error::GraphError;
use crate::graph::filter::{Element, Subject, Value as Field};
use crate::graph::input;
use crate::graph::list::next_link;
use crate::graph::messages::folder_key;
use crate::graph::{Answer, Ctx};
use crate::rights::Want;
use crate::store::mailbox::{Folder, Mailbox, folder};
use crate::wire::Reply;

const PAGE: usize = 10;

impl Subject for Folder {
    fn value(&self, path: &[String]) -> Option<Field<'_>> {
        match path {
            [name] => match name.as_str() {
                "displayname" => Some(Field::Text(self.name.as_str().into())),
                "ishidden" => Some(Field::Bool(self.is_hidden)),
                "totalitemcount" => Some(Field::Number(self.items.len() as f64)),
                "unreaditemcount" => Some(Field::Number(self.unread as f64)),
                _ => None,
            },
            _ => None,
        }
    }

    fn elements(&self, _path: &[String]) -> Option<Vec<Element<'_>>> {
        None
    }
}

fn show(ctx: &Ctx<'_>, mailbox: &Mailbox, folder: &Folder) -> Map<String, Value> {
    let mut out = Map::new();
    if folder.is_search {
        out.insert(
            "@odata.type".into(),
            "#microsoft.graph.mailSearchFolder".into(),
        );
    }
    out.insert("id".into(), mailbox.ids.folder(folder.key).into());
    let mut put = |name: &str, value: Value| {
        if ctx.query.selects(&name.to_ascii_lowercase()) {
            out.insert(name.to_owned(), value);
        }
    };
    put("displayName", folder.name.clone().into());
    put(
        "parentFolderId",
        folder
            .parent
            .map(|parent| mailbox.ids.folder(parent))
            .into(),
    );
    put(
        "childFolderCount",
        mailbox
            .children(folder.key)
            .filter(|child| !child.is_hidden)
            .count()
            .into(),
    );
    put("unreadItemCount", folder.unread.into());
    put("totalItemCount", folder.items.len().into());
    put("isHidden", folder.is_hidden.into());
    put("sizeInBytes", folder.size.into());
    if ctx.query.expand.child_folders {
        let children = mailbox
            .children(folder.key)
            .filter(|child| !child.is_hidden);
        out.insert(
            "childFolders".into(),
            children
                .map(|child| Value::Object(show(ctx, mailbox, child)))
                .collect(),
        );
    }
    out
}

fn single(ctx: &Ctx<'_>, key: u32, status: StatusCode) -> Answer {
    let world = ctx.state.world();
    let mailbox = ctx.mailbox(&world, Want::ReadBasic)?;
    let folder = mailbox
        .folders
        .get(&key)
        .ok_or_else(GraphError::folder_not_found)?;
    let mut out = Map::new();
    out.insert(
        "@odata.context".into(),
        ctx.context(&world, "mailFolders/$entity"),
    );
    out.extend(show(ctx, mailbox, folder));
    Ok(ctx.json(status, &Value::Object(out)))
}

/// `GET /mailFolders` (children of the top) and `GET /mailFolders/{id}/childFolders`
pub(crate) fn list(ctx: &Ctx<'_>, parent: Option<&str>) -> Answer {
    let world = ctx.state.world();
    let mailbox = ctx.mailbox(&world, Want::ReadBasic)?;
    let parent_key = parent.map_or(Ok(folder::ROOT), |name| folder_key(mailbox, name))?;
    let query = &ctx.query;
    if let Some(filter) = &query.filter {
        let probe = mailbox
            .folders
            .get(&folder::ROOT)
            .ok_or_else(GraphError::folder_not_found)?;
        filter.check(probe, "Microsoft.OutlookServices.MailFolder")?;
    }
    let mut rows: Vec<&Folder> = mailbox
        .children(parent_key)
        .filter(|child| query.include_hidden || !child.is_hidden)
        .filter(|child| {
            query
                .filter
                .as_ref()
                .is_none_or(|filter| filter.matches(*child))
        })
        .collect();
    rows.sort_by_key(|child| child.name.to_lowercase());
    let total = rows.len();
    let page = query.top.or(ctx.prefer.page_size).unwrap_or(PAGE);
    let value = rows
        .iter()
        .skip(query.skip)
        .take(page)
        .map(|child| Value::Object(show(ctx, mailbox, child)))
        .collect();
    let mut out = Map::new();
    let collection = match parent {
        Some(_) => format!(
            "mailFolders('{}')/childFolders",
            mailbox.ids.folder(parent_key).replace('=', "%3D")
        ),
        None => "mailFolders".to_owned(),
    };
    out.insert("@odata.context".into(), ctx.context(&world, &collection));
    if query.count {
        out.insert("@odata.count".into(), total.into());
    }
    out.insert("value".into(), value);
    if total > query.skip.saturating_add(page) {
        out.insert(
            "@odata.nextLink".into(),
            next_link(ctx, &world, query.skip.saturating_add(page)).into(),
        );
    }
    Ok(ctx.json(StatusCode::OK, &Value::Object(out)))
}

/// `GET /mailFolders/{id}`
pub(crate) fn get(ctx: &Ctx<'_>, name: &str) -> Answer {
    let key = {
        let world = ctx.state.world();
        folder_key(ctx.mailbox(&world, Want::ReadBasic)?, name)?
    };
    single(ctx, key, StatusCode::OK)
}

fn exists(ctx: &Ctx<'_>, status: u16, name: &str) -> GraphError {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    tracing::debug!(path = ctx.call.path, "folder exists");
    GraphError::new(
        status,
        "ErrorFolderExists",
        format!(
            "A folder with the specified name already exists., Could not create folder '{name}'."
        ),
    )
}

/// `POST /mailFolders` and `POST /mailFolders/{id}/childFolders`
pub(crate) fn create(ctx: &Ctx<'_>, parent: Option<&str>) -> Answer {
    let map = input::object(&ctx.call.body)?;
    let name = input::member(&map, "displayName")
        .and_then(Value::as_str)
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| {
        GraphError::bad_request(
            "ErrorInvalidRequest",
            "The folder's displayName must not be empty.",
        )
    })?;
    let is_hidden = input::member(&map, "isHidden")
        .and_then(input::boolean)
        .unwrap_or(false);
    let is_search = input::member(&map, "@odata.type")
        .and_then(Value::as_str)
        .is_some_and(|kind| {
            kind.trim_start_matches('#')
                .eq_ignore_ascii_case("microsoft.graph.mailSearchFolder")
        });
    let key = {
        let mut world = ctx.state.world();
        let status = world.policies.folder_exists_status;
        let mailbox = ctx.mailbox_mut(&mut world, Want::Write)?;
        let parent = parent.map_or(Ok(folder::ROOT), |name| folder_key(mailbox, name))?;
        if mailbox.child_named(parent, name).is_some() {
            return Err(exists(ctx, status, name));
        }
        mailbox.add_folder(parent, name, is_hidden, is_search)
    };
    single(ctx, key, StatusCode::CREATED)
}

/// `PATCH /mailFolders/{id}`
pub(crate) fn rename(ctx: &Ctx<'_>, id: &str) -> Answer {
    let map = input::object(&ctx.call.body)?;
    let name = input::member(&map, "displayName").and_then(Value::as_str);
    let key = {
        let mut world = ctx.state.world();
        let status = world.policies.folder_exists_status;
        let mailbox = ctx.mailbox_mut(&mut world, Want::Write)?;
        let key = folder_key(mailbox, id)?;
        if let Some(name) = name {
            let parent = mailbox.folders.get(&key).and_then(|folder| folder.parent);
            let taken = parent.and_then(|parent| mailbox.child_named(parent, name));
            if taken.is_some_and(|other| other != key) {
                return Err(exists(ctx, status, name));
            }
            if let Some(folder) = mailbox.folders.get_mut(&key) {
                name.clone_into(&mut folder.name);
            }
        }
        key
    };
    single(ctx, key, StatusCode::OK)
}

fn protected() -> GraphError {
    GraphError::new(
        StatusCode::FORBIDDEN,
        "ErrorDeleteDistinguishedFolder",
        "Distinguished folders cannot be deleted.",
    )
}

/// `DELETE /mailFolders/{id}`: its messages go to Deleted Items, the folder and its children go away.
pub(crate) fn delete(ctx: &Ctx<'_>, id: &str) -> Answer {
    let mut world = ctx.state.world();
    let mailbox = ctx.mailbox_mut(&mut world, Want::Write)?;
    let key = folder_key(mailbox, id)?;
    if mailbox
        .folders
        .get(&key)
        .is_none_or(|folder| folder.well_known.is_some())
    {
        return Err(protected());
    }
    let now = whole_seconds(ctx.call.now);
    let mut doomed = vec![key];
    while let Some(next) = doomed.pop() {
        doomed.extend(mailbox.children(next).map(|child| child.key));
        let items: Vec<u64> = mailbox.folders.get(&next).map_or_else(Vec::new, |folder| {
            folder.items.iter().map(|position| position.1.0).collect()
        });
        for item in items {
            mailbox.relocate(item, folder::DELETED, now);
        }
        mailbox.folders.remove(&next);
    }
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// `POST /mailFolders/{id}/move`
pub(crate) fn relocate(ctx: &Ctx<'_>, id: &str) -> Answer {
    let map = input::object(&ctx.call.body)?;
    let to = input::member(&map, "destinationId")
        .and_then(Value::as_str)
        .unwrap_or("");
    let key = {
        let mut world = ctx.state.world();
        let status = world.policies.folder_exists_status;
        let mailbox = ctx.mailbox_mut(&mut world, Want::Write)?;
        let (key, to) = (folder_key(mailbox, id)?, folder_key(mailbox, to)?);
        let Some(moved) = mailbox
            .folders
            .get(&key)
            .filter(|folder| folder.well_known.is_none())
        else {
            return Err(protected());
        };
        let name = moved.name.clone();
        if mailbox.child_named(to, &name).is_some() {
            return Err(exists(ctx, status, &name));
        }
        let mut above = Some(to);
        while let Some(at) = above {
            if at == key {
                return Err(GraphError::bad_request(
                    "ErrorMoveCopyFailed",
                    "A folder cannot be moved into itself.",
                ));
            }
            above = mailbox.folders.get(&at).and_then(|folder| folder.parent);
        }
        if let Some(folder) = mailbox.folders.get_mut(&key) {
            folder.parent = Some(to);
        }
        key
    };
    single(ctx, key, StatusCode::CREATED)
}

/// `GET /mailFolders/delta`: always a full round, as folders are few.
pub(crate) fn delta(ctx: &Ctx<'_>) -> Answer {
    let world = ctx.state.world();
    let mailbox = ctx.mailbox(&world, Want::ReadBasic)?;
    let visible = mailbox
        .folders
        .values()
        .filter(|folder| !folder.is_hidden && folder.parent.is_some());
    let value: Vec<Value> = visible
        .map(|folder| Value::Object(show(ctx, mailbox, folder)))
        .collect();
    let link = format!(
        "{}?$deltatoken={}",
        ctx.own_link(&world),
        crate::guid::random_name(24)
    );
    let context = format!("{}/v1.0/$metadata#Collection(mailFolder)", ctx.call.base);
    Ok(ctx.json(
        StatusCode::OK,
        &json!({"@odata.context": context, "@odata.deltaLink": link, "value": value}),
    ))
}
