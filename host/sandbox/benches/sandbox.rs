//! What an attempt costs: `cargo bench -p docket-sandbox`. What divan cannot see, memory and the cost
//! of one call out of many, is printed as `row {…}` lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use divan::Bencher;
use docket_engine::{StepCall, StepRunner as _};
use docket_model::StepResult;
use docket_sandbox::{Limits, Sandbox};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

mod epochs;
mod languages;

#[path = "../tests/sandbox/guests.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod guests;
#[path = "../tests/sandbox/outside.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod outside;

use outside::{Memory, Outside};

const HOST_CALLS: u64 = 10_000;
const PARKED: usize = 500;

fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let is_wanted = |name: &str| filter.as_deref().is_none_or(|part| name.contains(part));
    if is_wanted("bare") {
        beside_bare();
    }
    if is_wanted("parked") {
        parked();
    }
    if is_wanted("host_call") {
        host_call();
    }
    if is_wanted("languages") {
        languages::measure();
    }
    if is_wanted("epoch_overhead") {
        epochs::overhead();
    }
    divan::main();
}

#[allow(clippy::print_stdout, reason = "a benchmark's result")]
fn row(name: &str, unit: &str, value: f64, versus: &str) {
    println!(
        "row {}",
        json!({"name": name, "unit": unit, "value": value, "versus": versus})
    );
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn setup() -> (Runtime, Outside) {
    let runtime = runtime();
    let outside = runtime.block_on(Outside::new());
    (runtime, outside)
}

fn run(runtime: &Runtime, outside: &Outside, call: StepCall) -> StepResult {
    runtime
        .block_on(outside.try_run(call, &mut Memory::default()))
        .expect("no fault of the host")
}

fn bench_run(bencher: Bencher<'_, '_>, action: &str, input: Value) {
    let (runtime, outside) = setup();
    let call = outside.call(action, input);
    assert!(matches!(
        run(&runtime, &outside, call.clone()),
        StepResult::Done(_)
    ));
    bencher.bench_local(|| run(&runtime, &outside, call.clone()));
}

/// A fresh instance, made and dropped.
#[divan::bench]
fn instantiate(bencher: Bencher<'_, '_>) {
    let (runtime, outside) = setup();
    bencher.bench_local(|| {
        assert!(runtime.block_on(outside.sandbox.instantiate(&outside.probe)));
    });
}

/// A whole attempt with 1 KB in and out: checks, instance, call, drop.
#[divan::bench]
fn attempt_with_1_kb(bencher: Bencher<'_, '_>) {
    bench_run(bencher, "echo", json!({"text": "x".repeat(1000)}));
}

/// A compiled component, checked and mapped from the cache.
#[divan::bench]
fn cached_load(bencher: Bencher<'_, '_>) {
    let (_runtime, outside) = setup();
    let digest = outside.probe.digest();
    bencher.bench_local(|| assert!(outside.sandbox.map_cached(digest)));
}

/// From bytes to a plugin with its manifest, the compiled code from the cache.
#[divan::bench]
fn load_plugin(bencher: Bencher<'_, '_>) {
    let (runtime, outside) = setup();
    let bytes = guests::probe();
    bencher
        .with_inputs(|| another_sandbox(&outside))
        .bench_local_values(|sandbox| {
            let plugin = runtime
                .block_on(sandbox.load(bytes.clone()))
                .expect("loads");
            (sandbox, plugin)
        });
}

/// A sandbox that finds the components and the cache of the first one.
fn another_sandbox(outside: &Outside) -> Sandbox {
    let limits = Limits {
        instances: 4,
        ..Limits::default()
    };
    let config = outside::config(&outside.folder, limits);
    Sandbox::new(config, outside.documents.clone(), outside.egress()).expect("a sandbox")
}

/// Prints instantiation and loading beside wasmtime alone with the same component, in turns: a pool
/// with copy-on-write, and no limits of ours.
fn beside_bare() {
    let (runtime, outside) = setup();
    let bare = Bare::new();
    let digest = outside.probe.digest();
    let instantiate = side_by_side(
        || assert!(runtime.block_on(outside.sandbox.instantiate(&outside.probe))),
        || runtime.block_on(bare.instantiate()),
    );
    beside("sandbox/instantiate beside bare wasmtime", instantiate);
    let load = side_by_side(
        || assert!(outside.sandbox.map_cached(digest)),
        || bare.load(),
    );
    beside("sandbox/cached load beside bare wasmtime", load);
}

/// The fastest of each, in µs. The fastest, since a neighbour on the machine makes neither faster.
fn side_by_side(mut ours: impl FnMut(), mut theirs: impl FnMut()) -> (f64, f64) {
    const ROUNDS: usize = 50;
    const CALLS: u32 = 50;
    let time = |call: &mut dyn FnMut()| {
        let began = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        began.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
    };
    (0..ROUNDS).fold((f64::MAX, f64::MAX), |(a, b), _| {
        (a.min(time(&mut ours)), b.min(time(&mut theirs)))
    })
}

fn beside(name: &str, (ours, theirs): (f64, f64)) {
    let versus = format!("{:.2}× of {theirs:.1} µs", ours / theirs);
    row(name, "µs", ours, &versus);
}

/// What wasmtime needs by itself, with the settings of the design's spikes.
struct Bare {
    engine: wasmtime::Engine,
    pre: wasmtime::component::InstancePre<()>,
    compiled: tempfile::NamedTempFile,
}

impl Bare {
    fn new() -> Self {
        let mut config = wasmtime::Config::new();
        config
            .allocation_strategy(wasmtime::PoolingAllocationConfig::new())
            .concurrency_support(false);
        let engine = wasmtime::Engine::new(&config).expect("an engine");
        let compiled = engine
            .precompile_component(&guests::probe())
            .expect("compiles");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), compiled).expect("written");
        let component = Self::map(&engine, file.path());
        let mut linker = wasmtime::component::Linker::new(&engine);
        linker
            .define_unknown_imports_as_traps(&component)
            .expect("links");
        let pre = linker.instantiate_pre(&component).expect("links");
        Self {
            engine,
            pre,
            compiled: file,
        }
    }

    #[allow(unsafe_code, reason = "the file holds what this engine has compiled")]
    fn map(engine: &wasmtime::Engine, path: &std::path::Path) -> wasmtime::component::Component {
        // SAFETY: the file was written by this process from what the engine compiled.
        unsafe { wasmtime::component::Component::deserialize_file(engine, path) }.expect("loads")
    }

    async fn instantiate(&self) {
        let mut store = wasmtime::Store::new(&self.engine, ());
        self.pre
            .instantiate_async(&mut store)
            .await
            .expect("instantiates");
    }

    fn load(&self) {
        drop(Self::map(&self.engine, self.compiled.path()));
    }
}

/// Prints the memory of an attempt that waits for its effect.
fn parked() {
    let runtime = runtime();
    runtime.block_on(async {
        let limits = Limits {
            instances: PARKED as u32 + 8,
            ..Limits::default()
        };
        let outside = Arc::new(Outside::with_exact_limits(limits).await);
        let request = json!({"requests": [{"url": "https://a.example/"}]});
        let waiting = Arc::new(AtomicUsize::new(0));
        let before = memory();
        for _ in 0..PARKED {
            let outside = Arc::clone(&outside);
            let mut call = outside.call("fetch", request.clone());
            call.timeout = Duration::from_secs(3600);
            let mut journal = outside::Never(Arc::clone(&waiting));
            tokio::spawn(async move {
                let log = outside.log.clone();
                let _ = outside.sandbox.run(call, &mut journal, log).await;
            });
        }
        while waiting.load(Ordering::Relaxed) < PARKED {
            tokio::task::yield_now().await;
        }
        #[allow(clippy::cast_precision_loss, reason = "figures for people")]
        let each = (memory() - before) as f64 / PARKED as f64;
        let versus = format!("{PARKED} of them");
        row(
            "sandbox/attempt parked in a host call",
            "KiB",
            each,
            &versus,
        );
    });
}

/// Prints what one call to the host with a short text costs: many in one attempt, less an attempt
/// without any.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn host_call() {
    let (runtime, outside) = setup();
    let time = |count: u64| {
        let call = outside.call("report", json!({"count": count}));
        let mut times: Vec<Duration> = (0..50)
            .map(|_| {
                let began = Instant::now();
                run(&runtime, &outside, call.clone());
                began.elapsed()
            })
            .collect();
        times.sort();
        times[times.len() / 2]
    };
    let each = (time(HOST_CALLS) - time(0)).as_secs_f64() * 1e6 / HOST_CALLS as f64;
    row("sandbox/host call", "µs", each, "");
}

/// The process's memory in KiB. What instances share, such as the pages of a plugin's initial memory
/// that none of them has written to, counts once.
fn memory() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .unwrap_or_default();
    line.trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or_default()
}
