//! Holds the simulated tenant to Microsoft's own client libraries: `cargo xtask referees auth|graph`.
//!
//! The libraries are installed below `target/referees`, by the lock files in `tests/referees`; the
//! tenant is started on free ports, and scripts in Python and JavaScript use it as anybody would.
//! Each says on standard output which of its cases passed, in lines of JSON.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::tally::Tally;
use crate::tools::{install_node, venv};

/// What is refereed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Suite {
    /// Signing in: MSAL for Python and for Node.
    Auth,
    /// Mail: Microsoft's Graph clients, and requests made up from the description of the interface.
    Graph,
}

impl Suite {
    const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Graph => "graph",
        }
    }

    /// The scripts, by the language that runs them.
    const fn scripts(self) -> &'static [(Language, &'static str)] {
        match self {
            Self::Auth => &[(Language::Python, "auth"), (Language::Node, "auth")],
            Self::Graph => &[
                (Language::Python, "graph"),
                (Language::Python, "o365"),
                (Language::Node, "graph"),
                (Language::Python, "fuzz"),
            ],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Python,
    Node,
}

/// What came of the cases.
impl Tally {
    fn pass(&mut self, case: &str) {
        self.passed += 1;
        emit(&format!("passed   {case}"));
    }

    fn fail(&mut self, case: &str, why: &str) {
        self.failed += 1;
        emit(&format!("FAILED   {case}"));
        eprintln!("{case}:\n{}", indented(why));
    }

    fn skip(&mut self, case: &str, why: &str) {
        self.skipped += 1;
        emit(&format!("skipped  {case}"));
        eprintln!("{case} is skipped: {why}");
    }
}

/// Runs a suite; `only` is a part of the names of the cases to run.
pub(crate) fn run(root: &Path, suite: Suite, only: Option<&str>) -> Result<ExitCode> {
    let work = root.join("target/referees").join(suite.name());
    fs::create_dir_all(&work)?;
    let tenant = Tenant::start(root, &work)?;
    let mut tally = Tally::default();
    let (mut python, mut node) = (None, None);
    for (language, script) in suite.scripts() {
        let runtime = match language {
            Language::Python => python.get_or_insert_with(|| set_up_python(root, suite, &work)),
            Language::Node => node.get_or_insert_with(|| set_up_node(root, &work)),
        };
        let name = match language {
            Language::Python => format!("{script}.py"),
            Language::Node => format!("{script}.js"),
        };
        match runtime {
            Ok(runtime) => {
                let mut command = runtime.command(root, *language, &name);
                tenant.describe(&mut command, root, only.unwrap_or(""));
                referee(command, &name, &mut tally)?;
            }
            Err(error) => tally.skip(&name, &format!("{error:#}")),
        }
    }
    drop(tenant);
    Ok(tally.end())
}

#[allow(clippy::print_stdout, reason = "this is the chore's result")]
fn emit(line: &str) {
    println!("{line}");
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| format!("    {line}\n"))
        .collect::<String>()
}

/// Runs one script and counts its cases. A script that breaks off is a failure of its own.
fn referee(mut command: Command, name: &str, tally: &mut Tally) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{name} cannot be started"))?;
    let output = child.stdout.take().context("no output")?;
    let mut done = false;
    for line in BufReader::new(output).lines() {
        let line = line?;
        let said: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        let text = |member: &str| said[member].as_str().unwrap_or_default();
        match (text("case"), text("outcome")) {
            ("", _) if said["done"] == true => done = true,
            ("", _) => eprintln!("{line}"),
            (case, "passed") => tally.pass(case),
            (case, "skipped") => tally.skip(case, text("detail")),
            (case, _) => tally.fail(case, text("detail")),
        }
    }
    let status = child.wait()?;
    if !done || !status.success() {
        tally.fail(
            name,
            &format!("the script broke off; it ended with {status}"),
        );
    }
    Ok(())
}

/// The tenant that is refereed; dropping it ends it.
struct Tenant {
    process: Child,
    facts: Value,
    ca: PathBuf,
}

impl Tenant {
    fn start(root: &Path, work: &Path) -> Result<Self> {
        crate::build(root, &["--quiet", "--example", "serve"])?;
        let mut process = Command::new(root.join("target/debug/examples/serve"))
            .arg("--until-end-of-input")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the tenant cannot be started")?;
        let output = process.stdout.take().context("the tenant says nothing")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let mut facts: Value =
            serde_json::from_str(&line).context("the tenant did not say where it is")?;
        let ca = work.join("ca.pem");
        fs::write(&ca, facts["ca_pem"].as_str().unwrap_or_default())?;
        facts["ca"] = ca.to_string_lossy().into();
        if let Some(facts) = facts.as_object_mut() {
            facts.remove("ca_pem");
        }
        Ok(Self { process, facts, ca })
    }

    /// Tells a script where the tenant is, and keeps what this machine has set from misleading it.
    fn describe(&self, command: &mut Command, root: &Path, only: &str) {
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        // Libraries prefer these to the certificate authority that a caller names.
        for name in [
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "SSL_CERT_FILE",
            "NODE_EXTRA_CA_CERTS",
        ] {
            command.env(name, &self.ca);
        }
        command
            .env_remove("SSL_CERT_DIR")
            .env("REFEREES_TENANT", self.facts.to_string())
            .env("REFEREES_ONLY", only)
            .env("REFEREES_SHARED", shared(root));
    }
}

/// Where the description of Graph lies, beside the repository; anywhere else it is missing.
fn shared(root: &Path) -> PathBuf {
    root.ancestors()
        .map(|folder| folder.join("shared/graph"))
        .find(|folder| folder.exists())
        .unwrap_or_else(|| root.join("shared/graph"))
}

impl Drop for Tenant {
    fn drop(&mut self) {
        // It ends with its input; the signal is for one that hangs.
        drop(self.process.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A language with the libraries of a suite.
struct Runtime {
    program: PathBuf,
    environment: BTreeMap<&'static str, PathBuf>,
}

impl Runtime {
    fn command(&self, root: &Path, language: Language, script: &str) -> Command {
        let folder = match language {
            Language::Python => "python",
            Language::Node => "node",
        };
        let mut command = Command::new(&self.program);
        command
            .arg(root.join("tests/referees").join(folder).join(script))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(&self.environment);
        command
    }
}

/// Makes a virtual environment with what the suite's lock file names.
fn set_up_python(root: &Path, suite: Suite, work: &Path) -> Result<Runtime> {
    let lock = format!("requirements-{}.txt", suite.name());
    let venv = venv(root, work, &lock)?;
    Ok(Runtime {
        program: venv.join("bin/python"),
        environment: BTreeMap::new(),
    })
}

/// Node with the libraries of its lock file.
fn set_up_node(root: &Path, work: &Path) -> Result<Runtime> {
    let folder = work.join("node");
    let program = install_node(root, work, &root.join("tests/referees/node"), &folder)?;
    Ok(Runtime {
        program,
        environment: BTreeMap::from([("NODE_PATH", folder.join("node_modules"))]),
    })
}
