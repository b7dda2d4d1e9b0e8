//! A plugin's description of itself, checked and with its schemas compiled.

use std::collections::HashMap;

use docket_model::{ActionKind, ActionSpec, Example, HttpNeed, Manifest, RequestRule, ScopeNeed};
use semver::Version;
use serde_json::Value;

use crate::LoadError;
use crate::bindings::actions as wit;
use crate::reporting::{is_deceptive, line};
use crate::schema::Schema;

const ACTIONS_AT_MOST: usize = 128;
const REQUESTS_AT_MOST: usize = 256;
const METHOD_AT_MOST: usize = 16;
const NAME_AT_MOST: usize = 64;
const TEXT_AT_MOST: usize = 2 << 10;
const JSON_AT_MOST: usize = 256 << 10;

/// The compiled schemas of an action.
#[derive(Debug)]
pub(crate) struct Schemas {
    pub(crate) input: Schema,
    pub(crate) output: Schema,
}

/// Reads a manifest.
///
/// # Errors
/// [`LoadError::Manifest`] with the place of the first problem.
pub(crate) fn read(
    manifest: wit::Manifest,
) -> Result<(Manifest, HashMap<String, Schemas>), LoadError> {
    check_name("id", &manifest.id)?;
    if let Err(error) = Version::parse(&manifest.version) {
        return Err(refuse(
            "version",
            format!("`{}` is not semver: {error}", manifest.version),
        ));
    }
    check_text("summary", &manifest.summary)?;
    let count = manifest.actions.len();
    if count == 0 || count > ACTIONS_AT_MOST {
        let problem = format!("{count} actions; 1 to {ACTIONS_AT_MOST} are allowed");
        return Err(refuse("actions", problem));
    }
    let mut actions = Vec::with_capacity(count);
    let mut schemas = HashMap::with_capacity(count);
    for action in manifest.actions {
        let (action, compiled) = read_action(action)?;
        if schemas.insert(action.name.clone(), compiled).is_some() {
            return Err(refuse(
                format!("actions.{}", action.name),
                "two actions have this name",
            ));
        }
        actions.push(action);
    }
    let manifest = Manifest {
        id: manifest.id,
        version: manifest.version,
        summary: manifest.summary,
        actions,
    };
    Ok((manifest, schemas))
}

fn read_action(action: wit::Action) -> Result<(ActionSpec, Schemas), LoadError> {
    check_name("actions", &action.name)?;
    let at = |part: &str| format!("actions.{}.{part}", action.name);
    check_text(&at("summary"), &action.summary)?;
    let (input, compiled_input) = read_schema(&at("input"), &action.input)?;
    let (output, compiled_output) = read_schema(&at("output"), &action.output)?;
    if action.requests.len() > REQUESTS_AT_MOST {
        return Err(refuse(
            at("requests"),
            format!("more than {REQUESTS_AT_MOST} requests"),
        ));
    }
    let requests = action
        .requests
        .into_iter()
        .map(|need| read_request(&at("requests"), need));
    let requests = requests.collect::<Result<_, _>>()?;
    let mut scopes = Vec::with_capacity(action.scopes.len());
    for scope in action.scopes {
        for name in [
            Some(&scope.name),
            scope.shared.as_ref(),
            scope.application.as_ref(),
        ] {
            check_scope(&at("scopes"), name)?;
        }
        check_text(&at("scopes"), &scope.reason)?;
        scopes.push(ScopeNeed {
            name: scope.name,
            shared: scope.shared,
            application: scope.application,
            reason: scope.reason,
        });
    }
    let mut examples = Vec::with_capacity(action.examples.len());
    for example in action.examples {
        check_text(&at("examples"), &example.title)?;
        let place = at(&format!("examples.{}", example.title));
        let input = read_json(&place, &example.input)?;
        compiled_input
            .check(&input)
            .map_err(|problem| refuse(place, problem))?;
        examples.push(Example {
            title: example.title,
            input,
        });
    }
    let kind = match action.kind {
        wit::ActionKind::Action => ActionKind::Action,
        wit::ActionKind::Source => ActionKind::Source,
    };
    let spec = ActionSpec {
        kind,
        input,
        output,
        requests,
        scopes,
        examples,
        summary: action.summary,
        name: action.name,
    };
    Ok((
        spec,
        Schemas {
            input: compiled_input,
            output: compiled_output,
        },
    ))
}

fn read_request(place: &str, need: wit::HttpNeed) -> Result<HttpNeed, LoadError> {
    let rule = RequestRule {
        method: need.method,
        url: need.url,
    };
    if rule.method.len() > METHOD_AT_MOST || rule.url.len() > TEXT_AT_MOST {
        return Err(refuse(place, "a method or URL is too long"));
    }
    // What cannot be granted is found here, and not by the first run.
    docket_connections::check_rule(&rule).map_err(|problem| {
        let what = format!("`{} {}`: {problem}", rule.method, rule.url);
        refuse(place, line(&what))
    })?;
    check_text(place, &need.reason)?;
    Ok(HttpNeed {
        rule,
        reason: need.reason,
    })
}

fn read_schema(place: &str, text: &str) -> Result<(Value, Schema), LoadError> {
    let schema = read_json(place, text)?;
    let compiled = Schema::new(&schema).map_err(|problem| refuse(place, problem))?;
    Ok((schema, compiled))
}

fn read_json(place: &str, text: &str) -> Result<Value, LoadError> {
    if text.len() > JSON_AT_MOST {
        return Err(refuse(
            place,
            format!("more than {JSON_AT_MOST} bytes of JSON"),
        ));
    }
    serde_json::from_str(text).map_err(|error| refuse(place, format!("not JSON: {error}")))
}

/// Lower-case letters, digits and single hyphens between them.
fn check_name(place: &str, name: &str) -> Result<(), LoadError> {
    let is_word = |word: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        !word.is_empty() && word.bytes().all(is_allowed)
    };
    if name.len() <= NAME_AT_MOST && name.split('-').all(is_word) {
        return Ok(());
    }
    let shown: String = name.chars().take(NAME_AT_MOST).collect();
    Err(refuse(
        place,
        format!(
            "{shown:?} is not a name of lower-case letters, digits and single hyphens, at most \
             {NAME_AT_MOST}"
        ),
    ))
}

fn check_text(place: &str, text: &str) -> Result<(), LoadError> {
    if text.trim().is_empty() {
        return Err(refuse(place, "the text is empty"));
    }
    if text.len() > TEXT_AT_MOST || text.contains(is_deceptive) {
        return Err(refuse(
            place,
            format!("the text is not one line of at most {TEXT_AT_MOST} bytes"),
        ));
    }
    Ok(())
}

/// A scope token (RFC 6749 section 3.3).
fn check_scope(place: &str, scope: Option<&String>) -> Result<(), LoadError> {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    match scope {
        Some(scope) if scope.is_empty() || !scope.bytes().all(is_allowed) => {
            Err(refuse(place, format!("{scope:?} is no scope")))
        }
        _ => Ok(()),
    }
}

fn refuse(place: impl Into<String>, problem: impl Into<String>) -> LoadError {
    LoadError::Manifest {
        place: place.into(),
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> wit::Manifest {
        wit::Manifest {
            id: "mail-room".into(),
            version: "1.2.3".into(),
            summary: "Sorts.".into(),
            actions: vec![wit::Action {
                name: "sort".into(),
                kind: wit::ActionKind::Action,
                summary: "Sorts mail.".into(),
                input: r#"{"type": "object"}"#.into(),
                output: "true".into(),
                requests: vec![wit::HttpNeed {
                    method: "GET".into(),
                    url: "{graph}/v1.0/users/{mailbox}/**".into(),
                    reason: "To read.".into(),
                }],
                scopes: vec![wit::Scope {
                    name: "Mail.Read".into(),
                    shared: None,
                    application: None,
                    reason: "To read.".into(),
                }],
                examples: vec![wit::Example {
                    title: "None".into(),
                    input: "{}".into(),
                }],
            }],
        }
    }

    fn check(change: impl FnOnce(&mut wit::Manifest), place: &str) {
        let mut changed = manifest();
        change(&mut changed);
        match read(changed) {
            Ok(_) => assert_eq!("taken", place),
            Err(LoadError::Manifest { place: found, .. }) => assert_eq!(found, place),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn names_the_place_of_a_problem() {
        check(|_| {}, "taken");
        for bad in [
            "",
            "Mail",
            "mail_room",
            "-mail",
            "mail-",
            "a--b",
            "../x",
            &"x".repeat(65),
        ] {
            check(|m| m.id = bad.into(), "id");
            check(|m| m.actions[0].name = bad.into(), "actions");
        }
        check(|m| m.version = "1.2".into(), "version");
        check(|m| m.summary = " ".into(), "summary");
        check(|m| m.summary = "two\nlines".into(), "summary");
        check(|m| m.summary = "turned \u{202e}around".into(), "summary");
        check(|m| m.actions.clear(), "actions");
        check(
            |m| m.actions.push(manifest().actions.remove(0)),
            "actions.sort",
        );
        check(|m| m.actions[0].input = "{".into(), "actions.sort.input");
        check(
            |m| m.actions[0].input = "[".repeat(1000),
            "actions.sort.input",
        );
        check(
            |m| m.actions[0].output = r#"{"type":"x"}"#.into(),
            "actions.sort.output",
        );
        check(
            |m| m.actions[0].requests[0].method = "get".into(),
            "actions.sort.requests",
        );
        check(
            |m| m.actions[0].requests[0].url = "http://a".into(),
            "actions.sort.requests",
        );
        for bad in [
            "*",
            "https://*/**",
            "{graph}/**/a",
            "{graph}/../a",
            "https://u@a.test/",
        ] {
            check(
                |m| m.actions[0].requests[0].url = bad.into(),
                "actions.sort.requests",
            );
        }
        check(
            |m| m.actions[0].requests[0].reason = "".into(),
            "actions.sort.requests",
        );
        check(
            |m| m.actions[0].scopes[0].name = "a b".into(),
            "actions.sort.scopes",
        );
        check(
            |m| m.actions[0].examples[0].input = "[]".into(),
            "actions.sort.examples.None",
        );
    }
}
