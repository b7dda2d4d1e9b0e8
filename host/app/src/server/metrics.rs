//! `GET /metrics`: the text exposition format of Prometheus, version 0.0.4. No name of a person or a
//! mailbox is in it, since it asks for no token.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use docket_connections::{Lapse, LapseKind};
use docket_engine::TriggerStatus;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Service;
use super::problem::Problem;
use crate::host::Host;

/// For how long it is not looked up again what of the connections ends.
const KNOWN: Duration = Duration::from_secs(300);

/// How much of a connection ends, by its name and what it is.
type Counts = BTreeMap<(String, &'static str), u64>;

/// What of the connections ends, as it was last looked up: whoever asks needs no token, and must not
/// have every record of the vault read each time.
#[derive(Default)]
pub(super) struct Ends(Mutex<Option<(Instant, Arc<Counts>)>>);

impl Ends {
    /// Empty where the vault cannot be read; the log tells why.
    async fn counts(&self, host: &Arc<Host>) -> Arc<Counts> {
        // Whoever else asks meanwhile waits for the same answer.
        let mut known = self.0.lock().await;
        if let Some((at, counts)) = &*known
            && at.elapsed() < KNOWN
        {
            return Arc::clone(counts);
        }
        let asked = Arc::clone(host);
        let asked =
            tokio::task::spawn_blocking(move || asked.connections.forecast(asked.now())).await;
        let counts = match asked {
            Ok(Ok(lapses)) => by_kind(lapses),
            Ok(Err(error)) => {
                tracing::error!(%error, "the metrics lack what ends soon");
                Counts::new()
            }
            // The host is shutting down.
            Err(_) => Counts::new(),
        };
        let counts = Arc::new(counts);
        *known = Some((Instant::now(), Arc::clone(&counts)));
        counts
    }
}

pub(super) async fn show(State(service): State<Arc<Service>>) -> Result<Response, Problem> {
    let mut waiting: BTreeMap<String, u64> = ["sign-in", "timer", "event", "approval", "retry"]
        .map(|kind| (kind.to_owned(), 0))
        .into();
    let found = service.host.store.counts().await?;
    waiting.extend(found.waiting);
    let ends = service.ends.counts(&service.host).await;
    let mut text = String::new();
    let counts = &service.watch.counts;
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    head(
        &mut text,
        "docket_runs_finished_total",
        "counter",
        "Runs that ended since the start.",
    );
    for (state, count) in [
        ("succeeded", &counts.succeeded),
        ("failed", &counts.failed),
        ("cancelled", &counts.cancelled),
    ] {
        line(
            &mut text,
            "docket_runs_finished_total",
            &[("state", state)],
            read(count),
        );
    }
    let name = "docket_effects_total";
    head(
        &mut text,
        name,
        "counter",
        "Requests sent since the start that cannot be repeated.",
    );
    line(&mut text, name, &[], read(&counts.effects));
    let name = "docket_runs_ready";
    head(&mut text, name, "gauge", "Runs under way, or about to be.");
    line(&mut text, name, &[], found.ready);
    let name = "docket_steps_waiting";
    head(
        &mut text,
        name,
        "gauge",
        "Steps of parked runs, by what they wait for.",
    );
    for (kind, count) in waiting {
        line(&mut text, name, &[("kind", &kind)], count);
    }
    let name = "docket_connection_lapses";
    head(
        &mut text,
        name,
        "gauge",
        "What of a connection has ended or ends within 30 days, as seen in the last 5 minutes.",
    );
    for ((connection, kind), count) in &*ends {
        let labels = [("connection", connection.as_str()), ("kind", *kind)];
        line(&mut text, name, &labels, *count);
    }
    triggers(&mut text, &service.triggers().list().await?);
    let (ready, invalid) = service.workflows.counts();
    let name = "docket_workflows";
    head(&mut text, name, "gauge", "Workflows of the project.");
    for (state, count) in [("ready", ready), ("invalid", invalid)] {
        line(&mut text, name, &[("state", state)], count);
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn triggers(text: &mut String, all: &[TriggerStatus]) {
    type Count = fn(&TriggerStatus) -> u64;
    let mut states: BTreeMap<&str, u64> = ["waiting", "polling", "failing", "sign-in-needed"]
        .map(|state| (state, 0))
        .into();
    for one in all {
        *states.entry(one.state.as_str()).or_default() += 1;
    }
    let name = "docket_triggers";
    head(text, name, "gauge", "Triggers, by how they are.");
    for (state, count) in states {
        line(text, name, &[("state", state)], count);
    }
    let counters: [(&str, &str, Count); 2] = [
        (
            "docket_trigger_runs_total",
            "Runs that a trigger started since the start.",
            |one| one.started_lately,
        ),
        (
            "docket_trigger_failures_total",
            "How often a trigger failed since the start.",
            |one| one.failed_lately,
        ),
    ];
    for (name, help, count) in counters {
        head(text, name, "counter", help);
        for one in all {
            let labels = [
                ("workflow", one.workflow.as_str()),
                ("trigger", &one.id),
                ("kind", one.kind),
            ];
            line(text, name, &labels, count(one));
        }
    }
}

fn by_kind(lapses: Vec<Lapse>) -> Counts {
    let mut counts = Counts::new();
    for lapse in lapses {
        let kind = match lapse.kind {
            LapseKind::ClientSecret => "client-secret",
            LapseKind::Certificate => "certificate",
            LapseKind::SignIn => "sign-in",
            LapseKind::Damaged => "damaged",
        };
        *counts.entry((lapse.connection, kind)).or_default() += 1;
    }
    counts
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    let labels = match labels.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", labels.join(",")),
    };
    let _ = writeln!(text, "{name}{labels} {value}");
}
