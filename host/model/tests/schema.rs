//! The schemas against the golden files: what the reader takes they take, and what the reader refuses
//! they refuse, as far as a schema can know.

mod fixtures;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use docket_model::{Catalog, project_schema, suite_schema, workflow_schema};
use serde_json::{Value, json};

/// What only the reader can know: what expressions name and yield, what two places of a file say of
/// each other, what is in other files, and how YAML is written.
const BEYOND: [&str; 3] = ["cycle", "later-step", "merge-key"];

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::draft7::new(schema).expect("a schema of draft-07")
}

fn read(path: &Path) -> Option<Value> {
    serde_saphyr::from_str(&fs::read_to_string(path).expect("a file")).ok()
}

#[test]
fn the_schemas_agree_with_the_reader() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let workflow = validator(&workflow_schema(&fixtures::catalog()));
    let project = validator(&project_schema());
    let suite = validator(&suite_schema());
    let mut wrong = Vec::new();
    let mut beyond = BTreeSet::new();
    let mut refused = 0;
    for entry in fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .expect("a name");
        let is_good = !path.with_extension("err").exists();
        let Some(value) = read(&path) else {
            assert!(!is_good, "{name} is no YAML");
            continue;
        };
        let schema = match name.split('-').next() {
            Some("project") => &project,
            Some("suite") => &suite,
            _ => &workflow,
        };
        let problems: Vec<String> = schema
            .iter_errors(&value)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        match (is_good, problems.is_empty()) {
            (true, false) => wrong.push(format!("{name} is right: {problems:#?}")),
            (false, true) => {
                beyond.insert(name.to_owned());
            }
            (false, false) => refused += 1,
            (true, true) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused > 10, "{refused}");
    let expected: BTreeSet<String> = BEYOND.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(beyond, expected, "what only the reader knows");
}

fn check(with: &Value, expected: bool) {
    let schema = validator(&workflow_schema(&fixtures::catalog()));
    let workflow = json!({
        "workflow": "w",
        "steps": [{"uses": "exchange/send", "connection": "contoso", "with": with}]
    });
    let problems: Vec<String> = schema
        .iter_errors(&workflow)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(problems.is_empty(), expected, "{with}: {problems:#?}");
}

#[test]
fn an_expression_stands_wherever_a_value_may() {
    let mail = |name: &str, value: Value| {
        let mut mail = json!({"to": "a@example.com", "subject": "s", "text": "t"});
        mail[name] = value;
        mail
    };
    check(&mail("to", json!("${{ inputs.to }}")), true);
    check(
        &mail("to", json!(["${{ inputs.to }}", "b@example.com"])),
        true,
    );
    check(&mail("to", json!({"of": "a"})), false);
    check(&mail("subject", json!("Signed: ${{ inputs.title }}")), true);
    check(&mail("subject", json!(5)), false);
    check(&mail("importance", json!("${{ inputs.importance }}")), true);
    check(&mail("importance", json!("hihg")), false);
    check(&mail("attachments", json!("${{ inputs.documents }}")), true);
    check(
        &mail("attachments", json!(["${{ inputs.document }}"])),
        true,
    );
    check(&mail("attachments", json!(["a.pdf"])), false);
    check(
        &mail("text", json!({"template": "t.txt", "data": {"a": 1}})),
        true,
    );
    check(
        &mail("text", json!({"template": "t.txt", "date": {"a": 1}})),
        false,
    );
    check(&mail("html", json!("both")), false);
    check(&json!("${{ inputs.mail }}"), false);
}

#[test]
fn what_is_installed_decides_what_may_be_used() {
    let step = |catalog: &Catalog, uses: &str, connection: &str| {
        let workflow = json!({
            "workflow": "w",
            "steps": [{"uses": uses, "connection": connection, "with": {"message": {}}}]
        });
        validator(&workflow_schema(catalog)).is_valid(&workflow)
    };
    let none = Catalog::default();
    assert!(step(&none, "any/thing", "anybody"));
    assert!(!step(&none, "anything", "anybody"));
    assert!(
        !step(&none, "wait/approval", "anybody"),
        "nobody waits as somebody"
    );
    let some = fixtures::catalog();
    assert!(step(&some, "pdf/merge", "contoso"));
    assert!(!step(&some, "pdf/merge", "somebody"));
    assert!(!step(&some, "pdf/split", "contoso"));
    assert!(
        !step(&some, "graph-import/new-messages", "contoso"),
        "a source is no step"
    );
}
