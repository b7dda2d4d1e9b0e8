//! What an administrator does with the real program: the registration, the credentials, sign-ins of
//! both kinds, the test of a connection, the script of rights, and the vault's key and backup.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use docket_tenant::{DEMO_CLIENT_ID, SystemClock, Tenant, TenantConfig};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use url::Url;

const ACCOUNT: &str = "svc-docket@contoso.example";
const ANNA: &str = "anna@contoso.example";
/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

struct Desk {
    tenant: Tenant,
    folder: TempDir,
}

impl Desk {
    async fn open() -> Self {
        let tenant = Tenant::start(TenantConfig::contoso(), Arc::new(SystemClock))
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { tenant, folder };
        fs::write(desk.path("tenant-ca.pem"), desk.tenant.ca_pem()).unwrap();
        fs::write(desk.path("docket.yaml"), desk.docket_yaml()).unwrap();
        fs::write(
            desk.path("read.yaml"),
            "workflow: read\non:\n  manual:\nconnections:\n  graph-import: contoso\nsteps:\n  - \
             uses: graph-import/messages\n    with:\n      mailbox: invoices@contoso.example\n      \
             folder: Invoices\n",
        )
        .unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn docket_yaml(&self) -> String {
        let origin = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
        let components = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../target/guests/components"
        );
        let place = format!(
            "tenant: {}, client-id: {DEMO_CLIENT_ID}, authority: \"{}\", endpoints: {{graph: \
             \"{}\", outlook: \"{}\"}}, ca-file: tenant-ca.pem, allow-addresses: [127.0.0.0/8]",
            self.tenant.state().tenant_id(),
            origin(self.tenant.authority()),
            origin(self.tenant.graph()),
            origin(self.tenant.outlook()),
        );
        format!(
            "connections:
  contoso: {{kind: service-account, account: {ACCOUNT}, mailboxes: [invoices@contoso.example], {place}}}
  people: {{kind: per-user, fallback: contoso, {place}}}
plugins:
  graph-import: {{source: \"{components}/graph-import.wasm\", grants: all-requested}}
"
        )
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_docket"));
        command
            .arg("-C")
            .arg(self.folder.path())
            .arg("--key-file")
            .arg(self.path("vault.key"))
            .args(arguments)
            .env("DOCKET_BACKUP_PASSPHRASE", "correct horse battery staple")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn docket(&self, arguments: &[&str]) -> Output {
        let ended = self.command(arguments).output();
        tokio::time::timeout(PATIENCE, ended)
            .await
            .unwrap_or_else(|_| panic!("{arguments:?} does not end"))
            .unwrap()
    }

    /// Runs the program, which must succeed, and reads the JSON that it ends with.
    async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.docket(&[arguments, &["--json"]].concat()).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{said}");
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    /// Runs the program, which must end with this code, and gives what it says.
    async fn refused(&self, arguments: &[&str], code: i32) -> String {
        let output = self.docket(arguments).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    /// Signs somebody in with the link that the program prints; its exit code.
    async fn authorize(&self, arguments: &[&str], person: &str) -> Option<i32> {
        let all = [&["connections", "authorize", "--no-browser"], arguments].concat();
        let mut child = self.command(&all).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Ok(link) = Url::parse(line.trim())
                && link.path().ends_with("/authorize")
            {
                self.tenant.sign_in(&link, person).await.unwrap();
            }
        }
        child.wait().await.unwrap().code()
    }

    fn secret(&self) -> PathBuf {
        let secret = self.tenant.state().client_secret(DEMO_CLIENT_ID).unwrap();
        fs::write(self.path("secret"), secret).unwrap();
        self.path("secret")
    }
}

fn line<'r>(report: &'r Value, check: &str, subject: &str) -> &'r Value {
    let lines = report["lines"].as_array().unwrap();
    lines
        .iter()
        .find(|line| line["check"] == check && line["subject"] == subject)
        .unwrap_or_else(|| panic!("no {check} of {subject:?}: {report:#}"))
}

#[tokio::test]
async fn an_administrator_keeps_the_connections_alive() {
    let desk = Desk::open().await;
    let secret = desk.secret();
    let secret = secret.to_str().unwrap();

    // The registration asks for what the workflow needs, and for nothing that sends.
    let app = desk.json(&["connections", "show", "contoso"]).await;
    let permissions = app["permissions"].to_string();
    assert!(permissions.contains("Mail.Read.Shared"), "{permissions}");
    assert!(!permissions.contains("Mail.Send"), "{permissions}");
    assert_eq!(app["redirect-uris"][0], "http://localhost/callback");

    // Without a secret nobody signs in; with one that ends soon, that is said.
    let now = docket_tenant::Clock::now(&SystemClock);
    let soon = (now + jiff::SignedDuration::from_hours(24 * 5))
        .strftime("%F")
        .to_string();
    for connection in ["contoso", "people"] {
        desk.json(&[
            "connections",
            "add",
            connection,
            "--secret-file",
            secret,
            "--expires",
            &soon,
        ])
        .await;
    }
    let listed = desk.json(&["connections", "list"]).await;
    assert_eq!(listed["forecast"][0]["severity"], "urgent", "{listed:#}");
    assert!(
        !listed
            .to_string()
            .contains(&fs::read_to_string(secret).unwrap())
    );

    // The right person, and nobody else.
    assert_eq!(desk.authorize(&["contoso"], ACCOUNT).await, Some(0));
    let as_anna = ["people", "--user", ANNA];
    assert_eq!(
        desk.authorize(&as_anna, "ben@contoso.example").await,
        Some(4)
    );
    assert_eq!(desk.authorize(&as_anna, ANNA).await, Some(0));
    let listed = desk.json(&["connections", "list"]).await;
    assert_eq!(listed["connections"][0]["signed-in"][0]["account"], ACCOUNT);
    assert_eq!(listed["connections"][1]["signed-in"][0]["account"], ANNA);

    // The test finds the folder, and what is missing comes with its remedy.
    let test = ["connections", "test", "contoso"];
    let report = desk.json(&test).await;
    assert_eq!(line(&report, "token", "")["outcome"], "pass");
    assert_eq!(
        line(&report, "folder", "invoices@contoso.example Invoices")["outcome"],
        "pass"
    );
    assert_eq!(
        line(&report, "full-access", "invoices@contoso.example")["outcome"],
        "skipped",
        "the workflow only reads"
    );
    let state = desk.tenant.state();
    let mailbox = "invoices@contoso.example";
    let full = docket_tenant::RightKind::FullAccess;
    state.set_right(ACCOUNT, full, mailbox, false).unwrap();
    let said = desk.docket(&test).await;
    assert_eq!(said.status.code(), Some(3));
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("Add-MailboxPermission"), "{said}");
    let script = desk.docket(&["connections", "rights", "--script"]).await;
    let script = String::from_utf8(script.stdout).unwrap();
    assert!(
        script.contains("-Identity 'invoices@contoso.example'"),
        "{script}"
    );
    state.set_right(ACCOUNT, full, mailbox, true).unwrap();

    // A wrong secret is not taken, a right one is.
    fs::write(desk.path("wrong"), "not-the-secret").unwrap();
    let wrong = desk.path("wrong");
    let rotate = ["connections", "rotate-secret", "contoso", "--secret-file"];
    let said = desk
        .refused(&[&rotate[..], &[wrong.to_str().unwrap()]].concat(), 4)
        .await;
    assert!(said.contains("AADSTS7000215") && !said.contains("not-the-secret"));
    desk.json(&[&rotate[..], &[secret]].concat()).await;
    assert_eq!(desk.json(&test).await["lines"][0]["outcome"], "pass");

    // Another key opens the vault, the old one does not; a backup survives the loss of all.
    let old = fs::read(desk.path("vault.key")).unwrap();
    assert!(desk.docket(&["vault", "rotate-key"]).await.status.success());
    let new = fs::read(desk.path("vault.key")).unwrap();
    assert_ne!(old, new);
    fs::write(desk.path("vault.key"), &old).unwrap();
    desk.refused(&["connections", "list"], 5).await;
    fs::write(desk.path("vault.key"), &new).unwrap();
    let backup = desk.path("backup");
    let backup = backup.to_str().unwrap();
    assert!(
        desk.docket(&["vault", "export", backup])
            .await
            .status
            .success()
    );
    fs::remove_dir_all(desk.path(".docket")).unwrap();
    fs::remove_file(desk.path("vault.key")).unwrap();
    let imported = desk.json(&["vault", "import", backup]).await;
    assert_eq!(imported["kept"], 0);
    assert_eq!(desk.json(&test).await["lines"][0]["outcome"], "pass");
}
