//! The runs that are asked for. An order that was not answered is placed again with the same id and
//! the same inputs, as every client should.

use anyhow::Result;
use docket_e2e::{Binary, Lab};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::served::{Refused, Served};
use crate::tenant::SENDERS;

/// Most documents are as small, and some so large that they go by an upload session.
const SMALL: usize = 6_000;
const LARGE: usize = 3_200_000;
/// One document in so many is large.
const LARGE_IN: u32 = 60;
/// Whoever gets the mails: somebody outside.
const RECIPIENT: &str = "anna.berger@fabrikam.example";
/// What the document is called in the mail.
pub(crate) const FILE: &str = "agreement.pdf";

const WORKFLOW: &str = "
workflow: chaos
on:
  manual:
inputs:
  sender: {type: string, required: true}
  subjects: {type: list, required: true}
  document: {type: document, required: true}
connections:
  exchange: contoso
steps:
  - id: send
    uses: exchange/send
    for-each: ${{ inputs.subjects }}
    max-parallel: 3
    retry: {attempts: 100, delay: 100ms, max-delay: 1s}
    with:
      from: ${{ inputs.sender }}
      to: RECIPIENT
      subject: ${{ item }}
      text: Signed by everybody.
      attachments:
        - ${{ inputs.document }}
";

/// A run that was asked for.
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) sender: &'static str,
    /// One mail each.
    pub(crate) subjects: Vec<String>,
    is_large: bool,
    is_started: bool,
}

impl Order {
    /// Its document; no other order has the same.
    fn document(&self) -> Vec<u8> {
        let size = if self.is_large { LARGE } else { SMALL };
        let line = format!("%PDF-1.7 {}\n", self.id);
        line.bytes().cycle().take(size).collect()
    }

    /// The digest of its document, in hexadecimal.
    pub(crate) fn digest(&self) -> String {
        let digest = Sha256::digest(self.document());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    async fn start(&self, served: &Served) -> Result<()> {
        let document = served.put_document(FILE, self.document()).await?;
        served.start(&self.body(&document)).await
    }

    fn body(&self, document: &Value) -> Value {
        json!({
            "workflow": "chaos", "id": self.id,
            "inputs": {"sender": self.sender, "subjects": self.subjects, "document": document},
        })
    }
}

/// All orders: those that were placed, and those that the next round may place.
#[derive(Default)]
pub(crate) struct Orders {
    placed: Vec<Order>,
    drawn: Vec<Order>,
    refused: Vec<String>,
}

impl Orders {
    /// Draws the orders of a round.
    pub(crate) fn draw(&mut self, round: u32, chance: &mut StdRng) {
        self.drawn.clear();
        for number in 0..chance.random_range(2..=9) {
            let id = format!("chaos-{round}-{number}");
            let mails = chance.random_range(1..=3);
            let subjects = (0..mails).map(|mail| format!("{id}-{mail}")).collect();
            let sender = SENDERS[chance.random_range(0..SENDERS.len())];
            self.drawn.push(Order {
                id,
                sender,
                subjects,
                is_large: chance.random_ratio(1, LARGE_IN),
                is_started: false,
            });
        }
    }

    /// Places what was drawn.
    pub(crate) fn place(&mut self) {
        self.placed.append(&mut self.drawn);
    }

    /// Starts whatever was placed and not answered. What is not answered this time stays.
    pub(crate) async fn start_all(&mut self, served: &Served) {
        let Self {
            placed, refused, ..
        } = self;
        for order in placed.iter_mut().filter(|order| !order.is_started) {
            match order.start(served).await {
                Ok(()) => order.is_started = true,
                Err(error) => refused.extend(refusal(error)),
            }
        }
    }

    /// Takes note of what kept the host from being asked for more.
    pub(crate) fn note(&mut self, error: anyhow::Error) {
        self.refused.extend(refusal(error));
    }

    pub(crate) fn are_all_started(&self) -> bool {
        self.placed.iter().all(|order| order.is_started)
    }

    pub(crate) fn started(&self) -> usize {
        self.placed.iter().filter(|order| order.is_started).count()
    }

    /// What the host answered where it did not do what it was asked.
    pub(crate) fn refused(&self) -> &[String] {
        &self.refused
    }

    pub(crate) fn placed(&self) -> &[Order] {
        &self.placed
    }
}

/// What the host said where it answered and refused; an answer that the kill cut says nothing.
fn refusal(error: anyhow::Error) -> Option<String> {
    error.downcast::<Refused>().ok().map(|no| no.0)
}

/// The project with the workflow.
pub(crate) fn project(lab: &Lab) -> Result<Binary> {
    let docket = Binary::over(lab);
    let text = WORKFLOW.replace("RECIPIENT", RECIPIENT);
    std::fs::write(docket.project().join("chaos.yaml"), text)?;
    Ok(docket)
}
