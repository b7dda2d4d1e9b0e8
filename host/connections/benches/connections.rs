//! What accounts cost: a token that is there, a vault with many records, and a refresh that very many
//! wait for.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use docket_connections::{Binding, Callback, Connections, KeySource, Vault};
use docket_model::{ConnectionKind, ConnectionSpec, ManualClock};
use docket_tenant::{AppConfig, DEMO_CLIENT_ID, Tenant, TenantConfig, UserConfig};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

const APPLICATION: &str = "11111111-2222-4333-8444-555555555555";
const MANY: usize = 10_000;
const NOON: &str = "2026-11-21T12:00:00Z";

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
        let clock = Arc::new(ManualClock::new(NOON.parse().unwrap()));
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

/// A vault with 10,000 users' sign-ins, in memory where the system has such a folder.
struct Crowd {
    folder: TempDir,
    specs: BTreeMap<String, ConnectionSpec>,
}

/// Everybody signs in by the real flow, once for all benchmarks.
static CROWD: LazyLock<Crowd> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let clock = Arc::new(ManualClock::new(NOON.parse().unwrap()));
    let shared = Arc::new(SharedClock(Arc::clone(&clock)));
    let mut config = TenantConfig::contoso();
    let name = |n: usize| format!("user{n}@contoso.example");
    let users = (0..MANY).map(|n| UserConfig::person(&name(n), "User"));
    config.users.extend(users);
    let tenant = runtime.block_on(Tenant::start(config, shared)).unwrap();
    let memory = PathBuf::from("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, tenant.ca_pem()).unwrap();
    let mut spec = ConnectionSpec {
        kind: ConnectionKind::PerUser,
        client_id: DEMO_CLIENT_ID.to_owned(),
        authority: tenant.authority().as_str().trim_end_matches('/').to_owned(),
        ca_file: Some(ca_file),
        ..spec()
    };
    let open = |spec: &ConnectionSpec| {
        let specs = BTreeMap::from([("people".to_owned(), spec.clone())]);
        let clock = Arc::clone(&clock) as _;
        let opened = Connections::open(&specs, vault(&folder), clock).unwrap();
        (specs, opened)
    };
    let (_, connections) = open(&spec);
    let secret = tenant.state().client_secret(DEMO_CLIENT_ID).unwrap();
    connections
        .set_client_secret("people", &secret.into(), None)
        .unwrap();
    runtime.block_on(async {
        for some in (0..MANY).collect::<Vec<_>>().chunks(64) {
            let all = some
                .iter()
                .map(|n| sign_in(&connections, &tenant, name(*n)));
            join_all(all).await;
        }
    });
    // The tenant is not there any more when the vault is read.
    spec.ca_file = None;
    let (specs, _) = open(&spec);
    Crowd { folder, specs }
});

async fn sign_in(connections: &Connections, tenant: &Tenant, user: String) {
    let redirect = Some("http://localhost/callback");
    let scopes = ["Mail.Send".to_owned()];
    let begun = connections
        .begin_sign_in("people", Some(&user), redirect, &scopes)
        .unwrap();
    let port = tenant.plain().port().unwrap();
    let body = format!("choice={}&consent=accept", user.replace('@', "%40"));
    let request = format!(
        "POST {}?{} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        begun.authorize_url.path(),
        begun.authorize_url.query().unwrap(),
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let location = answer.split("location: ").nth(1).unwrap();
    let query = location.lines().next().unwrap().split_once('?').unwrap().1;
    let callback = Callback::from_query(query).unwrap();
    connections.finish_sign_in(callback).await.unwrap();
}

fn people() -> Connections {
    let clock = Arc::new(ManualClock::new(NOON.parse().unwrap()));
    Connections::open(&CROWD.specs, vault(&CROWD.folder), clock).unwrap()
}

/// Opens the connections with their vault. Target: below 100 ms.
#[divan::bench(sample_count = 20)]
fn open_a_vault_of_10000_sign_ins(bencher: Bencher) {
    LazyLock::force(&CROWD);
    bencher.bench_local(people);
}

/// Reads every one of 10,000 sign-ins.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn status_of_10000_sign_ins(bencher: Bencher) {
    let connections = people();
    bencher.bench_local(|| {
        let status = connections.status().unwrap();
        assert_eq!(status[0].signed_in.len(), MANY);
    });
}
