//! What an attempt used up, for those who test plugins.

use std::time::Duration;

/// What an attempt used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// WebAssembly instructions, roughly: wasmtime's fuel. The same call uses the same on every
    /// machine. `None` where [`Limits::fuel`](crate::Limits::fuel) does not have it counted.
    pub fuel: Option<u64>,
    /// The most bytes of linear memory, all memories of the instance together.
    pub memory: usize,
    /// Calls from the guest to the host.
    pub host_calls: u64,
    /// The guest's own computing time, to about a hundredth of a second.
    pub cpu: Duration,
}
