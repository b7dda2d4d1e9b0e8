//! `docket serve` as a process, over real HTTP: who is let in, runs from their start to their end,
//! sign-ins, and the order to end.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod served;

use std::process::Stdio;
use std::time::Duration;

use docket_e2e::Desk;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;

use self::served::{ANNA, Served, answer, code};

#[tokio::test(flavor = "multi_thread")]
async fn only_its_owner_is_let_in_and_wrong_requests_hear_what_to_do() {
    let mut served = Served::start().await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let file = std::fs::metadata(served.lab.data().join("serve.json")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
    let ask = |path: &str, headers: &[(&str, &str)]| {
        let mut request = served.client.get(format!("{}{path}", served.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        async { answer(request.send().await.unwrap()).await }
    };
    let bearer = format!("Bearer {}", served.token);
    assert_eq!(ask("/healthz", &[]).await.0, 200);
    for headers in [
        vec![],
        vec![("authorization", "Bearer ")],
        vec![("authorization", "Bearer wrong")],
        vec![("authorization", served.token.as_str())],
        vec![
            ("authorization", &bearer),
            ("authorization", "Bearer wrong"),
        ],
    ] {
        for path in [
            "/api/runs",
            "/api/waiting",
            "/api/connections",
            "/api/nothing",
        ] {
            let (status, problem) = ask(path, &headers).await;
            assert_eq!(status, 401, "{path} {headers:?} {problem}");
            assert!(!problem.to_string().contains(&served.token));
        }
    }
    for host in ["evil.example", "evil.example:80", "127.0.0.1", "localhost"] {
        for path in ["/api/runs", "/healthz", "/metrics", "/sign-in/people"] {
            let headers = [("authorization", bearer.as_str()), ("host", host)];
            assert_eq!(ask(path, &headers).await.0, 421, "{path} {host}");
        }
    }
    for (path, body, expected) in [
        ("/api/runs", json!({"workflow": "no-such"}), 404),
        ("/api/runs", json!({"workflow": "/etc/passwd"}), 404),
        (
            "/api/runs",
            json!({"workflow": "ask", "inputs": {"x": 1}}),
            422,
        ),
        ("/api/runs", json!({"workflow": "ask", "id": "no id"}), 400),
        ("/api/runs", json!({"workflow": "ask", "more": 1}), 400),
        ("/api/runs", json!("ask"), 400),
        ("/api/runs/none/cancel", json!({}), 404),
        ("/api/runs/none/signals", json!({"name": "x"}), 404),
        (
            "/api/runs/none/approvals",
            json!({"step": "[", "approved": true, "by": "x"}),
            400,
        ),
        ("/api/backup", json!({"to": "copy"}), 400),
        ("/api/runs/%FF/cancel", json!({}), 400),
        ("/api/nothing", json!({}), 404),
        ("/api/waiting", json!({}), 405),
    ] {
        let (status, problem) = served.post(path, body).await;
        assert_eq!(status, expected, "{path} {problem}");
    }
    let forged = format!("{}/oauth/callback?state=s&code=c", served.url);
    let refused = served.client.get(forged).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_start_once_wait_for_people_and_end() {
    let mut served = Served::start().await;
    let order = json!({
        "workflow": "signed-contract-confirmation", "id": "r-http",
        "inputs": {
            "title": "Lease", "signers": [{"name": "Anna", "email": "anna.berger@fabrikam.example"}],
            "document": served.document("lease.pdf").await,
            "certificate": served.document("certificate.pdf").await,
        },
    });
    for _ in 0..2 {
        let (status, started) = served.post("/api/runs", order.clone()).await;
        assert_eq!(
            (status, &started["id"]),
            (202, &json!("r-http")),
            "{started}"
        );
    }
    let other = json!({"workflow": "ask", "id": "r-http"});
    assert_eq!(served.post("/api/runs", other).await.0, 409);
    assert_eq!(served.rests("r-http").await["state"], "succeeded");
    let sent = served.lab.mailboxes().await.to_string();
    assert_eq!(sent.matches("\"Signed: Lease\"").count(), 1, "{sent}");

    let document = served.document("loan.pdf").await;
    served.start_as_anna("r-anna", &document).await;
    assert_eq!(served.rests("r-anna").await["state"], "waiting");
    let waiting = served.get("/api/waiting?kind=sign-in").await;
    assert_eq!(waiting["waiting"][0]["user"], ANNA, "{waiting}");
    served.sign_anna_in().await;
    // It goes on by itself.
    assert_eq!(served.ended("r-anna").await["state"], "succeeded");
    let connections = served.get("/api/connections").await;
    assert_eq!(
        connections["connections"][1]["signed-in"][0]["account"], ANNA,
        "{connections}"
    );

    let metrics = served
        .client
        .get(format!("{}/metrics", served.url))
        .send()
        .await;
    let metrics = metrics.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("docket_runs_finished_total{state=\"succeeded\"} 2\n"),
        "{metrics}"
    );
    assert!(!metrics.contains("contoso.example"), "{metrics}");
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_talks_to_the_serving_process() {
    let mut served = Served::start().await;
    let docket = &served.docket;
    let ask = docket.project().join("ask.yaml");
    let waits = docket.run(&["run", ask.to_str().unwrap(), "--id", "r-ask"]);
    assert_eq!(code(&waits), Some(6), "{waits:?}");
    let said = String::from_utf8_lossy(&waits.stderr);
    assert!(
        said.contains("docket runs approve r-ask ask --by WHO"),
        "{said}"
    );
    let approved = docket.run(&["runs", "approve", "r-ask", "ask", "--by", "Eva"]);
    assert_eq!(code(&approved), Some(0), "{approved:?}");
    let is_asked = |run: &Value| run["waits-for"][0]["kind"] == "approval";
    served.run_is("r-ask", |run| !is_asked(run)).await;
    // In the midst of it the process ends; another one goes on where it was.
    served.end();
    served.again();
    let docket = &served.docket;
    let told = docket.run(&[
        "runs",
        "signal",
        "r-ask",
        "paid",
        "--payload",
        "{\"eur\": 7}",
    ]);
    assert_eq!(code(&told), Some(0), "{told:?}");
    let ended = docket.run(&["run", ask.to_str().unwrap(), "--id", "r-ask", "--json"]);
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    let ended: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let outputs = &ended["result"]["outputs"];
    assert_eq!(outputs, &json!({"by": "Eva", "sum": {"eur": 7}}), "{ended}");

    let waits = served.run_as_anna("r-mail");
    assert_eq!(code(&waits), Some(4), "{waits:?}");
    let said = String::from_utf8_lossy(&waits.stderr);
    assert!(
        said.contains("/sign-in/people?user=anna%40contoso.example"),
        "{said}"
    );
    let cancelled = docket.run(&["runs", "cancel", "r-mail", "--json"]);
    assert_eq!(code(&cancelled), Some(0), "{cancelled:?}");
    assert_eq!(served.rests("r-mail").await["state"], "cancelled");
    let shown = served.docket.run(&["runs", "show", "r-ask", "--effects"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("ask approved by Eva"), "{shown}");
    let copy = served.lab.data().join("copy");
    let copied = served.docket.run(&["backup", copy.to_str().unwrap()]);
    assert_eq!(code(&copied), Some(0), "{copied:?}");
    assert!(copy.join("journal.db").exists() && copy.join("components").exists());
    let again = served.docket.run(&["backup", copy.to_str().unwrap()]);
    assert_eq!(code(&again), Some(5), "{again:?}");
    let verified = served.docket.run(&["runs", "verify"]);
    assert_eq!(code(&verified), Some(0), "{verified:?}");
    let listed = served.docket.run(&["runs", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["runs"][0]["id"], "r-mail", "{listed}");

    // What a process leaves that did not end well keeps nobody out.
    served.kill();
    assert!(served.lab.data().join("serve.json").exists());
    let verified = served.docket.run(&["runs", "verify"]);
    assert_eq!(code(&verified), Some(0), "{verified:?}");
    let resumed = served.docket.run(&["runs", "resume", "r-mail"]);
    assert_eq!(code(&resumed), Some(4), "{resumed:?}");
    let all = served.docket.run(&["runs", "resume"]);
    assert_eq!(code(&all), Some(4), "{all:?}");
    served.again();
    served.end();
}

/// Each account is asked for once at the start, and runs whose account still must sign in are left as
/// they are, with the time that they have left.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_while_nobody_serves_lets_runs_go_on_at_the_next_start() {
    let mut served = Served::start().await;
    let document = served.document("loan.pdf").await;
    served.start_as_anna("r-anna", &document).await;
    let before = served.rests("r-anna").await;
    served.end();
    served.again();
    let looked = "the accounts that runs wait for were looked at";
    while served.log().matches(looked).count() < 2 {
        served.get("/api/waiting").await;
    }
    let after = served.rests("r-anna").await;
    assert_eq!(after["waits-for"], before["waits-for"]);
    assert_eq!(after["events"], before["events"]);

    served.end();
    let authorize = ["connections", "authorize", "people", "--no-browser"];
    let mut command = Command::from(
        served
            .docket
            .command(&[&authorize[..], &["--user", ANNA]].concat()),
    );
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let signed_in = Desk::authorize(command, async |link| {
        served.lab.tenant.sign_in(link, ANNA).await.unwrap();
    });
    assert_eq!(signed_in.await.code, Some(0));
    served.again();
    assert_eq!(served.ended("r-anna").await["state"], "succeeded");
    served.end();
}

/// Whatever moment a client hangs up at, a run that was started for it is driven.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_hangs_up_leaves_no_run_lying() {
    let mut served = Served::start().await;
    let host = served.url.trim_start_matches("http://").to_owned();
    for moment in 0..60 {
        let body = json!({"workflow": "ask", "id": format!("r-{moment}")}).to_string();
        let request = format!(
            "POST /api/runs HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\n\
             content-length: {}\r\n\r\n{body}",
            served.token,
            body.len()
        );
        let mut stream = TcpStream::connect(&host).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_micros(700 * moment)).await;
    }
    let driven = async {
        loop {
            let all = served.get("/api/runs?limit=100").await;
            let runs = all["runs"].as_array().unwrap();
            if runs.iter().all(|run| run["state"] == "waiting") {
                return runs.len();
            }
        }
    };
    let driven = tokio::time::timeout(Duration::from_secs(30), driven).await;
    let count = driven.expect("every run is driven");
    assert!(count > 0, "nothing was started");
    served.end();
}
