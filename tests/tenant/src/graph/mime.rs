//! RFC 822 in and out (outlook-send-mime-message.md, outlook-get-mime-message.md).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use mail_parser::{Address, MessageParser, MimeHeaders, PartType};

use crate::error::GraphError;
use crate::graph::input::decode_base64;
use crate::store::message::{Attachment, Body, Content, Message, Recipient};

/// Reads a base64 MIME body into `message`.
pub(crate) fn apply(message: &mut Message, body: &Bytes, now: Timestamp) -> Result<(), GraphError> {
    let broken = || {
        GraphError::bad_request(
            "ErrorMimeContentInvalidBase64String",
            "Invalid base64 string for MIME content.",
        )
    };
    let raw = decode_base64(body).ok_or_else(broken)?;
    if raw.is_empty() {
        return Err(broken());
    }
    let parsed = MessageParser::default().parse(&raw).ok_or_else(|| {
        GraphError::bad_request("ErrorMimeContentInvalid", "The MIME content is invalid.")
    })?;
    if let Some(subject) = parsed.subject() {
        message.subject = Some(subject.to_owned());
    }
    if let Some(id) = parsed.message_id() {
        message.internet_message_id = format!("<{id}>");
    }
    message.from = people(parsed.from()).into_iter().next();
    message.to = people(parsed.to());
    message.cc = people(parsed.cc());
    message.bcc = people(parsed.bcc());
    message.reply_to = people(parsed.reply_to());
    for (name, value) in parsed.headers_raw() {
        if name.to_ascii_lowercase().starts_with("x-") {
            message
                .headers
                .push((name.to_owned(), value.trim().to_owned()));
        }
    }
    let is_html = parsed
        .html_body
        .first()
        .and_then(|part| parsed.part(*part))
        .is_some_and(|part| part.is_text_html());
    message.body = if is_html {
        Body {
            is_html: true,
            content: parsed.body_html(0).unwrap_or_default().into_owned(),
        }
    } else {
        Body {
            is_html: false,
            content: parsed.body_text(0).unwrap_or_default().into_owned(),
        }
    };
    for part in parsed.attachments() {
        let media = part.content_type().map_or_else(
            || "application/octet-stream".to_owned(),
            |kind| {
                format!(
                    "{}/{}",
                    kind.ctype(),
                    kind.subtype().unwrap_or("octet-stream")
                )
            },
        );
        let bytes = match &part.body {
            PartType::Message(inner) => inner.raw_message().to_vec(),
            _ => part.contents().to_vec(),
        };
        let mut attachment = Attachment::file(
            part.attachment_name().unwrap_or("attachment"),
            &media,
            bytes,
        );
        attachment.content_id = part.content_id().map(str::to_owned);
        attachment.is_inline = attachment.content_id.is_some()
            && part
                .content_disposition()
                .is_some_and(mail_parser::ContentType::is_inline);
        message.attach(attachment, now);
    }
    message.mime = Some(raw.into());
    Ok(())
}

fn people(address: Option<&Address<'_>>) -> Vec<Recipient> {
    let Some(address) = address else {
        return Vec::new();
    };
    address
        .iter()
        .filter_map(|one| {
            let address = one.address()?.to_owned();
            Some(Recipient {
                name: one.name().unwrap_or("").to_owned(),
                address,
            })
        })
        .collect()
}

/// A message as MIME: re-serialised, as Exchange does not store it.
pub(crate) fn write(message: &Message) -> Vec<u8> {
    let mut out = String::new();
    let mut header = |name: &str, value: &str| {
        if !value.is_empty() {
            out.push_str(name);
            out.push_str(": ");
            out.push_str(&value.replace(['\r', '\n'], " "));
            out.push_str("\r\n");
        }
    };
    let list = |people: &[Recipient]| people.iter().map(address).collect::<Vec<_>>().join(", ");
    header(
        "Date",
        &message
            .sent
            .strftime("%a, %d %b %Y %H:%M:%S +0000")
            .to_string(),
    );
    if let Some(from) = &message.from {
        header("From", &address(from));
    }
    if message.sender != message.from
        && let Some(sender) = &message.sender
    {
        header("Sender", &address(sender));
    }
    header("To", &list(&message.to));
    header("Cc", &list(&message.cc));
    header("Bcc", &list(&message.bcc));
    header("Reply-To", &list(&message.reply_to));
    header(
        "Subject",
        &encoded_word(message.subject.as_deref().unwrap_or("")),
    );
    header("Message-ID", &message.internet_message_id);
    for (name, value) in &message.headers {
        header(name, value);
    }
    header("MIME-Version", "1.0");
    let body_type = if message.body.is_html {
        "text/html; charset=utf-8"
    } else {
        "text/plain; charset=utf-8"
    };
    if message.attachments.is_empty() {
        header("Content-Type", body_type);
        header("Content-Transfer-Encoding", "base64");
        out.push_str("\r\n");
        wrap(&mut out, message.body.content.as_bytes());
        return out.into_bytes();
    }
    let boundary = format!("_{}_{:x}_", "docket", message.key);
    header(
        "Content-Type",
        &format!("multipart/mixed; boundary=\"{boundary}\""),
    );
    out.push_str(&format!(
        "\r\n--{boundary}\r\nContent-Type: {body_type}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    ));
    wrap(&mut out, message.body.content.as_bytes());
    for attachment in &message.attachments {
        let name = encoded_word(&attachment.name).replace('"', "'");
        let media = attachment
            .content_type
            .as_deref()
            .unwrap_or("application/octet-stream")
            .replace(['\r', '\n'], " ");
        let disposition = if attachment.is_inline {
            "inline"
        } else {
            "attachment"
        };
        out.push_str(&format!(
            "\r\n--{boundary}\r\nContent-Type: {media}; name=\"{name}\"\r\nContent-Disposition: {disposition}; filename=\"{name}\"\r\n"
        ));
        if let Some(id) = &attachment.content_id {
            out.push_str(&format!(
                "Content-ID: <{}>\r\n",
                id.replace(['\r', '\n'], " ")
            ));
        }
        out.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
        match &attachment.content {
            Content::File(bytes) => wrap(&mut out, bytes),
            Content::Item(value) | Content::Reference(value) => {
                wrap(&mut out, value.to_string().as_bytes())
            }
        }
    }
    out.push_str(&format!("\r\n--{boundary}--\r\n"));
    out.into_bytes()
}

fn address(recipient: &Recipient) -> String {
    if recipient.name.is_empty() {
        format!("<{}>", recipient.address)
    } else if recipient.name.is_ascii() {
        format!(
            "\"{}\" <{}>",
            recipient.name.replace(['"', '\\'], ""),
            recipient.address
        )
    } else {
        format!("{} <{}>", encoded_word(&recipient.name), recipient.address)
    }
}

/// RFC 2047, when the text needs it.
fn encoded_word(text: &str) -> String {
    if text.is_ascii() {
        text.to_owned()
    } else {
        format!("=?utf-8?B?{}?=", STANDARD.encode(text))
    }
}

/// Base64 in lines of 76.
fn wrap(out: &mut String, bytes: &[u8]) {
    for line in bytes.chunks(57) {
        out.push_str(&STANDARD.encode(line));
        out.push_str("\r\n");
    }
}
