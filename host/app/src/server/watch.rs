//! Hears of all runs: logs how they end, counts, and tells requests that wait for a run and those who
//! tell people of needed sign-ins.

use std::sync::atomic::{AtomicU64, Ordering};

use docket_engine::{LogLevel, Reporter};
use docket_model::{Event, EventKind, RunId, RunResult, StepPath};
use docket_sign_ins::Need;
use tokio::sync::{broadcast, mpsc};

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
    news: broadcast::Sender<RunId>,
    /// Hears of the runs that begin to wait for a sign-in.
    needs: Option<mpsc::UnboundedSender<Need>>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            counts: Counts::default(),
            news: broadcast::Sender::new(BEHIND),
            needs: None,
        }
    }

    /// The same, with somebody who hears of the runs that begin to wait for a sign-in.
    pub(crate) fn with_needs(mut self, needs: mpsc::UnboundedSender<Need>) -> Self {
        self.needs = Some(needs);
        self
    }

    /// Tells, from now on, of every run to which something happened that people are shown.
    pub(crate) fn news(&self) -> broadcast::Receiver<RunId> {
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
                if let (Some(needs), Some(need)) = (&self.needs, Need::of(run, event)) {
                    // Nobody tells anybody any more while the process ends.
                    let _ = needs.send(need);
                }
            }
            EventKind::EffectIntended { .. } => return count(&self.counts.effects),
            EventKind::EffectDone { .. } => return,
            _ => {}
        }
        // Nobody need listen.
        let _ = self.news.send(run.clone());
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

    fn fault(&self, run: &RunId, why: &str) {
        tracing::error!(%run, "the run cannot go on: {why}");
    }
}
