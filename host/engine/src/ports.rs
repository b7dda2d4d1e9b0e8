//! What the engine needs of the world, as traits; each has a real and an in-memory implementation.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use docket_model::{
    Digest, DocumentRef, EffectCall, Event, Outcome, PinnedPlugin, RunId, StepPath, StepResult,
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use crate::StoreError;

/// One attempt's memory: answers recorded effects, and records new ones.
///
/// `&mut` on purpose: the effects of one attempt are sequential, since concurrent ones could not be
/// replayed.
#[async_trait]
pub trait Journal: Send {
    /// Answers `call` from memory, in order, or records the intent (durably, unless the call is
    /// repeatable), awaits `exec`, and records the outcomes: one for each request.
    ///
    /// An intent without outcome answers [`Outcome::InDoubt`] and leaves `exec` unpolled.
    ///
    /// # Errors
    /// [`Stop`]: the attempt must end now, and the guest be dropped without hearing of it.
    async fn effect<'a>(
        &mut self,
        call: EffectCall,
        exec: BoxFuture<'a, Result<Vec<Outcome>, Stop>>,
    ) -> Result<Vec<Outcome>, Stop>;

    /// The same for a call that must wait before it can be made, for its turn at the server. The intent
    /// is recorded once `ready` is: what a crash finds waiting was not begun, and is not in doubt. What
    /// is answered from memory waits for nothing.
    ///
    /// # Errors
    /// As [`Journal::effect`].
    async fn effect_when<'a>(
        &mut self,
        call: EffectCall,
        ready: BoxFuture<'a, ()>,
        exec: BoxFuture<'a, Result<Vec<Outcome>, Stop>>,
    ) -> Result<Vec<Outcome>, Stop> {
        let exec = async move {
            ready.await;
            exec.await
        };
        self.effect(call, Box::pin(exec)).await
    }
}

/// Why an attempt ends without a result. Not journaled as one, and never shown to the guest.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The run was cancelled, or the host shuts down.
    #[error("the run was stopped")]
    Cancelled,
    /// The plugin did something else than the journal says it did. Nothing was sent.
    #[error(
        "the plugin is not deterministic: effect {index} of {path} was {recorded}, and now is {now}"
    )]
    NonDeterministic {
        /// Whose effect.
        path: StepPath,
        /// Its place.
        index: u32,
        /// What the journal holds.
        recorded: String,
        /// What the plugin asked for.
        now: String,
    },
    /// The host itself failed: its disk, its database, its memory.
    #[error("{0}")]
    Fault(String),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.to_string())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Fault(error.to_string())
    }
}

/// Runs one attempt of a step.
#[async_trait]
pub trait StepRunner: Send + Sync {
    /// Runs the attempt to its end. A failure of the guest or of the provider is a
    /// [`StepResult::Failed`] without `retry_at`; the engine decides about retries.
    ///
    /// # Errors
    /// [`Stop`], from the journal or from the host itself.
    async fn run(
        &self,
        call: StepCall,
        journal: &mut dyn Journal,
        reporter: Arc<dyn Reporter>,
    ) -> Result<StepResult, Stop>;
}

/// One attempt of a step, ready to run.
#[derive(Debug, Clone)]
pub struct StepCall {
    /// The run.
    pub run: RunId,
    /// The step.
    pub path: StepPath,
    /// From 1.
    pub attempt: u32,
    /// When the attempt started, as the journal has it.
    pub started_at: Timestamp,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin as the plan pins it.
    pub pinned: PinnedPlugin,
    /// The action's name.
    pub action: String,
    /// The input, documents by reference.
    pub input: Value,
    /// The connection's name.
    pub connection: Option<String>,
    /// The user to act as, with a per-user connection.
    pub act_as: Option<String>,
    /// The same for every attempt of this step in this run, and unique to it.
    pub idempotency_key: String,
    /// The longest that the attempt may take.
    pub timeout: Duration,
    /// A source's cursor.
    pub cursor: Option<String>,
}

/// Hears what a run does while it does it; for views and logs. Never decides anything.
pub trait Reporter: Send + Sync {
    /// An event was appended to the run's journal.
    fn event(&self, run: &RunId, event: &Event);
    /// The guest wrote a log line.
    fn log(&self, run: &RunId, path: &StepPath, level: LogLevel, message: &str);
    /// The guest said how far it is.
    fn progress(&self, run: &RunId, path: &StepPath, done: u64, total: Option<u64>, what: &str);
    /// The scheduler could not go on with a run; `why` says whether it tries again by itself. Told
    /// once for as long as the reason stays the same.
    fn fault(&self, _run: &RunId, _why: &str) {}
}

/// How much a guest's log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For plugin authors.
    Debug,
    /// For those who look.
    Info,
    /// Somebody should look.
    Warn,
    /// Something failed.
    Error,
}

/// Keeps documents: bytes by digest, each stored once.
///
/// Calls block on the disk for as long as a page-sized read or write takes; `finish` syncs, so call
/// it where blocking is allowed.
pub trait Documents: Send + Sync {
    /// Opens a document for reading; `None` where it is not there.
    ///
    /// # Errors
    /// The disk's.
    fn open(&self, digest: Digest) -> io::Result<Option<Arc<dyn DocumentReader>>>;

    /// Starts a new document.
    ///
    /// # Errors
    /// The disk's.
    fn create(&self) -> io::Result<Box<dyn DocumentWriter>>;

    /// Makes a document count as new again, so that [`Self::sweep`] leaves it alone for its grace.
    /// Says whether it is there.
    ///
    /// # Errors
    /// The disk's.
    fn keep(&self, digest: Digest) -> io::Result<bool> {
        Ok(self.open(digest)?.is_some())
    }

    /// Removes the documents that `is_used` does not know and that were neither stored nor kept in
    /// the last `grace`. What a step has made and no event names yet is safe as long as the grace is
    /// longer than any attempt. Says how many went, and their bytes. A store that removes nothing
    /// says so.
    ///
    /// # Errors
    /// The disk's, and what `is_used` says. What was removed before stays so.
    fn sweep(
        &self,
        _now: Timestamp,
        _grace: Duration,
        _is_used: &mut dyn FnMut(Digest) -> io::Result<bool>,
    ) -> io::Result<(u64, u64)> {
        Ok((0, 0))
    }
}

/// Reads a document at any offset.
pub trait DocumentReader: Send + Sync {
    /// The length in bytes.
    fn size(&self) -> u64;

    /// Reads into `buffer` from `offset` on, and says how many bytes; 0 at and past the end.
    ///
    /// # Errors
    /// The disk's.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// A document in the making; dropped unfinished, it leaves nothing behind.
pub trait DocumentWriter: Send {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// The disk's.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Stores it durably under its digest, and gives digest and length.
    ///
    /// # Errors
    /// The disk's.
    fn finish(self: Box<Self>) -> io::Result<(Digest, u64)>;
}

impl dyn Documents + '_ {
    /// Stores bytes that are in memory as a document.
    ///
    /// # Errors
    /// The disk's.
    pub fn put(&self, name: &str, media_type: &str, bytes: &[u8]) -> io::Result<DocumentRef> {
        let mut writer = self.create()?;
        writer.write(bytes)?;
        let (digest, size) = writer.finish()?;
        Ok(DocumentRef {
            digest,
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            size,
        })
    }
}
