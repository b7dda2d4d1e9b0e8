//! An administrator's desk: a tenant, a project that nobody has set up yet, and the binary.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use docket_tenant::{DEMO_CLIENT_ID, SystemClock, Tenant, TenantConfig};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use url::Url;

use crate::Binary;

/// Longer than anything that is run at a desk takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A tenant, and a project without a credential or a sign-in.
pub struct Desk {
    /// The tenant.
    pub tenant: Tenant,
    /// The project, and the binary over it.
    pub docket: Binary,
    folder: TempDir,
}

/// What became of a sign-in by `docket connections authorize`.
pub struct Authorized {
    /// The exit code.
    pub code: Option<i32>,
    /// All that was printed.
    pub printed: Vec<u8>,
}

impl Desk {
    /// A desk whose project has no workflow.
    pub async fn open() -> Self {
        let tenant = Tenant::start(TenantConfig::contoso(), Arc::new(SystemClock))
            .await
            .expect("a tenant");
        let folder = tempfile::tempdir().expect("a folder");
        let docket = Binary::beside(folder.path(), &tenant);
        Self {
            tenant,
            docket,
            folder,
        }
    }

    /// The same with the example workflows.
    pub async fn with_examples() -> Self {
        let desk = Self::open().await;
        desk.docket.copy_examples();
        desk
    }

    /// A file beside project and data folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The application's newest client secret, in a file.
    #[must_use]
    pub fn secret(&self) -> PathBuf {
        let secret = self.tenant.state().client_secret(DEMO_CLIENT_ID);
        let path = self.path("secret");
        std::fs::write(&path, secret.expect("a secret")).expect("a file");
        path
    }

    /// The binary with these arguments, about to run.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::from(self.docket.command(arguments));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub async fn docket(&self, arguments: &[&str]) -> Output {
        Self::finish(self.command(arguments)).await
    }

    /// Awaits the end of a command.
    pub async fn finish(mut command: Command) -> Output {
        let ended = tokio::time::timeout(PATIENCE, command.output()).await;
        ended.expect("it ends in time").expect("a process")
    }

    /// Runs the binary, which must succeed, and reads the JSON that it ends with.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.docket(&[arguments, &["--json"]].concat()).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let last = text.lines().last().expect("a line");
        serde_json::from_str(last).expect("JSON")
    }

    /// Runs `docket connections authorize` by `command`; `person` goes where its link leads.
    pub async fn authorize(mut command: Command, person: impl AsyncFn(&Url)) -> Authorized {
        let mut child = command.spawn().expect("a process");
        let stderr = child.stderr.take().expect("its output");
        let mut lines = BufReader::new(stderr).lines();
        let mut printed = Vec::new();
        while let Some(line) = lines.next_line().await.expect("output") {
            printed.extend_from_slice(line.as_bytes());
            printed.push(b'\n');
            // A log may show the link's beginning, and has more on its line.
            if let Ok(link) = Url::parse(line.trim())
                && link.path().ends_with("/authorize")
                && !line.trim().contains(' ')
            {
                person(&link).await;
            }
        }
        let output = child.wait_with_output().await.expect("its end");
        printed.extend_from_slice(&output.stdout);
        Authorized {
            code: output.status.code(),
            printed,
        }
    }
}
