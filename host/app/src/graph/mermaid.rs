//! The picture as Mermaid's flowchart text, which GitHub and many wikis draw.

use std::fmt::{self, Write as _};

use super::{Graph, Node};

/// The picture as a flowchart.
pub(crate) fn mermaid(graph: &Graph) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, graph);
    text
}

fn write(text: &mut String, graph: &Graph) -> fmt::Result {
    writeln!(
        text,
        "---\ntitle: {}\n---",
        serde_json::Value::from(graph.title.as_str())
    )?;
    writeln!(text, "flowchart TD")?;
    if !graph.triggers.is_empty() {
        writeln!(text, "  on([{}])", label("on", &graph.triggers))?;
        writeln!(text, "  on --> start")?;
    }
    writeln!(text, "  start([{}])", label("inputs", &graph.inputs))?;
    let mut before = "start".to_owned();
    for (at, node) in graph.steps.iter().enumerate() {
        let name = format!("step{at}");
        step(text, &name, node)?;
        writeln!(text, "  {before} --> {name}")?;
        before = name;
    }
    writeln!(text, "  finish([{}])", label("outputs", &graph.outputs))?;
    writeln!(text, "  {before} --> finish")?;
    let mut before = before_failure(graph);
    for (at, node) in graph.on_error.iter().enumerate() {
        let name = format!("error{at}");
        step(text, &name, node)?;
        match at {
            0 => writeln!(text, "  {before} -. the run fails .-> {name}")?,
            _ => writeln!(text, "  {before} --> {name}")?,
        }
        before = name;
    }
    Ok(())
}

/// Where the branch for failures leaves: any step may fail, and the first stands for all.
fn before_failure(graph: &Graph) -> String {
    match graph.steps.is_empty() {
        true => "start".to_owned(),
        false => "step0".to_owned(),
    }
}

fn step(text: &mut String, name: &str, node: &Node) -> fmt::Result {
    let mut lines = vec![format!("<b>{}</b>", escaped(&node.id))];
    lines.extend(node.lines().iter().map(|line| escaped(line)));
    let inner = format!("\"{}\"", lines.join("<br>"));
    let shape = match (node.is_wait, node.is_parallel()) {
        (true, _) => format!("{name}{{{{{inner}}}}}"),
        (false, true) => format!("{name}[[{inner}]]"),
        (false, false) => format!("{name}[{inner}]"),
    };
    match node.frame() {
        None => writeln!(text, "  {shape}"),
        Some(frame) => writeln!(
            text,
            "  subgraph {name}each[\"{}\"]\n    {shape}\n  end",
            escaped(&frame)
        ),
    }
}

fn label(what: &str, names: &[String]) -> String {
    match names.is_empty() {
        true => format!("\"no {what}\""),
        false => format!(
            "\"{what}: {}\"",
            escaped(&super::shortened(&names.join(", ")))
        ),
    }
}

/// Text between quotes (Mermaid: "Entity codes to escape characters").
fn escaped(text: &str) -> String {
    text.replace('&', "#amp;")
        .replace('"', "#quot;")
        .replace('<', "#lt;")
        .replace('>', "#gt;")
}
