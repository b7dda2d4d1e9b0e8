//! Tests of workflows, `NAME.test.yaml`: cases, each with what it is given, what its tenant holds,
//! what goes wrong, and what must be so afterwards.

mod check;
mod expected;
mod read;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{Diagnostics, FailureClass, Plan, Signal, SourceFile, Span};

/// The key that marks an input as a message of the tenant: `{$mail: SUBJECT, mailbox: ADDRESS}`.
pub const MAIL_MARK: &str = "$mail";

/// The tests of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// The workflow's file, relative to the tests' own; `None` where it goes by the tests' name.
    pub workflow: Option<String>,
    /// The cases, in order; at least one.
    pub cases: Vec<Case>,
}

/// A case.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Where its name stands.
    pub span: Span,
    /// The inputs, with documents as [`crate::WrittenDocument`] has them and messages by
    /// [`MAIL_MARK`].
    pub inputs: Map<String, Value>,
    /// What its tenant holds.
    pub tenant: TenantState,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What the run is told.
    pub told: Vec<Signal>,
    /// What must be so afterwards.
    pub expected: Expected,
}

/// What a tenant holds beside what the project's connections need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantState {
    /// People with mailboxes.
    pub people: Vec<String>,
    /// Shared mailboxes without rights.
    pub mailboxes: Vec<String>,
    /// Folders by mailbox.
    pub folders: BTreeMap<String, Vec<String>>,
    /// Who has signed in to connections of the kind per-user.
    pub signed_in: Vec<String>,
    /// Mail that has arrived.
    pub mail: Vec<Arrives>,
}

/// A mail that has arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrives {
    /// Whose mailbox it is in.
    pub mailbox: String,
    /// The folder; the inbox where it is `None`.
    pub folder: Option<String>,
    /// Name and address of who it is from.
    pub from: (String, String),
    /// Whom it is to.
    pub to: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// Whether the body is HTML, and the body.
    pub body: (bool, String),
    /// Whether it was read.
    pub is_read: bool,
    /// What is attached.
    pub attachments: Vec<Attached>,
}

/// What is attached to a mail that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attached {
    /// The bytes of a file, under a name of its own or the file's.
    File {
        /// The file, relative to the tests' own.
        path: String,
        /// The name.
        name: Option<String>,
    },
    /// Text.
    Text {
        /// The name.
        name: String,
        /// The content.
        text: String,
    },
}

/// What goes wrong at the provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The method; any where it is `None`.
    pub method: Option<String>,
    /// The path, in which `*` stands for anything.
    pub path: String,
    /// How many such requests go well before.
    pub skip: u32,
    /// How many such requests it hits.
    pub times: u32,
    /// What goes wrong, by the tenant's word for it.
    pub kind: String,
    /// What else is said of it.
    pub settings: Map<String, Value>,
}

/// How a run ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExpectedResult {
    /// It succeeds.
    #[default]
    Succeeded,
    /// It fails.
    Failed,
    /// It waits for somebody.
    Waiting,
}

impl ExpectedResult {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
        }
    }
}

/// What must be so after a run. What is `None` or not named may be anything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expected {
    /// How the run ends.
    pub result: ExpectedResult,
    /// Why it fails.
    pub failure: Option<ExpectedFailure>,
    /// Outputs by name.
    pub outputs: Map<String, Value>,
    /// What becomes of steps: `done`, `failed`, `skipped` or `not-reached`.
    pub steps: BTreeMap<String, String>,
    /// All mail by mailbox and folder; a mail by the fields that matter.
    pub mailboxes: BTreeMap<String, BTreeMap<String, Vec<Map<String, Value>>>>,
    /// All mail that left the tenant.
    pub outside: Option<Vec<Map<String, Value>>>,
}

/// Why a run must fail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedFailure {
    /// At which step.
    pub step: Option<String>,
    /// The failure's class.
    pub class: Option<FailureClass>,
    /// Its code.
    pub code: Option<String>,
    /// A part of its message.
    pub message: Option<String>,
}

/// Reads tests. There are tests exactly when there is no error among the diagnostics, which come in
/// the order of the file.
#[must_use]
pub fn parse_suite(source: &SourceFile) -> (Option<Suite>, Diagnostics) {
    read::parse(source)
}

/// Holds tests against the plan of their workflow: that it has the inputs, the steps and the outputs
/// that they name. `source` is what [`parse_suite`] has read.
#[must_use]
pub fn check_suite(source: &SourceFile, plan: &Plan) -> Diagnostics {
    check::check(source, plan)
}
