//! What checking a workflow costs: what an editor waits for after each key, so that 1,000 steps should
//! take less than 100 ms.

#[path = "../tests/fixtures/mod.rs"]
mod fixtures;

use std::fmt::Write as _;

use divan::{Bencher, black_box};
use docket_model::{SourceFile, validate, workflow_schema};

fn main() {
    divan::main();
}

/// Steps of each kind: written out in full, with expressions that look back, with `for-each` and
/// conditions, and with a body template.
fn workflow(steps: usize) -> SourceFile {
    let mut text = String::from(
        "workflow: bench\ninputs: {to: {type: string}}\nconnections: {exchange: contoso, \
         graph-import: contoso}\nsteps:\n",
    );
    for at in 0..steps {
        let before = at.saturating_sub(4);
        let step = match at % 4 {
            0 => format!(
                "  - id: step-{at}\n    uses: graph-import/messages\n    with: {{mailbox: \
                 a@contoso.example, folder: Invoices, has-attachments: true, limit: 50}}\n"
            ),
            1 => format!(
                "  - id: step-{at}\n    uses: exchange/send\n    if: ${{{{ \
                 size(steps.step-{from}.output.messages) > 0 }}}}\n    with:\n      to: ${{{{ inputs.to \
                 }}}}\n      subject: \"All of ${{{{ run.workflow }}}}\"\n      text: done\n",
                from = at - 1
            ),
            2 => format!(
                "  - id: step-{at}\n    uses: exchange/draft\n    for-each: ${{{{ \
                 steps.step-{from}.output.messages }}}}\n    with:\n      to: [\"${{{{ \
                 item.from.address }}}}\"]\n      subject: ${{{{ item.subject }}}}\n      html: \
                 {{template: mail.html, data: {{name: \"${{{{ item.from.name }}}}\"}}}}\n",
                from = at - 2
            ),
            _ => format!(
                "  - id: step-{at}\n    uses: exchange/move\n    with: {{message: {{id: a, mailbox: \
                 a@contoso.example}}, folder: F{before}}}\n"
            ),
        };
        // Writing to a string cannot fail.
        let _ = text.write_str(&step);
    }
    SourceFile::new("bench.yaml", text)
}

#[divan::bench(args = [10, 100, 1000])]
fn check(bencher: Bencher<'_, '_>, steps: usize) {
    let (file, catalog) = (workflow(steps), fixtures::catalog());
    let template = |_: &str| Ok("<p>Dear {{ name }}</p>".to_owned());
    let (plan, found) = validate(&file, &catalog, &template);
    assert!(plan.is_some(), "{found}");
    bencher.bench_local(|| validate(black_box(&file), &catalog, &template));
}

#[divan::bench]
fn schema(bencher: Bencher<'_, '_>) {
    let catalog = fixtures::catalog();
    bencher.bench_local(|| workflow_schema(black_box(&catalog)));
}
