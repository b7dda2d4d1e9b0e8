//! What the plugin asks for and promises, word by word: a change here is one that operators are
//! asked about, or that workflows notice.

use docket_exchange::Exchange;
use docket_plugin_sdk::{Plugin, testing};

#[test]
fn the_manifest_is_as_reviewed() {
    testing::golden(
        "tests/manifest.json",
        &testing::manifest(&Exchange::manifest()),
    );
}

#[test]
fn every_schema_and_example_is_json_and_described() {
    for action in Exchange::manifest().actions() {
        let name = action.name();
        for schema in [action.input_schema(), action.output_schema()] {
            let properties = schema["properties"].as_object();
            assert!(properties.is_some(), "{name}: {schema}");
            assert_eq!(schema["type"], "object", "{name}");
        }
        assert!(!action.examples().is_empty(), "{name} has no example");
        for (title, example) in action.examples() {
            assert!(example.is_object(), "{name}: {title}");
        }
        for [method, url, why] in action.requests() {
            assert!(
                url.starts_with('{') && !why.is_empty(),
                "{name}: {method} {url}"
            );
        }
    }
}
