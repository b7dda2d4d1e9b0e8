//! The running tenant's memory, as tests and the control API use it.

mod mail;
mod sign_ins;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::clock::Clock;
use crate::config::TenantConfig;
use crate::error::{GraphError, TenantError};
use crate::faults::{Fault, FaultAction, Faults};
use crate::recorder::{Recorded, Recorder};
use crate::store::World;
use crate::throttle::{Throttle, ThrottleConfig};
use crate::wire::{Call, Reply};

pub use mail::StoredMessage;
pub use sign_ins::{NewSecret, SignInRecord};

/// What the throttle engine has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ThrottleCounts {
    /// The most requests at the same time on one mailbox, refused ones included.
    pub highest_in_flight: u32,
    /// Refused requests: the 429s that the limits provoked.
    pub refused: u64,
    /// Requests beyond the limits, refused or not: with limits that are off, what they would have refused.
    pub over_limits: u64,
    /// All requests that were counted.
    pub requests: u64,
}

struct Inner {
    clock: Arc<dyn Clock>,
    /// What [`TenantState::advance`] added to the clock, in seconds.
    ahead: AtomicI64,
    world: Mutex<World>,
    faults: Mutex<Faults>,
    recorder: Mutex<Recorder>,
    throttle: Mutex<(ThrottleConfig, Throttle)>,
}

/// The tenant's memory; clones share it.
#[derive(Clone)]
pub struct TenantState(Arc<Inner>);

impl std::fmt::Debug for TenantState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantState").finish_non_exhaustive()
    }
}

/// A place in the throttle engine; dropping it counts the request out.
pub(crate) struct Permit {
    state: TenantState,
    key: (String, String),
}

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.state.0.throttle)
            .1
            .leave(&self.key.0, &self.key.1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TenantState {
    pub(crate) fn new(config: &TenantConfig, clock: Arc<dyn Clock>) -> Result<Self, TenantError> {
        let world = World::new(config, clock.now())?;
        let mut faults = Faults::default();
        for fault in &config.faults {
            faults.arm(fault.clone());
        }
        Ok(Self(Arc::new(Inner {
            clock,
            ahead: AtomicI64::new(0),
            world: Mutex::new(world),
            faults: Mutex::new(faults),
            recorder: Mutex::new(Recorder::new(config.recorded_requests)),
            throttle: Mutex::new((config.throttle.clone(), Throttle::default())),
        })))
    }

    /// Everything, locked; mail that is due has been delivered.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = lock(&self.0.world);
        if !world.pending.is_empty() {
            world.settle(self.now());
        }
        world
    }

    /// Everything, locked, as it was left.
    fn unsettled(&self) -> MutexGuard<'_, World> {
        lock(&self.0.world)
    }

    /// The tenant's time.
    pub fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.0.ahead.load(Ordering::SeqCst));
        let now = self.0.clock.now();
        now.checked_add(ahead).unwrap_or(now)
    }

    /// Moves the tenant's time ahead of its clock (back, for a negative duration), in whole seconds, so
    /// that a client in another process can let sign-ins and secrets lapse without waiting.
    pub fn advance(&self, by: SignedDuration) {
        self.0.ahead.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    /// The tenant's GUID.
    pub fn tenant_id(&self) -> String {
        self.world().tenant_id.clone()
    }

    /// The tenant's mail domain.
    pub fn domain(&self) -> String {
        self.world().domain.clone()
    }

    /// Arms a fault; returns its id.
    pub fn add_fault(&self, fault: Fault) -> String {
        lock(&self.0.faults).arm(fault)
    }

    /// Disarms a fault; `false` when there is none with this id.
    pub fn remove_fault(&self, id: &str) -> bool {
        lock(&self.0.faults).disarm(id)
    }

    /// Disarms every fault.
    pub fn clear_faults(&self) {
        lock(&self.0.faults).clear();
    }

    /// The armed faults, with their hits.
    pub fn faults(&self) -> Vec<Fault> {
        lock(&self.0.faults).all()
    }

    pub(crate) fn strike(&self, method: &str, path: &str) -> Vec<FaultAction> {
        lock(&self.0.faults).strike(method, path)
    }

    /// Applies a fault that changes the tenant and lets the request go on.
    pub(crate) fn apply_fault(&self, action: &FaultAction) {
        let done = match action {
            FaultAction::SignInLapses { user } => self.revoke_sign_ins(user),
            FaultAction::ScopeRevoked { client_id, scope } => self.set_app(client_id, |app| {
                app.delegated
                    .retain(|other| !other.eq_ignore_ascii_case(scope));
                app.roles.retain(|other| !other.eq_ignore_ascii_case(scope));
            }),
            FaultAction::SecretsExpire { client_id } => self.expire_secret(client_id, None),
            FaultAction::DeltaLost => {
                for account in &mut self.world().accounts {
                    if let Some(mailbox) = &mut account.mailbox {
                        mailbox.delta_epoch += 1;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a fault could not be applied");
        }
    }

    /// The throttle's limits.
    pub fn throttle(&self) -> ThrottleConfig {
        lock(&self.0.throttle).0.clone()
    }

    /// Changes the throttle's limits while the tenant runs.
    pub fn set_throttle(&self, config: ThrottleConfig) {
        lock(&self.0.throttle).0 = config;
    }

    /// What the throttle engine has counted.
    pub fn throttle_counts(&self) -> ThrottleCounts {
        let guard = lock(&self.0.throttle);
        ThrottleCounts {
            highest_in_flight: guard.1.highest_in_flight,
            refused: guard.1.refused,
            over_limits: guard.1.over_limits,
            requests: guard.1.requests,
        }
    }

    pub(crate) fn enter_throttle(
        &self,
        key: (String, String),
        upload: u64,
        now: Timestamp,
    ) -> Result<Permit, GraphError> {
        let mut guard = lock(&self.0.throttle);
        let (config, throttle) = &mut *guard;
        throttle.enter(config, &key.0, &key.1, upload, now)?;
        Ok(Permit {
            state: self.clone(),
            key,
        })
    }

    pub(crate) fn record(&self, call: &Call, reply: Option<&Reply>) {
        lock(&self.0.recorder).record(call, reply);
    }

    /// The requests that were made, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.0.recorder).all()
    }

    /// The newest requests, newest first, without their bodies.
    pub(crate) fn newest_requests(&self, most: usize) -> Vec<Recorded> {
        lock(&self.0.recorder).newest(most)
    }

    /// Every secret that went over the wire since the start, for searches in what others wrote: client
    /// secrets, codes, verifiers, access, refresh and id tokens, and the tokens of upload URLs. None
    /// where [`crate::TenantConfig::recorded_requests`] is zero.
    pub fn secrets(&self) -> Vec<String> {
        lock(&self.0.recorder).secrets()
    }

    /// Forgets the requests that were made.
    pub fn clear_requests(&self) {
        lock(&self.0.recorder).clear();
    }
}
