//! Reading tests of workflows.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::expected;
use super::{Arrives, Attached, Case, Fault, Suite, TenantState};
use crate::reader::{Codes, Fields, Reader};
use crate::schema::words::{self, Words};
use crate::yaml::{Entry, Kind, Node};
use crate::{Diagnostics, Signal, SourceFile, StepPath, yaml};

const CODES: Codes = Codes {
    unknown_key: "test/unknown-key",
    missing_key: "test/missing-key",
    wrong_type: "test/wrong-type",
    value: "test/value",
    unsupported: "test/unsupported",
};

pub(super) fn parse(source: &SourceFile) -> (Option<Suite>, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let root = yaml::parse(source, &mut diagnostics);
    let mut reader = Reader {
        file: source,
        codes: CODES,
        diagnostics,
    };
    let suite = root.and_then(|root| suite(&mut reader, &root));
    let mut diagnostics = reader.diagnostics;
    diagnostics.sort(source);
    (suite.filter(|_| !diagnostics.has_errors()), diagnostics)
}

fn suite(reader: &mut Reader<'_>, root: &Node) -> Option<Suite> {
    let fields = mapping(reader, root, "a file of tests", &words::SUITE)?;
    let workflow = text(reader, fields, "workflow");
    text(reader, fields, "description");
    let inputs = data(reader, fields, "inputs");
    let tenant = fields
        .get("tenant")
        .map(|node| state(reader, node))
        .unwrap_or_default();
    let mut cases = Vec::new();
    for node in list(reader, fields, "cases") {
        cases.extend(case(reader, node, &inputs, &tenant));
    }
    if let Some(node) = fields.get("cases")
        && matches!(&node.kind, Kind::List(cases) if cases.is_empty())
    {
        reader.invalid(node.span, "`cases` needs at least one case", "");
    }
    let mut seen = HashSet::new();
    for case in &cases {
        if !seen.insert(case.name.as_str()) {
            let message = format!("the case `{}` stands twice", case.name);
            reader.invalid(case.span, message, "give it a name of its own");
        }
    }
    Some(Suite { workflow, cases })
}

fn case(
    reader: &mut Reader<'_>,
    node: &Node,
    inputs: &Map<String, Value>,
    tenant: &TenantState,
) -> Option<Case> {
    let fields = mapping(reader, node, "a case", &words::CASE)?;
    let name = fields
        .get("name")
        .and_then(|node| reader.text(node, "`name`"));
    let mut all = inputs.clone();
    all.extend(data(reader, fields, "inputs"));
    let mut held = tenant.clone();
    if let Some(node) = fields.get("tenant") {
        held.add(state(reader, node));
    }
    let faults = list(reader, fields, "faults");
    let faults = faults.iter().filter_map(|node| fault(reader, node));
    let faults = faults.collect();
    let told = list(reader, fields, "told");
    let told = told.iter().filter_map(|node| signal(reader, node));
    let told = told.collect();
    let expected = fields
        .get("expect")
        .map(|node| expected::read(reader, node));
    let name = name?;
    if name.text.chars().count() > 200 || name.text.contains(char::is_control) {
        let help = "a name is one line of at most 200 characters";
        reader.invalid(name.span, "this cannot be a case's name", help);
    }
    Some(Case {
        span: name.span,
        name: name.text,
        inputs: all,
        tenant: held,
        faults,
        told,
        expected: expected?,
    })
}

impl TenantState {
    fn add(&mut self, more: Self) {
        self.people.extend(more.people);
        self.mailboxes.extend(more.mailboxes);
        for (mailbox, folders) in more.folders {
            self.folders.entry(mailbox).or_default().extend(folders);
        }
        self.signed_in.extend(more.signed_in);
        self.mail.extend(more.mail);
    }
}

fn state(reader: &mut Reader<'_>, node: &Node) -> TenantState {
    let fields = reader.fields(node, "`tenant`", &words::STATE);
    let mut state = TenantState {
        people: addresses(reader, fields, "people"),
        mailboxes: addresses(reader, fields, "mailboxes"),
        signed_in: addresses(reader, fields, "signed-in"),
        ..TenantState::default()
    };
    if let Some(node) = fields.get("folders") {
        for Entry { key, value } in reader.entries(node, "`folders`") {
            let folders = reader.texts(value, &format!("the folders of `{}`", key.text));
            let folders = folders.into_iter().map(|folder| folder.text);
            state.folders.insert(key.text.clone(), folders.collect());
        }
    }
    for node in list(reader, fields, "mail") {
        state.mail.extend(mail(reader, node));
    }
    state
}

fn mail(reader: &mut Reader<'_>, node: &Node) -> Option<Arrives> {
    let fields = mapping(reader, node, "a mail", &words::MAIL)?;
    let mailbox = address(reader, fields, "mailbox");
    let folder = text(reader, fields, "folder");
    let from = fields.get("from").and_then(|node| match &node.kind {
        Kind::Map(_) => {
            let fields = mapping(reader, node, "`from`", &words::SENDER)?;
            let name = text(reader, fields, "name").unwrap_or_default();
            Some((name, address(reader, fields, "address")?))
        }
        _ => Some((String::new(), one_address(reader, node, "`from`")?)),
    });
    let subject = text(reader, fields, "subject");
    let (plain, html) = (text(reader, fields, "text"), text(reader, fields, "html"));
    if let (Some(_), Some(entry)) = (&plain, fields.entry("html")) {
        reader.invalid(entry.key.span, "a mail has `text` or `html`, not both", "");
    }
    let to = addresses(reader, fields, "to");
    let is_read = boolean(reader, fields, "read");
    let mut attachments = Vec::new();
    for node in list(reader, fields, "attachments") {
        attachments.extend(attachment(reader, node));
    }
    Some(Arrives {
        mailbox: mailbox?,
        folder,
        from: from?,
        to,
        subject: subject?,
        body: match (plain, html) {
            (_, Some(html)) => (true, html),
            (plain, None) => (false, plain.unwrap_or_default()),
        },
        is_read: is_read.unwrap_or_default(),
        attachments,
    })
}

fn attachment(reader: &mut Reader<'_>, node: &Node) -> Option<Attached> {
    let fields = mapping(reader, node, "an attachment", &words::ATTACHMENT)?;
    let name = text(reader, fields, "name");
    match (
        text(reader, fields, "file"),
        text(reader, fields, "text"),
        name,
    ) {
        (Some(path), None, name) => Some(Attached::File { path, name }),
        (None, Some(text), Some(name)) => Some(Attached::Text { name, text }),
        _ => {
            let help = "write `{file: PATH}`, or `{name: NAME, text: CONTENT}`";
            reader.invalid(
                node.span,
                "an attachment has a file, or a name and text",
                help,
            );
            None
        }
    }
}

fn fault(reader: &mut Reader<'_>, node: &Node) -> Option<Fault> {
    let fields = mapping(reader, node, "a fault", &words::FAULT)?;
    let request = text(reader, fields, "request");
    let kinds = words::fault_kinds();
    let kind = fields.get("fault");
    let kind = kind.and_then(|node| one_of(reader, node, "fault", &kinds));
    let mut whole = |name: &str, least: u32, most: u32| {
        let node = fields.get(name)?;
        reader.whole(node, &format!("`{name}`"), least, most)
    };
    let (skip, times) = (whole("skip", 0, 10_000), whole("times", 1, 10_000));
    let (millis, status) = (whole("millis", 1, 600_000), whole("status", 400, 599));
    let mut settings = Map::new();
    settings.extend(millis.map(|millis| ("millis".to_owned(), millis.into())));
    settings.extend(status.map(|status| ("status".to_owned(), status.into())));
    for (word, name) in [("retry-after", "retry_after"), ("code", "code")] {
        let value = text(reader, fields, word);
        settings.extend(value.map(|text| (name.to_owned(), text.into())));
    }
    let user = address(reader, fields, "user");
    settings.extend(user.map(|user| ("user".to_owned(), user.into())));
    let kind = kind?;
    for (needed, name) in [
        ("latency", "millis"),
        ("refuse", "status"),
        ("refuse", "code"),
        ("sign-in-lapses", "user"),
    ] {
        if kind == needed && fields.get(name).is_none() {
            reader.missing(node.span, &format!("the fault `{kind}`"), name);
        }
    }
    let request = request?;
    let (method, path) = match request.trim().split_once(char::is_whitespace) {
        Some((method, path)) => (Some(method.to_owned()), path.trim().to_owned()),
        None => (None, request),
    };
    Some(Fault {
        method,
        path,
        skip: skip.unwrap_or(0),
        times: times.unwrap_or(1),
        kind: kind.to_owned(),
        settings,
    })
}

fn signal(reader: &mut Reader<'_>, node: &Node) -> Option<Signal> {
    let fields = mapping(reader, node, "what a run is told", &words::TOLD)?;
    let (approve, reject) = (
        text(reader, fields, "approve"),
        text(reader, fields, "reject"),
    );
    let (event, by) = (text(reader, fields, "event"), text(reader, fields, "by"));
    let comment = text(reader, fields, "comment");
    let decision = |step: String, approved| Signal::Decision {
        path: StepPath {
            step: step.into(),
            item: None,
        },
        approved,
        by: by.clone().unwrap_or_else(|| "somebody".to_owned()),
        comment: comment.clone().unwrap_or_default(),
    };
    match (approve, reject, event) {
        (Some(step), None, None) => Some(decision(step, true)),
        (None, Some(step), None) => Some(decision(step, false)),
        (None, None, Some(name)) => Some(Signal::Event {
            name,
            payload: fields.get("payload").map_or(Value::Null, Node::to_json),
        }),
        _ => {
            let message = "a run is told one thing: `approve`, `reject` or `event`";
            reader.invalid(node.span, message, "");
            None
        }
    }
}

/// A mapping of words, with those that must be there.
pub(super) fn mapping<'n>(
    reader: &mut Reader<'_>,
    node: &'n Node,
    what: &str,
    words: &'static Words,
) -> Option<Fields<'n>> {
    if !matches!(node.kind, Kind::Map(_)) {
        reader.wrong_type(node, what, "a mapping");
        return None;
    }
    let fields = reader.fields(node, what, words);
    for word in words.rows().filter(|word| word.is_required) {
        if fields.get(word.name).is_none() {
            reader.missing(crate::Span::at(node.span.start), what, word.name);
        }
    }
    Some(fields)
}

pub(super) fn text(reader: &mut Reader<'_>, fields: Fields<'_>, name: &str) -> Option<String> {
    let node = fields.get(name)?;
    let found = reader.text(node, &format!("`{name}`"))?;
    Some(found.text)
}

pub(super) fn boolean(reader: &mut Reader<'_>, fields: Fields<'_>, name: &str) -> Option<bool> {
    let node = fields.get(name)?;
    reader.boolean(node, &format!("`{name}`"))
}

/// A mapping of anything.
pub(super) fn data(reader: &mut Reader<'_>, fields: Fields<'_>, name: &str) -> Map<String, Value> {
    let Some(node) = fields.get(name) else {
        return Map::new();
    };
    let entries = reader.entries(node, &format!("`{name}`"));
    let entry = |entry: &Entry| (entry.key.text.clone(), entry.value.to_json());
    entries.iter().map(entry).collect()
}

pub(super) fn list<'n>(reader: &mut Reader<'_>, fields: Fields<'n>, name: &str) -> &'n [Node] {
    match fields.get(name).map(|node| (node, &node.kind)) {
        None => &[],
        Some((_, Kind::List(items))) => items,
        Some((node, _)) => {
            reader.wrong_type(node, &format!("`{name}`"), "a list");
            &[]
        }
    }
}

pub(super) fn address(reader: &mut Reader<'_>, fields: Fields<'_>, name: &str) -> Option<String> {
    let node = fields.get(name)?;
    one_address(reader, node, &format!("`{name}`"))
}

fn one_address(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<String> {
    let found = reader.text(node, what)?;
    let is_plain = |part: &str| !part.is_empty() && !part.contains([' ', '\t', '/', '@']);
    match found.text.split_once('@') {
        Some((local, domain)) if is_plain(local) && is_plain(domain) => Some(found.text),
        _ => {
            let message = format!("`{}` is no address", found.text);
            reader.invalid(found.span, message, "write it in full: anna@example.com");
            None
        }
    }
}

/// One address, or a list of them.
pub(super) fn addresses(reader: &mut Reader<'_>, fields: Fields<'_>, name: &str) -> Vec<String> {
    let Some(node) = fields.get(name) else {
        return Vec::new();
    };
    let what = format!("`{name}`");
    match &node.kind {
        Kind::List(items) => {
            let one = |item| one_address(reader, item, &what);
            items.iter().filter_map(one).collect()
        }
        _ => one_address(reader, node, &what).into_iter().collect(),
    }
}

pub(super) fn one_of<'w>(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    words: &[&'w str],
) -> Option<&'w str> {
    let found = reader.text(node, &format!("`{name}`"))?;
    let word = words.iter().find(|word| **word == found.text).copied();
    if word.is_none() {
        let message = format!("`{name}` cannot be `{}`", found.text);
        let error = reader.error(CODES.value, found.span, message);
        reader.push(error.with_nearest(&found.text, words.iter().copied()));
    }
    word
}
