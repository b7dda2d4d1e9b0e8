//! Tries the fold: the next step for each state, and journals that cannot be.

use std::collections::BTreeMap;
use std::time::Duration;

use docket_model::{
    Digest, EffectCall, FailureClass, Outcome, PLAN_FORMAT, RequestRecord, Retry, StepOutput,
    StepResult, Template,
};
use serde_json::json;

use super::*;

fn step(id: &str, for_each: bool, max_parallel: u32, continue_on_error: bool) -> PlannedStep {
    PlannedStep {
        id: id.to_owned(),
        plugin: "p".to_owned(),
        action: "a".to_owned(),
        with: Template::empty(),
        condition: None,
        for_each: for_each.then(|| Template::Literal(json!([]))),
        max_parallel,
        connection: None,
        act_as: None,
        fallback: None,
        on_sign_in_needed: Default::default(),
        retry: Retry::default(),
        timeout: Duration::from_secs(1),
        continue_on_error,
    }
}

/// `one` is a single step, `two` has items two at a time, `three` goes on after failures.
fn plan() -> Arc<Plan> {
    Arc::new(Plan {
        format: PLAN_FORMAT,
        workflow: "w".to_owned(),
        source: Digest::of(b""),
        inputs: BTreeMap::new(),
        steps: vec![
            step("one", false, 1, false),
            step("two", true, 2, false),
            step("three", true, 1, true),
        ],
        on_error: Vec::new(),
        timeout: None,
        concurrency: None,
        outputs: BTreeMap::new(),
        triggers: Vec::new(),
        plugins: BTreeMap::new(),
        templates: BTreeMap::new(),
    })
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn place(text: &str) -> StepPath {
    match text.split_once('.') {
        None => StepPath {
            step: text.into(),
            item: None,
        },
        Some((step, item)) => StepPath {
            step: step.into(),
            item: item.parse().ok(),
        },
    }
}

fn call(is_repeatable: bool) -> EffectCall {
    EffectCall {
        requests: vec![RequestRecord {
            method: "POST".to_owned(),
            url: "https://x.example/".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            sent_as: None,
            is_repeatable,
        }],
    }
}

fn failure(class: FailureClass) -> Failure {
    Failure::new(class, "code", "message")
}

/// A journal in shorthand, one event a word: `begin`, `expand:STEP:N`, `start:PATH:ATTEMPT`,
/// `intend:PATH:ATTEMPT:INDEX`, `answer:…` (of an intent), `read:…`, `skip:PATH`, `ok:PATH:ATTEMPT`,
/// `bad:PATH:ATTEMPT`, `again:PATH:ATTEMPT:SECOND`, `sign:PATH:ATTEMPT`, `won`, `lost:PATH`, `off`.
fn journal(text: &str) -> Vec<Event> {
    let event = |word: &str| {
        let parts: Vec<&str> = word.split(':').collect();
        let number = |place: usize| parts[place].parse::<u32>().unwrap();
        let path = || place(parts[1]);
        let failed = |class, retry_at| StepResult::Failed {
            failure: failure(class),
            retry_at,
        };
        let finished = |result| EventKind::StepFinished {
            path: path(),
            attempt: number(2),
            result,
        };
        let done = |call| EventKind::EffectDone {
            path: path(),
            attempt: number(2),
            index: number(3),
            call,
            outcomes: vec![Outcome::InDoubt],
        };
        let kind = match parts[0] {
            "begin" => EventKind::RunStarted {
                workflow: "w".to_owned(),
                plan: Digest::of(b""),
                inputs: json!({}),
                group: None,
            },
            "expand" => EventKind::ItemsExpanded {
                step: parts[1].into(),
                items: (0..number(2)).map(Value::from).collect(),
            },
            "start" => EventKind::StepStarted {
                path: path(),
                attempt: number(2),
                input: json!(null),
                connection: None,
                act_as: None,
            },
            "intend" => EventKind::EffectIntended {
                path: path(),
                attempt: number(2),
                index: number(3),
                call: call(false),
            },
            "answer" => done(None),
            "read" => done(Some(call(true))),
            "write" => done(Some(call(false))),
            "skip" => EventKind::StepSkipped { path: path() },
            "ok" => finished(StepResult::Done(StepOutput {
                value: json!(parts[1]),
                cursor: None,
            })),
            "bad" => finished(failed(FailureClass::Permanent, None)),
            "again" => finished(failed(
                FailureClass::Unavailable,
                Some(at(number(3).into())),
            )),
            "sign" => finished(failed(FailureClass::SignInRequired, Some(at(0)))),
            "won" => EventKind::RunFinished {
                result: RunResult::Succeeded { outputs: json!({}) },
            },
            "lost" => EventKind::RunFinished {
                result: RunResult::Failed {
                    path: Some(path()),
                    failure: failure(FailureClass::Permanent),
                },
            },
            "off" => EventKind::RunFinished {
                result: RunResult::Cancelled,
            },
            other => panic!("{other}"),
        };
        Event { at: at(0), kind }
    };
    text.split_whitespace().map(event).collect()
}

fn fold(text: &str) -> Result<RunState, Damage> {
    RunState::fold(plan(), journal(text))
}

/// What comes next at second 10.
fn check(text: &str, expected: &str) {
    let found = match fold(text)
        .unwrap_or_else(|damage| panic!("{text}: {damage}"))
        .next(at(10))
    {
        Next::Expand => "expand".to_owned(),
        Next::Begin(path, attempt) => format!("begin {path} {attempt}"),
        Next::Wait(None) => "wait".to_owned(),
        Next::Wait(Some(until)) => format!("wait until {}", until.as_second()),
        Next::Finish(path, attempt, _) => format!("finish {path} {attempt}"),
        Next::Fail(Some(path), _) => format!("fail {path}"),
        Next::Fail(None, _) => "fail".to_owned(),
        Next::Lose(..) => "lose".to_owned(),
        Next::TimeUp(_) => "time is up".to_owned(),
        Next::Succeed => "succeed".to_owned(),
        Next::Nothing(_) => "nothing".to_owned(),
    };
    assert_eq!(found, expected, "{text}");
}

#[test]
fn a_single_step_is_run_and_tried_again() {
    check("begin", "begin one 1");
    check("begin start:one:1", "wait");
    check("begin start:one:1 again:one:1:30", "wait until 30");
    check("begin start:one:1 again:one:1:5", "begin one 2");
    check("begin start:one:1 sign:one:1", "begin one 2");
    check("begin start:one:1 again:one:1:5 start:one:2", "wait");
    check("begin start:one:1 bad:one:1", "fail one");
    check("begin start:one:1 ok:one:1", "expand");
    check("begin skip:one", "expand");
}

#[test]
fn items_run_side_by_side_up_to_the_limit_and_in_order() {
    let two = |rest: &str| format!("begin skip:one expand:two:3 {rest}");
    check(&two(""), "begin two[0] 1");
    check(&two("start:two.0:1"), "begin two[1] 1");
    check(&two("start:two.0:1 start:two.1:1"), "wait");
    check(
        &two("start:two.0:1 start:two.1:1 ok:two.1:1"),
        "begin two[2] 1",
    );
    check(&two("skip:two.0"), "begin two[1] 1");
    // One that waited comes before one that is new, and gives up its place while it waits.
    check(&two("start:two.0:1 again:two.0:1:5"), "begin two[0] 2");
    check(&two("start:two.0:1 again:two.0:1:30"), "begin two[1] 1");
    check(
        &two("start:two.0:1 start:two.1:1 skip:two.2 again:two.0:1:30 again:two.1:1:20"),
        "wait until 20",
    );
    // While all places are taken a time that has come is no reason to wake up.
    check(
        &two("start:two.0:1 again:two.0:1:5 start:two.1:1 start:two.2:1"),
        "wait",
    );
    // An item that failed lets the others end and no other begin.
    check(&two("start:two.0:1 start:two.1:1 bad:two.1:1"), "wait");
    check(
        &two("start:two.0:1 start:two.1:1 bad:two.1:1 bad:two.0:1"),
        "fail two[0]",
    );
    check("begin skip:one expand:two:0", "expand");
}

#[test]
fn the_end_of_the_last_step_ends_the_run() {
    let three = |rest: &str| format!("begin skip:one expand:two:0 expand:three:2 {rest}");
    check(&three("start:three.0:1 bad:three.0:1"), "begin three[1] 1");
    check(
        &three("start:three.0:1 bad:three.0:1 skip:three.1"),
        "succeed",
    );
    check(&three("skip:three.0 skip:three.1 won"), "nothing");
    check(&three("start:three.0:1 off"), "nothing");
    check(
        &three("start:three.0:1 bad:three.0:1 lost:three.0"),
        "nothing",
    );
}

#[test]
fn what_steps_leave_behind_is_in_order_with_gaps() {
    let state = fold(
        "begin start:one:1 ok:one:1 expand:two:0 expand:three:3 \
         start:three.2:1 ok:three.2:1 start:three.0:1 bad:three.0:1 skip:three.1",
    )
    .unwrap();
    assert_eq!(state.steps()["one"].output, Some(json!("one")));
    assert_eq!(state.steps()["two"].output, Some(json!([])));
    assert_eq!(
        state.steps()["three"].output,
        Some(json!([null, null, "three.2"]))
    );
    let failure = state.steps()["three"].failure.as_ref().unwrap();
    assert_eq!(failure["class"], json!("permanent"));
}

#[test]
fn an_attempt_keeps_its_effects_and_counts_the_failures_before_it() {
    let state = fold(
        "begin start:one:1 sign:one:1 start:one:2 again:one:2:0 start:one:3 \
         read:one:3:0 intend:one:3:1",
    )
    .unwrap();
    let attempt = state.attempt(&place("one")).unwrap();
    assert_eq!(
        (attempt.number, attempt.before.failures),
        (3, 1),
        "a sign-in is not a failure"
    );
    let outcomes: Vec<_> = attempt
        .effects
        .iter()
        .map(|effect| effect.outcomes.is_some())
        .collect();
    assert_eq!(outcomes, [true, false]);
    assert_eq!(state.attempts().len(), 1);
}

/// A journal that no run can have written is refused at its last event.
fn check_damaged(text: &str, why: &str) {
    let damage = fold(text).err().unwrap_or_else(|| panic!("{text}"));
    assert_eq!(damage.why, why, "{text}");
    assert_eq!(damage.event, journal(text).len() as u64 - 1, "{text}");
}

#[test]
fn journals_that_cannot_be_are_refused() {
    let once = "a run starts once, before all else";
    check_damaged("start:one:1", once);
    check_damaged("begin begin", once);
    check_damaged("begin skip:two", "it is not this step's turn");
    check_damaged("begin skip:one skip:one", "it is not this step's turn");
    check_damaged(
        "begin start:one.0:1",
        "items are for a step with for-each that was expanded",
    );
    check_damaged("begin start:one:2", "attempts are numbered one by one");
    check_damaged(
        "begin start:one:1 start:one:1",
        "more attempts are under way than the step allows",
    );
    check_damaged("begin start:one:1 skip:one", "the step has begun");
    check_damaged(
        "begin start:one:1 ok:one:2",
        "this attempt is not under way",
    );
    check_damaged("begin ok:one:1", "this attempt is not under way");
    check_damaged(
        "begin expand:one:1",
        "it is not the turn of a step with for-each",
    );
    check_damaged(
        "begin skip:one expand:two:1 expand:two:1",
        "the step was expanded before",
    );
    check_damaged(
        "begin skip:one expand:two:1 start:two.1:1",
        "there is no such item",
    );
    check_damaged("begin won", "some steps are not over");
    check_damaged("begin lost:one", "the step has not failed");
    check_damaged("begin skip:one lost:one", "the step has not failed");
    check_damaged("begin off off", "the run has ended");
    let effects = |rest: &str| format!("begin start:one:1 {rest}");
    check_damaged(&effects("read:one:2:0"), "this attempt is not under way");
    check_damaged(&effects("read:one:1:1"), "effects are numbered one by one");
    check_damaged(
        &effects("intend:one:1:0 read:one:1:1"),
        "the effect before it is not done",
    );
    check_damaged(
        &effects("answer:one:1:0"),
        "the effect was not intended, or was done before",
    );
    check_damaged(
        &effects("intend:one:1:0 answer:one:1:0 answer:one:1:0"),
        "the effect was not intended, or was done before",
    );
    check_damaged(
        &effects("write:one:1:0"),
        "an effect that may not be repeated needs an intent",
    );
}

#[test]
fn ten_thousand_items_take_no_quadratic_time() {
    let mut state = fold("begin skip:one expand:two:10000").unwrap();
    for item in 0..10_000 {
        let path = place(&format!("two.{item}"));
        assert_eq!(state.next(at(10)), Next::Begin(path.clone(), 1));
        for word in ["start", "ok"] {
            let event = journal(&format!("{word}:two.{item}:1")).remove(0);
            state.apply(event).unwrap();
        }
    }
    assert_eq!(state.next(at(10)), Next::Expand);
}

#[test]
fn the_time_of_a_run_is_up_where_nothing_else_is() {
    let mut plan = Plan::clone(&plan());
    plan.timeout = Some(Duration::from_secs(5));
    let state = RunState::fold(Arc::new(plan), journal("begin start:one:1")).unwrap();
    assert_eq!(state.next(at(4)), Next::Wait(Some(at(5))));
    assert!(matches!(state.next(at(5)), Next::TimeUp(_)));
}

#[test]
fn steps_of_on_error_follow_a_failure_and_a_resumed_run_its_last_step() {
    let mut plan = Plan::clone(&plan());
    plan.on_error = vec![step("tell", false, 1, false)];
    let plan = Arc::new(plan);
    let kind = EventKind::RunFailing {
        path: Some(place("one")),
        failure: failure(FailureClass::Permanent),
    };
    let failing = Event { at: at(0), kind };
    let resumed = Event {
        at: at(3),
        kind: EventKind::RunResumed,
    };
    let mut events = journal("begin start:one:1 bad:one:1");
    events.push(failing.clone());
    let next = |events: &[Event]| {
        RunState::fold(Arc::clone(&plan), events.to_vec())
            .unwrap()
            .next(at(10))
    };
    assert_eq!(next(&events), Next::Begin(place("tell"), 1));
    events.extend(journal("start:tell:1 ok:tell:1"));
    let lost = failure(FailureClass::Permanent);
    assert_eq!(next(&events), Next::Lose(Some(place("one")), lost));
    events.extend(journal("lost:one"));
    events.push(resumed.clone());
    assert_eq!(next(&events), Next::Begin(place("one"), 2));
    events.extend(journal("start:one:2 ok:one:2"));
    assert_eq!(next(&events), Next::Expand);

    let early = [journal("begin start:one:1"), vec![failing]].concat();
    let damage = RunState::fold(Arc::clone(&plan), early).err().unwrap();
    assert_eq!(damage.why, "the step has not failed");
    let unfailed = [journal("begin"), vec![resumed]].concat();
    let damage = RunState::fold(plan, unfailed).err().unwrap();
    assert_eq!(
        damage.why,
        "only a run that failed or was cancelled goes on"
    );
}
