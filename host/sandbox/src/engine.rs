//! The one wasmtime engine: what guests may be made of, how they are pooled, and the ticks by which
//! a spinning one is noticed.

use std::num::NonZeroUsize;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::{Limits, LoadError};

/// How often a running guest is looked at. A spinning guest gives way to others as often.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Frames kept of a guest's backtrace.
pub(crate) const MAX_FRAMES: usize = 64;

/// Core instances, and tables, that one component may have. A Rust component has 3 instances and 2
/// tables, a JavaScript one 3, a Python one 38.
const INSTANCES_AT_MOST: u32 = 64;
/// Tables of one component that the pool has room for on average; each reserves address space.
const TABLES_ON_AVERAGE: u32 = 4;
/// So many components at once may have as many tables as they may at most, however small the pool.
const LARGE_AT_ONCE: u32 = 8;

/// The engine and its ticker, which stops when this is dropped.
pub(crate) struct Engine {
    wasmtime: wasmtime::Engine,
    _ticker: mpsc::Sender<()>,
}

impl Engine {
    /// # Errors
    /// [`LoadError::Engine`] where the machine does not give the address space.
    pub(crate) fn new(limits: &Limits) -> Result<Self, LoadError> {
        let wasmtime = wasmtime::Engine::new(&config(limits))
            .map_err(|e| LoadError::Engine(format!("{e:#}")))?;
        let (ticker, dropped) = mpsc::channel();
        let weak = wasmtime.weak();
        thread::Builder::new()
            .name("docket-ticker".to_owned())
            .spawn(move || {
                while dropped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    match weak.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => break,
                    }
                }
            })
            .map_err(|e| LoadError::Engine(e.to_string()))?;
        Ok(Self {
            wasmtime,
            _ticker: ticker,
        })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }
}

fn config(limits: &Limits) -> Config {
    let n = limits.instances.max(1);
    let large = n.min(LARGE_AT_ONCE) * INSTANCES_AT_MOST;
    let tables = n.saturating_mul(TABLES_ON_AVERAGE).max(large);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(n)
        .total_stacks(n)
        .total_memories(n)
        .total_core_instances(n.saturating_mul(INSTANCES_AT_MOST))
        .total_tables(tables)
        .max_core_instances_per_component(INSTANCES_AT_MOST)
        .max_tables_per_component(INSTANCES_AT_MOST)
        .max_memory_size(limits.memory)
        .table_elements(limits.table_elements)
        // To wipe what a small guest touches costs less than a call to the kernel.
        .table_keep_resident(16 << 10);
    // Linux from 6.7 on tells which pages those are. Without it the lowest would be wiped, touched
    // or not, which costs more than it saves.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(256 << 10);
    }

    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .concurrency_support(false)
        .epoch_interruption(true)
        .consume_fuel(limits.fuel.is_some())
        .wasm_backtrace_max_frames(NonZeroUsize::new(MAX_FRAMES))
        // Guests are never unwound by anything but wasmtime, which needs no such tables on Unix.
        .native_unwind_info(cfg!(windows))
        // Function names are enough for a plugin's author, and code maps a third smaller.
        .generate_address_map(false)
        // The same call gives the same bytes on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    if limits.fuel.is_some() {
        // Who counts instructions tests a plugin that was just built: it waits for the compiler more than
        // for the guest.
        config.cranelift_opt_level(OptLevel::None);
    }
    config
}
