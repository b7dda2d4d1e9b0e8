//! What an administrator and an auditor do while `docket serve` owns the data folder: the same commands
//! with the same answers, done by the process that serves; and no secret in its log.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod served;

use std::process::Stdio;

use docket_e2e::Desk;
use docket_tenant::DEMO_CLIENT_ID;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use self::served::{ANNA, Served, code};

const BEN: &str = "ben@contoso.example";
const PASSPHRASE: &str = "a passphrase of the backup";
const WRONG: &str = "this-is-not-the-client-secret";

impl Served {
    /// `docket connections authorize people`, about to run.
    fn authorize(&self, arguments: &[&str]) -> Command {
        let all = [&["connections", "authorize", "people"], arguments].concat();
        let mut command = Command::from(self.docket.command(&all));
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Stores a text in a file for a command.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.lab.data().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.docket.run(arguments);
        assert_eq!(code(&output), Some(0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_works_while_a_process_serves() {
    let mut served = Served::start().await;
    let listed = served.json(&["connections", "list"]);
    assert_eq!(listed["connections"][0]["name"], "contoso");
    let app = served.json(&["connections", "show", "people"]);
    assert_eq!(app["client-id"], DEMO_CLIENT_ID);
    assert!(
        served
            .succeeds(&["connections", "show", "people"])
            .contains("API permissions")
    );
    let script = served.succeeds(&["connections", "rights", "contoso"]);
    assert!(script.contains("Add-MailboxPermission"), "{script}");
    let report = served.json(&["connections", "test", "contoso"]);
    assert_eq!(report["lines"][0]["outcome"], "pass", "{report}");
    assert_eq!(served.json(&["connections", "keep-alive"])["failed"], 0);
    let unknown = served.docket.run(&["connections", "show", "no/such"]);
    assert_eq!(code(&unknown), Some(3), "{unknown:?}");

    // Anna signs in by a link that the command prints, and her run goes on.
    let document = served.document("loan.pdf").await;
    served.start_as_anna("r-1", &document).await;
    assert_eq!(served.rests("r-1").await["state"], "waiting");
    let waiting = served.json(&["runs", "list", "--waiting"]);
    assert_eq!(waiting["waiting"][0]["user"], ANNA, "{waiting}");
    for (who, expected) in [(BEN, 4), (ANNA, 0)] {
        let command = served.authorize(&["--user", ANNA, "--no-browser"]);
        let signed_in = Desk::authorize(command, async |link| {
            served.lab.tenant.sign_in(link, who).await.unwrap();
        });
        assert_eq!(signed_in.await.code, Some(expected), "{who}");
    }
    assert_eq!(served.ended("r-1").await["state"], "succeeded");

    // Ben has no browser on this machine.
    let mut child = served
        .authorize(&["--user", BEN, "--device"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = lines.next_line().await.unwrap().unwrap();
    let user_code = said.split_whitespace().find(|word| {
        let word = word.trim_end_matches('.');
        word.len() == 9
            && word
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    });
    let user_code = user_code.unwrap_or_else(|| panic!("no code: {said}"));
    let page = served
        .lab
        .tenant
        .plain()
        .join("/common/oauth2/deviceauth")
        .unwrap();
    let form = [("code", user_code.trim_end_matches('.')), ("choice", BEN)];
    let entered = served.client.post(page).form(&form).send().await.unwrap();
    assert_eq!(entered.status(), 200);
    while lines.next_line().await.unwrap().is_some() {}
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    let people = &served.json(&["connections", "list"])["connections"][1];
    assert_eq!(people["signed-in"].as_array().unwrap().len(), 2, "{people}");

    // The secret expires; a wrong one is not taken, and a new one wakes what waits.
    let state = served.lab.tenant.state().clone();
    let old = state.client_secret(DEMO_CLIENT_ID).unwrap();
    state.expire_secret(DEMO_CLIENT_ID, None).unwrap();
    served.kill();
    served.again();
    served.start_as_anna("r-2", &document).await;
    assert_eq!(served.rests("r-2").await["state"], "waiting");
    let wrong = served.file("wrong", WRONG);
    let rotate = ["connections", "rotate-secret", "people", "--secret-file"];
    let refused = served.docket.run(&[&rotate[..], &[&wrong]].concat());
    assert_eq!(code(&refused), Some(4), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("AADSTS7000215") && said.contains("nothing has changed"),
        "{said}"
    );
    let later = "2036-01-01T00:00:00Z".parse().unwrap();
    let new = state.add_secret(DEMO_CLIENT_ID, later).unwrap().value;
    let right = served.file("right", &new);
    let taken = served.json(&[&rotate[..], &[&right, "--expires", "2036-01-01"]].concat());
    assert_eq!(taken["credential"]["kind"], "secret");
    assert_eq!(served.ended("r-2").await["state"], "succeeded");

    // The vault: a backup, another key, and the backup back.
    let passphrase = served.file("passphrase", PASSPHRASE);
    let backup = served.lab.data().join("backup");
    let backup = backup.to_str().unwrap();
    let with = ["--passphrase-file", passphrase.as_str()];
    served.succeeds(&[&["vault", "export", backup][..], &with].concat());
    let again = served
        .docket
        .run(&[&["vault", "export", backup][..], &with].concat());
    assert_eq!(code(&again), Some(5), "nothing is written over: {again:?}");
    let key_file = |name: &str| std::fs::read_to_string(served.lab.data().join(name)).unwrap();
    let newest = |keys: &str| keys.lines().next().unwrap().to_owned();
    let before = key_file("vault.key");
    served.succeeds(&["vault", "rotate-key"]);
    let after = key_file("vault.key");
    assert_ne!(newest(&before), newest(&after));
    // Another place, and another key there: whoever serves knows where its key went.
    let place = served.lab.data().join("other.key").display().to_string();
    served.succeeds(&["vault", "rotate-key", "--to-file", &place]);
    let moved = key_file("other.key");
    served.succeeds(&["vault", "rotate-key"]);
    assert_ne!(newest(&moved), newest(&key_file("other.key")));
    assert_eq!(key_file("vault.key"), after);
    let home = served.lab.data().join("vault.key").display().to_string();
    served.succeeds(&["vault", "rotate-key", "--to-file", &home]);
    let keys = [key_file("vault.key"), key_file("other.key")].concat();
    let import = [&["vault", "import", backup][..], &with].concat();
    assert_eq!(served.json(&import)["stored"], 0);
    let imported = served.json(&[&import[..], &["--replace"]].concat());
    assert!(imported["stored"].as_u64() > Some(3), "{imported}");
    let short = served.file("short", "short");
    let import = ["vault", "import", backup, "--passphrase-file", &short];
    assert_eq!(code(&served.docket.run(&import)), Some(3));
    served.end();
    served.again();
    let old_secret = served.docket.run(&["connections", "test", "contoso"]);
    assert_eq!(code(&old_secret), Some(3), "{old_secret:?}");
    served.json(&["connections", "add", "contoso", "--secret-file", &right]);
    let report = served.json(&["connections", "test", "contoso"]);
    assert_eq!(report["lines"][0]["outcome"], "pass", "{report}");

    // Whatever went over the loopback is in no log.
    let mut secrets = vec![old, new];
    secrets.extend(keys.lines().map(str::to_owned));
    secrets.extend([PASSPHRASE, WRONG, served.token.as_str()].map(str::to_owned));
    secrets.extend(
        state
            .secrets()
            .into_iter()
            .filter(|secret| secret.len() >= 16),
    );
    let log = served.log();
    assert!(
        log.contains("DEBUG"),
        "the log is as talkative as it can be"
    );
    for secret in secrets {
        assert!(
            !log.contains(&secret),
            "a secret of {} letters",
            secret.len()
        );
    }
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_looks_at_records_while_a_process_serves() {
    let mut served = Served::start().await;
    served.sign_anna_in().await;
    let ran = served.run_as_anna("r-1");
    assert_eq!(code(&ran), Some(0), "{ran:?}");
    let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    // The steps are shown as they happen.
    let step = said.lines().find(|line| line.contains("exchange/send"));
    assert!(step.is_some_and(|line| line.contains('✓')), "{said}");
    assert!(said.contains("succeeded"), "{said}");

    let all = served.json(&["runs", "verify"]);
    assert_eq!(
        (&all["broken"], &all["runs"][0]["intact"]),
        (&0.into(), &true.into())
    );
    assert!(
        served
            .succeeds(&["runs", "verify", "r-1"])
            .contains("intact")
    );
    let receipt = served.json(&["runs", "receipt", "r-1"]);
    assert_eq!(
        receipt["steps"][0]["recipients"][0],
        "ben.keller@fabrikam.example"
    );
    let head = receipt["head"].as_str().unwrap();
    assert!(served.succeeds(&["runs", "receipt", "r-1"]).contains(head));
    let replayed = served.json(&["replay", "r-1"]);
    assert_eq!(replayed["attempts"][0]["verdict"], "same", "{replayed}");
    assert!(served.succeeds(&["replay", "r-1"]).contains("the same"));
    let other = docket_e2e::components().join("graph-import.wasm");
    let with = format!("exchange={}", other.display());
    let otherwise = served
        .docket
        .run(&["replay", "r-1", "--with-plugin", &with]);
    assert_eq!(code(&otherwise), Some(1), "{otherwise:?}");

    let to = served.lab.data().join("taken out");
    let taken = served.json(&["runs", "documents", "r-1", "--to", to.to_str().unwrap()]);
    let name = taken["documents"][0]["name"].as_str().unwrap();
    let written = std::fs::read(to.join(name)).unwrap();
    assert_eq!(written, std::fs::read(served.certificate()).unwrap());
    let again = ["runs", "documents", "r-1", "--to", to.to_str().unwrap()];
    let again = served.docket.run(&again);
    assert_eq!(code(&again), Some(3), "nothing is written over: {again:?}");
    for path in [
        "/api/runs/none/documents",
        "/api/runs/none/receipt",
        "/api/runs/none/verify",
    ] {
        let (status, problem) = served.ask(reqwest::Method::GET, path, &Value::Null).await;
        assert!(matches!(status, 404 | 422), "{path} {status} {problem}");
    }
    let foreign = format!("/api/runs/r-1/documents/sha256:{}", "0".repeat(64));
    let (status, _) = served
        .ask(reqwest::Method::GET, &foreign, &Value::Null)
        .await;
    assert_eq!(status, 400);

    let wrong = served
        .docket
        .run(&["runs", "prune", "--older-than", "soon"]);
    assert_eq!(code(&wrong), Some(2), "{wrong:?}");
    let prune = [
        "runs",
        "prune",
        "--older-than",
        "0s",
        "--state",
        "succeeded",
    ];
    assert_eq!(served.json(&prune)["runs"], 1);
    let gone = served.docket.run(&["runs", "receipt", "r-1"]);
    assert_eq!(code(&gone), Some(3), "{gone:?}");
    served.end();
}
