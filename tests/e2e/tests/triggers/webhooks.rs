//! Signed requests: each event has one run, and nothing that is forged, stale, too large or wrong has
//! any.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docket_e2e::LabClock;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::base::{Served, answer};

const WORKFLOW: &str = include_str!("../../../../workflows/signed-contract-webhook.yaml");
const NAME: &str = "signed-contract-webhook";
const HOOK: &str = "/hooks/signed-contract-webhook";

/// A signature over these bytes, as a library of Standard Webhooks makes it.
fn sign(secret: &str, id: &str, at: i64, body: &[u8]) -> String {
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let signed = [format!("{id}.{at}.").as_bytes(), body].concat();
    let tag = ring::hmac::sign(&key, &signed);
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

fn now() -> i64 {
    LabClock::default().now().as_second()
}

/// Gives the webhook a secret, and gives it back.
fn set_secret(served: &Served, more: &[&str]) -> String {
    let mut arguments = vec!["triggers", "set-secret", NAME, "--json"];
    arguments.extend(more);
    let set = served.run(&arguments);
    assert!(set.status.success(), "{set:?}");
    let told: Value = serde_json::from_slice(&set.stdout).unwrap();
    told["secret"].as_str().unwrap_or_default().to_owned()
}

impl Served {
    fn hook(&self, path: &str) -> RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.url));
        request.header("content-type", "application/json")
    }

    /// Sends an event with a signature of now.
    async fn event(&self, secret: &str, id: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let at = now();
        let request = self
            .hook(HOOK)
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", sign(secret, id, at, body.as_bytes()));
        answer(request.body(body).send().await.unwrap()).await
    }

    /// The most memory that the process ever had, in KiB.
    fn peak(&self) -> u64 {
        let about = format!("/proc/{}/status", self.process.id());
        let about = std::fs::read_to_string(about).unwrap_or_default();
        let line = about.lines().find(|line| line.starts_with("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.map_or(0, |number| number.parse().unwrap())
    }
}

fn contract(title: &str) -> Value {
    json!({
        "contract": {
            "title": title, "file-name": "lease.pdf", "pdf": STANDARD.encode(b"%PDF lease"),
            "signers": [{"name": "Anna", "email": "anna.berger@fabrikam.example"}],
        },
        "certificate": STANDARD.encode(b"%PDF certificate"),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_has_one_run_and_its_documents_go_out_once() {
    let mut served = Served::with_workflows(&[("hook.yaml", WORKFLOW)]).await;
    let event = contract("Lease");
    let (status, problem) = served.event("whsec_AAAA", "evt-1", &event).await;
    assert_eq!(status, 503, "{problem}");
    assert!(
        problem["help"].as_str().unwrap().contains("set-secret"),
        "{problem}"
    );
    let secret = set_secret(&served, &[]);
    let (status, first) = served.event(&secret, "evt-1", &event).await;
    assert_eq!(status, 202, "{first}");
    // The sender did not hear the answer, and neither did the next process.
    served.kill_and_serve();
    let (status, again) = served.event(&secret, "evt-1", &event).await;
    assert_eq!((status, &again["id"]), (202, &first["id"]), "{again}");
    let (status, other) = served.event(&secret, "evt-1", &contract("Loan")).await;
    assert_eq!(status, 409, "{other}");
    let mut together = Vec::new();
    for _ in 0..6 {
        together.push(served.event(&secret, "evt-2", &event));
    }
    let mut ids = Vec::new();
    for (status, run) in futures_util::future::join_all(together).await {
        assert_eq!(status, 202, "{run}");
        ids.push(run["id"].to_string());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let runs = served.all_ended(2).await;
    assert!(
        runs.iter().all(|run| run["state"] == "succeeded"),
        "{runs:?}"
    );
    assert_eq!(runs.len(), 2);
    let all = served.lab.mailboxes().await.to_string();
    assert_eq!(all.matches("\"Signed: Lease\"").count(), 2, "{all}");
    assert!(all.contains("lease.pdf") && all.contains("certificate.pdf"));
    let trigger = served.trigger("signed-contract").await;
    assert_eq!(trigger["started"], 2, "{trigger}");
    assert_eq!(trigger["secrets"].as_array().unwrap().len(), 1, "{trigger}");
    assert!(!trigger.to_string().contains(&secret[6..]));
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_starts_nothing_and_hears_what_to_do() {
    let plain = "workflow: plain\non: webhook\ninputs: {title: {required: true}, count: integer}\nsteps:\n  - {uses: wait/timer, with: {for: 0s}}\n";
    let broken = "workflow: broken\non: webhook\nsteps: 7\n";
    let files = [
        ("hook.yaml", WORKFLOW),
        ("plain.yaml", plain),
        ("broken.yaml", broken),
    ];
    let mut served = Served::with_workflows(&files).await;
    let secret = set_secret(&served, &[]);
    let body = contract("Lease").to_string();
    let at = now();
    let good = sign(&secret, "evt", at, body.as_bytes());
    let send = async |path: &str, headers: &[(&str, &str)], body: &str| {
        let mut request = served.client.post(format!("{}{path}", served.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.body(body.to_owned()).send().await.unwrap()).await
    };
    let at = at.to_string();
    let all = [
        ("content-type", "application/json"),
        ("webhook-id", "evt"),
        ("webhook-timestamp", at.as_str()),
        ("webhook-signature", good.as_str()),
    ];
    let with = |name: &str, value: &'static str| {
        let mut changed = all;
        changed
            .iter_mut()
            .filter(|one| one.0 == name)
            .for_each(|one| one.1 = value);
        changed
    };
    for (headers, body, expected) in [
        (with("webhook-id", "evt-2"), body.as_str(), 401),
        (with("webhook-timestamp", "1700000000"), &body, 401),
        (with("webhook-timestamp", "soon"), &body, 400),
        (with("webhook-signature", "v1,AAAA"), &body, 401),
        (with("webhook-signature", "AAAA"), &body, 400),
        (with("content-type", "text/plain"), &body, 415),
        (all, &body[1..], 401),
        (all, "", 401),
    ] {
        let (status, problem) = send(HOOK, &headers, body).await;
        assert_eq!(status, expected, "{headers:?} {problem}");
        assert!(problem["help"].is_string(), "{problem}");
    }
    for left_out in 1..4 {
        let mut fewer = all.to_vec();
        fewer.remove(left_out);
        let (status, problem) = send(HOOK, &fewer, &body).await;
        assert_eq!(status, 401, "{problem}");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains(all[left_out].0)
        );
    }
    let mut twice = all.to_vec();
    twice.push(("webhook-signature", "v1,AAAA"));
    assert_eq!(send(HOOK, &twice, &body).await.0, 401);
    let mut packed = all.to_vec();
    packed.push(("content-encoding", "gzip"));
    assert_eq!(send(HOOK, &packed, &body).await.0, 415);
    assert_eq!(send("/hooks/nobody", &all, &body).await.0, 404);
    assert_eq!(send("/hooks/broken", &all, &body).await.0, 503);
    assert_eq!(
        send("/hooks/plain", &all, &body).await.0,
        503,
        "no secret of its own"
    );
    let got = served.client.get(format!("{}{HOOK}", served.url));
    assert_eq!(answer(got.send().await.unwrap()).await.0, 405);

    // Signed, and still wrong: every problem is told at once.
    let mut event = contract("Lease");
    event["contract"]["pdf"] = json!("no base64!");
    event["contract"].as_object_mut().unwrap().remove("title");
    let (status, problem) = served.event(&secret, "evt", &event).await;
    assert_eq!(status, 400, "{problem}");
    let missing = problem["problems"][0]["detail"].as_str().unwrap();
    assert!(missing.contains("event.body.contract.title"), "{problem}");
    event["contract"]["title"] = json!("Lease");
    let (status, problem) = served.event(&secret, "evt", &event).await;
    assert_eq!(status, 400, "{problem}");
    assert_eq!(problem["problems"][0]["input"], "document", "{problem}");
    let (status, problem) = served.event(&secret, "evt", &json!("text")).await;
    assert_eq!(status, 400, "{problem}");
    assert_eq!(
        problem["problems"].as_array().unwrap().len(),
        4,
        "{problem}"
    );
    let (at, bad) = (now(), "{\"contract\": ");
    let request = served
        .hook(HOOK)
        .header("webhook-id", "evt")
        .header("webhook-timestamp", at)
        .header(
            "webhook-signature",
            sign(&secret, "evt", at, bad.as_bytes()),
        );
    let (status, problem) = answer(request.body(bad).send().await.unwrap()).await;
    assert_eq!(status, 400, "{problem}");

    assert_eq!(served.runs().await.len(), 0);
    // The same event, once it is right, has its run.
    let (status, started) = served.event(&secret, "evt", &contract("Lease")).await;
    assert_eq!(status, 202, "{started}");
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_is_refused_and_never_held() {
    let mut served = Served::with_workflows(&[("hook.yaml", WORKFLOW)]).await;
    let secret = set_secret(&served, &[]);
    let (status, _) = served.event(&secret, "evt-0", &contract("Lease")).await;
    assert_eq!(status, 202);
    served.all_ended(1).await;
    let before = served.peak();
    let mut large = contract("Large");
    large["contract"]["pdf"] = json!(STANDARD.encode(vec![b'%'; 2 << 20]));
    let (status, answer) = served.event(&secret, "evt-large", &large).await;
    assert_eq!(status, 202, "{answer}");
    let address = served.url.strip_prefix("http://").unwrap().to_owned();
    let head = |length: &str| {
        format!(
            "POST {HOOK} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             webhook-id: evt\r\nwebhook-timestamp: {}\r\nwebhook-signature: v1,AAAA\r\n{length}\r\n\r\n",
            now()
        )
    };
    // Said beforehand: refused before a byte of it is read.
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let told = head("content-length: 1073741824");
    stream.write_all(told.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");

    // Not said: refused on the way, and what whoever sent it has sent since is taken for a while, since
    // they would miss the answer on a connection that is closed at once.
    for _ in 0..4 {
        let stream = TcpStream::connect(&address).await.unwrap();
        let (mut from, mut to) = stream.into_split();
        let heard = tokio::spawn(async move {
            let mut heard = Vec::new();
            let _ = from.read_to_end(&mut heard).await;
            heard
        });
        let told = head("transfer-encoding: chunked");
        to.write_all(told.as_bytes()).await.unwrap();
        let megabyte = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
        let mut sent = 0;
        while sent < 1024 && to.write_all(&megabyte).await.is_ok() {
            sent += 1;
        }
        assert!(sent < 256, "{sent} MB were taken");
        let heard = heard.await.unwrap();
        assert!(heard.starts_with(b"HTTP/1.1 413"));
    }
    let grown = served.peak().saturating_sub(before);
    assert!(grown < 96 << 10, "the process grew by {grown} KiB");
    assert_eq!(served.runs().await.len(), 2);

    // The other addresses have limits, too.
    let large = "x".repeat(5 << 20);
    for (path, body) in [
        (
            "/api/runs",
            json!({"workflow": NAME, "inputs": {"title": large}}),
        ),
        ("/api/workflows/reload", json!(large)),
    ] {
        let body = body.to_string();
        let told = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            served.token,
            body.len()
        );
        let (mut from, mut to) = TcpStream::connect(&address).await.unwrap().into_split();
        let heard = tokio::spawn(async move {
            let mut heard = Vec::new();
            let _ = from.read_to_end(&mut heard).await;
            heard
        });
        let sent = [told.as_bytes(), body.as_bytes()].concat();
        to.write_all(&sent).await.unwrap();
        let heard = heard.await.unwrap();
        assert!(heard.starts_with(b"HTTP/1.1 413"), "{path}");
    }
    // What is announced as too long is refused though nothing of it ever comes.
    for (path, length) in [
        ("/api/runs", (4 << 20) + 1),
        ("/api/documents?name=a.pdf", (512_u64 << 20) + 1),
        ("/api/vault/import", (256 << 20) + 1),
        ("/callback", (64 << 10) + 1),
    ] {
        let told = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
             content-length: {length}\r\n\r\n",
            served.token
        );
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(told.as_bytes()).await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 413", "{path}");
    }
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_changed_while_both_are_in_use() {
    let mut served = Served::with_workflows(&[("hook.yaml", WORKFLOW)]).await;
    let first = set_secret(&served, &[]);
    let second = set_secret(&served, &[]);
    for (secret, id) in [(&first, "evt-1"), (&second, "evt-2")] {
        let (status, answer) = served.event(secret, id, &contract("Lease")).await;
        assert_eq!(status, 202, "{answer}");
    }
    let third = set_secret(&served, &["--overlap", "0s"]);
    for (secret, expected) in [(&first, 401), (&second, 401), (&third, 202)] {
        let (status, answer) = served.event(secret, "evt", &contract("Lease")).await;
        assert_eq!(status, expected, "{answer}");
    }
    // One that the sender gave, while nobody serves.
    served.end();
    let given = format!("whsec_{}", STANDARD.encode([7_u8; 32]));
    let file = served.lab.data().join("given");
    std::fs::write(&file, format!("{given}\n")).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let told = set_secret(&served, &["--secret-file", &file]);
    assert_eq!(told, "", "it is not repeated");
    let no_secret = served.docket.project().join("hook.yaml");
    let no_secret = no_secret.to_str().unwrap();
    let wrong = served.run(&["triggers", "set-secret", NAME, "--secret-file", no_secret]);
    assert_eq!(wrong.status.code(), Some(3), "{wrong:?}");
    let nobody = served.run(&["triggers", "set-secret", "nobody"]);
    assert_eq!(nobody.status.code(), Some(3), "{nobody:?}");
    served.again();
    for (secret, id) in [(&third, "evt-3"), (&given, "evt-4")] {
        let (status, answer) = served.event(secret, id, &contract("Lease")).await;
        assert_eq!(status, 202, "{answer}");
    }
    served.end();
    // Nowhere on the disk does a secret stand as it is.
    let mut folders = vec![served.lab.data().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "given") {
                let bytes = std::fs::read(&path).unwrap();
                for secret in [&first, &second, &third, &given] {
                    let needle = &secret.as_bytes()[6..];
                    let is_there = bytes.windows(needle.len()).any(|part| part == needle);
                    assert!(!is_there, "{}", path.display());
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_to_end_lets_a_request_finish_and_waits_for_none_for_ever() {
    let mut served = Served::with_workflows(&[("hook.yaml", WORKFLOW)]).await;
    let secret = set_secret(&served, &[]);
    let address = served.url.strip_prefix("http://").unwrap().to_owned();
    let body = contract("Lease").to_string();
    let at = now();
    let head = format!(
        "POST {HOOK} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         webhook-id: evt\r\nwebhook-timestamp: {at}\r\nwebhook-signature: {}\r\n\
         content-length: {}\r\n\r\n",
        sign(&secret, "evt", at, body.as_bytes()),
        body.len()
    );
    let (start, rest) = body.split_at(body.len() / 2);
    let mut finishes = TcpStream::connect(&address).await.unwrap();
    let mut stays = TcpStream::connect(&address).await.unwrap();
    for stream in [&mut finishes, &mut stays] {
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
    }
    // Both have begun: what is asked for behind them is answered.
    assert_eq!(served.runs().await.len(), 0);
    let since = Instant::now();
    served.signal("-TERM");
    while served.lab.data().join("serve.json").exists() {
        tokio::task::yield_now().await;
    }
    finishes.write_all(rest.as_bytes()).await.unwrap();
    let mut heard = [0; 12];
    finishes.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"HTTP/1.1 202");
    let ended = served.process.wait().unwrap();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let took = since.elapsed();
    assert!(took.as_secs() < 20, "{took:?}");
    // What was accepted then is done by the next process, once.
    served.again();
    let runs = served.all_ended(1).await;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0]["state"], "succeeded", "{runs:?}");
    served.end();
}
