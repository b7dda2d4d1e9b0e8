//! `new-messages`: the source. Each poll gives what came into a folder since the last one.
//!
//! Delta queries tell what came ("message: delta"). They can lose their place, spontaneously, and
//! start over then. So every few minutes the folder is also listed by time, a while back: what a
//! delta query missed turns up there. An item may therefore be given more than once; its key is
//! always the same, and the host starts each key once. What was given lately is remembered in the
//! cursor, so that it is not imported a second time for nothing; so is what cannot be read.

use docket_graph::{Folder, FolderPath, Mailbox, Missing, json_time, text};
use docket_plugin_sdk::{Call, Failure, Output, Problem};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::held::{Held, MOST_HELD};
use crate::input::Input;
use crate::listing::{changes, received_since};
use crate::message::{Message, Unreadable};
use crate::take::{Taking, Trouble};

/// The form of the cursor.
const VERSION: u32 = 1;
/// How many keys are remembered. Their hashes take half of what a cursor may have.
const REMEMBERED: usize = 1500;
/// After how many seconds the folder is listed by time again.
const SCAN_EVERY: i64 = 600;
/// How far back that looks, in seconds before the last time: clocks differ, and mail may be
/// delivered late.
const OVERLAP: i64 = 900;
/// How far back a delta query starts over that lost its place, in seconds.
const START_OVER: i64 = 86_400;
/// The most pages of one poll.
const MOST_PAGES: usize = 50;
/// The most messages that one poll tries again.
const AGAIN: usize = 4;
/// The most messages that a delta query with a filter walks through ("message: delta").
const MOST_WALKED: usize = 5000;

/// What one poll hands to the next.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Cursor {
    version: u32,
    /// The folder's id, which stays when the folder is renamed or moved.
    folder: String,
    /// Where the delta query goes on; `None` where it begins.
    #[serde(default)]
    link: Option<String>,
    /// Whether the delta query has more at once.
    #[serde(default)]
    is_behind: bool,
    /// A delta query's first walk through the folder: when it began, and how many messages it had.
    #[serde(default)]
    walk: Option<(i64, usize)>,
    /// Nothing that was received before that instant is given.
    start: i64,
    /// Up to when all that was received is known.
    scanned: i64,
    /// A listing by time under way: when it began, and from when on it goes on. Not a link: what was
    /// given may be moved away before the next poll, which shifts the pages that links count.
    #[serde(default)]
    scan: Option<(i64, i64)>,
    /// Hashes of the keys given lately, oldest first.
    #[serde(default)]
    given: Vec<u64>,
    /// What cannot be read, and is tried again.
    #[serde(default)]
    held: Vec<Held>,
    /// When a message was last read with all that the workflow wants.
    #[serde(default)]
    shown_at: i64,
}

#[derive(Serialize)]
struct Found {
    items: Vec<Message>,
    more: bool,
}

pub(crate) fn poll(call: &Call) -> Result<Output, Failure> {
    let mut input: Input = call.input()?;
    input.page_size = input.page_size.min(input.limit).max(1);
    let mailbox = Mailbox::of(call, input.mailbox.as_deref())?;
    let now = i64::try_from(call.time() / 1000).unwrap_or(i64::MAX);
    let (folder, mut cursor) = start(&mailbox, &input, now)?;
    let mut poll = Poll {
        taking: Taking::new(&mailbox, &input),
        input: &input,
        mailbox: &mailbox,
        folder: &folder,
        items: Vec::new(),
        failed: Vec::new(),
        pages: 0,
    };
    poll.again(&mut cursor, now)?;
    let more = poll.delta(&mut cursor, now)? || poll.scan(&mut cursor, now)?;
    poll.settle(&mut cursor, now)?;
    let items = poll.items;
    let cursor = serde_json::to_string(&cursor).unwrap_or_default();
    Ok(Output::new(Found { items, more })?.with_cursor(cursor))
}

/// The folder, and where the last poll left off in it.
fn start(mailbox: &Mailbox<'_>, input: &Input, now: i64) -> Result<(Folder, Cursor), Failure> {
    let call = mailbox.call();
    let cursor: Option<Cursor> = match call.cursor() {
        None => None,
        Some(text) => match serde_json::from_str::<Cursor>(text) {
            Ok(cursor) if cursor.version == VERSION => Some(cursor),
            _ => {
                return Err(Failure::Permanent(
                    Problem::new(
                        "UnknownCursor",
                        "the trigger's cursor is of another version",
                    )
                    .remedy("use the plugin's version that wrote it, or reset the trigger"),
                ));
            }
        },
    };
    let found = FolderPath::parse(&input.folder)?.resolve(mailbox, Missing::Fail);
    let folder = match (found, &cursor) {
        // Its mail still comes, under another name: the workflow should be told, not stopped.
        (Err(Failure::NotFound(problem)), Some(cursor)) => {
            call.log(&format!(
                "{}; going on with the folder that had this name before",
                problem.message
            ));
            Folder {
                id: cursor.folder.clone(),
                path: input.folder.clone(),
            }
        }
        (found, _) => found?,
    };
    let since = input.since()?;
    let cursor = match cursor {
        Some(cursor) if cursor.folder == folder.id => cursor,
        // Another folder has the name: what is in it counts from where the first one was left.
        other => {
            let from = other.as_ref().map(|other| other.scanned - OVERLAP);
            let from = from.or(since);
            Cursor {
                version: VERSION,
                folder: folder.id.clone(),
                link: None,
                is_behind: false,
                walk: None,
                start: from.unwrap_or(now),
                scanned: from.unwrap_or(now),
                scan: None,
                given: Vec::new(),
                held: other.map(|other| other.held).unwrap_or_default(),
                shown_at: 0,
            }
        }
    };
    Ok((folder, cursor))
}

struct Poll<'p, 'c> {
    mailbox: &'p Mailbox<'c>,
    input: &'p Input,
    folder: &'p Folder,
    taking: Taking<'p, 'c>,
    items: Vec<Message>,
    /// What could not be read, and why.
    failed: Vec<(Message, Failure)>,
    pages: usize,
}

impl Poll<'_, '_> {
    /// Tries again what could not be read before, where it is time: a few, so that they leave the rest
    /// of the poll its time.
    fn again(&mut self, cursor: &mut Cursor, now: i64) -> Result<(), Failure> {
        let due = cursor.held.iter().filter(|held| held.is_due(now));
        let due: Vec<String> = due.take(AGAIN).map(|held| held.id.clone()).collect();
        for id in due {
            match self.taking.row(&id) {
                Ok(Some(row)) => self.read(&[row], cursor)?,
                Ok(None) => {}
                Err(Trouble::OfAll(failure)) => return Err(failure),
                Err(Trouble::OfOne(failure)) => {
                    let row = serde_json::json!({"id": id});
                    let message = Message::listed(&row, &self.folder.path, self.mailbox.address());
                    self.failed.push((message, failure));
                }
            }
            // What was read, or is gone, is not held any more.
            if !self.has_failed(&id) {
                cursor.held.retain(|held| held.id != id);
            }
        }
        Ok(())
    }

    /// Sets aside what could not be read, or gives it with the reason where that is enough.
    fn settle(&mut self, cursor: &mut Cursor, now: i64) -> Result<(), Failure> {
        let wants_documents = self.input.attachments || self.input.original;
        let is_telling = |message: &Message| message.has_documents() || !wants_documents;
        if self.items.iter().any(is_telling) {
            cursor.shown_at = now;
        }
        let is_new = |id: &str| !cursor.held.iter().any(|held| held.id == id);
        let new = self.failed.iter().filter(|(one, _)| is_new(&one.id));
        let unread = cursor.held.len() + new.count();
        for (mut message, failure) in std::mem::take(&mut self.failed) {
            let problem = failure.problem();
            let known = cursor.held.iter_mut().find(|held| held.id == message.id);
            let is_enough = match known {
                Some(held) => held.failed_again(now, cursor.shown_at, unread == 1),
                None if unread > MOST_HELD => return Err(failure),
                None => {
                    cursor.held.push(Held::new(&message.id, now));
                    false
                }
            };
            if !is_enough {
                let line = "a message cannot be read yet, and is tried again";
                self.mailbox
                    .call()
                    .log(&format!("{line}: {}", problem.message));
                continue;
            }
            cursor.held.retain(|held| held.id != message.id);
            message.failure = Some(Unreadable {
                code: problem.code.clone(),
                message: problem.message.clone(),
            });
            self.give(message, cursor);
        }
        Ok(())
    }

    /// What the delta query has; says whether it has more.
    fn delta(&mut self, cursor: &mut Cursor, now: i64) -> Result<bool, Failure> {
        // A listing under way comes first, unless the delta query is the one that is behind.
        if cursor.scan.is_some() && !cursor.is_behind {
            return Ok(false);
        }
        let mut has_started_over = false;
        while !self.is_full() {
            let link = cursor.link.as_deref();
            if link.is_none() {
                cursor.walk = Some((now, 0));
            }
            let since = cursor.start.max(cursor.scanned - START_OVER);
            self.pages += 1;
            let size = self.input.page_size;
            let Some(found) = changes(self.mailbox, &self.folder.id, since, size, link)? else {
                if has_started_over || cursor.link.is_none() {
                    return Err(Failure::Unavailable(Problem::new(
                        "SyncStateNotFound",
                        "the service loses the delta query's place again and again",
                    )));
                }
                has_started_over = true;
                cursor.link = None;
                continue;
            };
            self.take(&found.rows, cursor)?;
            cursor.link = Some(found.link);
            cursor.is_behind = !found.is_end;
            if let Some((_, walked)) = &mut cursor.walk {
                *walked += found.rows.len();
            }
            if found.is_end {
                // A walk to the end knows as much as a listing by time.
                if let Some((began, walked)) = cursor.walk.take()
                    && walked < MOST_WALKED
                {
                    cursor.scanned = cursor.scanned.max(began);
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What a listing by time has, where it is due; says whether it has more.
    fn scan(&mut self, cursor: &mut Cursor, now: i64) -> Result<bool, Failure> {
        let (began, since) = match cursor.scan.take() {
            Some(under_way) => under_way,
            None if now - cursor.scanned < SCAN_EVERY => return Ok(false),
            None => (now, cursor.start.max(cursor.scanned - OVERLAP)),
        };
        let mut reached = since;
        let mut link: Option<String> = None;
        while !self.is_full() {
            self.pages += 1;
            let size = self.input.page_size;
            let (rows, next) =
                received_since(self.mailbox, &self.folder.id, since, size, link.as_deref())?;
            self.take(&rows, cursor)?;
            let last = rows.last().and_then(|row| text(row, "receivedDateTime"));
            reached = last.and_then(json_time).unwrap_or(reached);
            link = next;
            if link.is_none() {
                cursor.scanned = began;
                return Ok(false);
            }
        }
        cursor.scan = Some((began, reached));
        Ok(true)
    }

    fn is_full(&self) -> bool {
        let taken = self.items.len() + self.failed.len();
        taken >= self.input.limit || self.pages >= MOST_PAGES
    }

    /// Takes over what is wanted of a page and was not given lately.
    fn take(&mut self, rows: &[Value], cursor: &mut Cursor) -> Result<(), Failure> {
        let mut wanted = Vec::new();
        for row in rows {
            let is_gone = row.get("@removed").is_some();
            let is_draft = row["isDraft"].as_bool().unwrap_or(false);
            let Some(id) = text(row, "id") else { continue };
            let is_known = cursor.given.contains(&hash(id))
                || cursor.held.iter().any(|held| held.id == id)
                || self.has_failed(id);
            if is_gone || is_draft || is_known || !self.input.wants(row) {
                continue;
            }
            wanted.push(row.clone());
        }
        self.read(&wanted, cursor)
    }

    /// Takes over the messages of these rows. One that was moved away meanwhile was not given, and may
    /// come back.
    fn read(&mut self, rows: &[Value], cursor: &mut Cursor) -> Result<(), Failure> {
        let mut taken = self.taking.all(rows, self.folder)?;
        self.failed.append(&mut taken.failed);
        for message in taken.messages {
            self.give(message, cursor);
        }
        Ok(())
    }

    fn give(&mut self, mut message: Message, cursor: &mut Cursor) {
        message.key = Some(message.id.clone());
        cursor.given.push(hash(&message.id));
        let old = cursor.given.len().saturating_sub(REMEMBERED);
        cursor.given.drain(..old);
        self.items.push(message);
    }

    fn has_failed(&self, id: &str) -> bool {
        self.failed.iter().any(|(message, _)| message.id == id)
    }
}

/// FNV-1a, 53 bits of it: a number that every JSON reader keeps whole.
fn hash(id: &str) -> u64 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash >> 11
}
