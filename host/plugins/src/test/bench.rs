//! The bench that a component is tested on: the sandbox, with counted fuel and scripted servers.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use docket_connections::{AccountInfo, Fence};
use docket_engine::{Documents, LogLevel, Reporter, StepCall};
use docket_journal::MemoryDocuments;
use docket_model::{Event, Failure, Grants, PinnedPlugin, RunId, StepOutput, StepPath, StepResult};
use docket_sandbox::{Limits, LoadError, Plugin, Sandbox, SandboxConfig, Usage};

use super::case::{Case, CaseError};
use super::journal::{Done, Record};
use super::script::{Sent, Servers, Wings};

/// The connection's name in calls.
const CONNECTION: &str = "case";
/// The longest that an attempt may take, in real time; scripted servers answer at once.
const TIMEOUT: Duration = Duration::from_secs(60);
/// More than any plugin may use, so that fuel is counted and never runs out before the time does.
const FUEL: u64 = u64::MAX / 2;

/// A component on the bench.
pub struct Bench {
    sandbox: Sandbox,
    plugin: Arc<Plugin>,
    pub(super) documents: Arc<MemoryDocuments>,
    wings: Arc<Wings>,
}

/// What came of one performance of a case.
#[derive(Debug)]
pub struct Performance {
    /// How the attempt ended.
    pub result: Result<StepOutput, Failure>,
    /// What left the plugin, in order.
    pub sent: Vec<Sent>,
    /// What the case has no answer to, and what the policy refused.
    pub problems: Vec<String>,
    /// Its log.
    pub log: Vec<String>,
    /// What it used up.
    pub usage: Usage,
    pub(super) effects: Vec<Done>,
    pub(super) broken_at: Option<usize>,
    /// How many recorded effects were asked for.
    pub(super) asked: usize,
}

impl Bench {
    /// Puts a component on the bench. `cache` is a folder for compiled code; compiling takes about a
    /// second for each megabyte, once.
    ///
    /// # Errors
    /// [`LoadError`]: it is no plugin.
    pub async fn open(component: Vec<u8>, cache: &Path) -> Result<Self, LoadError> {
        let documents = Arc::new(MemoryDocuments::new());
        let wings = Arc::new(Wings::default());
        let limits = Limits {
            instances: 2,
            fuel: Some(FUEL),
            ..Limits::default()
        };
        let config = SandboxConfig {
            components: cache.join("components"),
            cache: cache.join("compiled"),
            limits,
        };
        let sandbox = Sandbox::new(config, Arc::clone(&documents) as _, Arc::clone(&wings) as _)?;
        let plugin = sandbox.load(component).await?;
        Ok(Self {
            sandbox,
            plugin,
            documents,
            wings,
        })
    }

    /// The plugin.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// Performs a case: calls its action once, with its answers.
    ///
    /// # Errors
    /// [`CaseError`] for a case that cannot be performed. What the plugin does is never an error.
    pub async fn perform(&self, case: &Case) -> Result<Performance, CaseError> {
        let servers = self.servers(case)?;
        self.perform_with(case, servers, Record::default(), case.attempt)
            .await
    }

    /// The servers of a case, which answer from the start again.
    pub(super) fn servers(&self, case: &Case) -> Result<Arc<Servers>, CaseError> {
        let account = case.account.clone().map(|name| AccountInfo {
            connection: CONNECTION.to_owned(),
            name,
            kind: case.account_kind,
            endpoints: case.endpoints(),
        });
        let manifest = self.plugin.manifest();
        let grants = Grants::AllRequested.rules(manifest);
        let fence = Fence::new(
            &manifest.id,
            &grants,
            account.as_ref(),
            case.mailboxes.as_deref(),
        );
        let fence = fence.map_err(|error| CaseError::new(&case.name, error))?;
        Ok(Arc::new(Servers::new(
            account,
            fence,
            case.folder.clone(),
            case.answers.clone(),
        )))
    }

    pub(super) async fn perform_with(
        &self,
        case: &Case,
        servers: Arc<Servers>,
        mut record: Record<'_>,
        attempt: u32,
    ) -> Result<Performance, CaseError> {
        let documents: &dyn Documents = self.documents.as_ref();
        let input = case.input(documents)?;
        let key = case
            .idempotency_key
            .clone()
            .unwrap_or_else(|| format!("case-{}", case.name));
        let run: RunId = "case"
            .parse()
            .map_err(|error| CaseError::new(&case.name, error))?;
        let path = StepPath {
            step: "case".into(),
            item: None,
        };
        let call = StepCall {
            run,
            path,
            attempt,
            started_at: case.time,
            plugin: self.plugin.manifest().id.clone(),
            pinned: PinnedPlugin {
                version: self.plugin.manifest().version.clone(),
                component: self.plugin.digest(),
                grants: Vec::new(),
            },
            action: case.action.clone(),
            input,
            connection: case.account.as_ref().map(|_| CONNECTION.to_owned()),
            act_as: None,
            idempotency_key: key,
            timeout: TIMEOUT,
            cursor: case.cursor.clone(),
        };
        self.wings.set(Arc::clone(&servers));
        let log = Arc::new(Log::default());
        let mut usage = Usage::default();
        let ended = self
            .sandbox
            .measure(call, &mut record, Arc::clone(&log) as _, &mut usage)
            .await;
        let result = match ended {
            Ok(StepResult::Done(output)) => Ok(output),
            Ok(StepResult::Failed { failure, .. }) => Err(failure),
            Err(stop) => return Err(CaseError::new(&case.name, stop)),
        };
        Ok(Performance {
            result,
            sent: servers.sent(),
            problems: servers.problems(),
            log: log.lines(),
            usage,
            asked: record.asked(),
            broken_at: record.broken_at,
            effects: record.effects,
        })
    }
}

/// Remembers what the plugin logged.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Reporter for Log {
    fn event(&self, _: &RunId, _: &Event) {}

    fn log(&self, _: &RunId, _: &StepPath, _: LogLevel, message: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(message.to_owned());
    }

    fn progress(&self, _: &RunId, _: &StepPath, _: u64, _: Option<u64>, _: &str) {}
}
