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

    pub(crate) fn take(&self) -> Vec<Ready> {
        std::mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ready once something came since it was last.
    pub(crate) async fn came(&self) {
        self.came.notified().await;
    }
}
