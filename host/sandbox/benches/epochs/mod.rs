//! What it costs that a guest which computes can be stopped at any time.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use wasmtime::{Config, Engine, Instance, Module, Store};

use crate::row;

/// What a guest from a compiler does, and how much of it.
const COMPILED: [(&str, i32); 4] = [
    ("text", 20_000),
    ("words", 20_000),
    ("base64", 300_000),
    ("sha256", 300_000),
];

/// How much slower a guest computes that can be stopped, in percent: what a compiler made, and a
/// hand-written one whose innermost loop is about as short as loops are.
pub(crate) fn overhead() {
    match compiled() {
        Some(module) => {
            for (function, count) in COMPILED {
                tell(&format!("compiled, {function}"), &module, function, count);
            }
        }
        None => eprintln!("compiled guests are left out: rustc has no wasm32-unknown-unknown"),
    }
    let tight = wat::parse_str(TIGHT).expect("text");
    tell("the tightest loop", &tight, "compute", 3_000);
}

fn tell(what: &str, module: &[u8], function: &str, count: i32) {
    // Turn by turn, so that a machine that slows down does so for both; the best of each.
    let (mut plain, mut stoppable) = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        plain = plain.min(time(module, function, count, false));
        stoppable = stoppable.min(time(module, function, count, true));
    }
    row(
        &format!("sandbox/epoch overhead: {what}"),
        "%",
        (stoppable.as_secs_f64() / plain.as_secs_f64() - 1.0) * 100.0,
        "the same that cannot be stopped; target 10",
    );
}

fn time(module: &[u8], function: &str, count: i32, is_stoppable: bool) -> Duration {
    let mut config = Config::new();
    config
        .epoch_interruption(is_stoppable)
        .cranelift_nan_canonicalization(true);
    let engine = Engine::new(&config).expect("an engine");
    let module = Module::new(&engine, module).expect("a module");
    let mut store = Store::new(&engine, ());
    if is_stoppable {
        store.set_epoch_deadline(u64::MAX / 2);
    }
    let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
    let compute = instance
        .get_typed_func::<i32, i64>(&mut store, function)
        .expect("the function");
    let runs = (0..30).map(|_| {
        let began = Instant::now();
        compute.call(&mut store, count).expect("computes");
        began.elapsed()
    });
    runs.min().expect("some runs")
}

/// `compute.rs` as guests are compiled; `None` where this toolchain cannot.
fn compiled() -> Option<Vec<u8>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/epochs/compute.rs");
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compute.wasm");
    let status = Command::new("rustc")
        .args(["--edition=2024", "--target=wasm32-unknown-unknown"])
        .args(["--crate-type=cdylib", "-Copt-level=s", "-Cpanic=abort"])
        .arg("-o")
        .args([&built, &source])
        .status();
    let is_built = status.is_ok_and(|status| status.success());
    is_built.then(|| std::fs::read(built).expect("what was built"))
}

/// Insertion sort of pseudo-random numbers, and a sum of them.
const TIGHT: &str = r#"(module
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
