//! The plugin interface as Rust types, made of wit/processor.wit.
#![allow(
    missing_docs,
    clippy::all,
    reason = "generated; wit/processor.wit documents every item"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "processor",
    imports: {
        "docket:processor/http.[method]client.send": async | trappable,
        "docket:processor/http.[method]client.send-all": async | trappable,
        "docket:processor/documents.[method]document.read": async | trappable,
        "docket:processor/documents.[method]store.create": async | trappable,
        "docket:processor/documents.[method]writer.write": async | trappable,
        "docket:processor/documents.[static]writer.finish": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "docket:processor/documents.document": crate::handles::Document,
        "docket:processor/documents.store": crate::handles::Store,
        "docket:processor/documents.writer": crate::handles::Writer,
        "docket:processor/http.token": crate::handles::Token,
        "docket:processor/http.client": crate::handles::Client,
        "docket:processor/reporting.reporter": crate::handles::ReporterHandle,
    },
});

pub(crate) use docket::processor::{documents, http, reporting};
pub(crate) use exports::docket::processor::actions;
