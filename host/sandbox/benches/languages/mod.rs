//! What plugins from JavaScript and Python cost beside one from Rust.
//!
//! The examples are those that `cargo xtask examples` builds; without them their rows are left out.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use docket_engine::StepCall;
use docket_model::StepResult;
use serde_json::{Value, json};

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
