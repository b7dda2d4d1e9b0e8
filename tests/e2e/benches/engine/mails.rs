//! Mails end to end: the whole host beside a native program that makes the same requests and the same
//! commits through the same writer. The tenant runs in a process of its own.

use std::sync::Arc;
use std::time::Duration;

use docket_e2e::apart::Apart;
use docket_e2e::measure::{Used, row};
use docket_e2e::{Host, Plain};
use docket_journal::SqliteStore;
use docket_model::{ConnectionLimits, Plan, RunResult};
use docket_tenant::TenantConfig;
use futures_util::StreamExt as _;
use serde_json::{Map, Value};

const SENDER: &str = "contracts@contoso.example";
const DOCUMENT: usize = 10_000;
/// The tenants by name, and how long each of their answers takes.
const LATENCIES: [(&str, u64); 2] = [("0 ms", 0), ("50 ms", 50)];
/// How many mails each side sends, by latency and by how many are under way at once; in two turns.
const MAILS: [[(usize, usize); 3]; 2] = [
    [(1, 300), (16, 1_000), (256, 1_500)],
    [(1, 16), (16, 240), (256, 1_500)],
];

pub(crate) fn tenant(name: &str) -> TenantConfig {
    let mut config = TenantConfig::contoso();
    config.recorded_requests = 0;
    for (known, millis) in LATENCIES {
        if known == name {
            config.timings.service = Duration::from_millis(millis);
        }
    }
    config
}

pub(crate) async fn measure() {
    for ((name, _), mails) in LATENCIES.iter().zip(MAILS) {
        let mut tenant = Apart::start(name).await;
        let mut ground = tenant.ground().await;
        // Beyond Graph's limits, which would be all that is measured: the host is, not its patience.
        ground.limits = ConnectionLimits {
            at_a_time: 256,
            per_10_minutes: 1_000_000,
            upload_mb_per_5_minutes: 1_000_000,
        };
        let host = ground.open().await;
        let plan = host.plan("signed-contract-confirmation.yaml");
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let journal = Arc::new(SqliteStore::open(&folder.path().join("journal.db")).unwrap());
        let plain = Plain::new(&mut tenant, SENDER).await.with_journal(journal);
        // Both sides are given the document: to store it is not part of the comparison.
        let inputs = host.confirmation(DOCUMENT);
        let sides = Arc::new(Sides {
            host,
            plan,
            inputs,
            plain,
            document: vec![b'%'; DOCUMENT],
        });
        sides.turn("warm", 0, 16, 40).await;
        let mut number = 40;
        for (at_once, count) in mails {
            let count = if cfg!(debug_assertions) {
                count / 10 + 1
            } else {
                count
            };
            let mut sums = [(Duration::ZERO, Duration::ZERO); 2];
            for turn in 0..2 {
                let title = format!("{at_once}-{turn}");
                let turns = sides.turn(&title, number, at_once, count / 2 + 1).await;
                number += count / 2 + 1;
                for (sum, (cpu, wall)) in sums.iter_mut().zip(turns) {
                    *sum = (sum.0 + cpu, sum.1 + wall);
                }
            }
            tell(name, at_once, 2 * (count / 2 + 1), sums);
        }
        tenant.stop().await;
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn tell(latency: &str, at_once: usize, count: usize, sums: [(Duration, Duration); 2]) {
    let [(cpu, wall), (plain_cpu, plain_wall)] =
        sums.map(|(cpu, wall)| (cpu.as_secs_f64(), wall.as_secs_f64()));
    let count = count as f64;
    let title = format!("engine/mails: {latency} latency, {at_once} at once");
    row(
        &title,
        "mails/s",
        count / wall,
        &format!(
            "{:.0} % of native ({:.0} mails/s); target 80 %",
            100.0 * plain_wall / wall,
            count / plain_wall
        ),
    );
    row(
        &format!("{title}: CPU a mail"),
        "ms",
        cpu * 1e3 / count,
        &format!("native {:.2} ms; target 0.5 ms", plain_cpu * 1e3 / count),
    );
}

struct Sides {
    host: Host,
    plan: Plan,
    inputs: Map<String, Value>,
    plain: Plain,
    document: Vec<u8>,
}

impl Sides {
    /// CPU and wall time of so many mails: the host's, and then the native program's.
    async fn turn(
        self: &Arc<Self>,
        name: &str,
        first: usize,
        at_once: usize,
        count: usize,
    ) -> [(Duration, Duration); 2] {
        let began = Used::so_far();
        each(count, at_once, |number| {
            let (sides, name) = (Arc::clone(self), format!("{name}-{number}"));
            async move { sides.ours(&name).await }
        })
        .await;
        let ours = began.since();
        let began = Used::so_far();
        each(count, at_once, |number| {
            let sides = Arc::clone(self);
            async move { sides.plain.mail(first + number, &sides.document).await }
        })
        .await;
        [ours, began.since()]
    }

    async fn ours(&self, name: &str) {
        let inputs = self.inputs.clone();
        let result = self.host.run(name, &self.plan, inputs).await;
        assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
    }
}

/// Each in a task of its own, as a server has them.
async fn each<F>(count: usize, at_once: usize, work: impl Fn(usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    futures_util::stream::iter(0..count)
        .for_each_concurrent(at_once, |number| {
            let task = tokio::spawn(work(number));
            async move { task.await.unwrap() }
        })
        .await;
}
