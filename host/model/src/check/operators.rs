//! What operators yield.

use cel::common::ast::operators;

use super::types::Type;

/// What a comparison yields; `None` where the two cannot be compared.
pub(super) fn order(a: &Type, b: &Type) -> Option<Type> {
    let is_ordered = |of: &Type| {
        of.is_number()
            || of.is_unknown()
            || matches!(
                of,
                Type::String | Type::Bool | Type::Bytes | Type::Timestamp | Type::Duration
            )
    };
    let meet = a.meets(b) || (a.is_number() && b.is_number());
    (meet && is_ordered(a) && is_ordered(b)).then_some(Type::Bool)
}

/// What a computation yields; `None` where it does not work.
pub(super) fn computed(name: &str, a: &Type, b: &Type) -> Option<Type> {
    use Type::{Any, Bytes, Double, Duration, Int, List, Number, String, Timestamp, Uint};
    let adds = name == operators::ADD;
    let subtracts = name == operators::SUBSTRACT;
    match (a, b) {
        (Int | Uint | Double | Number, Int | Uint | Double | Number) => {
            let has_double = *a == Double || *b == Double;
            let works = a.meets(b) && !(name == operators::MODULO && has_double);
            works.then(|| a.clone().or(b.clone()))
        }
        (String, String) | (Bytes, Bytes) if adds => Some(a.clone()),
        (List(_), List(_)) if adds => Some(a.clone().or(b.clone())),
        (Duration, Duration) if adds || subtracts => Some(Duration),
        (Timestamp, Duration) if adds || subtracts => Some(Timestamp),
        (Duration, Timestamp) if adds => Some(Timestamp),
        (Timestamp, Timestamp) if subtracts => Some(Duration),
        _ if a.is_unknown() || b.is_unknown() => Some(Any),
        _ => None,
    }
}

/// An operator as it is written.
pub(super) fn sign(name: &str) -> Option<&'static str> {
    Some(match name {
        operators::ADD => "+",
        operators::SUBSTRACT => "-",
        operators::MULTIPLY => "*",
        operators::DIVIDE => "/",
        operators::MODULO => "%",
        operators::LESS => "<",
        operators::LESS_EQUALS => "<=",
        operators::GREATER => ">",
        operators::GREATER_EQUALS => ">=",
        _ => return None,
    })
}
