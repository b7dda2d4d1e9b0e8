//! The functions that expressions may call: CEL's own, those of its strings library and Docket's.
//! docs/expressions.md explains each.

use super::types::Type;

/// A kind of parameter.
#[derive(Clone, Copy)]
enum P {
    Any,
    Bool,
    Int,
    Num,
    Str,
    Bytes,
    List,
    Map,
    Time,
    Dur,
}

/// What a function yields.
#[derive(Clone, Copy)]
enum R {
    Any,
    Bool,
    Int,
    Uint,
    Double,
    Str,
    Bytes,
    Strs,
    List,
    Time,
    Dur,
}

struct Signature {
    name: &'static str,
    /// The first parameter is what stands before the dot.
    is_method: bool,
    params: &'static [P],
    result: R,
}

const fn f(name: &'static str, params: &'static [P], result: R) -> Signature {
    Signature {
        name,
        is_method: false,
        params,
        result,
    }
}

const fn m(name: &'static str, params: &'static [P], result: R) -> Signature {
    Signature {
        name,
        is_method: true,
        params,
        result,
    }
}

const SIGNATURES: &[Signature] = &[
    f("size", &[P::Str], R::Int),
    f("size", &[P::Bytes], R::Int),
    f("size", &[P::List], R::Int),
    f("size", &[P::Map], R::Int),
    m("size", &[P::Str], R::Int),
    m("size", &[P::Bytes], R::Int),
    m("size", &[P::List], R::Int),
    m("size", &[P::Map], R::Int),
    f("string", &[P::Str], R::Str),
    f("string", &[P::Num], R::Str),
    f("string", &[P::Bool], R::Str),
    f("string", &[P::Bytes], R::Str),
    f("string", &[P::Time], R::Str),
    f("string", &[P::Dur], R::Str),
    f("int", &[P::Num], R::Int),
    f("int", &[P::Str], R::Int),
    f("int", &[P::Time], R::Int),
    f("uint", &[P::Num], R::Uint),
    f("uint", &[P::Str], R::Uint),
    f("double", &[P::Num], R::Double),
    f("double", &[P::Str], R::Double),
    f("bool", &[P::Bool], R::Bool),
    f("bool", &[P::Str], R::Bool),
    f("bytes", &[P::Bytes], R::Bytes),
    f("bytes", &[P::Str], R::Bytes),
    f("timestamp", &[P::Str], R::Time),
    f("timestamp", &[P::Int], R::Time),
    f("timestamp", &[P::Time], R::Time),
    f("duration", &[P::Str], R::Dur),
    f("duration", &[P::Dur], R::Dur),
    f("dyn", &[P::Any], R::Any),
    f("type", &[P::Any], R::Any),
    f("matches", &[P::Str, P::Str], R::Bool),
    m("matches", &[P::Str, P::Str], R::Bool),
    m("contains", &[P::Str, P::Str], R::Bool),
    m("startsWith", &[P::Str, P::Str], R::Bool),
    m("endsWith", &[P::Str, P::Str], R::Bool),
    m("charAt", &[P::Str, P::Int], R::Str),
    m("indexOf", &[P::Str, P::Str], R::Int),
    m("indexOf", &[P::Str, P::Str, P::Int], R::Int),
    m("lastIndexOf", &[P::Str, P::Str], R::Int),
    m("lastIndexOf", &[P::Str, P::Str, P::Int], R::Int),
    m("join", &[P::List], R::Str),
    m("join", &[P::List, P::Str], R::Str),
    m("lowerAscii", &[P::Str], R::Str),
    m("upperAscii", &[P::Str], R::Str),
    m("trim", &[P::Str], R::Str),
    m("replace", &[P::Str, P::Str, P::Str], R::Str),
    m("replace", &[P::Str, P::Str, P::Str, P::Int], R::Str),
    m("split", &[P::Str, P::Str], R::Strs),
    m("split", &[P::Str, P::Str, P::Int], R::Strs),
    m("substring", &[P::Str, P::Int], R::Str),
    m("substring", &[P::Str, P::Int, P::Int], R::Str),
    m("format", &[P::Str, P::List], R::Str),
    m("reverse", &[P::Str], R::Str),
    m("getFullYear", &[P::Time], R::Int),
    m("getFullYear", &[P::Time, P::Str], R::Int),
    m("getMonth", &[P::Time], R::Int),
    m("getMonth", &[P::Time, P::Str], R::Int),
    m("getDate", &[P::Time], R::Int),
    m("getDate", &[P::Time, P::Str], R::Int),
    m("getDayOfMonth", &[P::Time], R::Int),
    m("getDayOfMonth", &[P::Time, P::Str], R::Int),
    m("getDayOfWeek", &[P::Time], R::Int),
    m("getDayOfWeek", &[P::Time, P::Str], R::Int),
    m("getDayOfYear", &[P::Time], R::Int),
    m("getDayOfYear", &[P::Time, P::Str], R::Int),
    m("getHours", &[P::Time], R::Int),
    m("getHours", &[P::Time, P::Str], R::Int),
    m("getHours", &[P::Dur], R::Int),
    m("getMinutes", &[P::Time], R::Int),
    m("getMinutes", &[P::Time, P::Str], R::Int),
    m("getMinutes", &[P::Dur], R::Int),
    m("getSeconds", &[P::Time], R::Int),
    m("getSeconds", &[P::Time, P::Str], R::Int),
    m("getSeconds", &[P::Dur], R::Int),
    m("getMilliseconds", &[P::Time], R::Int),
    m("getMilliseconds", &[P::Time, P::Str], R::Int),
    m("getMilliseconds", &[P::Dur], R::Int),
    m("flatten", &[P::List], R::List),
    m("distinct", &[P::List], R::List),
    m("isEmail", &[P::Str], R::Bool),
    m("emailDomain", &[P::Str], R::Str),
    m("extension", &[P::Str], R::Str),
    m("strftime", &[P::Time, P::Str], R::Str),
    m("strftime", &[P::Time, P::Str, P::Str], R::Str),
    m("hasValue", &[P::Any], R::Bool),
    m("value", &[P::Any], R::Any),
    m("or", &[P::Any, P::Any], R::Any),
    m("orValue", &[P::Any, P::Any], R::Any),
];

/// Functions with a dot in their names.
const QUALIFIED: [(&str, &str, usize); 4] = [
    ("optional", "of", 1),
    ("optional", "ofNonZeroValue", 1),
    ("optional", "none", 0),
    ("strings", "quote", 1),
];

/// Why a call cannot work.
pub(super) enum Mismatch {
    Unknown,
    Count,
    Types,
}

/// What a call yields; `args` begin with what stands before the dot.
pub(super) fn call(name: &str, is_method: bool, args: &[Type]) -> Result<Type, Mismatch> {
    let named = |signature: &&Signature| signature.name == name && signature.is_method == is_method;
    let candidates: Vec<&Signature> = SIGNATURES.iter().filter(named).collect();
    if candidates.is_empty() {
        return Err(Mismatch::Unknown);
    }
    let fits_count = |signature: &&&Signature| signature.params.len() == args.len();
    let candidates: Vec<&&Signature> = candidates.iter().filter(fits_count).collect();
    if candidates.is_empty() {
        return Err(Mismatch::Count);
    }
    let takes = |signature: &&&&Signature| {
        signature
            .params
            .iter()
            .zip(args)
            .all(|(param, arg)| param.takes(arg))
    };
    let results = candidates
        .iter()
        .filter(takes)
        .map(|signature| signature.result.to_type());
    results.reduce(Type::or).ok_or(Mismatch::Types)
}

/// What a call of a function with a dot in its name yields; `None` where there is no such function.
pub(super) fn qualified(namespace: &str, name: &str, args: usize) -> Option<Type> {
    let found = QUALIFIED
        .iter()
        .find(|known| **known == (namespace, name, args));
    found.map(|(namespace, ..)| {
        if *namespace == "strings" {
            Type::String
        } else {
            Type::Any
        }
    })
}

pub(super) fn is_namespace(name: &str) -> bool {
    QUALIFIED.iter().any(|(namespace, ..)| *namespace == name)
}

/// The names of functions, or of those that stand after a dot.
pub(super) fn names(is_method: bool) -> Vec<&'static str> {
    let macros: &[&str] = if is_method {
        &["map", "filter", "all", "exists", "exists_one"]
    } else {
        &["has"]
    };
    let signatures = SIGNATURES
        .iter()
        .filter(|signature| signature.is_method == is_method);
    let mut names: Vec<&str> = signatures
        .map(|s| s.name)
        .chain(macros.iter().copied())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl P {
    fn takes(self, arg: &Type) -> bool {
        if arg.is_unknown() {
            return true;
        }
        match self {
            Self::Any => true,
            Self::Bool => *arg == Type::Bool,
            Self::Int => matches!(arg, Type::Int | Type::Number),
            Self::Num => arg.is_number(),
            Self::Str => *arg == Type::String,
            Self::Bytes => *arg == Type::Bytes,
            Self::List => matches!(arg, Type::List(_)),
            Self::Map => matches!(arg, Type::Object(_) | Type::Steps | Type::Step(_)),
            Self::Time => *arg == Type::Timestamp,
            Self::Dur => *arg == Type::Duration,
        }
    }
}

impl R {
    fn to_type(self) -> Type {
        match self {
            Self::Any => Type::Any,
            Self::Bool => Type::Bool,
            Self::Int => Type::Int,
            Self::Uint => Type::Uint,
            Self::Double => Type::Double,
            Self::Str => Type::String,
            Self::Bytes => Type::Bytes,
            Self::Strs => Type::list(Type::String),
            Self::List => Type::list(Type::Any),
            Self::Time => Type::Timestamp,
            Self::Dur => Type::Duration,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/expressions.md has every function, by an example that calls it.
    #[test]
    fn the_reference_has_every_function() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/expressions.md");
        let text = std::fs::read_to_string(file).expect("the reference");
        let examples: String = text
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        for is_method in [false, true] {
            for name in names(is_method) {
                let call = format!("{name}(");
                assert!(examples.contains(&call), "{name} has no example");
            }
        }
        for (namespace, name, _) in QUALIFIED {
            assert!(
                examples.contains(&format!("{namespace}.{name}(")),
                "{namespace}.{name}"
            );
        }
    }
}
