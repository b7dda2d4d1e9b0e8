//! What a scalar means: YAML 1.2's core schema, so that `no` and `on` are text.

use serde_json::Number;

use super::Kind;

/// The value of a plain (unquoted) scalar.
///
/// # Errors
/// A number that JSON cannot hold.
pub(super) fn plain(text: &str) -> Result<Kind, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ if is_not_finite(text) => {
            return Err(format!(
                "`{text}` is a number that no input can hold; quote it for text"
            ));
        }
        _ => match number(text) {
            Some(number) => Kind::Number(number),
            None => Kind::String(text.to_owned()),
        },
    })
}

fn is_not_finite(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16)
            .ok()
            .filter(|_| all_digits(digits, 16))
            .map(Into::into);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8)
            .ok()
            .filter(|_| all_digits(digits, 8))
            .map(Into::into);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if all_digits(unsigned, 10) {
        let text = text.strip_prefix('+').unwrap_or(text);
        let whole = text
            .parse::<i64>()
            .map(Number::from)
            .or_else(|_| text.parse::<u64>().map(Into::into));
        return whole.ok().or_else(|| float(text));
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_number = exponent.is_none_or(|digits| all_digits(digits, 10))
        && (whole.is_empty() || all_digits(whole, 10))
        && (fraction.is_empty() || all_digits(fraction, 10))
        && !(whole.is_empty() && fraction.is_empty());
    if is_number { float(text) } else { None }
}

fn float(text: &str) -> Option<Number> {
    text.parse().ok().and_then(Number::from_f64)
}

fn all_digits(text: &str, radix: u32) -> bool {
    !text.is_empty() && text.chars().all(|digit| digit.is_digit(radix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(text: &str, expected: Value) {
        let found = match plain(text) {
            Ok(Kind::Null) => Value::Null,
            Ok(Kind::Bool(value)) => json!(value),
            Ok(Kind::Number(number)) => Value::Number(number),
            Ok(Kind::String(text)) => json!(text),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn follows_the_core_schema() {
        for text in ["", "~", "null", "NULL"] {
            check(text, json!(null));
        }
        check("true", json!(true));
        check("False", json!(false));
        for text in [
            "yes", "no", "on", "off", "nUll", "1.2.3", "1_000", "12:30", "-", "+", ".",
        ] {
            check(text, json!(text));
        }
        for text in [
            "e5",
            "0x",
            "0xg",
            "0o8",
            "2026-11-21",
            "1e",
            "-.e1",
            "0x+1",
            "infinity",
            "nan",
        ] {
            check(text, json!(text));
        }
        check("0", json!(0));
        check("-12", json!(-12));
        check("+12", json!(12));
        check("007", json!(7));
        check("0x1F", json!(31));
        check("0o17", json!(15));
        check("1.5", json!(1.5));
        check(".5", json!(0.5));
        check("5.", json!(5.0));
        check("-1e3", json!(-1000.0));
        check(
            "18446744073709551615",
            json!(18_446_744_073_709_551_615_u64),
        );
        check("99999999999999999999", json!(1e20));
        check("1e999", json!("1e999"));
        for text in [".inf", "-.INF", ".nan"] {
            assert!(plain(text).is_err(), "{text}");
        }
    }
}
