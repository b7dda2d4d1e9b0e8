//! Shows a run while it runs: lines that move on a terminal, plain lines elsewhere.
//!
//! Everything here goes to standard error; standard output belongs to results.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use docket_engine::{LogLevel, Reporter};
use docket_model::{Event, EventKind, Plan, RunId, RunResult, StepPath, StepResult};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::render::note;

/// A view of one run.
pub(crate) struct RunView {
    lines: MultiProgress,
    is_terminal: bool,
    /// Step id to `plugin/action`.
    actions: HashMap<String, String>,
    width: usize,
    action_width: usize,
    state: Mutex<HashMap<StepPath, Running>>,
}

struct Running {
    bar: ProgressBar,
    started_at: Timestamp,
}

impl RunView {
    /// A view of a run of `plan`.
    pub(crate) fn new(plan: &Plan) -> Self {
        let steps = plan.all_steps();
        Self::of(steps.map(|step| (step.id.clone(), format!("{}/{}", step.plugin, step.action))))
    }

    /// A view of a run of these steps: their ids, and what each uses.
    pub(crate) fn of(steps: impl Iterator<Item = (String, String)>) -> Self {
        let actions: HashMap<String, String> = steps.collect();
        let target = ProgressDrawTarget::stderr();
        let is_terminal = !target.is_hidden();
        // With room for an item's index.
        let longest = actions.keys().map(|id| id.len() + 4).max();
        let action_width = actions.values().map(String::len).max().unwrap_or(0);
        Self {
            action_width,
            lines: MultiProgress::with_draw_target(target),
            is_terminal,
            actions,
            width: longest.unwrap_or(0),
            state: Mutex::new(HashMap::new()),
        }
    }

    fn state(&self) -> MutexGuard<'_, HashMap<StepPath, Running>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        if self.is_terminal {
            // A terminal that went away is no reason to stop a run.
            let _ = self.lines.println(text);
        } else {
            note!("{text}");
        }
    }

    fn label(&self, path: &StepPath) -> String {
        let action = self
            .actions
            .get(path.step.as_ref())
            .map_or("", String::as_str);
        let (id, action_width) = (path.to_string(), self.action_width);
        format!("{id:width$}  {action:action_width$}", width = self.width)
    }

    fn started(&self, path: &StepPath, attempt: u32, at: Timestamp) {
        let label = self.label(path);
        let bar = self.lines.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {prefix}  {msg:.dim}") {
            bar.set_style(style);
        }
        bar.set_prefix(label);
        if attempt > 1 {
            bar.set_message(format!("attempt {attempt}"));
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        self.state().insert(
            path.clone(),
            Running {
                bar,
                started_at: at,
            },
        );
    }

    fn finished(&self, path: &StepPath, at: Timestamp, mark: &str, what: &str) {
        let running = self.state().remove(path);
        let took = running.map_or(String::new(), |running| {
            running.bar.finish_and_clear();
            self.lines.remove(&running.bar);
            seconds(at.duration_since(running.started_at))
        });
        let text = format!("  {mark} {}  {took:>8}  {what}", self.label(path));
        self.line(text.trim_end());
    }
}

/// A duration for people: `0.12 s`.
pub(crate) fn seconds(took: jiff::SignedDuration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}

impl Reporter for RunView {
    fn event(&self, _run: &RunId, event: &Event) {
        match &event.kind {
            EventKind::ItemsExpanded { step, items } => {
                self.line(&format!("  · {step}: {} items", items.len()));
            }
            EventKind::StepStarted { path, attempt, .. } => self.started(path, *attempt, event.at),
            EventKind::StepSkipped { path } => self.finished(path, event.at, "-", "skipped"),
            EventKind::StepWaiting { path, wait, .. } => {
                self.finished(path, event.at, "…", &format!("waits for {}", wait.on));
            }
            EventKind::RunFailing { failure, .. } => {
                self.line(&format!("  ✗ failing: {}", failure.message));
            }
            EventKind::RunResumed => self.line("  ↻ resumed"),
            EventKind::StepFinished { path, result, .. } => match result {
                StepResult::Done(_) => self.finished(path, event.at, "✓", ""),
                StepResult::Failed { failure, retry_at } => {
                    let mark = if retry_at.is_some() { "↻" } else { "✗" };
                    self.finished(path, event.at, mark, &failure.message);
                    if let (Some(remedy), None) = (&failure.remedy, retry_at) {
                        self.line(&format!("      help: {remedy}"));
                    }
                }
            },
            EventKind::RunFinished { result } => match result {
                RunResult::Succeeded { .. } => self.line("  succeeded"),
                RunResult::Cancelled => self.line("  cancelled"),
                RunResult::Failed {
                    path: None,
                    failure,
                } => {
                    self.line(&format!("  failed: {}", failure.message));
                }
                RunResult::Failed {
                    path: Some(path), ..
                } => {
                    self.line(&format!("  failed at {path}"));
                }
            },
            // The command that started the run has said so.
            EventKind::RunStarted { .. }
            | EventKind::Signalled { .. }
            | EventKind::SignedIn { .. }
            | EventKind::EffectIntended { .. }
            | EventKind::EffectDone { .. } => {}
        }
    }

    fn log(&self, _run: &RunId, path: &StepPath, level: LogLevel, message: &str) {
        match level {
            LogLevel::Debug => tracing::debug!(step = %path, "{message}"),
            LogLevel::Info => tracing::info!(step = %path, "{message}"),
            LogLevel::Warn => tracing::warn!(step = %path, "{message}"),
            LogLevel::Error => tracing::error!(step = %path, "{message}"),
        }
    }

    fn progress(&self, _run: &RunId, path: &StepPath, done: u64, total: Option<u64>, what: &str) {
        if let Some(running) = self.state().get(path) {
            running.bar.set_message(match total {
                Some(total) => format!("{done}/{total} {what}"),
                None => format!("{done} {what}"),
            });
        }
    }
}
