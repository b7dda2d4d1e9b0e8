//! Graph's JSON into messages and attachments: tolerant where the service is (casing, booleans as
//! strings), strict where it is (unknown properties, header rules).

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::error::GraphError;
use crate::store::message::{Attachment, Body, Content, Message, Recipient, canonical_property};

/// Forgiving base64: missing padding and stray trailing bits are accepted, as the samples need.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a JSON message is for; decides which properties may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Create,
    Update,
}

/// Decodes base64 with line breaks in it.
pub(crate) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    if text.iter().any(u8::is_ascii_whitespace) {
        let compact: Vec<u8> = text
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        return LENIENT.decode(compact).ok();
    }
    LENIENT.decode(text).ok()
}

/// The body as a JSON object.
pub(crate) fn object(body: &Bytes) -> Result<Map<String, Value>, GraphError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(GraphError::bad_request(
            "BadRequest",
            "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid \
             JSON format.",
        )),
    }
}

/// A member by name, any casing.
pub(crate) fn member<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| {
        map.iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

/// Takes a member out by name, any casing.
pub(crate) fn take(map: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let key = map
        .keys()
        .find(|key| key.eq_ignore_ascii_case(name))?
        .clone();
    map.remove(&key)
}

/// A boolean, or one written as a string.
pub(crate) fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn invalid(property: &str) -> GraphError {
    GraphError::bad_request(
        "RequestBodyRead",
        format!("Cannot read the value of the property '{property}'."),
    )
}

fn text(property: &str, value: &Value) -> Result<Option<String>, GraphError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(invalid(property)),
    }
}

/// Applies a JSON message to `message`.
pub(crate) fn apply(
    message: &mut Message,
    map: Map<String, Value>,
    purpose: Purpose,
    now: Timestamp,
) -> Result<(), GraphError> {
    for (name, value) in map {
        let lower = name.to_ascii_lowercase();
        if purpose == Purpose::Update && !message.is_draft && is_draft_only(&lower) {
            return Err(GraphError::bad_request(
                "ErrorInvalidPropertySet",
                format!("The property '{name}' can only be updated while the message is a draft."),
            ));
        }
        set(message, &name, &lower, value, purpose, now)?;
    }
    Ok(())
}

/// Properties that only a draft may change (message-update.md).
fn is_draft_only(lower: &str) -> bool {
    matches!(
        lower,
        "body"
            | "subject"
            | "replyto"
            | "internetmessageid"
            | "torecipients"
            | "ccrecipients"
            | "bccrecipients"
            | "from"
            | "sender"
    )
}

fn set(
    message: &mut Message,
    name: &str,
    lower: &str,
    value: Value,
    purpose: Purpose,
    now: Timestamp,
) -> Result<(), GraphError> {
    match lower {
        "subject" => message.subject = text(name, &value)?,
        "body" => message.body = body(&value)?,
        "from" => message.from = optional_recipient(&value)?,
        "sender" => message.sender = optional_recipient(&value)?,
        "torecipients" => message.to = recipients(name, &value)?,
        "ccrecipients" => message.cc = recipients(name, &value)?,
        "bccrecipients" => message.bcc = recipients(name, &value)?,
        "replyto" => message.reply_to = recipients(name, &value)?,
        "importance" => message.importance = choice(name, &value, &["low", "normal", "high"])?,
        "inferenceclassification" => {
            message.inference = choice(name, &value, &["focused", "other"])?
        }
        "categories" => message.categories = strings(name, &value)?,
        "flag" => message.flag = if value.is_null() { None } else { Some(value) },
        "isread" => message.is_read = boolean(&value).ok_or_else(|| invalid(name))?,
        "isreadreceiptrequested" => message.read_receipt = boolean(&value).unwrap_or(false),
        "isdeliveryreceiptrequested" => message.delivery_receipt = boolean(&value),
        "internetmessageid" => {
            if let Some(id) = text(name, &value)? {
                message.internet_message_id = id;
            }
        }
        "internetmessageheaders" => message.headers = headers(&value)?,
        "singlevalueextendedproperties" => {
            for property in value.as_array().ok_or_else(|| invalid(name))? {
                let (id, value) = single_property(property).ok_or_else(|| invalid(name))?;
                message.set_property(&id, value);
            }
        }
        "multivalueextendedproperties" => {
            for property in value.as_array().ok_or_else(|| invalid(name))? {
                let map = property.as_object().ok_or_else(|| invalid(name))?;
                let id = member(map, "id")
                    .and_then(Value::as_str)
                    .ok_or_else(|| invalid(name))?;
                let values = strings(name, member(map, "value").unwrap_or(&Value::Null))?;
                let id = canonical_property(id);
                message.multi_properties.retain(|(other, _)| *other != id);
                message.multi_properties.push((id, values));
            }
        }
        "attachments" if purpose == Purpose::Create => {
            let Value::Array(list) = value else {
                return Err(invalid(name));
            };
            for one in list {
                let Value::Object(map) = one else {
                    return Err(invalid(name));
                };
                let attachment = attachment(map)?;
                message.attach(attachment, now);
            }
        }
        // Read-only ones are ignored, as by the service.
        "id"
        | "isdraft"
        | "hasattachments"
        | "bodypreview"
        | "uniquebody"
        | "changekey"
        | "conversationid"
        | "conversationindex"
        | "createddatetime"
        | "lastmodifieddatetime"
        | "receiveddatetime"
        | "sentdatetime"
        | "parentfolderid"
        | "weblink"
        | "attachments"
        | "extensions" => {}
        _ if lower.contains("@odata.") => {}
        _ => {
            return Err(GraphError::bad_request(
                "RequestBodyRead",
                format!(
                    "The property '{name}' does not exist on type 'microsoft.graph.message'. Make sure to only use \
                     property names that are defined by the type."
                ),
            ));
        }
    }
    Ok(())
}

fn choice(name: &str, value: &Value, allowed: &[&str]) -> Result<String, GraphError> {
    let text = value
        .as_str()
        .ok_or_else(|| invalid(name))?
        .to_ascii_lowercase();
    if allowed.contains(&text.as_str()) {
        Ok(text)
    } else {
        Err(invalid(name))
    }
}

fn strings(name: &str, value: &Value) -> Result<Vec<String>, GraphError> {
    let list = value.as_array().ok_or_else(|| invalid(name))?;
    list.iter()
        .map(|one| one.as_str().map(str::to_owned).ok_or_else(|| invalid(name)))
        .collect()
}

fn single_property(value: &Value) -> Option<(String, String)> {
    let map = value.as_object()?;
    let id = member(map, "id")?.as_str()?.to_owned();
    Some((id, member(map, "value")?.as_str()?.to_owned()))
}

/// An item body.
pub(crate) fn body(value: &Value) -> Result<Body, GraphError> {
    let map = value.as_object().ok_or_else(|| invalid("body"))?;
    let is_html = match member(map, "contentType").and_then(Value::as_str) {
        None => false,
        Some(kind) if kind.eq_ignore_ascii_case("html") => true,
        Some(kind) if kind.eq_ignore_ascii_case("text") || kind.is_empty() => false,
        Some(_) => return Err(invalid("contentType")),
    };
    let content = member(map, "content")
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned();
    Ok(Body { is_html, content })
}

fn optional_recipient(value: &Value) -> Result<Option<Recipient>, GraphError> {
    if value.is_null() {
        Ok(None)
    } else {
        recipient(value).map(Some)
    }
}

fn recipient(value: &Value) -> Result<Recipient, GraphError> {
    let address = value
        .as_object()
        .and_then(|map| member(map, "emailAddress"))
        .and_then(Value::as_object);
    let map = address.ok_or_else(|| invalid("emailAddress"))?;
    let part = |name| {
        member(map, name)
            .and_then(Value::as_str)
            .unwrap_or("")
            .trim()
            .to_owned()
    };
    Ok(Recipient {
        name: part("name"),
        address: part("address"),
    })
}

/// A list of recipients.
pub(crate) fn recipients(name: &str, value: &Value) -> Result<Vec<Recipient>, GraphError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => list.iter().map(recipient).collect(),
        _ => Err(invalid(name)),
    }
}

/// Custom headers: names start with `x-`, at most five (message.md).
fn headers(value: &Value) -> Result<Vec<(String, String)>, GraphError> {
    let list = value
        .as_array()
        .ok_or_else(|| invalid("internetMessageHeaders"))?;
    if list.len() > 5 {
        return Err(GraphError::bad_request(
            "InvalidInternetMessageHeaderCollection",
            "Maximum number of headers in one message should be less than or equal to 5.",
        ));
    }
    list.iter()
        .map(|one| {
            let map = one
                .as_object()
                .ok_or_else(|| invalid("internetMessageHeaders"))?;
            let part = |name| {
                member(map, name)
                    .and_then(Value::as_str)
                    .unwrap_or("")
                    .to_owned()
            };
            let name = part("name");
            if !name.to_ascii_lowercase().starts_with("x-") {
                return Err(GraphError::bad_request(
                    "InvalidInternetMessageHeader",
                    format!(
                        "The internet message header name '{name}' should start with 'x-' or 'X-'."
                    ),
                ));
            }
            Ok((name, part("value")))
        })
        .collect()
}

/// An attachment of any of the three types.
pub(crate) fn attachment(mut map: Map<String, Value>) -> Result<Attachment, GraphError> {
    let kind =
        take(&mut map, "@odata.type").and_then(|kind| kind.as_str().map(str::to_ascii_lowercase));
    let kind = kind.unwrap_or_default();
    let string = |map: &Map<String, Value>, name: &str| {
        member(map, name).and_then(Value::as_str).map(str::to_owned)
    };
    let name = string(&map, "name").ok_or_else(|| {
        GraphError::bad_request(
            "ErrorInvalidPropertySet",
            "The attachment must have a name.",
        )
    })?;
    let content = match kind
        .trim_start_matches('#')
        .trim_start_matches("microsoft.graph.")
    {
        "itemattachment" => Content::Item(take(&mut map, "item").unwrap_or(Value::Null)),
        "referenceattachment" => Content::Reference(Value::Object(map.clone())),
        "fileattachment" | "" => {
            let encoded = take(&mut map, "contentBytes");
            let encoded = encoded.as_ref().and_then(Value::as_str).unwrap_or("");
            Content::File(
                decode_base64(encoded.as_bytes())
                    .ok_or_else(|| invalid("contentBytes"))?
                    .into(),
            )
        }
        _ => return Err(invalid("@odata.type")),
    };
    let content_type = match &content {
        Content::File(_) => {
            Some(string(&map, "contentType").unwrap_or_else(|| media_type(&name).to_owned()))
        }
        Content::Item(_) | Content::Reference(_) => string(&map, "contentType"),
    };
    Ok(Attachment {
        number: 0,
        content_type,
        is_inline: member(&map, "isInline").and_then(boolean).unwrap_or(false),
        content_id: string(&map, "contentId"),
        content_location: string(&map, "contentLocation"),
        modified: Timestamp::UNIX_EPOCH,
        name,
        content,
    })
}

/// A media type guessed from a file name, as Exchange does.
pub(crate) fn media_type(name: &str) -> &'static str {
    match name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase())
        .as_deref()
    {
        Some("pdf") => "application/pdf",
        Some("txt") => "text/plain",
        Some("csv") => "text/csv",
        Some("html" | "htm") => "text/html",
        Some("xml") => "text/xml",
        Some("json") => "application/json",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("zip") => "application/zip",
        Some("eml") => "message/rfc822",
        Some("docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Some("xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => "application/octet-stream",
    }
}
