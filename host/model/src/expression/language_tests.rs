//! Tries the language: what its operators and functions yield, and what it refuses.

use super::*;
use crate::expression::{Item, StepValue, Steps};
use serde_json::json;

/// Evaluates against a run with two finished steps and an item.
fn evaluate(text: &str) -> Result<Value, String> {
    let language = Language::new();
    let inputs = json!({
        "title": "Ünïcode", "count": 3, "price": 2.5, "big": 18_446_744_073_709_551_615_u64,
        "to": ["a", "b"], "nested": {"x": [1, {"y": null}]}, "none": null, "two-part": 7,
    });
    let output = json!({"messages": [{"id": "m1", "n": 1}, {"id": "m2", "n": 2}], "more": false});
    let steps = Steps::from([
        (
            "import-mail".to_owned(),
            StepValue {
                output: Some(output),
                failure: None,
            },
        ),
        ("skipped".to_owned(), StepValue::default()),
    ]);
    let item = json!({"id": "i", "received-at": "2026-11-21"});
    let scope = Scope {
        inputs: &inputs,
        steps: &steps,
        failure: None,
        item: Some(Item {
            value: &item,
            index: 4,
        }),
        event: None,
        run: "r-1",
        workflow: "w",
    };
    let expression = language.parse(text).map_err(|error| {
        format!(
            "{}..{}: {}",
            error.range.start, error.range.end, error.message
        )
    })?;
    language.evaluate(&expression, &scope)
}

fn check(text: &str, expected: Value) {
    assert_eq!(evaluate(text), Ok(expected), "{text}");
}

fn check_error(text: &str, expected: &str) {
    let error = evaluate(text).expect_err(text);
    assert!(error.contains(expected), "{text}: {error}");
}

#[test]
fn sees_the_run_and_keeps_types() {
    check("inputs.title", json!("Ünïcode"));
    check("inputs.count + 1", json!(4));
    check("inputs.price * 2.0", json!(5.0));
    check("inputs.big", json!(18_446_744_073_709_551_615_u64));
    check(
        "inputs",
        json!({
            "title": "Ünïcode", "count": 3, "price": 2.5, "big": 18_446_744_073_709_551_615_u64,
            "to": ["a", "b"], "nested": {"x": [1, {"y": null}]}, "none": null, "two-part": 7,
        }),
    );
    check("inputs.two-part - 1", json!(6));
    check(
        "steps.import-mail.output.messages.map(m, m.id)",
        json!(["m1", "m2"]),
    );
    check("steps['import-mail'].output.messages[1].n", json!(2));
    check("item.received-at", json!("2026-11-21"));
    check("index", json!(4));
    check("run.id + '/' + run.workflow", json!("r-1/w"));
    check("steps.map(id, id)", json!(["import-mail", "skipped"]));
}

#[test]
fn asks_whether_something_is_there() {
    check("has(steps.import-mail.output)", json!(true));
    check("has(steps.skipped.output)", json!(false));
    check("has(steps.import-mail.failure)", json!(false));
    check("has(item.received-at) && !has(item.sent-at)", json!(true));
    check("inputs.?missing.orValue('x')", json!("x"));
    check("inputs.?two-part.orValue(0)", json!(7));
    check("inputs.?missing", json!(null));
    check("inputs.none == null", json!(true));
}

#[test]
fn compares_what_it_made_with_what_it_sees() {
    check("inputs.to == ['a', 'b']", json!(true));
    check("['a', 'b'] == inputs.to", json!(true));
    check("['a'] == inputs.to", json!(false));
    check("inputs.to != ['a', 'b']", json!(false));
    check("{'x': [1, {'y': null}]} == inputs.nested", json!(true));
    check("inputs.nested == {'x': [1, {'y': 0}]}", json!(false));
    check(
        "inputs.nested == {'x': [1, {'y': null}], 'z': 1}",
        json!(false),
    );
    check(
        "{'id': 'm1', 'n': 1} in steps.import-mail.output.messages",
        json!(true),
    );
    check("'a' in inputs.to && !('c' in inputs.to)", json!(true));
    check("'title' in inputs && !('titel' in inputs)", json!(true));
    check("inputs.count == 3.0", json!(true));
    check("[1, 2].exists_one(x, x == 2)", json!(true));
}

#[test]
fn computes_with_lists_texts_and_times() {
    check("inputs.to + ['c']", json!(["a", "b", "c"]));
    check("['c'] + inputs.to", json!(["c", "a", "b"]));
    check(
        "size(inputs.to) + inputs.to.size() + size(inputs)",
        json!(12),
    );
    check("inputs.to.join(', ')", json!("a, b"));
    check(
        "'%s-%d'.format([inputs.title, inputs.count])",
        json!("Ünïcode-3"),
    );
    check(
        "inputs.title.lowerAscii().split('n')",
        json!(["Ü", "ïcode"]),
    );
    check("inputs.nested.x[1]", json!({"y": null}));
    check("inputs.to.filter(x, x > 'a')", json!(["b"]));
    check(
        "{'b': 1, 'a': 2, 'c': inputs.to}",
        json!({"a": 2, "b": 1, "c": ["a", "b"]}),
    );
    check("string(inputs.count) + string(inputs.price)", json!("32.5"));
    check(
        "timestamp('2026-11-21T08:00:00Z') + duration('90s')",
        json!("2026-11-21T08:01:30Z"),
    );
    check(
        "[duration('1.5s'), duration('-90s')]",
        json!(["1.5s", "-90s"]),
    );
    check("inputs.count > 2 ? 'many' : 'few'", json!("many"));
}

#[test]
fn an_object_that_it_made_is_the_same_bytes_each_time() {
    let text = "{'z': 1, 'y': 2, 'x': 3, 'w': 4, 'v': 5, 'u': 6}";
    let first = evaluate(text).unwrap().to_string();
    for _ in 0..8 {
        assert_eq!(evaluate(text).unwrap().to_string(), first);
    }
}

#[test]
fn says_what_went_wrong_without_the_values() {
    check_error(
        "steps.skipped.output",
        "a step that was left out or failed has no output",
    );
    check_error("inputs.titel", "there is no `titel`");
    check_error("inputs.to[2]", "the list has no such element");
    check_error("inputs.to[-1]", "the list has no such element");
    check_error("1 / 0", "division by zero");
    check_error("inputs.count / 0", "division by zero");
    check_error("inputs.title + 1", "`add` does not work on string and int");
    check_error("inputs.to['x']", "no matching overload");
    check_error("b'abc'", "bytes cannot be data");
    check_error("{1: 2}", "keys of an object must be text");
    check_error("1.0 / 0.0", "infinite");
    check_error("int", "cannot be data");
    check_error("int(inputs.title)", "`int` does not work on this value");
    check_error("nothing", "`nothing` is not known");
}

#[test]
fn points_at_the_place_that_is_wrong() {
    check_error("", "0..0: the expression is empty");
    check_error("1 +", "3..3: the expression ends too early");
    check_error("inputs.two-part +* 2", "17..18: ");
    check_error("'ä' + 'ö' + * 2", "14..15: '*' cannot stand here");
    check_error("steps.a-b.c-d ) ", "14..15: ");
    check_error("a.b.map(", "8..8: ");
    check_error("1 +\n +", "5..6: '+' cannot stand here");
    check_error("as", "reserved identifier: as");
    check_error(
        &"(".repeat(100),
        "33..34: the expression stands too deep in itself",
    );
    check_error(&"-".repeat(9000), "longer than 8192 bytes");
    check_error(
        "[1].map(a, [1].map(b, [1].map(c, [1].map(d, a))))",
        "stand in each other 4 deep; 3 is the most",
    );
}

#[test]
fn knows_where_names_and_operators_stand() {
    let text = "'ö' + steps.im-port.output.x-y + inputs.?b";
    let expression = Language::new().parse(text).unwrap();
    let mut found = Vec::new();
    collect(expression.ast(), &mut |id| {
        found.push(&text[expression.range(id)])
    });
    assert_eq!(
        found,
        [
            "+", "+", "'ö'", "x-y", "output", "im-port", "steps", "b", "inputs", "b"
        ]
    );
}

fn collect(node: &IdedExpr, seen: &mut impl FnMut(u64)) {
    seen(node.id);
    match &node.expr {
        Expr::Select(select) => collect(&select.operand, seen),
        Expr::Call(call) => call.args.iter().for_each(|node| collect(node, seen)),
        _ => {}
    }
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_written_makes_it_panic(text in "\\PC{0,60}") {
        let _ = evaluate(&text);
    }

    #[test]
    fn nothing_like_cel_makes_it_panic(
        tokens in proptest::collection::vec(proptest::sample::select(vec![
            "inputs", ".", "to", "[", "]", "(", ")", "{", "}", "'a'", "1", "-", "+", "==", "?",
            ":", ",", "map", "has", "x", "in", "!", "&&", "b'", "0x", "\"\"\"", "`", "all", "1.5",
            "1u", "null", "steps", "-a", "optional", ".?", "[?", "{?", "//", "\n", "filter", "ü",
        ]), 0..24),
    ) {
        let _ = evaluate(&tokens.concat());
    }
}

/// The binary's worker threads have a stack of 8 MiB, of which a quarter is left to others.
#[test]
fn the_deepest_expressions_fit_the_stack_of_a_worker_thread() {
    let run = || {
        let repeat = |start: &str, part: &str, end: &str, n: usize| {
            format!("{start}{}1{}", part.repeat(n), end.repeat(n))
        };
        for n in [10, MAX_NESTING - 1, MAX_NESTING, 100, 400, 1000, 2000] {
            for text in [
                format!("inputs{}", ".a".repeat(n)),
                format!("inputs{}", "[0]".repeat(n)),
                format!("inputs{}", ".size()".repeat(n)),
                format!("1{}", "+1".repeat(n)),
                format!("1{}", "<1".repeat(n)),
                format!("1{}", "==1".repeat(n)),
                format!("1{}", " in 1".repeat(n)),
                format!("true{}", "&&true".repeat(n)),
                repeat("", "!", "", n),
                repeat("", "- ", "", n),
                repeat("", "false?1:", "", n),
                repeat("", "(", ")", n),
                repeat("", "[", "]", n),
                repeat("", "{'a':", "}", n),
                repeat("", "size(", ")", n),
                repeat("", "1+(", ")", n),
                repeat("[", "", "].map(x,x)", n),
                repeat("", "[1].map(x,", ")", n),
            ] {
                let result = evaluate(&text);
                if let (10, Err(error)) = (n, result) {
                    assert!(!error.contains("too deep"), "{text}: {error}");
                }
            }
        }
    };
    std::thread::Builder::new()
        .stack_size(6 << 20)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn long_lists_are_not_deep() {
    let fields: Vec<String> = (0..200)
        .map(|n| format!("'f{n}': inputs.nested.x[0]"))
        .collect();
    assert!(evaluate(&format!("{{{}}}", fields.join(", "))).is_ok());
}

/// The rows of docs/expressions.md: an expression, and what it yields.
#[test]
fn yields_what_the_reference_says() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/expressions.md");
    let text = std::fs::read_to_string(file).expect("the reference");
    let mut rows = 0;
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches(['|', ' ']).split("` | `").collect();
        let [expression, yields] = cells.as_slice() else {
            panic!("{row}");
        };
        let expression = expression.trim_start_matches('`').replace("\\|", "|");
        let yields = yields.trim_end_matches('`');
        let yields: Value = serde_json::from_str(yields).unwrap_or_else(|e| panic!("{row}: {e}"));
        check(&expression, yields);
        rows += 1;
    }
    assert!(rows > 70, "the tables are not read");
}

#[test]
fn functions_of_docket_refuse_what_they_cannot_do() {
    check(
        "[inputs.to, [\"b\", \"c\"]].flatten().distinct()",
        json!(["a", "b", "c"]),
    );
    check("[{\"a\": 1}, {\"a\": 1}].distinct()", json!([{"a": 1}]));
    // As `==` has it.
    check(
        "1 == 1.0 && {\"a\": 1, \"b\": 2} == {\"b\": 2, \"a\": 1}",
        json!(true),
    );
    check(
        "[{\"a\": 1, \"b\": 2}, {\"b\": 2, \"a\": 1.0}].distinct()",
        json!([{"a": 1, "b": 2}]),
    );
    check("[1, 1.0, 1.5, 1u].distinct()", json!([1, 1.5]));
    check("inputs.nested.x.flatten()", json!([1, {"y": null}]));
    for (text, expected) in [
        ("'a@b'", false),
        ("'a b@c.d'", false),
        ("'a@b.c,d@e.f'", false),
        ("'@b.c'", false),
        ("'a@b..c'", false),
        ("'a@b@c.d'", false),
        ("'ü@ä.example'", true),
    ] {
        check(&format!("{text}.isEmail()"), json!(expected));
    }
    check(
        "'.gitignore'.extension() + 'a.b/c'.extension() + 'none'.extension()",
        json!(""),
    );
    check_error("'nobody'.emailDomain()", "`emailDomain` does not work");
    let time = "timestamp('2026-11-21T23:30:00Z')";
    check_error(
        &format!("{time}.strftime('%Q')"),
        "`strftime` does not work",
    );
    check_error(
        &format!("{time}.strftime('%z')"),
        "`strftime` does not work",
    );
    check_error(
        &format!("{time}.strftime('%F', 'Berlin')"),
        "`strftime` does not work",
    );
    check_error(
        &format!("{time}.strftime('%F', '+99:00')"),
        "`strftime` does not work",
    );
}
