//! What became of a guest that did not return: a limit, a crash, or the host's own fault.

use docket_engine::Stop;
use docket_model::{Failure, FailureClass};
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::Limits;
use crate::attempt::Ended;
use crate::engine::MAX_FRAMES;
use crate::meter::{Limit, Meter};
use crate::reporting::line;

/// The failure of a guest whose call ended in an error.
///
/// # Errors
/// The [`Stop`] that a host function raised.
pub(crate) fn failure_of(
    error: wasmtime::Error,
    ended: Ended,
    limits: &Limits,
) -> Result<Failure, Stop> {
    let backtrace = error
        .downcast_ref::<WasmBacktrace>()
        .map(frames)
        .unwrap_or_default();
    if let Some(limit) = limit_of(
        &error,
        &ended.meter,
        &backtrace,
        ended.panic.is_some(),
        limits,
    ) {
        let mut failure = limit_failure(&limit);
        failure.backtrace = compressed(backtrace);
        return Ok(failure);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Ok(Failure::new(
            FailureClass::Unavailable,
            "instances",
            "the host has no room for another instance of this plugin now",
        ));
    }
    let trap = error.downcast_ref::<Trap>().map(ToString::to_string);
    let error = match error.downcast::<Stop>() {
        Ok(stop) => return Err(stop),
        Err(error) => error,
    };
    let mut failure = match (
        ended.panic,
        trap.map(|trap| ended.last_words.unwrap_or(trap)),
    ) {
        (Some(message), _) => Failure::new(FailureClass::Crashed, "panic", message),
        (None, Some(trap)) => Failure::new(FailureClass::Crashed, "trap", line(&trap)),
        (None, None) => Failure::new(
            FailureClass::Crashed,
            "misuse",
            line(&error.root_cause().to_string()),
        ),
    };
    failure.backtrace = compressed(backtrace);
    Ok(failure.with_remedy("this is an error of the plugin: send its author the backtrace"))
}

/// The failure that names a limit.
pub(crate) fn limit_failure(limit: &Limit) -> Failure {
    Failure::new(FailureClass::LimitExceeded, limit.code(), limit.to_string())
        .with_remedy(limit.remedy())
}

fn limit_of(
    error: &wasmtime::Error,
    meter: &Meter,
    frames: &[String],
    has_panicked: bool,
    limits: &Limits,
) -> Option<Limit> {
    if let Some(limit) = error.downcast_ref::<Limit>() {
        return Some(limit.clone());
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => return Some(Limit::Stack),
        Some(Trap::OutOfFuel) => return Some(Limit::Fuel(limits.fuel.unwrap_or_default())),
        // A guest keeps a stack of its own at the start of its memory, and leaves the memory when
        // that ends. What tells it from a stray pointer is the depth.
        Some(Trap::MemoryOutOfBounds) if is_recursion(frames) => return Some(Limit::Stack),
        None if error.root_cause().to_string().contains(HOSTCALL_FUEL) => {
            return Some(Limit::CallBytes(limits.call_bytes));
        }
        _ => {}
    }
    // An allocator that is refused memory ends in `unreachable`; so does a panic, which says why.
    let is_abort = matches!(error.downcast_ref(), Some(Trap::UnreachableCodeReached));
    let is_start = error.downcast_ref::<Trap>().is_none() && frames.is_empty();
    meter
        .refused
        .clone()
        .filter(|_| (is_abort && !has_panicked) || is_start)
}

/// The words of wasmtime's private error for [`wasmtime::Store::set_hostcall_fuel`].
const HOSTCALL_FUEL: &str = "fuel allocated for hostcalls has been exhausted";

/// Whether the backtrace is as long as it can be, and one function makes up a third of it.
fn is_recursion(frames: &[String]) -> bool {
    let repeats = |frame: &String| frames.iter().filter(|other| *other == frame).count();
    frames.len() >= MAX_FRAMES && frames.iter().map(repeats).max() >= Some(MAX_FRAMES / 3)
}

/// The names of the functions, innermost first, demangled and without their hashes. A component may
/// call its functions anything.
fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    let text = backtrace.to_string();
    let names = text.lines().filter_map(frame);
    names.map(|name| line(&name)).collect()
}

/// `a::b` of `  0:  module.wasm!a::b::h0123456789abcdef`, and of `a[0123456789abcdef]::b`.
fn frame(text: &str) -> Option<String> {
    let (number, function) = text.trim_start().split_once(": ")?;
    number.parse::<usize>().ok()?;
    let function = function.trim_start();
    let function = function
        .split_once('!')
        .map_or(function, |(_, function)| function);
    let function = match function.rsplit_once("::h") {
        Some((name, hash)) if is_hash(hash) => name,
        _ => function,
    };
    let mut name = String::with_capacity(function.len());
    for (n, piece) in function.split('[').enumerate() {
        match piece.split_once(']') {
            Some((hash, rest)) if n > 0 && is_hash(hash) => name.push_str(rest),
            _ if n > 0 => name.extend(["[", piece]),
            _ => name.push_str(piece),
        }
    }
    Some(name)
}

fn is_hash(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Repeated frames in one line.
fn compressed(frames: Vec<String>) -> Vec<String> {
    let mut lines: Vec<(String, usize)> = Vec::new();
    for frame in frames {
        match lines.last_mut() {
            Some((last, times)) if *last == frame => *times += 1,
            _ => lines.push((frame, 1)),
        }
    }
    let show = |(frame, times)| {
        if times == 1 {
            frame
        } else {
            format!("{frame} ({times} times)")
        }
    };
    lines.into_iter().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_names() {
        let check =
            |line: &str, expected: Option<&str>| assert_eq!(frame(line).as_deref(), expected);
        check("error while executing at wasm backtrace:", None);
        check(
            "    0: probe.wasm!probe::spin::h0123456789abcdef",
            Some("probe::spin"),
        );
        check(
            "   12: <unknown>!<wasm function 7>",
            Some("<wasm function 7>"),
        );
        check("    1: m!<a::B as c::D>::e", Some("<a::B as c::D>::e"));
    }

    #[test]
    fn repeated_frames_are_one_line() {
        let frames = ["a", "b", "b", "b", "a"].map(str::to_owned).to_vec();
        assert_eq!(compressed(frames), ["a", "b (3 times)", "a"]);
    }
}
