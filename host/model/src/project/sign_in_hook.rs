//! `public-url` and `sign-in-hook` of a project: how people are told that runs wait for their sign-in.

use std::path::PathBuf;
use std::time::Duration;

use super::connection::value::{address, addresses, origin, url};
use super::{CODES, Project};
use crate::ConnectionKind;
use crate::reader::{Fields, Reader};
use crate::schema::words;
use crate::yaml::{Entry, Node};

/// The longest time between two requests to the same person.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// How people are told that they must sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInHook {
    /// How long after one request the next one follows, while runs wait.
    pub every: Duration,
    /// By what.
    pub by: SignInHookKind,
}

impl SignInHook {
    /// The time between two requests where nothing is written: a day.
    pub const EVERY: Duration = Duration::from_secs(86_400);
}

/// What tells people that they must sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInHookKind {
    /// A mail.
    Mail(SignInMail),
    /// A request to a server of the operator's.
    Webhook(SignInWebhook),
}

/// A mail that asks for a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInMail {
    /// The connection that sends it: a service account, or app-only.
    pub connection: String,
    /// The mailbox that it is sent from.
    pub from: String,
    /// Who is told what the person cannot mend: an expired client secret, a policy that blocks the
    /// sign-in. And who is told of service accounts.
    pub administrator: Option<String>,
    /// The template of its body, relative to the project's folder.
    pub template: Option<PathBuf>,
}

/// A request that tells of a needed sign-in, signed as Standard Webhooks says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInWebhook {
    /// Where it goes: `https`, or `http` on this machine.
    pub url: String,
    /// Ranges (CIDR) of addresses that are not public and may be dialled all the same.
    pub allow_addresses: Vec<String>,
    /// Certificates (PEM) of authorities to trust beside the system's, relative to the project's
    /// folder.
    pub ca_file: Option<PathBuf>,
}

/// Reads both keys, once the connections are read.
pub(super) fn read(reader: &mut Reader<'_>, fields: Fields<'_>, project: &mut Project) {
    if let Some(node) = fields.get("public-url") {
        project.public_url = public_url(reader, node);
    }
    let Some(Entry { key, value }) = fields.entry("sign-in-hook") else {
        return;
    };
    if fields.get("public-url").is_none() {
        let message =
            "`sign-in-hook` needs the key `public-url`: where people reach `docket serve`";
        let error = reader.error(CODES.missing_key, key.span, message);
        let help = "write it beside `sign-in-hook`: `public-url: https://docket.example.com`, or \
                    `http://localhost:8080` where all who sign in sit at this machine";
        reader.push(error.with_help(help));
    }
    let what = "`sign-in-hook`";
    let hook = reader.fields(value, what, &words::SIGN_IN_HOOK);
    let every = hook.get("every").map(|node| {
        let least = Duration::from_secs(1);
        reader.duration(node, "`every`", least, LONGEST)
    });
    let by = match (hook.entry("mail"), hook.entry("webhook")) {
        (Some(entry), None) => mail(reader, entry, project).map(SignInHookKind::Mail),
        (None, Some(entry)) => webhook(reader, entry).map(SignInHookKind::Webhook),
        (Some(_), Some(entry)) => {
            let help = "keep one of the two";
            reader.invalid(
                entry.key.span,
                "people are told by a mail or a webhook",
                help,
            );
            None
        }
        (None, None) => {
            reader.missing(key.span, what, "mail` or `webhook");
            None
        }
    };
    let every = every.flatten().unwrap_or(SignInHook::EVERY);
    project.sign_in_hook = by.map(|by| SignInHook { every, by });
}

/// An origin: what links begin with.
fn public_url(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let url = origin(reader, node, "`public-url`")?;
    let host = url.split_once("://").map_or("", |(_, host)| host);
    if host.contains('/') {
        let help = "links to `docket serve` have paths of their own: write the origin alone";
        reader.invalid(node.span, "`public-url` has a path", help);
        return None;
    }
    Some(url)
}

fn mail(reader: &mut Reader<'_>, entry: &Entry, project: &Project) -> Option<SignInMail> {
    let (what, at) = ("`mail`", entry.key.span);
    let fields = reader.fields(&entry.value, what, &words::SIGN_IN_MAIL);
    let connection = match fields.get("connection") {
        Some(node) => sender(reader, node, project),
        None => {
            reader.missing(at, what, "connection");
            None
        }
    };
    let from = match fields.get("from") {
        Some(node) => address(reader, node, "`from`"),
        None => {
            reader.missing(at, what, "from");
            None
        }
    };
    let administrator = fields
        .get("administrator")
        .and_then(|node| address(reader, node, "`administrator`"));
    let template = fields
        .get("template")
        .and_then(|node| reader.text(node, "`template`"));
    Some(SignInMail {
        connection: connection?,
        from: from?,
        administrator,
        template: template.map(|path| PathBuf::from(path.text)),
    })
}

/// The connection that sends the mail. It must not wait for a person itself.
fn sender(reader: &mut Reader<'_>, node: &Node, project: &Project) -> Option<String> {
    let name = reader.text(node, "`connection`")?;
    match project.connections.get(&name.text).map(|spec| spec.kind) {
        Some(ConnectionKind::PerUser) => {
            let message = format!("`{}` acts for users, and this mail is nobody's", name.text);
            let help = "name a service account or an app-only connection";
            reader.invalid(name.span, message, help);
            None
        }
        Some(_) => Some(name.text),
        None => {
            let message = format!("there is no connection `{}`", name.text);
            let error = reader.error(CODES.value, name.span, message);
            let names = project.connections.keys().map(String::as_str);
            reader.push(error.with_nearest(&name.text, names));
            None
        }
    }
}

fn webhook(reader: &mut Reader<'_>, entry: &Entry) -> Option<SignInWebhook> {
    let what = "`webhook`";
    let fields = reader.fields(&entry.value, what, &words::SIGN_IN_WEBHOOK);
    let url = match fields.get("url") {
        Some(node) => url(reader, node, "`url`"),
        None => {
            reader.missing(entry.key.span, what, "url");
            None
        }
    };
    let allowed = fields
        .get("allow-addresses")
        .map(|node| addresses(reader, node));
    let ca_file = fields
        .get("ca-file")
        .and_then(|node| reader.text(node, "`ca-file`"));
    Some(SignInWebhook {
        url: url?,
        allow_addresses: allowed.unwrap_or_default(),
        ca_file: ca_file.map(|path| PathBuf::from(path.text)),
    })
}
