//! What an attempt costs: `cargo bench -p docket-sandbox`. The targets are in DESIGN section 12.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use docket_engine::{StepCall, StepRunner as _};
use docket_model::StepResult;
use docket_sandbox::{Limits, Sandbox};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

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
    parked();
    divan::main();
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

/// Calls to the host, each with a text; the attempt around them included.
#[divan::bench]
fn host_call(bencher: Bencher<'_, '_>) {
    bench_run(
        bencher.counter(ItemsCount::new(HOST_CALLS)),
        "report",
        json!({"count": HOST_CALLS}),
    );
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
        let before = resident();
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
        let each = (resident() - before) / PARKED as u64;
        #[allow(clippy::print_stdout, reason = "a benchmark's result")]
        {
            println!("parked attempt: {each} KiB each, {PARKED} of them");
        }
    });
}

/// The process's resident memory in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    line.trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or_default()
}
