//! A connection of a project.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use super::CODES;
use crate::reader::Reader;
use crate::yaml::{Entry, Kind, Name, Node};
use crate::{ConnectionKind, ConnectionSpec};

const KEYS: [&str; 9] = [
    "kind",
    "tenant",
    "client-id",
    "account",
    "authority",
    "endpoints",
    "mailboxes",
    "allow-addresses",
    "ca-file",
];
/// Words that secrets go by elsewhere.
const SECRETS: [&str; 6] = [
    "secret",
    "client-secret",
    "password",
    "token",
    "refresh-token",
    "certificate",
];

pub(super) fn read(reader: &mut Reader<'_>, name: &Name, node: &Node) -> Option<ConnectionSpec> {
    let what = format!("the connection `{}`", name.text);
    secrets(reader, name, node);
    let known: Vec<&str> = KEYS.iter().chain(&SECRETS).copied().collect();
    let fields = reader.fields(node, &what, &known, &[]);
    let kind = match fields.get("kind") {
        Some(node) => kind(reader, node),
        None => {
            reader.missing(name.span, &what, "kind");
            None
        }
    };
    let mut required = |key: &str| match fields.get(key) {
        Some(node) => reader.text(node, &format!("`{key}`")),
        None => {
            reader.missing(name.span, &what, key);
            None
        }
    };
    let (tenant, client_id) = (required("tenant"), required("client-id"));
    let account = required("account");
    if let Some(account) = account
        .as_ref()
        .filter(|account| !is_address(&account.text))
    {
        let message = format!("`{}` is no user principal name", account.text);
        reader.invalid(
            account.span,
            message,
            "write it like an address: user@example.com",
        );
    }
    if let Some(tenant) = tenant.as_ref().filter(|tenant| !is_tenant(&tenant.text)) {
        let message = format!("`{}` is no tenant", tenant.text);
        let help = "write its id (a GUID) or one of its domains, as in contoso.onmicrosoft.com";
        reader.invalid(tenant.span, message, help);
    }
    let authority = fields
        .get("authority")
        .and_then(|node| origin(reader, node, "`authority`"));
    let endpoints = fields.get("endpoints").map(|node| endpoints(reader, node));
    let mailboxes = fields.get("mailboxes").map(|node| mailboxes(reader, node));
    let allowed = fields
        .get("allow-addresses")
        .map(|node| addresses(reader, node));
    let ca_file = fields
        .get("ca-file")
        .and_then(|node| reader.text(node, "`ca-file`"));
    let mut spec = ConnectionSpec::new(kind?, tenant?.text, client_id?.text, account?.text);
    if let Some(authority) = authority {
        spec.authority = authority;
    }
    spec.endpoints.extend(endpoints.unwrap_or_default());
    spec.mailboxes = mailboxes;
    spec.allow_addresses = allowed.unwrap_or_default();
    spec.ca_file = ca_file.map(|path| PathBuf::from(path.text));
    Some(spec)
}

fn secrets(reader: &mut Reader<'_>, name: &Name, node: &Node) {
    let Kind::Map(entries) = &node.kind else {
        return;
    };
    for Entry { key, .. } in entries {
        if SECRETS.contains(&key.text.as_str()) {
            let message = format!("`{}` does not belong in docket.yaml", key.text);
            let help = format!(
                "remove it, and store it encrypted with `docket connections add {}`; if the file \
                 was shared, renew the secret",
                name.text
            );
            reader.push(
                reader
                    .error("project/secret", key.span, message)
                    .with_help(help),
            );
        }
    }
}

fn kind(reader: &mut Reader<'_>, node: &Node) -> Option<ConnectionKind> {
    let kind = reader.text(node, "`kind`")?;
    match kind.text.as_str() {
        "service-account" => return Some(ConnectionKind::ServiceAccount),
        "per-user" | "app-only" => {
            let message = format!(
                "connections of the kind `{}` are not supported by this version of Docket",
                kind.text
            );
            let help = "use `service-account`";
            reader.push(
                reader
                    .error(CODES.unsupported, kind.span, message)
                    .with_help(help),
            );
        }
        other => {
            let message = format!("there is no kind of connection `{other}`");
            let error = reader.error(CODES.value, kind.span, message);
            let kinds = ["service-account", "per-user", "app-only"];
            reader.push(error.with_nearest(other, kinds));
        }
    }
    None
}

fn is_address(text: &str) -> bool {
    let is_plain = !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
    let mut parts = text.split('@');
    let (local, domain) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    is_plain && !local.is_empty() && !domain.is_empty() && parts.next().is_none()
}

fn is_tenant(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    text.chars().all(is_allowed) && text.contains(['-', '.'])
}

/// A base URL: `https`, or `http` for a server on this machine; no slash at the end.
fn origin(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<String> {
    let url = reader.text(node, what)?;
    let is_local = |rest: &str| {
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
            rest.strip_prefix(host)
                .is_some_and(|r| r.is_empty() || r.starts_with([':', '/']))
        })
    };
    let is_https = url
        .text
        .strip_prefix("https://")
        .is_some_and(|rest| !rest.is_empty());
    let is_loopback = url.text.strip_prefix("http://").is_some_and(is_local);
    let is_plain = !url
        .text
        .contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#' | '@'));
    if !(is_https || is_loopback) || !is_plain {
        let message = format!("{what} must be an https URL");
        reader.invalid(
            url.span,
            message,
            "http is for a server on this machine alone",
        );
        return None;
    }
    Some(url.text.trim_end_matches('/').to_owned())
}

fn endpoints(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, String> {
    let mut endpoints = BTreeMap::new();
    for Entry { key, value } in reader.entries(node, "`endpoints`") {
        let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if key.text == "mailbox" || key.text.is_empty() || !key.text.chars().all(is_letter) {
            let message = format!("`{}` cannot be the name of an endpoint", key.text);
            reader.invalid(
                key.span,
                message,
                "it may have lower-case letters, digits and `-`",
            );
        }
        if let Some(url) = origin(reader, value, &format!("the endpoint `{}`", key.text)) {
            endpoints.insert(key.text.clone(), url);
        }
    }
    endpoints
}

fn mailboxes(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    let all = reader.texts(node, "`mailboxes`");
    for mailbox in all.iter().filter(|mailbox| !is_address(&mailbox.text)) {
        let message = format!("`{}` is no address of a mailbox", mailbox.text);
        reader.invalid(
            mailbox.span,
            message,
            "write it in full: invoices@example.com",
        );
    }
    all.into_iter().map(|mailbox| mailbox.text).collect()
}

fn addresses(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    let all = reader.texts(node, "`allow-addresses`");
    for range in all.iter().filter(|range| !is_range(&range.text)) {
        let message = format!("`{}` is no range of addresses", range.text);
        reader.invalid(range.span, message, "write it as 10.1.2.0/24 or fd00::/8");
    }
    all.into_iter().map(|range| range.text).collect()
}

fn is_range(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let most = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse().is_ok_and(|bits: u8| bits <= most) && bits.chars().all(|c| c.is_ascii_digit())
}
