//! The schemas in the language server that editors use for YAML: what it completes, what it explains,
//! and that it calls the same files wrong as the reader does. `cargo xtask editor` installs the server
//! and runs this.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

#[path = "../../../host/model/tests/fixtures/mod.rs"]
mod fixtures;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use docket_model::{project_schema, suite_schema, workflow_schema};
use serde_json::{Value, json};
use url::Url;

/// Longer than any answer takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// What an editor may take to complete (the median).
const COMPLETION: Duration = Duration::from_millis(200);
/// What only the reader can know: what expressions name and yield, and, of YAML, what Docket refuses
/// and others do not.
const BEYOND: [&str; 3] = ["cycle", "later-step", "merge-key"];

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

/// The server, and what it has said of which file.
struct Editor {
    server: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    settings: Value,
    next: u64,
    problems: BTreeMap<String, Vec<Value>>,
    took: Vec<Duration>,
    folder: tempfile::TempDir,
}

impl Editor {
    /// Starts the server over schemas by the pattern of the files that they are for.
    fn start(schemas: &[(&str, Value)]) -> Self {
        // The patterns of editors do not reach into folders that begin with a dot.
        let folder = tempfile::Builder::new()
            .prefix("editor-")
            .tempdir()
            .unwrap();
        let mut places = serde_json::Map::new();
        for (at, (pattern, schema)) in schemas.iter().enumerate() {
            let file = folder.path().join(format!("schema-{at}.json"));
            fs::write(&file, schema.to_string()).unwrap();
            places.insert(Url::from_file_path(file).unwrap().into(), json!(pattern));
        }
        let program = root().join(
            "target/referees/editor/node_modules/yaml-language-server/bin/yaml-language-server",
        );
        assert!(
            program.exists(),
            "run `cargo xtask editor`, which installs the server"
        );
        let node = std::env::var_os("DOCKET_NODE").unwrap_or_else(|| "node".into());
        let mut server = Command::new(node)
            .arg(program)
            .arg("--stdio")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(server.stdout.take().unwrap());
        let (tell, from) = mpsc::channel();
        std::thread::spawn(move || {
            while let Some(message) = read(&mut output) {
                if tell.send(message).is_err() {
                    break;
                }
            }
        });
        let mut editor = Self {
            to: server.stdin.take().unwrap(),
            server,
            from,
            settings: json!({"yaml": {
                "schemas": places, "validate": true, "completion": true, "hover": true,
                "schemaStore": {"enable": false}
            }}),
            next: 0,
            problems: BTreeMap::new(),
            took: Vec::new(),
            folder,
        };
        editor.ask(
            "initialize",
            json!({
                "processId": null,
                "rootUri": Url::from_directory_path(editor.folder.path()).unwrap(),
                "capabilities": {
                    "workspace": {"configuration": true},
                    "textDocument": {
                        "completion": {"completionItem": {"documentationFormat": ["markdown"]}},
                        "hover": {"contentFormat": ["markdown"]},
                        "publishDiagnostics": {}
                    }
                }
            }),
        );
        editor.say("initialized", json!({}));
        let settings = editor.settings.clone();
        editor.say(
            "workspace/didChangeConfiguration",
            json!({"settings": settings}),
        );
        editor
    }

    fn send(&mut self, mut message: Value) {
        message["jsonrpc"] = json!("2.0");
        let text = message.to_string();
        write!(self.to, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        self.to.flush().unwrap();
    }

    fn say(&mut self, method: &str, params: Value) {
        self.send(json!({"method": method, "params": params}));
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(json!({"id": id, "method": method, "params": params}));
        loop {
            if let Some(answer) = self.hear().filter(|answer| answer["id"] == id) {
                assert_eq!(answer["error"], Value::Null, "{method}");
                return answer["result"].clone();
            }
        }
    }

    /// Hears one message; gives it where it answers something.
    fn hear(&mut self) -> Option<Value> {
        let message = self.from.recv_timeout(PATIENCE).unwrap();
        match (message["method"].as_str(), message.get("id")) {
            (Some("workspace/configuration"), Some(id)) => {
                let sections = message["params"]["items"].as_array().unwrap().iter();
                let settings: Vec<Value> = sections
                    .map(|item| match item["section"].as_str() {
                        Some(section) => self.settings[section].clone(),
                        None => Value::Null,
                    })
                    .collect();
                self.send(json!({"id": id, "result": settings}));
                None
            }
            (Some(_), Some(id)) => {
                self.send(json!({"id": id, "result": null}));
                None
            }
            (Some("textDocument/publishDiagnostics"), None) => {
                let params = &message["params"];
                let uri = params["uri"].as_str().unwrap().to_owned();
                let found = params["diagnostics"].as_array().unwrap().clone();
                self.problems.insert(uri, found);
                None
            }
            (Some(_), None) => None,
            (None, _) => Some(message),
        }
    }

    /// Opens a text; gives the file and what is wrong with it.
    fn open(&mut self, name: &str, text: &str) -> (String, Vec<String>) {
        let uri: String = Url::from_file_path(self.folder.path().join(name))
            .unwrap()
            .into();
        self.problems.remove(&uri);
        self.say(
            "textDocument/didOpen",
            json!({"textDocument": {
                "uri": uri, "languageId": "yaml", "version": 1, "text": text
            }}),
        );
        while !self.problems.contains_key(&uri) {
            self.hear();
        }
        let found = self.problems[&uri].iter();
        let found = found.map(|one| one["message"].as_str().unwrap().to_owned());
        (uri, found.collect())
    }

    /// Opens a text, and asks for what could stand where it has a `|`: labels, and the words that
    /// explain the one at the place.
    fn at(&mut self, name: &str, marked: &str) -> (BTreeSet<String>, String) {
        let place = marked.find('|').unwrap();
        let before = &marked[..place];
        let (uri, _) = self.open(name, &marked.replacen('|', "", 1));
        let line = before.matches('\n').count();
        let character = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        let position = json!({
            "textDocument": {"uri": uri}, "position": {"line": line, "character": character}
        });
        let asked = Instant::now();
        let items = self.ask("textDocument/completion", position.clone());
        self.took.push(asked.elapsed());
        let items = items["items"].as_array().cloned().unwrap_or_default();
        let labels = items
            .iter()
            .map(|item| item["label"].as_str().unwrap().to_owned());
        let hover = self.ask("textDocument/hover", position);
        let text = hover["contents"]["value"].as_str().unwrap_or_default();
        (labels.collect(), text.to_owned())
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn read(from: &mut impl std::io::BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut text = vec![0; length];
    from.read_exact(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn holds(labels: &BTreeSet<String>, wanted: &[&str], unwanted: &[&str]) {
    for label in wanted {
        assert!(labels.contains(*label), "{label} is not among {labels:?}");
    }
    for label in unwanted {
        assert!(!labels.contains(*label), "{label} is among {labels:?}");
    }
}

#[test]
#[ignore = "needs the YAML language server: cargo xtask editor"]
fn workflows_complete_and_explain_themselves() {
    let mut editor = Editor::start(&[
        ("w*.yaml", workflow_schema(&fixtures::catalog())),
        ("docket.yaml", project_schema()),
        ("*.test.yaml", suite_schema()),
    ]);
    let head = "workflow: a\nsteps:\n";

    let (labels, _) = editor.at("w1.yaml", &format!("{head}  - uses: |\n"));
    holds(
        &labels,
        &["exchange/send", "graph-import/messages", "wait/approval"],
        &[],
    );

    let (labels, _) = editor.at(
        "w2.yaml",
        &format!("{head}  - uses: exchange/move\n    with:\n      |\n"),
    );
    holds(
        &labels,
        &["message", "folder", "create"],
        &["subject", "mailbox"],
    );

    let (labels, _) = editor.at(
        "w3.yaml",
        &format!("{head}  - uses: exchange/send\n    with:\n      importance: |\n"),
    );
    holds(&labels, &["low", "normal", "high"], &["contoso"]);

    let (labels, _) = editor.at(
        "w4.yaml",
        &format!("{head}  - uses: exchange/send\n    |\n"),
    );
    holds(
        &labels,
        &["id", "with", "for-each", "on-sign-in-needed"],
        &["uses", "steps"],
    );

    let (labels, _) = editor.at(
        "w5.yaml",
        &format!("{head}  - uses: exchange/send\n    connection: |\n"),
    );
    holds(&labels, &["contoso", "sales"], &["exchange/send"]);

    let (_, hover) = editor.at(
        "w6.yaml",
        &format!("{head}  - uses: exchange/send\n    max-par|allel: 4\n"),
    );
    assert!(hover.contains("How many elements of"), "{hover}");

    let (_, hover) = editor.at("w7.yaml", &format!("{head}  - uses: exchange/s|end\n"));
    assert!(hover.contains("Does send."), "{hover}");

    let (labels, _) = editor.at("docket.yaml", "connections:\n  contoso:\n    |\n");
    holds(&labels, &["kind", "mailboxes", "fallback"], &["secret"]);

    let (labels, _) = editor.at("w.test.yaml", "cases:\n  - name: a\n    expect:\n      |\n");
    holds(&labels, &["result", "mailboxes", "outside"], &["inputs"]);

    let mut took = editor.took.clone();
    took.sort_unstable();
    let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("completion: median {median:?}, slowest {slowest:?}");
    assert!(median < COMPLETION, "{took:?}");
}

#[test]
#[ignore = "needs the YAML language server: cargo xtask editor"]
fn the_server_calls_the_same_files_wrong_as_the_reader() {
    let mut editor = Editor::start(&[
        ("w-*.yaml", workflow_schema(&fixtures::catalog())),
        ("p-*.yaml", project_schema()),
        ("s-*.yaml", suite_schema()),
    ]);
    let mut beyond = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut refused = 0;
    for entry in fs::read_dir(root().join("host/model/tests/ui")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let kind = match name.split('-').next() {
            Some("project") => "p",
            Some("suite") => "s",
            _ => "w",
        };
        let text = fs::read_to_string(&path).unwrap();
        let (_, problems) = editor.open(&format!("{kind}-{name}.yaml"), &text);
        let is_good = !path.with_extension("err").exists();
        match (is_good, problems.is_empty()) {
            (true, false) => wrong.push(format!("{name}: {problems:?}")),
            (false, true) => drop(beyond.insert(name)),
            (false, false) => refused += 1,
            (true, true) => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "right files are called wrong:\n{}",
        wrong.join("\n")
    );
    assert!(refused > 20, "{refused}");
    let expected: BTreeSet<String> = BEYOND.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(beyond, expected);
}

#[test]
#[ignore = "needs the YAML language server: cargo xtask editor"]
fn the_examples_are_right_in_an_editor() {
    let mut editor = Editor::start(&[
        ("docket.yaml", project_schema()),
        ("*.test.yaml", suite_schema()),
    ]);
    for entry in fs::read_dir(root().join("workflows")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "docket.yaml" || name.ends_with(".test.yaml") {
            let (_, problems) = editor.open(&name, &fs::read_to_string(&path).unwrap());
            assert!(problems.is_empty(), "{name}: {problems:?}");
        }
    }
}
