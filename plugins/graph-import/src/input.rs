//! The input of `messages`, and the OData filter that it means.

use docket_plugin_sdk::{Failure, Problem};
use serde::Deserialize;

/// How many messages are imported unless the input says otherwise.
pub(crate) const LIMIT: usize = 100;
/// How many messages are asked for at once unless the input says otherwise.
pub(crate) const PAGE_SIZE: usize = 50;
/// The largest attachment that is imported unless the input says otherwise, in bytes.
pub(crate) const MAX_SIZE: u64 = 50 * 1024 * 1024;
/// The largest attachment that Exchange Online can hold, in bytes ("Attach large files to Outlook
/// messages").
pub(crate) const LARGEST: u64 = 150 * 1024 * 1024;

/// Earlier than any mail; see [`Input::filter`].
const EVER: &str = "1900-01-01T00:00:00Z";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Input {
    pub(crate) mailbox: Option<String>,
    pub(crate) folder: String,
    pub(crate) has_attachments: Option<bool>,
    pub(crate) unread: Option<bool>,
    pub(crate) since: Option<String>,
    pub(crate) limit: usize,
    pub(crate) page_size: usize,
    pub(crate) inline: bool,
    pub(crate) max_size: u64,
    pub(crate) types: Option<Vec<String>>,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            mailbox: None,
            folder: "inbox".to_owned(),
            has_attachments: None,
            unread: None,
            since: None,
            limit: LIMIT,
            page_size: PAGE_SIZE,
            inline: false,
            max_size: MAX_SIZE,
            types: None,
        }
    }
}

impl Input {
    /// The filter. What the list is ordered by must lead it ("List messages": otherwise the
    /// service answers `InefficientFilter`), so there always is a time.
    pub(crate) fn filter(&self) -> Result<String, Failure> {
        let since = self.since.as_deref().map_or(Ok(EVER.to_owned()), instant)?;
        let mut filter = format!("receivedDateTime ge {since}");
        if let Some(has) = self.has_attachments
            && !self.must_look_for_attachments()
        {
            filter.push_str(&format!(" and hasAttachments eq {has}"));
        }
        if let Some(unread) = self.unread {
            filter.push_str(&format!(" and isRead eq {}", !unread));
        }
        Ok(filter)
    }

    /// Whether the service's `hasAttachments` is no help: it is false for a message that has only
    /// inline attachments ("message resource type").
    pub(crate) fn must_look_for_attachments(&self) -> bool {
        self.inline && self.has_attachments == Some(true)
    }
}

/// A date, or an RFC 3339 time, as an OData literal. Nothing else gets into the filter.
fn instant(text: &str) -> Result<String, Failure> {
    if has_shape(text, "0000-00-00") {
        return Ok(format!("{text}T00:00:00Z"));
    }
    let is_time = text.split_at_checked(19).is_some_and(|(time, rest)| {
        let zone = match rest.strip_prefix('.') {
            Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
            None => rest,
        };
        let is_zone = zone == "Z" || has_shape(zone, "+00:00") || has_shape(zone, "-00:00");
        has_shape(time, "0000-00-00T00:00:00") && is_zone
    });
    if is_time {
        return Ok(text.to_owned());
    }
    Err(Failure::InvalidInput(
        Problem::new("InvalidTime", format!("{text:?} in `since` is no time"))
            .remedy("write a date, 2026-11-21, or a time with its zone, 2026-11-21T08:00:00Z"),
    ))
}

/// Whether a text has digits where the shape has zeros, and the shape's own characters elsewhere.
fn has_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, wanted)| byte == wanted || (wanted == b'0' && byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(input: Value, expected: Result<&str, &str>) {
        let parsed: Input = serde_json::from_value(input.clone()).expect("an input");
        let filter = parsed
            .filter()
            .map_err(|failure| failure.problem().code.clone());
        assert_eq!(
            filter.as_deref().map_err(String::as_str),
            expected,
            "{input}"
        );
    }

    #[test]
    fn the_filter_leads_with_what_the_list_is_ordered_by() {
        let ever = "receivedDateTime ge 1900-01-01T00:00:00Z";
        check(json!({}), Ok(ever));
        check(
            json!({"has-attachments": true, "unread": true}),
            Ok(&format!(
                "{ever} and hasAttachments eq true and isRead eq false"
            )),
        );
        check(
            json!({"has-attachments": false}),
            Ok(&format!("{ever} and hasAttachments eq false")),
        );
        check(json!({"has-attachments": true, "inline": true}), Ok(ever));
        check(
            json!({"since": "2026-11-21"}),
            Ok("receivedDateTime ge 2026-11-21T00:00:00Z"),
        );
        check(
            json!({"since": "2026-11-21T08:00:00.25+01:00"}),
            Ok("receivedDateTime ge 2026-11-21T08:00:00.25+01:00"),
        );
    }

    #[test]
    fn a_time_cannot_bring_its_own_filter() {
        for bad in [
            "",
            "yesterday",
            "2026-11-21T08:00:00",
            "2026-11-21 or 1 eq 1",
            "2026-11-21T08:00:00Z or 1 eq 1",
            "2026-11-21T08:00:00.Z' or",
            "äöüäöüäöüäöü",
        ] {
            check(json!({"since": bad}), Err("InvalidTime"));
        }
    }
}
