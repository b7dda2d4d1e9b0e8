//! A plugin that is ready to run.

use std::collections::HashMap;

use docket_model::{Digest, Manifest};

use crate::attempt::Attempt;
use crate::bindings::ProcessorPre;
use crate::inspect::Outline;
use crate::manifest::Schemas;

/// A component, checked, compiled and linked, with its manifest.
pub struct Plugin {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) outline: Outline,
    pub(crate) manifest: Manifest,
    pub(crate) schemas: HashMap<String, Schemas>,
    pub(crate) pre: ProcessorPre<Attempt>,
}

impl Plugin {
    /// The digest of the component's bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The component's bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The version of the plugin interface that it was built against.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.outline.interface
    }

    /// The interfaces that it imports: the plugin interface's, and those of WASI, which are inert.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.outline.imports
    }

    /// What it says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("id", &self.manifest.id)
            .field("version", &self.manifest.version)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
