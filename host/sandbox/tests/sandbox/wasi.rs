//! WASI is there and inert: what a guest learns by it is a function of its call, and what it tries by
//! it is refused.
//!
//! The guest is text. Its output is `{"numbers":[…]}` with what it was told, each as 16 hexadecimal
//! digits, so that every function can be looked at.

use std::fmt::Write as _;

use docket_model::{Failure, FailureClass, StepResult};
use serde_json::json;

use crate::guests::component_of;
use crate::outside::{Memory, Outside};

/// What the guest imports of WASI, as the packages of 0.2.3 have it.
const WASI: &[&str] = &[
    "package wasi:io@0.2.3;
     interface error { resource error; }
     interface poll { resource pollable { ready: func() -> bool; block: func(); } poll: func(in: list<borrow<pollable>>) -> list<u32>; }
     interface streams {
        use error.{error};
        variant stream-error { last-operation-failed(error), closed }
        resource output-stream {
            check-write: func() -> result<u64, stream-error>;
            blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
        }
     }",
    "package wasi:clocks@0.2.3;
     interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }
     interface monotonic-clock { use wasi:io/poll@0.2.3.{pollable}; now: func() -> u64; subscribe-duration: func(when: u64) -> pollable; }",
    "package wasi:random@0.2.3;
     interface random { get-random-u64: func() -> u64; get-random-bytes: func(len: u64) -> list<u8>; }",
    "package wasi:cli@0.2.3;
     interface environment { get-environment: func() -> list<tuple<string, string>>; }
     interface exit { exit: func(status: result); }
     interface stderr { use wasi:io/streams@0.2.3.{output-stream}; get-stderr: func() -> output-stream; }",
    "package wasi:filesystem@0.2.3;
     interface types { resource descriptor { sync: func(); } }
     interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; }",
    "package wasi:sockets@0.2.3;
     interface network { resource network; enum error-code { unknown, access-denied, not-supported } enum ip-address-family { ipv4, ipv6 } }
     interface tcp { use network.{error-code}; resource tcp-socket; }
     interface tcp-create-socket { use network.{error-code, ip-address-family}; use tcp.{tcp-socket};
        create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>; }",
];

const WORLD: &str = "package test:guest;
    world guest {
        import wasi:io/error@0.2.3; import wasi:io/poll@0.2.3; import wasi:io/streams@0.2.3;
        import wasi:clocks/wall-clock@0.2.3; import wasi:clocks/monotonic-clock@0.2.3;
        import wasi:random/random@0.2.3;
        import wasi:cli/environment@0.2.3; import wasi:cli/exit@0.2.3; import wasi:cli/stderr@0.2.3;
        import wasi:filesystem/types@0.2.3; import wasi:filesystem/preopens@0.2.3;
        import wasi:sockets/network@0.2.3; import wasi:sockets/tcp@0.2.3;
        import wasi:sockets/tcp-create-socket@0.2.3;
        include docket:processor/processor@0.1.0;
    }";

/// Where the manifest's texts and records lie.
const TEXTS: usize = 4096;

/// A component with one action `run`, which does this: `(call $tell (i64))` adds a number to the
/// output.
fn guest(body: &str) -> Vec<u8> {
    let texts = ["clockwork", "1.0.0", "Tells.", "run", "true"];
    let mut data = Vec::new();
    let mut places = Vec::new();
    for text in texts {
        places.push((TEXTS + data.len(), text.len()));
        data.extend_from_slice(text.as_bytes());
    }
    data.resize(data.len().next_multiple_of(8), 0);
    let action = TEXTS + data.len();
    let mut word = |word: usize| data.extend((word as u32).to_le_bytes());
    let mut pair = |(at, length): (usize, usize)| {
        word(at);
        word(length);
    };
    pair(places[3]);
    pair((0, places[2].0));
    // The pair above is the kind and the summary's address; its length and the rest follow.
    pair((places[2].1, places[4].0));
    pair((places[4].1, places[4].0));
    pair((places[4].1, 0));
    pair((0, 0));
    pair((0, 0));
    pair((0, 0));
    let manifest = TEXTS + data.len();
    let mut pair = |(at, length): (usize, usize)| {
        data.extend((at as u32).to_le_bytes());
        data.extend((length as u32).to_le_bytes());
    };
    for place in &places[..3] {
        pair(*place);
    }
    pair((action, 1));
    let data = data.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:02x}");
        text
    });
    let module = format!(
        r#"(module
        (import "wasi:clocks/wall-clock@0.2.3" "now" (func $wall (param i32)))
        (import "wasi:clocks/monotonic-clock@0.2.3" "now" (func $now (result i64)))
        (import "wasi:clocks/monotonic-clock@0.2.3" "subscribe-duration" (func $after (param i64) (result i32)))
        (import "wasi:io/poll@0.2.3" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:io/poll@0.2.3" "[method]pollable.ready" (func $ready (param i32) (result i32)))
        (import "wasi:io/poll@0.2.3" "poll" (func $poll (param i32 i32 i32)))
        (import "wasi:random/random@0.2.3" "get-random-u64" (func $random (result i64)))
        (import "wasi:random/random@0.2.3" "get-random-bytes" (func $random-bytes (param i64 i32)))
        (import "wasi:cli/environment@0.2.3" "get-environment" (func $environment (param i32)))
        (import "wasi:cli/exit@0.2.3" "exit" (func $exit (param i32)))
        (import "wasi:cli/stderr@0.2.3" "get-stderr" (func $stderr (result i32)))
        (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush"
            (func $write (param i32 i32 i32 i32)))
        (import "wasi:filesystem/preopens@0.2.3" "get-directories" (func $directories (param i32)))
        (import "wasi:sockets/tcp-create-socket@0.2.3" "create-tcp-socket" (func $socket (param i32 i32)))
        (memory (export "memory") 2)
        (global $top (mut i32) (i32.const 65536))
        (global $end (mut i32) (i32.const 1036))
        (data (i32.const 1024) "{{\22numbers\22:[")
        (data (i32.const 512) "last words")
        (data (i32.const {TEXTS}) "{data}")
        (func $byte (param i32)
            (i32.store8 (global.get $end) (local.get 0))
            (global.set $end (i32.add (global.get $end) (i32.const 1))))
        (func $tell (param $value i64) (local $left i32) (local $digit i32)
            (if (i32.ne (global.get $end) (i32.const 1036)) (then (call $byte (i32.const 44))))
            (call $byte (i32.const 34))
            (local.set $left (i32.const 64))
            (loop $next
                (local.set $left (i32.sub (local.get $left) (i32.const 4)))
                (local.set $digit (i32.and (i32.const 15)
                    (i32.wrap_i64 (i64.shr_u (local.get $value) (i64.extend_i32_u (local.get $left))))))
                (call $byte (i32.add (local.get $digit)
                    (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
                (br_if $next (local.get $left)))
            (call $byte (i32.const 34)))
        (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32) (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
            (global.set $top (i32.add (local.get $at) (local.get $size)))
            (local.get $at))
        (func (export "docket:processor/actions@0.1.0#describe") (result i32) (i32.const {manifest}))
        (func (export "docket:processor/actions@0.1.0#run") (param $call i32) (result i32)
            (local $n i32)
            {body}
            (call $byte (i32.const 93)) (call $byte (i32.const 125))
            (i32.store (i32.const 8) (i32.const 1024))
            (i32.store (i32.const 12) (i32.sub (global.get $end) (i32.const 1024)))
            (i32.const 0)))"#
    );
    let processor = include_str!("../../../../wit/processor.wit").to_owned();
    let mut packages: Vec<String> = WASI.iter().map(|text| (*text).to_owned()).collect();
    packages.extend([processor, WORLD.to_owned()]);
    component_of(&module, &packages, "guest")
}

async fn run(outside: &Outside, body: &str, key: &str) -> Result<Vec<String>, Failure> {
    let plugin = outside.sandbox.add(guest(body)).await.expect("loads");
    let mut call = outside.call("run", json!({}));
    call.pinned.component = plugin.digest();
    key.clone_into(&mut call.idempotency_key);
    let mut journal = Memory::default();
    match outside.try_run(call, &mut journal).await.expect("no fault") {
        StepResult::Done(output) => {
            let numbers = output.value["numbers"].as_array().cloned();
            let texts = numbers.unwrap_or_default().into_iter();
            Ok(texts
                .map(|text| text.as_str().unwrap_or_default().to_owned())
                .collect())
        }
        StepResult::Failed { failure, .. } => Err(failure),
    }
}

fn hex(number: u64) -> String {
    format!("{number:016x}")
}

#[tokio::test]
async fn the_clock_stands_still_but_for_sleeps_that_take_no_time() {
    let outside = Outside::new().await;
    let body = "
        (call $wall (i32.const 256)) (call $tell (i64.load (i32.const 256)))
        (call $tell (call $now))
        (local.set $n (call $after (i64.const 3600000000000)))
        (call $tell (i64.extend_i32_u (call $ready (local.get $n))))
        (call $block (local.get $n))
        (call $tell (i64.extend_i32_u (call $ready (local.get $n))))
        (call $tell (call $now))
        (i32.store (i32.const 264) (call $after (i64.const 7)))
        (i32.store (i32.const 268) (call $after (i64.const 5)))
        (call $poll (i32.const 264) (i32.const 2) (i32.const 272))
        (call $tell (i64.load32_u (i32.const 276)))
        (call $tell (i64.load32_u (i32.load (i32.const 272))))
        (call $tell (call $now))
        (call $wall (i32.const 256)) (call $tell (i64.load (i32.const 256)))";
    let hour = 3_600_000_000_000;
    let told = run(&outside, body, "a").await.expect("runs");
    // 2026-11-21T09:00:00Z, when the attempt started.
    let start = 1_795_251_600;
    let expected = [start, 0, 0, 1, hour, 1, 1, hour + 5, start + 3600];
    assert_eq!(told, expected.map(hex));
}

#[tokio::test]
async fn chance_is_a_function_of_the_idempotency_key() {
    let outside = Outside::new().await;
    let body = "
        (call $tell (call $random))
        (call $random-bytes (i64.const 8) (i32.const 256))
        (call $tell (i64.load (i32.load (i32.const 256))))";
    let one = run(&outside, body, "run-1/step").await.expect("runs");
    assert_eq!(run(&outside, body, "run-1/step").await.expect("runs"), one);
    let other = run(&outside, body, "run-2/step").await.expect("runs");
    assert_ne!(other, one);
    assert_ne!(one[0], one[1]);
    let failure = run(
        &outside,
        "(call $random-bytes (i64.const 100000000) (i32.const 256))",
        "a",
    )
    .await
    .expect_err("too many");
    assert!(
        failure.message.contains("1048576 are allowed"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn there_is_nothing_to_find_and_nobody_to_talk_to() {
    let outside = Outside::new().await;
    let body = "
        (call $environment (i32.const 256)) (call $tell (i64.load32_u (i32.const 260)))
        (call $directories (i32.const 256)) (call $tell (i64.load32_u (i32.const 260)))
        (call $socket (i32.const 0) (i32.const 256))
        (call $tell (i64.load8_u (i32.const 256)))
        (call $tell (i64.load8_u (i32.const 260)))";
    let told = run(&outside, body, "a").await.expect("runs");
    // No variables, no directories, and `access-denied`.
    assert_eq!(told, [0, 0, 1, 1].map(hex));
    assert!(outside.script.sent().is_empty());
}

#[tokio::test]
async fn what_is_written_goes_to_the_log_and_says_why_a_guest_broke() {
    let outside = Outside::new().await;
    let write = "(call $write (call $stderr) (i32.const 512) (i32.const 10) (i32.const 256))";
    run(&outside, write, "a").await.expect("runs");
    let lines: Vec<String> = outside
        .log
        .lines
        .lock()
        .expect("lock")
        .iter()
        .map(|(_, line)| line.clone())
        .collect();
    assert_eq!(lines, ["last words"]);

    let failure = run(&outside, &format!("{write} unreachable"), "a").await;
    let failure = failure.expect_err("traps");
    assert_eq!(failure.class, FailureClass::Crashed);
    assert_eq!(failure.message, "last words");

    let failure = run(&outside, "(call $exit (i32.const 1))", "a").await;
    let failure = failure.expect_err("ends itself");
    assert_eq!(failure.class, FailureClass::Crashed);
    assert!(failure.message.contains("ended itself"), "{failure:?}");
    assert_eq!(outside.output("echo", json!({})).await, json!({}));
}

#[tokio::test]
async fn a_plugin_says_what_it_imports() {
    let outside = Outside::new().await;
    let plugin = outside.sandbox.load(guest("")).await.expect("loads");
    assert_eq!(plugin.interface(), "0.1.0");
    let imports = outside.probe.imports();
    assert!(
        imports
            .iter()
            .all(|name| name.starts_with("docket:processor/")),
        "{imports:?}"
    );
}
