//! A little of the chaos, with every test run: `cargo xtask chaos` has the rest.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use docket_chaos::{Settings, run};

#[tokio::test(flavor = "multi_thread")]
async fn no_mail_is_lost_or_doubled_whenever_the_host_is_killed() {
    let settings = Settings {
        // So fast that a draft never has to lie for long before it is known not to be on its way.
        speed: 100_000,
        is_telling: false,
        ..Settings::new(14, 7)
    };
    let report = run(&settings).await.unwrap();
    assert!(report.is_good(), "{report}: {:#?}", report.problems);
    assert_eq!(report.kills, 14);
    assert!(report.mails > 20, "{report}");
}
