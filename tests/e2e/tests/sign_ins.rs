//! People are told that runs wait for their sign-in: once however many runs wait, not again after a
//! restart, never after the sign-in; by a mail or by a webhook; and a hook that fails stops nothing.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod served;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docket_tenant::DEMO_CLIENT_ID;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use self::served::{ANNA, Served, code, until};

/// How many runs need Anna.
const RUNS: usize = 50;
const MAIL: &str = "
public-url: http://localhost:8080
sign-in-hook:
  mail:
    connection: contoso
    from: contracts@contoso.example
    administrator: ben@contoso.example
";

/// Who must sign in, once somebody was told, or could not be.
async fn told(served: &Served) -> Value {
    until(async || {
        let found = served.get("/api/connections").await;
        let one = found["sign-ins-needed"][0].clone();
        let is_told = one["told-at"].is_string() || one["error"].is_string();
        is_told.then_some(one)
    })
    .await
}

/// The mails of a mailbox's inbox that ask for something.
fn requests(served: &Served, mailbox: &str) -> Vec<(String, String)> {
    let state = served.lab.tenant.state();
    state.deliver_now();
    let all = state.messages(mailbox, Some("Inbox")).unwrap();
    all.iter()
        .map(|stored| {
            let subject = stored.message.subject.clone().unwrap_or_default();
            let body = format!("{:?}", stored.message.body);
            (subject, body.replace("&#x2f;", "/"))
        })
        .filter(|(subject, _)| subject.contains("sign in") || subject.contains("needs you"))
        .collect()
}

async fn fifty_wait(served: &Served) {
    until(async || {
        let found = served.get("/api/connections").await;
        let one = &found["sign-ins-needed"][0];
        (one["runs"] == RUNS).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_runs_of_one_user_are_one_mail_and_all_go_on_after_the_sign_in() {
    let mut served = Served::start_with(MAIL).await;
    let document = served.document("loan.pdf").await;
    for n in 0..RUNS {
        served.start_as_anna(&format!("r-{n}"), &document).await;
    }
    fifty_wait(&served).await;
    let needed = told(&served).await;
    assert_eq!(needed["user"], ANNA, "{needed}");
    assert_eq!(needed["error"], Value::Null, "{needed}");
    let mail = served.ended(needed["told-by"].as_str().unwrap()).await;
    assert_eq!(mail["state"], "succeeded", "{mail}");
    let (subject, body) = requests(&served, ANNA).remove(0);
    assert_eq!(subject, format!("Please sign in as {ANNA}"));
    let link = "http://localhost:8080/sign-in/people?user=anna%40contoso.example";
    assert!(
        body.contains(link) && body.contains("personal-confirmation") && body.contains("50 runs"),
        "{body}"
    );

    // People see it where they look.
    let listed = served.docket.run(&["connections", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("who must sign in") && listed.contains(ANNA),
        "{listed}"
    );
    let waiting = served.json(&["runs", "list", "--waiting", "--limit", "100"]);
    let waiting = waiting["waiting"].as_array().unwrap();
    assert_eq!(waiting.len(), RUNS);

    // A crash makes all of them try again, and nobody is told again.
    served.kill();
    served.again();
    fifty_wait(&served).await;
    assert_eq!(told(&served).await["told-at"], needed["told-at"]);

    served.sign_anna_in().await;
    for n in 0..RUNS {
        let run = served.ended(&format!("r-{n}")).await;
        assert_eq!(run["state"], "succeeded", "{run}");
    }
    let found = served.get("/api/connections").await;
    assert_eq!(found["sign-ins-needed"], json!([]), "{found}");
    assert_eq!(requests(&served, ANNA).len(), 1);
    let told_runs = "/api/runs?workflow=docket-sign-in-request";
    let runs = served.get(told_runs).await;
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs}");

    // The sign-in ends, and what needs it then is another request.
    served.lab.tenant.state().revoke_sign_ins(ANNA).unwrap();
    served.kill();
    served.again();
    served.start_as_anna("later", &document).await;
    until(async || (requests(&served, ANNA).len() == 2).then_some(())).await;
    served.sign_anna_in().await;
    assert_eq!(served.ended("later").await["state"], "succeeded");

    // An expired secret is nobody's but the administrator's, once for all users.
    let state = served.lab.tenant.state();
    state.expire_secret(DEMO_CLIENT_ID, None).unwrap();
    served.kill();
    served.again();
    served.start_as_anna("no-secret", &document).await;
    let needed = told(&served).await;
    assert_eq!(served.rests("no-secret").await["state"], "waiting");
    // The mail needs the same secret, which is told here.
    let error = until(async || {
        let found = served.get("/api/connections").await;
        let error = found["sign-ins-needed"][0]["error"].clone();
        error.is_string().then_some(error)
    })
    .await;
    let error = error.as_str().unwrap();
    assert!(
        error.contains("the mail was not sent") && error.contains("AADSTS7000222"),
        "{error} {needed}"
    );
    assert_eq!(requests(&served, ANNA).len(), 2);
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_sign_in_is_told_again_and_strangers_never() {
    let often = MAIL.replace("sign-in-hook:", "sign-in-hook:\n  every: 3s");
    let mut served = Served::start_with(&often).await;
    let document = served.document("loan.pdf").await;
    served.start_as_anna("r-1", &document).await;
    until(async || (requests(&served, ANNA).len() >= 2).then_some(())).await;
    served.sign_anna_in().await;
    assert_eq!(served.ended("r-1").await["state"], "succeeded");
    let runs = served
        .get("/api/runs?workflow=docket-sign-in-request")
        .await;
    let mut started: Vec<jiff::Timestamp> = runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["started-at"].as_str().unwrap().parse().unwrap())
        .collect();
    started.sort_unstable();
    let pauses = started.windows(2).map(|two| two[1].duration_since(two[0]));
    // A run starts a moment after it was decided to tell somebody.
    let least = jiff::SignedDuration::from_millis(2_500);
    assert!(pauses.min().unwrap() >= least, "{started:?}");

    // A run's input may name anybody.
    let order = json!({
        "workflow": "personal-confirmation", "id": "r-stranger",
        "inputs": {
            "owner": "mallory@evil.example", "to": ANNA, "title": "Loan", "document": document,
        },
    });
    assert_eq!(served.post("/api/runs", order).await.0, 202);
    let needed = told(&served).await;
    assert_eq!(needed["user"], "mallory@evil.example", "{needed}");
    assert_eq!(needed["told-at"], Value::Null, "{needed}");
    assert!(needed["error"].as_str().unwrap().contains("gets no mail"));
    served.end();
}

/// A receiver of webhooks: what came, and what is answered, in order and then always 204.
struct Receiver {
    port: u16,
    came: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn start(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let came = Arc::<Mutex<Vec<String>>>::default();
        let (heard, mut answers) = (Arc::clone(&came), VecDeque::from(answers.to_vec()));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut text = Vec::new();
                let whole = loop {
                    if stream.read_buf(&mut text).await.unwrap() == 0 {
                        break false;
                    }
                    let said = String::from_utf8_lossy(&text).to_lowercase();
                    if let Some((head, body)) = said.split_once("\r\n\r\n")
                        && let Some((_, rest)) = head.split_once("content-length: ")
                        && rest.lines().next().unwrap().parse() == Ok(body.len())
                    {
                        break true;
                    }
                };
                if whole {
                    let status = answers.pop_front().unwrap_or(204);
                    heard.lock().unwrap().push(String::from_utf8(text).unwrap());
                    let answer = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n\r\n");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        Self { port, came }
    }

    fn came(&self) -> Vec<String> {
        self.came.lock().unwrap().clone()
    }
}

fn header<'r>(request: &'r str, name: &str) -> &'r str {
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let found = head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    });
    found.unwrap_or_else(|| panic!("no {name}: {request}"))
}

/// HMAC by its definition (RFC 2104), so that the host's own is held against another one.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text);
    let outer = Sha256::new().chain_update(pad(0x5c));
    outer.chain_update(inner.finalize()).finalize().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_signed_and_comes_again_after_a_failure_and_a_restart() {
    let receiver = Receiver::start(&[500]).await;
    let yaml = format!(
        "
public-url: http://localhost:8080
sign-in-hook:
  webhook:
    url: http://127.0.0.1:{}/hooks/docket
    allow-addresses: [127.0.0.0/8]
",
        receiver.port
    );
    let mut served = Served::start_with(&yaml).await;

    // Made while the process serves, and nowhere to be seen but here.
    let made = served.docket.run(&["connections", "webhook-secret"]);
    let secret = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    let key = STANDARD.decode(&secret["whsec_".len()..]).unwrap();

    let document = served.document("loan.pdf").await;
    served.start_as_anna("r-1", &document).await;
    let needed = told(&served).await;
    let error = needed["error"].as_str().unwrap();
    assert!(error.ends_with("answered 500"), "{needed}");
    assert_eq!(needed["told-at"], Value::Null);
    // What does not need Anna is not kept.
    let order = json!({"workflow": "ask", "id": "r-ask"});
    assert_eq!(served.post("/api/runs", order).await.0, 202);
    assert_eq!(served.rests("r-ask").await["state"], "waiting");

    served.kill();
    served.again();
    until(async || (receiver.came().len() == 2).then_some(())).await;
    let came = receiver.came();
    let id = header(&came[0], "webhook-id");
    assert_eq!(id, header(&came[1], "webhook-id"), "it is the same message");
    for request in &came {
        assert!(request.starts_with("POST /hooks/docket HTTP/1.1\r\n"));
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let at = header(request, "webhook-timestamp");
        let signature = hmac(&key, format!("{id}.{at}.{body}").as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(signature));
        assert_eq!(header(request, "webhook-signature"), expected);
        let event: Value = serde_json::from_str(body).unwrap();
        assert_eq!(event["type"], "sign-in.requested");
        assert_eq!(event["data"]["user"], ANNA, "{event}");
        assert_eq!(event["data"]["runs"], 1);
        let link = "http://localhost:8080/sign-in/people?user=anna%40contoso.example";
        assert_eq!(event["data"]["link"], link);
    }
    let needed = told(&served).await;
    assert!(
        needed["told-at"].is_string() && needed["error"].is_null(),
        "{needed}"
    );

    // Another secret signs beside the first one.
    served.json(&["connections", "webhook-secret"]);
    served.sign_anna_in().await;
    assert_eq!(served.ended("r-1").await["state"], "succeeded");
    served.lab.tenant.state().revoke_sign_ins(ANNA).unwrap();
    served.kill();
    served.again();
    served.start_as_anna("r-2", &document).await;
    until(async || (receiver.came().len() == 3).then_some(())).await;
    let third = receiver.came().remove(2);
    assert_ne!(header(&third, "webhook-id"), id);
    assert_eq!(header(&third, "webhook-signature").split(' ').count(), 2);
    assert!(!served.log().contains(&secret[10..]));
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_cannot_work_is_shown_and_stops_nothing() {
    let yaml = "
public-url: http://localhost:8080
sign-in-hook:
  every: 2s
  webhook: {url: 'https://127.0.0.1:1/'}
";
    let mut served = Served::start_with(yaml).await;
    let document = served.document("loan.pdf").await;
    served.start_as_anna("r-1", &document).await;
    let needed = told(&served).await;
    let error = needed["error"].as_str().unwrap();
    assert!(
        error.contains("docket connections webhook-secret"),
        "{error}"
    );
    let listed = served.docket.run(&["connections", "list"]);
    assert_eq!(code(&listed), Some(0), "{listed:?}");
    let said = String::from_utf8(listed.stderr).unwrap();
    assert!(
        said.contains("nobody could be told: the webhook has no secret"),
        "{said}"
    );
    served.sign_anna_in().await;
    assert_eq!(served.ended("r-1").await["state"], "succeeded");
    served.end();

    // What cannot work at all is refused at the start.
    let file = served.docket.project().join("docket.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let mail = "mail: {connection: contoso, from: contracts@contoso.example, template: gone.html}";
    let text = text.replace("webhook: {url: 'https://127.0.0.1:1/'}", mail);
    std::fs::write(&file, text).unwrap();
    let refused = served.docket.run(&["serve"]);
    assert_eq!(code(&refused), Some(3), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("gone.html"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_come_as_a_form_to_the_public_name() {
    let mut served = Served::start_with("public-url: https://docket.contoso.example\n").await;
    let redirect = "https://docket.contoso.example/oauth/callback";
    let state = served.lab.tenant.state();
    let web = docket_tenant::RedirectUri {
        uri: redirect.to_owned(),
        kind: docket_tenant::RedirectKind::Web,
    };
    state
        .set_app(DEMO_CLIENT_ID, |app| app.redirects.push(web))
        .unwrap();
    let host = "docket.contoso.example";
    let link = format!("{}/sign-in/people?user={ANNA}", served.url);
    let away = served.client.get(link).header("host", host);
    let away = away.send().await.unwrap();
    assert_eq!(away.status(), 303);
    let link: url::Url = away.headers()["location"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let query = link.query().unwrap();
    assert!(query.contains("response_mode=form_post"), "{query}");

    // The page that the sign-in service shows posts itself.
    let mut page = served.lab.tenant.plain().clone();
    page.set_path(link.path());
    page.set_query(Some(query));
    let choice = served
        .client
        .post(page)
        .form(&[("choice", ANNA), ("consent", "accept")]);
    let page = choice.send().await.unwrap().text().await.unwrap();
    assert!(page.contains(&format!("action=\"{redirect}\"")), "{page}");
    let fields: Vec<(&str, &str)> = page
        .split("<input type=\"hidden\" name=\"")
        .skip(1)
        .map(|field| {
            let (name, rest) = field.split_once("\" value=\"").unwrap();
            (name, rest.split_once('"').unwrap().0)
        })
        .collect();
    let post = |fields: &[(&str, &str)]| {
        let to = format!("{}/oauth/callback", served.url);
        served
            .client
            .post(to)
            .header("host", host)
            .form(fields)
            .send()
    };
    let forged: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, if *name == "state" { "other" } else { value }))
        .collect();
    assert_eq!(post(&forged).await.unwrap().status(), 400);
    assert_eq!(post(&fields).await.unwrap().status(), 200);
    assert_eq!(post(&fields).await.unwrap().status(), 400, "once only");
    let found = served.get("/api/connections").await;
    assert_eq!(
        found["connections"][1]["signed-in"][0]["account"], ANNA,
        "{found}"
    );
    served.end();
}
