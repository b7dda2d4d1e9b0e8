//! How a guest's effects reach the journal of its attempt.
//!
//! The journal is borrowed from the engine for the length of the attempt and cannot go into the
//! guest's store. So the guest leaves each effect at a desk and waits for the outcomes; the attempt's
//! own loop, which holds the journal, serves the desk. Effects are sequential by construction.

use docket_engine::Stop;
use docket_model::{EffectCall, Outcome};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

/// An effect that waits to be made or answered.
pub(crate) struct Effect {
    pub(crate) call: EffectCall,
    /// Done once it can be made.
    pub(crate) ready: BoxFuture<'static, ()>,
    pub(crate) exec: BoxFuture<'static, Result<Vec<Outcome>, Stop>>,
    pub(crate) reply: oneshot::Sender<Vec<Outcome>>,
}

/// Where a guest leaves its effects.
#[derive(Clone)]
pub(crate) struct Desk(mpsc::Sender<Effect>);

/// A desk, and what is left at it.
pub(crate) fn desk() -> (Desk, mpsc::Receiver<Effect>) {
    let (sender, receiver) = mpsc::channel(1);
    (Desk(sender), receiver)
}

impl Desk {
    /// Leaves an effect and waits for its outcomes; `None` where the attempt is over.
    pub(crate) async fn effect(
        &self,
        call: EffectCall,
        ready: BoxFuture<'static, ()>,
        exec: BoxFuture<'static, Result<Vec<Outcome>, Stop>>,
    ) -> Option<Vec<Outcome>> {
        let (reply, outcomes) = oneshot::channel();
        let effect = Effect {
            call,
            ready,
            exec,
            reply,
        };
        self.0.send(effect).await.ok()?;
        outcomes.await.ok()
    }
}
