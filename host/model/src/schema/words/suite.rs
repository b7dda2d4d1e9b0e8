//! The words of tests of workflows, `NAME.test.yaml`.

use serde_json::{Value, json};

use super::{ADDRESS, Form, Words, word};
use crate::FailureClass;

const ADDRESSES: Form =
    Form::Either(&[Form::Pattern(ADDRESS), Form::List(&Form::Pattern(ADDRESS))]);

/// Tests of a workflow, top level.
pub(crate) static SUITE: Words = Words {
    name: "suite",
    rows: &[
        word(
            "workflow",
            Form::Text,
            "The workflow's file, from this one; NAME.yaml for NAME.test.yaml where nothing is said.",
        ),
        word("description", Form::Text, "What is tested, for people."),
        word(
            "inputs",
            Form::Named("", &Form::Data),
            "What every case is given; a case's own inputs go before.",
        ),
        word(
            "tenant",
            Form::Mapping(&STATE),
            "What every case finds in its tenant; a case may add to it.",
        ),
        word(
            "cases",
            Form::List(&Form::Mapping(&CASE)),
            "The cases. Each has a tenant and a data folder of its own.",
        )
        .required(),
    ],
    rules: Some(|| json!({"properties": {"cases": {"minItems": 1}}})),
};

/// A case.
pub(crate) static CASE: Words = Words {
    name: "case",
    rows: &[
        word("name", Form::Line(200), "What the case shows: one line.").required(),
        word(
            "inputs",
            Form::Named("", &Form::Data),
            "What the run is given, by name. A document is `{$file: PATH}`, from this file, or `{$text: \
             TEXT, name: NAME}`; a mail of the tenant is `{$mail: SUBJECT, mailbox: ADDRESS}`.",
        ),
        word(
            "tenant",
            Form::Mapping(&STATE),
            "What the case finds in its tenant besides.",
        ),
        word(
            "faults",
            Form::List(&Form::Mapping(&FAULT)),
            "What goes wrong at the provider, on which request.",
        ),
        word(
            "told",
            Form::List(&Form::Mapping(&TOLD)),
            "What the run is told while it waits: events and decisions.",
        ),
        word(
            "expect",
            Form::Mapping(&EXPECTED),
            "How the run ends, and what is in the mailboxes afterwards.",
        )
        .required(),
    ],
    rules: None,
};

/// What is in a tenant before the run.
pub(crate) static STATE: Words = Words {
    name: "tenant",
    rows: &[
        word(
            "people",
            Form::List(&Form::Pattern(ADDRESS)),
            "People with mailboxes, beside those of the project's connections.",
        ),
        word(
            "mailboxes",
            Form::List(&Form::Pattern(ADDRESS)),
            "Shared mailboxes beside those of the project's connections, without any rights on them.",
        ),
        word(
            "folders",
            Form::Named("", &Form::List(&Form::Text)),
            "Folders by mailbox, each a path: `Inbox/2026`.",
        ),
        word(
            "signed-in",
            Form::List(&Form::Pattern(ADDRESS)),
            "Who has signed in to the connections of the kind per-user. Service accounts always have.",
        ),
        word(
            "mail",
            Form::List(&Form::Mapping(&MAIL)),
            "Mail that has arrived, oldest first.",
        ),
    ],
    rules: None,
};

/// A mail that has arrived.
pub(crate) static MAIL: Words = Words {
    name: "mail",
    rows: &[
        word("mailbox", Form::Pattern(ADDRESS), "Whose mailbox it is in.").required(),
        word(
            "folder",
            Form::Text,
            "The folder, by its path or its well-known name; the inbox where nothing is said.",
        ),
        word(
            "from",
            Form::Either(&[Form::Pattern(ADDRESS), Form::Mapping(&SENDER)]),
            "Who it is from.",
        )
        .required(),
        word(
            "to",
            ADDRESSES,
            "Whom it is to; the mailbox itself where nothing is said.",
        ),
        word("subject", Form::Text, "Its subject.").required(),
        word("text", Form::Text, "Its body as plain text."),
        word("html", Form::Text, "Its body as HTML."),
        word("read", Form::Boolean, "Whether it was read."),
        word(
            "attachments",
            Form::List(&Form::Mapping(&ATTACHMENT)),
            "What is attached.",
        ),
    ],
    rules: Some(|| json!({"not": {"required": ["text", "html"]}})),
};

/// Whom a mail is from, with a name.
pub(crate) static SENDER: Words = Words {
    name: "sender",
    rows: &[
        word("address", Form::Pattern(ADDRESS), "The address.").required(),
        word("name", Form::Text, "The name."),
    ],
    rules: None,
};

/// What is attached to a mail that has arrived.
pub(crate) static ATTACHMENT: Words = Words {
    name: "attachment",
    rows: &[
        word(
            "name",
            Form::Text,
            "Its name; that of the file where nothing is said.",
        ),
        word(
            "file",
            Form::Text,
            "The file with its bytes, from this one.",
        ),
        word("text", Form::Text, "Its content, in place of a file."),
    ],
    rules: Some(|| json!({"oneOf": [{"required": ["file"]}, {"required": ["name", "text"]}]})),
};

/// What goes wrong at the provider.
pub(crate) static FAULT: Words = Words {
    name: "fault",
    rows: &[
        word(
            "request",
            Form::Pattern(r"^([A-Z]+ +)?\S+$"),
            "On which request: a method and a path in which `*` stands for anything, as in `POST \
             */messages/*/send`.",
        )
        .required(),
        word("fault", Form::Listed(fault_kinds), "What goes wrong.").required(),
        word(
            "skip",
            Form::Whole(0, 10_000),
            "How many such requests go well before.",
        ),
        word(
            "times",
            Form::Whole(1, 10_000),
            "How many such requests it hits; 1 where nothing is said.",
        ),
        word(
            "retry-after",
            Form::Text,
            "The answer's Retry-After, word for word.",
        ),
        word(
            "millis",
            Form::Whole(1, 600_000),
            "Of `latency`: how much longer it takes.",
        ),
        word(
            "status",
            Form::Whole(400, 599),
            "Of `refuse`: the HTTP status.",
        ),
        word("code", Form::Text, "Of `refuse`: Graph's error code."),
        word(
            "user",
            Form::Pattern(ADDRESS),
            "Of `sign-in-lapses`: whose sign-in.",
        ),
    ],
    rules: None,
};

/// What may go wrong, by the tenant's words.
pub(crate) fn fault_kinds() -> Vec<&'static str> {
    vec![
        "latency",
        "throttle",
        "unavailable",
        "gateway-timeout",
        "timeout-after-accept",
        "reset-before",
        "reset-after",
        "refuse",
        "access-token-expired",
        "sign-in-lapses",
        "delta-lost",
        "accepted-not-sent",
    ]
}

/// What a run is told.
pub(crate) static TOLD: Words = Words {
    name: "told",
    rows: &[
        word(
            "approve",
            Form::Text,
            "The step of the kind wait/approval that is approved.",
        ),
        word(
            "reject",
            Form::Text,
            "The step of the kind wait/approval that is rejected.",
        ),
        word("by", Form::Text, "Who decides."),
        word("comment", Form::Text, "Why."),
        word("event", Form::Text, "The name of an event."),
        word("payload", Form::Data, "What comes with the event."),
    ],
    rules: Some(|| {
        json!({"oneOf": [
            {"required": ["approve"]}, {"required": ["reject"]}, {"required": ["event"]}
        ]})
    }),
};

/// What must be so afterwards.
pub(crate) static EXPECTED: Words = Words {
    name: "expect",
    rows: &[
        word(
            "result",
            Form::OneOf(&["succeeded", "failed", "waiting"]),
            "How the run ends; `succeeded` where nothing is said, and `failed` where `failure` is.",
        ),
        word(
            "failure",
            Form::Mapping(&EXPECTED_FAILURE),
            "Why it failed.",
        ),
        word(
            "outputs",
            Form::Named("", &Form::Data),
            "The run's outputs. Those that are not named may be anything.",
        ),
        word(
            "steps",
            Form::Named(
                "",
                &Form::OneOf(&["done", "failed", "skipped", "not-reached"]),
            ),
            "What became of steps.",
        ),
        word(
            "mailboxes",
            Form::Named(
                "",
                &Form::Named("", &Form::List(&Form::Mapping(&EXPECTED_MAIL))),
            ),
            "By mailbox and folder, all the mail that is there, in any order. A folder that is not \
             named may hold anything; `[]` is an empty one.",
        ),
        word(
            "outside",
            Form::List(&Form::Mapping(&EXPECTED_MAIL)),
            "All the mail that left the tenant, in any order.",
        ),
    ],
    rules: Some(failure_of_a_failed_run),
};

fn failure_of_a_failed_run() -> Value {
    json!({
        "dependencies": {
            "failure": {"properties": {"result": {"const": "failed"}, "outputs": false}},
            "outputs": {"properties": {"result": {"const": "succeeded"}}}
        }
    })
}

/// Why a run failed.
pub(crate) static EXPECTED_FAILURE: Words = Words {
    name: "expected-failure",
    rows: &[
        word("step", Form::Text, "The step that it failed at."),
        word(
            "class",
            Form::Listed(failure_classes),
            "The class of the failure.",
        ),
        word("code", Form::Text, "The failure's code."),
        word("message", Form::Text, "A part of its message."),
    ],
    rules: None,
};

/// The classes of failures.
pub(crate) fn failure_classes() -> Vec<&'static str> {
    FailureClass::ALL.iter().map(|(word, _)| *word).collect()
}

/// A mail that must be there. What is not named may be anything.
pub(crate) static EXPECTED_MAIL: Words = Words {
    name: "expected-mail",
    rows: &[
        word("subject", Form::Text, "Its subject."),
        word(
            "from",
            Form::Pattern(ADDRESS),
            "The mailbox that it is from.",
        ),
        word("sender", Form::Pattern(ADDRESS), "Who really sent it."),
        word("to", ADDRESSES, "All that it is to, in any order."),
        word("cc", ADDRESSES, "All that get a copy, in any order."),
        word(
            "bcc",
            ADDRESSES,
            "All that get a copy unseen, in any order.",
        ),
        word(
            "contains",
            Form::Either(&[Form::Text, Form::List(&Form::Text)]),
            "What its body holds, as it is in the text or the HTML.",
        ),
        word("read", Form::Boolean, "Whether it was read."),
        word("draft", Form::Boolean, "Whether it is a draft."),
        word(
            "categories",
            Form::List(&Form::Text),
            "All its categories, in any order.",
        ),
        word(
            "attachments",
            Form::List(&Form::Either(&[
                Form::Text,
                Form::Mapping(&EXPECTED_ATTACHMENT),
            ])),
            "All that is attached, in any order: names, or `{name: …, file: …}`.",
        ),
    ],
    rules: None,
};

/// What must be attached.
pub(crate) static EXPECTED_ATTACHMENT: Words = Words {
    name: "expected-attachment",
    rows: &[
        word("name", Form::Text, "Its name.").required(),
        word(
            "file",
            Form::Text,
            "The file that it must be the same as, byte for byte, from this one.",
        ),
    ],
    rules: None,
};
