//! What the built plugins are made of: nothing of the outside but Docket's own interface, and
//! nothing of the machine that built them. `cargo xtask test` builds them beforehand.

use std::fs;
use std::path::{Path, PathBuf};

use wit_parser::decoding::{DecodedWasm, decode};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the workspace")
}

/// The built components by name.
fn components() -> Vec<(String, Vec<u8>)> {
    let folder = root().join("target/guests/components");
    let entries = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", folder.display()));
    let mut found: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read(&path).expect("a component"))
        })
        .collect();
    found.sort();
    found
}

/// The names of everything that a component imports and exports.
fn interfaces(component: &[u8]) -> (Vec<String>, Vec<String>) {
    let decoded = decode(component).expect("a component");
    let DecodedWasm::Component(resolve, world) = decoded else {
        panic!("a WIT package instead of a component");
    };
    let world = &resolve.worlds[world];
    let names = |items: &mut dyn Iterator<Item = &wit_parser::WorldKey>| -> Vec<String> {
        items.map(|key| resolve.name_world_key(key)).collect()
    };
    (
        names(&mut world.imports.keys()),
        names(&mut world.exports.keys()),
    )
}

#[test]
fn every_plugin_is_there_and_imports_nothing_but_dockets_interface() {
    let components = components();
    let names: Vec<_> = components.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["exchange", "graph-import", "probe"]);
    for (name, bytes) in &components {
        let (imports, exports) = interfaces(bytes);
        for import in &imports {
            let is_allowed = import
                .strip_prefix("docket:processor/")
                .and_then(|rest| rest.split_once('@'))
                .is_some_and(|(interface, version)| {
                    ["documents", "http", "reporting"].contains(&interface) && version == "0.1.0"
                });
            assert!(is_allowed, "{name} imports {import}");
        }
        // A plugin that imports nothing would pass the loop, and could do nothing.
        assert!(!imports.is_empty(), "{name} imports nothing");
        assert_eq!(exports, ["docket:processor/actions@0.1.0"], "{name}");
    }
}

#[test]
fn no_plugin_tells_where_it_was_built() {
    let home = std::env::var("HOME").unwrap_or_default();
    let cargo = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    let root = root().to_string_lossy().into_owned();
    for (name, bytes) in components() {
        for place in [&root, &cargo] {
            let is_there = bytes
                .windows(place.len())
                .any(|window| window == place.as_bytes());
            assert!(!is_there, "{name} holds the path {place}");
        }
    }
}

#[test]
fn backtraces_of_plugins_have_names() {
    for (name, bytes) in components() {
        let is_there = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(
            is_there(b"docket_plugin_sdk"),
            "{name} has no function names"
        );
        assert!(!is_there(b".debug_info"), "{name} has debug information");
    }
}
