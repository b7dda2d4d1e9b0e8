//! The functions that Docket adds to CEL's own: for lists, addresses, names of documents and times.
//! Like those they read no clock and reach nothing outside.

use std::collections::HashSet;
use std::fmt::Write as _;

use cel::common::types::{
    CelBool, CelList, CelString, CelTimestamp, Kind, LIST_TYPE, STRING_TYPE, TIMESTAMP_TYPE, Type,
};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, FixedOffset, NaiveDateTime};
use serde_json::Value;

use super::convert;

/// Below this each whole number has a float of its own.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// A function as CEL calls it.
type Function = for<'b, 'v> fn(Vec<CowVal<'b, 'v>>) -> Called<'b, 'v>;
type Called<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// Adds the functions to `env`.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    let mut member = |name: &str, id: &str, of: Type, args: Vec<Type>, op: Function| {
        env.add_member_overload(name, id, of, args, op)
    };
    member("flatten", "list.flatten()", LIST_TYPE, vec![], flatten)?;
    member("distinct", "list.distinct()", LIST_TYPE, vec![], distinct)?;
    member("isEmail", "string.isEmail()", STRING_TYPE, vec![], is_email)?;
    let id = "string.emailDomain()";
    member("emailDomain", id, STRING_TYPE, vec![], email_domain)?;
    member(
        "extension",
        "string.extension()",
        STRING_TYPE,
        vec![],
        ending,
    )?;
    for args in [vec![STRING_TYPE], vec![STRING_TYPE, STRING_TYPE]] {
        let id = format!("timestamp.strftime/{}", args.len());
        member("strftime", &id, TIMESTAMP_TYPE, args, strftime)?;
    }
    Ok(())
}

/// The elements of the lists in a list, one after the other; what is no list stays as it is.
fn flatten<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    let mut flat: Vec<Box<dyn Val + 'v>> = Vec::new();
    each(&args, |item| {
        match item.get_type().kind() {
            Kind::List => {
                let mut inner = item.as_iterable().map(|list| list.iter());
                while let Some(item) = inner.as_mut().and_then(|items| items.next()) {
                    flat.push(item.clone_as_boxed());
                }
            }
            _ => flat.push(item.clone_as_boxed()),
        }
        Ok(())
    })?;
    Ok(CowVal::owned(CelList::from(flat)))
}

/// The first of each set of equal elements, in order.
fn distinct<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    let mut seen = HashSet::new();
    let mut unique: Vec<Box<dyn Val + 'v>> = Vec::new();
    each(&args, |item| {
        let mut known = convert::to_json(item)
            .map_err(|problem| ExecutionError::function_error("distinct", problem))?;
        // As `==` has it: 1 is 1.0, and the order of a map's keys says nothing.
        level(&mut known);
        known.sort_all_objects();
        if seen.insert(known.to_string()) {
            unique.push(item.clone_as_boxed());
        }
        Ok(())
    })?;
    Ok(CowVal::owned(CelList::from(unique)))
}

/// Writes every whole number without a fraction, however deep.
fn level(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|_| number.is_f64());
            let whole = whole.filter(|float| float.fract() == 0.0 && float.abs() < LARGEST_WHOLE);
            if let Some(float) = whole {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "it is whole and small enough"
                )]
                let number = float as i64;
                *value = number.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(level),
        Value::Object(fields) => fields.values_mut().for_each(level),
        _ => {}
    }
}

fn each<'v>(
    args: &[CowVal<'_, 'v>],
    mut found: impl FnMut(&(dyn Val + 'v)) -> Result<(), ExecutionError>,
) -> Result<(), ExecutionError> {
    let list = args.first().and_then(|list| list.as_ref().as_iterable());
    let mut items = list.map(|list| list.iter());
    while let Some(item) = items.as_mut().and_then(|items| items.next()) {
        found(item)?;
    }
    Ok(())
}

/// Whether a text is one plain address: `local@domain`, with a dot in the domain.
fn is_email<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    let is_one = parts(text(&args, 0)?).is_some();
    Ok(CowVal::owned(CelBool::from(is_one)))
}

/// The domain of an address, in lower case.
fn email_domain<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    match parts(text(&args, 0)?) {
        Some((_, domain)) => Ok(owned(domain.to_lowercase())),
        None => Err(ExecutionError::function_error("emailDomain", "no address")),
    }
}

fn parts(address: &str) -> Option<(&str, &str)> {
    let is_odd =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '<' | '>' | ',');
    let (local, domain) = address.split_once('@')?;
    let labels: Vec<&str> = domain.split('.').collect();
    let is_address = !local.is_empty()
        && !local.contains(is_odd)
        && labels.len() > 1
        && labels
            .iter()
            .all(|label| !label.is_empty() && !label.contains(is_odd));
    is_address.then_some((local, domain))
}

/// What follows the last dot of a file's name, in lower case; nothing where there is none.
fn ending<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    let name = text(&args, 0)?;
    let ending = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && !ending.contains(['/', '\\']) => ending,
        _ => "",
    };
    Ok(owned(ending.to_lowercase()))
}

/// A time as text by a pattern of strftime; in UTC, or in a time zone of IANA's or at an offset such as
/// `+02:00`, as CEL's own functions take them.
fn strftime<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    let failed = |problem: &str| ExecutionError::function_error("strftime", problem);
    let time = args
        .first()
        .and_then(|time| time.as_ref().downcast_ref::<CelTimestamp>())
        .ok_or_else(|| failed("no time"))?
        .inner();
    let pattern: Vec<Item<'_>> = StrftimeItems::new(text(&args, 1)?).collect();
    // A pattern that is none would end the process when it is written.
    if pattern.iter().any(|item| matches!(item, Item::Error)) {
        return Err(failed("no pattern"));
    }
    let local = match args.get(2) {
        None => time.naive_utc(),
        Some(_) => in_zone(time, text(&args, 2)?).ok_or_else(|| failed("no time zone"))?,
    };
    // Only the local time goes into the pattern: the zone's name and offset are what was given.
    let mut shown = String::new();
    write!(shown, "{}", local.format_with_items(pattern.iter()))
        .map_err(|_| failed("a pattern with a zone"))?;
    Ok(owned(shown))
}

fn in_zone(time: &DateTime<FixedOffset>, zone: &str) -> Option<NaiveDateTime> {
    if let Ok(zone) = zone.parse::<chrono_tz::Tz>() {
        return Some(time.with_timezone(&zone).naive_local());
    }
    let offset: FixedOffset = zone.parse().ok()?;
    Some(time.with_timezone(&offset).naive_local())
}

fn text<'s>(args: &'s [CowVal<'_, '_>], at: usize) -> Result<&'s str, ExecutionError> {
    args.get(at)
        .and_then(|text| text.as_ref().downcast_ref::<CelString<'_>>())
        .map(|text| text.inner())
        .ok_or_else(|| ExecutionError::UnexpectedType {
            got: "another value".to_owned(),
            want: "text".to_owned(),
        })
}

fn owned<'b, 'v>(text: String) -> CowVal<'b, 'v> {
    CowVal::owned(CelString::from(text))
}
