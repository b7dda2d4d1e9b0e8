//! Why a component is not taken, with the way out of it.

use std::io;
use std::path::PathBuf;

use docket_model::{Digest, Failure};

/// Why a component cannot be loaded. [`LoadError::help`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The bytes are no WebAssembly at all.
    #[error("this is not WebAssembly: it starts with {start}")]
    NotWasm {
        /// What the bytes start with, readable.
        start: String,
    },
    /// A core module where a component is needed.
    #[error("this is a core WebAssembly module, and plugins are components")]
    CoreModule,
    /// A component that does not parse or validate.
    #[error("the component is malformed: {0}")]
    Malformed(String),
    /// More bytes than the limit, given here.
    #[error("the component has {size} bytes; {limit} are allowed")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A memory or a table that is larger from the start than it may grow.
    #[error("the component starts with {wanted} {what}; {limit} are allowed")]
    StartsTooLarge {
        /// `bytes of memory` or `table elements`.
        what: &'static str,
        /// What it starts with.
        wanted: u64,
        /// The limit.
        limit: usize,
    },
    /// An import that no plugin may have.
    #[error("the component imports `{name}`, which plugins may not use")]
    ForbiddenImport {
        /// The import's name.
        name: String,
    },
    /// An import of WASI that is not served: `wasi:http`, or another version than 0.2.
    #[error("the component imports `{name}`, which plugins may not use")]
    Wasi {
        /// The first such import.
        name: String,
    },
    /// The plugin interface in a version that this host does not speak.
    #[error("the component uses `{name}`; this host speaks docket:processor@{supported}")]
    UnknownVersion {
        /// The import or export.
        name: String,
        /// What the host has.
        supported: &'static str,
    },
    /// No `docket:processor/actions` among the exports.
    #[error("the component does not export `docket:processor/actions`")]
    NoActions,
    /// Its imports or exports have other types than the interface.
    #[error("the component does not fit the plugin interface: {0}")]
    Mismatch(String),
    /// Its `describe` broke.
    #[error("the plugin cannot describe itself: {}", .0.message)]
    Describe(Box<Failure>),
    /// Its description of itself is not acceptable.
    #[error("the plugin's manifest is not acceptable: {place}: {problem}")]
    Manifest {
        /// Where: `actions.send.input`.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// No component of that digest is stored.
    #[error("component {0} is not in the component store")]
    Missing(Digest),
    /// A stored component is not what was stored.
    #[error("component {digest} is damaged: {} holds other bytes", path.display())]
    Damaged {
        /// What it should be.
        digest: Digest,
        /// Where it is.
        path: PathBuf,
    },
    /// The folder of components cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The machine does not let WebAssembly run.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
}

impl LoadError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NotWasm { .. } => {
                "give the .wasm file that the plugin's build made, not its source or an archive"
                    .into()
            }
            Self::CoreModule => {
                "make a component of it: `wasm-tools component new plugin.wasm -o component.wasm`, \
                 or build it with `docket plugins build`"
                    .into()
            }
            Self::Malformed(_) => {
                "the file may be cut short or made by a newer tool: fetch or build it again".into()
            }
            Self::StartsTooLarge { .. } => {
                "ask the plugin's author for a smaller one; large data belongs into documents"
                    .into()
            }
            Self::TooLarge { .. } => "build it for size and strip its debug information".into(),
            Self::ForbiddenImport { .. } => {
                "plugins import `docket:processor` and nothing else; what they may use arrives in \
                 the call. Remove the dependency that brings this import"
                    .into()
            }
            Self::Wasi { .. } => {
                "requests go by `docket:processor/http`, and of WASI only the inert part of 0.2 is \
                 there: build it without `fetch` (componentize-js: `disableFeatures: [\"http\", \
                 \"fetch-event\"]`), or with no WASI at all (componentize-py: `--stub-wasi`)"
                    .into()
            }
            Self::UnknownVersion { .. } => {
                "upgrade Docket, or build the plugin against the version that this host has".into()
            }
            Self::NoActions | Self::Mismatch(_) => {
                "build it against the world `docket:processor/processor` in wit/processor.wit"
                    .into()
            }
            Self::Describe(failure) => failure.remedy.clone().unwrap_or_else(|| {
                "`describe` must work without any input or capability; ask the plugin's author"
                    .into()
            }),
            Self::Manifest { .. } => "ask the plugin's author to correct it".into(),
            Self::Missing(_) | Self::Damaged { .. } => {
                "add the plugin again: `docket plugins add FILE`; runs that are pinned to it go on \
                 then"
                    .into()
            }
            Self::Io { .. } => {
                "check the folder's owner, its rights and the room on the disk".into()
            }
            Self::Engine(_) => {
                "lower the number of instances, or raise the limit of address space (`ulimit -v`)"
                    .into()
            }
        }
    }
}
