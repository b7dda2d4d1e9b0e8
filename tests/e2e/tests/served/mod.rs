//! A process that serves a laboratory's data folder, and who asks it.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use docket_e2e::{Binary, Lab};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

pub(crate) const ANNA: &str = "anna@contoso.example";
/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A serving process over a laboratory.
pub(crate) struct Served {
    pub(crate) lab: Lab,
    pub(crate) docket: Binary,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) client: Client,
    pub(crate) process: Child,
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// The same with more in `docket.yaml`.
    pub(crate) async fn start_with(more: &str) -> Self {
        let lab = Lab::start().await;
        let docket = Binary::over(&lab);
        docket.add_secret("people", &lab.tenant);
        std::fs::write(
            docket.project().join("ask.yaml"),
            "workflow: ask
on: {manual: }
steps:
  - {id: ask, uses: wait/approval, with: {message: Pay?}}
  - {id: hear, uses: wait/event, with: {name: paid}}
outputs:
  by: ${{ steps.ask.output.by }}
  sum: ${{ steps.hear.output }}
",
        )
        .unwrap();
        let yaml = docket.project().join("docket.yaml");
        let text = std::fs::read_to_string(&yaml).unwrap();
        std::fs::write(&yaml, format!("{text}\n{more}")).unwrap();
        Self::over(lab, docket)
    }

    /// A process that serves a project as it is.
    pub(crate) fn over(lab: Lab, docket: Binary) -> Self {
        #[allow(clippy::disallowed_methods, reason = "the test is no part of the host")]
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let (process, url) = serve(&lab, &docket);
        let mut served = Self {
            lab,
            docket,
            process,
            url,
            token: String::new(),
            client: client.build().unwrap(),
        };
        served.read_contact();
        served
    }

    /// Serves again, once it has ended.
    pub(crate) fn again(&mut self) {
        (self.process, self.url) = serve(&self.lab, &self.docket);
        self.read_contact();
    }

    fn read_contact(&mut self) {
        let contact = std::fs::read(self.lab.data().join("serve.json")).unwrap();
        let contact: Value = serde_json::from_slice(&contact).unwrap();
        let address = contact["address"].as_str().unwrap();
        assert_eq!(format!("http://{address}"), self.url);
        contact["token"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.token);
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.bearer_auth(&self.token).body(body.to_string());
        answer(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask(Method::GET, path, &Value::Null).await;
        assert_eq!(status, 200, "{value}");
        value
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Method::POST, path, &body).await
    }

    pub(crate) async fn document(&self, name: &str) -> Value {
        let url = format!("{}/api/documents?name={name}", self.url);
        let request = self.client.post(url).bearer_auth(&self.token);
        let (status, value) = answer(request.body(vec![b'%'; 30_000]).send().await.unwrap()).await;
        assert_eq!(status, 200, "{value}");
        assert_eq!(value["size"], 30_000);
        value
    }

    /// Starts a run that acts as Anna.
    pub(crate) async fn start_as_anna(&self, run: &str, document: &Value) {
        let order = json!({
            "workflow": "personal-confirmation", "id": run,
            "inputs": {
                "owner": ANNA, "to": "ben.keller@fabrikam.example", "title": "Loan",
                "document": document,
            },
        });
        let (status, started) = self.post("/api/runs", order).await;
        assert_eq!(status, 202, "{started}");
    }

    /// A run once it has ended or waits.
    pub(crate) async fn rests(&self, run: &str) -> Value {
        self.run_is(run, |run| run["state"] != "unfinished").await
    }

    /// A run once it has ended.
    pub(crate) async fn ended(&self, run: &str) -> Value {
        let is_over = |run: &Value| run["state"] != "unfinished" && run["state"] != "waiting";
        self.run_is(run, is_over).await
    }

    /// A run once it is so.
    pub(crate) async fn run_is(&self, run: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/runs/{run}?wait=true");
        until(async || Some(self.get(&path).await).filter(&is_so)).await
    }

    /// Runs the example that sends as Anna, by the command line.
    pub(crate) fn run_as_anna(&self, run: &str) -> Output {
        let file = self.docket.project().join("personal-confirmation.yaml");
        let owner = format!("owner={ANNA}");
        let document = format!("document=@{}", self.certificate().display());
        self.docket.run(&[
            "run",
            file.to_str().unwrap(),
            "--id",
            run,
            "-i",
            &owner,
            "-i",
            "to=ben.keller@fabrikam.example",
            "-i",
            "title=Loan",
            "-i",
            &document,
        ])
    }

    /// A document of the project.
    pub(crate) fn certificate(&self) -> PathBuf {
        let file = "documents/signature-certificate-2026-117.pdf";
        self.docket.project().join(file)
    }

    /// Anna signs in by the page of the server.
    pub(crate) async fn sign_anna_in(&self) {
        let link = format!("{}/sign-in/people?user={ANNA}", self.url);
        let away = self.client.get(link).send().await.unwrap();
        assert_eq!(away.status(), 303);
        let to = away.headers()["location"].to_str().unwrap();
        let to = to.parse().unwrap();
        let landed = self.lab.tenant.sign_in(&to, ANNA).await.unwrap();
        assert_eq!(landed, 200);
    }

    /// Runs a command, which must succeed, and reads the JSON that it ends with.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.docket.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    /// What the serving processes have logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.lab.data().join("serve.log")).unwrap()
    }

    /// Tells the process to end, as a service manager does, and waits for it.
    pub(crate) fn end(&mut self) {
        let pid = self.process.id().to_string();
        let told = std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status();
        assert!(told.unwrap().success());
        let ended = self.process.wait().unwrap();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        assert!(!self.lab.data().join("serve.json").exists());
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Where a test ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks again until it is so.
pub(crate) async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, asked).await;
    found.expect("it was not so in time")
}

/// Starts to serve, with the most talkative log in a file, and gives the address once it answers.
fn serve(lab: &Lab, docket: &Binary) -> (Child, String) {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(lab.data().join("serve.log"))
        .unwrap();
    let mut process = docket
        .command(&["serve", "--json"])
        .env("DOCKET_LOG", "trace,wasmtime=info,cranelift=info")
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(process.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
        let log = lab.data().join("serve.log");
        panic!("it does not serve: {line}: see {}", log.display())
    });
    (process, said["url"].as_str().unwrap().to_owned())
}

pub(crate) async fn answer(response: Response) -> (u16, Value) {
    let status = response.status();
    let kind = response.headers().get("content-type").cloned();
    let text = response.text().await.unwrap();
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if status.is_client_error() {
        assert_eq!(kind.unwrap(), "application/problem+json", "{value}");
        assert_eq!(value["status"], status.as_u16());
        assert!(value["detail"].is_string(), "{value}");
    }
    (status.as_u16(), value)
}

pub(crate) fn code(output: &Output) -> Option<i32> {
    output.status.code()
}
