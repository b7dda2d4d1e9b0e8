//! The mailboxes as a person would want to see them.

mod admin;

use http::StatusCode;

use crate::state::{StoredMessage, TenantState};
use crate::store::OutsideMail;
use crate::store::html::escape;
use crate::store::message::{Attachment, Message, Recipient};
use crate::wire::{Call, Reply};

const STYLE: &str = "
:root{color-scheme:light dark;--bg:#f4f6f9;--card:#fff;--ink:#1b1f24;--soft:#5f6b76;--line:#dde3ea;--hover:#eef3fb;--accent:#0f62fe;--chip:#e6edf7}
@media(prefers-color-scheme:dark){:root{--bg:#13161a;--card:#1c2126;--ink:#e7eaee;--soft:#98a3ae;--line:#313840;--hover:#242b33;--accent:#78a9ff;--chip:#263241}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
header{padding:1rem clamp(1rem,4vw,3rem);border-bottom:1px solid var(--line);background:var(--card);display:flex;gap:1rem;align-items:baseline;flex-wrap:wrap}
header a{color:inherit;text-decoration:none;font-weight:600}header span{color:var(--soft)}main{max-width:72rem;margin:0 auto;padding:1.5rem clamp(1rem,4vw,3rem)}
h1{font-size:1.4rem;margin:.2rem 0 1rem}h2{font-size:1rem;margin:1.6rem 0 .5rem;color:var(--soft)}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr))}.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1rem}
.card h3{margin:0 0 .2rem;font-size:1.05rem}.soft{color:var(--soft);font-size:.88rem}a{color:var(--accent)}ul.folders{list-style:none;margin:.7rem 0 0;padding:0}ul.folders li{display:flex;justify-content:space-between;padding:.15rem 0}
ul.mail{list-style:none;padding:0;margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden}ul.mail li+li{border-top:1px solid var(--line)}
ul.mail a{display:grid;grid-template-columns:minmax(8rem,15rem) 1fr auto;gap:1rem;padding:.65rem 1rem;color:inherit;text-decoration:none}ul.mail a:hover,ul.mail a:focus-visible{background:var(--hover)}
ul.mail .unread{font-weight:600}.who,.what{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}@media(max-width:40rem){ul.mail a{grid-template-columns:1fr;gap:.1rem}}
dl{display:grid;grid-template-columns:fit-content(16rem) 1fr;overflow-wrap:anywhere;gap:.2rem 1rem;margin:0 0 1rem}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.chips{display:flex;flex-wrap:wrap;gap:.5rem;margin:.6rem 0}.chip{background:var(--chip);border-radius:999px;padding:.2rem .8rem;text-decoration:none;color:inherit}
iframe{width:100%;height:28rem;border:1px solid var(--line);border-radius:10px;background:#fff}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;background:var(--card);border:1px solid var(--line);font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .7rem;border-bottom:1px solid var(--line);overflow-wrap:anywhere}th{color:var(--soft);font-weight:600;white-space:nowrap}.tag{background:var(--chip);border-radius:4px;padding:0 .4rem;font-size:.8rem}";

/// Answers a page request.
pub(crate) fn handle(state: &TenantState, call: &Call) -> Reply {
    let path = percent_encoding::percent_decode_str(&call.path)
        .decode_utf8_lossy()
        .into_owned();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let found = match parts.as_slice() {
        [] => Some(home(state)),
        ["admin"] => Some(admin::page(state)),
        ["outside"] => Some(outside(state)),
        ["outside", number] => left(state, number).map(|mail| {
            let crumb = ("/outside".to_owned(), "Outside world".to_owned());
            show(state, &mail.message, &link(&["outside", number]), &crumb)
        }),
        ["outside", number, "body"] => left(state, number).map(|mail| body(&mail.message)),
        ["outside", number, "file", file] => {
            left(state, number).and_then(|mail| download(&mail.message, file))
        }
        ["mail", mailbox] => folder_page(state, mailbox, None),
        ["mail", mailbox, "message", id] => message_page(state, mailbox, id),
        ["mail", mailbox, "message", id, "body"] => {
            find(state, mailbox, id).map(|one| body(&one.message))
        }
        ["mail", mailbox, "message", id, "file", number] => {
            find(state, mailbox, id).and_then(|one| download(&one.message, number))
        }
        ["mail", mailbox, "folder", rest @ ..] => {
            folder_page(state, mailbox, Some(&rest.join("/")))
        }
        _ => None,
    };
    let reply = found.unwrap_or_else(|| {
        Reply::html(
            StatusCode::NOT_FOUND,
            layout(state, "Not found", "<h1>Not found</h1>"),
        )
    });
    reply
        .with("x-content-type-options", "nosniff")
        .with("referrer-policy", "no-referrer")
}

fn layout(state: &TenantState, title: &str, main: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{}</title><style>{STYLE}</style></head><body><header>\
         <a href=\"/\">Mailboxes</a> <a href=\"/outside\">Outside world</a> \
         <a href=\"/admin\">Administration</a><span>simulated tenant {}</span></header>\
         <main>{main}</main></body></html>",
        escape(title),
        escape(&state.domain()),
    )
}

fn link(parts: &[&str]) -> String {
    let encode = |part: &&str| {
        part.split('/')
            .map(|piece| {
                url::form_urlencoded::byte_serialize(piece.as_bytes())
                    .collect::<String>()
                    .replace('+', "%20")
            })
            .collect::<Vec<_>>()
            .join("/")
    };
    format!(
        "/{}",
        parts.iter().map(encode).collect::<Vec<_>>().join("/")
    )
}

fn home(state: &TenantState) -> Reply {
    let mut cards = String::new();
    {
        let world = state.world();
        for account in &world.accounts {
            let Some(mailbox) = &account.mailbox else {
                continue;
            };
            let upn = &account.user.upn;
            let mut folders = String::new();
            let interesting = mailbox.folders.values().filter(|folder| {
                folder.parent.is_some()
                    && (!folder.items.is_empty()
                        || folder.well_known.is_none()
                        || matches!(folder.well_known, Some("inbox" | "sentitems" | "drafts")))
            });
            for folder in interesting {
                let path = crate::store::World::folder_path(mailbox, folder.key);
                folders.push_str(&format!(
                    "<li><a href=\"{}\">{}</a><span class=\"soft\">{}</span></li>",
                    escape(&link(&["mail", upn, "folder", &path])),
                    escape(&path),
                    folder.items.len()
                ));
            }
            let kind = if account.user.can_sign_in {
                ""
            } else {
                " <span class=\"tag\">shared</span>"
            };
            cards.push_str(&format!(
                "<section class=\"card\"><h3><a href=\"{}\">{}</a>{kind}</h3><div class=\"soft\">{}</div><ul class=\"folders\">{folders}</ul></section>",
                escape(&link(&["mail", upn])),
                escape(&account.user.display_name),
                escape(upn),
            ));
        }
    }
    Reply::html(
        StatusCode::OK,
        layout(
            state,
            "Mailboxes",
            &format!("<h1>Mailboxes</h1><div class=\"grid\">{cards}</div>"),
        ),
    )
}

fn people(list: &[Recipient]) -> String {
    list.iter()
        .map(|one| {
            if one.name.is_empty() {
                one.address.clone()
            } else {
                format!("{} <{}>", one.name, one.address)
            }
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn short(list: &[Recipient]) -> String {
    list.iter()
        .map(|one| {
            if one.name.is_empty() {
                one.address.as_str()
            } else {
                one.name.as_str()
            }
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn row(one: &StoredMessage) -> String {
    let message = &one.message;
    let is_outgoing = message.is_draft
        || message
            .from
            .as_ref()
            .is_some_and(|from| from.address.eq_ignore_ascii_case(&one.mailbox));
    let who = if is_outgoing {
        format!("To: {}", short(&message.to))
    } else {
        message
            .from
            .as_ref()
            .map_or(String::new(), |from| short(std::slice::from_ref(from)))
    };
    let files = message
        .attachments
        .iter()
        .filter(|file| !file.is_inline)
        .count();
    let clip = if files > 0 {
        format!(
            " <span class=\"tag\">{files} file{}</span>",
            if files == 1 { "" } else { "s" }
        )
    } else {
        String::new()
    };
    let draft = if message.is_draft {
        " <span class=\"tag\">draft</span>"
    } else {
        ""
    };
    format!(
        "<li><a class=\"{}\" href=\"{}\"><span class=\"who\">{}</span><span class=\"what\">{}{draft}{clip}</span><time class=\"soft\">{}</time></a></li>",
        if message.is_read { "" } else { "unread" },
        escape(&link(&["mail", &one.mailbox, "message", &one.immutable_id])),
        escape(&who),
        escape(
            message
                .subject
                .as_deref()
                .filter(|text| !text.is_empty())
                .unwrap_or("(no subject)")
        ),
        message.received.strftime("%Y-%m-%d %H:%M"),
    )
}

/// The most rows on one page.
const ROWS: usize = 200;

fn folder_page(state: &TenantState, mailbox: &str, folder: Option<&str>) -> Option<Reply> {
    let messages = state.messages(mailbox, folder).ok()?;
    let title = folder.unwrap_or("All messages");
    let rows: String = messages.iter().take(ROWS).map(row).collect();
    let list = if rows.is_empty() {
        "<p class=\"soft\">Nothing here.</p>".to_owned()
    } else {
        format!("<ul class=\"mail\">{rows}</ul>")
    };
    let more = if messages.len() > ROWS {
        format!(
            "<p class=\"soft\">The newest {ROWS} of {}.</p>",
            messages.len()
        )
    } else {
        String::new()
    };
    let main = format!(
        "<p class=\"soft\"><a href=\"{}\">{}</a></p><h1>{}</h1>{list}{more}",
        escape(&link(&["mail", mailbox])),
        escape(mailbox),
        escape(title)
    );
    Some(Reply::html(StatusCode::OK, layout(state, title, &main)))
}

fn find(state: &TenantState, mailbox: &str, id: &str) -> Option<StoredMessage> {
    state.find_message(mailbox, id)
}

fn message_page(state: &TenantState, mailbox: &str, id: &str) -> Option<Reply> {
    let one = find(state, mailbox, id)?;
    let crumb = (
        link(&["mail", mailbox, "folder", &one.folder]),
        one.folder.clone(),
    );
    Some(show(
        state,
        &one.message,
        &link(&["mail", mailbox, "message", id]),
        &crumb,
    ))
}

/// One message; `here` is its page, `crumb` the link and the name of where it lies.
fn show(state: &TenantState, message: &Message, here: &str, crumb: &(String, String)) -> Reply {
    let subject = message
        .subject
        .as_deref()
        .filter(|text| !text.is_empty())
        .unwrap_or("(no subject)");
    let mut facts = String::new();
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            facts.push_str(&format!("<dt>{name}</dt><dd>{}</dd>", escape(value)));
        }
    };
    fact("From", &people(message.from.as_slice()));
    if message.sender != message.from {
        fact("Sent by", &people(message.sender.as_slice()));
    }
    fact("To", &people(&message.to));
    fact("Cc", &people(&message.cc));
    fact("Bcc", &people(&message.bcc));
    fact("Reply to", &people(&message.reply_to));
    fact(
        "Date",
        &message.sent.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    );
    fact("Folder", &crumb.1);
    fact("Message-ID", &message.internet_message_id);
    for (name, value) in &message.properties {
        fact(&escape(name), value);
    }
    let files: String = message
        .attachments
        .iter()
        .map(|file| chip(here, file))
        .collect();
    let main = format!(
        "<p class=\"soft\"><a href=\"{}\">{}</a></p><h1>{}</h1><dl>{facts}</dl><div class=\"chips\">{files}</div>\
         <iframe sandbox=\"\" referrerpolicy=\"no-referrer\" src=\"{}/body\" title=\"Body of the message\"></iframe>",
        escape(&crumb.0),
        escape(&crumb.1),
        escape(subject),
        escape(here),
    );
    Reply::html(StatusCode::OK, layout(state, subject, &main))
}

fn chip(here: &str, file: &Attachment) -> String {
    let size = match file.len() {
        bytes if bytes < 1000 => format!("{bytes} B"),
        bytes if bytes < 1_000_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        bytes => format!("{:.1} MB", bytes as f64 / 1e6),
    };
    let inline = if file.is_inline { ", inline" } else { "" };
    format!(
        "<a class=\"chip\" href=\"{}/file/{}\">{} <span class=\"soft\">{size}{inline}</span></a>",
        escape(here),
        file.number,
        escape(&file.name)
    )
}

/// The body alone, for the sandboxed frame: no scripts, nothing loaded from elsewhere, `cid:` pictures inlined.
fn body(message: &Message) -> Reply {
    use base64::Engine as _;
    let mut html = if message.body.is_html {
        message.body.content.clone()
    } else {
        format!(
            "<pre style=\"white-space:pre-wrap;font:15px/1.5 system-ui,sans-serif\">{}</pre>",
            escape(&message.body.content)
        )
    };
    for file in &message.attachments {
        if let (Some(id), Some(bytes), Some(kind)) =
            (&file.content_id, file.bytes(), &file.content_type)
            && kind.starts_with("image/")
        {
            let data = format!(
                "data:{};base64,{}",
                escape(kind),
                base64::engine::general_purpose::STANDARD.encode(bytes)
            );
            html = html.replace(&format!("cid:{id}"), &data);
        }
    }
    Reply::html(StatusCode::OK, html).with(
        "content-security-policy",
        "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'",
    )
}

fn download(message: &Message, number: &str) -> Option<Reply> {
    let number: u32 = number.parse().ok()?;
    let file = message
        .attachments
        .iter()
        .find(|file| file.number == number)?;
    let bytes = file.bytes()?.clone();
    let name: String = url::form_urlencoded::byte_serialize(file.name.as_bytes())
        .collect::<String>()
        .replace('+', "%20");
    Some(
        Reply::bytes(StatusCode::OK, "application/octet-stream", bytes).with(
            "content-disposition",
            &format!("attachment; filename*=UTF-8''{name}"),
        ),
    )
}

/// A mail that left, by its number.
fn left(state: &TenantState, number: &str) -> Option<OutsideMail> {
    let number: usize = number.parse().ok()?;
    state.world().outside.get(number).cloned()
}

fn outside(state: &TenantState) -> Reply {
    let mail = state.outside();
    let rows: String = mail
        .iter()
        .enumerate()
        .rev()
        .take(ROWS)
        .map(|(number, mail)| {
            format!(
                "<li><a href=\"/outside/{number}\"><span class=\"who\">{}</span><span class=\"what\">{}</span><time class=\"soft\">{}</time></a></li>",
                escape(&mail.recipients.join(", ")),
                escape(mail.message.subject.as_deref().unwrap_or("(no subject)")),
                mail.at.strftime("%Y-%m-%d %H:%M"),
            )
        })
        .collect();
    let list = if rows.is_empty() {
        "<p class=\"soft\">Nothing has left the tenant yet.</p>".to_owned()
    } else {
        format!("<ul class=\"mail\">{rows}</ul>")
    };
    Reply::html(
        StatusCode::OK,
        layout(
            state,
            "Outside world",
            &format!(
                "<h1>Outside world</h1><p class=\"soft\">Mail to addresses that are not the tenant’s.</p>{list}"
            ),
        ),
    )
}
