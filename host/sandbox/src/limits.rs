//! What a guest may use up. Every limit ends in a typed failure that names it.

use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

/// The limits of one attempt, and the number of attempts at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Attempts at once; more wait their turn. An attempt that waits for the network counts. Each
    /// reserves 4 GiB of address space, none of which is memory until it is used.
    pub instances: u32,
    /// Bytes of linear memory, all memories of an instance together.
    pub memory: usize,
    /// Elements of tables, all tables of an instance together.
    pub table_elements: usize,
    /// The guest's own computing time. Waiting for the host does not count.
    pub cpu: Duration,
    /// WebAssembly instructions that an attempt may use, roughly: wasmtime's fuel. `None` does not count
    /// them; counting makes guests slower, and needs compiled code of its own.
    pub fuel: Option<u64>,
    /// The computing time of `describe`, which has nothing to do but to answer.
    pub describe_cpu: Duration,
    /// Calls from the guest to the host.
    pub host_calls: u64,
    /// Bytes that one call may hand from the guest to the host.
    pub call_bytes: usize,
    /// Effects: requests, a `send-all` counting as one.
    pub effects: u32,
    /// Bytes of documents that the attempt writes and receives, all together.
    pub document_bytes: u64,
    /// Bytes of answers that reach the guest and the journal, headers included, all together;
    /// documents do not count.
    pub answer_bytes: u64,
    /// Handles that the guest holds at once: documents, writers.
    pub handles: usize,
    /// The longest wait for one request; a request can only shorten it.
    pub request_timeout: Duration,
    /// Bytes of a component.
    pub component_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            instances: u32::try_from((cores * 256).clamp(256, 4096)).unwrap_or(256),
            memory: 64 << 20,
            table_elements: 20_000,
            cpu: Duration::from_secs(10),
            fuel: None,
            describe_cpu: Duration::from_secs(1),
            host_calls: 1_000_000,
            call_bytes: 16 << 20,
            effects: 10_000,
            document_bytes: 1 << 30,
            answer_bytes: 256 << 20,
            handles: 10_000,
            request_timeout: Duration::from_secs(120),
            component_bytes: 64 << 20,
        }
    }
}
