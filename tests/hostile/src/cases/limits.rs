//! Using up what belongs to others: time, memory, the disk, the log.

use anyhow::Result;
use docket_model::Digest;
use docket_model::FailureClass::{Crashed, LimitExceeded, Permanent};
use serde_json::json;

use super::act;
use crate::case::{Attack, Case, Expect};
use crate::guest::Guest;
use crate::world::OTHER_RUNS;

pub(super) fn cases() -> Result<Vec<Case>> {
    let nothing = || json!({});
    let large = json!({"requests": [{"url": "{audience}/large"}], "times": 3});
    let many = json!({"requests": [{"url": "{evil}/"}], "times": 60});
    let claim = json!({"digest": Digest::of(OTHER_RUNS), "size": OTHER_RUNS.len()});
    let size_lies = json!({"digest": Digest::of(b""), "size": 0});
    let guest = |name, tries, run: &str, expect| -> Result<Case> {
        let attack = Attack::Guest(Guest::run(run).component()?);
        Ok(Case {
            name,
            tries,
            attack,
            expect,
        })
    };
    let fails = Expect::Fails;
    let deep = Guest {
        extra: "(func $deep (param i32) (result i32)
            (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))"
            .to_owned(),
        ..Guest::run("(call $deep (i32.const 0))")
    };
    Ok(vec![
        act(
            "endless-loop",
            "computes for ever",
            ("spin", nothing()),
            fails(LimitExceeded, "cpu", "computed for more than 2s"),
        ),
        act(
            "memory-bomb",
            "takes memory until there is none",
            ("eat-memory", nothing()),
            fails(LimitExceeded, "memory", "16777216 are allowed"),
        ),
        act(
            "recursion",
            "calls itself for ever",
            ("recurse", nothing()),
            fails(LimitExceeded, "stack", "nested too deep"),
        ),
        act(
            "host-calls",
            "calls the host a million times",
            ("report", json!({"count": 1_000_000})),
            fails(LimitExceeded, "host-calls", "50000"),
        ),
        act(
            "log-flood",
            "logs 20,000 lines",
            ("log", json!({"count": 20_000})),
            Expect::Logs("more lines of the plugin were dropped"),
        ),
        act(
            "huge-string",
            "returns 2 MiB where 1 MiB may be handed over",
            ("huge", json!({"count": 2 << 20})),
            fails(LimitExceeded, "call-bytes", "1048576"),
        ),
        act(
            "invalid-json",
            "returns half a JSON text",
            ("nonsense", nothing()),
            fails(Crashed, "nonsense", "not JSON"),
        ),
        act(
            "deep-json",
            "returns 100,000 nested lists",
            ("raw", json!({"text": "[", "count": 100_000})),
            fails(Crashed, "nonsense", "not JSON"),
        ),
        act(
            "wrong-type",
            "returns text where its schema says number",
            ("wrong-output", nothing()),
            fails(Crashed, "nonsense", "does not fit its own schema"),
        ),
        act(
            "forged-document",
            "returns a document that nobody made",
            ("forge", nothing()),
            fails(Crashed, "nonsense", "was not given to this step"),
        ),
        act(
            "document-of-another-run",
            "returns a document that the store has from another run",
            ("claim", claim),
            fails(Crashed, "nonsense", "was not given to this step"),
        ),
        act(
            "document-of-nothing",
            "returns the digest of nothing as a document",
            ("claim", size_lies),
            fails(Crashed, "nonsense", "was not given to this step"),
        ),
        act(
            "document-malformed",
            "returns half a document",
            ("claim", json!({"digest": "sha256:zz", "size": -1})),
            fails(Crashed, "nonsense", "malformed document"),
        ),
        act(
            "handles",
            "holds 100 documents at once",
            ("hoard", json!({"count": 100})),
            fails(LimitExceeded, "handles", "64 handles"),
        ),
        act(
            "writers",
            "begins 40 documents at once",
            ("writers", json!({"count": 40})),
            fails(LimitExceeded, "writers", "32 documents"),
        ),
        act(
            "document-flood",
            "writes 6 MiB where 4 MiB are allowed",
            ("flood", json!({"count": 100})),
            fails(Permanent, "DocumentTooLarge", "4194304 bytes"),
        ),
        act(
            "effects",
            "sends more requests than it may",
            ("fetch", many),
            fails(LimitExceeded, "effects", "50 requests"),
        ),
        act(
            "answer-flood",
            "fills the journal with large answers",
            ("fetch", large),
            fails(LimitExceeded, "answer-bytes", "5242880 bytes of answers"),
        ),
        act(
            "trap",
            "executes unreachable",
            ("trap", nothing()),
            fails(Crashed, "trap", "unreachable"),
        ),
        act(
            "panic",
            "panics",
            ("panic", json!({"message": "on purpose"})),
            fails(Crashed, "panic", "on purpose"),
        ),
        act(
            "clock",
            "measures time by the only clock that it has",
            ("clock", nothing()),
            Expect::Returns("\"moved\":false"),
        ),
        guest(
            "table-bomb",
            "grows its table without end",
            "(loop $more (br_if $more (i32.ge_s (table.grow $table (ref.null func) (i32.const 5000)) (i32.const 0)))) unreachable",
            fails(LimitExceeded, "tables", "20000 are allowed"),
        )?,
        guest(
            "memory-at-once",
            "asks for 4 GiB at once",
            "(drop (memory.grow (i32.const 60000))) unreachable",
            fails(LimitExceeded, "memory", "16777216 are allowed"),
        )?,
        Case {
            name: "deep-calls",
            tries: "calls itself in a few bytes of stack",
            attack: Attack::Guest(deep.component()?),
            expect: fails(LimitExceeded, "stack", "nested too deep"),
        },
        guest(
            "long-copy",
            "copies all of its memory for ever",
            "(loop $more (memory.copy (i32.const 70000) (i32.const 65536) (i32.const 100000)) (br $more)) unreachable",
            fails(LimitExceeded, "cpu", "computed for more than 2s"),
        )?,
    ])
}
