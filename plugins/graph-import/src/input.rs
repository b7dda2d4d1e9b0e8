//! What a designer writes under `with`: which messages, and what of them.

use docket_graph::{MessageHandle, instant, iso_time, odata_text, text};
use docket_plugin_sdk::{Failure, Problem};
use serde::Deserialize;
use serde_json::Value;

/// The largest attachment that Exchange Online can hold, in bytes ("Attach large files to Outlook
/// messages").
pub(crate) const LARGEST: u64 = 150 * 1024 * 1024;

/// Earlier than any mail; see [`Input::filter`].
const EVER: i64 = -2_208_988_800;

/// The input of all actions. Which of it one takes, its schema says; so do the defaults, which stand
/// here once more for inputs that leave them out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Input {
    /// The one message of `message`.
    pub(crate) message: Option<MessageHandle>,
    pub(crate) mailbox: Option<String>,
    pub(crate) folder: String,
    pub(crate) subfolders: bool,
    pub(crate) from: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) category: Option<String>,
    pub(crate) has_attachments: Option<bool>,
    pub(crate) unread: Option<bool>,
    pub(crate) since: Option<String>,
    pub(crate) order: Order,
    pub(crate) limit: usize,
    pub(crate) page_size: usize,
    pub(crate) body: Body,
    pub(crate) headers: bool,
    pub(crate) original: bool,
    pub(crate) attachments: bool,
    pub(crate) inline: bool,
    pub(crate) max_size: u64,
    pub(crate) types: Option<Vec<String>>,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            message: None,
            mailbox: None,
            folder: "inbox".to_owned(),
            subfolders: false,
            from: None,
            subject: None,
            category: None,
            has_attachments: None,
            unread: None,
            since: None,
            order: Order::OldestFirst,
            limit: 100,
            page_size: 50,
            body: Body::AsIs,
            headers: false,
            original: false,
            attachments: true,
            inline: false,
            max_size: 50 * 1024 * 1024,
            types: None,
        }
    }
}

/// By when messages were received.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    OldestFirst,
    NewestFirst,
}

/// What form of the body is wanted.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Body {
    /// HTML where it is HTML, text where it is text.
    AsIs,
    /// Text, which the service makes of HTML.
    Text,
    /// Both.
    Both,
    /// None.
    None,
}

impl Input {
    /// When the messages were received at the earliest.
    pub(crate) fn since(&self) -> Result<Option<i64>, Failure> {
        let Some(since) = &self.since else {
            return Ok(None);
        };
        instant(since).map(Some).ok_or_else(|| {
            Failure::InvalidInput(
                Problem::new("InvalidTime", format!("{since:?} in `since` is no time")).remedy(
                    "write a date, 2026-11-21, or a time with its zone, 2026-11-21T08:00:00Z",
                ),
            )
        })
    }

    /// The filter for the service. What the list is ordered by must lead it ("List messages":
    /// otherwise the service answers `InefficientFilter`), so there always is a time.
    pub(crate) fn filter(&self) -> Result<String, Failure> {
        let mut filter = received(self.since()?.unwrap_or(EVER));
        let mut and = |condition: String| {
            filter.push_str(" and ");
            filter.push_str(&condition);
        };
        if let Some(has) = self.has_attachments
            && !self.must_look_for_attachments()
        {
            and(format!("hasAttachments eq {has}"));
        }
        if let Some(unread) = self.unread {
            and(format!("isRead eq {}", !unread));
        }
        if let Some(from) = self.from.as_deref().filter(|from| !from.starts_with('@')) {
            and(format!("from/emailAddress/address eq {}", odata_text(from)));
        }
        if let Some(subject) = &self.subject {
            and(format!("contains(subject,{})", odata_text(subject)));
        }
        if let Some(category) = &self.category {
            and(format!("categories/any(c:c eq {})", odata_text(category)));
        }
        Ok(filter)
    }

    /// Whether a listed message is wanted. The same as [`Self::filter`], for what the service cannot
    /// be asked: it has no filter for a sender's domain, takes none but a time with a delta query,
    /// and refuses some that are too much for it.
    pub(crate) fn wants(&self, listed: &Value) -> bool {
        let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        let of = |name: &str| text(listed, name).unwrap_or_default();
        let sender = text(&listed["from"]["emailAddress"], "address").unwrap_or_default();
        let is_from = |from: &String| {
            if from.starts_with('@') {
                sender.to_lowercase().ends_with(&from.to_lowercase())
            } else {
                same(sender, from)
            }
        };
        let has_category = |wanted: &String| {
            let mut categories = listed["categories"].as_array().into_iter().flatten();
            categories.any(|one| one.as_str().is_some_and(|one| same(one, wanted)))
        };
        let has_subject = |wanted: &String| {
            of("subject")
                .to_lowercase()
                .contains(&wanted.to_lowercase())
        };
        let is = |name: &str, wanted: bool| listed[name].as_bool().is_none_or(|is| is == wanted);
        self.from.as_ref().is_none_or(is_from)
            && self.subject.as_ref().is_none_or(has_subject)
            && self.category.as_ref().is_none_or(has_category)
            && self.unread.is_none_or(|unread| is("isRead", !unread))
            && (self.must_look_for_attachments()
                || self
                    .has_attachments
                    .is_none_or(|has| is("hasAttachments", has)))
    }

    /// Whether the service's `hasAttachments` is no help: it is false for a message that has only
    /// inline attachments ("message resource type").
    pub(crate) fn must_look_for_attachments(&self) -> bool {
        self.inline && self.attachments && self.has_attachments == Some(true)
    }
}

/// The condition that a message was received at that instant or later.
pub(crate) fn received(since: i64) -> String {
    format!("receivedDateTime ge {}", iso_time(since))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn input(value: &Value) -> Input {
        serde_json::from_value(value.clone()).expect("an input")
    }

    fn check(value: Value, expected: Result<&str, &str>) {
        let filter = input(&value).filter();
        let filter = filter.map_err(|failure| failure.problem().code.clone());
        assert_eq!(
            filter.as_deref().map_err(String::as_str),
            expected,
            "{value}"
        );
    }

    #[test]
    fn the_filter_leads_with_what_the_list_is_ordered_by() {
        let ever = "receivedDateTime ge 1900-01-01T00:00:00Z";
        let and = |rest: &str| format!("{ever} and {rest}");
        check(json!({}), Ok(ever));
        check(
            json!({"has-attachments": true, "unread": true}),
            Ok(&and("hasAttachments eq true and isRead eq false")),
        );
        check(json!({"has-attachments": true, "inline": true}), Ok(ever));
        check(
            json!({"from": "o'brien@x.example", "subject": "a' or 'a' eq 'a", "category": "Red"}),
            Ok(&and("from/emailAddress/address eq 'o''brien@x.example' \
                     and contains(subject,'a'' or ''a'' eq ''a') and categories/any(c:c eq 'Red')")),
        );
        check(json!({"from": "@x.example"}), Ok(ever));
        check(
            json!({"since": "2026-11-21T08:00:00.25+01:00"}),
            Ok("receivedDateTime ge 2026-11-21T07:00:00Z"),
        );
        check(
            json!({"since": "2026-11-21Z or 1 eq 1"}),
            Err("InvalidTime"),
        );
    }

    #[test]
    fn what_the_service_is_not_asked_is_looked_at_here() {
        let listed = json!({
            "subject": "Invoice 7", "isRead": false, "hasAttachments": true,
            "categories": ["Red"],
            "from": {"emailAddress": {"address": "Billing@Fabrikam.example"}}
        });
        for (value, expected) in [
            (json!({}), true),
            (json!({"from": "billing@fabrikam.example"}), true),
            (json!({"from": "@fabrikam.example"}), true),
            (json!({"from": "@kam.example"}), false),
            (json!({"subject": "INVOICE"}), true),
            (json!({"subject": "order"}), false),
            (json!({"category": "red"}), true),
            (json!({"category": "re"}), false),
            (json!({"unread": true, "has-attachments": true}), true),
            (json!({"unread": false}), false),
            (json!({"has-attachments": false}), false),
        ] {
            assert_eq!(input(&value).wants(&listed), expected, "{value}");
        }
    }
}
