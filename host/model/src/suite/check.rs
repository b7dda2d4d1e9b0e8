//! Tests held against the plan of their workflow.

use serde_json::{Map, Value, json};

use super::MAIL_MARK;
use crate::yaml::{self, Entry, Kind, Node};
use crate::{
    Diagnostic, Diagnostics, Digest, DocumentRef, Plan, SourceFile, Span, WrittenDocument,
    replace_marked, resolve_inputs,
};

pub(super) fn check(source: &SourceFile, plan: &Plan) -> Diagnostics {
    let mut checker = Checker {
        source,
        plan,
        found: Diagnostics::new(),
    };
    // What is wrong with the file itself was said when it was read.
    if let Some(root) = yaml::parse(source, &mut Diagnostics::new()) {
        checker.suite(&root);
    }
    checker.found.sort(source);
    checker.found
}

struct Checker<'a> {
    source: &'a SourceFile,
    plan: &'a Plan,
    found: Diagnostics,
}

impl Checker<'_> {
    fn suite(&mut self, root: &Node) {
        let shared = entries(field(root, "inputs"));
        self.known_inputs(shared);
        for case in items(field(root, "cases")) {
            let own = entries(field(case, "inputs"));
            self.known_inputs(own);
            let name = field(case, "name").map_or(case.span, |name| name.span);
            self.inputs(shared, own, name);
            for told in items(field(case, "told")) {
                self.step(field(told, "approve"));
                self.step(field(told, "reject"));
            }
            if let Some(expected) = field(case, "expect") {
                self.expected(expected);
            }
        }
    }

    fn expected(&mut self, expected: &Node) {
        let failure = field(expected, "failure");
        self.step(failure.and_then(|failure| field(failure, "step")));
        for Entry { key, .. } in entries(field(expected, "steps")) {
            self.named_step(&key.text, key.span);
        }
        for Entry { key, .. } in entries(field(expected, "outputs")) {
            if !self.plan.outputs.contains_key(&key.text) {
                let message = format!("the workflow has no output `{}`", key.text);
                let known: Vec<&str> = self.plan.outputs.keys().map(String::as_str).collect();
                self.unknown(
                    "test/unknown-output",
                    (&key.text, key.span),
                    message,
                    &known,
                );
            }
        }
    }

    fn step(&mut self, node: Option<&Node>) {
        if let Some(node) = node
            && let Kind::String(name) = &node.kind
        {
            self.named_step(name, node.span);
        }
    }

    fn named_step(&mut self, name: &str, span: Span) {
        let known: Vec<&str> = self.plan.all_steps().map(|step| step.id.as_str()).collect();
        if !known.contains(&name) {
            let message = format!("the workflow has no step `{name}`");
            self.unknown("test/unknown-step", (name, span), message, &known);
        }
    }

    fn known_inputs(&mut self, given: &[Entry]) {
        for Entry { key, .. } in given {
            if !self.plan.inputs.contains_key(&key.text) {
                let message = format!("the workflow has no input `{}`", key.text);
                let known: Vec<&str> = self.plan.inputs.keys().map(String::as_str).collect();
                self.unknown("test/unknown-input", (&key.text, key.span), message, &known);
            }
        }
    }

    /// Whether a run could start with what a case is given: its own inputs, and those of all.
    fn inputs(&mut self, shared: &[Entry], own: &[Entry], case: Span) {
        let mut given = Map::new();
        for Entry { key, value } in shared.iter().chain(own) {
            if !self.plan.inputs.contains_key(&key.text) {
                continue;
            }
            match standing_for(&value.to_json()) {
                Ok(value) => drop(given.insert(key.text.clone(), value)),
                Err(problem) => return self.report("test/input", value.span, problem, None),
            }
        }
        for problem in resolve_inputs(self.plan, given).err().into_iter().flatten() {
            let mut all = own.iter().chain(shared);
            let entry = all.find(|entry| entry.key.text == problem.name);
            let span = entry.map_or(case, |entry| entry.value.span);
            self.report("test/input", span, problem.message, problem.help);
        }
    }

    fn unknown(
        &mut self,
        code: &'static str,
        (name, span): (&str, Span),
        message: String,
        known: &[&str],
    ) {
        let error = Diagnostic::error(code, self.source, span, message);
        self.add(error.with_nearest(name, known.iter().copied()));
    }

    fn report(&mut self, code: &'static str, span: Span, message: String, help: Option<String>) {
        let error = Diagnostic::error(code, self.source, span, message);
        self.add(Diagnostic { help, ..error });
    }

    /// What is wrong with the inputs of all cases is said once.
    fn add(&mut self, problem: Diagnostic) {
        let is_same =
            |known: &Diagnostic| known.span == problem.span && known.message == problem.message;
        if !self.found.iter().any(is_same) {
            self.found.push(problem);
        }
    }
}

/// An input with something of the right type in the place of what only the case's run will have.
fn standing_for(value: &Value) -> Result<Value, String> {
    let [file, text] = WrittenDocument::MARKS;
    replace_marked(value, &[file, text, MAIL_MARK], &mut |fields| {
        if fields.contains_key(MAIL_MARK) {
            return Ok(json!({}));
        }
        let written = WrittenDocument::read(fields)?;
        let name = written.name.unwrap_or("document");
        let reference = DocumentRef {
            digest: Digest::of(b""),
            name: name.to_owned(),
            media_type: written.media_type(name).to_owned(),
            size: 0,
        };
        serde_json::to_value(reference).map_err(|error| error.to_string())
    })
}

fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let entry = entries(Some(node))
        .iter()
        .find(|entry| entry.key.text == name);
    entry.map(|entry| &entry.value)
}

fn entries(node: Option<&Node>) -> &[Entry] {
    match node.map(|node| &node.kind) {
        Some(Kind::Map(entries)) => entries,
        _ => &[],
    }
}

fn items(node: Option<&Node>) -> &[Node] {
    match node.map(|node| &node.kind) {
        Some(Kind::List(items)) => items,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check_suite, parse_suite};
    use crate::{Catalog, SourceFile, validate};

    const WORKFLOW: &str = "workflow: w
inputs:
  to: {type: string, required: true}
  count: {type: integer}
  file: {type: document}
  mail: {type: object}
steps:
  - id: ask
    uses: wait/approval
    with: {message: m}
outputs: {approved: \"${{ steps.ask.output.approved }}\"}
";

    fn check(suite: &str, expected: &[&str]) {
        let workflow = SourceFile::new("w.yaml", WORKFLOW);
        let (plan, found) = validate(&workflow, &Catalog::default(), &|_| Err(String::new()));
        let plan = plan.unwrap_or_else(|| panic!("{found}"));
        let suite = SourceFile::new("w.test.yaml", suite);
        let (read, found) = parse_suite(&suite);
        assert!(read.is_some(), "{found}");
        let found = check_suite(&suite, &plan);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_fits_the_workflow_is_right() {
        check(
            "inputs: {to: a, file: {$file: a.pdf}}
cases:
  - name: one
    inputs: {count: 3, mail: {$mail: Hello, mailbox: a@b.example}}
    told: [{approve: ask}]
    expect: {outputs: {approved: true}, steps: {ask: done}}
  - name: two
    inputs: {file: {$text: t, name: t.txt}}
    expect: {failure: {step: ask}}
",
            &[],
        );
    }

    #[test]
    fn every_problem_has_its_place() {
        check(
            "inputs: {count: three, tow: a}
cases:
  - name: one
    inputs: {file: {$file: 5}}
    told: [{reject: aks}]
    expect: {outputs: {aproved: true}, steps: {ask: done, late: failed}}
  - name: two
    inputs: {to: a, file: {file: a.pdf}}
    expect: {failure: {step: aks}}
",
            &[
                "w.test.yaml:1:17: error[test/input]: the input `count` must be a whole number, not text",
                "w.test.yaml:1:24: error[test/unknown-input]: the workflow has no input `tow`\n  help: \
                 did you mean `to`?",
                "w.test.yaml:4:20: error[test/input]: `$file` of a document must be text",
                "w.test.yaml:5:21: error[test/unknown-step]: the workflow has no step `aks`\n  help: did \
                 you mean `ask`?",
                "w.test.yaml:6:24: error[test/unknown-output]: the workflow has no output `aproved`\n  \
                 help: did you mean `approved`?",
                "w.test.yaml:6:59: error[test/unknown-step]: the workflow has no step `late`\n  help: there \
                 is only `ask`",
                "w.test.yaml:8:27: error[test/input]: the input `file` must be a document, not an object",
                "w.test.yaml:9:30: error[test/unknown-step]: the workflow has no step `aks`\n  help: did \
                 you mean `ask`?",
            ],
        );
    }
}
