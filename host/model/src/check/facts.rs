//! What is known of the steps of a workflow, and how they need each other.

use std::collections::BTreeSet;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};

use super::types::Type;

/// What is known of a step.
#[derive(Debug, Clone)]
pub(crate) struct StepFacts {
    pub(crate) id: String,
    /// `output`.
    pub(crate) output: Type,
    /// Whether the run goes on when it fails.
    pub(crate) may_fail: bool,
    /// The steps that its expressions name.
    pub(crate) needs: BTreeSet<String>,
}

/// The steps that an expression names.
pub(crate) fn named_steps(node: &IdedExpr, found: &mut BTreeSet<String>) {
    let is_steps = |of: &IdedExpr| matches!(&of.expr, Expr::Ident(name) if name == "steps");
    match &node.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => {}
        Expr::Select(select) if is_steps(&select.operand) => {
            found.insert(select.field.clone());
        }
        Expr::Select(select) => named_steps(&select.operand, found),
        Expr::Call(call) => {
            if let [of, index] = call.args.as_slice()
                && is_steps(of)
                && let Some(name) = string_literal(index)
            {
                found.insert(name.to_owned());
            }
            let all = call.target.as_deref().into_iter().chain(&call.args);
            all.for_each(|node| named_steps(node, found));
        }
        Expr::List(list) => list
            .elements
            .iter()
            .for_each(|node| named_steps(node, found)),
        Expr::Map(map) => map.entries.iter().for_each(|entry| {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                named_steps(&entry.key, found);
                named_steps(&entry.value, found);
            }
        }),
        Expr::Comprehension(made) => {
            let all = [
                &made.iter_range,
                &made.accu_init,
                &made.loop_step,
                &made.result,
            ];
            all.into_iter().for_each(|node| named_steps(node, found));
        }
        Expr::Struct(_) => {}
    }
}

/// The text of a node that is a text written out.
pub(super) fn string_literal(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// The way from a step to another that it needs, and on back to the first: "`a`, `b`, `a`".
pub(super) fn cycle(steps: &[StepFacts], from: usize, to: usize) -> Option<String> {
    let first = steps.get(from)?;
    // Each step with the one by which it was found.
    let mut found = vec![(steps.get(to)?, None)];
    let mut at = 0;
    while let Some((step, _)) = found.get(at).copied() {
        if step.needs.contains(&first.id) {
            let mut way = vec![format!("`{}`", first.id)];
            let mut next = Some(at);
            while let Some((step, before)) = next.and_then(|at| found.get(at)) {
                way.push(format!("`{}`", step.id));
                next = *before;
            }
            way.push(format!("`{}`", first.id));
            way.reverse();
            return Some(way.join(" → "));
        }
        for step in steps.iter().filter(|next| step.needs.contains(&next.id)) {
            if !found.iter().any(|(known, _)| known.id == step.id) {
                found.push((step, Some(at)));
            }
        }
        at += 1;
    }
    None
}
