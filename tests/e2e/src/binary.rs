//! The `docket` binary over a project that uses a tenant, as a person runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use docket_tenant::{DEMO_CLIENT_ID, Tenant};

use crate::lab::workspace;
use crate::{Lab, TenantFacts, components};

/// A project that uses a tenant, with its data folder and its vault's key.
pub struct Binary {
    project: PathBuf,
    data: PathBuf,
    key: PathBuf,
}

impl Binary {
    /// Writes the project, with the example workflows, into the laboratory's folder. No host of the
    /// laboratory may be open while the binary runs.
    #[must_use]
    pub fn over(lab: &Lab) -> Self {
        let docket = Self::beside(lab.data(), &lab.tenant).with_data(lab.data());
        docket.copy_examples();
        docket
    }

    /// Writes a project without workflows into a folder, beside its data folder and key.
    pub(crate) fn beside(folder: &Path, tenant: &Tenant) -> Self {
        let project = folder.join("project");
        std::fs::create_dir_all(&project).expect("a folder");
        let facts = TenantFacts::of(tenant);
        std::fs::write(project.join("docket.yaml"), yaml(&facts)).expect("docket.yaml");
        std::fs::write(project.join("ca.pem"), &facts.ca_pem).expect("the CA");
        Self {
            project,
            data: folder.join("data"),
            key: folder.join("vault.key"),
        }
    }

    /// For a project that is in this folder already; its data folder and key lie in it, too.
    pub(crate) fn within(project: &Path) -> Self {
        Self {
            project: project.to_owned(),
            data: project.join("data"),
            key: project.join("vault.key"),
        }
    }

    /// Copies the example workflows into the project.
    pub(crate) fn copy_examples(&self) {
        let file = self.project.join("docket.yaml");
        let own = std::fs::read(&file).expect("docket.yaml");
        copy(&workspace().join("workflows"), &self.project);
        // The examples bring one that is for the demo's tenant.
        std::fs::write(&file, own).expect("docket.yaml");
    }

    /// The file with the vault's key.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// The same with another data folder; the vault's key stays.
    #[must_use]
    pub fn with_data(mut self, data: &Path) -> Self {
        self.data = data.to_owned();
        self
    }

    /// The project's folder.
    #[must_use]
    pub fn project(&self) -> &Path {
        &self.project
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The binary with these arguments, about to run.
    ///
    /// # Panics
    /// Where it is not built: `cargo build --workspace --bin docket` does that.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .arg("-C")
            .arg(&self.project)
            .arg("--data")
            .arg(&self.data)
            .arg("--key-file")
            .arg(&self.key)
            .env_remove("DOCKET_LOG");
        command
    }

    /// Gives a connection the tenant's client secret.
    ///
    /// # Panics
    /// Where it is not taken.
    pub fn add_secret(&self, connection: &str, tenant: &Tenant) {
        let secret = tenant.state().client_secret(DEMO_CLIENT_ID);
        let file = self.project.join("secret");
        std::fs::write(&file, secret.expect("a secret")).expect("a file");
        let path = file.to_str().expect("text");
        let added = self.run(&["connections", "add", connection, "--secret-file", path]);
        assert!(added.status.success(), "{added:?}");
        std::fs::remove_file(file).expect("removed");
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("a process")
    }
}

/// Where the `docket` binary lies.
///
/// # Panics
/// Where it is not built: `cargo build --workspace --bin docket` does that.
#[must_use]
pub fn program() -> PathBuf {
    let user = std::env::current_exe().expect("a path");
    // Beside `target/debug/docket` stand other binaries and `target/debug/deps/test-1234`.
    let mut folders = user.ancestors().skip(1).take(2);
    let docket = folders.find_map(|folder| {
        let docket = folder
            .join("docket")
            .with_extension(std::env::consts::EXE_EXTENSION);
        docket.exists().then_some(docket)
    });
    docket.expect("run `cargo build --workspace --bin docket` first")
}

fn yaml(facts: &TenantFacts) -> String {
    let origin = |url: &url::Url| url.as_str().trim_end_matches('/').to_owned();
    let place = format!(
        "    tenant: {}
    client-id: {DEMO_CLIENT_ID}
    authority: {}
    endpoints:
      graph: {}
      outlook: {}
    ca-file: ca.pem
    allow-addresses: [127.0.0.0/8]
",
        facts.tenant_id,
        origin(&facts.authority),
        origin(&facts.graph),
        origin(&facts.outlook),
    );
    let plugin = |name: &str| {
        let file = components().join(name).with_extension("wasm");
        let file = file.canonicalize().expect("a component");
        format!(
            "  {name}:\n    source: {}\n    grants: all-requested\n",
            file.display()
        )
    };
    format!(
        "connections:
  contoso:
    kind: service-account
    account: {}
    mailboxes: [contracts@contoso.example, invoices@contoso.example]
{place}  people:
    kind: per-user
{place}plugins:
{}{}",
        crate::lab::ACCOUNT,
        plugin("exchange"),
        plugin("graph-import"),
    )
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => {
                std::fs::copy(entry.path(), target).expect("a copy");
            }
        }
    }
}
