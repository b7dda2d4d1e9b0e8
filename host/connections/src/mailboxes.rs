//! What the directory calls a connection's mailboxes.
//!
//! Graph's next links name a mailbox by its object id, `/users/{guid}/…`, whatever the request named
//! it. A connection that allows a mailbox by its address must allow that id too, and no other. So the
//! id is taken from where Graph itself says it: the next link of an answer about that mailbox. It is
//! stored at once, for a run that follows the link after a restart. This takes no permission, unlike
//! a look into the directory.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::binding::Inner;
use crate::oauth::is_guid;
use crate::policy::Scope;
use crate::policy::url::normalise;
use crate::vault::{RecordId, RecordKind, Vault, VaultError};

/// The longest link that is read, in bytes; longer URLs are not sent anyway.
const LONGEST_LINK: usize = 16 * 1024;
/// The longest name of a member that is compared.
const LONGEST_NAME: usize = 64;

/// Addresses by directory id, in lower case.
#[derive(Debug, Default)]
pub(crate) struct MailboxIds {
    known: RwLock<Known>,
    /// Held while the vault is looked into: whoever needs what it says waits for it.
    recalling: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    addresses: HashMap<String, String>,
    /// The mailboxes that the vault has answered for.
    recalled: HashSet<String>,
}

impl MailboxIds {
    /// The address of a mailbox by its id.
    pub(crate) fn address(&self, id: &str) -> Option<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.addresses.get(id).cloned()
    }

    /// Takes note of an id; `true` where it was not known.
    fn learn(&self, id: &str, address: &str) -> bool {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.recalled.insert(address.to_owned());
        let before = known.addresses.insert(id.to_owned(), address.to_owned());
        before.as_deref() != Some(address)
    }

    /// Takes note that the vault has no id for a mailbox.
    fn has_none(&self, address: &str) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.recalled.insert(address.to_owned());
    }

    /// Of these mailboxes, those that the vault has not answered for.
    fn to_recall(&self, mut mailboxes: Vec<String>) -> Vec<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        mailboxes.retain(|mailbox| !known.recalled.contains(mailbox));
        mailboxes
    }
}

impl Inner {
    /// Where a URL names a mailbox by an id that is not known, looks into the vault for the ids of the
    /// mailboxes that are allowed; once for each of them.
    pub(crate) async fn recall_mailbox(&self, url: &str) {
        let Some(bound) = &self.connection else {
            return;
        };
        // Links name ids in plain; all other URLs need no second look.
        if !url.split(['/', '?', '(', ')', '\'']).any(is_guid) {
            return;
        }
        let Some(id) = normalise(url)
            .ok()
            .and_then(|url| bound.scope.named_mailbox(&url))
            .filter(|name| is_guid(name))
        else {
            return;
        };
        let ids = &bound.scope.ids;
        if ids.address(&id).is_some() {
            return;
        }
        let _one_at_a_time = ids.recalling.lock().await;
        let mailboxes = ids.to_recall(bound.scope.members());
        if mailboxes.is_empty() {
            return;
        }
        let (scope, vault) = (Arc::clone(&bound.scope), self.vault.clone());
        let looked = tokio::task::spawn_blocking(move || {
            for mailbox in &mailboxes {
                match vault.get(record(&scope.connection, mailbox)) {
                    Ok(Some(id)) => drop(scope.ids.learn(id.expose_secret(), mailbox)),
                    // What is damaged is found again by the next link.
                    Ok(None) | Err(VaultError::Damaged { .. }) => scope.ids.has_none(mailbox),
                    // It may be readable the next time.
                    Err(_) => {}
                }
            }
        });
        // Without its ids the policy refuses, which is the safe side.
        let _ = looked.await;
    }
}

fn record<'a>(connection: &'a str, mailbox: &'a str) -> RecordId<'a> {
    RecordId {
        connection,
        account: mailbox,
        kind: RecordKind::MailboxId,
    }
}

/// Watches an answer about a mailbox go by, until a link in it names the mailbox.
pub(crate) struct LinkWatch {
    links: Links,
    scope: Arc<Scope>,
    mailbox: String,
    /// What was asked for, which the link must ask for too.
    collection: String,
    vault: Vault,
    is_done: bool,
}

impl LinkWatch {
    /// For the answer to a request for `url`, which is about `mailbox`; `None` where there is nothing
    /// to learn. The content of an attachment (`$value`) is mail, whatever it looks like.
    pub(crate) fn new(scope: &Arc<Scope>, mailbox: &str, url: &Url, vault: &Vault) -> Option<Self> {
        let collection = collection(url)?;
        (!is_guid(mailbox) && !collection.starts_with('$')).then(|| Self {
            links: Links::default(),
            scope: Arc::clone(scope),
            mailbox: mailbox.to_owned(),
            collection,
            vault: vault.clone(),
            is_done: false,
        })
    }

    /// Reads on. What was learnt is stored when it returns.
    pub(crate) async fn feed(&mut self, bytes: &[u8]) {
        if self.is_done {
            return;
        }
        let found = self.links.feed(bytes);
        let ids = found
            .iter()
            .filter_map(|link| {
                let link = normalise(link).ok()?;
                let is_same = collection(&link)? == self.collection;
                is_same.then(|| self.scope.named_mailbox(&link)).flatten()
            })
            .find(|name| is_guid(name));
        let Some(id) = ids else {
            return;
        };
        self.is_done = true;
        if !self.scope.ids.learn(&id, &self.mailbox) {
            return;
        }
        let (vault, connection) = (self.vault.clone(), self.scope.connection.clone());
        let mailbox = self.mailbox.clone();
        let stored = tokio::task::spawn_blocking(move || {
            vault.put(record(&connection, &mailbox), &SecretString::from(id))
        });
        if !matches!(stored.await, Ok(Ok(()))) {
            tracing::warn!(connection = %self.scope.connection, "a mailbox's id could not be stored");
        }
    }
}

/// The last part of a path, such as `messages`; Graph spells functions in more than one way.
fn collection(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    let name = last.split('(').next().unwrap_or_default();
    let name = name.rsplit('.').next().unwrap_or_default();
    (!name.is_empty()).then(|| name.to_lowercase())
}

/// Finds the OData links of a JSON object as its bytes go by. Only members of the outermost object
/// count: what is deeper is mail, and anybody may have written it.
#[derive(Default)]
struct Links {
    depth: u32,
    place: Place,
    text: Vec<u8>,
    is_escaped: bool,
    key: Vec<u8>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between values.
    #[default]
    Outside,
    /// After a colon.
    Value,
    /// In a string that is a member's name.
    Key,
    /// In a string that is a value.
    Text,
}

impl Links {
    fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match self.place {
                // Of what is deeper only the end of the text matters, and texts are most of an answer.
                Place::Key | Place::Text if self.depth > 1 && !self.is_escaped => {
                    let rest = &bytes[at - 1..];
                    let Some(skipped) = memchr::memchr2(b'"', b'\\', rest) else {
                        break;
                    };
                    self.in_string(rest[skipped], &mut found);
                    at += skipped;
                }
                Place::Key | Place::Text => self.in_string(byte, &mut found),
                Place::Outside | Place::Value => match byte {
                    b'"' => {
                        self.text.clear();
                        self.place = match self.place {
                            Place::Value => Place::Text,
                            _ => Place::Key,
                        };
                    }
                    b':' => self.place = Place::Value,
                    b',' => self.place = Place::Outside,
                    b'{' | b'[' => {
                        self.depth += 1;
                        self.place = Place::Outside;
                    }
                    b'}' | b']' => {
                        self.depth = self.depth.saturating_sub(1);
                        self.place = Place::Outside;
                    }
                    _ => {}
                },
            }
        }
        found
    }

    fn in_string(&mut self, byte: u8, found: &mut Vec<String>) {
        if byte == b'"' && !self.is_escaped {
            if self.depth == 1 {
                match self.place {
                    Place::Key => self.key.clone_from(&self.text),
                    _ => found.extend(self.link()),
                }
            }
            self.place = Place::Outside;
            return;
        }
        self.is_escaped = byte == b'\\' && !self.is_escaped;
        let most = match self.place {
            Place::Key => LONGEST_NAME,
            _ => LONGEST_LINK,
        };
        if self.depth == 1 && self.text.len() <= most {
            self.text.push(byte);
        }
    }

    /// The value that has just ended, if it is a link.
    fn link(&self) -> Option<String> {
        if !matches!(
            self.key.as_slice(),
            b"@odata.nextLink" | b"@odata.deltaLink"
        ) || self.text.len() > LONGEST_LINK
        {
            return None;
        }
        let text = std::str::from_utf8(&self.text).ok()?;
        serde_json::from_str(&format!("\"{text}\"")).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        for size in [1, 3, text.len().max(1)] {
            let mut links = Links::default();
            let found: Vec<String> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| links.feed(chunk))
                .collect();
            assert_eq!(found, expected, "{text} by {size}");
        }
    }

    #[test]
    fn links_of_the_outermost_object_only() {
        check(r#"{"@odata.nextLink":"https://a/b"}"#, &["https://a/b"]);
        check(
            r#"{"value":[],"@odata.deltaLink" : "https:\/\/a\/b?x=\u0031"}"#,
            &["https://a/b?x=1"],
        );
        check(
            r#"{"value":[{"@odata.nextLink":"evil","body":"\"@odata.nextLink\":\"evil\""}],"n":1}"#,
            &[],
        );
        check(r#"{"subject":"@odata.nextLink","x":"evil"}"#, &[]);
        check(r#"{"a\\":"b","@odata.nextLink":"good"}"#, &["good"]);
        check(r#"{"a\"@odata.nextLink":"evil"}"#, &[]);
        check(r#"[{"@odata.nextLink":"evil"}]"#, &[]);
        check(r#"{"@odata.nextLink":null,"x":"evil"}"#, &[]);
        check(r#"{"@odata.nextLink":{"x":"evil"},"y":"evil"}"#, &[]);
        check("", &[]);
        check("\"@odata.nextLink\":\"x\"", &[]);
    }

    proptest! {
        #[test]
        fn agrees_with_a_parser(subject in ".{0,40}", link in ".{0,40}", deep in ".{0,20}") {
            let answer = serde_json::json!({
                "subject": subject,
                "value": [{"@odata.nextLink": deep, "body": {"content": link}}],
                "@odata.nextLink": link,
                "z": deep,
            });
            let found = Links::default().feed(answer.to_string().as_bytes());
            prop_assert_eq!(found, [link]);
        }

        #[test]
        fn reads_anything(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Links::default().feed(&bytes);
        }
    }
}
