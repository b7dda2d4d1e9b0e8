//! What plugins from JavaScript and Python cost beside one from Rust, and what it costs to be able to
//! stop a guest that computes.
//!
//! The examples are those that `cargo xtask examples` builds; without them their rows are left out.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use docket_engine::StepCall;
use docket_model::StepResult;
use serde_json::{Value, json};
use wasmtime::{Config, Engine, Instance, Module, Store};

use crate::outside::text;
use crate::{another_sandbox, row, run, setup};

/// Calls of a plugin, and loads of it.
const CALLS: usize = 200;
const LOADS: usize = 20;

/// Loads from the cache, and whole attempts in fresh instances.
pub(crate) fn measure() {
    let (runtime, outside) = setup();
    outside.script.answer(|_| Ok(text(200, &[], "ok")));
    let invoice = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../plugins/examples/python/cases/invoices/ubl.xml");
    let invoice = fs::read(invoice).expect("the example's invoice");
    let invoice = outside.documents.put("ubl.xml", &invoice);
    let probe = crate::guests::probe();
    let plugins: [(&str, Option<Vec<u8>>, &str, Value); 3] = [
        ("rust", Some(probe), "echo", json!({"text": "x"})),
        (
            "js",
            example("js"),
            "post",
            json!({"room": "a", "text": "x"}),
        ),
        (
            "python",
            example("python"),
            "extract",
            json!({"invoice": invoice}),
        ),
    ];
    for (language, component, action, input) in plugins {
        let Some(component) = component else {
            eprintln!("{language} is left out: `cargo xtask examples` builds it");
            continue;
        };
        let plugin = runtime
            .block_on(outside.sandbox.add(component.clone()))
            .expect("loads");
        let loads = (0..LOADS).map(|_| {
            let sandbox = another_sandbox(&outside);
            let component = component.clone();
            let began = Instant::now();
            runtime.block_on(sandbox.load(component)).expect("loads");
            began.elapsed()
        });
        row(
            &format!("sandbox/load {language} from the cache"),
            "ms",
            median(loads).as_secs_f64() * 1e3,
            "a component whose compiled code is there, with its digest and `describe`",
        );
        let mut call: StepCall = outside.call(action, input);
        call.pinned.component = plugin.digest();
        let calls = (0..CALLS).map(|_| {
            let call = call.clone();
            let began = Instant::now();
            let result = run(&runtime, &outside, call);
            let time = began.elapsed();
            assert!(matches!(result, StepResult::Done(_)), "{result:?}");
            time
        });
        row(
            &format!("sandbox/attempt in {language}"),
            "µs",
            median(calls).as_secs_f64() * 1e6,
            "a whole attempt of a small action in a fresh instance",
        );
    }
}

fn example(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/examples")
        .join(name)
        .join("build")
        .join(name)
        .with_extension("wasm");
    fs::read(path).ok()
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times[times.len() / 2]
}

/// How much slower a guest computes that can be stopped at any time, in percent.
pub(crate) fn epoch_overhead() {
    let time = |is_stoppable: bool| {
        let mut config = Config::new();
        config
            .epoch_interruption(is_stoppable)
            .cranelift_nan_canonicalization(true);
        let engine = Engine::new(&config).expect("an engine");
        // Sorts and sums a table: loads, stores, branches and arithmetic, as parsers have them.
        let module =
            Module::new(&engine, wat::parse_str(COMPUTES).expect("text")).expect("a module");
        let mut store = Store::new(&engine, ());
        if is_stoppable {
            store.set_epoch_deadline(u64::MAX / 2);
        }
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        let compute = instance
            .get_typed_func::<i32, i64>(&mut store, "compute")
            .expect("the function");
        let runs = (0..30).map(|_| {
            let began = Instant::now();
            compute.call(&mut store, 3_000).expect("computes");
            began.elapsed()
        });
        runs.min().expect("some runs").as_secs_f64()
    };
    // Turn by turn, so that a machine that slows down does so for both; the best of each.
    let (mut plain, mut stoppable) = (f64::MAX, f64::MAX);
    for _ in 0..5 {
        plain = plain.min(time(false));
        stoppable = stoppable.min(time(true));
    }
    row(
        "sandbox/epoch overhead",
        "%",
        (stoppable / plain - 1.0) * 100.0,
        "a compute-bound guest that cannot be stopped; at most 10",
    );
}

/// Insertion sort of pseudo-random numbers, and a sum of them.
const COMPUTES: &str = r#"(module
  (memory 1)
  (func (export "compute") (param $n i32) (result i64)
    (local $i i32) (local $j i32) (local $x i32) (local $sum i64)
    (local.set $x (i32.const 12345))
    (loop $fill
      (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1103515245)) (i32.const 12345)))
      (i32.store (i32.shl (local.get $i) (i32.const 2)) (local.get $x))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $fill (i32.lt_u (local.get $i) (local.get $n))))
    (local.set $i (i32.const 1))
    (loop $outer
      (local.set $x (i32.load (i32.shl (local.get $i) (i32.const 2))))
      (local.set $j (local.get $i))
      (block $placed
        (loop $inner
          (br_if $placed (i32.eqz (local.get $j)))
          (br_if $placed (i32.le_s
            (i32.load (i32.shl (i32.sub (local.get $j) (i32.const 1)) (i32.const 2)))
            (local.get $x)))
          (i32.store (i32.shl (local.get $j) (i32.const 2))
            (i32.load (i32.shl (i32.sub (local.get $j) (i32.const 1)) (i32.const 2))))
          (local.set $j (i32.sub (local.get $j) (i32.const 1)))
          (br $inner)))
      (i32.store (i32.shl (local.get $j) (i32.const 2)) (local.get $x))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $outer (i32.lt_u (local.get $i) (local.get $n))))
    (local.set $i (i32.const 0))
    (loop $add
      (local.set $sum (i64.add (local.get $sum)
        (i64.extend_i32_s (i32.load (i32.shl (local.get $i) (i32.const 2))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $add (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $sum)))"#;
