//! Schedules, with a clock that is set by hand.

use super::{Hand, World, at, every, memory};
use crate::outside::stores;

#[tokio::test]
async fn a_moment_has_one_run_and_all_that_were_missed_have_one() {
    for (store, _folder) in stores() {
        let clock = Hand::at("09:07:00");
        let world = World::new(&store, &clock, vec![], vec![every(60)]);
        clock.is_waited("10:00:00").await;
        assert!(world.runs().await.is_empty(), "nothing was missed before");
        assert_eq!(world.status().await.next_at, Some(at("10:00:00")));
        clock.set("10:00:01");
        clock.is_waited("11:00:00").await;
        assert_eq!(world.inputs().await, ["2026-11-21T10:00:00Z"]);
        let run = world.runs().await.remove(0).id;
        assert!(run.as_str().starts_with("20261121-100000-"), "{run}");
        let status = world.status().await;
        assert_eq!((status.started, status.started_lately), (1, 1));
        world.stop().await;

        // Nobody serves until a quarter to two.
        clock.set("13:45:00");
        let world = World::new(&store, &clock, vec![], vec![every(60)]);
        clock.is_waited("14:00:00").await;
        let expected = ["2026-11-21T10:00:00Z", "2026-11-21T13:00:00Z"];
        assert_eq!(world.inputs().await, expected);
        let status = world.status().await;
        assert_eq!((status.started, status.started_lately), (2, 1));
        world.stop().await;
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_starts_nothing_twice() {
    for (store, _folder) in stores() {
        let clock = Hand::at("09:07:00");
        let world = World::new(&store, &clock, vec![], vec![every(60)]);
        clock.is_waited("10:00:00").await;
        clock.set("10:00:00");
        clock.is_waited("11:00:00").await;
        world.stop().await;
        clock.set("09:30:00");
        let world = World::new(&store, &clock, vec![], vec![every(60)]);
        while world.status().await.next_at != Some(at("11:00:00")) {
            tokio::task::yield_now().await;
        }
        clock.set("10:59:59");
        clock.set("11:00:00");
        clock.is_waited("12:00:00").await;
        let expected = ["2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z"];
        assert_eq!(world.inputs().await, expected);
        world.stop().await;
    }
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_stops_no_schedule() {
    let store = memory();
    let ahead = Some("2031-01-01T00:00:00Z");
    store.take_items("w/schedule", ahead, vec![]).await.unwrap();
    let clock = Hand::at("09:07:00");
    let world = World::new(&store, &clock, vec![], vec![every(60)]);
    clock.is_waited("10:00:00").await;
    clock.set("10:00:00");
    clock.is_waited("11:00:00").await;
    assert_eq!(world.inputs().await, ["2026-11-21T10:00:00Z"]);
    world.stop().await;
}
