//! The values of a connection: addresses, URLs, lists and limits.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::ConnectionLimits;
use crate::reader::Reader;
use crate::schema::words;
use crate::yaml::{Entry, Node};

pub(super) fn is_address(text: &str) -> bool {
    let is_plain = !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
    let mut parts = text.split('@');
    let (local, domain) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    is_plain && !local.is_empty() && !domain.is_empty() && parts.next().is_none()
}

pub(super) fn is_tenant(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    text.chars().all(is_allowed) && text.contains(['-', '.'])
}

/// A user principal name.
pub(in crate::project) fn address(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
) -> Option<String> {
    let account = reader.text(node, what)?;
    if !is_address(&account.text) {
        let message = format!("`{}` is no user principal name", account.text);
        let help = "write it like an address: user@example.com";
        reader.invalid(account.span, message, help);
    }
    Some(account.text)
}

/// A base URL: `https`, or `http` for a server on this machine; no slash at the end.
pub(in crate::project) fn origin(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
) -> Option<String> {
    let url = url(reader, node, what)?;
    Some(url.trim_end_matches('/').to_owned())
}

/// The URI that sign-ins come back to.
pub(super) fn redirect(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    url(reader, node, "`redirect-uri`")
}

/// A URL: `https`, or `http` for a server on this machine.
pub(in crate::project) fn url(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<String> {
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
    Some(url.text)
}

pub(super) fn limits(reader: &mut Reader<'_>, node: &Node) -> ConnectionLimits {
    let fields = reader.fields(node, "`limits`", &words::LIMITS);
    let mut limits = ConnectionLimits::default();
    let mut number = |key: &str, most: u32| {
        let node = fields.get(key)?;
        reader.whole(node, &format!("`{key}`"), 1, most)
    };
    if let Some(number) = number("at-a-time", 1_000) {
        limits.at_a_time = number;
    }
    if let Some(number) = number("per-10-minutes", 10_000_000) {
        limits.per_10_minutes = number;
    }
    if let Some(number) = number("upload-mb-per-5-minutes", 1_000_000) {
        limits.upload_mb_per_5_minutes = number;
    }
    limits
}

pub(super) fn endpoints(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, String> {
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

pub(super) fn mailboxes(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
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

pub(in crate::project) fn addresses(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
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
