//! What a component is and asks for, read from its bytes before anything of it is compiled.

use semver::Version;
use wasmparser::{Parser, Payload};

use crate::{Limits, LoadError, wasi};

/// The version of the plugin interface that this host speaks. It serves every earlier 0.x minor as well,
/// and components of later patches that use nothing new.
pub const INTERFACE: &str = "0.1.0";

/// The interfaces that a plugin may import.
const IMPORTS: [&str; 3] = ["documents", "http", "reporting"];

/// Checks that the bytes are a component which imports nothing but the plugin interface, in a
/// version that this host may serve, exports its actions, and starts with no more memory and table
/// elements than it may have.
///
/// # Errors
/// What is wrong, the forbidden import by its name.
pub(crate) fn inspect(bytes: &[u8], limits: &Limits) -> Result<Outline, LoadError> {
    let limit = limits.component_bytes;
    if bytes.len() > limit {
        return Err(LoadError::TooLarge {
            size: bytes.len(),
            limit,
        });
    }
    if Parser::is_core_wasm(bytes) {
        return Err(LoadError::CoreModule);
    }
    if !Parser::is_component(bytes) {
        return Err(LoadError::NotWasm {
            start: start_of(bytes),
        });
    }
    let mut outline = outline(bytes).map_err(|error| LoadError::Malformed(error.to_string()))?;
    for name in &outline.imports {
        check_import(name)?;
    }
    check_start("bytes of memory", outline.memory, limits.memory)?;
    check_start(
        "table elements",
        outline.table_elements,
        limits.table_elements,
    )?;
    let mut actions = outline
        .exports
        .iter()
        .filter(|name| interface(name) == Some("actions"));
    let name = actions.next().ok_or(LoadError::NoActions)?;
    check_version(name)?;
    outline.interface = name
        .split_once('@')
        .map_or_else(String::new, |(_, version)| version.to_owned());
    Ok(outline)
}

/// What a component is made of.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    /// The version of the plugin interface that its actions are of.
    pub(crate) interface: String,
    /// The component's own imports and exports, without those of components inside it.
    pub(crate) imports: Vec<String>,
    exports: Vec<String>,
    /// What the largest memory and table in it start with.
    memory: u64,
    table_elements: u64,
}

impl Outline {
    /// Whether anything of WASI is imported.
    pub(crate) fn has_wasi(&self) -> bool {
        self.imports.iter().any(|name| wasi::is_served(name))
    }
}

fn outline(bytes: &[u8]) -> Result<Outline, wasmparser::BinaryReaderError> {
    let mut outline = Outline::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    outline.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    outline.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    outline.memory = outline.memory.max(memory?.initial.saturating_mul(64 << 10));
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    outline.table_elements = outline.table_elements.max(table?.ty.initial);
                }
            }
            _ => {}
        }
    }
    Ok(outline)
}

fn check_start(what: &'static str, wanted: u64, limit: usize) -> Result<(), LoadError> {
    if wanted > limit as u64 {
        return Err(LoadError::StartsTooLarge {
            what,
            wanted,
            limit,
        });
    }
    Ok(())
}

fn check_import(name: &str) -> Result<(), LoadError> {
    if wasi::is_served(name) {
        return Ok(());
    }
    if name.starts_with("wasi:") || name.starts_with("wasi_") {
        return Err(LoadError::Wasi {
            name: name.to_owned(),
        });
    }
    match interface(name) {
        Some(interface) if IMPORTS.contains(&interface) => check_version(name),
        _ => Err(LoadError::ForbiddenImport {
            name: name.to_owned(),
        }),
    }
}

/// `http` of `docket:processor/http@0.1.0`.
fn interface(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("docket:processor/")?;
    Some(
        rest.split_once('@')
            .map_or(rest, |(interface, _)| interface),
    )
}

/// Whether the host may serve the version: any 0.1.x without a pre-release. Whether it has all that
/// a newer 0.1.x asks for shows when it is linked.
fn check_version(name: &str) -> Result<(), LoadError> {
    let version = name
        .split_once('@')
        .and_then(|(_, version)| Version::parse(version).ok());
    match version {
        Some(version) if (version.major, version.minor) == (0, 1) && version.pre.is_empty() => {
            Ok(())
        }
        _ => Err(LoadError::UnknownVersion {
            name: name.to_owned(),
            supported: INTERFACE,
        }),
    }
}

fn start_of(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing, the file is empty".to_owned();
    }
    format!("\"{}\"", bytes[..bytes.len().min(16)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::default()
    }

    fn check(wat: &str, expected: &str) {
        let bytes = wat::parse_str(wat).expect("well-formed text");
        let found = match inspect(&bytes, &limits()) {
            Ok(_) => "taken".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{wat}");
    }

    fn component(import: &str, export: &str) -> String {
        format!(
            "(component (import \"{import}\" (instance)) (instance $e) (export \"{export}\" (instance $e)))"
        )
    }

    #[test]
    fn takes_the_interface_and_nothing_else() {
        const ACTIONS: &str = "docket:processor/actions@0.1.0";
        let import = |name: &str| component(name, ACTIONS);
        check(&import("docket:processor/http@0.1.0"), "taken");
        check(&import("docket:processor/documents@0.1.9"), "taken");
        for forbidden in [
            "docket:processor/vault@0.1.0",
            "docket:processor-x/http@0.1.0",
            "env",
        ] {
            check(
                &import(forbidden),
                &format!("the component imports `{forbidden}`, which plugins may not use"),
            );
        }
        check(&import("wasi:clocks/wall-clock@0.2.6"), "taken");
        check(
            &import("wasi:http/outgoing-handler@0.2.6"),
            "the component imports `wasi:http/outgoing-handler@0.2.6`, which plugins may not use",
        );
        for version in ["0.2.0", "1.0.0", "0.1.0-rc1", "0.0.1"] {
            let name = format!("docket:processor/http@{version}");
            check(
                &import(&name),
                &format!("the component uses `{name}`; this host speaks docket:processor@0.1.0"),
            );
        }
        check(
            &component(
                "docket:processor/http@0.1.0",
                "docket:processor/actions@0.2.0",
            ),
            "the component uses `docket:processor/actions@0.2.0`; this host speaks \
             docket:processor@0.1.0",
        );
        check(
            "(component)",
            "the component does not export `docket:processor/actions`",
        );
        check(
            "(module)",
            "this is a core WebAssembly module, and plugins are components",
        );
    }

    #[test]
    fn looks_at_the_outermost_component_only() {
        check(
            "(component (component (import \"wasi:cli/run@0.2.0\" (instance))) \
             (instance $e) (export \"docket:processor/actions@0.1.0\" (instance $e)))",
            "taken",
        );
    }

    #[test]
    fn tells_what_is_no_component() {
        let check = |bytes: &[u8], expected: &str| {
            let error = inspect(
                bytes,
                &Limits {
                    component_bytes: 64,
                    ..limits()
                },
            )
            .expect_err("not a component")
            .to_string();
            assert_eq!(error, expected);
        };
        check(
            b"",
            "this is not WebAssembly: it starts with nothing, the file is empty",
        );
        check(
            b"PK\x03\x04",
            "this is not WebAssembly: it starts with \"PK\\x03\\x04\"",
        );
        check(&[0; 65], "the component has 65 bytes; 64 are allowed");
        let cut =
            &wat::parse_str(component("docket:processor/http@0.1.0", "a")).expect("text")[..30];
        assert!(matches!(
            inspect(cut, &limits()),
            Err(LoadError::Malformed(_))
        ));
    }
}
