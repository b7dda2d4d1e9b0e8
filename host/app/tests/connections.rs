//! What an administrator does with the real program: the registration, the credentials, sign-ins of
//! both kinds, the test of a connection, the script of rights, and the vault's key and backup.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::fs;

use docket_e2e::Desk;
use docket_tenant::SystemClock;
use serde_json::Value;

const ACCOUNT: &str = "svc-docket@contoso.example";
const ANNA: &str = "anna@contoso.example";

/// Runs the program, which must end with this code, and gives what it says.
async fn refused(desk: &Desk, arguments: &[&str], code: i32) -> String {
    let output = desk.docket(arguments).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

/// Signs somebody in with the link that the program prints; its exit code.
async fn authorize(desk: &Desk, arguments: &[&str], person: &str) -> Option<i32> {
    let all = [&["connections", "authorize", "--no-browser"], arguments].concat();
    let signed_in = Desk::authorize(desk.command(&all), async |link| {
        desk.tenant.sign_in(link, person).await.unwrap();
    });
    signed_in.await.code
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
    fs::write(
        desk.docket.project().join("read.yaml"),
        "workflow: read\non:\n  manual:\nconnections:\n  graph-import: contoso\nsteps:\n  - uses: \
         graph-import/messages\n    with:\n      mailbox: invoices@contoso.example\n      folder: \
         Invoices\n",
    )
    .unwrap();
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
    assert_eq!(authorize(&desk, &["contoso"], ACCOUNT).await, Some(0));
    let as_anna = ["people", "--user", ANNA];
    assert_eq!(
        authorize(&desk, &as_anna, "ben@contoso.example").await,
        Some(4)
    );
    assert_eq!(authorize(&desk, &as_anna, ANNA).await, Some(0));
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
    let wrong = [&rotate[..], &[wrong.to_str().unwrap()]].concat();
    let said = refused(&desk, &wrong, 4).await;
    assert!(said.contains("AADSTS7000215") && !said.contains("not-the-secret"));
    desk.json(&[&rotate[..], &[secret]].concat()).await;
    assert_eq!(desk.json(&test).await["lines"][0]["outcome"], "pass");

    // Another key opens the vault, the old one does not; a backup survives the loss of all.
    let old = fs::read(desk.docket.key()).unwrap();
    assert!(desk.docket(&["vault", "rotate-key"]).await.status.success());
    let new = fs::read(desk.docket.key()).unwrap();
    assert_ne!(old, new);
    fs::write(desk.docket.key(), &old).unwrap();
    refused(&desk, &["connections", "list"], 5).await;
    fs::write(desk.docket.key(), &new).unwrap();
    let backup = desk.path("backup");
    let backup = backup.to_str().unwrap();
    let passphrase = ("DOCKET_BACKUP_PASSPHRASE", "correct horse battery staple");
    let with_it = async |arguments: &[&str]| {
        let mut command = desk.command(arguments);
        command.env(passphrase.0, passphrase.1);
        let output = Desk::finish(command).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output.stdout
    };
    with_it(&["vault", "export", backup]).await;
    fs::remove_dir_all(desk.docket.data()).unwrap();
    fs::remove_file(desk.docket.key()).unwrap();
    let imported = with_it(&["vault", "import", backup, "--json"]).await;
    let imported: Value = serde_json::from_slice(&imported).unwrap();
    assert_eq!(imported["kept"], 0);
    assert_eq!(desk.json(&test).await["lines"][0]["outcome"], "pass");
}
