//! Tries the types that expressions get, and the mistakes that are found in them.

use super::*;
use crate::expression::Language;
use serde_json::json;

/// Seen from the third of four steps, which repeats.
fn find(text: &str) -> Result<Type, Vec<String>> {
    let message = json!({
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "received-at": {"type": "string"},
            "size": {"type": "integer"},
            "attachments": {"type": "array", "items": {"$ref": "urn:docket:document"}},
            "html": {"type": ["string", "null"]},
        },
        "additionalProperties": false,
    });
    let output = json!({
        "type": "object",
        "properties": {
            "messages": {"type": "array", "items": message}, "more": {"type": "boolean"},
        },
    });
    let step = |id: &str, output: Type, may_fail: bool| StepFacts {
        id: id.to_owned(),
        output,
        may_fail,
        needs: std::collections::BTreeSet::new(),
    };
    let steps = [
        step("import-mail", Type::of_schema(&output), false),
        step("risky", Type::Any, true),
        step("this", Type::Any, false),
        step("next", Type::Any, false),
    ];
    let inputs = [
        ("title", Type::String),
        ("count", Type::Int),
        ("rate", Type::Number),
        ("file", Type::document()),
        ("to", Type::list(Type::Any)),
        ("note", Type::Any),
    ];
    let names = Names {
        inputs: Type::object(inputs.map(|(name, kind)| (name.to_owned(), kind)), false),
        steps: &steps,
        finished: 2,
        item: Some(Type::of_schema(&message)),
        failure: None,
        event: None,
    };
    let expression = Language::new().parse(text).unwrap();
    let (found, problems) = infer(&expression, &names);
    if problems.is_empty() {
        return Ok(found);
    }
    let show = |problem: Problem| {
        let code = problem.code.trim_start_matches("expression/");
        let help = problem
            .help
            .map(|help| format!(" ({help})"))
            .unwrap_or_default();
        format!(
            "{code} `{}`: {}{help}",
            &text[problem.range], problem.message
        )
    };
    Err(problems.into_iter().map(show).collect())
}

fn check(text: &str, expected: Type) {
    assert_eq!(find(text), Ok(expected), "{text}");
}

fn check_error(text: &str, expected: &[&str]) {
    let expected = expected.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(find(text), Err(expected), "{text}");
}

#[test]
fn finds_types() {
    check("inputs.title", Type::String);
    check("inputs.count + 1", Type::Int);
    check("inputs.rate * inputs.rate", Type::Number);
    check("inputs.rate + 1", Type::Number);
    check("inputs.file.size", Type::Int);
    check("inputs.note.anything.goes", Type::Any);
    check("steps.import-mail.output.more", Type::Bool);
    check(
        "steps.import-mail.output.messages.map(m, m.id)",
        Type::list(Type::String),
    );
    check(
        "steps.import-mail.output.messages.map(m, m.size > 1, m.size)",
        Type::list(Type::Int),
    );
    check(
        "steps.import-mail.output.messages.filter(m, has(m.html))[0].id",
        Type::String,
    );
    check(
        "steps['import-mail'].output.messages.all(m, m.id != '')",
        Type::Bool,
    );
    check(
        "steps.import-mail.output.messages.exists_one(m, m.size == 1)",
        Type::Bool,
    );
    check("steps.risky.failure.message", Type::String);
    check(
        "has(steps.risky.output) && has(steps.risky.failure)",
        Type::Bool,
    );
    check("item.received-at", Type::String);
    check("index + 1", Type::Int);
    check("run.id + run.workflow", Type::String);
    check("[1, 2.0]", Type::list(Type::Number));
    check("[]", Type::list(Type::Never));
    check("{'a': 1}.a", Type::Int);
    check("{'a': 1}['a']", Type::Int);
    check("true ? 'a' : 'b'", Type::String);
    check("true ? 'a' : 1", Type::Any);
    check("inputs.note == null ? '' : inputs.note", Type::Any);
    check("inputs.title == null", Type::Bool);
    check("size(inputs.to) > 0 && inputs.title in ['a']", Type::Bool);
    check("inputs.title.split(',').join(';')", Type::String);
    check(
        "timestamp(item.received-at) - timestamp('2026-01-01T00:00:00Z')",
        Type::Duration,
    );
    check("timestamp(item.received-at).getFullYear()", Type::Int);
    check("inputs.?note.orValue('x')", Type::Any);
    check("optional.of(1).hasValue()", Type::Bool);
    check("type(inputs.note) == string", Type::Bool);
    check("inputs.to + ['a']", Type::list(Type::Any));
    check("-inputs.count", Type::Int);
    check("steps.map(id, id + '!')", Type::list(Type::String));
}

#[test]
fn knows_names() {
    check_error(
        "input.title",
        &["unknown-name `input`: `input` is not known (did you mean `inputs`?)"],
    );
    check_error(
        "inputs.titel",
        &["unknown-field `titel`: the workflow has no input `titel` (did you mean `title`?)"],
    );
    check_error(
        "has(inputs.titel)",
        &["unknown-field `has`: the workflow has no input `titel` (did you mean `title`?)"],
    );
    check_error(
        "steps.import-mial.output",
        &[
            "unknown-step `import-mial`: there is no step `import-mial` (did you mean `import-mail`?)",
        ],
    );
    check_error(
        "steps.this.output",
        &["cycle `this`: the step `this` needs itself (a step sees the steps before it)"],
    );
    check_error(
        "steps.next.output",
        &[
            "later-step `next`: the step `next` runs later (steps run in \
        order, and see the ones before them; move one of the two)",
        ],
    );
    check_error(
        "steps['next'].output",
        &[
            "later-step `'next'`: the step `next` runs later (steps run in order, and see the ones \
           before them; move one of the two)",
        ],
    );
    check_error(
        "steps.import-mail.messages",
        &[
            "unknown-field `messages`: a step has no field `messages` (did you mean \
         `steps.import-mail.output.messages`?)",
        ],
    );
    check_error(
        "steps.import-mail.failure",
        &[
            "unknown-field `failure`: the step `import-mail` has no failure to look at (a failure ends \
         the run, unless the step says `continue-on-error: true`)",
        ],
    );
    check_error(
        "item.size-of",
        &[
            "unknown-field `size-of`: there is no field `size-of` (to subtract, write blanks around `-`)",
        ],
    );
    check_error(
        "inputs.to.map(x, y)",
        &[
            "unknown-name `y`: `y` is not known (there are `inputs`, `steps`, `run`, `item`, `index`, \
         `x`)",
        ],
    );
    check_error(
        "siz(inputs.to)",
        &["unknown-function `siz`: there is no function `siz` (did you mean `size`?)"],
    );
    check_error(
        "size(x) + run.ID",
        &[
            "unknown-name `x`: `x` is not known (there are `inputs`, `steps`, `run`, `item`, `index`)",
            "unknown-field `ID`: there is no field `ID` (did you mean `id`?)",
        ],
    );
}

#[test]
fn refuses_operands_of_the_wrong_type() {
    check_error(
        "inputs.title + 1",
        &[
            "wrong-type `+`: `+` does not work on text and a whole number (make text of the number \
         with string(…))",
        ],
    );
    check_error(
        "inputs.count + 1.5",
        &[
            "wrong-type `+`: `+` does not work on a whole number and a number with a fraction (make \
         both the same with int(…) or double(…))",
        ],
    );
    check_error(
        "inputs.count == '1'",
        &["wrong-type `==`: a whole number and text are never equal"],
    );
    check_error(
        "inputs.title && true",
        &["wrong-type `title`: this must be true or false, not text"],
    );
    check_error(
        "inputs.title.name",
        &["wrong-type `name`: text has no fields, and no `name`"],
    );
    check_error(
        "inputs.title.map(x, x)",
        &["wrong-type `title`: text has no elements to go through"],
    );
    check_error(
        "'a' in inputs.title",
        &[
            "wrong-type `in`: nothing is in text; `in` takes a list or an object (for text, use \
         .contains(…))",
        ],
    );
    check_error(
        "inputs.to['a']",
        &["wrong-type `[`: a list has no element for text"],
    );
    check_error(
        "inputs.to.join(1)",
        &["wrong-type `join`: `join` does not work on a list, a whole number"],
    );
    check_error(
        "inputs.title < 1",
        &["wrong-type `<`: `<` does not work on text and a whole number"],
    );
    check_error("-inputs.title", &["wrong-type `-`: text has no negative"]);
    check_error(
        "inputs.to.filter(x, 1)",
        &["wrong-type `1`: this must be true or false, not a whole number"],
    );
    check_error(
        "Thing{a: 1}",
        &["unknown-name `{`: there is no type `Thing` (an object \
        is written {\"field\": value})"],
    );
}
