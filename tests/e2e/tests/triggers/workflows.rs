//! Schedules, and workflows that change while they are served.

use serde_json::{Value, json};

use crate::base::{Served, until};

fn every(name: &str, time: &str, said: &str) -> String {
    format!(
        "workflow: {name}
on:
  schedule: {{every: {time}, inputs: {{at: \"${{{{ event.at }}}}\"}}}}
inputs: {{at: {{required: true}}}}
steps:
  - {{id: wait, uses: wait/timer, with: {{for: 0s}}}}
outputs: {{said: {said}, at: \"${{{{ inputs.at }}}}\"}}
"
    )
}

/// The outputs of all runs.
async fn outputs(served: &Served) -> Vec<Value> {
    let mut all = Vec::new();
    for run in served.runs().await {
        let id = run["id"].as_str().unwrap();
        let run = served.get(&format!("/api/runs/{id}?wait=true")).await;
        all.push(run["result"]["outputs"].clone());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn each_moment_has_one_run_over_restarts() {
    let text = every("tick", "1s", "tick");
    let mut served = Served::with_workflows(&[("tick.yaml", &text)]).await;
    let mut least = 0;
    for _ in 0..3 {
        least = served.all_ended(least + 2).await.len();
        served.kill_and_serve();
    }
    served.all_ended(least + 1).await;
    let mut moments: Vec<String> = outputs(&served)
        .await
        .iter()
        .map(|one| one["at"].to_string())
        .collect();
    let count = moments.len();
    moments.sort();
    moments.dedup();
    assert_eq!(moments.len(), count, "{moments:?}");
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_changes_is_read_again_and_a_broken_one_goes_on_as_it_was() {
    let tick = every("tick", "1s", "first");
    let yearly = every("yearly", "365d", "x");
    let broken = "workflow: broken\non: {webhook: }\nsteps: 7\n";
    let files = [
        ("tick.yaml", tick.as_str()),
        ("yearly.yaml", &yearly),
        ("broken.yaml", broken),
    ];
    let mut served = Served::with_workflows(&files).await;
    let workflows = served.get("/api/workflows").await;
    let states = |workflows: &Value| -> Vec<String> {
        let list = workflows["workflows"].as_array().unwrap().iter();
        list.map(|one| {
            let file = one["file"].as_str().unwrap();
            let name = file.rsplit('/').next().unwrap();
            format!("{name} {} {}", one["state"], one["goes-on-as-it-was"])
        })
        .collect()
    };
    assert_eq!(
        states(&workflows),
        [
            "broken.yaml \"invalid\" false",
            "tick.yaml \"ready\" false",
            "yearly.yaml \"ready\" false"
        ]
    );
    let problems = &workflows["workflows"][0]["problems"];
    assert!(
        problems.as_str().unwrap().contains("broken.yaml:3:8"),
        "{problems}"
    );
    let metrics = served.metrics().await;
    assert!(
        metrics.contains("docket_workflows{state=\"invalid\"} 1\n"),
        "{metrics}"
    );
    served.all_ended(1).await;

    // Spoilt: it goes on as it was.
    let file = served.docket.project().join("tick.yaml");
    std::fs::write(&file, "workflow: tick\non: {schedule: {every: soon}}\n").unwrap();
    let (status, reloaded) = served.post("/api/workflows/reload", json!({})).await;
    assert_eq!(status, 200);
    assert_eq!(states(&reloaded)[1], "tick.yaml \"invalid\" true");
    let before = served.runs().await.len();
    served.all_ended(before + 2).await;

    // Mended, and told by a signal: runs say what it says then.
    std::fs::write(&file, every("tick", "1s", "second")).unwrap();
    served.signal("-HUP");
    until(async || {
        let outputs = outputs(&served).await;
        let mut said = outputs.iter().map(|one| &one["said"]);
        said.any(|said| said == "second").then_some(())
    })
    .await;
    let yearly = served.trigger("yearly").await;
    assert_eq!(yearly["state"], "waiting", "{yearly}");

    // Gone: its trigger is, too; and a name that is taken is refused.
    std::fs::write(
        served.docket.project().join("zebra.yaml"),
        every("yearly", "1s", "no"),
    )
    .unwrap();
    std::fs::remove_file(&file).unwrap();
    let (_, reloaded) = served.post("/api/workflows/reload", json!({})).await;
    assert_eq!(
        states(&reloaded),
        [
            "broken.yaml \"invalid\" false",
            "yearly.yaml \"ready\" false",
            "zebra.yaml \"invalid\" false"
        ]
    );
    let problems = reloaded["workflows"][2]["problems"].as_str().unwrap();
    assert!(
        problems.contains("in") && problems.contains("yearly.yaml"),
        "{problems}"
    );
    assert_eq!(served.trigger("tick").await, json!({}));
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_are_listed_and_reset_with_and_without_a_serving_process() {
    let hourly = every("hourly", "1h", "x");
    let mut served = Served::with_workflows(&[("hourly.yaml", &hourly)]).await;
    let list = |served: &Served| -> Value {
        let listed = served.run(&["triggers", "list", "--json"]);
        assert!(listed.status.success(), "{listed:?}");
        serde_json::from_slice(&listed.stdout).unwrap()
    };
    let reset = |served: &Served, name: &str| -> Value {
        let done = served.run(&["triggers", "reset", name, "--json"]);
        assert!(done.status.success(), "{done:?}");
        serde_json::from_slice(&done.stdout).unwrap()
    };
    served.trigger_is("hourly/schedule", "waiting").await;
    until(async || {
        let one = list(&served)["triggers"][0].clone();
        assert_eq!(one["name"], "hourly/schedule");
        assert_eq!(
            (&one["kind"], &one["started"]),
            (&json!("schedule"), &json!(0))
        );
        one["next-at"].is_string().then_some(())
    })
    .await;
    let was_set = || reset(&served, "hourly/schedule")["was-set"] == true;
    until(async || was_set().then_some(())).await;
    assert_eq!(reset(&served, "hourly/nothing")["was-set"], false);
    served.end();
    let quiet = list(&served);
    assert!(quiet["triggers"][0]["next-at"].is_string(), "{quiet}");
    reset(&served, "hourly/schedule");
    served.again();
    served.end();
}
