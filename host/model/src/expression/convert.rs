//! CEL values as JSON and as text, and when two of them are equal.

use cel::common::types::{
    CelBool, CelDouble, CelDuration, CelInt, CelMap, CelMapKey, CelOptional, CelString,
    CelTimestamp, CelUInt, Kind,
};
use cel::common::value::Val;
use serde_json::{Map, Number, Value};

/// A CEL value as JSON. Objects that an expression made have their keys in alphabetical order,
/// so that equal runs yield equal bytes; a time becomes text (RFC 3339), a duration seconds (`90s`),
/// an optional what it holds, or null.
///
/// # Errors
/// What has no form in JSON: bytes, types, numbers that are infinite or none, keys that are no text.
pub(super) fn to_json(value: &dyn Val) -> Result<Value, String> {
    match value.get_type().kind() {
        Kind::List => {
            let mut list = Vec::new();
            let mut items = value.as_iterable().map(|list| list.iter());
            while let Some(item) = items.as_mut().and_then(|items| items.next()) {
                list.push(to_json(item)?);
            }
            Ok(Value::Array(list))
        }
        Kind::Map => object(value),
        Kind::Opaque => match value.downcast_ref::<CelOptional>() {
            Some(optional) => optional.option().map_or(Ok(Value::Null), to_json),
            None => Err(no_form(value)),
        },
        _ => scalar(value).ok_or_else(|| no_form(value)),
    }
}

fn scalar(value: &dyn Val) -> Option<Value> {
    Some(match value.get_type().kind() {
        Kind::NullType => Value::Null,
        Kind::Boolean => Value::Bool(*value.downcast_ref::<CelBool>()?.inner()),
        Kind::Int => Value::from(*value.downcast_ref::<CelInt>()?.inner()),
        Kind::UInt => Value::from(*value.downcast_ref::<CelUInt>()?.inner()),
        Kind::Double => Value::Number(Number::from_f64(
            *value.downcast_ref::<CelDouble>()?.inner(),
        )?),
        Kind::String => Value::from(value.downcast_ref::<CelString>()?.inner()),
        Kind::Timestamp => {
            let time = value.downcast_ref::<CelTimestamp>()?.inner().to_rfc3339();
            Value::from(match time.strip_suffix("+00:00") {
                Some(utc) => format!("{utc}Z"),
                None => time,
            })
        }
        Kind::Duration => {
            let duration = value.downcast_ref::<CelDuration>()?.inner();
            let nanos = duration.subsec_nanos().unsigned_abs();
            let fraction = match format!("{nanos:09}").trim_end_matches('0') {
                "" => String::new(),
                digits => format!(".{digits}"),
            };
            let is_negative = duration.num_seconds() < 0 || duration.subsec_nanos() < 0;
            let sign = if is_negative { "-" } else { "" };
            Value::from(format!(
                "{sign}{}{fraction}s",
                duration.num_seconds().unsigned_abs()
            ))
        }
        _ => return None,
    })
}

fn object(value: &dyn Val) -> Result<Value, String> {
    let mut object = Map::new();
    if let Some(made) = value.downcast_ref::<CelMap>() {
        let mut entries: Vec<(&str, &dyn Val)> = Vec::with_capacity(made.inner().len());
        for (key, value) in made.inner() {
            let CelMapKey::String(key) = key else {
                return Err("the keys of an object must be text".to_owned());
            };
            entries.push((key.inner(), value.as_ref()));
        }
        entries.sort_unstable_by_key(|(key, _)| *key);
        for (key, value) in entries {
            object.insert(key.to_owned(), to_json(value)?);
        }
    } else if let (Some(keys), Some(fields)) = (value.as_iterable(), value.as_indexer()) {
        let mut keys = keys.iter();
        while let Some(key) = keys.next() {
            let name = key
                .downcast_ref::<CelString>()
                .ok_or_else(|| no_form(value))?;
            let field = fields.get(key).map_err(|_| no_form(value))?;
            object.insert(name.inner().to_owned(), to_json(field.as_ref())?);
        }
    }
    Ok(Value::Object(object))
}

fn no_form(value: &dyn Val) -> String {
    match value.get_type().kind() {
        Kind::Bytes => {
            "bytes cannot be data of a workflow; make text of them with string(…)".into()
        }
        Kind::Double => "the number is infinite or none at all".into(),
        _ => format!("a {} cannot be data of a workflow", value.get_type().name()),
    }
}

/// A value as text, for expressions inside text.
///
/// # Errors
/// What has no obvious text: null, lists and objects.
pub(super) fn to_text(value: &dyn Val) -> Result<String, String> {
    match to_json(value)? {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(match number.as_f64() {
            Some(float) if number.is_f64() => float.to_string(),
            _ => number.to_string(),
        }),
        Value::Null => Err("null cannot stand in text".to_owned()),
        Value::Array(_) => Err("a list cannot stand in text; join it: .join(\", \")".to_owned()),
        Value::Object(_) => {
            Err("an object cannot stand in text; take one of its fields".to_owned())
        }
    }
}

pub(super) fn is_list(value: &dyn Val) -> bool {
    value.get_type().kind() == Kind::List
}

/// Whether two values are equal by CEL's rules: numbers by value whatever their types, lists and
/// objects by their parts whether an expression made them or they are views.
pub(super) fn equal(a: &dyn Val, b: &dyn Val) -> bool {
    match (a.get_type().kind(), b.get_type().kind()) {
        (Kind::List, Kind::List) => {
            let (Some(a), Some(b)) = (a.as_iterable(), b.as_iterable()) else {
                return false;
            };
            let (mut a, mut b) = (a.iter(), b.iter());
            loop {
                match (a.next(), b.next()) {
                    (None, None) => return true,
                    (Some(a), Some(b)) if equal(a, b) => {}
                    _ => return false,
                }
            }
        }
        (Kind::Map, Kind::Map) => {
            let size = |map: &dyn Val| map.as_sizer().map(|map| *map.size().inner());
            let (Some(keys), Some(a_fields), Some(b_fields)) =
                (a.as_iterable(), a.as_indexer(), b.as_indexer())
            else {
                return false;
            };
            let mut keys = keys.iter();
            while let Some(key) = keys.next() {
                let (Ok(a), Ok(b)) = (a_fields.get(key), b_fields.get(key)) else {
                    return false;
                };
                if !equal(a.as_ref(), b.as_ref()) {
                    return false;
                }
            }
            size(a) == size(b)
        }
        _ => a.equals(b),
    }
}

/// Whether `value` is in a list, or a key of an object; `None` where `of` is neither.
pub(super) fn is_in(value: &dyn Val, of: &dyn Val) -> Option<bool> {
    match of.get_type().kind() {
        Kind::List => {
            let mut items = of.as_iterable()?.iter();
            while let Some(item) = items.next() {
                if equal(item, value) {
                    return Some(true);
                }
            }
            Some(false)
        }
        Kind::Map => Some(of.as_indexer()?.get(value).is_ok()),
        _ => None,
    }
}
