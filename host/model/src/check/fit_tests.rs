//! Tries which values fit which schemas, and what is said of those that do not.

use super::*;

/// Texts that begin with `$` stand for expressions of a type.
fn shape(value: &Value) -> Shape {
    let kind = match value {
        Value::String(text) if text == "$any" => ShapeKind::Typed(Type::Any),
        Value::String(text) if text == "$text" => ShapeKind::Typed(Type::String),
        Value::String(text) if text == "$document" => ShapeKind::Typed(Type::document()),
        Value::String(text) if text == "$object" => {
            ShapeKind::Typed(Type::object([("a".to_owned(), Type::Int)], false))
        }
        Value::Array(items) => ShapeKind::List(items.iter().map(shape).collect()),
        Value::Object(fields) => {
            let field = |(name, field): (&String, &Value)| {
                (
                    Name {
                        text: name.clone(),
                        span: Span::default(),
                    },
                    shape(field),
                )
            };
            ShapeKind::Object(fields.iter().map(field).collect())
        }
        scalar => ShapeKind::Scalar(scalar.clone()),
    };
    Shape {
        kind,
        span: Span::default(),
    }
}

fn check(schema: Value, value: Value, expected: &[&str]) {
    let found: Vec<String> = misfits(&schema, &shape(&value), "p/a", &mut Validators::default())
        .into_iter()
        .map(|misfit| misfit.message)
        .collect();
    assert_eq!(found, expected, "{schema} {value}");
}

#[test]
fn reports_only_what_fits_in_no_case() {
    let either = json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    check(either.clone(), json!({"a": "$any"}), &[]);
    check(either.clone(), json!({}), &["p/a needs `a` or `b`"]);
    check(
        either.clone(),
        json!({"a": 1, "b": 1}),
        &["p/a takes only one of `a`, `b`"],
    );
    check(either, json!("$any"), &[]);
    // A branch with a word that is not followed may or may not fit.
    let counted = json!({"oneOf": [{"minProperties": 2}, {"required": ["a"]}]});
    check(counted.clone(), json!({"a": "$any"}), &[]);
    check(counted, json!({"a": "$any", "b": 1}), &[]);
    let strict = json!({"properties": {"a": {"type": "string"}}, "additionalProperties": false});
    check(strict.clone(), json!({"a": "$any"}), &[]);
    check(
        strict.clone(),
        json!({"a": "$document"}),
        &["this must be text, not a document"],
    );
    check(
        strict.clone(),
        json!({"b": "$any"}),
        &["p/a has no input `b`"],
    );
    check(
        strict,
        json!("$object"),
        &["this must be text, not a whole number"],
    );
    check(
        json!({"required": ["b"]}),
        json!("$object"),
        &["the object of this expression has no `b`"],
    );
    check(
        json!({"$ref": "urn:docket:document"}),
        json!("$document"),
        &[],
    );
    check(
        json!({"$ref": "urn:docket:document"}),
        json!("$text"),
        &["this must be a document, not text"],
    );
    check(json!({"$ref": "#"}), json!("$text"), &[]);
    check(json!({"enum": ["x", 1]}), json!("$text"), &[]);
    check(
        json!({"enum": [1, 2]}),
        json!("$text"),
        &["this cannot be text"],
    );
    check(json!(false), json!("$any"), &["nothing may stand here"]);
    check(
        json!({"items": {"type": "integer"}, "minItems": 2}),
        json!(["$text"]),
        &[
            "this must be a whole number, not text",
            "there must be at least 2 elements",
        ],
    );
}

#[test]
fn the_validator_has_the_last_word_on_what_is_written_out() {
    check(
        json!({"minProperties": 2}),
        json!({"a": 1}),
        &["{\"a\":1} has less than 2 properties"],
    );
    check(
        json!({"not": {"type": "string"}}),
        json!("x"),
        &["{\"type\":\"string\"} is not allowed for \"x\""],
    );
    check(
        json!({"uniqueItems": true}),
        json!([1, 1]),
        &["[1,1] has non-unique elements"],
    );
    check(json!({"uniqueItems": true}), json!([1, "$any"]), &[]);
}
