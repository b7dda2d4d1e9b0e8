//! One attempt's side in the host: what it may do, and what it has done so far.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use docket_connections::AccountInfo;
use docket_engine::{Documents, LogLevel, Reporter, StepCall, Stop};
use docket_model::{Digest, DocumentRef, RunId, StepPath};
use wasmtime::component::{Resource, ResourceTable, ResourceTableError};

use crate::Limits;
use crate::allowance::Allowance;
use crate::effects::Desk;
use crate::egress::Channel;
use crate::handles::Document;
use crate::meter::{Limit, Meter};
use crate::wasi::Wasi;

/// What the guest's store holds.
pub(crate) struct Attempt {
    pub(crate) meter: Meter,
    pub(crate) table: ResourceTable,
    /// A panic's text, handed over just before the trap.
    pub(crate) panic: Option<String>,
    /// What stands in for the machine, where the guest's toolchain imports WASI.
    pub(crate) wasi: Wasi,
    work: Option<Box<Work>>,
}

/// What is left of an attempt.
pub(crate) struct Ended {
    pub(crate) meter: Meter,
    /// A panic's text.
    pub(crate) panic: Option<String>,
    /// The end of what was written to standard error.
    pub(crate) last_words: Option<String>,
    pub(crate) work: Option<Box<Work>>,
}

/// What an attempt may do; `describe` has none of it.
pub(crate) struct Work {
    pub(crate) limits: Arc<Limits>,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) channel: Arc<dyn Channel>,
    pub(crate) account: Option<AccountInfo>,
    pub(crate) reporter: Arc<dyn Reporter>,
    pub(crate) run: RunId,
    pub(crate) path: StepPath,
    pub(crate) idempotency_key: String,
    pub(crate) desk: Desk,
    pub(crate) time: Allowance,
    /// The effects so far; the next one's index.
    pub(crate) effects: u32,
    /// Documents in the making.
    pub(crate) writers: usize,
    /// The document bytes that may still be written and received.
    pub(crate) document_bytes_left: u64,
    /// The bytes of answers that may still arrive.
    pub(crate) answer_bytes_left: u64,
    /// Documents that were given, made or received, with their sizes: what an output may refer to.
    pub(crate) known: HashMap<Digest, u64>,
    /// URLs behind the opaque names of this attempt. Secret.
    pub(crate) sealed: HashMap<String, Arc<str>>,
    pub(crate) log_lines: u64,
    pub(crate) progress_reports: u64,
}

impl Attempt {
    /// An attempt without any capability, for `describe`.
    pub(crate) fn describing(limits: &Limits) -> Self {
        Self {
            meter: Meter::new(limits, limits.describe_cpu),
            table: ResourceTable::new(),
            panic: None,
            wasi: Wasi::new(0, ""),
            work: None,
        }
    }

    /// An attempt of a step, which starts now.
    pub(crate) fn of_step(
        call: &StepCall,
        time: Allowance,
        limits: &Arc<Limits>,
        documents: &Arc<dyn Documents>,
        channel: Arc<dyn Channel>,
        reporter: Arc<dyn Reporter>,
        desk: Desk,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let account = channel.account();
        let work = Work {
            limits: Arc::clone(limits),
            documents: Arc::clone(documents),
            channel,
            account,
            reporter,
            run: call.run.clone(),
            path: call.path.clone(),
            idempotency_key: call.idempotency_key.clone(),
            desk,
            time,
            effects: 0,
            writers: 0,
            document_bytes_left: limits.document_bytes,
            answer_bytes_left: limits.answer_bytes,
            known: HashMap::new(),
            sealed: HashMap::new(),
            log_lines: 0,
            progress_reports: 0,
        };
        Self {
            meter: Meter::new(limits, limits.cpu),
            table,
            panic: None,
            wasi: Wasi::new(started_at(call), &call.idempotency_key),
            work: Some(Box::new(work)),
        }
    }

    /// What the attempt may do. A guest without capabilities has no handle to get here by.
    pub(crate) fn work(&mut self) -> wasmtime::Result<&mut Work> {
        self.work
            .as_deref_mut()
            .ok_or_else(|| wasmtime::format_err!("no capability was given"))
    }

    /// Writes a line to the run's log; `describe` has none.
    pub(crate) fn say(&mut self, level: LogLevel, line: &str) {
        if let Some(work) = self.work.as_deref_mut() {
            work.say(level, line);
        }
    }

    /// What is left when the guest has ended.
    pub(crate) fn end(mut self) -> Ended {
        self.flush_stdio();
        Ended {
            last_words: self.wasi.stdio.last_words(),
            meter: self.meter,
            panic: self.panic,
            work: self.work,
        }
    }

    /// Gives the guest a handle.
    pub(crate) fn push<T: Send + 'static>(&mut self, entry: T) -> wasmtime::Result<Resource<T>> {
        let limit = self.table.max_capacity();
        self.table.push(entry).map_err(|error| match error {
            ResourceTableError::Full => wasmtime::Error::new(Limit::Handles(limit)),
            other => wasmtime::Error::new(other),
        })
    }

    /// Gives the guest a document, which its output may refer to from now on.
    pub(crate) fn adopt(&mut self, document: DocumentRef) -> wasmtime::Result<Resource<Document>> {
        self.work()?.known.insert(document.digest, document.size);
        self.push(Document(document))
    }

    /// Waits for the host's part of a call on a thread that may block, off the guest's time.
    pub(crate) async fn blocking<T: Send + 'static>(
        &mut self,
        task: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> wasmtime::Result<T> {
        self.meter.pause();
        let done = off_thread(task).await;
        self.meter.resume();
        done.map_err(wasmtime::Error::new)
    }
}

/// When the attempt started, in milliseconds since the Unix epoch.
pub(crate) fn started_at(call: &StepCall) -> u64 {
    u64::try_from(call.started_at.as_millisecond()).unwrap_or_default()
}

impl Work {
    /// How long a request may take now, once it has its turn: it ends a little before the attempt does, so that its
    /// outcome is still recorded.
    pub(crate) fn request_time(&self, wanted: Option<Duration>) -> Duration {
        const MARGIN: Duration = Duration::from_millis(500);
        let left = self.time.left();
        let limit = self
            .limits
            .request_timeout
            .min(left - MARGIN.min(left / 10));
        wanted.map_or(limit, |wanted| wanted.min(limit))
    }
}

/// Runs what touches the disk on a thread that may block.
///
/// # Errors
/// The disk's, as the host's own fault.
pub(crate) async fn off_thread<T: Send + 'static>(
    task: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Stop> {
    match tokio::task::spawn_blocking(task).await {
        Ok(done) => done.map_err(Stop::from),
        Err(error) => Err(Stop::Fault(error.to_string())),
    }
}
