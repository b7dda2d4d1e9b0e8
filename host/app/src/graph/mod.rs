//! A workflow as a picture: its steps in order, `for-each` as a frame, and what is done once the run has
//! failed beside them.

mod mermaid;
mod svg;

pub(crate) use self::mermaid::mermaid;
pub(crate) use self::svg::svg;

use docket_model::{Piece, Plan, PlannedStep, Schedule, Template, Trigger, TriggerKind};

/// The longest line of text in a picture, in characters.
const LONGEST: usize = 44;

/// What a picture shows.
pub(crate) struct Graph {
    title: String,
    /// What starts it by itself.
    triggers: Vec<String>,
    inputs: Vec<String>,
    steps: Vec<Node>,
    on_error: Vec<Node>,
    outputs: Vec<String>,
}

/// A step.
struct Node {
    id: String,
    uses: String,
    /// Whom it acts as.
    account: Option<String>,
    condition: Option<String>,
    /// What it is repeated for, and how many at a time.
    each: Option<(String, u32)>,
    /// Whether it waits for a time or for somebody.
    is_wait: bool,
    /// Whether the run goes on when it fails.
    may_fail: bool,
}

impl Graph {
    /// The picture of a plan.
    pub(crate) fn of(plan: &Plan) -> Self {
        let nodes = |steps: &[PlannedStep]| steps.iter().map(Node::of).collect();
        Self {
            title: plan.workflow.clone(),
            triggers: plan.triggers.iter().map(trigger).collect(),
            inputs: plan.inputs.keys().cloned().collect(),
            steps: nodes(&plan.steps),
            on_error: nodes(&plan.on_error),
            outputs: plan.outputs.keys().cloned().collect(),
        }
    }
}

impl Node {
    fn of(step: &PlannedStep) -> Self {
        let account = step.connection.as_ref().map(|name| match &step.act_as {
            Some(user) => format!("{} by {name}", written(user)),
            None => name.clone(),
        });
        Self {
            id: step.id.clone(),
            uses: format!("{}/{}", step.plugin, step.action),
            account,
            condition: step.condition.as_ref().map(written),
            each: step
                .for_each
                .as_ref()
                .map(|list| (written(list), step.max_parallel)),
            is_wait: step.is_built_in(),
            may_fail: step.continue_on_error,
        }
    }

    /// What stands under the step's name, line by line.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.uses.clone()];
        lines.extend(self.account.as_ref().map(|account| format!("as {account}")));
        lines.extend(
            self.condition
                .as_ref()
                .map(|condition| format!("if {condition}")),
        );
        if self.may_fail {
            lines.push("may fail".to_owned());
        }
        lines.iter().map(|line| shortened(line)).collect()
    }

    /// What a frame around it says.
    fn frame(&self) -> Option<String> {
        let (list, at_once) = self.each.as_ref()?;
        let at_once = match at_once {
            1 => String::new(),
            n => format!(", {n} at a time"),
        };
        let room = LONGEST.saturating_sub(at_once.chars().count());
        Some(format!(
            "{}{at_once}",
            cut(&format!("for each of {list}"), room)
        ))
    }

    fn is_parallel(&self) -> bool {
        self.each.as_ref().is_some_and(|(_, at_once)| *at_once > 1)
    }
}

fn trigger(trigger: &Trigger) -> String {
    match &trigger.on {
        TriggerKind::Schedule(Schedule::Cron { cron, time_zone }) => format!("{cron} {time_zone}"),
        TriggerKind::Schedule(Schedule::Every(time)) => format!("every {time:?}"),
        TriggerKind::Webhook => "webhook".to_owned(),
        TriggerKind::Source(poll) => match &poll.condition {
            Some(condition) => shortened(&format!(
                "{}/{} if {}",
                poll.plugin,
                poll.action,
                written(condition)
            )),
            None => format!("{}/{}", poll.plugin, poll.action),
        },
    }
}

/// An expression or a value as somebody would write it, without the braces.
fn written(value: &Template) -> String {
    match value {
        Template::Expression(text) => text.clone(),
        Template::Literal(serde_json::Value::String(text)) => text.clone(),
        Template::Literal(value) => value.to_string(),
        Template::Text(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) | Piece::Expression(text) => text.as_str(),
            })
            .collect(),
        Template::List(items) => format!("{} items", items.len()),
        Template::Object(_) | Template::Render { .. } => "…".to_owned(),
    }
}

fn shortened(text: &str) -> String {
    cut(text, LONGEST)
}

/// A line of at most so many characters; line breaks become blanks.
fn cut(text: &str, longest: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(longest) {
        None => line,
        Some(_) => line
            .chars()
            .take(longest.saturating_sub(1))
            .chain(std::iter::once('…'))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
