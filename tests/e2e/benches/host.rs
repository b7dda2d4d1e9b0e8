//! The finished host, measured from outside: steps with their journal, whole mails against the
//! tenant, and memory while many runs pass. Prints `row {…}` lines; `cargo xtask bench` gathers them.

#![allow(clippy::unwrap_used, reason = "a measurement, run by hand")]

use std::time::{Duration, Instant};

use docket_e2e::measure::{fsync, is_wanted, row, status};
use docket_e2e::{Host, Lab};
use docket_model::{Plan, RunResult};
use futures_util::StreamExt as _;
use serde_json::{Map, Value};

const ECHO: &str = "
workflow: echo
on:
  manual:
steps:
  - id: echo
    uses: probe/echo
    with:
      text: nothing much
";

/// Runs a plan from start to end.
async fn run(host: &Host, plan: &Plan, name: &str, inputs: Map<String, Value>) {
    let result = host.run(name, plan, inputs).await;
    assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
}

/// Runs `count` runs, `at_once` at a time, and gives the time that all took.
async fn many(
    host: &Host,
    plan: &Plan,
    name: &str,
    count: usize,
    at_once: usize,
    inputs: &Map<String, Value>,
) -> Duration {
    let began = Instant::now();
    futures_util::stream::iter(0..count)
        .for_each_concurrent(at_once, |number| {
            let name = format!("{name}-{number}");
            let inputs = inputs.clone();
            async move { run(host, plan, &name, inputs).await }
        })
        .await;
    began.elapsed()
}

fn micros(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(u32::try_from(count).unwrap())
}

#[tokio::main]
async fn main() {
    let none = Map::new();

    if is_wanted("step") || is_wanted("memory") {
        let lab = Lab::start().await;
        let host = lab.open().await;
        let plan = host.plan_of("echo.yaml", ECHO);
        let sync = fsync(lab.data());
        row("host/fsync of this disk", "µs", micros(sync, 1), "");
        many(&host, &plan, "warm", 50, 1, &none).await;
        let one = micros(many(&host, &plan, "one", 500, 1, &none).await, 500);
        let versus = format!("{:.1} fsyncs", one / micros(sync, 1));
        row(
            "host/step: a run of one step, one at a time",
            "µs",
            one,
            &versus,
        );
        let all = micros(many(&host, &plan, "all", 2000, 256, &none).await, 2000);
        row("host/step: a run of one step, 256 at once", "µs", all, "");

        let before = status("VmRSS");
        many(&host, &plan, "few", 1000, 64, &none).await;
        let after_few = status("VmRSS");
        many(&host, &plan, "lots", 10_000, 64, &none).await;
        let after_lots = status("VmRSS");
        let versus = format!("{before:.0} MiB before, {after_few:.0} after 1,000");
        row(
            "host/memory after 10,000 more runs",
            "MiB",
            after_lots,
            &versus,
        );
    }

    if is_wanted("mail") {
        let lab = Lab::start().await;
        let host = lab.open().await;
        let plan = host.plan("signed-contract-confirmation.yaml");
        let small = host.confirmation(200_000);
        many(&host, &plan, "warm", 5, 1, &small).await;
        for (at_once, count) in [(1, 100), (16, 200)] {
            let name = format!("mail{at_once}");
            let took = many(&host, &plan, &name, count, at_once, &small).await;
            let each = micros(took, count) / 1000.0;
            let versus = format!("{:.0} mails/s", 1000.0 / each);
            row(
                &format!("host/mail: 200 KB document, {at_once} at once"),
                "ms",
                each,
                &versus,
            );
        }
        let large = host.confirmation(4_456_089);
        let took = many(&host, &plan, "large", 30, 1, &large).await;
        row(
            "host/mail: 4.5 MB document by upload session",
            "ms",
            micros(took, 30) / 1000.0,
            "",
        );
    }
}
