//! The picture as SVG: one column of steps, and a second one for what is done after a failure. It
//! takes the page's colours, light or dark.

use std::fmt::{self, Write as _};

use super::{Graph, Node};
use crate::xml::escaped;

/// A step's width, and the frame's and the page's margins, in pixels.
const WIDTH: u32 = 350;
const MARGIN: u32 = 28;
const FRAME: u32 = 14;
/// The height of a line, of a step's name, and of an arrow.
const LINE: u32 = 18;
const NAME: u32 = 26;
const ARROW: u32 = 30;
/// Between the two columns.
const GAP: u32 = 70;
/// The height of the rounded ends.
const END: u32 = 32;
const TITLE: u32 = 34;

const STYLE: &str = "
    text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #57606a }
    .title { font-size: 16px; font-weight: 600; fill: #1f2328 }
    .name { font-weight: 600; fill: #1f2328 }
    .code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 12px }
    .box { fill: #f6f8fa; stroke: #8c959f }
    .wait { stroke-dasharray: 5 3 }
    .end { fill: none; stroke: #8c959f }
    .frame { fill: none; stroke: #0969da; stroke-dasharray: 2 3 }
    .each { fill: #0969da }
    .arrow { fill: none; stroke: #8c959f; stroke-width: 1.3 }
    .head { fill: #8c959f }
    .failure { stroke: #cf222e; stroke-dasharray: 5 4 }
    .fails { fill: #cf222e }
    @media (prefers-color-scheme: dark) {
      text { fill: #9198a1 }
      .title, .name { fill: #f0f6fc }
      .box { fill: #151b23; stroke: #656c76 }
      .end, .arrow { stroke: #656c76 }
      .head { fill: #656c76 }
      .frame { stroke: #4493f8 }
      .each { fill: #4493f8 }
      .failure { stroke: #f85149 }
      .fails { fill: #f85149 }
    }
  ";

/// The picture as an SVG document.
pub(crate) fn svg(graph: &Graph) -> String {
    let mut body = String::new();
    // Writing to a string cannot fail.
    let (width, height) = draw(&mut body, graph).unwrap_or_default();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\">\n  <title>{}</title>\n  <style>{STYLE}</style>\n{body}</svg>\n",
        escaped(&graph.title)
    )
}

fn draw(text: &mut String, graph: &Graph) -> Result<(u32, u32), fmt::Error> {
    let left = MARGIN + FRAME;
    let middle = left + WIDTH / 2;
    let title = super::cut(&graph.title, 60);
    writeln!(
        text,
        "  <text class=\"title\" x=\"{left}\" y=\"{MARGIN}\">{}</text>",
        escaped(&title)
    )?;
    let mut y = MARGIN + TITLE / 2;
    if !graph.triggers.is_empty() {
        y = end(text, left, y, "on", &graph.triggers)?;
        y = arrow(text, middle, y, y + ARROW)?;
    }
    y = end(text, left, y, "inputs", &graph.inputs)?;
    let fails_from = y + ARROW / 2;
    for node in &graph.steps {
        y = arrow(text, middle, y, y + ARROW)?;
        y = step(text, left, y, node)?;
    }
    y = arrow(text, middle, y, y + ARROW)?;
    y = end(text, left, y, "outputs", &graph.outputs)?;
    let width = left + WIDTH + FRAME + MARGIN;
    if graph.on_error.is_empty() {
        return Ok((width, y + MARGIN));
    }
    let right = left + WIDTH + FRAME + GAP + FRAME;
    let top = fails_from + ARROW;
    let middle = right + WIDTH / 2;
    writeln!(
        text,
        "  <path class=\"arrow failure\" d=\"M{} {fails_from} H{middle} V{top}\"/>\n  <path \
         class=\"fails\" d=\"M{} {} l8 0 l-4 8 z\"/>\n  <text class=\"fails\" x=\"{}\" \
         y=\"{}\">the run fails</text>",
        left + WIDTH / 2 + 8,
        middle - 4,
        top - 8,
        right,
        fails_from - 6
    )?;
    let mut below = top;
    for (at, node) in graph.on_error.iter().enumerate() {
        if at > 0 {
            below = arrow(text, middle, below, below + ARROW)?;
        }
        below = step(text, right, below, node)?;
    }
    Ok((right + WIDTH + FRAME + MARGIN, y.max(below) + MARGIN))
}

/// Where a run begins or ends; gives the place below.
fn end(text: &mut String, x: u32, y: u32, what: &str, names: &[String]) -> Result<u32, fmt::Error> {
    let label = match names.is_empty() {
        true => format!("no {what}"),
        false => super::shortened(&format!("{what}: {}", names.join(", "))),
    };
    writeln!(
        text,
        "  <rect class=\"end\" x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{END}\" rx=\"16\"/>\n  \
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        x + WIDTH / 2,
        y + 21,
        escaped(&label)
    )?;
    Ok(y + END)
}

/// A step, with its frame where it has one; gives the place below.
fn step(text: &mut String, x: u32, y: u32, node: &Node) -> Result<u32, fmt::Error> {
    let lines = node.lines();
    let height = NAME + LINE * u32::try_from(lines.len()).unwrap_or(0) + 8;
    let frame = node.frame();
    let top = match frame {
        Some(_) => y + LINE + 8,
        None => y,
    };
    if let Some(label) = &frame {
        writeln!(
            text,
            "  <rect class=\"frame\" x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n  <text \
             class=\"each\" x=\"{x}\" y=\"{}\">{}</text>",
            x - FRAME,
            WIDTH + 2 * FRAME,
            height + LINE + 8 + FRAME,
            y + LINE,
            escaped(label)
        )?;
    }
    if node.is_parallel() {
        // What is done side by side lies in a stack.
        writeln!(
            text,
            "  <rect class=\"box\" x=\"{}\" y=\"{}\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>",
            x + 5,
            top + 5
        )?;
    }
    let class = match node.is_wait {
        true => "box wait",
        false => "box",
    };
    writeln!(
        text,
        "  <rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{height}\" \
         rx=\"6\"/>\n  <text class=\"name\" x=\"{}\" y=\"{}\">{}</text>",
        x + 14,
        top + 20,
        escaped(&super::shortened(&node.id))
    )?;
    for (line, below) in lines.iter().zip(1..) {
        writeln!(
            text,
            "  <text class=\"code\" x=\"{}\" y=\"{}\">{}</text>",
            x + 14,
            top + 20 + LINE * below,
            escaped(line)
        )?;
    }
    Ok(match frame {
        Some(_) => top + height + FRAME,
        None => top + height,
    })
}

/// An arrow down; gives the place below.
fn arrow(text: &mut String, x: u32, from: u32, to: u32) -> Result<u32, fmt::Error> {
    writeln!(
        text,
        "  <path class=\"arrow\" d=\"M{x} {from} V{}\"/>\n  <path class=\"head\" d=\"M{} {} l8 0 l-4 8 \
         z\"/>",
        to - 6,
        x - 4,
        to - 8
    )?;
    Ok(to)
}
