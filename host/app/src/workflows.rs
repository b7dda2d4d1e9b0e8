//! The project's workflows while it is served: their files are read again when they change.
//!
//! A file that has become invalid stops nothing: what it said before goes on, and the problems are told
//! in the log, by the API and in the metrics. A file that was never valid does nothing until it is.
//! One that is gone ends its triggers; runs that were started go on by the plans that they have. What
//! `docket.yaml` says is read when the process starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use docket_engine::Triggers;
use docket_model::Plan;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::project::read_source;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The workflows.
pub(crate) struct Workflows {
    host: Arc<Host>,
    triggers: Arc<Triggers>,
    /// By their files.
    held: Mutex<BTreeMap<PathBuf, Held>>,
}

/// A workflow's file.
#[derive(Default)]
struct Held {
    /// The file and the templates that its plan has in it, as they were when they were read.
    stamps: Vec<(PathBuf, Option<Stamp>)>,
    /// What it said when it last had no problems.
    plan: Option<Arc<Plan>>,
    /// What is wrong with it now.
    problems: Option<String>,
    /// Where another file has its name.
    clash: Option<String>,
}

/// What shows that a file has changed.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Workflows {
    /// None are known before [`Self::look`].
    pub(crate) fn new(host: Arc<Host>, triggers: Arc<Triggers>) -> Self {
        Self {
            host,
            triggers,
            held: Mutex::default(),
        }
    }

    /// Reads what has changed, and sets the triggers by it. Blocks on the disk.
    pub(crate) fn look(&self) {
        // To the end: of two looks at a time the later one's plans must stay.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let files = match self.host.project.workflows() {
            Ok(files) => files,
            Err(error) => {
                tracing::error!("the workflows cannot be listed, and stay as they were: {error:#}");
                return;
            }
        };
        held.retain(|file, _| {
            let is_there = files.contains(file);
            if !is_there {
                tracing::info!(file = %file.display(), "the workflow is gone, and so are its triggers");
            }
            is_there
        });
        for file in files {
            let one = held.entry(file.clone()).or_default();
            // An invalid one may lack a file that nobody knows of.
            if one.problems.is_some() || !one.is_as_it_was(&file) {
                one.read(&self.host, &file);
            }
        }
        let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut plans = Vec::new();
        for (file, one) in held.iter_mut() {
            let Some(plan) = one.plan.clone() else {
                continue;
            };
            let first = names.get(&plan.workflow).map(|first| {
                format!(
                    "the workflow `{}` is in {} already; give this one another name",
                    plan.workflow,
                    first.display()
                )
            });
            if first.is_none() {
                names.insert(plan.workflow.clone(), file.clone());
                plans.push(plan);
            }
            if first.is_some() && one.clash != first {
                let what = first.as_deref().unwrap_or_default();
                tracing::error!(file = %file.display(), "{what}");
            }
            one.clash = first;
        }
        self.host.serve(plans.clone());
        self.triggers.set(plans);
    }

    /// What starts by itself.
    pub(crate) const fn triggers(&self) -> &Arc<Triggers> {
        &self.triggers
    }

    /// How the workflows are.
    pub(crate) fn list(&self) -> Value {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |(file, one): (&PathBuf, &Held)| {
            let problems = one.problems.as_ref().or(one.clash.as_ref());
            let plan = one.plan.as_ref().filter(|_| one.clash.is_none());
            let triggers = plan.into_iter().flat_map(|plan| &plan.triggers);
            json!({
                "file": file,
                "workflow": plan.map(|plan| &plan.workflow),
                "state": if problems.is_some() { "invalid" } else { "ready" },
                "goes-on-as-it-was": problems.is_some() && plan.is_some(),
                "problems": problems,
                "triggers": triggers.map(|trigger| &trigger.id).collect::<Vec<_>>(),
            })
        };
        json!({"workflows": held.iter().map(one).collect::<Vec<_>>()})
    }

    /// How many files are right, and how many are not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let is_invalid = |one: &&Held| one.problems.is_some() || one.clash.is_some();
        let invalid = held.values().filter(is_invalid).count() as u64;
        (held.len() as u64 - invalid, invalid)
    }

    /// Whether there is a workflow of that name or file that has never been right.
    pub(crate) fn is_broken(&self, name: &str) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut broken = held.iter().filter(|(_, one)| one.plan.is_none());
        broken.any(|(file, _)| file.file_stem().is_some_and(|stem| stem == name))
    }

    /// Looks again and again, and when the process is told to by SIGHUP, from now on.
    ///
    /// # Errors
    /// Where the signal cannot be heard.
    pub(crate) fn watch(
        self: Arc<Self>,
        shutdown: CancellationToken,
    ) -> std::io::Result<impl Future<Output = ()>> {
        #[cfg(unix)]
        let mut hangups = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        Ok(async move {
            let mut ticks = tokio::time::interval(LOOK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                #[cfg(unix)]
                let told = hangups.recv();
                #[cfg(not(unix))]
                let told = std::future::pending::<Option<()>>();
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    _ = ticks.tick() => {}
                    _ = told => {}
                }
                self.look_again().await;
            }
        })
    }

    /// [`Self::look`] for whoever must not block.
    pub(crate) async fn look_again(self: &Arc<Self>) {
        let book = Arc::clone(self);
        // It fails only where the host shuts down.
        let _ = tokio::task::spawn_blocking(move || book.look()).await;
    }
}

impl Held {
    fn is_as_it_was(&self, file: &Path) -> bool {
        let mut stamps = self.stamps.iter();
        stamps.len() > 0
            && stamps.next().is_some_and(|(first, _)| first == file)
            && self.stamps.iter().all(|(file, was)| stamp(file) == *was)
    }

    fn read(&mut self, host: &Host, file: &Path) {
        // Before it is read: what changes meanwhile is seen the next time.
        let mut stamps = vec![(file.to_owned(), stamp(file))];
        let checked = read_source(file).map(|source| host.check(&source, file));
        let problems = match checked {
            Ok((Some(plan), _)) => {
                let folder = file.parent().unwrap_or(Path::new(""));
                let templates: BTreeSet<PathBuf> = plan
                    .templates
                    .keys()
                    .map(|name| folder.join(name))
                    .collect();
                stamps.extend(templates.into_iter().map(|file| {
                    let now = stamp(&file);
                    (file, now)
                }));
                if self.plan.as_deref() != Some(&plan) {
                    tracing::info!(workflow = plan.workflow, "the workflow was read");
                    self.plan = Some(Arc::new(plan));
                }
                None
            }
            Ok((None, found)) => {
                let problems: Vec<String> = found.iter().map(ToString::to_string).collect();
                Some(problems.join("\n"))
            }
            Err(error) => Some(format!("{error:#}")),
        };
        self.stamps = stamps;
        self.note(file, problems);
    }

    /// Tells of problems once.
    fn note(&mut self, file: &Path, problems: Option<String>) {
        if let Some(problems) = problems
            .as_ref()
            .filter(|new| Some(*new) != self.problems.as_ref())
        {
            let goes_on = match self.plan {
                Some(_) => "what it said before goes on",
                None => "it does nothing until they are mended",
            };
            tracing::error!(file = %file.display(), "the workflow has problems, and {goes_on}:\n{problems}");
        }
        self.problems = problems;
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let about = std::fs::metadata(file).ok()?;
    Some(Stamp {
        modified: about.modified().ok(),
        length: about.len(),
        #[cfg(unix)]
        inode: std::os::unix::fs::MetadataExt::ino(&about),
    })
}
