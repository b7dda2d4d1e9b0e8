//! A serving process, the tenant that it works with, and its project's workflows.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Output, Stdio};

use docket_e2e::{Binary, Lab};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

/// A serving process over a laboratory.
pub(crate) struct Served {
    pub(crate) lab: Lab,
    pub(crate) docket: Binary,
    pub(crate) process: Child,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) client: Client,
}

impl Served {
    /// Serves a project that has these workflows alone, by their files' names.
    pub(crate) async fn start(workflows: &[(&str, &str)]) -> Self {
        Self::over(Lab::start().await, workflows)
    }

    pub(crate) fn over(lab: Lab, workflows: &[(&str, &str)]) -> Self {
        let docket = Binary::over(&lab);
        for entry in std::fs::read_dir(docket.project()).unwrap() {
            let file = entry.unwrap().path();
            let is_yaml = file.extension().is_some_and(|kind| kind == "yaml");
            if is_yaml && !file.ends_with("docket.yaml") {
                std::fs::remove_file(file).unwrap();
            }
        }
        for (name, text) in workflows {
            std::fs::write(docket.project().join(name), text).unwrap();
        }
        #[allow(clippy::disallowed_methods, reason = "the test is no part of the host")]
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let (process, url, token) = serve(&docket, &lab);
        Self {
            lab,
            docket,
            process,
            url,
            token,
            client: client.build().unwrap(),
        }
    }

    /// Ends the process at once, as a machine that dies does, and starts another one.
    pub(crate) fn kill_and_serve(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.serve_again();
    }

    pub(crate) fn serve_again(&mut self) {
        (self.process, self.url, self.token) = serve(&self.docket, &self.lab);
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

    pub(crate) async fn runs(&self) -> Vec<Value> {
        let mut runs = self.get("/api/runs?limit=1000").await;
        serde_json::from_value(runs["runs"].take()).unwrap()
    }

    /// Goes on once so many runs have ended, and gives them all.
    pub(crate) async fn ended(&self, count: usize) -> Vec<Value> {
        loop {
            let runs = self.runs().await;
            let ended = runs.iter().filter(|run| !run["finished-at"].is_null());
            if ended.count() >= count {
                return runs;
            }
            // Asks for the end of one that has none yet.
            if let Some(open) = runs.iter().find(|run| run["finished-at"].is_null()) {
                let id = open["id"].as_str().unwrap();
                self.get(&format!("/api/runs/{id}?wait=true")).await;
            }
        }
    }

    /// The trigger whose name begins so.
    pub(crate) async fn trigger(&self, name: &str) -> Value {
        let found = self.get("/api/triggers").await;
        let list = found["triggers"].as_array().unwrap();
        let named = |one: &&Value| one["name"].as_str().unwrap().starts_with(name);
        list.iter().find(named).cloned().unwrap_or(json!({}))
    }

    /// Goes on once a schedule or source is so, and knows when it goes on.
    pub(crate) async fn trigger_is(&self, name: &str, state: &str) -> Value {
        loop {
            let trigger = self.trigger(name).await;
            if trigger["state"] == state && trigger["next-at"].is_string() {
                return trigger;
            }
        }
    }

    pub(crate) async fn metrics(&self) -> String {
        let asked = self.client.get(format!("{}/metrics", self.url));
        asked.send().await.unwrap().text().await.unwrap()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.docket.run(arguments)
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let mut kill = std::process::Command::new("kill");
        let told = kill.args([name, &pid]).status();
        assert!(told.unwrap().success());
    }

    /// Tells the process to end, as a service manager does, and waits for it.
    pub(crate) fn end(&mut self) {
        self.signal("-TERM");
        let ended = self.process.wait().unwrap();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
    }

    /// The folders of a mailbox's messages and their subjects, in order.
    pub(crate) async fn mail(&self, mailbox: &str) -> Vec<String> {
        let all = self.lab.mailboxes().await;
        let mut found: Vec<String> = all["mailboxes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["mailbox"] == mailbox)
            .flat_map(|one| one["messages"].as_array().unwrap())
            .map(|one| {
                let text = |name: &str| one[name].as_str().unwrap().to_owned();
                format!("{}: {}", text("folder"), text("subject"))
            })
            .collect();
        found.sort();
        found
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Where a test ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts to serve, and gives the address once it answers, with the token.
fn serve(docket: &Binary, lab: &Lab) -> (Child, String, String) {
    let mut process = docket
        .command(&["serve", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(process.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let contact = std::fs::read(lab.data().join("serve.json")).unwrap();
    let contact: Value = serde_json::from_slice(&contact).unwrap();
    let token = contact["token"].as_str().unwrap().to_owned();
    (process, said["url"].as_str().unwrap().to_owned(), token)
}

/// An answer; what is refused is a problem document with a remedy.
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
