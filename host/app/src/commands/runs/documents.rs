//! The documents that a run took in or made.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use docket_engine::DocumentReader;
use docket_model::{DocumentRef, Event, EventKind, StepResult};
use serde_json::json;

use crate::exit::{Exit, Failed};
use crate::host::Host;
use crate::render;

/// Every document that a run's events mention, once each.
pub(super) fn documents(
    host: &Host,
    events: &[Event],
    to: Option<&Path>,
    as_json: bool,
) -> Result<Exit> {
    let mut found: BTreeMap<_, DocumentRef> = BTreeMap::new();
    for event in events {
        let value = match &event.kind {
            EventKind::RunStarted { inputs, .. } => inputs,
            EventKind::StepFinished {
                result: StepResult::Done(output),
                ..
            } => &output.value,
            _ => continue,
        };
        for document in DocumentRef::all_in(value) {
            found
                .entry((document.name.clone(), document.digest))
                .or_insert(document);
        }
    }
    let mut taken = std::collections::BTreeSet::new();
    for document in found.values() {
        if let Some(folder) = to {
            std::fs::create_dir_all(folder)?;
            let short = document.digest.to_hex();
            let name = if taken.insert(document.name.to_lowercase()) {
                document.name.clone()
            } else {
                format!("{}-{}", &short[..8], document.name)
            };
            let reader = host.documents.open(document.digest)?.ok_or_else(|| {
                Failed::new(
                    Exit::Storage,
                    format!("the document {} is gone", document.name),
                )
                .with_help("its file is missing in the data folder; restore it from a backup")
            })?;
            let mut file = std::fs::File::create_new(folder.join(&name))?;
            std::io::copy(
                &mut Reading { reader, offset: 0 }.take(document.size),
                &mut file,
            )?;
        }
    }
    let list: Vec<&DocumentRef> = found.values().collect();
    if as_json {
        render::line(&json!({"documents": list}).to_string());
    } else {
        let row = |document: &&DocumentRef| {
            let size = render::bytes(document.size);
            vec![
                document.name.clone(),
                size,
                document.media_type.clone(),
                document.digest.to_string(),
            ]
        };
        let rows: Vec<_> = list.iter().map(row).collect();
        render::line(&render::table(
            &["document", "size", "type", "digest"],
            &rows,
        ));
    }
    Ok(Exit::Success)
}

struct Reading {
    reader: Arc<dyn DocumentReader>,
    offset: u64,
}

impl std::io::Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read_at(self.offset, buffer)?;
        self.offset += count as u64;
        Ok(count)
    }
}
