//! What expressions cost: one evaluation for each of 10,000 items must not look at the other 9,999.

use std::collections::BTreeMap;
use std::sync::Arc;

use divan::{Bencher, black_box};
use docket_model::{
    CompiledPlan, Digest, Item, PLAN_FORMAT, Piece, Plan, Scope, StepValue, Steps, Template,
};
use serde_json::{Value, json};

fn main() {
    divan::main();
}

fn plan() -> Arc<Plan> {
    let expression = |text: &str| Template::Expression(text.to_owned());
    let outputs = [
        ("field", expression("item.mailbox")),
        (
            "object",
            expression("{'id': item.id, 'mailbox': item.mailbox}"),
        ),
        (
            "by-index",
            expression("steps.import-mail.output.messages[index].id"),
        ),
        (
            "condition",
            expression("item.size > 10 && item.subject.contains('voice')"),
        ),
        (
            "all",
            expression("steps.import-mail.output.messages.map(m, m.id)"),
        ),
        (
            "text",
            Template::Text(vec![
                Piece::Text("Re: ".to_owned()),
                Piece::Expression("item.subject".to_owned()),
            ]),
        ),
        (
            "body",
            Template::Render {
                template: "body.html".to_owned(),
                data: Box::new(Template::Object(vec![(
                    "subject".to_owned(),
                    expression("item.subject"),
                )])),
            },
        ),
    ];
    Arc::new(Plan {
        format: PLAN_FORMAT,
        workflow: "bench".to_owned(),
        source: Digest::of(b""),
        inputs: BTreeMap::new(),
        steps: Vec::new(),
        on_error: Vec::new(),
        timeout: None,
        concurrency: None,
        outputs: outputs
            .map(|(name, template)| (name.to_owned(), template))
            .into(),
        triggers: Vec::new(),
        plugins: BTreeMap::new(),
        templates: BTreeMap::from([(
            "body.html".to_owned(),
            "<p>We have received {{ subject }}.</p>".to_owned(),
        )]),
    })
}

fn messages(count: usize) -> Value {
    let message = |n: usize| {
        json!({
            "id": format!("m{n}"), "mailbox": "invoices@contoso.example", "size": n,
            "subject": format!("Invoice {n}"),
        })
    };
    json!({"messages": (0..count).map(message).collect::<Vec<_>>()})
}

/// One evaluation, with the outputs of a step that found 10,000 messages in sight.
#[divan::bench(args = ["field", "object", "by-index", "condition", "text", "body", "all"])]
fn evaluate(bencher: Bencher<'_, '_>, what: &str) {
    let compiled = CompiledPlan::new(plan()).expect("a plan");
    let steps = Steps::from([(
        "import-mail".to_owned(),
        StepValue {
            output: Some(messages(10_000)),
            failure: None,
        },
    )]);
    let inputs = json!({});
    let item = json!({
        "id": "m7", "mailbox": "invoices@contoso.example", "size": 70, "subject": "Invoice 7",
    });
    let template = &compiled.plan().outputs[what];
    bencher.bench_local(|| {
        let scope = Scope {
            inputs: &inputs,
            steps: &steps,
            failure: None,
            item: Some(Item {
                value: &item,
                index: 9_000,
            }),
            event: None,
            run: "r-1",
            workflow: "bench",
        };
        compiled.evaluate(black_box(template), &scope)
    });
}

#[divan::bench]
fn compile() -> CompiledPlan {
    CompiledPlan::new(plan()).expect("a plan")
}
