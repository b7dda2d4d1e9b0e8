//! Sources: items that come again, that fit nothing, and that do not come at all.

use std::sync::Arc;

use docket_engine::{Durability, EngineError, EventStore, RunFilter, StoreError, TriggerState};
use docket_model::{
    Clock as _, Digest, EventKind, FailureClass, Plan, RunId, RunResult, TriggerKind,
};
use jiff::SignedDuration;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Hand, Poll, World, at, every, expression, mail, memory};
use crate::crashing::{CrashingStore, Unsynced};
use crate::outside::stores;
use crate::plans::step;

#[tokio::test]
async fn each_item_has_one_run_whoever_gives_it_again() {
    for (store, _folder) in stores() {
        let clock = Hand::at("09:00:00");
        let script = vec![
            Poll::Items(&["ok-a", "ok-b"], true),
            Poll::Items(&["ok-b", "ok-c"], false),
        ];
        let world = World::new(&store, &clock, script, vec![mail()]);
        clock.is_waited("09:01:00").await;
        assert_eq!(world.polls(), 2, "more was to be had at once");
        assert_eq!(world.inputs().await, ["a", "b", "c"]);
        let run = world.runs().await.remove(0).id;
        let item = store.item("w/source p/new", "ok-a").await.unwrap();
        assert_eq!(item, Some(run));
        world.stop().await;

        // What was known before the process ended is known after it.
        let script = vec![Poll::Items(&["ok-a", "ok-d"], false)];
        let world = World::new(&store, &clock, script, vec![mail()]);
        while world.status().await.state != TriggerState::Waiting || world.polls() < 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.inputs().await, ["a", "b", "c", "d"]);
        let cursor = Some("c2".to_owned());
        assert_eq!(world.source.cursors.lock().unwrap()[0], cursor);
        assert_eq!(world.status().await.started, 4);
        world.stop().await;
    }
}

#[tokio::test]
async fn what_a_poll_gave_comes_again_where_the_journal_failed_before_it_had_it() {
    let (kept, _folder) = stores().remove(1);
    let clock = Hand::at("09:00:00");
    let full = StoreError::Full("no space left".to_owned());
    let cut: Arc<dyn EventStore> = Arc::new(CrashingStore::new(
        Arc::clone(&kept),
        0,
        Unsynced::Kept,
        full,
    ));
    let script = || vec![Poll::Items(&["ok-a", "ok-b"], false)];
    let event = docket_model::Event {
        at: clock.now(),
        kind: EventKind::RunResumed,
    };
    let run: RunId = "r-other".parse().unwrap();
    let died = cut.append(&run, 0, &[event], Durability::Synced).await;
    assert!(died.is_err());
    let world = World::new(&cut, &clock, script(), vec![mail()]);
    loop {
        if let TriggerState::Failing { failure, .. } = world.status().await.state {
            assert!(failure.message.contains("no space left"), "{failure:?}");
            break;
        }
        tokio::task::yield_now().await;
    }
    world.stop().await;
    let world = World::new(&kept, &clock, script(), vec![mail()]);
    clock.is_waited("09:01:00").await;
    assert_eq!(world.inputs().await, ["a", "b"]);
    assert_eq!(*world.source.cursors.lock().unwrap(), [None]);
    world.stop().await;
}

#[tokio::test]
async fn an_item_that_fits_no_inputs_has_a_run_that_says_so_and_keeps_no_other_back() {
    for (store, _folder) in stores() {
        for on_error in [vec![], vec![step("tell")]] {
            let clock = Hand::at("09:00:00");
            let script = vec![Poll::Items(&["ok-a", "poisoned", "ok-b"], false)];
            let workflow = format!("w{}", on_error.len());
            let plan = Plan {
                workflow,
                on_error,
                ..mail()
            };
            let has_on_error = !plan.on_error.is_empty();
            let world = World::new(&store, &clock, script, vec![plan]);
            clock.is_waited("09:01:00").await;
            let runs = world.runs().await;
            let poisoned = &runs[runs.len() - 2];
            let events = store.events(&poisoned.id).await.unwrap();
            let failure = match &events[1].kind {
                EventKind::RunFailing { failure, .. } if has_on_error => failure,
                EventKind::RunFinished {
                    result: RunResult::Failed { failure, .. },
                } if !has_on_error => failure,
                other => panic!("{other:?}"),
            };
            assert_eq!(failure.code, "unfit-inputs");
            assert!(
                failure.message.contains("the input `title` is required"),
                "{failure:?}"
            );
            assert_eq!(poisoned.finished_at.is_some(), !has_on_error);
            let told = world.heard.events.lock().unwrap().len();
            assert_eq!(told, usize::from(!has_on_error), "it is counted and logged");
            for again in [
                world.engine.resume(&poisoned.id).await,
                world
                    .engine
                    .rerun(&poisoned.id, &"r-again".parse().unwrap())
                    .await,
            ] {
                let refused = matches!(again, Err(EngineError::Unstartable(_)));
                assert!(refused, "{again:?}");
            }
            let heard = Arc::clone(&world.heard) as _;
            let driven = world
                .engine
                .drive(&poisoned.id, heard, CancellationToken::new());
            match driven.await.unwrap() {
                RunResult::Failed { path, failure } => {
                    assert_eq!((path, failure.code.as_str()), (None, "unfit-inputs"));
                }
                other => panic!("{other:?}"),
            }
            let again = world.engine.resume(&poisoned.id).await;
            assert!(
                matches!(again, Err(EngineError::Unstartable(_))),
                "{again:?}"
            );
            let ready = store.ready().await.unwrap();
            assert!(ready.iter().any(|run| run.run == runs[runs.len() - 1].id));
            world.stop().await;
        }
    }
}

#[tokio::test]
async fn an_item_that_is_not_wanted_is_seen_and_has_no_run() {
    for (store, _folder) in stores() {
        let clock = Hand::at("09:00:00");
        let mut picky = mail();
        let TriggerKind::Source(poll) = &mut picky.triggers[0].on else {
            panic!("a source");
        };
        poll.condition = Some(expression("event.item.subject.contains('a')"));
        let script = vec![Poll::Items(&["ok-a", "ok-b", "poisoned"], false)];
        let world = World::new(&store, &clock, script, vec![picky]);
        clock.is_waited("09:01:00").await;
        // One for which the condition has no answer is not lost either.
        assert_eq!(world.inputs().await, [json!("a"), json!(null)]);
        let poisoned = world.runs().await.remove(1);
        match poisoned.result {
            Some(RunResult::Failed { failure, .. }) => {
                assert!(
                    failure.message.contains("`if` has no answer"),
                    "{failure:?}"
                );
                assert!(
                    failure.message.contains("event.item.subject"),
                    "{failure:?}"
                );
            }
            other => panic!("{other:?}"),
        }
        let name = "w/source p/new";
        let seen = store.item(name, "ok-b").await.unwrap().unwrap();
        assert_eq!(store.run(&seen).await.unwrap(), None);
        let record = store.trigger(name).await.unwrap();
        assert_eq!((record.cursor.as_deref(), record.started), (Some("c1"), 2));
        world.stop().await;

        // It was judged for good: neither a restart nor an edit brings it back.
        let script = vec![Poll::Items(&["ok-b", "ok-c"], false)];
        let world = World::new(&store, &clock, script, vec![mail()]);
        while world.runs().await.len() < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.inputs().await[2], "c");
        world.stop().await;
    }
}

#[tokio::test]
async fn an_item_that_its_source_cannot_read_has_a_run_that_says_so() {
    let store = memory();
    let clock = Hand::at("09:00:00");
    let mut picky = mail();
    let TriggerKind::Source(poll) = &mut picky.triggers[0].on else {
        panic!("a source");
    };
    // What is not there cannot be judged by it.
    poll.condition = Some(expression("size(event.item.files) > 0"));
    let failure = json!({"code": "ServiceUnavailable", "message": "try again"});
    let item = json!({"key": "ok-a", "subject": "a", "files": [], "failure": failure});
    let script = vec![Poll::Nonsense(json!({"items": [item]}))];
    let world = World::new(&store, &clock, script, vec![picky]);
    clock.is_waited("09:01:00").await;
    assert_eq!(world.inputs().await, ["a"], "what there is of it");
    let run = world.runs().await.remove(0);
    match run.result {
        Some(RunResult::Failed { failure, .. }) => {
            assert_eq!(failure.code, "unreadable-item");
            assert!(failure.message.contains("try again"), "{failure:?}");
        }
        other => panic!("{other:?}"),
    }
    let again = world.engine.resume(&run.id).await;
    assert!(
        matches!(again, Err(EngineError::Unstartable(_))),
        "{again:?}"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_source_that_fails_is_polled_ever_later_and_then_as_before() {
    let store = memory();
    let clock = Hand::at("09:00:00");
    let script = vec![
        Poll::Fails(FailureClass::Denied),
        Poll::Fails(FailureClass::Unavailable),
        Poll::Writes,
        Poll::Nonsense(json!({"items": 7})),
        Poll::Nonsense(json!({"items": [{"key": ""}]})),
        Poll::Items(&["ok-a"], false),
    ];
    let world = World::new(&store, &clock, script, vec![mail()]);
    let mut waits = Vec::new();
    let mut messages = Vec::new();
    for polls in 1..=5 {
        let next = loop {
            let status = world.status().await;
            if let (TriggerState::Failing { failure, since }, Some(next)) =
                (&status.state, status.next_at)
                && status.failed_lately == polls
            {
                assert_eq!(*since, at("09:00:00"));
                messages.push(failure.message.clone());
                break next;
            }
            tokio::task::yield_now().await;
        };
        let now = world.clock.now();
        waits.push(next.duration_since(now).as_secs());
        world.clock.now.send_replace(next);
    }
    assert!(waits.is_sorted() && waits[0] >= 30, "{waits:?}");
    assert!(waits[4] > 450 && waits[4] <= 900, "{waits:?}");
    assert!(messages[2].contains("POST https://mail.example/send/x"));
    assert!(messages[3].contains("no list `items`"), "{messages:?}");
    assert!(messages[4].contains("no `key`"), "{messages:?}");
    while world.inputs().await != ["a"] {
        tokio::task::yield_now().await;
    }
    while world.status().await.state != TriggerState::Waiting {
        tokio::task::yield_now().await;
    }
    let next = world.status().await.next_at.unwrap();
    let minute = SignedDuration::from_mins(1);
    assert_eq!(next.duration_since(world.clock.now()), minute);
    assert_eq!(world.polls(), 6);
    let cursors = world.source.cursors.lock().unwrap().clone();
    assert!(
        cursors.iter().all(Option::is_none),
        "a failure moves nothing"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_source_without_its_account_waits_for_the_sign_in_and_no_longer() {
    let store = memory();
    let clock = Hand::at("09:00:00");
    let need = || Poll::Fails(FailureClass::SignInRequired);
    let script = vec![need(), need(), Poll::Items(&["ok-a"], false)];
    let world = World::new(&store, &clock, script, vec![mail()]);
    // Once an hour it is looked whether it is still so.
    clock.is_waited("10:00:00").await;
    let status = world.status().await;
    match &status.state {
        TriggerState::SignInNeeded { account, since, .. } => {
            let account = account.as_ref().unwrap();
            assert_eq!(account.connection, "contoso");
            assert_eq!(*since, at("09:00:00"));
        }
        other => panic!("{other:?}"),
    }
    clock.set("09:59:59");
    world.engine.signed_in("other", None).await.unwrap();
    assert_eq!(world.polls(), 1, "nobody it waits for");
    clock.set("10:00:00");
    clock.is_waited("11:00:00").await;
    assert_eq!(world.polls(), 2);
    world.engine.signed_in("contoso", None).await.unwrap();
    clock.is_waited("10:01:00").await;
    assert_eq!(world.inputs().await, ["a"]);
    assert_eq!(world.status().await.state, TriggerState::Waiting);
    world.stop().await;
}

#[tokio::test]
async fn workflows_change_while_they_are_served() {
    let store = memory();
    let clock = Hand::at("09:00:00");
    let other = Plan {
        workflow: "other".to_owned(),
        ..every(15)
    };
    let script = vec![Poll::Hangs, Poll::Items(&["ok-a"], false)];
    let world = World::new(&store, &clock, script, vec![mail(), other.clone()]);
    clock.is_waited("09:15:00").await;
    while world.polls() < 1 {
        tokio::task::yield_now().await;
    }
    // The poll under way is given up with the plan that it was for.
    let edited = Plan {
        source: Digest::of(b"edited"),
        ..mail()
    };
    let plans = [edited.clone(), other].map(Arc::new).to_vec();
    world.triggers.set(plans.clone());
    clock.is_waited("09:01:00").await;
    let run = world.runs().await.remove(0).id;
    let events = store.events(&run).await.unwrap();
    let EventKind::RunStarted { plan, .. } = &events[0].kind else {
        panic!("{events:?}");
    };
    assert_eq!(*plan, edited.digest().unwrap());
    assert_eq!(world.polls(), 2);
    // The same again disturbs nobody.
    world.triggers.set(plans);
    assert_eq!(world.triggers.list().await.unwrap().len(), 2);
    world.triggers.set(Vec::new());
    assert!(world.triggers.list().await.unwrap().is_empty());
    while clock.now.receiver_count() > 0 {
        tokio::task::yield_now().await;
    }
    clock.set("09:15:00");
    world.stop().await;
    assert_eq!(store.runs(RunFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_trigger_that_is_reset_begins_anew_and_repeats_nothing() {
    let store = memory();
    let clock = Hand::at("09:00:00");
    let script = vec![
        Poll::Items(&["ok-a"], false),
        Poll::Items(&["ok-a", "ok-b"], false),
    ];
    let world = World::new(&store, &clock, script, vec![mail()]);
    clock.is_waited("09:01:00").await;
    assert!(!world.triggers.reset("nobody").await.unwrap());
    assert!(world.triggers.reset("w/source p/new").await.unwrap());
    while world.inputs().await != ["a", "b"] {
        tokio::task::yield_now().await;
    }
    let cursors = world.source.cursors.lock().unwrap().clone();
    assert_eq!(cursors, [None, None]);
    world.stop().await;
}

#[tokio::test]
async fn a_poll_under_way_is_given_up_when_its_trigger_is_reset() {
    let store = memory();
    let clock = Hand::at("09:00:00");
    let script = vec![
        Poll::Items(&["ok-a"], true),
        Poll::Hangs,
        Poll::Items(&["ok-b"], false),
    ];
    let world = World::new(&store, &clock, script, vec![mail()]);
    while world.polls() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(world.triggers.reset("w/source p/new").await.unwrap());
    clock.is_waited("09:01:00").await;
    assert_eq!(world.inputs().await, ["a", "b"]);
    let cursors = world.source.cursors.lock().unwrap().clone();
    assert_eq!(cursors, [None, Some("c1".to_owned()), None]);
    world.stop().await;
}
