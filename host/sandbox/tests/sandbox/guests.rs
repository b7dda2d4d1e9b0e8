//! Guests: the probe, built by `cargo xtask guests`, and small ones written as text.

use std::fs;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A component that `cargo xtask guests` builds.
pub(crate) fn built(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests/components");
    let path = folder.join(name).with_extension("wasm");
    fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", path.display()))
}

/// The probe's component.
pub(crate) fn probe() -> Vec<u8> {
    built("probe")
}

/// A component of the plugin interface whose `describe` is the given instructions.
pub(crate) fn describing(body: &str) -> Vec<u8> {
    describing_with(body, 1, "0.1.0")
}

/// The same with a memory of so many pages of 64 KiB, of this version of the interface.
pub(crate) fn describing_with(body: &str, pages: u32, version: &str) -> Vec<u8> {
    let module = format!(
        r#"(module
            (memory (export "memory") {pages})
            (table $table 1 funcref)
            (func $deep (param i64) (result i64)
                (i64.add (local.get 0) (call $deep (i64.add (local.get 0) (i64.const 1)))))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "docket:processor/actions@0.1.0#describe") (result i32) {body})
            (func (export "docket:processor/actions@0.1.0#run") (param i32) (result i32) unreachable))"#
    );
    componentize(module.replace("@0.1.0", &format!("@{version}")), version)
}

fn componentize(module: String, version: &str) -> Vec<u8> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/processor.wit");
    let wit = fs::read_to_string(wit)
        .expect("the interface")
        .replace("@0.1.0", &format!("@{version}"));
    component_of(&module, &[wit], "processor")
}

/// A component of a module in text, for a world of the last of these packages.
pub(crate) fn component_of(module: &str, packages: &[String], world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).expect("well-formed text");
    let mut resolve = Resolve::default();
    let mut last = None;
    for (number, text) in packages.iter().enumerate() {
        let package = resolve.push_str(format!("{number}.wit"), text);
        last = Some(package.unwrap_or_else(|error| panic!("{error:?}")));
    }
    let world = resolve
        .select_world(&[last.expect("a package")], Some(world))
        .expect("the world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    ComponentEncoder::default()
        .module(&module)
        .expect("a module")
        .validate(true)
        .encode()
        .expect("a component")
}
