//! What a workflow is checked against: the plugins and connections that the project has.

use std::collections::BTreeMap;

use crate::{ConnectionKind, Digest, Manifest, PinnedPlugin, RequestRule};

/// The plugins and connections of a project, by the names that workflows use.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// The plugins.
    pub plugins: BTreeMap<String, CatalogPlugin>,
    /// The connections.
    pub connections: BTreeMap<String, ConnectionKind>,
    /// The connection to fall back to, by the name of the one that has it.
    pub fallbacks: BTreeMap<String, String>,
}

/// A plugin that workflows may use.
#[derive(Debug, Clone)]
pub struct CatalogPlugin {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The digest of its component.
    pub component: Digest,
    /// What the operator grants it.
    pub grants: Vec<RequestRule>,
}

impl CatalogPlugin {
    /// It as a plan pins it.
    #[must_use]
    pub fn pin(&self) -> PinnedPlugin {
        PinnedPlugin {
            version: self.manifest.version.clone(),
            component: self.component,
            grants: self.grants.clone(),
        }
    }
}
