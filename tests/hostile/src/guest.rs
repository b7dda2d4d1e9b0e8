//! Guests written as WebAssembly text, for what no compiler would make.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A guest: its description, and the instructions of its functions.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    /// The names of its actions.
    pub(crate) actions: Vec<String>,
    pub(crate) input: String,
    pub(crate) output: String,
    /// Method, URL and reason.
    pub(crate) requests: Vec<(String, String, String)>,
    /// The instructions of `run`, before which it asks to be looked at; `$call` points at the call, and a pointer at the result is to be
    /// left. Offsets in the call: store 24, client 28, token 36, reporter 100.
    pub(crate) run: String,
    /// The instructions of `cabi_realloc`, with `$old $old-size $align $size`.
    pub(crate) realloc: String,
    /// Further fields of the module.
    pub(crate) extra: String,
}

/// Where the result of `run` lies: `ok({json: "{}"})` unless the guest changes it.
const RESULT: usize = 1024;
/// Where the description begins, and the room for it.
const MANIFEST: usize = 2048;

impl Default for Guest {
    fn default() -> Self {
        Self {
            id: "written".to_owned(),
            version: "1.0.0".to_owned(),
            summary: "Written as text.".to_owned(),
            actions: vec!["run".to_owned()],
            input: r#"{"type": "object"}"#.to_owned(),
            output: "true".to_owned(),
            requests: Vec::new(),
            run: "(i32.const 1024)".to_owned(),
            realloc: "(call $bump (local.get $align) (local.get $size))".to_owned(),
            extra: String::new(),
        }
    }
}

impl Guest {
    /// A guest whose `run` is this.
    pub(crate) fn run(instructions: &str) -> Self {
        Self {
            run: instructions.to_owned(),
            ..Self::default()
        }
    }

    /// Its component.
    pub(crate) fn component(&self) -> Result<Vec<u8>> {
        let text = self.text();
        let mut module = wat::parse_str(&text).with_context(|| text.clone())?;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/processor.wit");
        let mut resolve = Resolve::default();
        let package = resolve.push_str("processor.wit", &fs::read_to_string(path)?)?;
        let world = resolve.select_world(&[package], Some("processor"))?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
        ComponentEncoder::default()
            .module(&module)?
            .validate(true)
            .encode()
    }

    fn text(&self) -> String {
        let mut memory = Memory::default();
        let manifest = self.describe(&mut memory);
        let json = memory.text("{}");
        let (look, _) = memory.text("look");
        let mut result = vec![0; 8];
        result.extend(json.0.to_le_bytes());
        result.extend(json.1.to_le_bytes());
        result.extend([0; 16]);
        let top = (MANIFEST + memory.bytes.len() + 64) & !15;
        let pages = top / 65536 + 4;
        let Self {
            run,
            realloc,
            extra,
            ..
        } = self;
        format!(
            r#"(module
            (import "docket:processor/reporting@0.1.0" "[method]reporter.log"
                (func $log (param i32 i32 i32 i32)))
            (import "docket:processor/reporting@0.1.0" "[resource-drop]reporter"
                (func $drop-reporter (param i32)))
            (import "docket:processor/http@0.1.0" "[method]client.send"
                (func $send (param i32 i32)))
            (import "docket:processor/http@0.1.0" "[method]client.send-all"
                (func $send-all (param i32 i32 i32 i32)))
            (import "docket:processor/http@0.1.0" "[resource-drop]token"
                (func $drop-token (param i32)))
            (import "docket:processor/documents@0.1.0" "[method]store.create"
                (func $create (param i32 i32 i32 i32 i32 i32)))
            (import "docket:processor/documents@0.1.0" "[method]writer.write"
                (func $write (param i32 i32 i32 i32)))
            (import "docket:processor/documents@0.1.0" "[static]writer.finish"
                (func $finish (param i32 i32)))
            (memory (export "memory") {pages})
            (table $table 1 funcref)
            (global $top (mut i32) (i32.const {top}))
            (data (i32.const {RESULT}) "{}")
            (data (i32.const {MANIFEST}) "{}")
            (func $bump (param $align i32) (param $size i32) (result i32) (local $at i32)
                (local.set $at (i32.and
                    (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get $align))))
                (global.set $top (i32.add (local.get $at) (local.get $size)))
                (local.get $at))
            (func (export "cabi_realloc")
                (param $old i32) (param $old-size i32) (param $align i32) (param $size i32)
                (result i32)
                {realloc})
            (func (export "docket:processor/actions@0.1.0#describe") (result i32)
                (i32.const {manifest}))
            (func (export "docket:processor/actions@0.1.0#run") (param $call i32) (result i32)
                (local $n i32)
                (call $log (i32.load offset=100 (local.get $call))
                    (i32.const 1) (i32.const {look}) (i32.const 4))
                {run})
            {extra})"#,
            escaped(&result),
            escaped(&memory.bytes)
        )
    }

    /// Writes the manifest by the canonical ABI and gives its address.
    fn describe(&self, memory: &mut Memory) -> usize {
        let requests: Vec<_> = self
            .requests
            .iter()
            .map(|(method, url, reason)| {
                [method, url, reason].map(|text| memory.text(text)).to_vec()
            })
            .collect();
        let requests = memory.list(&requests);
        let texts: Vec<_> = ["Does it.", &self.input, &self.output]
            .map(|text| memory.text(text))
            .to_vec();
        let actions: Vec<_> = self
            .actions
            .iter()
            .map(|name| {
                let name = memory.text(name);
                // The kind is a byte with three of padding: `action`.
                (name, texts.clone(), requests)
            })
            .collect();
        let head = [&self.id, &self.version, &self.summary].map(|text| memory.text(text));
        memory.align();
        let at = memory.here();
        for (name, texts, requests) in &actions {
            memory.pair(*name);
            memory.word(0);
            for pair in texts.iter().chain([requests, &(0, 0), &(0, 0)]) {
                memory.pair(*pair);
            }
        }
        let manifest = memory.here();
        for pair in head {
            memory.pair(pair);
        }
        memory.pair((at, u32::try_from(actions.len()).unwrap_or(0)));
        manifest as usize
    }
}

/// Bytes from [`MANIFEST`] on.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
}

impl Memory {
    fn here(&self) -> u32 {
        u32::try_from(MANIFEST + self.bytes.len()).unwrap_or(u32::MAX)
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
    }

    fn text(&mut self, text: &str) -> (u32, u32) {
        let at = self.here();
        self.bytes.extend_from_slice(text.as_bytes());
        (at, u32::try_from(text.len()).unwrap_or(u32::MAX))
    }

    fn word(&mut self, word: u32) {
        self.bytes.extend(word.to_le_bytes());
    }

    fn pair(&mut self, (at, length): (u32, u32)) {
        self.word(at);
        self.word(length);
    }

    fn list(&mut self, records: &[Vec<(u32, u32)>]) -> (u32, u32) {
        self.align();
        let at = self.here();
        for pair in records.iter().flatten() {
            self.pair(*pair);
        }
        (at, u32::try_from(records.len()).unwrap_or(u32::MAX))
    }
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:02x}");
        text
    })
}
