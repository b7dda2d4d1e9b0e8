//! A mail as an input describes it: checked, and in Graph's form ("message resource type").

use docket_graph::{Mailbox, instant, iso_time};
use docket_plugin_sdk::{Call, Document, Failure, Part};
use serde_json::{Map, Value, json};

use crate::input::{Input, headers, invalid, one_line, person};
use crate::message::{CREATED, path};

/// PidTagDeferredSendTime and PidTagDeferredDeliveryTime ([MS-OXOMSG] 2.2.3.4 and 2.2.3.5): Exchange
/// holds a message that was submitted with them until then. Graph has no property of its own for it;
/// it takes them as extended properties of a draft, and not of `sendMail`.
const DEFERRED: [&str; 2] = ["SystemTime 0x3FEF", "SystemTime 0x000F"];

/// The largest MIME message that is sent as it is, in bytes: its base64 must fit into the 4 MiB that
/// Graph reads in one request ("Create message").
const LARGEST_MIME: u64 = 3_000_000;

/// How much of a MIME message is searched for the end of its headers, in bytes.
const MIME_HEAD: u32 = 64 * 1024;

/// A file to attach.
pub(crate) struct File {
    /// The name, which no other file of the mail has.
    pub(crate) name: String,
    pub(crate) document: Document,
    /// What the body calls it by, where it is shown inside.
    pub(crate) cid: Option<String>,
}

/// A mail that can be created.
pub(crate) struct Mail {
    /// The path of the request that creates it.
    pub(crate) create: String,
    /// That request's media type and body.
    pub(crate) body: (&'static str, Vec<Part>),
    /// Whether that request may not take the stamp along: only "Create message" and "Update message"
    /// are documented to take extended properties.
    pub(crate) needs_stamp: bool,
    /// The Internet message id that a MIME message was given here, to know its draft by before it has
    /// the stamp. Not one of its author's: another step may send the same message.
    pub(crate) mime_id: Option<String>,
    /// What to attach.
    pub(crate) files: Vec<File>,
    /// When it is to go out, in seconds since the epoch.
    pub(crate) deferred: Option<i64>,
}

impl Mail {
    /// Checks the input. `mailbox` is where the mail is created, `from` whose it is; one that is to
    /// be sent `needs_recipients`.
    pub(crate) fn new(
        mailbox: &Mailbox<'_>,
        input: &Input,
        from: &str,
        needs_recipients: bool,
    ) -> Result<Self, Failure> {
        let deferred = deferred(input)?;
        if input.mime.is_some() {
            return Self::ready(mailbox, input, deferred);
        }
        let original = input.original()?;
        let mut message = properties(mailbox, input, from)?;
        let (_, recipients) = input.recipients()?;
        let is_reply = input.in_reply_to.is_some();
        if needs_recipients && !is_reply && recipients == 0 {
            return Err(invalid(
                "NoRecipients",
                "the mail has no recipients",
                "give at least one address in to, cc or bcc",
            ));
        }
        let mut stamps = vec![CREATED.of(mailbox)];
        stamps.extend(deferral(deferred));
        message.insert("singleValueExtendedProperties".to_owned(), stamps.into());
        let mut taken = Vec::new();
        let (create, body) = match original {
            None if input.comment.is_some() => {
                return Err(invalid(
                    "CommentAlone",
                    "a comment goes above an original, and there is none",
                    "give in-reply-to or forward, or write html or text",
                ));
            }
            None => {
                need_body(message.contains_key("body"))?;
                ("/messages".to_owned(), Value::Object(message))
            }
            Some((original, action)) => {
                // The reply quotes pictures, and a forwarded mail has all attachments of the
                // original: names that are in use.
                if !(input.attachments.is_empty() && input.inline.is_empty()) {
                    taken = crate::attach::names(mailbox, &original.id)?;
                }
                let mut wrapped = Map::new();
                match (&input.comment, message.contains_key("body")) {
                    (Some(_), true) => {
                        return Err(invalid(
                            "CommentAndBody",
                            "the mail has a comment and a body",
                            "give comment to quote the original, html or text to replace it",
                        ));
                    }
                    (Some(comment), false) => {
                        wrapped.insert("comment".to_owned(), comment.as_str().into());
                    }
                    (None, has_body) => need_body(has_body || input.forward.is_some())?,
                }
                wrapped.insert("message".to_owned(), Value::Object(message));
                let path = format!("{}/{action}", path(&original.id));
                (path, Value::Object(wrapped))
            }
        };
        Ok(Self {
            create,
            body: (
                "application/json",
                vec![Part::Bytes(body.to_string().into())],
            ),
            needs_stamp: original.is_some(),
            mime_id: None,
            files: files(mailbox.call(), input, taken)?,
            deferred,
        })
    }

    /// A MIME message that is ready ("Send mail in MIME format").
    fn ready(mailbox: &Mailbox<'_>, input: &Input, deferred: Option<i64>) -> Result<Self, Failure> {
        let Some(about) = &input.mime else {
            return Err(invalid("NoMime", "there is no MIME message", "give mime"));
        };
        let document = mailbox.call().document(about)?;
        let is_alone = [&input.to, &input.cc, &input.bcc, &input.reply_to]
            .iter()
            .all(|list| list.is_null())
            && input.body()?.is_none()
            && input.subject.is_none()
            && input.comment.is_none()
            && input.original()?.is_none()
            && input.headers.is_empty()
            && input.attachments.is_empty()
            && input.inline.is_empty();
        if !is_alone {
            return Err(invalid(
                "MimeAlone",
                "a MIME message has its recipients, subject, body and attachments inside",
                "leave the others out, or mime",
            ));
        }
        if document.size() > LARGEST_MIME || document.size() == 0 {
            return Err(invalid(
                "MimeSize",
                format!(
                    "{} has {} bytes; a MIME message has from 1 to {LARGEST_MIME}",
                    document.name(),
                    document.size()
                ),
                "give the parts of a larger mail as html and attachments",
            ));
        }
        // Without an id of its own it gets one. The bytes before it must be a multiple of three, or
        // base64 would pad in the middle.
        let mut mime_id = None;
        let mut prefix = String::new();
        if !has_message_id(&document.read(0, MIME_HEAD)) {
            let id = format!("<{}@docket.invalid>", mailbox.call().idempotency_key());
            prefix = format!("Message-ID: {id}");
            while !(prefix.len() + 2).is_multiple_of(3) {
                prefix.push(' ');
            }
            prefix.push_str("\r\n");
            mime_id = Some(id);
        }
        let parts = vec![
            Part::Bytes(base64(prefix.as_bytes()).into_bytes()),
            Part::Base64(document.clone()),
        ];
        Ok(Self {
            create: "/messages".to_owned(),
            body: ("text/plain", parts),
            needs_stamp: true,
            mime_id,
            files: Vec::new(),
            deferred,
        })
    }
}

/// The message's properties that the input gives, in Graph's form.
pub(crate) fn properties(
    mailbox: &Mailbox<'_>,
    input: &Input,
    from: &str,
) -> Result<Map<String, Value>, Failure> {
    let (mut message, _) = input.recipients()?;
    let mut set = |name: &str, value: Value| message.insert(name.to_owned(), value);
    if let Some(subject) = &input.subject {
        set("subject", one_line("subject", subject)?.into());
    }
    if let Some(body) = input.body()? {
        set("body", body);
    }
    if let Some(importance) = &input.importance {
        set("importance", importance.as_str().into());
    }
    if let Some(categories) = &input.categories {
        set("categories", self::categories(categories)?);
    }
    if let Some(wanted) = input.delivery_receipt {
        set("isDeliveryReceiptRequested", wanted.into());
    }
    if let Some(wanted) = input.read_receipt {
        set("isReadReceiptRequested", wanted.into());
    }
    // `from` only where it differs: the service fills in the rest ("Send Outlook messages from
    // another user").
    let account = &mailbox.call().account()?.name;
    let is_own = from.eq_ignore_ascii_case(account) && mailbox.address().eq_ignore_ascii_case(from);
    if !is_own && !from.is_empty() {
        set("from", person(from, ""));
    }
    if !input.headers.is_empty() {
        set("internetMessageHeaders", headers(&input.headers)?);
    }
    Ok(message)
}

/// Categories; Outlook shows them by name.
pub(crate) fn categories(categories: &[String]) -> Result<Value, Failure> {
    for category in categories {
        one_line("categories", category)?;
    }
    Ok(json!(categories))
}

/// When the mail is to go out.
pub(crate) fn deferred(input: &Input) -> Result<Option<i64>, Failure> {
    let Some(wanted) = &input.defer_until else {
        return Ok(None);
    };
    instant(wanted).map(Some).ok_or_else(|| {
        invalid(
            "InvalidTime",
            format!("{wanted:?} in defer-until is no time"),
            "write a time with its zone, as in 2026-11-23T08:00:00+01:00",
        )
    })
}

/// The extended properties that hold a mail back.
pub(crate) fn deferral(until: Option<i64>) -> Vec<Value> {
    let until = until.map(iso_time);
    let property = |id: &str| Some(json!({"id": id, "value": until.as_deref()?}));
    DEFERRED.iter().filter_map(|id| property(id)).collect()
}

fn need_body(is_there: bool) -> Result<(), Failure> {
    if is_there {
        return Ok(());
    }
    Err(invalid(
        "NoBody",
        "the mail has no body",
        "give html or text, or for a reply or a forwarded mail comment",
    ))
}

/// The documents by names that no other one has: after a break, the name says what is attached.
pub(crate) fn files(
    call: &Call,
    input: &Input,
    mut taken: Vec<String>,
) -> Result<Vec<File>, Failure> {
    let attached = input.attachments.iter().map(|about| (about, None));
    let inline = input.inline.iter();
    let inline = inline.map(|one| (&one.document, Some(&one.cid)));
    let mut found: Vec<File> = Vec::new();
    for (about, cid) in attached.chain(inline) {
        let document = call.document(about)?.clone();
        if let Some(cid) = cid {
            check_cid(cid)?;
        }
        let name = free_name(&about.name, &taken);
        taken.push(name.clone());
        found.push(File {
            name,
            document,
            cid: cid.cloned(),
        });
    }
    Ok(found)
}

/// A content id as in RFC 2392, of characters that need no quoting anywhere.
fn check_cid(cid: &str) -> Result<(), Failure> {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b);
    if !cid.is_empty() && cid.len() <= 200 && cid.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(invalid(
        "InvalidContentId",
        format!("{cid:?} is no content id"),
        "use letters, digits and - _ . @, as in logo@docket, and write <img src=\"cid:logo@docket\">",
    ))
}

/// A name without path or control characters that is not taken.
fn free_name(name: &str, taken: &[String]) -> String {
    let is_bad = |c: char| c.is_control() || "/\\".contains(c);
    let clean: String = name
        .chars()
        .map(|c| if is_bad(c) { '_' } else { c })
        .collect();
    let is_taken = |name: &String| taken.iter().any(|other| other.eq_ignore_ascii_case(name));
    let mut free = clean.clone();
    let mut number = 2;
    while is_taken(&free) {
        free = match clean.rsplit_once('.') {
            Some((stem, extension)) => format!("{stem} ({number}).{extension}"),
            None => format!("{clean} ({number})"),
        };
        number += 1;
    }
    free
}

/// Whether the headers of a MIME message have a Message-ID (RFC 5322 section 3.6.4).
fn has_message_id(head: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split(|byte| *byte == b':').next())
        .any(|name| name.trim_ascii_end().eq_ignore_ascii_case(b"message-id"))
}

/// Base64 (RFC 4648 section 4) of a few bytes whose number is a multiple of three.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks_exact(3) {
        let number = group.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        for shift in [18, 12, 6, 0] {
            text.push(char::from(ALPHABET[number >> shift & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_free_and_stays_a_name() {
        let taken = ["a.pdf".to_owned(), "A (2).PDF".to_owned(), "x".to_owned()];
        for (name, expected) in [
            ("b.pdf", "b.pdf"),
            ("a.pdf", "a (3).pdf"),
            ("X", "X (2)"),
            ("../a.pdf", ".._a.pdf"),
            ("c:\\a\r\n.pdf", "c:_a__.pdf"),
        ] {
            assert_eq!(free_name(name, &taken), expected);
        }
    }

    #[test]
    fn a_message_id_is_looked_for_in_the_headers_alone() {
        for (head, expected) in [
            ("From: a\r\nMessage-ID: <1@x.example>\r\n\r\n", true),
            ("message-id:\n <long@x.example>\n\n", true),
            ("From: a\r\n\r\nMessage-ID: <1@x.example>\r\n", false),
            ("X-Message-ID: <a>\r\n\r\n", false),
            ("", false),
        ] {
            assert_eq!(has_message_id(head.as_bytes()), expected, "{head}");
        }
    }

    #[test]
    fn base64_joins_without_padding() {
        assert_eq!(base64(b"Message-ID: <1>\r\n "), "TWVzc2FnZS1JRDogPDE+DQog");
        assert_eq!(base64(b""), "");
    }
}
