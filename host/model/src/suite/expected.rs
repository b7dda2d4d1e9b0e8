//! `expect`: what must be so after a run.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::read::{address, addresses, boolean, data, list, mapping, one_of, text};
use super::{Expected, ExpectedFailure, ExpectedResult};
use crate::FailureClass;
use crate::reader::Reader;
use crate::schema::words;
use crate::yaml::{Entry, Kind, Node};

/// Reads `expect`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Expected {
    let fields = reader.fields(node, "`expect`", &words::EXPECTED);
    let mut expected = Expected {
        outputs: data(reader, fields, "outputs"),
        ..Expected::default()
    };
    const RESULTS: [ExpectedResult; 3] = [
        ExpectedResult::Succeeded,
        ExpectedResult::Failed,
        ExpectedResult::Waiting,
    ];
    let results = RESULTS.map(ExpectedResult::as_str);
    let result = fields.get("result").and_then(|node| {
        let word = one_of(reader, node, "result", &results)?;
        RESULTS.into_iter().find(|result| result.as_str() == word)
    });
    if let Some(entry) = fields.entry("failure") {
        expected.failure = Some(failure(reader, &entry.value));
        if result.is_some_and(|result| result != ExpectedResult::Failed) {
            let help = "remove `result`, or `failure`";
            reader.invalid(entry.key.span, "only a run that failed has a failure", help);
        }
    }
    // Whoever says why it fails has said that it does.
    expected.result = match &expected.failure {
        Some(_) => ExpectedResult::Failed,
        None => result.unwrap_or_default(),
    };
    if let Some(entry) = fields.entry("outputs")
        && expected.result != ExpectedResult::Succeeded
    {
        let help = "remove `outputs`, or expect the run to succeed";
        reader.invalid(
            entry.key.span,
            "only a run that succeeded has outputs",
            help,
        );
    }
    if let Some(node) = fields.get("steps") {
        let states = ["done", "failed", "skipped", "not-reached"];
        for Entry { key, value } in reader.entries(node, "`steps`") {
            if let Some(state) = one_of(reader, value, &key.text, &states) {
                expected.steps.insert(key.text.clone(), state.to_owned());
            }
        }
    }
    if let Some(node) = fields.get("mailboxes") {
        for Entry { key, value } in reader.entries(node, "`mailboxes`") {
            let mut folders = BTreeMap::new();
            for Entry { key, value } in reader.entries(value, &format!("`{}`", key.text)) {
                folders.insert(key.text.clone(), messages(reader, value, &key.text));
            }
            expected.mailboxes.insert(key.text.clone(), folders);
        }
    }
    let outside = fields.get("outside");
    expected.outside = outside.map(|node| messages(reader, node, "outside"));
    expected
}

fn failure(reader: &mut Reader<'_>, node: &Node) -> ExpectedFailure {
    let fields = reader.fields(node, "`failure`", &words::EXPECTED_FAILURE);
    let classes = words::failure_classes();
    let class = fields.get("class").and_then(|node| {
        let word = one_of(reader, node, "class", &classes)?;
        FailureClass::ALL.iter().find(|(known, _)| *known == word)
    });
    ExpectedFailure {
        step: text(reader, fields, "step"),
        class: class.map(|(_, class)| *class),
        code: text(reader, fields, "code"),
        message: text(reader, fields, "message"),
    }
}

/// The mails that must be in one place, each by the fields that matter.
fn messages(reader: &mut Reader<'_>, node: &Node, place: &str) -> Vec<Map<String, Value>> {
    let Kind::List(items) = &node.kind else {
        reader.wrong_type(node, &format!("`{place}`"), "a list");
        return Vec::new();
    };
    items.iter().map(|item| message(reader, item)).collect()
}

fn message(reader: &mut Reader<'_>, node: &Node) -> Map<String, Value> {
    let fields = reader.fields(node, "a mail", &words::EXPECTED_MAIL);
    let mut mail = Map::new();
    for name in ["subject", "from", "sender"] {
        let value = match name {
            "subject" => text(reader, fields, name),
            _ => address(reader, fields, name),
        };
        mail.extend(value.map(|value| (name.to_owned(), value.into())));
    }
    for name in ["to", "cc", "bcc"] {
        if fields.get(name).is_some() {
            mail.insert(name.to_owned(), addresses(reader, fields, name).into());
        }
    }
    for name in ["read", "draft"] {
        let value = boolean(reader, fields, name);
        mail.extend(value.map(|value| (name.to_owned(), value.into())));
    }
    if let Some(node) = fields.get("contains") {
        let texts = match &node.kind {
            Kind::List(_) => reader.texts(node, "`contains`"),
            _ => reader.text(node, "`contains`").into_iter().collect(),
        };
        let texts: Vec<Value> = texts.into_iter().map(|text| text.text.into()).collect();
        mail.insert("contains".to_owned(), texts.into());
    }
    if let Some(node) = fields.get("categories") {
        let names = reader.texts(node, "`categories`");
        let names: Vec<Value> = names.into_iter().map(|name| name.text.into()).collect();
        mail.insert("categories".to_owned(), names.into());
    }
    if fields.get("attachments").is_some() {
        let mut all = Vec::new();
        for node in list(reader, fields, "attachments") {
            all.extend(expected_attachment(reader, node));
        }
        mail.insert("attachments".to_owned(), all.into());
    }
    mail
}

fn expected_attachment(reader: &mut Reader<'_>, node: &Node) -> Option<Value> {
    if !matches!(node.kind, Kind::Map(_)) {
        let name = reader.text(node, "an attachment")?;
        return Some(serde_json::json!({"name": name.text}));
    }
    let fields = mapping(reader, node, "an attachment", &words::EXPECTED_ATTACHMENT)?;
    let (name, file) = (text(reader, fields, "name"), text(reader, fields, "file"));
    let mut found = serde_json::json!({"name": name?});
    if let Some(file) = file {
        found["file"] = file.into();
    }
    Some(found)
}
