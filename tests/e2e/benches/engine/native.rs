//! An engine whose actions are native and do next to nothing, so that what is measured is the
//! engine's own.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use docket_e2e::LabClock;
use docket_engine::{
    Engine, EventStore, Journal, Ports, Reporter, StepCall, StepRunner, Stop, TokioTimer,
};
use docket_journal::{MemoryDocuments, SqliteStore};
use docket_model::{Clock, EffectCall, Outcome, Plan, RequestRecord, StepOutput, StepResult};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::plans;

/// What the actions do.
pub(crate) enum Action {
    /// Nothing.
    Nothing,
    /// A request that may not be repeated, and that takes no time: its intent is synced.
    Effect,
    /// Nothing, once there is a permit.
    Wait(Semaphore),
}

/// Runs the actions, and notes when each began.
pub(crate) struct Native {
    pub(crate) action: Action,
    begun: Mutex<Vec<(String, Instant)>>,
    /// How many attempts have begun.
    pub(crate) count: Semaphore,
}

#[async_trait]
impl StepRunner for Native {
    async fn run(
        &self,
        call: StepCall,
        journal: &mut dyn Journal,
        _reporter: Arc<dyn Reporter>,
    ) -> Result<StepResult, Stop> {
        self.count.add_permits(1);
        match &self.action {
            Action::Nothing => self.note(&call),
            Action::Effect => {
                self.note(&call);
                let exec = async { Ok(vec![Outcome::InDoubt]) };
                journal.effect(effect(), Box::pin(exec)).await?;
            }
            Action::Wait(gate) => gate.acquire().await.unwrap().forget(),
        }
        Ok(StepResult::Done(StepOutput {
            value: json!({"done": call.path.to_string()}),
            cursor: None,
        }))
    }
}

fn effect() -> EffectCall {
    EffectCall {
        requests: vec![RequestRecord {
            method: "POST".to_owned(),
            url: "https://graph.microsoft.com/v1.0/users/x@contoso.example/messages".to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Vec::new(),
            sent_as: None,
            is_repeatable: false,
        }],
    }
}

impl Native {
    fn note(&self, call: &StepCall) {
        let mut begun = self.begun.lock().unwrap();
        begun.push((call.run.to_string(), Instant::now()));
    }

    /// From the beginning of each step to that of the next one of its run.
    pub(crate) fn steps(&self) -> Vec<Duration> {
        let mut begun = std::mem::take(&mut *self.begun.lock().unwrap());
        begun.sort();
        begun
            .windows(2)
            .filter(|pair| pair[0].0 == pair[1].0)
            .map(|pair| pair[1].1 - pair[0].1)
            .collect()
    }
}

/// An engine over a journal on the disk of the target folder.
pub(crate) struct Ground {
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) native: Arc<Native>,
    pub(crate) folder: TempDir,
}

impl Ground {
    pub(crate) fn new(action: Action) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self::over(folder, action)
    }

    /// Closes it, and leaves its folder.
    pub(crate) fn close(self) -> TempDir {
        self.folder
    }

    pub(crate) fn over(folder: TempDir, action: Action) -> Self {
        let store = Arc::new(SqliteStore::open(&folder.path().join("journal.db")).unwrap());
        let native = Arc::new(Native {
            action,
            begun: Mutex::default(),
            count: Semaphore::new(0),
        });
        let clock: Arc<dyn Clock> = Arc::new(LabClock::default());
        let engine = Engine::new(Ports {
            store: Arc::clone(&store) as Arc<dyn EventStore>,
            documents: Arc::new(MemoryDocuments::new()),
            runner: Arc::clone(&native) as _,
            timer: Arc::new(TokioTimer::new(Arc::clone(&clock))),
            clock,
        });
        Self {
            engine: Arc::new(engine),
            store,
            native,
            folder,
        }
    }
}

/// A plan of so many steps, one after the other.
pub(crate) fn plan(steps: u32) -> Plan {
    let step = |number| plans::named(&format!("step-{number}"), "act");
    plans::plan((0..steps).map(step).collect())
}
