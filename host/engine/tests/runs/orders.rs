//! Parking and cancelling.

use std::sync::Arc;

use docket_engine::EngineError;
use docket_journal::MemoryStore;
use docket_model::{RunId, RunResult};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::plans::{each, plan, step};
use crate::script::{Bench, bench};
use crate::world::World;

type Driving = JoinHandle<Result<RunResult, EngineError>>;

/// A run in the midst of three sends, of which one is on its way and the others wait for it.
async fn sending() -> (Bench, Arc<World>, RunId, CancellationToken, Driving) {
    let world = Arc::new(World::default());
    let bench = bench(Arc::new(MemoryStore::new()), &world);
    let inputs = json!({"list": [1, 2, 3]});
    let run = bench
        .start("r-1", &plan(vec![each(step("hold"), 1)]), inputs)
        .await;
    let park = CancellationToken::new();
    let driving = {
        let (engine, run, park) = (Arc::clone(&bench.engine), run.clone(), park.clone());
        let heard = Arc::clone(&bench.heard);
        tokio::spawn(async move { engine.drive(&run, heard, park).await })
    };
    bench.runner.holding.acquire().await.unwrap().forget();
    (bench, world, run, park, driving)
}

#[tokio::test]
async fn a_parked_run_records_what_is_under_way_and_begins_nothing_new() {
    let (bench, world, run, park, driving) = sending().await;
    park.cancel();
    bench.runner.release.add_permits(3);
    let parked = driving.await.unwrap();
    assert!(matches!(parked, Err(EngineError::Parked(_))), "{parked:?}");
    assert_eq!(
        world.state().sent.len(),
        1,
        "the send under way was awaited"
    );
    assert!(
        bench.story().ends_with(&["hold[0] did 1".to_owned()]),
        "{:?}",
        bench.story()
    );

    let result = bench.drive(&run).await.unwrap();
    assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
    assert_eq!(
        world.state().sent.values().collect::<Vec<_>>(),
        [&1, &1, &1]
    );
}

#[tokio::test]
async fn a_cancelled_run_ends_once_what_is_under_way_is_recorded() {
    let (bench, world, run, _park, driving) = sending().await;
    let cancelling = {
        let (engine, run) = (Arc::clone(&bench.engine), run.clone());
        tokio::spawn(async move { engine.cancel(&run).await })
    };
    tokio::task::yield_now().await;
    bench.runner.release.add_permits(3);
    assert_eq!(cancelling.await.unwrap().unwrap(), RunResult::Cancelled);
    assert_eq!(driving.await.unwrap().unwrap(), RunResult::Cancelled);
    assert_eq!(world.state().sent.len(), 1);
    assert_eq!(
        bench.drive(&run).await.unwrap(),
        RunResult::Cancelled,
        "it stays so"
    );
    assert_eq!(bench.engine.recover().await.unwrap(), []);
}

#[tokio::test]
async fn a_run_that_nobody_drives_can_be_cancelled_and_an_ended_one_stays() {
    let bench = bench(Arc::new(MemoryStore::new()), &Arc::new(World::default()));
    let run = bench
        .start("r-1", &plan(vec![step("echo")]), json!({}))
        .await;
    assert_eq!(
        bench.engine.cancel(&run).await.unwrap(),
        RunResult::Cancelled
    );
    let run = bench
        .start("r-2", &plan(vec![step("echo")]), json!({}))
        .await;
    let result = bench.drive(&run).await.unwrap();
    assert_eq!(bench.engine.cancel(&run).await.unwrap(), result);
    let unknown = bench.engine.cancel(&"r-3".parse().unwrap()).await;
    assert!(
        matches!(unknown, Err(EngineError::UnknownRun(_))),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_run_is_driven_by_one_at_a_time() {
    let (bench, world, run, _park, driving) = sending().await;
    let second = bench.drive(&run).await;
    assert!(
        matches!(second, Err(EngineError::UnderWay(_))),
        "{second:?}"
    );
    bench.runner.release.add_permits(3);
    assert!(driving.await.unwrap().is_ok());
    assert_eq!(world.state().sent.len(), 3);
}

#[tokio::test]
async fn a_drive_that_is_dropped_is_like_a_crash() {
    let (bench, world, run, _park, driving) = sending().await;
    driving.abort();
    assert!(driving.await.unwrap_err().is_cancelled());
    bench.runner.release.add_permits(3);
    let result = loop {
        match bench.drive(&run).await {
            // The tasks of the dropped drive let go of the run a moment later.
            Err(EngineError::UnderWay(_)) => tokio::task::yield_now().await,
            result => break result.unwrap(),
        }
    };
    assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
    // This script does not look when in doubt: the first mail was in doubt, and so not sent again.
    assert_eq!(world.state().sent.len(), 2);
}
