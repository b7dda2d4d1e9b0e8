//! Problems of files, told as whoever asked wants them: to people, as JSON, as SARIF, or as
//! annotations of GitHub Actions.

use std::collections::BTreeMap;

use docket_model::{Diagnostic, Severity};
use serde_json::{Value, json};

/// Problems as SARIF 2.1.0 (OASIS).
pub(crate) fn sarif<'d>(found: impl Iterator<Item = &'d Diagnostic>) -> Value {
    let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
    let mut results = Vec::new();
    for problem in found {
        let next = rules.len();
        let rule = *rules.entry(problem.code).or_insert(next);
        let (start, end) = (problem.position(), problem.end());
        let help = problem.help.as_ref().map(|help| format!("\nhelp: {help}"));
        results.push(json!({
            "ruleId": problem.code,
            "ruleIndex": rule,
            "level": level(problem),
            "message": {"text": format!("{}{}", problem.message, help.unwrap_or_default())},
            "locations": [{"physicalLocation": {
                "artifactLocation": {"uri": uri(problem.file.name())},
                "region": {
                    "startLine": start.line, "startColumn": start.column,
                    "endLine": end.line, "endColumn": end.column
                }
            }}]
        }));
    }
    let mut by_place: Vec<(&str, usize)> = rules.into_iter().collect();
    by_place.sort_unstable_by_key(|(_, place)| *place);
    let rules: Vec<Value> = by_place
        .iter()
        .map(|(code, _)| json!({"id": code}))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "docket", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": rules
            }},
            "columnKind": "unicodeCodePoints",
            "results": results
        }]
    })
}

/// A problem as a workflow command of GitHub Actions ("Workflow commands for GitHub Actions").
pub(crate) fn annotation(problem: &Diagnostic) -> String {
    let (start, end) = (problem.position(), problem.end());
    let help = problem.help.as_ref().map(|help| format!("\nhelp: {help}"));
    format!(
        "::{} file={},line={},col={},endLine={},endColumn={},title={}::{}",
        level(problem),
        property(problem.file.name()),
        start.line,
        start.column,
        end.line,
        end.column,
        property(problem.code),
        data(&format!("{}{}", problem.message, help.unwrap_or_default()))
    )
}

/// Both formats have the same words for it.
const fn level(problem: &Diagnostic) -> &'static str {
    match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// A path as a relative URI (RFC 3986): what cannot stand in one is written in percent form.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.trim_start_matches("./").bytes() {
        match byte {
            b'\\' => uri.push('/'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use docket_model::{SourceFile, Span};

    fn problem(name: &str) -> Diagnostic {
        let file = SourceFile::new(name, "a: 1\nü: 2\n");
        let span = Span { start: 5, end: 7 };
        Diagnostic::error("workflow/value", &file, span, "100 %, no").with_help("do this")
    }

    #[test]
    fn annotations_hold_what_the_format_cannot() {
        assert_eq!(
            annotation(&problem("a, b.yaml")),
            "::error file=a%2C b.yaml,line=2,col=1,endLine=2,endColumn=2,title=workflow/value::100 \
             %25, no%0Ahelp: do this"
        );
    }

    #[test]
    fn sarif_names_each_rule_once_and_every_place() {
        let found = [problem("./a b.yaml"), problem("c.yaml")];
        let sarif = sarif(found.iter());
        let run = &sarif["runs"][0];
        assert_eq!(
            run["tool"]["driver"]["rules"],
            json!([{"id": "workflow/value"}])
        );
        let place = &run["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b.yaml");
        assert_eq!(
            place["region"],
            json!({"startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 2})
        );
        assert_eq!(
            run["results"][1]["message"]["text"],
            "100 %, no\nhelp: do this"
        );
    }
}
