//! Uploads at the pace that Graph allows: a mailbox has 150 MB in five minutes, here scaled down, and a
//! file that is larger waits in the middle.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::sync::Arc;
use std::time::Duration;

use docket_e2e::Lab;
use docket_engine::{LogLevel, Reporter};
use docket_model::{ConnectionLimits, Event, EventKind, RunId, RunResult, StepPath};
use docket_tenant::{TenantConfig, ThrottleConfig};
use jiff::SignedDuration;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Four pieces.
const FILE: usize = 12_000_000;
/// Two pieces, and something.
const ROOM: u32 = 8_000_000;
/// A window, and the slots by which it is counted.
const WINDOW: u64 = 330;

const SEND: &str = "
workflow: send
on:
  manual:
connections:
  exchange: contoso
inputs:
  first: {type: document, required: true}
  second: {type: document, required: true}
steps:
  - id: send
    uses: exchange/send
    timeout: 60s
    with:
      from: contracts@contoso.example
      to: anna@contoso.example
      subject: The scans
      text: Attached.
      attachments: ['${{ inputs.first }}', '${{ inputs.second }}']
";

/// What is heard of the run.
enum Heard {
    Attempt,
    /// A request begins to wait for long.
    Wait,
}

struct Ear(mpsc::UnboundedSender<Heard>);

impl Reporter for Ear {
    fn event(&self, _: &RunId, event: &Event) {
        if matches!(event.kind, EventKind::StepStarted { .. }) {
            self.0.send(Heard::Attempt).unwrap();
        }
    }
    fn log(&self, _: &RunId, _: &StepPath, _: LogLevel, line: &str) {
        if line.contains("waits for its turn") {
            self.0.send(Heard::Wait).unwrap();
        }
    }
    fn progress(&self, _: &RunId, _: &StepPath, _: u64, _: Option<u64>, _: &str) {}
}

#[tokio::test]
async fn large_files_wait_in_the_middle_and_provoke_no_refusal() {
    let throttle = ThrottleConfig {
        upload_bytes: ROOM.into(),
        ..ThrottleConfig::real()
    };
    let mut lab = Lab::start_with(TenantConfig {
        throttle,
        ..TenantConfig::contoso()
    })
    .await;
    lab.limit(ConnectionLimits {
        upload_mb_per_5_minutes: ROOM / 1_000_000,
        ..ConnectionLimits::default()
    });
    let host = lab.open().await;
    let plan = host.plan_of("send.yaml", SEND);
    let put = |name: &str, byte: u8| {
        let bytes = vec![byte; FILE];
        host.documents.put(name, "application/pdf", &bytes).unwrap()
    };
    let inputs = json!({"first": put("first.pdf", b'1'), "second": put("second.pdf", b'2')});
    let run: RunId = "r-1".parse().unwrap();
    let inputs = inputs.as_object().unwrap().clone();
    host.start(&run, &plan, inputs).await.unwrap();

    let (tell, mut told) = mpsc::unbounded_channel();
    let ear = Arc::new(Ear(tell));
    let driving = host.engine.drive(&run, ear, CancellationToken::new());
    tokio::pin!(driving);
    let (mut attempts, mut waits) = (0, 0);
    let result = loop {
        tokio::select! {
            result = &mut driving => break result.unwrap(),
            Some(heard) = told.recv() => {
                let Heard::Wait = heard else {
                    attempts += 1;
                    continue;
                };
                waits += 1;
                // The provider's window passes, and the host's: longer than the step may take.
                let now = lab.clock.now();
                let later = now + SignedDuration::from_secs(WINDOW.cast_signed());
                lab.clock.advance_to(later);
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(WINDOW)).await;
                tokio::time::resume();
            }
        }
    };
    assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
    assert_eq!(waits, 3, "24 MB, of which 8 go in five minutes");
    let counts = lab.tenant.state().throttle_counts();
    assert_eq!((counts.refused, counts.over_limits), (0, 0));
    let requests = lab.tenant.state().requests();
    let count = |method: &str, part: &str| {
        let is = |path: &str| path.contains(part);
        let all = requests.iter();
        all.filter(|one| one.method == method && is(&one.path))
            .count()
    };
    assert_eq!(count("POST", "createUploadSession"), 2, "none began anew");
    assert_eq!(count("PUT", "AttachmentSessions"), 8);
    assert_eq!(attempts, 1);
}
