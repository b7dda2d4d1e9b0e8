//! Abuse of the canonical ABI: pointers, lengths, handles and allocators that lie.

use anyhow::Result;
use docket_model::FailureClass::LimitExceeded;

use super::guest;
use crate::case::{Case, Expect};
use crate::guest::Guest;

/// The reporter's handle.
const REPORTER: &str = "(i32.load offset=100 (local.get $call))";
/// The client's handle.
const CLIENT: &str = "(i32.load offset=28 (local.get $call))";
/// The token's handle.
const TOKEN: &str = "(i32.load offset=36 (local.get $call))";
/// The store's handle.
const STORE: &str = "(i32.load offset=24 (local.get $call))";
/// The end of `run`: its prepared result.
const DONE: &str = "(i32.const 1024)";

#[rustfmt::skip]
pub(super) fn cases() -> Result<Vec<Case>> {
    let log = |reporter: &str, level: &str, pointer: &str, length: &str| {
        format!(
            "(call $log {reporter} (i32.const {level}) (i32.const {pointer}) (i32.const {length})) {DONE}"
        )
    };
    // A request at 60000: handle, method at 8, url at 16, token at 40, list of seals at 52.
    let send = |handle: &str, change: &str| {
        format!(
            "(i32.store (i32.const 60000) {handle}) {change} (call $send (i32.const 60000) (i32.const 61000)) {DONE}"
        )
    };
    let returning = |change: &str| format!("{change} {DONE}");
    let plain = |run: String| Guest::run(&run);
    let realloc = |instructions: &str| Guest {
        realloc: instructions.to_owned(),
        ..Guest::default()
    };
    let cases: Vec<(&str, &str, Guest, Expect)> = vec![
        ("log-pointer", "logs from outside its memory", plain(log(REPORTER, "1", "-16", "100")), Expect::Breaks("out of bounds")),
        ("log-length", "logs 4 GiB", plain(log(REPORTER, "1", "16", "-1")), Expect::Breaks("out of bounds")),
        ("log-utf8", "logs what is no UTF-8", plain(format!("(i32.store (i32.const 512) (i32.const 0xfffefdfc)) {}", log(REPORTER, "1", "512", "4"))), Expect::Breaks("invalid utf-8")),
        ("log-level", "logs at a level that there is not", plain(log(REPORTER, "9", "2048", "4")), Expect::Breaks("unexpected discriminant")),
        ("handle-zero", "uses handle 0", plain(log("(i32.const 0)", "1", "2048", "4")), Expect::Breaks("unknown handle index")),
        ("handle-guessed", "guesses a handle of another call", plain(log("(i32.const 77)", "1", "2048", "4")), Expect::Breaks("unknown handle index")),
        ("handle-negative", "uses handle -1", plain(log("(i32.const -1)", "1", "2048", "4")), Expect::Breaks("unknown handle index")),
        ("handle-of-another-type", "logs with the client's handle", plain(log(CLIENT, "1", "2048", "4")), Expect::Breaks("used with the wrong type")),
        ("handle-after-drop", "logs after it dropped the reporter", plain(format!("(local.set $n {REPORTER}) (call $drop-reporter (local.get $n)) {}", log("(local.get $n)", "1", "2048", "4"))), Expect::Breaks("unknown handle index")),
        ("handle-dropped-twice", "drops the token twice", plain(format!("(call $drop-token {TOKEN}) (call $drop-token {TOKEN}) {DONE}")), Expect::Breaks("unknown handle index")),
        ("token-as-client", "sends with the token's handle", plain(send(TOKEN, "")), Expect::Breaks("used with the wrong type")),
        ("token-guessed", "lends a token that it does not have", plain(send(CLIENT, "(i32.store8 (i32.const 60040) (i32.const 1)) (i32.store (i32.const 60044) (i32.const 4242))")), Expect::Breaks("unknown handle index")),
        ("token-is-client", "lends the client for a token", plain(send(CLIENT, &format!("(i32.store8 (i32.const 60040) (i32.const 1)) (i32.store (i32.const 60044) {CLIENT})"))), Expect::Breaks("used with the wrong type")),
        ("option-case", "sends an option that is neither", plain(send(CLIENT, "(i32.store8 (i32.const 60040) (i32.const 7))")), Expect::Breaks("invalid option discriminant")),
        ("variant-case", "sends a variant that there is not", plain(send(CLIENT, "(i32.store8 (i32.const 60064) (i32.const 200))")), Expect::Breaks("unexpected discriminant")),
        ("url-pointer", "sends a URL from outside its memory", plain(send(CLIENT, "(i32.store (i32.const 60016) (i32.const -8)) (i32.store (i32.const 60020) (i32.const 64))")), Expect::Breaks("out of bounds")),
        ("list-length", "sends a list of a billion headers", plain(send(CLIENT, "(i32.store (i32.const 60028) (i32.const 1000000000))")), Expect::Breaks("out of bounds")),
        ("list-pointer", "sends a list from an odd address", plain(send(CLIENT, "(i32.store (i32.const 60024) (i32.const 3)) (i32.store (i32.const 60028) (i32.const 2))")), Expect::Breaks("not aligned")),
        ("request-pointer", "sends a request from outside its memory", plain(format!("(call $send (i32.const -8) (i32.const 61000)) {DONE}")), Expect::Breaks("out of bounds")),
        ("request-unaligned", "sends a request from an odd address", plain(format!("(call $send (i32.const 60001) (i32.const 61000)) {DONE}")), Expect::Breaks("not aligned")),
        ("requests-length", "sends a billion requests side by side", plain(format!("(call $send-all {CLIENT} (i32.const 60000) (i32.const 1000000000) (i32.const 61000)) {DONE}")), Expect::Breaks("out of bounds")),
        ("answer-pointer", "wants the answer outside its memory", plain(format!("(call $create {STORE} (i32.const 2048) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const -8)) {DONE}")), Expect::Breaks("out of bounds")),
        ("writer-after-finish", "writes after it finished", plain(format!("(call $create {STORE} (i32.const 2048) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 61000)) (local.set $n (i32.load (i32.const 61008))) (call $finish (local.get $n) (i32.const 61104)) (call $write (local.get $n) (i32.const 2048) (i32.const 4) (i32.const 61200)) {DONE}")), Expect::Breaks("used with the wrong type")),
        ("writer-length", "writes 2 GiB that it does not have", plain(format!("(call $create {STORE} (i32.const 2048) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 61000)) (call $write (i32.load (i32.const 61008)) (i32.const 0) (i32.const 0x7fffffff) (i32.const 61200)) {DONE}")), Expect::Breaks("out of bounds")),
        ("realloc-outside", "allocates outside its memory", realloc("(i32.const -64)"), Expect::Breaks("beyond end of memory")),
        ("realloc-unaligned", "allocates at odd addresses", realloc("(i32.add (call $bump (local.get $align) (i32.add (local.get $size) (i32.const 8))) (i32.const 1))"), Expect::Breaks("not aligned")),
        ("realloc-overlaps", "allocates everything at the same address", realloc("(i32.const 61440)"), Expect::Returns("{}")),
        ("realloc-traps", "traps where it should allocate", realloc("unreachable"), Expect::Breaks("unreachable")),
        ("realloc-spins", "computes for ever where it should allocate", realloc("(loop $l (br $l)) unreachable"), Expect::Fails(LimitExceeded, "cpu", "2s")),
        ("realloc-calls-out", "calls the host while the host writes to it", realloc("(call $drop-token (i32.const 1)) (call $bump (local.get $align) (local.get $size))"), Expect::Breaks("cannot leave component instance")),
        ("result-pointer", "returns a result outside its memory", plain("(i32.const -8)".to_owned()), Expect::Breaks("out of bounds")),
        ("result-unaligned", "returns a result at an odd address", plain("(i32.const 1027)".to_owned()), Expect::Breaks("not aligned")),
        ("result-case", "returns a result that is neither", plain(returning("(i32.store8 (i32.const 1024) (i32.const 9))")), Expect::Breaks("discriminant")),
        ("failure-case", "returns a failure that there is not", plain(returning("(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 1032) (i32.const 99))")), Expect::Breaks("unexpected discriminant")),
        ("output-pointer", "returns text from outside its memory", plain(returning("(i32.store (i32.const 1032) (i32.const -2))")), Expect::Breaks("out of bounds")),
        ("output-length", "returns 2 GiB of text", plain(returning("(i32.store (i32.const 1036) (i32.const 0x7fffffff))")), Expect::Breaks("out of bounds")),
        ("output-utf8", "returns what is no UTF-8", plain(returning("(i32.store (i32.const 512) (i32.const 0xfffefdfc)) (i32.store (i32.const 1032) (i32.const 512))")), Expect::Breaks("invalid utf-8")),
        ("output-empty", "returns no text at all", plain(returning("(i32.store (i32.const 1036) (i32.const 0))")), Expect::Breaks("not JSON")),
        ("post-return", "traps after its result was taken", Guest { extra: r#"(func (export "cabi_post_docket:processor/actions@0.1.0#run") (param i32) unreachable)"#.to_owned(), ..Guest::default() }, Expect::Breaks("unreachable")),
        ("cursor", "returns a cursor though it is no source", plain(returning("(i32.store8 (i32.const 1040) (i32.const 1))")), Expect::Breaks("a cursor from an action that is no source")),
        ("never-returns", "never returns", plain("(loop $l (br $l)) unreachable".to_owned()), Expect::Fails(LimitExceeded, "cpu", "2s")),
    ];
    cases
        .into_iter()
        .map(|(name, tries, written, expect)| guest(name, tries, &written, expect))
        .collect()
}
