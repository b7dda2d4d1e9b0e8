//! Mail in numbers: what a confirmation mail costs beside a plain program that makes the same
//! requests, what a large attachment and a thousand imported messages need. The tenant runs in a
//! process of its own, so that time and memory are the host's. Prints `row {…}` lines.

#![allow(clippy::unwrap_used, reason = "a measurement, run by hand")]

use std::time::{Duration, Instant};

use docket_e2e::apart::{Apart, serve_if_asked};
use docket_e2e::measure::{Used, is_wanted, reset_peak, row, status};
use docket_e2e::{Ground, Host, Plain};
use docket_model::{Plan, RunResult};
use docket_tenant::{Attachment, Recipient, SeedMail, TenantConfig, ThrottleConfig};
use futures_util::StreamExt as _;
use serde_json::{Map, Value};

/// How many confirmation mails each side sends, in turns of [`TURN`].
const MAILS: usize = 1000;
const TURN: usize = 250;
/// What Microsoft allows for one mailbox at a time; the host keeps to it, so the plain program does.
const AT_ONCE: usize = 4;
const DOCUMENT: usize = 200_000;
const LARGE: usize = 150 << 20;
const IMPORTED: usize = 1000;
const SENDER: &str = "contracts@contoso.example";

const IMPORT: &str = "
workflow: import
on:
  manual:
connections:
  graph-import: contoso
steps:
  - id: import
    uses: graph-import/messages
    timeout: 10m
    with:
      mailbox: invoices@contoso.example
      folder: Bulk
      limit: 1000
outputs:
  count: ${{ size(steps.import.output.messages) }}
";

fn tenant(name: &str) -> TenantConfig {
    let mut config = TenantConfig::contoso();
    if name == "bulk" {
        // At Microsoft's real limits.
        config.throttle = ThrottleConfig::real();
        let mailbox = "invoices@contoso.example";
        for user in &mut config.users {
            if user.upn == mailbox {
                user.folders.push("Bulk".to_owned());
            }
        }
        let sender = Recipient::named("Fabrikam Billing", "billing@fabrikam.example");
        config.mail.extend((0..IMPORTED).map(|number| SeedMail {
            folder: "Bulk".to_owned(),
            attachments: vec![Attachment::file(
                &format!("INV-{number}.pdf"),
                "application/pdf",
                vec![b'%'; DOCUMENT],
            )],
            ..SeedMail::text(
                mailbox,
                sender.clone(),
                &format!("Invoice {number}"),
                "Attached.",
            )
        }));
    }
    config
}

/// The ground of a host that uploads more in five minutes than Graph allows: it is measured, not its
/// patience.
async fn unpaced(tenant: &mut Apart) -> Ground {
    let mut ground = tenant.ground().await;
    ground.limits.upload_mb_per_5_minutes = 1_000_000;
    ground
}

async fn run(host: &Host, plan: &Plan, name: &str, inputs: Map<String, Value>) -> Value {
    match host.run(name, plan, inputs).await {
        RunResult::Succeeded { outputs } => outputs,
        other => panic!("{other:?}"),
    }
}

async fn each<F: Future>(count: usize, work: impl Fn(usize) -> F) {
    futures_util::stream::iter(0..count)
        .for_each_concurrent(AT_ONCE, |number| {
            let done = work(number);
            async move {
                done.await;
            }
        })
        .await;
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
async fn confirmations() {
    let mut tenant = Apart::start("quiet").await;
    let ground = unpaced(&mut tenant).await;
    let host = ground.open().await;
    let plan = host.plan("signed-contract-confirmation.yaml");
    let inputs = host.confirmation(DOCUMENT);
    let plain = Plain::new(&mut tenant, SENDER).await;
    let document = vec![b'%'; DOCUMENT];
    let ours = async |turn: &str, count: usize| {
        each(count, |number| {
            let (name, inputs) = (format!("mail-{turn}-{number}"), inputs.clone());
            let (host, plan) = (&host, &plan);
            async move { run(host, plan, &name, inputs).await }
        })
        .await;
    };
    let theirs = async |count: usize| {
        each(count, |number| plain.mail(number, &document)).await;
    };
    ours("warm", 20).await;
    theirs(20).await;
    let before = status("VmRSS");
    let mut sums = [(Duration::ZERO, Duration::ZERO); 2];
    for turn in 0..MAILS / TURN {
        for (side, sum) in sums.iter_mut().enumerate() {
            let began = Used::so_far();
            match side {
                0 => ours(&turn.to_string(), TURN).await,
                _ => theirs(TURN).await,
            }
            let (cpu, wall) = began.since();
            *sum = (sum.0 + cpu, sum.1 + wall);
        }
    }
    let grown = status("VmRSS") - before;
    let [(cpu, wall), (plain_cpu, plain_wall)] =
        sums.map(|(cpu, wall)| (cpu.as_secs_f64(), wall.as_secs_f64()));
    let per_mail = |seconds: f64| seconds * 1000.0 / MAILS as f64;
    row(
        &format!("mail/{MAILS} confirmations of 200 KB, 4 at a time"),
        "s",
        wall,
        &format!(
            "{:.2}× plain reqwest ({plain_wall:.2} s)",
            wall / plain_wall
        ),
    );
    row(
        "mail/CPU per confirmation, journal and all",
        "ms",
        per_mail(cpu),
        &format!(
            "{:.2}× plain reqwest ({:.2} ms)",
            cpu / plain_cpu,
            per_mail(plain_cpu)
        ),
    );
    row(
        &format!("mail/memory grown over {MAILS} confirmations"),
        "MiB",
        grown,
        &format!("{before:.0} MiB before"),
    );
    let sent = sent_items(&mut tenant).await;
    assert_eq!(sent, 2 * (MAILS + 20), "each mail once");
    tenant.stop().await;
}

/// How many mails are in the sender's Sent Items, as the tenant says.
async fn sent_items(tenant: &mut Apart) -> usize {
    let answer = tenant.ask("/_tenant/mailboxes").await;
    let mailboxes = answer["mailboxes"].as_array().unwrap();
    let sender = mailboxes
        .iter()
        .find(|mailbox| mailbox["mailbox"] == SENDER);
    let messages = sender.unwrap()["messages"].as_array().unwrap();
    let sent = messages.iter().filter(|one| one["folder"] == "Sent Items");
    sent.count()
}

async fn large() {
    let mut tenant = Apart::start("quiet").await;
    let ground = unpaced(&mut tenant).await;
    let host = ground.open().await;
    let plan = host.plan("signed-contract-confirmation.yaml");
    run(&host, &plan, "small", host.confirmation(DOCUMENT)).await;
    let inputs = host.confirmation(LARGE);
    let idle = status("VmRSS");
    reset_peak();
    let began = Instant::now();
    run(&host, &plan, "large", inputs).await;
    let took = began.elapsed().as_secs_f64();
    row(
        "mail/150 MB attachment: memory above idle",
        "MiB",
        (status("VmHWM") - idle).max(0.0),
        &format!("{idle:.0} MiB idle; {took:.1} s"),
    );
    tenant.stop().await;
}

async fn import() {
    let mut tenant = Apart::start("bulk").await;
    let ground: Ground = tenant.ground().await;
    let host = ground.open().await;
    let plan = host.plan_of("import.yaml", IMPORT);
    let idle = status("VmRSS");
    reset_peak();
    let began = Used::so_far();
    let outputs = run(&host, &plan, "import", Map::new()).await;
    let (cpu, wall) = began.since();
    assert_eq!(outputs["count"], IMPORTED);
    let throttled = tenant.ask("/_tenant/throttle").await;
    row(
        &format!("mail/import of {IMPORTED} messages, 200 KB attached to each"),
        "s",
        wall.as_secs_f64(),
        &format!("{:.1} s of CPU; throttle {throttled}", cpu.as_secs_f64()),
    );
    row(
        "mail/import: memory above idle",
        "MiB",
        (status("VmHWM") - idle).max(0.0),
        &format!("{idle:.0} MiB idle"),
    );
    tenant.stop().await;
}

#[tokio::main]
async fn main() {
    if serve_if_asked(tenant).await {
        return;
    }
    if is_wanted("mail/confirmations") {
        confirmations().await;
    }
    if is_wanted("mail/large") {
        large().await;
    }
    if is_wanted("mail/import") {
        import().await;
    }
}
