//! What tests of triggers ask of a serving process.

use std::process::Output;

use docket_e2e::{Binary, Lab};
use serde_json::{Value, json};

use crate::base::{Served, until};

impl Served {
    /// Serves a project that has these workflows alone, by their files' names.
    pub(crate) async fn with_workflows(workflows: &[(&str, &str)]) -> Self {
        let lab = Lab::start().await;
        let docket = Binary::over(&lab);
        Self::alone(lab, docket, workflows)
    }

    pub(crate) fn alone(lab: Lab, docket: Binary, workflows: &[(&str, &str)]) -> Self {
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
        Self::over(lab, docket)
    }

    /// Ends the process at once, as a machine that dies does, and starts another one.
    pub(crate) fn kill_and_serve(&mut self) {
        self.kill();
        self.again();
    }

    pub(crate) async fn runs(&self) -> Vec<Value> {
        let mut runs = self.get("/api/runs?limit=1000").await;
        serde_json::from_value(runs["runs"].take()).unwrap()
    }

    /// Goes on once so many runs have ended, and gives them all.
    pub(crate) async fn all_ended(&self, count: usize) -> Vec<Value> {
        let enough = async || {
            let runs = self.runs().await;
            let ended = runs.iter().filter(|run| !run["finished-at"].is_null());
            (ended.count() >= count).then_some(runs)
        };
        until(enough).await
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
        let is_so = |one: &Value| one["state"] == state && one["next-at"].is_string();
        until(async || Some(self.trigger(name).await).filter(is_so)).await
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
