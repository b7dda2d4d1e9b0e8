//! `docket doctor` with the real binary: a project as it should be, everything that may be wrong with one,
//! each with its exit code and remedy, and that looking changes nothing.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod examined;
mod served;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use docket_e2e::{Desk, Project};
use docket_journal::SqliteStore;
use docket_tenant::DEMO_CLIENT_ID;
use rusqlite::Connection;
use serde_json::Value;

use self::examined::{check, doctor, files, redacted, said};
use self::served::Served;

const ACCOUNT: &str = "svc-docket@contoso.example";
const YAML: &str = "connections: {}
plugins:
  import:
    source: import.wasm
    grants: all-requested
";
const HOOK: &str = "workflow: hooked
on: webhook
steps:
  - {id: ask, uses: wait/approval, with: {message: Pay?}}
";

/// What it says of a healthy project; what differs from run to run is redacted by [`redacted`].
const HEALTHY: &str = "\
✓ engine      WebAssembly compiles and runs on this machine
✓ project     PROJECT/docket.yaml: 2 connections, 2 plugins
✓ plugin      exchange VERSION, which docket.lock does not pin
✓ plugin      graph-import VERSION, which docket.lock does not pin
✓ workflow    read.yaml
✓ grants      cover what the steps' actions ask for
✓ data        DATA is private, and can be written
✓ disk        SIZE are free for the data folder
✓ cache       DATA/cache is private, and can be written
✓ journal     SIZE are sound
✓ vault       opens with the key from the file KEY
✓ connection  contoso (service-account): svc-docket@contoso.example has signed in, a client secret whose end is not known
✓ connection  people (per-user): nobody has signed in
✓ runs        none waits
✓ server      nobody serves; commands do their work themselves
· network     --online goes there, and tries the connections
";

/// A project with a plugin, and nothing else yet.
fn project() -> Project {
    let project = Project::new(YAML);
    project.put("graph-import", "import.wasm");
    project
}

/// The same once something was done in it, so that there are a journal and a vault.
fn opened() -> Project {
    let project = project();
    project.ends(&["connections", "list"], 0);
    project
}

fn journal(project: &Project) -> PathBuf {
    project.path("data/journal.db")
}

/// Makes a run that waits for an approval.
fn run_hooked(project: &Project) {
    let workflow = HOOK.replace("on: webhook", "on: {manual: }");
    fs::write(project.path("hooked.yaml"), workflow).unwrap();
    project.ends(&["run", &project.file("hooked.yaml"), "--id", "r-1"], 6);
}

#[tokio::test]
async fn a_healthy_project_is_found_so_and_stays_as_it_is() {
    let desk = Desk::open().await;
    let read = "workflow: read\non:\n  manual:\nconnections:\n  graph-import: contoso\nsteps:\n  - uses: \
                graph-import/messages\n    with:\n      mailbox: invoices@contoso.example\n      folder: \
                Invoices\n";
    fs::write(desk.docket.project().join("read.yaml"), read).unwrap();
    // Nobody has signed in, and a workflow needs it.
    let output = desk.docket(&["doctor"]).await;
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(
        said(&output).contains("docket connections add contoso"),
        "{}",
        said(&output)
    );
    assert!(!desk.docket.data().exists(), "nothing was made");
    assert!(!desk.docket.key().exists(), "nothing was made");

    let output = desk.docket(&["doctor", "--online"]).await;
    assert!(said(&output).contains("contoso: it is not set up"));
    assert!(!desk.docket.data().exists(), "there is nothing to try");

    desk.docket.add_secret("contoso", &desk.tenant);
    let authorize = ["connections", "authorize", "--no-browser", "contoso"];
    let signed_in = Desk::authorize(desk.command(&authorize), async |link| {
        desk.tenant.sign_in(link, ACCOUNT).await.unwrap();
    });
    assert_eq!(signed_in.await.code, Some(0));
    let before = files(desk.docket.project().parent().unwrap());
    let output = desk.docket(&["doctor"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(redacted(&text, &desk), HEALTHY);
    let after = files(desk.docket.project().parent().unwrap());
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    assert!(before == after, "a file was changed");
    let secret = desk.tenant.state().client_secret(DEMO_CLIENT_ID).unwrap();
    assert!(!said(&output).contains(&secret));

    // The network, too.
    let report = desk.json(&["doctor", "--online"]).await;
    assert_eq!(report["problems"], 0, "{report:#}");
    let graph = desk.tenant.graph().origin().ascii_serialization();
    check(
        &report,
        "network",
        "ok",
        &format!("{graph} (contoso, people) answers"),
    );
    check(
        &report,
        "probe",
        "ok",
        "contoso: svc-docket@contoso.example may do",
    );
    check(
        &report,
        "probe",
        "skipped",
        "docket connections test people --user USER",
    );
    let state = desk.tenant.state();
    let full = docket_tenant::RightKind::FullAccess;
    let mailbox = "invoices@contoso.example";
    state.set_right(ACCOUNT, full, mailbox, false).unwrap();
    let output = desk.docket(&["doctor", "--online"]).await;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(
        said(&output).contains("Add-MailboxPermission"),
        "{}",
        said(&output)
    );
    // Nobody answers where the tenant was.
    let yaml = desk.docket.project().join("docket.yaml");
    let text = fs::read_to_string(&yaml).unwrap();
    let port = |url: &url::Url| format!(":{}", url.port().unwrap());
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = dead.local_addr().unwrap().port();
    drop(dead);
    let moved = text.replace(&port(desk.tenant.graph()), &format!(":{closed}"));
    fs::write(&yaml, moved).unwrap();
    let output = desk.docket(&["doctor", "--online"]).await;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let unreached = format!("firewall lets it reach https://localhost:{closed}");
    assert!(said(&output).contains(&unreached), "{}", said(&output));
}

#[test]
fn a_new_project_has_nothing_to_look_at_and_nothing_is_made() {
    let project = project();
    let before = files(&project.path("."));
    let report = doctor(&project, 0);
    check(&report, "data", "ok", "is not there yet");
    check(&report, "journal", "ok", "none yet");
    check(&report, "vault", "ok", "none yet");
    assert!(files(&project.path(".")) == before);
}

#[test]
fn what_designers_write_comes_with_its_place() {
    let project = project();
    fs::write(
        project.path("bad.yaml"),
        "workflow: bad\nsteps:\n  - uses: import/nothing\n",
    )
    .unwrap();
    let report = doctor(&project, 3);
    let found = check(&report, "workflow", "problem", "bad.yaml");
    assert!(
        found["message"].as_str().unwrap().contains("bad.yaml:3:"),
        "{found}"
    );
    assert!(
        found["help"].as_str().unwrap().contains("docket validate"),
        "{found}"
    );

    fs::write(project.path("bad.yaml"), HOOK).unwrap();
    fs::write(project.path("other.yaml"), HOOK).unwrap();
    let report = doctor(&project, 3);
    check(
        &report,
        "workflow",
        "problem",
        "bad.yaml and other.yaml are both called `hooked`",
    );
    fs::remove_file(project.path("other.yaml")).unwrap();
    let report = doctor(&project, 3);
    let webhook = check(
        &report,
        "webhook",
        "problem",
        "that of hooked has no secret",
    );
    assert!(
        webhook["help"]
            .as_str()
            .unwrap()
            .contains("docket triggers set-secret hooked")
    );
    project.ends(&["triggers", "set-secret", "hooked"], 0);
    let report = doctor(&project, 0);
    check(&report, "webhook", "ok", "hooked");
    check(
        &report,
        "server",
        "warning",
        "nobody serves: 1 trigger starts nothing",
    );

    fs::write(project.path("docket.yaml"), "connections: 3\n").unwrap();
    check(&doctor(&project, 3), "project", "problem", "docket.yaml:1:");
    fs::remove_file(project.path("docket.yaml")).unwrap();
    check(&doctor(&project, 3), "project", "problem", "is no project");
}

#[test]
fn a_plugin_must_be_there_be_the_approved_one_and_have_its_grants() {
    let project = project();
    project.ends(
        &[
            "plugins",
            "add",
            &project.file("import.wasm"),
            "--as",
            "import",
            "--yes",
        ],
        0,
    );
    check(
        &doctor(&project, 0),
        "plugin",
        "ok",
        "as docket.lock has it",
    );

    let people = "connections: {people: {kind: per-user, tenant: contoso.example, client-id: app}}";
    let yaml = project
        .read("docket.yaml")
        .replace("connections: {}", people);
    let read = "workflow: read
on: {manual: }
connections: {import: people}
steps:
  - {id: get, uses: import/messages, as: a@contoso.example, with: {mailbox: a@contoso.example, folder: inbox}}
";
    fs::write(project.path("read.yaml"), read).unwrap();
    let less = yaml.replace(
        "all-requested",
        "['GET {graph}/v1.0/users/{mailbox}/mailFolders']",
    );
    fs::write(project.path("docket.yaml"), less).unwrap();
    let report = doctor(&project, 0);
    let missing = check(&report, "grants", "warning", "get in read");
    assert!(
        missing["help"]
            .as_str()
            .unwrap()
            .contains("plugins.import.grants"),
        "{missing}"
    );
    fs::write(project.path("docket.yaml"), &yaml).unwrap();

    project.put("exchange", "import.wasm");
    let report = doctor(&project, 3);
    let swapped = check(
        &report,
        "plugin",
        "problem",
        "is not the one that was approved",
    );
    assert!(
        swapped["help"]
            .as_str()
            .unwrap()
            .contains("docket plugins add"),
        "{swapped}"
    );
    check(&report, "workflow", "skipped", "their plugins come first");
    fs::remove_file(project.path("import.wasm")).unwrap();
    check(&doctor(&project, 3), "plugin", "problem", "import.wasm: ");
    fs::remove_file(project.path("read.yaml")).unwrap();
    fs::write(project.path("docket.yaml"), "connections: {}\n").unwrap();
    check(
        &doctor(&project, 0),
        "lock",
        "warning",
        "docket.lock pins import",
    );
    fs::write(project.path("docket.lock"), "{").unwrap();
    check(
        &doctor(&project, 3),
        "lock",
        "problem",
        "docket.lock is damaged",
    );
}

#[test]
fn a_journal_is_looked_at_as_it_is() {
    let project = opened();
    run_hooked(&project);
    let report = doctor(&project, 0);
    check(
        &report,
        "record",
        "ok",
        "the last run's is as it was written",
    );
    check(&report, "runs", "ok", "1 waits since");
    check(
        &report,
        "server",
        "warning",
        "1 step waits, and goes on only once somebody does",
    );

    // Another docket is at work.
    let owner = SqliteStore::open(&journal(&project)).unwrap();
    let report = doctor(&project, 0);
    let process = format!("(process {})", std::process::id());
    check(&report, "journal", "skipped", &process);
    check(
        &report,
        "vault",
        "skipped",
        "another process works with them",
    );
    let (_, err) = project.ends(&["runs", "list"], 5);
    assert!(err.contains(&process), "{err}");
    drop(owner);

    // What others wrote, and what was changed.
    let database = Connection::open(journal(&project)).unwrap();
    let set = |version: u32| {
        database
            .pragma_update(None, "user_version", version)
            .unwrap()
    };
    let newest: u32 = database
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    set(newest - 1);
    check(&doctor(&project, 0), "journal", "warning", "is of version");
    let version: u32 = database
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, newest - 1, "it is not brought up to date");
    set(newest + 1);
    check(
        &doctor(&project, 5),
        "journal",
        "problem",
        "newer version of Docket",
    );
    set(newest);
    database
        .execute("UPDATE events SET body = x'7b7d' WHERE seq = 1", [])
        .unwrap();
    drop(database);
    let report = doctor(&project, 5);
    check(&report, "record", "problem", "r-1 was changed, at event 1");

    fs::write(journal(&project), vec![7; 9000]).unwrap();
    let report = doctor(&project, 5);
    let damaged = check(&report, "journal", "problem", "damaged");
    assert!(
        damaged["help"].as_str().unwrap().contains("backup"),
        "{damaged}"
    );
}

#[test]
fn a_vault_opens_only_with_its_key() {
    let project = opened();
    check(
        &doctor(&project, 0),
        "vault",
        "ok",
        "opens with the key from the file",
    );
    let key = project.read("vault.key");
    let other = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n";
    fs::write(project.path("vault.key"), other).unwrap();
    let report = doctor(&project, 5);
    let wrong = check(&report, "vault", "problem", "made with another key");
    assert!(!wrong.to_string().contains(other.trim()), "{wrong}");
    fs::remove_file(project.path("vault.key")).unwrap();
    check(&doctor(&project, 5), "vault", "problem", "is missing");
    assert!(!project.path("vault.key").exists(), "none is made");
    fs::write(project.path("vault.key"), &key).unwrap();
    set_mode(&project.path("vault.key"), 0o600);

    // An interrupted rotation stays interrupted.
    fs::rename(project.path("vault.key"), project.path("vault.key.next")).unwrap();
    check(&doctor(&project, 0), "vault", "ok", "opens with the key");
    assert!(project.path("vault.key.next").exists());
    fs::rename(project.path("vault.key.next"), project.path("vault.key")).unwrap();

    for (path, about) in [
        ("data", "data"),
        ("data/cache", "cache"),
        ("data/vault", "vault"),
    ] {
        set_mode(&project.path(path), 0o755);
        let report = doctor(&project, 0);
        let open = check(&report, about, "warning", "(mode 755)");
        assert!(
            open["help"].as_str().unwrap().starts_with("chmod 700"),
            "{open}"
        );
        set_mode(&project.path(path), 0o700);
    }
    set_mode(&project.path("vault.key"), 0o644);
    check(&doctor(&project, 5), "vault", "problem", "mode 644");
    set_mode(&project.path("vault.key"), 0o600);
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_serves_is_asked() {
    let mut served = Served::start().await;
    let ask = |served: &Served, code: i32| -> Value {
        let output = served.docket.run(&["doctor", "--json"]);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        let state = served.lab.tenant.state();
        let secret = state.client_secret(DEMO_CLIENT_ID).unwrap();
        for secret in [served.token.as_str(), &secret] {
            assert!(!said(&output).contains(secret), "{}", said(&output));
        }
        serde_json::from_slice(&output.stdout).unwrap()
    };
    // One of the examples has a webhook.
    let report = ask(&served, 3);
    check(&report, "server", "ok", &served.url);
    check(&report, "webhook", "problem", "has no secret");
    let workflows = served.get("/api/triggers").await;
    for one in workflows["triggers"].as_array().unwrap() {
        if one["kind"] == "webhook" {
            served.json(&["triggers", "set-secret", one["workflow"].as_str().unwrap()]);
        }
    }
    let document = served.document("loan.pdf").await;
    served.start_as_anna("r-1", &document).await;
    assert_eq!(served.rests("r-1").await["state"], "waiting");
    let report = ask(&served, 4);
    let waits = check(&report, "runs", "problem", "anna@contoso.example");
    assert!(waits["help"].is_string(), "{waits}");
    check(&report, "record", "ok", "the last run's is");
    check(&report, "vault", "skipped", "whoever serves has it open");
    let online = served.docket.run(&["doctor", "--online", "--json"]);
    let online: Value = serde_json::from_slice(&online.stdout).unwrap();
    check(&online, "network", "ok", "contoso");
    check(&online, "probe", "ok", "contoso: ");

    served.kill();
    let report = ask(&served, 4);
    check(&report, "server", "warning", "ended without saying so");
    check(&report, "vault", "warning", "lies in the data folder");
    check(&report, "journal", "ok", "are sound");
}
