//! Mail folders by well-known name or by path.

use docket_plugin_sdk::{Failure, HttpError, Problem};
use serde_json::{Value, json};

use crate::{Mailbox, encode, odata_text, text};

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

/// The most folders that are walked below one.
const MOST_FOLDERS: usize = 500;

/// What to do about a folder that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Fail.
    Fail,
    /// Create it, and the folders above it.
    Create,
}

/// A folder by path: names with `/` between them, of which the first may be a well-known one
/// (`inbox/Invoices/2026`). Other paths start below the mailbox's root. A slash inside a name is
/// written `\/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderPath(Vec<String>);

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The id, which never changes.
    pub id: String,
    /// The path of names that leads there, as far as it was walked.
    pub path: String,
}

impl FolderPath {
    /// Reads a path.
    ///
    /// # Errors
    /// A name in it is empty, has control characters, or is longer than 255 characters.
    pub fn parse(path: &str) -> Result<Self, Failure> {
        let mut names = vec![String::new()];
        let mut rest = path.chars().peekable();
        while let Some(c) = rest.next() {
            match (c, names.last_mut()) {
                ('\\', Some(name)) if rest.peek() == Some(&'/') => {
                    rest.next();
                    name.push('/');
                }
                ('/', _) => names.push(String::new()),
                (c, Some(name)) => name.push(c),
                (_, None) => {}
            }
        }
        for name in &mut names {
            *name = name.trim().to_owned();
        }
        let is_bad = |name: &String| {
            name.is_empty() || name.contains(char::is_control) || name.chars().count() > 255
        };
        if names.iter().any(is_bad) {
            return Err(Failure::InvalidInput(
                Problem::new("InvalidFolder", format!("{path:?} is no folder path"))
                    .remedy("write names with `/` between them, as in inbox/Invoices/2026"),
            ));
        }
        Ok(Self(names))
    }

    /// The folder.
    ///
    /// # Errors
    /// [`Failure::NotFound`] where it is not there and is not to be created; else the requests'.
    pub fn resolve(&self, mailbox: &Mailbox<'_>, missing: Missing) -> Result<Folder, Failure> {
        let mut names = self.0.iter();
        let first = self.0.first().map(|name| name.to_lowercase());
        let first = first.unwrap_or_default();
        let mut id = "msgfolderroot".to_owned();
        if WELL_KNOWN.contains(&first.as_str()) {
            names.next();
            let path = format!("/mailFolders/{first}?$select=id");
            id = id_of(&mailbox.get(&path, "opening the folder")?)?;
        }
        for (walked, name) in (self.0.len() - names.len() + 1..).zip(names) {
            id = match child(mailbox, &id, name)? {
                Some(child) => child,
                None if missing == Missing::Create => create(mailbox, &id, name)?,
                None => {
                    let walked = self.0.get(..walked).unwrap_or_default().join("/");
                    return Err(Failure::NotFound(
                        Problem::new(
                            "FolderNotFound",
                            format!("{} has no folder {walked:?}", mailbox.address()),
                        )
                        .remedy("check the name, or have the step create it where it can"),
                    ));
                }
            };
        }
        Ok(Folder {
            id,
            path: self.0.join("/"),
        })
    }
}

/// The folders below one, the folders below those included, in the order of a tree that is read
/// from the top. Hidden ones and search folders are left out.
///
/// # Errors
/// The requests'; or there are more than 500 folders.
pub fn below(mailbox: &Mailbox<'_>, folder: &Folder) -> Result<Vec<Folder>, Failure> {
    let mut found: Vec<Folder> = Vec::new();
    let mut open = vec![folder.clone()];
    while let Some(parent) = open.pop() {
        let path = format!(
            "/mailFolders/{}/childFolders?$select=id,displayName,childFolderCount&$top=100",
            encode(&parent.id)
        );
        let children = mailbox.list(&path, "listing the folders")?;
        let mut deeper = Vec::new();
        for child in children {
            let kind = text(&child, "@odata.type").unwrap_or_default();
            if kind.ends_with("mailSearchFolder") {
                continue;
            }
            let name = text(&child, "displayName").unwrap_or_default();
            let below = Folder {
                id: id_of(&child)?,
                path: format!("{}/{name}", parent.path),
            };
            if child.get("childFolderCount").and_then(Value::as_u64) != Some(0) {
                deeper.push(below.clone());
            }
            found.push(below);
        }
        open.extend(deeper.into_iter().rev());
        if found.len() > MOST_FOLDERS {
            return Err(Failure::InvalidInput(
                Problem::new(
                    "TooManyFolders",
                    format!(
                        "there are more than {MOST_FOLDERS} folders below {}",
                        folder.path
                    ),
                )
                .remedy("name a folder further down"),
            ));
        }
    }
    Ok(found)
}

fn id_of(folder: &Value) -> Result<String, Failure> {
    text(folder, "id").map(str::to_owned).ok_or_else(|| {
        Failure::Unavailable(Problem::new(
            "InvalidAnswer",
            "a folder came without its id",
        ))
    })
}

fn child(mailbox: &Mailbox<'_>, parent: &str, name: &str) -> Result<Option<String>, Failure> {
    let path = format!(
        "/mailFolders/{}/childFolders?$filter={}&$select=id&includeHiddenFolders=true",
        encode(parent),
        encode(&format!("displayName eq {}", odata_text(name)))
    );
    let found = mailbox.list(&path, "looking for the folder")?;
    found.first().map(id_of).transpose()
}

fn create(mailbox: &Mailbox<'_>, parent: &str, name: &str) -> Result<String, Failure> {
    let doing = "creating the folder";
    let path = format!("/mailFolders/{}/childFolders", encode(parent));
    // Two folders of one name cannot be, so a repeat finds the first one or is refused.
    let answer = mailbox
        .request("POST", &path)
        .repeatable()
        .json(&json!({"displayName": name}))
        .send();
    match answer {
        Ok(answer) if answer.status == 201 => id_of(&answer.json()?),
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
    use docket_plugin_sdk::Response;
    use docket_plugin_sdk::testing::{Sent, TestCall, answer};

    use super::*;

    fn root_with_invoices(sent: &Sent) -> Result<Response, HttpError> {
        let found = if sent.url.contains("/mailFolders/inbox?") {
            json!({"id": "INBOX"})
        } else if sent.method == "POST" {
            return Ok(answer(201, &json!({"id": "NEW"})));
        } else if sent.url.contains("displayName%20eq%20%27Invoices%27") {
            json!({"value": [{"id": "INV"}]})
        } else if sent.url.contains("%27in%2Fout%27") {
            json!({"value": [{"id": "SLASH"}]})
        } else {
            json!({"value": []})
        };
        Ok(answer(200, &found))
    }

    fn check(path: &str, missing: Missing, expected: Result<&str, &str>, requests: usize) {
        let test = TestCall::new("x", &json!({}), root_with_invoices);
        let mailbox = Mailbox::new(test.call(), "a@contoso.example").expect("an address");
        let found = FolderPath::parse(path).and_then(|path| path.resolve(&mailbox, missing));
        let found = found.map(|folder| folder.id);
        let found = found.map_err(|failure| failure.problem().code.clone());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{path}");
        assert_eq!(test.sent().len(), requests, "{path}");
    }

    #[test]
    fn paths_are_walked_from_the_root_or_a_well_known_folder() {
        check("Invoices", Missing::Fail, Ok("INV"), 1);
        check("Inbox", Missing::Fail, Ok("INBOX"), 1);
        check("inbox/Invoices", Missing::Fail, Ok("INV"), 2);
        check("in\\/out", Missing::Fail, Ok("SLASH"), 1);
        check("Invoices/2026", Missing::Fail, Err("FolderNotFound"), 2);
        check("Invoices/2026", Missing::Create, Ok("NEW"), 3);
        check("a//b", Missing::Fail, Err("InvalidFolder"), 0);
        check("a/\u{7}", Missing::Fail, Err("InvalidFolder"), 0);
        check("", Missing::Fail, Err("InvalidFolder"), 0);
    }

    #[test]
    fn a_folder_that_is_missing_is_named_as_far_as_it_was_walked() {
        let test = TestCall::new("x", &json!({}), root_with_invoices);
        let mailbox = Mailbox::new(test.call(), "a@contoso.example").expect("an address");
        let path = FolderPath::parse("inbox/Invoices/2026/11").expect("a path");
        let failure = path.resolve(&mailbox, Missing::Fail).expect_err("missing");
        let message = &failure.problem().message;
        assert!(message.ends_with("\"inbox/Invoices/2026\""), "{message}");
    }

    #[test]
    fn a_tree_is_read_from_the_top() {
        let test = TestCall::new("x", &json!({}), |sent| {
            let below = |rows: Value| Ok(answer(200, &json!({"value": rows})));
            if sent.url.contains("/mailFolders/TOP/") {
                below(json!([
                    {"id": "A", "displayName": "a", "childFolderCount": 1},
                    {"id": "S", "displayName": "s", "@odata.type": "#microsoft.graph.mailSearchFolder"},
                    {"id": "B", "displayName": "b", "childFolderCount": 0}
                ]))
            } else {
                assert!(sent.url.contains("/mailFolders/A/"), "{}", sent.url);
                below(json!([{"id": "AA", "displayName": "aa", "childFolderCount": 0}]))
            }
        });
        let mailbox = Mailbox::new(test.call(), "a@contoso.example").expect("an address");
        let top = Folder {
            id: "TOP".to_owned(),
            path: "inbox".to_owned(),
        };
        let found = below(&mailbox, &top).expect("a tree");
        let paths: Vec<_> = found.iter().map(|folder| folder.path.as_str()).collect();
        assert_eq!(paths, ["inbox/a", "inbox/b", "inbox/a/aa"]);
    }
}
