//! What the plugin asks for and promises, word by word: a change here is one that operators are
//! asked about, or that workflows notice.

use docket_graph_import::GraphImport;
use docket_plugin_sdk::{Plugin, testing};

#[test]
fn the_manifest_is_as_reviewed() {
    testing::reviewed("tests/manifest.json", &GraphImport::manifest());
}

#[test]
fn every_request_goes_to_an_endpoint_of_the_connection() {
    for action in GraphImport::manifest().actions() {
        for [method, url, _] in action.requests() {
            assert!(url.starts_with('{'), "{}: {method} {url}", action.name());
        }
    }
}
