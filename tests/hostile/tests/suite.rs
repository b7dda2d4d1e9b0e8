//! Every hostile plugin is denied by name, its neighbours notice nothing, and no secret leaks.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_plugin_is_denied_and_nothing_leaks() {
    let cases = docket_hostile::all().unwrap();
    let mut names: Vec<_> = cases.iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases.len(), "names are unique");

    let report = docket_hostile::run(cases).await.unwrap();
    let failed: Vec<_> = report
        .verdicts
        .iter()
        .filter_map(|verdict| Some((verdict.name, verdict.denied.as_ref().err()?)))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(report.all_leaks(), Vec::<String>::new());
    assert!(report.files > 5, "the data folder was searched");
    assert!(report.is_good());
}
