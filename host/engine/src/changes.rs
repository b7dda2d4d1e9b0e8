//! The runs that became ready, on their way to the scheduler.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::Ready;

/// Holds runs until the scheduler takes them; without one, nothing is held.
#[derive(Default)]
pub(crate) struct Changes {
    is_listened_to: AtomicBool,
    ready: Mutex<Vec<Ready>>,
    came: Notify,
}

impl Changes {
    pub(crate) fn is_listened_to(&self) -> bool {
        self.is_listened_to.load(Ordering::SeqCst)
    }

    /// Begins to listen; `false` where somebody does already. What is ready from now on comes, what
    /// is ready already is in the store.
    pub(crate) fn listen(&self) -> bool {
        !self.is_listened_to.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn stop_listening(&self) {
        self.is_listened_to.store(false, Ordering::SeqCst);
        self.take();
    }

    pub(crate) fn add(&self, ready: Vec<Ready>) {
        if ready.is_empty() || !self.is_listened_to() {
            return;
        }
        let mut held = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend(ready);
        drop(held);
        self.came.notify_one();
    }

    /// Nothing yet, of an append that is about to be asked for.
    pub(crate) const fn coming(&self) -> Coming<'_> {
        Coming {
            changes: self,
            ready: Vec::new(),
        }
    }

    pub(crate) fn take(&self) -> Vec<Ready> {
        std::mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ready once something came since it was last.
    pub(crate) async fn came(&self) {
        self.came.notified().await;
    }
}

/// The runs that an append makes ready, told of when this is dropped, and not before. So they are told
/// of, too, where whoever asked for the append goes away before it is done: it is done all the same.
/// What was not appended is no run, and the scheduler finds that out.
pub(crate) struct Coming<'c> {
    changes: &'c Changes,
    ready: Vec<Ready>,
}

impl Coming<'_> {
    /// These runs, and no others.
    pub(crate) fn are(&mut self, ready: Vec<Ready>) {
        self.ready = ready;
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.changes.add(std::mem::take(&mut self.ready));
    }
}
