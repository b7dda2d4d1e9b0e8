//! What the tenant says is in its mailboxes, for people and for machines.

use anyhow::Result;
use docket_tenant::Tenant;
use serde_json::{Map, Value, json};

use crate::render::{self, note};

/// What the tenant says is in its mailboxes.
pub(super) struct Seen {
    pub(super) sent: Vec<Value>,
    pub(super) drafts: usize,
    pub(super) moved: usize,
}

impl Seen {
    /// Asks the tenant: what the host believes does not count.
    pub(super) async fn ask(tenant: &Tenant) -> Result<Self> {
        // Exchange moves a sent mail to Sent Items a while after it took it; nobody waits for that
        // here.
        tenant.state().deliver_now();
        let answer = tenant.ask("/_tenant/mailboxes").await?;
        let mut seen = Self {
            sent: Vec::new(),
            drafts: 0,
            moved: 0,
        };
        for mailbox in answer["mailboxes"].as_array().into_iter().flatten() {
            for message in mailbox["messages"].as_array().into_iter().flatten() {
                match message["folder"].as_str() {
                    Some("Sent Items") => seen.sent.push(sent(&mailbox["mailbox"], message)),
                    Some("Drafts") => seen.drafts += 1,
                    Some("Processed") => seen.moved += 1,
                    _ => {}
                }
            }
        }
        Ok(seen)
    }

    /// Shows it to people.
    pub(super) fn show(&self) {
        note!("\nIn the tenant");
        for mail in &self.sent {
            let text = |name: &str| mail[name].as_str().unwrap_or_default().to_owned();
            note!(
                "  {} / {}: {}",
                text("mailbox"),
                text("folder"),
                text("subject")
            );
            let to: Vec<_> = strings(&mail["to"]);
            note!("      to {}", to.join(", "));
            for file in mail["attachments"].as_array().into_iter().flatten() {
                note!(
                    "      with {} ({})",
                    file["name"].as_str().unwrap_or_default(),
                    render::bytes(file["size"].as_u64().unwrap_or_default())
                );
            }
        }
        note!(
            "  {} replies in Drafts, {} invoices in Processed",
            self.drafts,
            self.moved
        );
    }
}

fn sent(mailbox: &Value, message: &Value) -> Value {
    let attachments: Vec<Value> = message["attachments"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|file| {
            let fields = ["name", "size", "sha256"];
            fields
                .map(|name| (name.to_owned(), file[name].clone()))
                .into_iter()
                .collect::<Map<_, _>>()
        })
        .map(Value::Object)
        .collect();
    json!({
        "mailbox": mailbox,
        "folder": message["folder"],
        "subject": message["subject"],
        "to": message["to"],
        "attachments": attachments,
    })
}

fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}
