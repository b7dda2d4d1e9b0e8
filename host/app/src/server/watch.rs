//! Hears of all runs: logs how they end, counts, and tells requests that wait for a run.

use std::sync::atomic::{AtomicU64, Ordering};

use docket_engine::{LogLevel, Reporter};
use docket_model::{Event, EventKind, RunId, RunResult, StepPath};
use tokio::sync::broadcast;

/// How many news a slow listener may be behind; it looks for itself then.
const BEHIND: usize = 256;

/// What happened since the process started.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) succeeded: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    /// Requests that cannot be repeated, and were about to be sent.
    pub(crate) effects: AtomicU64,
}

/// Hears of all runs.
pub(crate) struct Watch {
    pub(crate) counts: Counts,
    news: broadcast::Sender<()>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            counts: Counts::default(),
            news: broadcast::Sender::new(BEHIND),
        }
    }

    /// Tells, from now on, whenever a run ends or begins to wait.
    pub(crate) fn news(&self) -> broadcast::Receiver<()> {
        self.news.subscribe()
    }
}

fn count(one: &AtomicU64) {
    one.fetch_add(1, Ordering::Relaxed);
}

impl Reporter for Watch {
    fn event(&self, run: &RunId, event: &Event) {
        match &event.kind {
            EventKind::RunFinished { result } => match result {
                RunResult::Succeeded { .. } => {
                    count(&self.counts.succeeded);
                    tracing::info!(%run, "succeeded");
                }
                RunResult::Failed { failure, .. } => {
                    count(&self.counts.failed);
                    tracing::warn!(%run, code = %failure.code, "failed: {}", failure.message);
                }
                RunResult::Cancelled => {
                    count(&self.counts.cancelled);
                    tracing::info!(%run, "cancelled");
                }
            },
            EventKind::StepWaiting { path, wait, .. } => {
                tracing::info!(%run, step = %path, "waits for {}", wait.on);
            }
            EventKind::EffectIntended { .. } => return count(&self.counts.effects),
            _ => return,
        }
        // Nobody need listen.
        let _ = self.news.send(());
    }

    fn log(&self, run: &RunId, path: &StepPath, level: LogLevel, message: &str) {
        match level {
            LogLevel::Debug => tracing::debug!(%run, step = %path, "{message}"),
            LogLevel::Info => tracing::info!(%run, step = %path, "{message}"),
            LogLevel::Warn => tracing::warn!(%run, step = %path, "{message}"),
            LogLevel::Error => tracing::error!(%run, step = %path, "{message}"),
        }
    }

    fn progress(&self, _: &RunId, _: &StepPath, _: u64, _: Option<u64>, _: &str) {}
}
