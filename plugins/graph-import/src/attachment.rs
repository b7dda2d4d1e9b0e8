//! Which attachments are imported, as what, and why others are not.

use docket_graph::{Mailbox, encode, text};
use docket_plugin_sdk::{DocumentRef, Request};
use serde::Serialize;
use serde_json::Value;

use crate::input::Input;
use crate::name::{clean, ending_of, media_type, with_ending};

/// What an attachment is ("attachment resource type").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    File,
    /// An Outlook item: a message, an event, a contact.
    Item,
    /// A link to a file in the cloud; there are no bytes to be had.
    Link,
}

/// An attachment in the output.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Attachment {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) inline: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) document: Option<DocumentRef>,
}

/// Something that was left out.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Skipped {
    pub(crate) name: String,
    pub(crate) why: String,
}

/// What becomes of an attachment.
#[derive(Debug, PartialEq)]
pub(crate) enum Decision {
    /// Get its bytes into a document of that media type.
    Take(Attachment, String),
    /// Name it only.
    Mention(Attachment),
    /// Leave it out, and say why.
    Skip(Skipped),
    /// Part of the body's looks: leave it out.
    Ignore,
}

/// What becomes of an attachment as the list has it.
pub(crate) fn decide(listed: &Value, input: &Input) -> Decision {
    let inline = listed["isInline"].as_bool().unwrap_or(false);
    if inline && !input.inline {
        return Decision::Ignore;
    }
    let name = clean(text(listed, "name").unwrap_or_default());
    let content_type = text(listed, "contentType");
    let odata_type = text(listed, "@odata.type").unwrap_or_default();
    let (kind, name, media_type) = match odata_type.rsplit('.').next() {
        Some("itemAttachment") => {
            let (ending, media_type) = item_form(content_type);
            (
                Kind::Item,
                with_ending(&name, ending),
                media_type.to_owned(),
            )
        }
        Some("referenceAttachment") => {
            let kind = Kind::Link;
            return Decision::Mention(Attachment {
                name,
                kind,
                inline,
                document: None,
            });
        }
        Some("fileAttachment") => (Kind::File, name, media_type(content_type)),
        _ => {
            return Decision::Skip(Skipped {
                name,
                why: "it is of a kind that cannot be imported".to_owned(),
            });
        }
    };
    let size = listed["size"].as_u64();
    let why = if size.is_some_and(|size| size > input.max_size) {
        too_large(input.max_size)
    } else if !is_wanted(input, &name, &media_type) {
        format!("its type, {media_type}, is not among `types`")
    } else {
        let attachment = Attachment {
            name,
            kind,
            inline,
            document: None,
        };
        return Decision::Take(attachment, media_type);
    };
    Decision::Skip(Skipped { name, why })
}

/// The request for the bytes: a file's own, or an item in its mail format ("Get attachment").
pub(crate) fn request(
    mailbox: &Mailbox<'_>,
    message: &str,
    id: &str,
    name: &str,
    media_type: &str,
    limit: u64,
) -> Request {
    let path = format!(
        "/messages/{}/attachments/{}/$value",
        encode(message),
        encode(id)
    );
    mailbox
        .request("GET", &path)
        .into_document(name, Some(media_type), limit)
        .build()
}

pub(crate) fn too_large(limit: u64) -> String {
    format!("it has more than {limit} bytes, the step's `max-size`")
}

/// The ending and media type that an item comes in: events as iCalendar, contacts as vCard, all
/// else as a mail ("Get attachment").
fn item_form(content_type: Option<&str>) -> (&'static str, &'static str) {
    match media_type(content_type).as_str() {
        "text/calendar" => (".ics", "text/calendar"),
        "text/vcard" | "text/x-vcard" | "text/directory" => (".vcf", "text/vcard"),
        _ => (".eml", "message/rfc822"),
    }
}

fn is_wanted(input: &Input, name: &str, media_type: &str) -> bool {
    let Some(types) = &input.types else {
        return true;
    };
    types.iter().any(|wanted| {
        if wanted.starts_with('.') {
            return ending_of(name).eq_ignore_ascii_case(wanted);
        }
        let wanted = wanted.to_ascii_lowercase();
        match wanted.strip_suffix("/*") {
            Some(kind) => media_type.split('/').next() == Some(kind),
            None => media_type == wanted,
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decide(listed: &Value, input: &Value) -> Decision {
        let input: Input = serde_json::from_value(input.clone()).expect("an input");
        super::decide(listed, &input)
    }

    fn listed(change: &Value) -> Value {
        let mut listed = json!({
            "@odata.type": "#microsoft.graph.fileAttachment", "id": "A", "name": "a.pdf",
            "contentType": "application/pdf", "size": 1000, "isInline": false
        });
        for (name, value) in change.as_object().expect("an object") {
            listed[name] = value.clone();
        }
        listed
    }

    #[test]
    fn kinds_and_names() {
        let item = "#microsoft.graph.itemAttachment";
        for (change, expected) in [
            (json!({}), (Kind::File, "a.pdf", "application/pdf")),
            (
                json!({"@odata.type": item, "name": "Fwd: offer", "contentType": null}),
                (Kind::Item, "Fwd_ offer.eml", "message/rfc822"),
            ),
            (
                json!({"@odata.type": item, "name": "Meeting", "contentType": "text/calendar"}),
                (Kind::Item, "Meeting.ics", "text/calendar"),
            ),
            (
                json!({"name": null, "contentType": null, "size": null, "isInline": null}),
                (Kind::File, "attachment", "application/octet-stream"),
            ),
        ] {
            let Decision::Take(found, media_type) = decide(&listed(&change), &json!({})) else {
                panic!("{change} was not taken");
            };
            let found = (found.kind, found.name.as_str(), media_type.as_str());
            assert_eq!(found, expected, "{change}");
        }
        let link = json!({"@odata.type": "#microsoft.graph.referenceAttachment"});
        let found = decide(&listed(&link), &json!({"types": [".docx"]}));
        assert!(
            matches!(&found, Decision::Mention(link) if link.kind == Kind::Link),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_left_out_says_why() {
        let check = |change: Value, input: Value, expected: Option<&str>| {
            let why = match decide(&listed(&change), &input) {
                Decision::Skip(skipped) => Some(skipped.why),
                Decision::Take(..) => None,
                other => panic!("{change} {input}: {other:?}"),
            };
            match expected {
                None => assert_eq!(why, None, "{change} {input}"),
                Some(text) => assert!(
                    why.as_ref().is_some_and(|why| why.contains(text)),
                    "{change} {input}: {why:?}"
                ),
            }
        };
        check(json!({}), json!({"max-size": 1000}), None);
        check(json!({}), json!({"max-size": 999}), Some("999 bytes"));
        check(json!({}), json!({"types": [".PDF"]}), None);
        check(json!({}), json!({"types": ["application/pdf"]}), None);
        check(json!({}), json!({"types": ["Application/*"]}), None);
        check(
            json!({}),
            json!({"types": [".xml", "image/*"]}),
            Some("application/pdf"),
        );
        check(json!({}), json!({"types": []}), Some("types"));
        check(json!({"@odata.type": "#x.new"}), json!({}), Some("kind"));
    }

    #[test]
    fn pictures_in_the_body_are_left_out_unless_asked_for() {
        let inline = listed(&json!({"isInline": true}));
        assert_eq!(decide(&inline, &json!({})), Decision::Ignore);
        let found = decide(&inline, &json!({"inline": true}));
        assert!(
            matches!(&found, Decision::Take(taken, _) if taken.inline),
            "{found:?}"
        );
    }
}
