//! The stored form of events: JSON, with the number of its format beside it.
//!
//! A format, once released, stays readable for ever. `tests/formats` holds one journal of each.

use docket_engine::StoreError;
use docket_model::{Event, FORMAT, RunId, RunResult};

/// An event's stored form.
pub(crate) fn encode(event: &Event) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(event).map_err(|error| StoreError::Io(format!("an event: {error}")))
}

/// Reads event `seq` of `run`, which was stored in `format`.
pub(crate) fn decode(
    run: &RunId,
    seq: u64,
    format: u32,
    bytes: &[u8],
) -> Result<Event, StoreError> {
    match format {
        1..=FORMAT => serde_json::from_slice(bytes)
            .map_err(|error| StoreError::Damaged(format!("event {seq} of run {run}: {error}"))),
        0 => Err(StoreError::Damaged(format!(
            "event {seq} of run {run} has no format"
        ))),
        found => Err(StoreError::Newer {
            found,
            supported: FORMAT,
        }),
    }
}

/// How a run ended, in a word.
pub(crate) const fn state(result: &RunResult) -> &'static str {
    match result {
        RunResult::Succeeded { .. } => "succeeded",
        RunResult::Failed { .. } => "failed",
        RunResult::Cancelled => "cancelled",
    }
}
