//! A plan as a picture: where a step's time and a device's memory go.

use super::report::Plan;
use super::step::{Line, Step};
use super::text::{seconds, short};
use super::times::Basis;
use crate::error::Result;
use crate::report::stacked::{Bar, Segment, Stacked};
use crate::units::Bytes;

/// Parts of a bar that keep a colour of their own; smaller ones are one part together.
const PARTS: usize = 10;

/// Stacked bars as SVG: measured parts full, assumed ones hollow.
///
/// # Errors
/// Only if the drawing library fails.
pub fn render(plan: &Plan) -> Result<String> {
    let mut all = Vec::new();
    let steps = [
        ("training step", plan.training.as_ref().map(|t| &t.0)),
        ("decode step", plan.decoding.as_ref().map(|d| &d.0)),
    ];
    for (name, step) in steps {
        let Some(step) = step else { continue };
        all.push(time(name, step));
        all.push(memory(name, step, plan));
    }
    let threads =
        if plan.device == "cpu" { format!(", {} threads", plan.threads) } else { String::new() };
    let stacked = Stacked {
        title: format!(
            "{} ({} parameters): where time and memory go",
            plan.model,
            short(plan.parameters as f64)
        ),
        caption: format!(
            "by {}, measured on {}{threads}; full: from measured kernels, hollow: assumed",
            plan.run, plan.device
        ),
        bars: all,
    };
    Ok(stacked.picture("plan")?.file())
}

fn time(name: &str, step: &Step) -> Bar {
    let assumed = |line: &Line| line.basis == Basis::Assumed;
    let mut groups: Vec<(String, f64, bool)> = Vec::new();
    for line in &step.lines {
        let Some(span) = line.seconds else { continue };
        let (key, pale) = if assumed(line) { ("memory streams", true) } else { (line.name, false) };
        match groups.iter_mut().find(|g| g.0 == key) {
            Some(group) => group.1 += span.median,
            None => groups.push((key.to_owned(), span.median, pale)),
        }
    }
    groups.push(("exchanges".to_owned(), step.exchanging, true));
    groups.push(("waiting".to_owned(), step.idle.median, true));
    groups.retain(|g| g.1 > 0.0);
    groups.sort_by(|a, b| a.2.cmp(&b.2).then(b.1.total_cmp(&a.1)));
    let total = step.total.median;
    let measured = groups.iter().filter(|g| !g.2).count();
    if measured > PARTS {
        let rest: f64 = groups[PARTS - 1..measured].iter().map(|g| g.1).sum();
        groups.splice(PARTS - 1..measured, [("other kernels".to_owned(), rest, false)]);
    }
    let segment = |(name, value, assumed): (String, f64, bool)| Segment {
        label: format!("{}, {:.1} %", seconds(value), 100.0 * value / total),
        name,
        value,
        assumed,
    };
    let least = match step.missing {
        0 => String::new(),
        1 => " at least (1 line was not measured)".to_owned(),
        n => format!(" at least ({n} lines were not measured)"),
    };
    Bar {
        title: format!("{name}: {}{least}", seconds(total)),
        segments: groups.into_iter().map(segment).collect(),
        limit: None,
    }
}

fn memory(name: &str, step: &Step, plan: &Plan) -> Bar {
    let total = step.memory.total();
    let segment = |part: &super::memory::Part| Segment {
        name: part.name.to_owned(),
        value: part.bytes,
        label: format!("{}, {:.1} %", Bytes(part.bytes as u64), 100.0 * part.bytes / total),
        assumed: false,
    };
    Bar {
        title: format!("memory of a device in a {name}: {}", Bytes(total as u64)),
        segments: step.memory.parts.iter().map(segment).collect(),
        limit: plan.capacity.map(|(bytes, _)| (bytes, format!("capacity {}", Bytes(bytes as u64)))),
    }
}
