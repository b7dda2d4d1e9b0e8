//! What the binary shows of a run that ended: that its record is intact, what it did, and that it
//! would do the same again. And what it says once a byte of the record was changed.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::process::Output;

use docket_e2e::{Binary, Lab};
use docket_model::RunResult;
use serde_json::Value;

/// A laboratory in which one confirmation was sent, as the run r-1.
async fn confirmed() -> Lab {
    let lab = Lab::start().await;
    let host = lab.open().await;
    let plan = host.plan("signed-contract-confirmation.yaml");
    let result = host.run("r-1", &plan, host.confirmation(20_000)).await;
    assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
    lab
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_proves_what_was_done_until_somebody_changes_it() {
    let lab = confirmed().await;
    let docket = Binary::over(&lab);

    let verified = docket.run(&["runs", "verify", "--json"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    assert_eq!(json(&verified)["runs"][0]["intact"], true);

    let receipt = json(&docket.run(&["runs", "receipt", "r-1", "--json"]));
    let step = &receipt["steps"][0];
    assert_eq!(step["recipients"][0], "anna.berger@fabrikam.example");
    assert_eq!(step["documents"].as_array().unwrap().len(), 2, "{step}");
    let digest = step["documents"][0]["$document"].as_str().unwrap();
    let message = step["output"]["internet-message-id"].as_str();
    let message = message.unwrap_or_else(|| panic!("no message id: {step}"));
    let sent_as = &step["effects"][0]["sent-as"]["account"];
    assert_eq!(sent_as, "svc-docket@contoso.example");
    let shown = docket.run(&["runs", "receipt", "r-1"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let head = receipt["head"].as_str().unwrap();
    for part in [digest, message, head, "anna.berger@fabrikam.example"] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }

    let replayed = docket.run(&["replay", "r-1", "--json"]);
    assert_eq!(replayed.status.code(), Some(0), "{replayed:?}");
    let attempt = &json(&replayed)["attempts"][0];
    assert_eq!(attempt["verdict"], "same");
    let request = &attempt["effects"][0]["requests"][0];
    assert_eq!(request["sent-as"]["account"], "svc-docket@contoso.example");

    // The other plugin in its place would not even have the action.
    let other = docket_e2e::components().join("graph-import.wasm");
    let with = format!("exchange={}", other.display());
    let otherwise = docket.run(&["replay", "r-1", "--with-plugin", &with, "--json"]);
    assert_eq!(otherwise.status.code(), Some(1), "{otherwise:?}");

    change(&lab);
    let verified = docket.run(&["runs", "verify", "r-1", "--json"]);
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    let verdict = &json(&verified)["runs"][0];
    let event = verdict["event"].as_u64().unwrap();
    assert_eq!(event, 1, "{verdict}");
    for arguments in [&["replay", "r-1"][..], &["runs", "receipt", "r-1"]] {
        let refused = docket.run(arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_ne!(refused.status.code(), Some(0));
        assert!(said.contains(&format!("event {event}")), "{said}");
    }
}

/// Changes a letter of the mail's subject in the input of its step, the event after the start.
fn change(lab: &Lab) {
    let database = rusqlite::Connection::open(lab.data().join("journal.db")).unwrap();
    let sql = "UPDATE events SET body = CAST(replace(CAST(body AS TEXT), \
               'Signed: Framework', 'Signed: Fromework') AS BLOB) WHERE seq = 1";
    assert_eq!(database.execute(sql, []).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_to_another_folder_and_runs_begin_once_more_there() {
    let lab = confirmed().await;
    let docket = Binary::over(&lab);
    let folder = tempfile::tempdir().unwrap();
    let (copy, data) = (folder.path().join("copy"), folder.path().join("data"));
    let made = docket.run(&["backup", copy.to_str().unwrap(), "--json"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert_eq!(json(&made)["runs"], 1);
    let again = docket.run(&["backup", copy.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(5), "nothing is written over");

    let elsewhere = Binary::over(&lab).with_data(&data);
    let restored = elsewhere.run(&["restore", copy.to_str().unwrap(), "--json"]);
    assert_eq!(restored.status.code(), Some(0), "{restored:?}");
    assert_eq!(json(&restored)["documents"], json(&made)["documents"]);
    let verified = elsewhere.run(&["runs", "verify", "r-1"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let rerun = elsewhere.run(&["runs", "rerun", "r-1", "--new-id", "r-2", "--json"]);
    assert_eq!(json(&rerun)["id"], "r-2", "{rerun:?}");
    let cancelled = elsewhere.run(&["runs", "cancel", "r-2", "--json"]);
    assert_eq!(json(&cancelled)["state"], "cancelled", "{cancelled:?}");
    let list = json(&elsewhere.run(&["runs", "list", "--json"]));
    assert_eq!(list["runs"][0]["state"], "cancelled", "{list}");
    let pruned = elsewhere.run(&[
        "runs",
        "prune",
        "--older-than",
        "0s",
        "--state",
        "cancelled",
        "--json",
    ]);
    assert_eq!(json(&pruned)["runs"], 1, "{pruned:?}");
}
