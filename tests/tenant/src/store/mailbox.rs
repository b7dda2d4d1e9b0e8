//! One mailbox: folders, messages, and the indexes that keep requests fast.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use crate::store::ids::{IdForm, IdSpace, ItemRef};
use crate::store::message::{Attachment, Message};

/// Newest first: the order in which Graph lists messages.
pub(crate) type Position = (Reverse<i64>, Reverse<u64>);

/// A well-known folder: its Graph name, its English display name, and whether it is hidden.
pub(crate) const WELL_KNOWN: [(&str, &str, bool); 12] = [
    ("msgfolderroot", "Top of Information Store", false),
    ("inbox", "Inbox", false),
    ("drafts", "Drafts", false),
    ("sentitems", "Sent Items", false),
    ("deleteditems", "Deleted Items", false),
    ("junkemail", "Junk Email", false),
    ("archive", "Archive", false),
    ("outbox", "Outbox", false),
    ("conversationhistory", "Conversation History", false),
    ("syncissues", "Sync Issues", true),
    ("recoverableitemsdeletions", "Deletions", true),
    ("searchfolders", "Search Folders", true),
];

/// Well-known names of folders that a mailbox may lack.
pub(crate) const ABSENT: [&str; 5] = [
    "clutter",
    "conflicts",
    "localfailures",
    "serverfailures",
    "scheduled",
];

/// The keys of folders that the tenant itself uses.
pub(crate) mod folder {
    pub(crate) const ROOT: u32 = 1;
    pub(crate) const INBOX: u32 = 2;
    pub(crate) const DRAFTS: u32 = 3;
    pub(crate) const SENT: u32 = 4;
    pub(crate) const DELETED: u32 = 5;
    pub(crate) const RECOVERABLE: u32 = 11;
}

/// What happened to a message in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Created,
    Updated,
    Removed,
}

/// One line of a folder's change log, which delta queries read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) sequence: u64,
    pub(crate) key: u64,
    /// The id's generations at that time, for `@removed`.
    pub(crate) generation: u32,
    pub(crate) immutable_generation: u32,
    pub(crate) kind: ChangeKind,
}

/// A mail folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) key: u32,
    pub(crate) parent: Option<u32>,
    pub(crate) well_known: Option<&'static str>,
    pub(crate) name: String,
    pub(crate) is_hidden: bool,
    pub(crate) is_search: bool,
    pub(crate) items: BTreeSet<Position>,
    /// The size of its messages, in bytes.
    pub(crate) size: usize,
    pub(crate) unread: usize,
    pub(crate) log: Vec<Change>,
}

/// A mailbox.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) ids: IdSpace,
    pub(crate) messages: HashMap<u64, Arc<Message>>,
    pub(crate) folders: BTreeMap<u32, Folder>,
    pub(crate) order: BTreeSet<Position>,
    /// Bumped to make every delta token stale.
    pub(crate) delta_epoch: u32,
    pub(crate) sequence: u64,
    /// The size of all messages, in bytes.
    pub(crate) size: usize,
    by_internet_id: HashMap<String, Vec<u64>>,
    by_conversation: HashMap<String, Vec<u64>>,
    by_property: HashMap<String, HashMap<String, Vec<u64>>>,
    next_folder: u32,
}

/// Where `message` stands in the order.
pub(crate) fn position(message: &Message) -> Position {
    (Reverse(message.received.as_second()), Reverse(message.key))
}

impl Mailbox {
    /// A new mailbox with the well-known folders, `localised` overriding display names.
    pub(crate) fn new(guid: &str, localised: &BTreeMap<String, String>) -> Self {
        let mut folders = BTreeMap::new();
        for (key, (well_known, name, is_hidden)) in (1..).zip(WELL_KNOWN) {
            let name = localised.get(well_known).map_or(name, String::as_str);
            let parent = (key != folder::ROOT).then_some(folder::ROOT);
            folders.insert(
                key,
                Folder::new(key, parent, Some(well_known), name, is_hidden),
            );
        }
        Self {
            ids: IdSpace::new(guid),
            messages: HashMap::new(),
            folders,
            order: BTreeSet::new(),
            delta_epoch: 0,
            sequence: 0,
            size: 0,
            by_internet_id: HashMap::new(),
            by_conversation: HashMap::new(),
            by_property: HashMap::new(),
            next_folder: 100,
        }
    }

    // Folders

    /// The folder that a well-known name or an id means.
    pub(crate) fn find_folder(&self, name_or_id: &str) -> Option<u32> {
        let known = self.folders.values().find(|folder| {
            folder
                .well_known
                .is_some_and(|name| name.eq_ignore_ascii_case(name_or_id))
        });
        known.map(|folder| folder.key).or_else(|| {
            self.ids
                .parse_folder(name_or_id)
                .filter(|key| self.folders.contains_key(key))
        })
    }

    /// The folder at a path of display names below the top, e.g. `Invoices` or `Inbox/2026`.
    pub(crate) fn find_path(&self, path: &str) -> Option<u32> {
        let mut at = folder::ROOT;
        for name in path.split('/') {
            at = self.child_named(at, name)?;
        }
        Some(at)
    }

    /// A child by display name, compared without case, hidden ones included.
    pub(crate) fn child_named(&self, parent: u32, name: &str) -> Option<u32> {
        self.children(parent)
            .find(|child| child.name.eq_ignore_ascii_case(name))
            .map(|child| child.key)
    }

    pub(crate) fn children(&self, parent: u32) -> impl Iterator<Item = &Folder> {
        self.folders
            .values()
            .filter(move |folder| folder.parent == Some(parent))
    }

    /// Makes a folder; the caller has checked the name.
    pub(crate) fn add_folder(
        &mut self,
        parent: u32,
        name: &str,
        is_hidden: bool,
        is_search: bool,
    ) -> u32 {
        let key = self.next_folder;
        self.next_folder += 1;
        let mut folder = Folder::new(key, Some(parent), None, name, is_hidden);
        folder.is_search = is_search;
        self.folders.insert(key, folder);
        key
    }

    // Messages

    /// The message that an id means, if the id is not stale.
    pub(crate) fn resolve(&self, item: ItemRef) -> Option<&Arc<Message>> {
        let message = self.messages.get(&item.key)?;
        let generation = match item.form {
            IdForm::Default => message.generation,
            IdForm::Immutable => message.immutable_generation,
        };
        (generation == item.generation).then_some(message)
    }

    /// A message's id in `form`.
    pub(crate) fn message_id(&self, message: &Message, form: IdForm) -> String {
        match form {
            IdForm::Default => self.ids.message(form, message.key, message.generation),
            IdForm::Immutable => self
                .ids
                .message(form, message.key, message.immutable_generation),
        }
    }

    /// An attachment's id in `form`.
    pub(crate) fn attachment_id(
        &self,
        message: &Message,
        attachment: &Attachment,
        form: IdForm,
    ) -> String {
        let generation = match form {
            IdForm::Default => message.generation,
            IdForm::Immutable => message.immutable_generation,
        };
        self.ids
            .attachment(form, message.key, generation, attachment.number)
    }

    /// Puts a new message into its folder.
    pub(crate) fn insert(&mut self, message: Message) -> Arc<Message> {
        let message = Arc::new(message);
        self.index(&message);
        self.log(message.folder, &message, ChangeKind::Created);
        self.messages.insert(message.key, Arc::clone(&message));
        message
    }

    /// Changes a message in place; its key and folder must stay.
    pub(crate) fn update(
        &mut self,
        key: u64,
        now: Timestamp,
        change: impl FnOnce(&mut Message),
    ) -> Option<Arc<Message>> {
        let mut message = self.messages.remove(&key)?;
        self.unindex(&message);
        let inner = Arc::make_mut(&mut message);
        change(inner);
        inner.change += 1;
        inner.modified = now;
        self.index(&message);
        self.log(message.folder, &message, ChangeKind::Updated);
        self.messages.insert(key, Arc::clone(&message));
        Some(message)
    }

    /// Moves a message to another folder, which changes its default id.
    pub(crate) fn relocate(&mut self, key: u64, to: u32, now: Timestamp) -> Option<Arc<Message>> {
        self.relocate_with(key, to, now, |_| {})
    }

    /// Moves a message and changes it in the same step.
    pub(crate) fn relocate_with(
        &mut self,
        key: u64,
        to: u32,
        now: Timestamp,
        change: impl FnOnce(&mut Message),
    ) -> Option<Arc<Message>> {
        let mut message = self.messages.remove(&key)?;
        self.unindex(&message);
        self.log(message.folder, &message, ChangeKind::Removed);
        let inner = Arc::make_mut(&mut message);
        change(inner);
        inner.generation += 1;
        inner.change += 1;
        inner.modified = now;
        inner.folder = to;
        self.index(&message);
        self.log(to, &message, ChangeKind::Created);
        self.messages.insert(key, Arc::clone(&message));
        Some(message)
    }

    /// Takes a message out of the mailbox.
    pub(crate) fn remove(&mut self, key: u64) -> Option<Arc<Message>> {
        let message = self.messages.remove(&key)?;
        self.unindex(&message);
        self.log(message.folder, &message, ChangeKind::Removed);
        Some(message)
    }

    /// Messages with this `internetMessageId`.
    pub(crate) fn with_internet_id(&self, id: &str) -> &[u64] {
        self.by_internet_id.get(id).map_or(&[], Vec::as_slice)
    }

    /// Messages of this conversation.
    pub(crate) fn with_conversation(&self, id: &str) -> &[u64] {
        self.by_conversation.get(id).map_or(&[], Vec::as_slice)
    }

    /// Messages with this extended property value; `id` is canonical, values ignore case.
    pub(crate) fn with_property(&self, id: &str, value: &str) -> &[u64] {
        self.by_property
            .get(id)
            .and_then(|values| values.get(&value.to_lowercase()))
            .map_or(&[], Vec::as_slice)
    }

    fn log(&mut self, folder: u32, message: &Message, kind: ChangeKind) {
        self.sequence += 1;
        let sequence = self.sequence;
        if let Some(folder) = self.folders.get_mut(&folder) {
            folder.log.push(Change {
                sequence,
                key: message.key,
                generation: message.generation,
                immutable_generation: message.immutable_generation,
                kind,
            });
        }
    }

    fn index(&mut self, message: &Message) {
        let at = position(message);
        self.order.insert(at);
        let size = message.size();
        self.size += size;
        if let Some(folder) = self.folders.get_mut(&message.folder) {
            folder.items.insert(at);
            folder.size += size;
            folder.unread += usize::from(!message.is_read);
        }
        self.by_internet_id
            .entry(message.internet_message_id.clone())
            .or_default()
            .push(message.key);
        self.by_conversation
            .entry(message.conversation_id.clone())
            .or_default()
            .push(message.key);
        for (id, value) in &message.properties {
            let values = self.by_property.entry(id.clone()).or_default();
            values
                .entry(value.to_lowercase())
                .or_default()
                .push(message.key);
        }
    }

    fn unindex(&mut self, message: &Message) {
        let at = position(message);
        self.order.remove(&at);
        let size = message.size();
        self.size -= size;
        if let Some(folder) = self.folders.get_mut(&message.folder) {
            folder.items.remove(&at);
            folder.size -= size;
            folder.unread -= usize::from(!message.is_read);
        }
        forget(
            &mut self.by_internet_id,
            &message.internet_message_id,
            message.key,
        );
        forget(
            &mut self.by_conversation,
            &message.conversation_id,
            message.key,
        );
        for (id, value) in &message.properties {
            if let Some(values) = self.by_property.get_mut(id) {
                forget(values, &value.to_lowercase(), message.key);
            }
        }
    }
}

impl Folder {
    fn new(
        key: u32,
        parent: Option<u32>,
        well_known: Option<&'static str>,
        name: &str,
        is_hidden: bool,
    ) -> Self {
        Self {
            key,
            parent,
            well_known,
            name: name.to_owned(),
            is_hidden,
            is_search: false,
            items: BTreeSet::new(),
            size: 0,
            unread: 0,
            log: Vec::new(),
        }
    }
}

fn forget(index: &mut HashMap<String, Vec<u64>>, name: &str, key: u64) {
    if let Some(keys) = index.get_mut(name) {
        keys.retain(|other| *other != key);
        if keys.is_empty() {
            index.remove(name);
        }
    }
}
