//! `docket serve` as a process: started, asked, and killed.

use std::fmt;
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use docket_e2e::Binary;
use reqwest::Client;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// How long a start may take. The first one compiles the plugins.
const START: Duration = Duration::from_secs(120);
/// How long one request may take.
const ANSWER: Duration = Duration::from_secs(60);
/// How long the process may take to end in order.
const END: Duration = Duration::from_secs(60);

/// The host answered, and did not do what it was asked. No kill and no fault of the tenant's explains
/// that.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// A serving process.
pub(crate) struct Served {
    process: Child,
    stdout: Option<ChildStdout>,
    contact: Option<Contact>,
}

struct Contact {
    url: String,
    token: String,
    client: Client,
}

impl Served {
    /// Starts it. What it logs is in `serve.log`, in the project.
    pub(crate) fn spawn(docket: &Binary) -> Result<Self> {
        let log = docket.project().join("serve.log");
        let log = File::options().create(true).append(true).open(log)?;
        let mut process = Command::from(docket.command(&["serve", "--json", "-v"]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self {
            stdout: process.stdout.take(),
            process,
            contact: None,
        })
    }

    /// Waits until it answers.
    pub(crate) async fn answers(&mut self, docket: &Binary) -> Result<()> {
        let stdout = self.stdout.take().context("it was asked before")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(START, lines.next_line()).await;
        let line = line.context("the host does not start")??;
        let Some(line) = line else {
            let status = self.process.wait().await?;
            bail!("the host ended by itself, with {status}: see serve.log");
        };
        let said: Value = serde_json::from_str(&line)?;
        let contact = std::fs::read(docket.data().join("serve.json"))?;
        let contact: Value = serde_json::from_slice(&contact)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        #[allow(clippy::disallowed_methods, reason = "the load is no part of the host")]
        let client = Client::builder().no_proxy().timeout(ANSWER).build()?;
        self.contact = Some(Contact {
            url: text(&said["url"]).context("no address")?,
            token: text(&contact["token"]).context("no token")?,
            client,
        });
        Ok(())
    }

    /// Kills it at once (SIGKILL), and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<()> {
        if let Some(status) = self.process.try_wait()? {
            bail!("the host ended by itself, with {status}: see serve.log");
        }
        Ok(self.process.kill().await?)
    }

    /// Tells it to end as a service manager does, and waits.
    pub(crate) async fn end(mut self) -> Result<()> {
        let pid = self.process.id().context("it has ended")?.to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().await?;
        ensure!(told.success(), "the host cannot be told to end");
        let ended = tokio::time::timeout(END, self.process.wait()).await;
        let ended = ended.context("the host does not end")??;
        ensure!(
            ended.success(),
            "the host ended with {ended}: see serve.log"
        );
        Ok(())
    }

    /// Stores a document, and gives what inputs name it by.
    pub(crate) async fn put_document(&self, name: &str, bytes: Vec<u8>) -> Result<Value> {
        let path = format!("/api/documents?name={name}");
        self.ask(reqwest::Method::POST, &path, bytes).await
    }

    /// Starts a run, or finds it started.
    pub(crate) async fn start(&self, order: &Value) -> Result<()> {
        let body = order.to_string().into_bytes();
        self.ask(reqwest::Method::POST, "/api/runs", body).await?;
        Ok(())
    }

    /// The runs that have not ended, at most so many.
    pub(crate) async fn unfinished(&self, most: usize) -> Result<Vec<String>> {
        let path = format!("/api/runs?unfinished=true&limit={most}");
        let found = self.ask(reqwest::Method::GET, &path, Vec::new()).await?;
        let runs = found["runs"].as_array().context("no list of runs")?;
        let ids = runs.iter().filter_map(|run| run["id"].as_str());
        Ok(ids.map(str::to_owned).collect())
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: Vec<u8>) -> Result<Value> {
        let Contact { url, token, client } = self.contact.as_ref().context("not asked yet")?;
        let request = client.request(method, format!("{url}{path}"));
        let answer = request.bearer_auth(token).body(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            return Err(Refused(format!("{path}: {status}: {text}")).into());
        }
        Ok(serde_json::from_str(&text)?)
    }
}
