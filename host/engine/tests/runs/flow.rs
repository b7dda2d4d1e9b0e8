//! What runs when, and with what.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use docket_journal::MemoryStore;
use docket_model::{FailureClass, PlannedStep, RunResult, Template};
use serde_json::{Value, json};

use crate::plans::{each, expression, literal, named, plan, step};
use crate::script::{Bench, bench};
use crate::world::World;

fn in_memory() -> Bench {
    bench(Arc::new(MemoryStore::new()), &Arc::new(World::default()))
}

/// Runs the steps, and compares the last one's output or the failure's class, code and step.
async fn check(steps: Vec<PlannedStep>, inputs: Value, expected: Result<Value, (&str, &str)>) {
    let bench = in_memory();
    let found = match bench.run(&plan(steps), inputs).await {
        RunResult::Succeeded { outputs } => Ok(outputs["all"].clone()),
        RunResult::Failed { path, failure } => Err((
            failure.code,
            path.map(|path| path.to_string()).unwrap_or_default(),
        )),
        RunResult::Cancelled => panic!("cancelled"),
    };
    let expected = expected.map_err(|(code, path)| (code.to_owned(), path.to_owned()));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn steps_see_what_came_before_them() {
    let second = PlannedStep {
        with: Template::Object(vec![
            ("before".to_owned(), expression("steps.first.output.n + 1")),
            ("run".to_owned(), expression("run.id")),
        ]),
        ..named("second", "echo")
    };
    let first = PlannedStep {
        with: expression("inputs"),
        ..named("first", "echo")
    };
    check(
        vec![first, second],
        json!({"n": 1}),
        Ok(json!({"before": 2, "run": "r-1"})),
    )
    .await;
}

#[tokio::test]
async fn results_come_in_the_order_of_the_items_whichever_ends_first() {
    let list: Vec<u32> = (0..10).collect();
    let inputs = json!({"list": list});
    check(
        vec![each(step("slow-echo"), 5)],
        inputs.clone(),
        Ok(json!(list)),
    )
    .await;
    for (limit, most) in [(1, 1), (4, 4), (50, 10)] {
        let bench = in_memory();
        bench
            .run(&plan(vec![each(step("slow-echo"), limit)]), inputs.clone())
            .await;
        assert_eq!(bench.runner.most.load(Ordering::SeqCst), most);
    }
}

#[tokio::test]
async fn conditions_leave_out_steps_and_items() {
    let only = |text: &str, step| PlannedStep {
        condition: Some(expression(text)),
        ..step
    };
    check(
        vec![only("inputs.yes", step("echo"))],
        json!({"yes": true}),
        Ok(json!({})),
    )
    .await;
    let left_out = vec![
        only("inputs.yes", step("permanent")),
        PlannedStep {
            with: literal(json!("went on")),
            ..step("echo")
        },
    ];
    check(left_out, json!({"yes": false}), Ok(json!("went on"))).await;
    let odd = vec![only("item % 2 == 1", each(step("echo"), 2))];
    check(odd, json!({"list": [1, 2, 3]}), Ok(json!([1, null, 3]))).await;
}

#[tokio::test]
async fn a_failure_ends_the_run_unless_the_step_goes_on() {
    let go_on = |step| PlannedStep {
        continue_on_error: true,
        ..step
    };
    check(
        vec![step("permanent"), step("echo")],
        json!({}),
        Err(("scripted", "permanent")),
    )
    .await;
    let class = PlannedStep {
        with: expression("steps.permanent.failure.class"),
        ..step("echo")
    };
    check(
        vec![go_on(step("permanent")), class],
        json!({}),
        Ok(json!("permanent")),
    )
    .await;
    let list = json!({"list": [0, 1, 2, 3]});
    check(
        vec![each(step("odd-fails"), 1)],
        list.clone(),
        Err(("scripted", "odd-fails[1]")),
    )
    .await;
    let isolated = vec![go_on(each(step("odd-fails"), 2))];
    check(isolated, list, Ok(json!([0, null, 2, null]))).await;
}

#[tokio::test]
async fn expressions_that_fail_fail_their_step() {
    let inputs = json!({"list": 7, "text": "x"});
    let with = |text| PlannedStep {
        with: expression(text),
        ..step("echo")
    };
    check(
        vec![with("inputs.none")],
        inputs.clone(),
        Err(("expression", "echo")),
    )
    .await;
    check(
        vec![each(step("echo"), 1)],
        inputs.clone(),
        Err(("expression", "echo")),
    )
    .await;
    let odd = PlannedStep {
        condition: Some(expression("inputs.text")),
        ..step("echo")
    };
    check(vec![odd], inputs.clone(), Err(("expression", "echo"))).await;
    let nobody = PlannedStep {
        act_as: Some(expression("inputs.list")),
        ..step("echo")
    };
    check(vec![nobody], inputs.clone(), Err(("expression", "echo"))).await;
    let last = PlannedStep {
        continue_on_error: true,
        ..with("inputs.none")
    };
    check(vec![last], inputs, Err(("expression", ""))).await;
    let many = json!({"list": vec![0; 10_001]});
    check(
        vec![each(step("echo"), 1)],
        many,
        Err(("too-many-items", "echo")),
    )
    .await;
}

/// The waits of a run of one step, in whole seconds, and how it ended.
async fn waits(step: PlannedStep) -> (Vec<u64>, RunResult) {
    let bench = in_memory();
    let result = bench.run(&plan(vec![step]), json!({"list": [0, 1]})).await;
    let waits = bench.timer.waits.lock().unwrap();
    (waits.iter().map(Duration::as_secs).collect(), result)
}

#[tokio::test]
async fn what_may_go_better_is_tried_again_and_nothing_else() {
    let (waited, result) = waits(step("third-time")).await;
    assert!(matches!(&result, RunResult::Succeeded { outputs } if outputs["all"] == json!(3)));
    assert!(matches!(waited[..], [1..=2, 2..=4]), "{waited:?}");

    let (waited, result) = waits(step("never")).await;
    assert_eq!(waited.len(), 2, "three attempts in all");
    let RunResult::Failed { failure, .. } = result else {
        panic!("{result:?}")
    };
    assert_eq!(failure.class, FailureClass::Unavailable);

    let (waited, _) = waits(step("throttled")).await;
    assert!(
        waited.iter().all(|wait| *wait >= 599),
        "the provider's wait counts: {waited:?}"
    );
    assert!(waits(step("permanent")).await.0.is_empty());
}

#[tokio::test]
async fn an_attempt_is_told_what_it_is() {
    let bench = in_memory();
    let with = PlannedStep {
        act_as: Some(literal(json!("ann@contoso.example"))),
        ..each(step("third-time"), 1)
    };
    bench.run(&plan(vec![with]), json!({"list": ["x"]})).await;
    let calls = bench.runner.calls.lock().unwrap();
    let keys: Vec<&str> = calls
        .iter()
        .map(|call| call.idempotency_key.as_str())
        .collect();
    assert_eq!(keys, [keys[0]; 3], "the key is the same for every attempt");
    let attempts: Vec<u32> = calls.iter().map(|call| call.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert_eq!(calls[2].input, json!("x"));
    assert_eq!(calls[2].act_as.as_deref(), Some("ann@contoso.example"));
    assert!(calls[1].started_at > calls[0].started_at);
}

#[tokio::test]
async fn events_are_reported_in_order() {
    let bench = in_memory();
    bench
        .run(
            &plan(vec![step("send"), each(step("echo"), 1)]),
            json!({"list": [1]}),
        )
        .await;
    assert_eq!(
        bench.story(),
        [
            "send starts 1",
            "send did 0",
            "send intends 1",
            "send did 1",
            "send did 2",
            "send intends 3",
            "send did 3",
            "send did 4",
            "send done",
            "echo has 1",
            "echo[0] starts 1",
            "echo[0] done",
            "end",
        ]
    );
}

#[tokio::test]
async fn ten_thousand_items_in_one_run() {
    let list: Vec<u32> = (0..10_000).collect();
    check(
        vec![each(step("echo"), 16)],
        json!({"list": list}),
        Ok(json!(list)),
    )
    .await;
}
