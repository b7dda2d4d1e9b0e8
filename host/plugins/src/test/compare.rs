//! Where two JSON values differ, in words.

use serde_json::Value;

/// How long a value may be shown.
const SHOWN_AT_MOST: usize = 200;

/// The first place where they differ, as a JSON Pointer, with both values; `None` where they are the
/// same.
pub(super) fn difference(expected: &Value, found: &Value) -> Option<String> {
    differ("", expected, found)
}

fn differ(place: &str, expected: &Value, found: &Value) -> Option<String> {
    let named = if place.is_empty() { "it" } else { place };
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (name, value) in expected {
                let place = format!("{place}/{name}");
                match found.get(name) {
                    None => {
                        return Some(format!("{place} is missing; {} is expected", shown(value)));
                    }
                    Some(found) => {
                        if let Some(difference) = differ(&place, value, found) {
                            return Some(difference);
                        }
                    }
                }
            }
            let unexpected = found.iter().find(|(name, _)| !expected.contains_key(*name));
            unexpected.map(|(name, value)| {
                format!(
                    "{place}/{name} is {}, and not expected at all",
                    shown(value)
                )
            })
        }
        (Value::Array(expected), Value::Array(found)) => {
            for (at, (expected, found)) in expected.iter().zip(found).enumerate() {
                let difference = differ(&format!("{place}/{at}"), expected, found);
                if difference.is_some() {
                    return difference;
                }
            }
            (expected.len() != found.len()).then(|| {
                format!(
                    "{named} has {} items; {} are expected",
                    found.len(),
                    expected.len()
                )
            })
        }
        // 1 and 1.0 are the same number to whoever writes a case. Whole numbers beyond what a double
        // holds are compared as they are.
        (Value::Number(expected), Value::Number(found))
            if (expected.is_f64() || found.is_f64()) && expected.as_f64() == found.as_f64() =>
        {
            None
        }
        _ if expected == found => None,
        _ => Some(format!(
            "{named} is {}; {} is expected",
            shown(found),
            shown(expected)
        )),
    }
}

/// A value, cut where it is long.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= SHOWN_AT_MOST {
        return text;
    }
    format!("{}…", &text[..text.floor_char_boundary(SHOWN_AT_MOST)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_the_first_place() {
        let check = |expected: Value, found: Value, words: Option<&str>| {
            assert_eq!(difference(&expected, &found).as_deref(), words);
        };
        check(json!({"a": [1, 2]}), json!({"a": [1, 2]}), None);
        check(json!(1), json!("1"), Some("it is \"1\"; 1 is expected"));
        check(json!(1), json!(1.0), None);
        check(
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_992_i64),
            Some("it is 9007199254740992; 9007199254740993 is expected"),
        );
        check(
            json!({"a": [1, 2]}),
            json!({"a": [1, 3]}),
            Some("/a/1 is 3; 2 is expected"),
        );
        check(
            json!({"a": [1]}),
            json!({"a": [1, 3]}),
            Some("/a has 2 items; 1 are expected"),
        );
        check(
            json!({"a": 1}),
            json!({}),
            Some("/a is missing; 1 is expected"),
        );
        check(
            json!({}),
            json!({"a": 1}),
            Some("/a is 1, and not expected at all"),
        );
    }
}
