//! Components that should never become plugins, and descriptions that nobody could grant.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::case::{Attack, Case, Expect};
use crate::guest::Guest;

pub(super) fn cases() -> Result<Vec<Case>> {
    let mut cases = components()?;
    for (name, tries, change, part) in descriptions() {
        let mut guest = Guest::default();
        change(&mut guest);
        cases.push(refused(name, tries, guest.component().context(name)?, part));
    }
    Ok(cases)
}

fn refused(
    name: &'static str,
    tries: &'static str,
    component: Vec<u8>,
    part: &'static str,
) -> Case {
    Case {
        name,
        tries,
        attack: Attack::Add(component),
        expect: Expect::NotTaken(part),
    }
}

/// A component with this import and the export of plugins.
fn importing(import: &str) -> Result<Vec<u8>> {
    let text = format!(
        "(component (import \"{import}\" (instance)) (instance $e) \
         (export \"docket:processor/actions@0.1.0\" (instance $e)))"
    );
    Ok(wat::parse_str(text)?)
}

fn components() -> Result<Vec<Case>> {
    let good = Guest::default().component()?;
    let pages = |pages: u32| {
        let text = format!(
            "(component (core module (memory {pages})) (instance $e) \
             (export \"docket:processor/actions@0.1.0\" (instance $e)))"
        );
        wat::parse_str(text)
    };
    let start = Guest {
        extra: "(func $spin (loop $l (br $l))) (start $spin)".to_owned(),
        ..Guest::default()
    };
    let describe_traps = Guest {
        extra: "(func $trap unreachable) (start $trap)".to_owned(),
        ..Guest::default()
    };
    Ok(vec![
        refused(
            "no-wasm",
            "is an archive",
            b"PK\x03\x04 a zip file".to_vec(),
            "this is not WebAssembly",
        ),
        refused("empty", "is an empty file", Vec::new(), "the file is empty"),
        refused(
            "core-module",
            "is a core module",
            wat::parse_str("(module)")?,
            "a core WebAssembly module",
        ),
        refused(
            "cut-short",
            "is half a component",
            good[..good.len() / 2].to_vec(),
            "malformed",
        ),
        refused(
            "garbled",
            "is a component with a byte changed",
            garbled(&good),
            "this is not WebAssembly",
        ),
        refused(
            "too-large",
            "has 5 MiB",
            [good.clone(), vec![0; 5 << 20]].concat(),
            "4194304 are allowed",
        ),
        refused(
            "wasi-http",
            "imports a way out that no policy looks at",
            importing("wasi:http/outgoing-handler@0.2.6")?,
            "wasi:http/outgoing-handler",
        ),
        refused(
            "wasi-key-value",
            "imports a store that it could share with others",
            importing("wasi:keyvalue/store@0.2.0")?,
            "wasi:keyvalue/store",
        ),
        refused(
            "wasi-to-come",
            "imports a clock that runs, of a WASI to come",
            importing("wasi:clocks/monotonic-clock@0.3.0")?,
            "wasi:clocks/monotonic-clock",
        ),
        refused(
            "wasi-draft",
            "imports files by a draft of WASI",
            importing("wasi:filesystem/preopens@0.2.0-rc-2023-11-10")?,
            "wasi:filesystem/preopens",
        ),
        refused(
            "unknown-interface",
            "imports an interface that there is not",
            importing("docket:processor/vault@0.1.0")?,
            "docket:processor/vault",
        ),
        refused(
            "newer-interface",
            "imports a version to come",
            importing("docket:processor/http@0.2.0")?,
            "this host speaks",
        ),
        refused(
            "no-actions",
            "exports nothing",
            wat::parse_str("(component)")?,
            "does not export",
        ),
        refused(
            "empty-actions",
            "exports actions without functions",
            importing("docket:processor/http@0.1.0")?,
            "does not fit the plugin interface",
        ),
        refused(
            "large-from-the-start",
            "starts with 3.9 GiB of memory",
            pages(60_000)?,
            "are allowed",
        ),
        refused(
            "nested",
            "nests 2,000 components",
            nested(2000),
            "does not export",
        ),
        refused(
            "start-spins",
            "computes for ever before it is asked anything",
            start.component()?,
            "computed for more than",
        ),
        refused(
            "start-traps",
            "traps before it is asked anything",
            describe_traps.component()?,
            "cannot describe itself",
        ),
    ])
}

/// Components in components, in the binary format: section 4 holds a component.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..depth {
        let mut size = bytes.len();
        let mut outer = b"\0asm\x0d\0\x01\0".to_vec();
        if size > 0 {
            outer.push(4);
            // LEB128.
            while size >= 0x80 {
                outer.push((size & 0x7f) as u8 | 0x80);
                size >>= 7;
            }
            outer.push(size as u8);
        }
        outer.append(&mut bytes);
        bytes = outer;
    }
    bytes
}

/// The version of the binary format, raised.
fn garbled(good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    if let Some(byte) = bytes.get_mut(4) {
        *byte = 0x7f;
    }
    bytes
}

type Change = Box<dyn Fn(&mut Guest)>;

fn descriptions() -> Vec<(&'static str, &'static str, Change, &'static str)> {
    let url = |url: &'static str| -> Change {
        Box::new(move |guest| {
            let request = ["GET", url, "To test."].map(str::to_owned);
            guest.requests = vec![request.into()];
        })
    };
    let schema =
        |schema: Value| -> Change { Box::new(move |guest| guest.input = schema.to_string()) };
    let mut doubling = Map::new();
    for n in 0..30 {
        let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        doubling.insert(format!("d{n}"), json!({"allOf": [next, next]}));
    }
    doubling.insert("d30".to_owned(), json!(true));
    vec![
        (
            "id",
            "calls itself ../exchange",
            Box::new(|guest| guest.id = "../exchange".to_owned()),
            "id: ",
        ),
        (
            "version",
            "has a version that is none",
            Box::new(|guest| guest.version = "latest".to_owned()),
            "version: ",
        ),
        (
            "pattern-star",
            "asks for the URL *",
            url("*"),
            "the URL must start with",
        ),
        (
            "pattern-host",
            "asks for every host",
            url("https://*/**"),
            "no patterns in it",
        ),
        (
            "pattern-http",
            "asks for plain http",
            url("http://graph.microsoft.com/**"),
            "the URL must start with",
        ),
        (
            "pattern-middle",
            "asks for anything in the middle",
            url("{graph}/**/messages"),
            "may only stand at the end",
        ),
        (
            "pattern-dots",
            "asks for a path with dots",
            url("{graph}/a/../b"),
            "dot segment",
        ),
        (
            "pattern-user",
            "asks for a host behind a user name",
            url("https://graph.microsoft.com@evil.test/"),
            "user name",
        ),
        (
            "reason-turned",
            "turns its reason around with invisible letters",
            Box::new(|guest| {
                let request = ["GET", "{graph}/**", "To read \u{202e}liam ruoy"].map(str::to_owned);
                guest.requests = vec![request.into()];
            }),
            "the text is not one line",
        ),
        (
            "reason-escape",
            "clears the operator's terminal",
            Box::new(|guest| guest.summary = "Sorts.\u{1b}[2J".to_owned()),
            "the text is not one line",
        ),
        (
            "reason-huge",
            "gives a reason of 100 KiB",
            Box::new(|guest| guest.summary = "a".repeat(100 << 10)),
            "the text is not one line",
        ),
        (
            "many-actions",
            "has 1,000 actions",
            Box::new(|guest| guest.actions = (0..1000).map(|n| format!("a{n}")).collect()),
            "1 to 128 are allowed",
        ),
        (
            "same-action-twice",
            "has the same action twice",
            Box::new(|guest| guest.actions = vec!["a".to_owned(); 2]),
            "two actions have this name",
        ),
        (
            "many-requests",
            "asks for 1,000 requests",
            Box::new(|guest| {
                let request = ["GET", "{graph}/**", "To test."].map(str::to_owned);
                guest.requests = vec![request.into(); 1000];
            }),
            "more than 256 requests",
        ),
        (
            "schema-no-json",
            "has a schema that is no JSON",
            Box::new(|guest| guest.input = "{".to_owned()),
            "not JSON",
        ),
        (
            "schema-endless",
            "has a schema that refers to itself",
            schema(json!({"$ref": "#"})),
            "leads back to itself",
        ),
        (
            "schema-doubling",
            "has a schema that doubles thirty times",
            schema(json!({"$defs": doubling, "$ref": "#/$defs/d0"})),
            "places once its references are written out",
        ),
        (
            "schema-remote",
            "has a schema that is fetched from elsewhere",
            schema(json!({"$ref": "https://evil.test/schema.json"})),
            "its own parts",
        ),
        (
            "schema-deep",
            "has a schema of 10,000 levels",
            Box::new(|guest| {
                guest.input = format!("{}true{}", "{\"not\":".repeat(10_000), "}".repeat(10_000))
            }),
            "not JSON",
        ),
        (
            "schema-pattern",
            "has a pattern that takes gigabytes",
            schema(json!({"pattern": "((a{1000}){1000}){1000}"})),
            "{1000}\" is not a",
        ),
    ]
}
