//! Listens to a run: keeps its log, and looks into the guests' memories when a guest asks for it.

use std::sync::{Arc, Mutex, PoisonError};

use docket_engine::{LogLevel, Reporter};
use docket_model::{Event, RunId, StepPath};

use crate::memory;
use crate::secrets::Secrets;

/// What a guest logs when its memory holds all that it got.
const LOOK: &str = "look";

/// A run's listener.
pub(crate) struct Watch {
    secrets: Arc<Secrets>,
    heard: Mutex<Heard>,
}

/// What was heard and seen.
#[derive(Default, Clone)]
pub(crate) struct Heard {
    pub(crate) log: Vec<String>,
    /// The secrets in guests' memories, and in what was said.
    pub(crate) leaks: Vec<String>,
    /// The bytes of memory that were searched.
    pub(crate) searched: u64,
}

impl Watch {
    pub(crate) fn new(secrets: Arc<Secrets>) -> Arc<Self> {
        Arc::new(Self {
            secrets,
            heard: Mutex::default(),
        })
    }

    pub(crate) fn heard(&self) -> Heard {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self, place: &str, text: &str) {
        let found = self.secrets.find(text.as_bytes()).into_iter();
        let leaks: Vec<String> = found.map(|hit| format!("the {place}: {hit}")).collect();
        self.lock().leaks.extend(leaks);
    }
}

impl Reporter for Watch {
    fn event(&self, _run: &RunId, event: &Event) {
        self.said("journal", &format!("{event:?}"));
    }

    fn log(&self, _run: &RunId, _path: &StepPath, _level: LogLevel, message: &str) {
        self.said("log", message);
        if message != LOOK {
            self.lock().log.push(message.to_owned());
            return;
        }
        let mut leaks = Vec::new();
        let searched = memory::each_piece(|piece| {
            let found = self.secrets.find(piece).into_iter();
            leaks.extend(found.map(|hit| format!("a guest's memory: {hit}")));
        });
        let mut heard = self.lock();
        heard.leaks.append(&mut leaks);
        match searched {
            Ok(count) => heard.searched += count,
            Err(error) => heard
                .leaks
                .push(format!("memory cannot be searched: {error}")),
        }
    }

    fn progress(&self, _: &RunId, _: &StepPath, _: u64, _: Option<u64>, message: &str) {
        self.said("progress", message);
    }
}
