//! The outside of an attempt, scripted: documents in memory, a journal that replays, an egress that
//! answers by a function and remembers what it was asked.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use docket_connections::{AccountInfo, GateError, Request, Response};
use docket_engine::{
    DocumentReader, DocumentWriter, Documents, Journal, LogLevel, Reporter, StepCall, StepRunner,
    Stop,
};
use docket_model::{
    ConnectionKind, Digest, DocumentRef, EffectCall, Event, Failure, Outcome, PinnedPlugin, RunId,
    StepPath, StepResult,
};
use docket_sandbox::{Channel, Egress, Limits, Plugin, Sandbox, SandboxConfig};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use tempfile::TempDir;

/// A sandbox with the probe in it, and its outside.
pub(crate) struct Outside {
    pub(crate) sandbox: Sandbox,
    pub(crate) probe: Arc<Plugin>,
    pub(crate) documents: Arc<MemoryDocuments>,
    pub(crate) script: Arc<Script>,
    pub(crate) log: Arc<Log>,
    pub(crate) folder: TempDir,
}

impl Outside {
    pub(crate) async fn new() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub(crate) async fn with_limits(mut limits: Limits) -> Self {
        limits.instances = 8;
        Self::with_exact_limits(limits).await
    }

    pub(crate) async fn with_exact_limits(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let documents = Arc::new(MemoryDocuments::default());
        let script = Arc::new(Script::default());
        let sandbox = Sandbox::new(
            config(&folder, limits),
            documents.clone(),
            Arc::new(Out(script.clone())),
        )
        .expect("a sandbox");
        let probe = sandbox
            .add(crate::guests::probe())
            .await
            .expect("the probe loads");
        Self {
            sandbox,
            probe,
            documents,
            script,
            log: Arc::default(),
            folder,
        }
    }

    /// The way out that answers by the script.
    pub(crate) fn egress(&self) -> Arc<dyn Egress> {
        Arc::new(Out(self.script.clone()))
    }

    /// Runs an action of the probe with a journal of its own.
    pub(crate) async fn run(&self, action: &str, input: Value) -> StepResult {
        self.try_run(self.call(action, input), &mut Memory::default())
            .await
            .expect("no fault of the host")
    }

    pub(crate) async fn try_run(
        &self,
        call: StepCall,
        journal: &mut Memory,
    ) -> Result<StepResult, Stop> {
        self.sandbox.run(call, journal, self.log.clone()).await
    }

    /// The output of an action that must not fail.
    pub(crate) async fn output(&self, action: &str, input: Value) -> Value {
        match self.run(action, input).await {
            StepResult::Done(output) => output.value,
            StepResult::Failed { failure, .. } => panic!("{failure:?}"),
        }
    }

    /// The failure of an action that must fail; after it the sandbox must still work.
    pub(crate) async fn failure(&self, action: &str, input: Value) -> Failure {
        let failure = match self.run(action, input).await {
            StepResult::Failed {
                failure,
                retry_at: None,
            } => failure,
            other => panic!("{other:?}"),
        };
        let hello = serde_json::json!({"hello": "again"});
        assert_eq!(self.output("echo", hello.clone()).await, hello);
        failure
    }

    pub(crate) fn call(&self, action: &str, input: Value) -> StepCall {
        StepCall {
            run: "run-1".parse().expect("an id"),
            path: StepPath {
                step: "step".into(),
                item: None,
            },
            attempt: 1,
            started_at: "2026-11-21T09:00:00Z".parse().expect("a time"),
            plugin: "probe".to_owned(),
            pinned: PinnedPlugin {
                version: self.probe.manifest().version.clone(),
                component: self.probe.digest(),
                grants: Vec::new(),
            },
            action: action.to_owned(),
            input,
            connection: Some("contracts".to_owned()),
            act_as: None,
            idempotency_key: "run-1/step".to_owned(),
            timeout: Duration::from_secs(60),
            cursor: None,
        }
    }
}

pub(crate) fn config(folder: &TempDir, limits: Limits) -> SandboxConfig {
    SandboxConfig {
        components: folder.path().join("components"),
        cache: folder.path().join("cache"),
        limits,
    }
}

/// A request as it left the sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) with_token: bool,
    pub(crate) timeout: Duration,
}

type Answer = Box<dyn Fn(&Sent) -> Result<Response, GateError> + Send + Sync>;

/// Answers requests by a function and remembers them.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) sent: Mutex<Vec<Sent>>,
    /// URLs, and what was asked for when they came.
    pub(crate) related: Mutex<Vec<(String, String)>>,
    answer: Mutex<Option<Answer>>,
}

impl Script {
    pub(crate) fn answer(
        &self,
        answer: impl Fn(&Sent) -> Result<Response, GateError> + Send + Sync + 'static,
    ) {
        *self.answer.lock().expect("lock") = Some(Box::new(answer));
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().expect("lock").clone()
    }
}

/// An answer with a text.
pub(crate) fn text(status: u16, headers: &[(&str, &str)], text: &str) -> Response {
    bytes(
        status,
        headers,
        vec![Bytes::copy_from_slice(text.as_bytes())],
    )
}

/// An answer whose body arrives in these pieces.
pub(crate) fn bytes(status: u16, headers: &[(&str, &str)], pieces: Vec<Bytes>) -> Response {
    Response {
        status,
        headers: headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        body: stream::iter(pieces.into_iter().map(Ok)).boxed(),
    }
}

struct Out(Arc<Script>);

impl Egress for Out {
    fn channel(&self, call: &StepCall) -> Result<Arc<dyn Channel>, Failure> {
        Ok(Arc::new(Way {
            script: self.0.clone(),
            connection: call.connection.clone(),
        }))
    }
}

struct Way {
    script: Arc<Script>,
    connection: Option<String>,
}

#[async_trait]
impl Channel for Way {
    fn account(&self) -> Option<AccountInfo> {
        self.connection.clone().map(|connection| AccountInfo {
            connection,
            name: "service@contoso.example".to_owned(),
            kind: ConnectionKind::ServiceAccount,
            endpoints: vec![("graph".to_owned(), "https://graph.example".to_owned())],
        })
    }

    async fn send(&self, request: Request) -> Result<Response, GateError> {
        let body = match request.body {
            None => None,
            Some(body) => {
                let pieces: Vec<Bytes> = body
                    .chunks
                    .try_collect()
                    .await
                    .map_err(|error| GateError::Fault(error.to_string()))?;
                let bytes = pieces.concat();
                assert_eq!(
                    bytes.len() as u64,
                    body.size,
                    "the size is known beforehand"
                );
                Some(bytes)
            }
        };
        let sent = Sent {
            method: request.method,
            url: request.url.to_string(),
            headers: request.headers,
            body,
            with_token: request.with_token,
            timeout: request.timeout,
        };
        self.script.sent.lock().expect("lock").push(sent.clone());
        let answer = self.script.answer.lock().expect("lock");
        answer.as_ref().expect("no network was expected")(&sent)
    }

    fn relate(&self, url: &str, asked: &str) {
        let mut related = self.script.related.lock().expect("lock");
        related.push((url.to_owned(), asked.to_owned()));
    }

    fn seal(&self, context: &str, secret: &str) -> Result<String, String> {
        Ok(format!(
            "{context}|{}",
            secret.chars().rev().collect::<String>()
        ))
    }

    fn open(&self, context: &str, sealed: &str) -> Result<Arc<str>, String> {
        let (sealed_for, secret) = sealed.split_once('|').ok_or("damaged")?;
        if sealed_for != context {
            return Err("sealed elsewhere".to_owned());
        }
        Ok(secret.chars().rev().collect::<String>().into())
    }
}

/// A journal in memory: answers what it holds, and adds what it does not.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) effects: Vec<(EffectCall, Vec<Outcome>)>,
    pub(crate) next: usize,
    /// Stops instead of this effect.
    pub(crate) stop_at: Option<usize>,
}

impl Memory {
    /// The same memory, as a new attempt at the same step finds it.
    pub(crate) fn replay(self) -> Self {
        Self { next: 0, ..self }
    }
}

#[async_trait]
impl Journal for Memory {
    async fn effect<'a>(
        &mut self,
        call: EffectCall,
        exec: BoxFuture<'a, Result<Vec<Outcome>, Stop>>,
    ) -> Result<Vec<Outcome>, Stop> {
        let index = self.next;
        self.next += 1;
        if self.stop_at == Some(index) {
            return Err(Stop::Cancelled);
        }
        if let Some((recorded, outcomes)) = self.effects.get(index) {
            if *recorded != call {
                return Err(Stop::NonDeterministic {
                    path: StepPath {
                        step: "step".into(),
                        item: None,
                    },
                    index: index as u32,
                    recorded: format!("{recorded:?}"),
                    now: format!("{call:?}"),
                });
            }
            return Ok(outcomes.clone());
        }
        let outcomes = exec.await?;
        self.effects.push((call, outcomes.clone()));
        Ok(outcomes)
    }
}

/// A journal whose effects take for ever; counts those that wait.
#[derive(Default)]
pub(crate) struct Never(pub(crate) Arc<AtomicUsize>);

#[async_trait]
impl Journal for Never {
    async fn effect<'a>(
        &mut self,
        _: EffectCall,
        _: BoxFuture<'a, Result<Vec<Outcome>, Stop>>,
    ) -> Result<Vec<Outcome>, Stop> {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    }
}

/// Documents in memory.
#[derive(Default)]
pub(crate) struct MemoryDocuments {
    pub(crate) stored: Arc<Mutex<HashMap<Digest, Arc<Vec<u8>>>>>,
}

impl MemoryDocuments {
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> DocumentRef {
        let documents: &dyn Documents = self;
        documents
            .put(name, "application/pdf", bytes)
            .expect("memory")
    }
}

impl Documents for MemoryDocuments {
    fn open(&self, digest: Digest) -> io::Result<Option<Arc<dyn DocumentReader>>> {
        let found = self.stored.lock().expect("lock").get(&digest).cloned();
        Ok(found.map(|bytes| Arc::new(InMemory(bytes)) as _))
    }

    fn create(&self) -> io::Result<Box<dyn DocumentWriter>> {
        Ok(Box::new(InTheMaking {
            bytes: Vec::new(),
            stored: self.stored.clone(),
        }))
    }
}

struct InMemory(Arc<Vec<u8>>);

impl DocumentReader for InMemory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    /// Gives at most 1,000 bytes at once, as a disk may.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buffer.len()).min(1000);
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

struct InTheMaking {
    bytes: Vec<u8>,
    stored: Arc<Mutex<HashMap<Digest, Arc<Vec<u8>>>>>,
}

impl DocumentWriter for InTheMaking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<(Digest, u64)> {
        let (digest, size) = (Digest::of(&self.bytes), self.bytes.len() as u64);
        self.stored
            .lock()
            .expect("lock")
            .insert(digest, Arc::new(self.bytes));
        Ok((digest, size))
    }
}

/// Remembers what guests said.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) lines: Mutex<Vec<(LogLevel, String)>>,
    pub(crate) reports: Mutex<u64>,
}

impl Reporter for Log {
    fn event(&self, _: &RunId, _: &Event) {}

    fn log(&self, _: &RunId, _: &StepPath, level: LogLevel, message: &str) {
        self.lines
            .lock()
            .expect("lock")
            .push((level, message.to_owned()));
    }

    fn progress(&self, _: &RunId, _: &StepPath, _: u64, _: Option<u64>, _: &str) {
        *self.reports.lock().expect("lock") += 1;
    }
}
