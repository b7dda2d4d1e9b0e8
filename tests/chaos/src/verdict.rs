//! What became of every mail: read back from the tenant, beside what the journal says of the runs.

use std::collections::HashMap;
use std::fmt;

use anyhow::{Context as _, Result};
use docket_e2e::{Binary, Lab};
use docket_engine::{EventStore as _, RunFilter, RunSummary, Verdict};
use docket_journal::SqliteStore;
use docket_model::{Event, EventKind, FailureClass, HttpFailure, Outcome, RunResult};
use docket_tenant::Tenant;
use serde_json::{Value, json};

use crate::orders::{FILE, Order, Orders};
use crate::tenant::SENDERS;

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many processes were started to be killed.
    pub rounds: u32,
    /// How many were killed while they ran.
    pub kills: u32,
    /// How many mails are in the tenant, of those that were asked for.
    pub mails: usize,
    /// How many mails are not in the tenant.
    pub lost: usize,
    /// How many mails are in the tenant more than once.
    pub doubled: usize,
    /// How many mails are in the tenant once while their run says, with a fault that explains it, that
    /// it does not know.
    pub in_doubt: usize,
    /// What else is wrong, each with its run. Empty where all is well.
    pub problems: Vec<String>,
}

impl Report {
    /// Whether nothing was lost, doubled or left unexplained.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.problems.is_empty()
    }

    /// For machines, on one line.
    #[must_use]
    pub fn json(&self) -> String {
        json!({
            "rounds": self.rounds, "kills": self.kills, "mails": self.mails,
            "lost": self.lost, "doubled": self.doubled, "in_doubt": self.in_doubt,
        })
        .to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds, {} kills: {} mails in the tenant, {} lost, {} doubled, {} in doubt",
            self.rounds, self.kills, self.mails, self.lost, self.doubled, self.in_doubt
        )
    }
}

/// What can be seen while runs are under way.
pub(crate) struct Glance {
    pub(crate) wanted: usize,
    pub(crate) sent: usize,
    /// A mail that left the tenant twice.
    pub(crate) doubled: Option<String>,
}

pub(crate) fn glance(tenant: &Tenant, orders: &Orders) -> Glance {
    let left = left(tenant);
    Glance {
        wanted: subjects(orders).count(),
        sent: left.len(),
        doubled: left
            .into_iter()
            .find(|(_, count)| *count > 1)
            .map(|(subject, _)| subject),
    }
}

fn subjects(orders: &Orders) -> impl Iterator<Item = &String> {
    orders.placed().iter().flat_map(|order| &order.subjects)
}

/// How often each mail left the tenant.
fn left(tenant: &Tenant) -> HashMap<String, usize> {
    let mut left = HashMap::new();
    for mail in tenant.state().outside() {
        let subject = mail.message.subject.clone().unwrap_or_default();
        *left.entry(subject).or_default() += 1;
    }
    left
}

/// What the senders' mailboxes hold of a mail.
#[derive(Default)]
struct Copies {
    sent: usize,
    drafts: usize,
    /// The digest of the file that is attached to the sent copy, where there is one as it should be.
    file: Option<String>,
}

/// Counts, once nothing is under way and no host has the data folder open.
pub(crate) async fn read(lab: &Lab, orders: &Orders, rounds: u32, kills: u32) -> Result<Report> {
    let mut report = Report {
        rounds,
        kills,
        mails: 0,
        lost: 0,
        doubled: 0,
        in_doubt: 0,
        problems: orders.refused().to_vec(),
    };
    let mut copies = copies(&lab.mailboxes().await)?;
    let left = left(&lab.tenant);
    let store = SqliteStore::open(&lab.data().join("journal.db"))?;
    let runs = store.runs(RunFilter::default()).await?;
    let runs: HashMap<&str, &RunSummary> = runs.iter().map(|run| (run.id.as_str(), run)).collect();
    if runs.len() != orders.placed().len() {
        let what = format!(
            "{} orders became {} runs",
            orders.placed().len(),
            runs.len()
        );
        report.problems.push(what);
    }
    for order in orders.placed() {
        let doubt = match runs.get(order.id.as_str()) {
            Some(run) => about(&store, run, &mut report).await?,
            None => {
                report
                    .problems
                    .push(format!("there is no run {}", order.id));
                Doubt::None
            }
        };
        for subject in &order.subjects {
            let found = copies.remove(subject).unwrap_or_default();
            let left = left.get(subject).copied().unwrap_or_default();
            judge(order, subject, &found, left, doubt, &mut report);
        }
    }
    let strange = copies
        .into_keys()
        .map(|subject| format!("nobody asked for the mail {subject}"));
    report.problems.extend(strange);
    Ok(report)
}

/// Whether a run says that it does not know what became of a mail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    None,
    Explained,
}

/// Notes what is wrong with a run.
async fn about(store: &SqliteStore, run: &RunSummary, report: &mut Report) -> Result<Doubt> {
    let id = &run.id;
    if let verdict @ (Verdict::Broken { .. } | Verdict::Unknown) = store.verify(id).await? {
        report
            .problems
            .push(format!("run {id}: its record is {verdict:?}"));
    }
    let problem = match &run.result {
        Some(RunResult::Succeeded { .. }) => return Ok(Doubt::None),
        Some(RunResult::Failed { failure, .. })
            if failure.class == FailureClass::OutcomeUnknown =>
        {
            match store.events(id).await?.iter().any(leaves_open) {
                true => return Ok(Doubt::Explained),
                false => "in doubt, and no fault explains it".to_owned(),
            }
        }
        Some(RunResult::Failed { failure, .. }) => {
            format!("failed: {}: {}", failure.code, failure.message)
        }
        Some(RunResult::Cancelled) => "cancelled, and nobody asked for that".to_owned(),
        None => "not over".to_owned(),
    };
    report.problems.push(format!("run {id} is {problem}"));
    Ok(Doubt::None)
}

/// Whether an event records a request of which it is not known if it took effect.
fn leaves_open(event: &Event) -> bool {
    let EventKind::EffectDone { outcomes, .. } = &event.kind else {
        return false;
    };
    outcomes.iter().any(|outcome| match outcome {
        Outcome::InDoubt | Outcome::Failed(HttpFailure::Interrupted(_)) => true,
        Outcome::Answered(answer) => answer.status >= 500,
        Outcome::Failed(_) => false,
    })
}

fn judge(
    order: &Order,
    subject: &str,
    found: &Copies,
    left: usize,
    doubt: Doubt,
    report: &mut Report,
) {
    report.mails += usize::from(left > 0);
    if left == 0 {
        report.lost += 1;
        report.problems.push(format!("the mail {subject} is lost"));
        return;
    }
    if left > 1 || found.sent > 1 {
        report.doubled += 1;
        let what = format!("the mail {subject} was sent {left} times");
        report.problems.push(what);
        return;
    }
    report.in_doubt += usize::from(doubt == Doubt::Explained);
    let mut problem = |what: &str| report.problems.push(format!("the mail {subject} {what}"));
    if found.sent == 0 {
        problem("has no copy in Sent Items");
    } else if found.file.as_ref() != Some(&order.digest()) {
        problem("does not have its document");
    }
    if found.drafts > 0 {
        problem("was sent, and a draft of it was left behind");
    }
}

/// The senders' mail by its subject.
fn copies(mailboxes: &Value) -> Result<HashMap<String, Copies>> {
    let mut copies: HashMap<String, Copies> = HashMap::new();
    let mailboxes = mailboxes["mailboxes"].as_array().context("no mailboxes")?;
    let senders = mailboxes
        .iter()
        .filter(|mailbox| SENDERS.iter().any(|sender| mailbox["mailbox"] == *sender));
    for message in senders.flat_map(|mailbox| mailbox["messages"].as_array().into_iter().flatten())
    {
        let subject = message["subject"].as_str().unwrap_or_default();
        let copies = copies.entry(subject.to_owned()).or_default();
        if message["isDraft"] == true {
            copies.drafts += 1;
            continue;
        }
        copies.sent += 1;
        let files = message["attachments"].as_array();
        if let [file] = files.map_or(&[][..], Vec::as_slice)
            && file["name"] == FILE
        {
            copies.file = file["sha256"].as_str().map(str::to_owned);
        }
    }
    Ok(copies)
}

/// Keeps what there is to look at, and says where and how.
pub(crate) fn keep(lab: Lab, docket: &Binary) -> String {
    let state = lab.tenant.state();
    let requests = serde_json::to_vec(&state.requests()).unwrap_or_default();
    let file = docket.project().join("requests.json");
    let written = match std::fs::write(&file, requests) {
        Ok(()) => format!("the tenant's last requests are in {}", file.display()),
        Err(error) => format!("{}: {error}", file.display()),
    };
    let show = docket.command(&["runs", "show", "RUN", "--effects"]);
    let folder = lab.keep();
    format!(
        "the data folder is kept: {}\nwhat the host logged is in {}, {written}\nlook at a run with {show:?}",
        folder.display(),
        docket.project().join("serve.log").display(),
    )
}
