//! What accounts cost: a token that is there, a vault with many records, and a refresh that very many
//! wait for.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use divan::Bencher;
use docket_connections::{Binding, Connections, KeySource, Vault};
use docket_model::{ConnectionKind, ConnectionSpec, ManualClock};
use docket_tenant::{AppConfig, Tenant, TenantConfig};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const APPLICATION: &str = "11111111-2222-4333-8444-555555555555";
const MANY: usize = 10_000;

fn main() {
    divan::main();
}

struct SharedClock(Arc<ManualClock>);

impl docket_tenant::Clock for SharedClock {
    fn now(&self) -> Timestamp {
        docket_model::Clock::now(self.0.as_ref())
    }
}

fn vault(folder: &TempDir) -> Vault {
    let key = KeySource::File(folder.path().join("vault.key"));
    Vault::open(&folder.path().join("vault"), &key).unwrap()
}

fn spec() -> ConnectionSpec {
    ConnectionSpec {
        mailboxes: Some(vec!["invoices@contoso.example".to_owned()]),
        allow_addresses: vec!["127.0.0.0/8".to_owned()],
        ..ConnectionSpec::new(
            ConnectionKind::AppOnly,
            "contoso.example".to_owned(),
            APPLICATION.to_owned(),
        )
    }
}

/// An application with its token, and the tenant that gives it.
struct Robot {
    runtime: Runtime,
    clock: Arc<ManualClock>,
    tenant: Tenant,
    binding: Binding,
    _folder: TempDir,
}

impl Robot {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let clock = Arc::new(ManualClock::new("2026-11-21T09:00:00Z".parse().unwrap()));
        let shared = Arc::new(SharedClock(Arc::clone(&clock)));
        let tenant = runtime
            .block_on(Tenant::start(TenantConfig::contoso(), shared))
            .unwrap();
        tenant.state().add_app(AppConfig::new(APPLICATION, "robot"));
        let later = "2028-11-21T09:00:00Z".parse().unwrap();
        let secret = tenant.state().add_secret(APPLICATION, later).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, tenant.ca_pem()).unwrap();
        let spec = ConnectionSpec {
            authority: tenant.authority().as_str().trim_end_matches('/').to_owned(),
            ca_file: Some(ca_file),
            ..spec()
        };
        let specs = BTreeMap::from([("robot".to_owned(), spec)]);
        let connections =
            Connections::open(&specs, vault(&folder), Arc::clone(&clock) as _).unwrap();
        connections
            .set_client_secret("robot", &secret.value.into(), None)
            .unwrap();
        let binding = connections
            .binding(Some("robot"), None, "bench", &[])
            .unwrap();
        runtime.block_on(binding.sign_in_state()).unwrap();
        Self {
            runtime,
            clock,
            tenant,
            binding,
            _folder: folder,
        }
    }
}

/// Target: below 2 µs.
#[divan::bench]
fn token_that_is_there(bencher: Bencher) {
    let robot = Robot::new();
    let _inside = robot.runtime.enter();
    bencher.bench_local(|| {
        futures_util::FutureExt::now_or_never(robot.binding.sign_in_state())
            .unwrap()
            .unwrap();
    });
}

/// 10,000 waiters on one expired token; there is one request.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn refresh_stampede(bencher: Bencher) {
    let robot = Robot::new();
    bencher
        .with_inputs(|| {
            robot.clock.advance(SignedDuration::from_hours(2));
            robot.tenant.state().clear_requests();
        })
        .bench_local_values(|()| {
            robot.runtime.block_on(async {
                let all = join_all((0..MANY).map(|_| robot.binding.sign_in_state())).await;
                assert!(all.iter().all(Result::is_ok));
            });
            assert_eq!(robot.tenant.state().requests().len(), 1);
        });
}

/// A vault with 10,000 records, in memory where the system has such a folder.
fn full_vault() -> (TempDir, BTreeMap<String, ConnectionSpec>) {
    let memory = PathBuf::from("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let specs: BTreeMap<_, _> = (0..MANY).map(|at| (format!("c{at}"), spec())).collect();
    let clock = Arc::new(ManualClock::new("2026-11-21T09:00:00Z".parse().unwrap()));
    let connections = Connections::open(&specs, vault(&folder), clock).unwrap();
    for name in specs.keys() {
        connections
            .set_client_secret(
                name,
                &"a secret of the usual length, 40 letters".into(),
                None,
            )
            .unwrap();
    }
    (folder, specs)
}

/// Target: below 100 ms.
#[divan::bench(sample_count = 20)]
fn open_a_vault_of_10000(bencher: Bencher) {
    let (folder, _) = full_vault();
    bencher.bench_local(|| vault(&folder));
}

/// Reads every record of 10,000.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn status_of_10000(bencher: Bencher) {
    let (folder, specs) = full_vault();
    let clock = Arc::new(ManualClock::new("2026-11-21T09:00:00Z".parse().unwrap()));
    let connections = Connections::open(&specs, vault(&folder), clock).unwrap();
    bencher.bench_local(|| connections.status().unwrap());
}
