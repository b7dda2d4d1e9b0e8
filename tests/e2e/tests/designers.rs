//! What those who write workflows run with the real program: a new project against its tenant, dry
//! runs, tests and pictures.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod designing;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use docket_e2e::{components, program};
use serde_json::Value;

use self::designing::{Desk, json, text};

/// The tenant of a project, until it is dropped.
struct Tenant {
    process: Child,
    pages: String,
}

impl Tenant {
    fn of(desk: &Desk) -> Self {
        let mut process = desk
            .command(&["tenant", "--project-to", "project", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let facts: Value = serde_json::from_str(&line).unwrap();
        Self {
            process,
            pages: facts["pages"].as_str().unwrap().to_owned(),
        }
    }

    /// A look at the tenant from outside, with no host in between.
    fn ask(&self, path: &str) -> Value {
        let place = self
            .pages
            .trim_start_matches("http://")
            .trim_end_matches('/');
        let mut stream = TcpStream::connect(place).unwrap();
        write!(
            stream,
            "GET /_tenant/{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// The methods and paths of what was asked of Graph since the start.
    fn writes(&self) -> Vec<String> {
        let requests = self.ask("requests");
        let all = requests.as_array().unwrap().iter();
        all.filter(|one| one["method"] != "GET" && one["origin"] == "graph")
            .map(|one| one["path"].to_string())
            .collect()
    }

    /// Ends it as a terminal would.
    fn end(mut self) {
        let id = self.process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_new_project_runs_against_a_tenant_of_its_own() {
    let desk = Desk::open();
    let again = desk.run(&["init", "project"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        text(&again.stderr).contains("is there already"),
        "{}",
        text(&again.stderr)
    );
    for schema in ["workflow", "project", "test"] {
        let file = desk.project().join(".docket/schema").join(schema);
        let schema: Value =
            serde_json::from_str(&fs::read_to_string(file.with_extension("json")).unwrap())
                .unwrap();
        assert!(jsonschema::draft7::new(&schema).is_ok());
    }
    let checked = desk.within(&["validate", "--json"]);
    let files = json(&checked);
    assert!(
        files["files"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["ok"] == true),
        "{files}"
    );

    let tested = desk.within(&["test", "--json"]);
    assert_eq!(json(&tested)["passed"], 2, "{}", text(&tested.stderr));

    let tenant = Tenant::of(&desk);
    let local = desk.project().join("docket.local.yaml");
    assert!(local.exists());
    let run = ["run", "project/workflows/welcome.yaml", "--json"];
    let inputs = ["--input", "to=anna@contoso.example", "--input", "name=Anna"];

    let before = tenant.writes();
    let dry = desk.within(&[&run[..], &inputs, &["--dry-run"]].concat());
    assert!(dry.status.success(), "{}", text(&dry.stderr));
    let step = &json(&dry)["steps"][0];
    assert_eq!(step["state"], "held-back");
    let request = &step["requests"][0];
    assert_eq!(request["method"], "POST");
    assert_eq!(request["sent-as"]["account"], "svc-docket@contoso.example");
    assert_eq!(request["refused"], Value::Null);
    let body: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["subject"], "Welcome, Anna");
    assert_eq!(tenant.writes(), before, "a dry run sends nothing");

    let done = desk.within(&[&run[..], &inputs].concat());
    assert!(done.status.success(), "{}", text(&done.stderr));
    let mailboxes = tenant.ask("mailboxes/contracts@contoso.example");
    let messages = mailboxes["mailboxes"][0]["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 1, "{mailboxes}");
    assert_eq!(messages[0]["subject"], "Welcome, Anna");
    tenant.end();
    assert!(!local.exists(), "the project is as it was");
}

#[test]
fn a_test_reaches_its_tenant_and_nobody_else() {
    let desk = Desk::open();
    let probe = components().join("probe.wasm");
    let added = desk.within(&["plugins", "add", probe.to_str().unwrap(), "--yes"]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    // A connection whose endpoint is a server of somebody else's.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = format!("http://{}", server.local_addr().unwrap());
    let yaml = fs::read_to_string(desk.project().join("docket.yaml")).unwrap();
    desk.write(
        "docket.yaml",
        &yaml.replacen(
            "connections:\n",
            &format!(
                "connections:\n  other:\n    kind: app-only\n    client-id: x\n    endpoints: {{graph: \
                 {elsewhere}}}\n    allow-addresses: [127.0.0.0/8]\n    provider: {{token-url: \
                 {elsewhere}/token, token-for: [graph]}}\n"
            ),
            1,
        ),
    );
    desk.write(
        "workflows/post.yaml",
        &format!(
            "workflow: post\nsteps:\n  - uses: probe/fetch\n    connection: other\n    with: {{requests: \
             [{{method: POST, url: \"{elsewhere}/hook\"}}]}}\noutputs: {{answers: '${{{{ \
             steps.step-1.output }}}}'}}\n"
        ),
    );
    desk.write(
        "workflows/post.test.yaml",
        "cases:\n  - name: it is not sent\n    expect: {outputs: {answers: []}}\n",
    );
    let told = desk.within(&["test", "project/workflows/post.test.yaml", "--json"]);
    let problems = json(&told)["cases"][0]["problems"].to_string();
    assert!(
        problems.contains("simulated tenant and nobody else"),
        "{problems}"
    );
    server.set_nonblocking(true).unwrap();
    assert!(server.accept().is_err(), "somebody came");
}

/// A workflow that reads, would write for each of what it read, and has steps that need and steps
/// that do not need the outcome.
const MIXED: &str = "workflow: mixed
connections: {graph-import: contoso, exchange: contoso}
steps:
  - id: import
    uses: graph-import/messages
    with: {mailbox: invoices@contoso.example, folder: Invoices, has-attachments: true}
  - id: mark
    uses: exchange/mark
    for-each: ${{ steps.import.output.messages }}
    with: {message: '${{ item.message }}', read: true}
  - id: pause
    uses: wait/timer
    with: {for: 3d}
  - id: reply
    uses: exchange/draft
    for-each: ${{ steps.import.output.messages }}
    with: {in-reply-to: '${{ item.message }}', comment: Thank you.}
  - id: late
    uses: exchange/move
    with: {message: '${{ steps.reply.output[0].message }}', folder: archive}
  - id: never
    uses: exchange/mark
    if: ${{ size(steps.import.output.messages) > 99 }}
    with: {message: '${{ steps.import.output.messages[0].message }}', read: true}
";

#[test]
fn a_dry_run_holds_back_whatever_is_no_read() {
    let desk = Desk::open();
    desk.write("workflows/mixed.yaml", MIXED);
    let tenant = Tenant::of(&desk);
    let before = tenant.writes();
    let dry = desk.within(&["run", "project/workflows/mixed.yaml", "--dry-run", "--json"]);
    assert!(dry.status.success(), "{}", text(&dry.stderr));
    let told = json(&dry);
    let states: Vec<String> = told["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| format!("{}{} {}", step["step"], step["item"], step["state"]).replace('"', ""))
        .collect();
    assert_eq!(
        states,
        [
            "importnull done",
            "mark0 held-back",
            "mark1 held-back",
            "mark2 held-back",
            "pausenull waits",
            "reply0 held-back",
            "reply1 held-back",
            "reply2 held-back",
            "latenull not-reached",
            "nevernull skipped",
        ]
    );
    // Marking may be repeated, and still changes something.
    assert_eq!(told["steps"][1]["requests"][0]["method"], "PATCH");
    assert!(told["steps"][0]["reads"].as_u64().unwrap() > 0);
    assert_eq!(told["steps"][8]["needs"], serde_json::json!(["reply"]));
    assert_eq!(tenant.writes(), before, "a dry run changes nothing");
    let runs = desk.within(&["runs", "list", "--json"]);
    assert!(!text(&runs.stdout).contains("mixed"), "no run is recorded");
    tenant.end();
}

#[test]
fn a_test_that_fails_shows_what_differs() {
    let desk = Desk::open();
    desk.write(
        "workflows/welcome.test.yaml",
        "inputs: {to: anna@contoso.example, name: Anna}
cases:
  - name: another subject
    expect:
      mailboxes:
        contracts@contoso.example:
          Sent Items:
            - {subject: 'Welcome, Ben', to: ben@contoso.example, contains: Dear Anna}
  - name: too few
    expect:
      mailboxes: {contracts@contoso.example: {Sent Items: []}}
  - name: another end
    expect: {result: failed, failure: {class: denied}}
  - name: as it is
    expect: {steps: {welcome: done}}
  - name: a mailbox that nobody has
    expect: {mailboxes: {contract@contoso.example: {Sent Items: []}}}
",
    );
    let report = desk.folder.path().join("report.xml");
    let told = desk.within(&["test", "--json", "--junit", report.to_str().unwrap()]);
    assert_eq!(told.status.code(), Some(1), "{}", text(&told.stderr));
    let told = json(&told);
    let problems = |at: usize| {
        let lines = told["cases"][at]["problems"].as_array().unwrap().iter();
        let lines: Vec<&str> = lines.map(|line| line.as_str().unwrap()).collect();
        lines.join("\n")
    };
    assert_eq!(
        problems(0),
        "contracts@contoso.example / Sent Items
  the mail \"Welcome, Anna\"
    - subject: Welcome, Ben
    + subject: Welcome, Anna
    - to: ben@contoso.example
    + to: anna@contoso.example"
    );
    assert!(problems(1).contains("+ a mail \"Welcome, Anna\" to anna@contoso.example"));
    assert_eq!(problems(2), "the run\n  - failed\n  + succeeded");
    assert_eq!(problems(3), "");
    assert!(problems(4).starts_with("contract@contoso.example / Sent Items: "));
    assert_eq!(
        (told["passed"].as_u64(), told["failed"].as_u64()),
        (Some(1), Some(4))
    );
    let report = fs::read_to_string(report).unwrap();
    assert!(
        report.contains("tests=\"5\" failures=\"4\" errors=\"0\""),
        "{report}"
    );

    let one = desk.within(&["test", "--filter", "as it is", "--json"]);
    assert!(one.status.success());
    assert_eq!(json(&one)["passed"], 1);
    let none = desk.within(&["test", "--filter", "nothing like it"]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn a_case_may_hand_on_a_mail_of_its_tenant() {
    let desk = Desk::open();
    desk.write(
        "workflows/file.yaml",
        "workflow: file\nconnections: {exchange: contoso}\ninputs: {mail: {type: object, required: \
         true}}\nsteps:\n  - {uses: exchange/move, with: {message: '${{ inputs.mail }}', folder: \
         Done, create: true}}\n",
    );
    desk.write(
        "workflows/file.test.yaml",
        "tenant:
  mail:
    - {mailbox: invoices@contoso.example, from: a@fabrikam.example, subject: First}
    - {mailbox: invoices@contoso.example, from: a@fabrikam.example, subject: Second}
cases:
  - name: moved
    inputs: {mail: {$mail: Second, mailbox: invoices@contoso.example}}
    expect:
      mailboxes:
        invoices@contoso.example: {Inbox: [{subject: First}], Done: [{subject: Second}]}
  - name: not there
    inputs: {mail: {$mail: Third, mailbox: invoices@contoso.example}}
    expect: {}
",
    );
    let told = desk.within(&["test", "project/workflows/file.test.yaml", "--json"]);
    let told = json(&told);
    assert_eq!(told["cases"][0]["state"], "passed", "{told:#}");
    assert_eq!(told["cases"][1]["state"], "broken", "{told:#}");
    assert!(
        told["cases"][1]["problems"][0]
            .as_str()
            .unwrap()
            .contains("no mail `Third`")
    );
}

fn examples() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workflows");
    folder.canonicalize().unwrap()
}

/// The binary over the examples, with a data folder of its own.
fn over_examples(arguments: &[&str]) -> Output {
    let data = tempfile::tempdir().unwrap();
    Command::new(program())
        .args(arguments)
        .arg("-C")
        .arg(examples())
        .arg("--data")
        .arg(data.path().join("data"))
        .env_remove("DOCKET_LOG")
        .output()
        .unwrap()
}

#[test]
fn the_examples_pass_their_tests() {
    assert!(components().exists());
    let told = over_examples(&["test", "--json"]);
    let cases = json(&told);
    assert!(told.status.success(), "{cases:#}");
    assert!(cases["passed"].as_u64().unwrap() >= 15, "{cases:#}");
    // Each example has tests.
    for entry in fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".yaml") && name != "docket.yaml" && !name.ends_with(".test.yaml") {
            assert!(
                path.with_extension("test.yaml").exists(),
                "{name} has no tests"
            );
        }
    }
}
