//! Using up what belongs to others: time, memory, the disk, the log.

use anyhow::Result;
use docket_model::Digest;
use docket_model::FailureClass::{Crashed, LimitExceeded, Permanent};
use serde_json::{Value, json};

use super::{act, guest};
use crate::case::{Case, Expect};
use crate::guest::Guest;
use crate::world::OTHER_RUNS;

pub(super) fn cases() -> Result<Vec<Case>> {
    let mut cases: Vec<Case> = by_the_probe()
        .into_iter()
        .map(|(name, tries, action, input, expect)| act(name, tries, (action, input), expect))
        .collect();
    for (name, tries, written, expect) in by_written_guests() {
        cases.push(guest(name, tries, &written, expect)?);
    }
    Ok(cases)
}

/// The case's name, what is tried, the probe's action and its input, and what comes of it.
type Row = (&'static str, &'static str, &'static str, Value, Expect);

#[rustfmt::skip]
fn by_the_probe() -> Vec<Row> {
    let nothing = || json!({});
    let count = |count: u64| json!({"count": count});
    let large = json!({"requests": [{"url": "{audience}/large"}], "times": 3});
    let many = json!({"requests": [{"url": "{evil}/"}], "times": 60});
    let other_runs = json!({"digest": Digest::of(OTHER_RUNS), "size": OTHER_RUNS.len()});
    let of_nothing = json!({"digest": Digest::of(b""), "size": 0});
    let malformed = json!({"digest": "sha256:zz", "size": -1});
    let exceeds = |code, part| Expect::Fails(LimitExceeded, code, part);
    let nonsense = |part| Expect::Fails(Crashed, "nonsense", part);
    vec![
        ("endless-loop", "computes for ever", "spin", nothing(), exceeds("cpu", "computed for more than 2s")),
        ("memory-bomb", "takes memory until there is none", "eat-memory", nothing(), exceeds("memory", "16777216 are allowed")),
        ("recursion", "calls itself for ever", "recurse", nothing(), exceeds("stack", "nested too deep")),
        ("host-calls", "calls the host a million times", "report", count(1_000_000), exceeds("host-calls", "50000")),
        ("log-flood", "logs 20,000 lines", "log", count(20_000), Expect::Logs("more lines of the plugin were dropped")),
        ("huge-string", "returns 2 MiB where 1 MiB may be handed over", "huge", count(2 << 20), exceeds("call-bytes", "1048576")),
        ("invalid-json", "returns half a JSON text", "nonsense", nothing(), nonsense("not JSON")),
        ("deep-json", "returns 100,000 nested lists", "raw", json!({"text": "[", "count": 100_000}), nonsense("not JSON")),
        ("wrong-type", "returns text where its schema says number", "wrong-output", nothing(), nonsense("does not fit its own schema")),
        ("forged-document", "returns a document that nobody made", "forge", nothing(), nonsense("was not given to this step")),
        ("document-of-another-run", "returns a document that the store has from another run", "claim", other_runs, nonsense("was not given to this step")),
        ("document-of-nothing", "returns the digest of nothing as a document", "claim", of_nothing, nonsense("was not given to this step")),
        ("document-malformed", "returns half a document", "claim", malformed, nonsense("malformed document")),
        ("handles", "holds 100 documents at once", "hoard", count(100), exceeds("handles", "64 handles")),
        ("writers", "begins 40 documents at once", "writers", count(40), exceeds("writers", "32 documents")),
        ("document-flood", "writes 6 MiB where 4 MiB are allowed", "flood", count(100), Expect::Fails(Permanent, "DocumentTooLarge", "4194304 bytes")),
        ("effects", "sends more requests than it may", "fetch", many, exceeds("effects", "50 requests")),
        ("answer-flood", "fills the journal with large answers", "fetch", large, exceeds("answer-bytes", "5242880 bytes of answers")),
        ("trap", "executes unreachable", "trap", nothing(), Expect::Fails(Crashed, "trap", "unreachable")),
        ("panic", "panics", "panic", json!({"message": "on purpose"}), Expect::Fails(Crashed, "panic", "on purpose")),
        ("clock", "measures time by the only clock that it has", "clock", nothing(), Expect::Returns("\"moved\":false")),
    ]
}

#[rustfmt::skip]
fn by_written_guests() -> Vec<(&'static str, &'static str, Guest, Expect)> {
    let run = Guest::run;
    let deep = Guest {
        extra: "(func $deep (param i32) (result i32)
            (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))"
            .to_owned(),
        ..run("(call $deep (i32.const 0))")
    };
    let exceeds = |code, part| Expect::Fails(LimitExceeded, code, part);
    vec![
        ("table-bomb", "grows its table without end", run("(loop $more (br_if $more (i32.ge_s (table.grow $table (ref.null func) (i32.const 5000)) (i32.const 0)))) unreachable"), exceeds("tables", "20000 are allowed")),
        ("memory-at-once", "asks for 4 GiB at once", run("(drop (memory.grow (i32.const 60000))) unreachable"), exceeds("memory", "16777216 are allowed")),
        ("deep-calls", "calls itself in a few bytes of stack", deep, exceeds("stack", "nested too deep")),
        ("long-copy", "copies all of its memory for ever", run("(loop $more (memory.copy (i32.const 70000) (i32.const 65536) (i32.const 100000)) (br $more)) unreachable"), exceeds("cpu", "computed for more than 2s")),
    ]
}
