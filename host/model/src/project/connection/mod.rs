//! A connection of a project.

mod provider;
pub(super) mod value;

use std::path::PathBuf;

use self::value::{address, addresses, endpoints, is_tenant, limits, mailboxes, origin};
use super::{CODES, Project};
use crate::reader::{Fields, Reader};
use crate::schema::words;
use crate::yaml::{Entry, Kind, Name, Node};
use crate::{Cloud, ConnectionKind, ConnectionSpec, Diagnostic};

/// Words that secrets go by elsewhere.
const SECRETS: [&str; 9] = [
    "secret",
    "client-secret",
    "password",
    "token",
    "access-token",
    "refresh-token",
    "certificate",
    "private-key",
    "key",
];

/// Reads one connection. Whether its fallback is one is for [`fallbacks`], once all are read.
pub(super) fn read(reader: &mut Reader<'_>, name: &Name, node: &Node) -> Option<ConnectionSpec> {
    let what = format!("the connection `{}`", name.text);
    secrets(reader, name, node);
    let fields = reader.fields_besides(node, &what, &words::CONNECTION, &SECRETS);
    let kind = match fields.get("kind") {
        Some(node) => word(
            reader,
            node,
            "kind",
            "kind of connection",
            &ConnectionKind::ALL,
            |kind| kind.as_str(),
        ),
        None => {
            reader.missing(name.span, &what, "kind");
            None
        }
    };
    let cloud = fields.get("cloud").map(|node| {
        word(reader, node, "cloud", "cloud", &Cloud::ALL, |cloud| {
            cloud.as_str()
        })
    });
    let cloud = cloud.flatten().unwrap_or_default();
    let provider = fields
        .get("provider")
        .map(|node| provider::read(reader, name, node, kind));
    let tenant = tenant(reader, name, fields, &what);
    let client_id = required(reader, name, fields, &what, "client-id");
    let account = account(reader, name, fields, &what, kind);
    let authority = fields
        .get("authority")
        .and_then(|node| origin(reader, node, "`authority`"));
    let endpoints = fields.get("endpoints").map(|node| endpoints(reader, node));
    let mailboxes = fields.get("mailboxes").map(|node| mailboxes(reader, node));
    if kind == Some(ConnectionKind::AppOnly)
        && fields.get("provider").is_none()
        && mailboxes.as_ref().is_none_or(Vec::is_empty)
    {
        let message = format!("{what} is app-only and has no mailboxes");
        let help = "an application could use every mailbox of the directory: list the ones that it \
                    may use under `mailboxes`";
        reader.invalid(name.span, message, help);
    }
    let redirect = fields
        .get("redirect-uri")
        .and_then(|node| value::redirect(reader, node));
    let fallback = fields
        .get("fallback")
        .and_then(|node| reader.text(node, "`fallback`"));
    let limits = fields.get("limits").map(|node| limits(reader, node));
    let allowed = fields
        .get("allow-addresses")
        .map(|node| addresses(reader, node));
    let ca_file = fields
        .get("ca-file")
        .and_then(|node| reader.text(node, "`ca-file`"));
    let mut spec = ConnectionSpec::new(kind?, tenant.unwrap_or_default(), client_id?.text);
    spec.account = account;
    spec.cloud = cloud;
    spec.authority = authority.unwrap_or_else(|| cloud.authority().to_owned());
    spec.endpoints = match &provider {
        None => cloud.endpoints(),
        Some(_) => std::collections::BTreeMap::new(),
    };
    spec.endpoints.extend(endpoints.unwrap_or_default());
    spec.provider = match provider {
        None => None,
        Some(provider) => Some(provider?),
    };
    if let (Some(provider), Some(node)) = (&spec.provider, fields.get("provider")) {
        provider::check_endpoints(reader, node, provider, &spec.endpoints);
    }
    spec.mailboxes = mailboxes;
    spec.redirect_uri = redirect;
    spec.fallback = fallback.map(|name| name.text);
    spec.limits = limits.unwrap_or_default();
    spec.allow_addresses = allowed.unwrap_or_default();
    spec.ca_file = ca_file.map(|path| PathBuf::from(path.text));
    Some(spec)
}

/// Checks what connections say of each other: a fallback is a service account, and stands behind a
/// connection of the kind per-user.
pub(super) fn fallbacks(reader: &mut Reader<'_>, entries: &[Entry], project: &Project) {
    for Entry { key, value } in entries {
        let Kind::Map(fields) = &value.kind else {
            continue;
        };
        let Some(field) = fields.iter().find(|entry| entry.key.text == "fallback") else {
            continue;
        };
        let Some(spec) = project.connections.get(&key.text) else {
            continue;
        };
        let Some(name) = &spec.fallback else {
            continue;
        };
        if spec.kind != ConnectionKind::PerUser {
            let message = format!(
                "only connections of the kind per-user have a fallback; `{}` is {}",
                key.text,
                spec.kind.as_str()
            );
            reader.invalid(field.key.span, message, "remove `fallback`");
            continue;
        }
        let span = field.value.span;
        match project.connections.get(name) {
            Some(other) if other.kind == ConnectionKind::ServiceAccount => {}
            Some(other) => {
                let message = format!(
                    "a fallback is a service account; `{name}` is {}",
                    other.kind.as_str()
                );
                reader.invalid(span, message, "");
            }
            None if entries.iter().any(|entry| entry.key.text == *name) => {}
            None => {
                let message = format!("there is no connection `{name}` to fall back to");
                let error = reader.error(CODES.value, span, message);
                let known = project
                    .connections
                    .iter()
                    .filter(|(_, spec)| spec.kind == ConnectionKind::ServiceAccount)
                    .map(|(name, _)| name.as_str());
                reader.push(error.with_nearest(name, known));
            }
        }
    }
}

fn required(
    reader: &mut Reader<'_>,
    name: &Name,
    fields: Fields<'_>,
    what: &str,
    key: &str,
) -> Option<Name> {
    match fields.get(key) {
        Some(node) => reader.text(node, &format!("`{key}`")),
        None => {
            reader.missing(name.span, what, key);
            None
        }
    }
}

/// The directory; another provider has none.
fn tenant(reader: &mut Reader<'_>, name: &Name, fields: Fields<'_>, what: &str) -> Option<String> {
    if fields.get("provider").is_some() {
        for key in ["tenant", "cloud", "authority"] {
            if let Some(entry) = fields.entry(key) {
                let message =
                    format!("`{key}` is of Entra ID, and {what} has a provider of its own");
                reader.invalid(
                    entry.key.span,
                    message,
                    &format!("remove `{key}` or `provider`"),
                );
            }
        }
        return None;
    }
    let tenant = required(reader, name, fields, what, "tenant")?;
    if !is_tenant(&tenant.text) {
        let message = format!("`{}` is no tenant", tenant.text);
        let help = "write its id (a GUID) or one of its domains, as in contoso.onmicrosoft.com";
        reader.invalid(tenant.span, message, help);
    }
    Some(tenant.text)
}

/// The account: service accounts have one, and nobody else.
fn account(
    reader: &mut Reader<'_>,
    name: &Name,
    fields: Fields<'_>,
    what: &str,
    kind: Option<ConnectionKind>,
) -> Option<String> {
    match (kind, fields.entry("account")) {
        (Some(kind @ (ConnectionKind::PerUser | ConnectionKind::AppOnly)), Some(entry)) => {
            let help = match kind {
                ConnectionKind::PerUser => "remove it: each step names its user with `as`",
                _ => "remove it: the application acts by itself",
            };
            let message = format!(
                "connections of the kind {} have no `account`",
                kind.as_str()
            );
            reader.invalid(entry.key.span, message, help);
            None
        }
        (_, Some(entry)) => address(reader, &entry.value, "`account`"),
        (Some(ConnectionKind::ServiceAccount) | None, None) => {
            reader.missing(name.span, what, "account");
            None
        }
        (Some(_), None) => None,
    }
}

fn secrets(reader: &mut Reader<'_>, name: &Name, node: &Node) {
    let Kind::Map(entries) = &node.kind else {
        return;
    };
    for Entry { key, value } in entries {
        if key.text == "provider" {
            secrets(reader, name, value);
        }
        if SECRETS.contains(&key.text.as_str()) {
            let message = format!("`{}` does not belong in docket.yaml", key.text);
            let help = format!(
                "remove it, and store it encrypted with `docket connections add {}`; if the file \
                 was shared, renew the secret",
                name.text
            );
            reader.push(
                reader
                    .error(Diagnostic::SECRET, key.span, message)
                    .with_help(help),
            );
        }
    }
}

/// One of a few words.
fn word<T: Copy>(
    reader: &mut Reader<'_>,
    node: &Node,
    key: &str,
    what: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Option<T> {
    let found = reader.text(node, &format!("`{key}`"))?;
    if let Some(one) = all.iter().find(|one| name(**one) == found.text) {
        return Some(*one);
    }
    let message = format!("there is no {what} `{}`", found.text);
    let error = reader.error(CODES.value, found.span, message);
    let names: Vec<&str> = all.iter().map(|one| name(*one)).collect();
    reader.push(error.with_nearest(&found.text, names));
    None
}
