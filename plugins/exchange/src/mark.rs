//! `mark`: what a message is marked with. All of it can be done twice.

use docket_graph::{Mailbox, MessageHandle};
use docket_plugin_sdk::{Call, Failure, Output};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::input::invalid;
use crate::mail::categories;
use crate::message::{path, update};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Input {
    message: MessageHandle,
    read: Option<bool>,
    flag: Option<String>,
    importance: Option<String>,
    categories: Option<Vec<String>>,
    #[serde(default)]
    add_categories: Vec<String>,
    #[serde(default)]
    remove_categories: Vec<String>,
}

pub(crate) fn run(call: &Call) -> Result<Output, Failure> {
    let input: Input = call.input()?;
    let mailbox = Mailbox::new(call, &input.message.mailbox)?;
    let id = &input.message.id;
    let mut change = Map::new();
    if let Some(read) = input.read {
        change.insert("isRead".to_owned(), read.into());
    }
    if let Some(flag) = &input.flag {
        let status = match flag.as_str() {
            "flagged" => "flagged",
            "complete" => "complete",
            _ => "notFlagged",
        };
        change.insert("flag".to_owned(), json!({"flagStatus": status}));
    }
    if let Some(importance) = &input.importance {
        change.insert("importance".to_owned(), importance.as_str().into());
    }
    let is_relative = !(input.add_categories.is_empty() && input.remove_categories.is_empty());
    let mut wanted = input.categories;
    if is_relative && wanted.is_none() {
        let path = format!("{}?$select=id,categories", path(id));
        let message = mailbox.get(&path, "reading the categories")?;
        let held = message["categories"].as_array();
        let held = held.into_iter().flatten().filter_map(Value::as_str);
        wanted = Some(held.map(str::to_owned).collect());
    }
    if let Some(mut wanted) = wanted {
        // Outlook knows a category by its name, however it is written.
        let lower = |name: &String| name.to_lowercase();
        for name in input.add_categories {
            if !wanted.iter().any(|held| lower(held) == lower(&name)) {
                wanted.push(name);
            }
        }
        let removed: Vec<String> = input.remove_categories.iter().map(lower).collect();
        wanted.retain(|held| !removed.contains(&lower(held)));
        change.insert("categories".to_owned(), categories(&wanted)?);
    }
    if change.is_empty() {
        return Err(invalid(
            "NothingToMark",
            "the step marks nothing",
            "give read, flag, importance or categories",
        ));
    }
    let message = update(&mailbox, id, &change.into(), "marking the message")?;
    Output::new(json!({"message": message.handle(&mailbox)}))
}
