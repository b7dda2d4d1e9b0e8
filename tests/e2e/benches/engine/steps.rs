//! Durable steps: how many a second, and what the engine adds to each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use docket_e2e::Silent;
use docket_e2e::measure::{fsync, percentile, row};
use docket_model::RunResult;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::native::{Action, Ground, plan};

pub(crate) async fn measure() {
    for (name, is_sending) in [("no-op", false), ("one effect", true)] {
        let action = || match is_sending {
            true => Action::Effect,
            false => Action::Nothing,
        };
        for (at_once, steps) in [(1, 400), (256, 20)] {
            let ground = Ground::new(action());
            let sync = fsync(ground.folder.path());
            drive(&ground, "warm", 8, 8).await;
            ground.native.steps();
            let took = drive(&ground, "all", at_once, steps).await;
            let count = f64::from(at_once) * f64::from(steps);
            let mut times = ground.native.steps();
            let (half, most) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
            let title = format!("engine/steps: {name}, {at_once} at once");
            row(
                &title,
                "steps/s",
                count / took.as_secs_f64(),
                &format!("fsync of this disk: {} µs", sync.as_micros()),
            );
            for (what, time, target) in [("p50", half, 3.0), ("p99", most, 15.0)] {
                row(
                    &format!("{title}: {what} of a step"),
                    "ms",
                    time.as_secs_f64() * 1e3,
                    &format!(
                        "{:.2} fsyncs; target {target} ms",
                        time.as_secs_f64() / sync.as_secs_f64()
                    ),
                );
            }
            if at_once == 1 {
                let title = format!("engine/steps: {steps} in a row, {name}");
                row(&title, "s", took.as_secs_f64(), "target 2 s");
            }
        }
    }
}

/// Drives so many runs to their ends, all at once.
async fn drive(ground: &Ground, name: &str, runs: u32, steps: u32) -> Duration {
    let plan = Arc::new(plan(steps));
    let began = Instant::now();
    let mut all = JoinSet::new();
    for number in 0..runs {
        let (engine, plan) = (Arc::clone(&ground.engine), Arc::clone(&plan));
        let run = format!("{name}-{number}").parse().unwrap();
        all.spawn(async move {
            engine.start(&run, &plan, json!({})).await.unwrap();
            engine
                .drive(&run, Arc::new(Silent), CancellationToken::new())
                .await
                .unwrap()
        });
    }
    for result in all.join_all().await {
        assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
    }
    began.elapsed()
}
