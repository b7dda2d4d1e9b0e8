//! Mail folders by well-known name or by path.

use docket_plugin_sdk::{Failure, HttpError, Problem};
use serde::Deserialize;
use serde_json::json;

use crate::{Mailbox, encode, odata_text};

/// Names that mean the same folder in every language ("mailFolder resource type").
const WELL_KNOWN: [&str; 17] = [
    "archive",
    "clutter",
    "conflicts",
    "conversationhistory",
    "deleteditems",
    "drafts",
    "inbox",
    "junkemail",
    "localfailures",
    "msgfolderroot",
    "outbox",
    "recoverableitemsdeletions",
    "scheduled",
    "searchfolders",
    "sentitems",
    "serverfailures",
    "syncissues",
];

/// What to do about a folder that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Fail.
    Fail,
    /// Create it, and the folders above it.
    Create,
}

/// A folder by path: names with `/` between them, of which the first may be a well-known one
/// (`inbox/Invoices/2026`). Other paths start below the mailbox's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderPath(Vec<String>);

#[derive(Deserialize)]
struct Folder {
    id: String,
}

#[derive(Deserialize)]
struct Page {
    value: Vec<Folder>,
}

impl FolderPath {
    /// Reads a path.
    ///
    /// # Errors
    /// A name in it is empty, has control characters, or is longer than 255 characters.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let names: Vec<String> = text.split('/').map(|name| name.trim().to_owned()).collect();
        let is_bad = |name: &String| {
            name.is_empty() || name.contains(char::is_control) || name.chars().count() > 255
        };
        if names.iter().any(is_bad) {
            return Err(Failure::InvalidInput(
                Problem::new("InvalidFolder", format!("{text:?} is no folder path"))
                    .remedy("write names with `/` between them, as in inbox/Invoices/2026"),
            ));
        }
        Ok(Self(names))
    }

    /// The folder's id.
    ///
    /// # Errors
    /// [`Failure::NotFound`] where it is not there and is not to be created; else the requests'.
    pub fn resolve(&self, mailbox: &Mailbox<'_>, missing: Missing) -> Result<String, Failure> {
        let mut names = self.0.iter();
        let first = self
            .0
            .first()
            .map(|name| name.to_lowercase())
            .unwrap_or_default();
        let mut id = "msgfolderroot".to_owned();
        if WELL_KNOWN.contains(&first.as_str()) {
            names.next();
            let path = format!("/mailFolders/{first}?$select=id");
            id = mailbox.get::<Folder>(&path, "opening the folder")?.id;
        }
        let mut walked = Vec::new();
        for name in names {
            walked.push(name.as_str());
            id = match child(mailbox, &id, name)? {
                Some(child) => child,
                None if missing == Missing::Create => create(mailbox, &id, name)?,
                None => {
                    return Err(Failure::NotFound(
                        Problem::new(
                            "FolderNotFound",
                            format!("{} has no folder {:?}", mailbox.address(), walked.join("/")),
                        )
                        .remedy("check the name, or have the step create it where it can"),
                    ));
                }
            };
        }
        Ok(id)
    }
}

fn child(mailbox: &Mailbox<'_>, parent: &str, name: &str) -> Result<Option<String>, Failure> {
    let path = format!(
        "/mailFolders/{}/childFolders?$filter={}&$select=id&includeHiddenFolders=true",
        encode(parent),
        encode(&format!("displayName eq {}", odata_text(name)))
    );
    let page: Page = mailbox.get(&path, "looking for the folder")?;
    Ok(page.value.into_iter().next().map(|folder| folder.id))
}

fn create(mailbox: &Mailbox<'_>, parent: &str, name: &str) -> Result<String, Failure> {
    let doing = "creating the folder";
    // Two folders of one name cannot be, so a repeat finds the first one or is refused.
    let answer = mailbox
        .request(
            "POST",
            &format!("/mailFolders/{}/childFolders", encode(parent)),
        )
        .repeatable()
        .json(&json!({"displayName": name}))
        .send();
    match answer {
        Ok(answer) if answer.status == 201 => Ok(answer.json::<Folder>()?.id),
        Ok(answer) => {
            let failure = mailbox.failure(&answer, doing);
            // Somebody else made it in between; 400 or 409, so the code decides.
            if failure.problem().code == "ErrorFolderExists" {
                child(mailbox, parent, name)?.ok_or(failure)
            } else {
                Err(failure)
            }
        }
        Err(HttpError::Interrupted(why)) => child(mailbox, parent, name)?
            .ok_or_else(|| Failure::Unavailable(Problem::new("Interrupted", why))),
        Err(error) => Err(error.into_failure()),
    }
}

#[cfg(test)]
mod tests {
    use docket_plugin_sdk::testing::{Sent, TestCall, answer};

    use super::*;

    fn root_with_invoices(sent: &Sent) -> Result<docket_plugin_sdk::Response, HttpError> {
        let found = if sent.url.contains("/mailFolders/inbox?") {
            json!({"id": "INBOX"})
        } else if sent.method == "POST" {
            return Ok(answer(201, &json!({"id": "NEW"})));
        } else if sent.url.contains("displayName%20eq%20%27Invoices%27") {
            json!({"value": [{"id": "INV"}]})
        } else {
            json!({"value": []})
        };
        Ok(answer(200, &found))
    }

    fn check(path: &str, missing: Missing, expected: Result<&str, &str>, requests: usize) {
        let test = TestCall::new("x", &json!({}), root_with_invoices);
        let mailbox = Mailbox::new(test.call(), "a@contoso.example").expect("an address");
        let found = FolderPath::parse(path).and_then(|path| path.resolve(&mailbox, missing));
        let found = found.map_err(|failure| failure.problem().code.clone());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{path}");
        assert_eq!(test.sent().len(), requests, "{path}");
    }

    #[test]
    fn paths_are_walked_from_the_root_or_a_well_known_folder() {
        check("Invoices", Missing::Fail, Ok("INV"), 1);
        check("Inbox", Missing::Fail, Ok("INBOX"), 1);
        check("inbox/Invoices", Missing::Fail, Ok("INV"), 2);
        check("Invoices/2026", Missing::Fail, Err("FolderNotFound"), 2);
        check("Invoices/2026", Missing::Create, Ok("NEW"), 3);
        check("a//b", Missing::Fail, Err("InvalidFolder"), 0);
        check("a/\u{7}", Missing::Fail, Err("InvalidFolder"), 0);
    }
}
