//! What makers and operators of plugins meet: plugins that are added, pinned, swapped, updated and
//! tested by the `docket` binary.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::fs;

use docket_e2e::Project;
use serde_json::{Value, json};

const YAML: &str = "# Ours.\nconnections: {}\n";

#[test]
fn a_plugin_is_shown_approved_and_pinned() {
    let project = Project::new(YAML);
    project.put("graph-import", "import.wasm");
    let file = project.file("import.wasm");

    // Nobody is there to say yes: nothing is changed.
    let (_, err) = project.ends(&["plugins", "add", &file], 3);
    assert!(
        err.contains("GET {graph}/v1.0/users/{mailbox}/messages"),
        "{err}"
    );
    assert!(err.contains("scope Mail.Read"), "{err}");
    assert!(err.contains("nobody is there to approve it"), "{err}");
    assert!(err.contains("--yes"), "{err}");
    assert_eq!(project.read("docket.yaml"), YAML);
    assert!(!project.path("docket.lock").exists());

    // Nor is it added when it is not there, or has a name that no plugin can have.
    let (_, err) = project.ends(&["plugins", "add", "missing.wasm", "--yes"], 3);
    assert!(err.contains("missing.wasm: "), "{err}");
    let (_, err) = project.ends(&["plugins", "add", &file, "--as", "Bad Name", "--yes"], 3);
    assert!(err.contains("cannot be the name of a plugin"), "{err}");
    assert!(err.contains("--as"), "{err}");

    // Nor is it added when it is not the one that was announced.
    let other = format!("sha256:{}", "0".repeat(64));
    let (_, err) = project.ends(&["plugins", "add", &file, "--yes", "--digest", &other], 3);
    assert!(err.contains("and not sha256:000"), "{err}");
    assert!(!project.path("docket.lock").exists());

    let (_, err) = project.ends(&["plugins", "add", &file, "--yes"], 0);
    assert!(
        err.contains("scope Mail.Read"),
        "it is shown all the same: {err}"
    );
    assert_eq!(
        project.read("docket.yaml"),
        format!(
            "{YAML}plugins:\n  graph-import:\n    source: import.wasm\n    grants: all-requested\n"
        )
    );
    let lock: Value = serde_json::from_str(&project.read("docket.lock")).unwrap();
    let pin = &lock["plugins"]["graph-import"];
    assert_eq!(pin["source"], "import.wasm");
    assert!(
        pin["asks"]["scopes"]
            .as_array()
            .unwrap()
            .contains(&json!("Mail.Read"))
    );

    let (_, err) = project.ends(&["plugins", "add", &file], 0);
    assert!(err.contains("pinned already"), "{err}");
    let (out, _) = project.ends(&["plugins", "inspect", "graph-import"], 0);
    assert!(out.contains("interface docket:processor@0.1.0"), "{out}");
    assert!(out.contains("pinned in docket.lock"), "{out}");
    assert!(out.contains("granted GET {graph}"), "{out}");
    let (out, _) = project.ends(&["plugins", "list", "--json"], 0);
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list["plugins"][0]["pinned"], pin["digest"]);
}

#[test]
fn a_component_that_was_swapped_is_refused() {
    let project = Project::new(YAML);
    project.put("graph-import", "plugin.wasm");
    let file = project.file("plugin.wasm");
    project.ends(&["plugins", "add", &file, "--as", "mail", "--yes"], 0);
    project.ends(&["validate"], 0);
    let lock = project.read("docket.lock");

    // Another component in its place, which asks for more.
    project.put("exchange", "plugin.wasm");
    for command in [&["plugins", "list"][..], &["validate"]] {
        let (_, err) = project.ends(command, 3);
        assert!(err.contains("is not the one that was approved"), "{err}");
        assert!(
            err.contains("+ POST {graph}/v1.0/users/{mailbox}/messages"),
            "{err}"
        );
        assert!(err.contains("+ scope Mail.Send"), "{err}");
        assert!(
            !err.contains("+ scope Mail.Read\n"),
            "it was approved before: {err}"
        );
        assert!(
            err.contains("docket plugins add plugin.wasm --as mail"),
            "{err}"
        );
    }
    let kept = fs::read_dir(project.path("data/components"))
        .unwrap()
        .count();
    assert_eq!(kept, 1, "what was refused is not kept");

    // An update is shown as the difference, and approved like the first one.
    let (_, err) = project.ends(&["plugins", "add", &file, "--as", "mail"], 3);
    assert!(err.contains("It asks for more than was approved"), "{err}");
    assert!(err.contains("+ scope Mail.Send"), "{err}");
    assert_eq!(project.read("docket.lock"), lock);
    project.ends(&["plugins", "add", &file, "--as", "mail", "--yes"], 0);
    project.ends(&["validate"], 0);
    assert_ne!(project.read("docket.lock"), lock);

    // A byte after its end makes it another component.
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend([0, 5, 1, b'x', 0, 0, 0]);
    fs::write(&file, bytes).unwrap();
    let (_, err) = project.ends(&["validate"], 3);
    assert!(
        err.contains("malformed") || err.contains("was approved"),
        "{err}"
    );
}

#[test]
fn versions_stand_side_by_side_under_names_of_their_own() {
    let project = Project::new(YAML);
    project.put("graph-import", "one.wasm");
    project.put("exchange", "two.wasm");
    project.ends(
        &[
            "plugins",
            "add",
            &project.file("one.wasm"),
            "--as",
            "mail",
            "--yes",
        ],
        0,
    );
    project.ends(
        &[
            "plugins",
            "add",
            &project.file("two.wasm"),
            "--as",
            "mail-2",
            "--yes",
        ],
        0,
    );
    let (out, _) = project.ends(&["plugins", "list", "--json"], 0);
    let list: Value = serde_json::from_str(&out).unwrap();
    let names: Vec<_> = list["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].clone())
        .collect();
    assert_eq!(names, ["mail", "mail-2"]);

    // Where there is a lock, a plugin that somebody wrote into docket.yaml by hand is no exception.
    let yaml = project.read("docket.yaml");
    let by_hand = "  third:\n    source: two.wasm\n    grants: all-requested\n";
    fs::write(project.path("docket.yaml"), yaml + by_hand).unwrap();
    let (_, err) = project.ends(&["validate"], 3);
    assert!(err.contains("third is not in docket.lock"), "{err}");
}

/// A project that asks for signatures has none of a plugin that was written into it by hand.
#[test]
fn where_signatures_are_required_every_plugin_is_added() {
    let project = Project::new(
        "connections: {}\nsignatures: {policy: require, keys: [acme.pub]}\nplugins:\n  mail:\n    \
         source: mail.wasm\n    grants: []\n",
    );
    project.put("graph-import", "mail.wasm");
    let (_, err) = project.ends(&["plugins", "list"], 3);
    assert!(err.contains("mail was never added"), "{err}");
    assert!(
        err.contains("docket plugins add mail.wasm --as mail"),
        "{err}"
    );
}

/// A grant that is wider than what is asked for grants it.
#[test]
fn a_wide_grant_covers_what_is_asked_for() {
    let project = Project::new(
        "connections: {}\nplugins:\n  mail:\n    source: mail.wasm\n    grants: [\"GET {graph}/**\"]\n",
    );
    project.put("graph-import", "mail.wasm");
    let (out, _) = project.ends(&["plugins", "inspect", "mail"], 0);
    assert!(out.contains("granted GET {graph}/v1.0/users/"), "{out}");
    assert!(!out.contains("asks    GET {graph}"), "{out}");
}

#[test]
fn a_damaged_lock_holds_everything_back() {
    let project = Project::new(YAML);
    project.put("graph-import", "one.wasm");
    project.ends(&["plugins", "add", &project.file("one.wasm"), "--yes"], 0);
    let lock = project.read("docket.lock");
    for (text, expected) in [
        (String::new(), "damaged"),
        (
            lock.replace("\"format\": 1", "\"format\": 2"),
            "upgrade Docket",
        ),
        (lock.replace("\"plugins\"", "\"plugin\""), "damaged"),
    ] {
        fs::write(project.path("docket.lock"), text).unwrap();
        let (_, err) = project.ends(&["validate"], 3);
        assert!(err.contains(expected), "{err}");
    }
}

#[test]
fn a_component_is_checked_and_tested() {
    let project = Project::new(YAML);
    fs::create_dir_all(project.path("cases")).unwrap();
    project.put("probe", "probe.wasm");
    let file = project.file("probe.wasm");
    let (out, err) = project.ends(&["plugins", "check", &file, "--json"], 0);
    let about: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(about["interface"], "0.1.0");
    assert!(
        err.contains("imports nothing that plugins may not use"),
        "{err}"
    );

    let (_, err) = project.ends(&["plugins", "test", &file], 3);
    assert!(err.contains("there are no cases"), "{err}");
    let case = "action: echo\ninput: {a: 1}\nexpect: {output: {a: 1}}\n";
    fs::write(project.path("cases/echoes.yaml"), case).unwrap();
    let (out, _) = project.ends(&["plugins", "test", &file, "--json"], 0);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["passed"], 2);
    assert_eq!(report["checks"][0]["check"], "determinism");
    assert_eq!(report["checks"][0]["state"], "passed");
    assert_eq!(report["cases"][0]["name"], "echoes");
    assert_eq!(report["cases"][0]["state"], "passed");
    assert!(report["cases"][0]["fuel"].as_u64().unwrap() > 0);

    // In JSON as well, as machines write them.
    let case = json!({"action": "echo", "input": {"a": 1}, "expect": {"output": {"a": 2}}});
    fs::write(project.path("cases/wrong.json"), case.to_string()).unwrap();
    let (out, _) = project.ends(&["plugins", "test", &file], 1);
    assert!(out.contains("✗ wrong"), "{out}");
    assert!(out.contains("/a is 1; 2 is expected"), "{out}");
    assert!(out.ends_with("2 passed, 1 failed\n"), "{out}");

    fs::write(project.path("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let (_, err) = project.ends(&["plugins", "check", &project.file("module.wasm")], 3);
    assert!(err.contains("docket plugins build"), "{err}");
}

#[test]
fn new_plugins_are_written_and_nothing_is_overwritten() {
    let project = Project::new(YAML);
    let place = &project.file("");
    for (language, file) in [
        ("rust", "src/lib.rs"),
        ("js", "src/plugin.js"),
        ("python", "plugin.py"),
    ] {
        let name = format!("chat-{language}");
        let arguments = ["plugins", "new", &name, "--lang", language, "--in", place];
        let (_, err) = project.ends(&arguments, 0);
        assert!(err.contains("docket plugins build"), "{err}");
        let text = project.read(&format!("{name}/{file}"));
        assert!(text.contains(&name), "{text}");
        let (_, err) = project.ends(&arguments, 3);
        assert!(err.contains("is there already"), "{err}");
    }
    let (_, err) = project.ends(&["plugins", "new", "No Name", "--in", place], 3);
    assert!(err.contains("chat-webhook"), "{err}");
    let (_, err) = project.ends(&["plugins", "build", place], 3);
    assert!(err.contains("is no plugin's folder"), "{err}");
}
