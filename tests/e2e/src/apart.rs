//! A tenant in a process of its own, so that what a measurement counts is the host's alone.
//!
//! The benchmark's binary starts itself again as the tenant. The two speak JSON lines: the child's
//! first says where it is, then each question gets one answer. The child ends with its input.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;

use docket_tenant::{DEMO_CLIENT_ID, SystemClock, Tenant, TenantConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use url::Url;

use crate::lab::{ACCOUNT, TenantFacts};
use crate::{Ground, LabClock};

/// The argument that makes the binary a tenant; its tenant's name follows.
const ARGUMENT: &str = "--tenant-apart";

/// A tenant in a process of its own.
pub struct Apart {
    /// What a host needs to know of it.
    pub facts: TenantFacts,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    child: Child,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Question {
    /// Opens a sign-in link as the service account; the answer is the application's status.
    SignIn(Url),
    /// Delivers what is under way, and asks the tenant's own API for a path.
    Ask(String),
    /// An access token for the service account with these scopes.
    Token(Vec<String>),
}

/// Becomes the tenant, where this process was started as one; `config` makes it by its name. To be
/// called first in `main`; does not return in the tenant's process before its end.
pub async fn serve_if_asked(config: impl FnOnce(&str) -> TenantConfig) -> bool {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(ARGUMENT) {
        return false;
    }
    let name = arguments.next().unwrap_or_default();
    let tenant = Tenant::start(config(&name), Arc::new(SystemClock))
        .await
        .expect("a tenant");
    print(&TenantFacts::of(&tenant));
    let mut lines = std::io::stdin().lines();
    // The tenant's servers have the runtime's other threads.
    while let Some(line) = tokio::task::block_in_place(|| lines.next()) {
        let line = line.expect("input");
        let answer = match serde_json::from_str(&line).expect("a question") {
            Question::SignIn(link) => json!(tenant.sign_in(&link, ACCOUNT).await.expect("let in")),
            Question::Ask(path) => {
                tenant.state().deliver_now();
                tenant.ask(&path).await.expect("an answer")
            }
            Question::Token(scopes) => {
                let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
                let token = tenant
                    .state()
                    .access_token(DEMO_CLIENT_ID, Some(ACCOUNT), &scopes);
                json!(token.expect("a token"))
            }
        };
        print(&answer);
    }
    true
}

fn print(what: &impl Serialize) {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, what).expect("JSON");
    out.write_all(b"\n").expect("output");
    out.flush().expect("output");
}

impl Apart {
    /// Starts this binary again as the tenant of that name.
    pub async fn start(name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("a binary"))
            .args([ARGUMENT, name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let stdin = child.stdin.take().expect("its input");
        let mut stdout = BufReader::new(child.stdout.take().expect("its output")).lines();
        let facts = stdout.next_line().await.expect("output").expect("facts");
        Self {
            facts: serde_json::from_str(&facts).expect("facts"),
            stdin,
            stdout,
            child,
        }
    }

    /// A host's folder, its account signed in.
    pub async fn ground(&mut self) -> Ground {
        let ground = Ground::new(self.facts.clone(), LabClock::default());
        ground
            .sign_in(async |link: &Url| {
                let status = self.question(&Question::SignIn(link.clone())).await;
                u16::try_from(status.as_u64().expect("a status")).expect("a status")
            })
            .await;
        ground
    }

    /// Delivers what is under way, and asks the tenant's own API.
    pub async fn ask(&mut self, path: &str) -> Value {
        self.question(&Question::Ask(path.to_owned())).await
    }

    /// An access token for the service account.
    pub async fn token(&mut self, scopes: &[&str]) -> String {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let token = self.question(&Question::Token(scopes)).await;
        token.as_str().expect("a token").to_owned()
    }

    async fn question(&mut self, question: &Question) -> Value {
        let mut line = serde_json::to_vec(question).expect("JSON");
        line.push(b'\n');
        self.stdin.write_all(&line).await.expect("its input");
        let answer = self.stdout.next_line().await.expect("output");
        serde_json::from_str(&answer.expect("an answer")).expect("JSON")
    }

    /// Ends it.
    pub async fn stop(mut self) {
        drop(self.stdin);
        self.child.wait().await.expect("its end");
    }
}
