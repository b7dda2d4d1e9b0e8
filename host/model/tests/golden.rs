//! Golden files: `tests/ui/NAME.yaml` is checked, and what comes out must be `NAME.err`, or
//! `NAME.plan.json` where nothing is wrong with it. Files that begin with `project-` are project
//! files, those that begin with `suite-` are tests of workflows. `UPDATE=1 cargo test -p docket-model`
//! writes what comes out.

mod fixtures;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use docket_model::{SourceFile, parse_project, parse_suite, validate};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui")
}

/// What is expected of a file: the ending of the golden file, and its content.
fn check(path: &Path) -> (&'static str, String) {
    let text = fs::read_to_string(path).expect("a readable file");
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a name");
    let file = SourceFile::new(name, text);
    if name.starts_with("project-") {
        let (project, diagnostics) = parse_project(&file);
        assert_eq!(project.is_some(), !diagnostics.has_errors(), "{name}");
        return match project {
            Some(project) => ("ok", format!("{project:#?}\n")),
            None => ("err", format!("{diagnostics}\n")),
        };
    }
    if name.starts_with("suite-") {
        let (suite, diagnostics) = parse_suite(&file);
        assert_eq!(suite.is_some(), !diagnostics.has_errors(), "{name}");
        return match suite {
            Some(suite) => ("ok", format!("{suite:#?}\n")),
            None => ("err", format!("{diagnostics}\n")),
        };
    }
    let templates = |template: &str| {
        fs::read_to_string(folder().join(template)).map_err(|_| "there is no such file".to_owned())
    };
    let (plan, diagnostics) = validate(&file, &fixtures::catalog(), &templates);
    assert_eq!(plan.is_some(), !diagnostics.has_errors(), "{name}");
    match plan {
        Some(plan) => {
            let mut json = serde_json::to_value(&plan).expect("a plan has a stored form");
            json["source"] = "the file's digest".into();
            json["templates"] = plan.templates.keys().cloned().collect::<Vec<_>>().into();
            ("plan.json", format!("{json:#}\n"))
        }
        None => ("err", format!("{diagnostics}\n")),
    }
}

#[test]
fn every_file_gives_what_its_golden_file_says() {
    let update = std::env::var_os("UPDATE").is_some();
    let files: BTreeSet<PathBuf> = fs::read_dir(folder())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .collect();
    let mut golden = BTreeSet::new();
    let mut wrong = Vec::new();
    for path in files
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
    {
        let (ending, found) = check(path);
        let expected = path.with_extension(ending);
        if update {
            fs::write(&expected, &found).expect("a writable file");
        } else if fs::read_to_string(&expected).unwrap_or_default() != found {
            wrong.push(format!("{} should be:\n{found}", expected.display()));
        }
        golden.insert(expected);
    }
    let is_orphan = |path: &&PathBuf| {
        path.extension().is_some_and(|ending| ending != "yaml") && !golden.contains(*path)
    };
    let orphans: Vec<_> = files.iter().filter(is_orphan).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        update || orphans.is_empty(),
        "nothing gives these any more: {orphans:?}"
    );
    assert!(golden.len() > 30, "the folder is not walked");
}

#[test]
fn a_plan_is_the_same_bytes_each_time_and_reads_back() {
    let text = fs::read_to_string(folder().join("good-everything.yaml")).expect("the file");
    let templates = |path: &str| fs::read_to_string(folder().join(path)).map_err(|e| e.to_string());
    let file = SourceFile::new("good-everything.yaml", text);
    let plan = validate(&file, &fixtures::catalog(), &templates)
        .0
        .expect("a plan");
    let again = validate(&file, &fixtures::catalog(), &templates)
        .0
        .expect("a plan");
    assert_eq!(plan.to_json().unwrap(), again.to_json().unwrap());
    let read: docket_model::Plan = serde_json::from_slice(&plan.to_json().unwrap()).unwrap();
    assert_eq!(read, plan);
    assert_eq!(read.digest().unwrap(), plan.digest().unwrap());
}

/// Pieces of workflows, right and wrong, in any order: whatever comes out, nothing panics, and there
/// is a plan exactly when there is no error.
mod any_workflow {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = String> {
        prop::sample::select(vec![
            "x",
            "5",
            "true",
            "~",
            "[]",
            "{}",
            "[a, 1]",
            "{a: 1}",
            "'${{ inputs.a }}'",
            "30s",
            "'${{ steps.a.output.messages }}'",
            "'${{ steps.b.output }}'",
            "'${{ item.x + 1 }}'",
            "wait/timer",
            "wait/approval",
            "{for: 3d}",
            "{message: m, deadline: 1d}",
            "{attempts: 2, on: [crashed]}",
            "{wait: 2d}",
            "fallback",
            "{group: '${{ inputs.a }}', max: 2}",
            "'${{ failure.message }}'",
            "exchange/send",
            "exchange/move",
            "graph-import/messages",
            "pdf/merge",
            "contoso",
            "{to: x@y, subject: s, text: t}",
            "{template: templates/good.html, data: {name: x}}",
            "{to: '${{ 1 }}', html: {template: templates/broken.html}}",
            "'${{ '",
            "'${{ }}'",
            "{message: '${{ {\"id\": \"a\"} }}', folder: 'a${{ [1] }}'}",
            "&x a",
            "*x",
            "!t a",
        ])
        .prop_map(str::to_owned)
    }

    fn entries(
        keys: &'static [&'static str],
    ) -> impl Strategy<Value = Vec<(&'static str, String)>> {
        prop::collection::vec((prop::sample::select(keys), value()), 0..5)
    }

    proptest! {
        #[test]
        fn gives_a_plan_or_an_error(
            top in entries(&[
                "on", "inputs", "connections", "outputs", "steps", "x", "workflow", "timeout",
                "retry", "on-sign-in-needed", "concurrency",
            ]),
            steps in prop::collection::vec(
                entries(&[
                    "id", "uses", "with", "if", "for-each", "as", "connection", "timeout", "retry",
                    "max-parallel", "continue-on-error", "on-sign-in-needed", "y",
                ]),
                0..4,
            ),
            on_error in prop::collection::vec(entries(&["id", "uses", "with", "if"]), 0..2),
        ) {
            let mut text = "workflow: w\n".to_owned();
            for (key, value) in top {
                text += &format!("{key}: {value}\n");
            }
            text += "steps:\n";
            for step in steps {
                text += "  - name: n\n";
                for (key, value) in step {
                    text += &format!("    {key}: {value}\n");
                }
            }
            if !on_error.is_empty() {
                text += "on-error:\n";
            }
            for step in on_error {
                text += "  - name: n\n";
                for (key, value) in step {
                    text += &format!("    {key}: {value}\n");
                }
            }
            let templates = |path: &str| {
                fs::read_to_string(folder().join(path)).map_err(|error| error.to_string())
            };
            let file = SourceFile::new("w.yaml", text);
            let (plan, diagnostics) = validate(&file, &fixtures::catalog(), &templates);
            prop_assert_eq!(plan.is_some(), !diagnostics.has_errors());
            for diagnostic in &diagnostics {
                let span = diagnostic.span;
                prop_assert!(diagnostic.file.text().get(span.start..span.end).is_some());
            }
            if let Some(plan) = plan {
                docket_model::CompiledPlan::new(plan.into()).expect("a plan compiles");
            }
            let project = parse_project(&file);
            prop_assert!(project.1.has_errors() != project.0.is_some());
        }
    }
}

#[test]
fn a_missing_template_or_a_huge_one_is_a_diagnostic() {
    let text = "workflow: w\nsteps:\n  - uses: exchange/send\n    connection: contoso\n    with: \
                {to: a@b, subject: s, html: {template: t.html}}\n";
    let file = SourceFile::new("w.yaml", text);
    let huge = |_: &str| Ok("x".repeat(docket_model::MAX_SOURCE_BYTES + 1));
    let (plan, diagnostics) = validate(&file, &fixtures::catalog(), &huge);
    assert!(plan.is_none());
    assert!(
        diagnostics.to_string().contains("1048576 is the most"),
        "{diagnostics}"
    );
    let huge = SourceFile::new("w.yaml", "#".repeat(docket_model::MAX_SOURCE_BYTES + 1));
    let (_, diagnostics) = validate(&huge, &fixtures::catalog(), &|_| Err(String::new()));
    assert!(
        diagnostics.to_string().contains("error[yaml/too-large]"),
        "{diagnostics}"
    );
}

#[test]
fn a_step_names_its_user_exactly_where_the_connection_is_per_user() {
    let mut catalog = fixtures::catalog();
    for kind in docket_model::ConnectionKind::ALL {
        catalog.connections.insert(kind.as_str().to_owned(), kind);
    }
    let check = |connection: &str, act_as: &str, expected: &str| {
        let text = format!(
            "workflow: w\nsteps:\n  - {{uses: exchange/send, connection: {connection}, {act_as}with: \
             {{to: a@b, subject: s, text: t}}}}\n"
        );
        let file = SourceFile::new("w.yaml", text);
        let (plan, found) = validate(&file, &catalog, &|_| Err(String::new()));
        assert_eq!(plan.is_some(), expected.is_empty(), "{connection}: {found}");
        assert!(
            found.to_string().contains(expected),
            "{connection}: {found}"
        );
    };
    check("per-user", "as: anna@example.com, ", "");
    check("per-user", "", "names no user");
    for one in ["service-account", "app-only"] {
        check(one, "", "");
        check(
            one,
            "as: anna@example.com, ",
            "`as` needs a connection of the kind per-user",
        );
    }
}
