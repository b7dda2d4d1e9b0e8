//! What those who write workflows hear of their files from the real program: which project they are of,
//! what is wrong with them, in whose words, and which plugins they have.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod designing;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use docket_e2e::components;
use serde_json::Value;

use self::designing::{Desk, json, text};

#[test]
fn plugins_are_shown_beside_a_serving_process() {
    let desk = Desk::open();
    let mut serving = desk
        .command(&["serve", "--json", "-C", "project"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(serving.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("url"), "{line}");
    for arguments in [
        &["plugins", "list"][..],
        &["plugins", "inspect", "exchange"],
    ] {
        let told = desk.within(arguments);
        assert!(told.status.success(), "{}", text(&told.stderr));
    }
    serving.kill().unwrap();
    serving.wait().unwrap();
}

/// What was fetched is there for a project that uses a tenant, too, whose data folder is another one.
#[test]
fn fetched_components_are_found_from_every_data_folder() {
    let desk = Desk::open();
    for file in ["docket.yaml", "docket.lock"] {
        let text = fs::read_to_string(desk.project().join(file)).unwrap();
        let remote = text.replace("plugins/exchange.wasm", "oci://registry.example/exchange:1");
        desk.write(file, &remote);
    }
    // `init` has kept it, as `plugins fetch` would.
    fs::remove_file(desk.project().join("plugins/exchange.wasm")).unwrap();
    assert!(desk.within(&["plugins", "list"]).status.success());
    desk.write("docket.local.yaml", "connections: {}\n");
    let told = desk.within(&["plugins", "list"]);
    assert!(told.status.success(), "{}", text(&told.stderr));
    assert!(desk.project().join(".docket-local/components").exists());
}

#[test]
fn a_new_project_pins_its_plugins_and_takes_another() {
    let desk = Desk::open();
    let lock: Value =
        serde_json::from_str(&fs::read_to_string(desk.project().join("docket.lock")).unwrap())
            .unwrap();
    assert_eq!(
        lock["plugins"]["exchange"]["source"],
        "plugins/exchange.wasm"
    );
    let probe = components().join("probe.wasm");
    let added = desk.within(&["plugins", "add", probe.to_str().unwrap(), "--yes"]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let checked = desk.within(&["validate"]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

#[test]
fn the_project_is_the_nearest_one() {
    let desk = Desk::open();
    let here = |arguments: &[&str], folder: &str| {
        let mut command = desk.command(arguments);
        command
            .current_dir(desk.folder.path().join(folder))
            .output()
            .unwrap()
    };
    // Of the file or the folder that is named, else of the current folder.
    for (arguments, folder) in [
        (&["test", "project/workflows/"][..], ""),
        (&["test", "project/workflows/welcome.yaml"], ""),
        (&["plan", "project/workflows/welcome.yaml"], ""),
        (&["validate"], "project/workflows/templates"),
        (&["plan", "welcome.yaml"], "project/workflows"),
    ] {
        let told = here(arguments, folder);
        assert!(
            told.status.success(),
            "{arguments:?}: {}",
            text(&told.stderr)
        );
    }
    let none = here(&["validate"], "");
    assert_eq!(none.status.code(), Some(3));
    assert!(text(&none.stderr).contains("is no project"));
}

#[test]
fn every_file_is_checked_whatever_is_wrong_with_another() {
    let desk = Desk::open();
    fs::write(desk.project().join("workflows/binary.yaml"), [0xff]).unwrap();
    desk.write(
        "workflows/welcome.test.yaml",
        "cases:\n  - name: one\n    inputs: {too: a}\n    expect: {steps: {welcom: done}}\n",
    );
    let told = desk.within(&["validate", "--format", "github"]);
    assert_eq!(told.status.code(), Some(3));
    let lines = text(&told.stdout);
    for expected in [
        "file=project/workflows/binary.yaml,line=1",
        "not UTF-8",
        "file=project/workflows/welcome.test.yaml,line=3,col=14",
        "file=project/workflows/welcome.test.yaml,line=4,col=22",
        "did you mean `welcome`?",
    ] {
        assert!(lines.contains(expected), "{expected}\n{lines}");
    }
    // A plugin that is not there has its place in docket.yaml.
    let component = desk.project().join("plugins/exchange.wasm");
    let elsewhere = desk.folder.path().join("exchange.wasm");
    fs::rename(&component, &elsewhere).unwrap();
    let lines = text(&desk.within(&["validate", "--format", "github"]).stdout);
    let yaml = fs::read_to_string(desk.project().join("docket.yaml")).unwrap();
    let line = yaml.lines().position(|line| line == "  exchange:").unwrap() + 1;
    let place = format!("file=project/docket.yaml,line={line},col=3,");
    assert!(lines.contains(&place), "{place}\n{lines}");
    fs::rename(elsewhere, component).unwrap();

    // The tests do not run, and machines hear why.
    let tested = desk.within(&["test", "--json"]);
    assert_eq!(tested.status.code(), Some(3));
    assert_eq!(json(&tested)["error"]["exit"], 3);

    // A problem of docket.yaml is told in the words of whoever asked for a plan.
    let yaml = fs::read_to_string(desk.project().join("docket.yaml")).unwrap();
    desk.write("docket.yaml", &format!("{yaml}\nplugin: {{}}\n"));
    let plan = [
        "plan",
        "project/workflows/welcome.yaml",
        "--format",
        "sarif",
    ];
    let planned = desk.within(&plan);
    assert_eq!(planned.status.code(), Some(3));
    let results = &json(&planned)["runs"][0]["results"];
    assert_eq!(results[0]["ruleId"], "project/unknown-key", "{results}");
}

#[test]
fn no_picture_shows_a_secret() {
    let desk = Desk::open();
    let yaml = fs::read_to_string(desk.project().join("docket.yaml")).unwrap();
    let with_secret = yaml.replacen(
        "    kind: service-account\n",
        "    kind: service-account\n    client-secret: canary-in-the-file\n    unknown: 1\n",
        1,
    );
    desk.write("docket.yaml", &with_secret);
    let told = desk.within(&["validate", "--json"]);
    assert_eq!(told.status.code(), Some(3));
    let said = text(&told.stderr) + &text(&told.stdout);
    assert!(said.contains("project/secret"), "{said}");
    assert!(said.contains("`unknown`"), "{said}");
    assert!(!said.contains("canary-in-the-file"), "{said}");
}

#[test]
fn files_are_checked_again_when_they_change() {
    let desk = Desk::open();
    let mut watching = desk
        .command(&["validate", "--watch", "--json", "-C", "project"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    // Each line is a whole report. A change may be heard of more than once.
    let mut until = |is_right: bool| {
        for line in lines.by_ref().take(20) {
            let report: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let files = report["files"].as_array().unwrap();
            if files.iter().all(|one| one["ok"] == true) == is_right {
                return;
            }
        }
        panic!("no such report");
    };
    until(true);
    let file = desk.project().join("workflows/welcome.yaml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("exchange/send", "exchange/sned")).unwrap();
    until(false);
    fs::write(&file, good).unwrap();
    until(true);
    fs::write(
        desk.project().join("workflows/templates/welcome.html"),
        "{{ nme }}",
    )
    .unwrap();
    until(false);
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[test]
fn problems_are_told_in_the_words_of_each_reader() {
    let desk = Desk::open();
    desk.write(
        "workflows/bad.yaml",
        "workflow: bad\nsteps:\n  - uses: exchange/send\n    connection: contoso\n    with:\n      \
         to: ${{ inputs.x }}\n      subjct: a\n      text: t\n",
    );
    let validate = |format: &str| {
        let told = desk.within(&["validate", "--format", format]);
        assert_eq!(told.status.code(), Some(3), "{}", text(&told.stderr));
        told
    };
    let found = json(&validate("json"));
    let files = found["files"].as_array().unwrap();
    assert_eq!(files[0]["file"], "project/docket.yaml");
    assert_eq!(files[0]["ok"], true);
    let mut files = files.iter();
    let bad = files.find(|one| one["file"] == "project/workflows/bad.yaml");
    assert_eq!(bad.unwrap()["ok"], false, "{found}");

    let sarif = json(&validate("sarif"));
    assert_eq!(sarif["version"], "2.1.0");
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    // Inside an expression the place is that of the name, not of the whole.
    let unknown = results
        .iter()
        .find(|one| one["ruleId"] == "expression/unknown-field");
    let unknown = unknown.unwrap_or_else(|| panic!("{sarif:#}"));
    let place = &unknown["locations"][0]["physicalLocation"];
    assert_eq!(
        place["artifactLocation"]["uri"],
        "project/workflows/bad.yaml"
    );
    assert_eq!(place["region"]["startLine"], 6);
    assert_eq!(place["region"]["startColumn"], 22, "{unknown:#}");

    let lines = text(&validate("github").stdout);
    assert!(
        lines.contains("::error file=project/workflows/bad.yaml,line=7,col=7,"),
        "{lines}"
    );
    let planned = desk.within(&["plan", "project/workflows/bad.yaml", "--format", "github"]);
    assert_eq!(planned.status.code(), Some(3));
    assert!(text(&planned.stdout).contains("::error "));

    let plan = desk.within(&["plan", "project/workflows/welcome.yaml"]);
    let shown = text(&plan.stdout);
    for expected in [
        "as      svc-docket@contoso.example (contoso, service-account)",
        "with    from: contracts@contoso.example",
        "with    to: ${{ inputs.to }}",
        "domains contoso.example (from)",
        "scope   Mail.Send.Shared",
        "granted POST https://graph.microsoft.com/v1.0/users/{mailbox}/messages",
        "grants of exchange that this workflow does not use:",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
}
