//! Several runs side by side: which machine is faster at what, by how much, and what cannot be said.
//!
//! A run takes part once for each device that it measured. A case is compared whatever its thread count, by the fastest right
//! answer of each side: what the machine gives, not what a kernel does on it; kernels are compared in a table of their own, at equal
//! thread counts. Only cases that both sides measured count; what one of them lacks is counted and named.

mod machines;
mod matrix;
mod page;
#[cfg(test)]
mod tests;

use super::tables::{cell, code, dash, table};
use crate::record::Record;
use matrix::{Line, Mean, by_kernel, by_model, by_op, lines, missing};
pub use page::page;

/// The records of a run on one of its devices.
#[derive(Debug, Clone)]
pub struct Side<'a> {
    /// What it is called; no two are called alike.
    pub name: String,
    /// The machine, as (label, value).
    pub facts: &'a [(String, String)],
    /// All of its records on that device.
    pub records: Vec<&'a Record>,
}

/// Missing cases of a side that are named; the rest are counted.
const NAMED: usize = 30;

/// The whole comparison; ratios are speeds over that of side `base`: above 1 is faster than it.
pub fn markdown(sides: &[Side], base: usize) -> String {
    let lines = lines(sides);
    let mut text = String::from("# scalemark comparison\n\n");
    text.push_str(&format!(
        "Ratios are speeds over those of {}: above 1 is faster. Means are geometric, over the cases that both measured; in brackets \
         stands their 95 % interval, which covers how far each time was known in its run, and neither another day nor other cases.\n",
        code(&sides[base].name)
    ));
    section(&mut text, "Machines");
    text.push_str(&machines::facts(sides).markdown(sides));
    if let Some(peaks) = machines::peaks(sides) {
        text.push_str("\nWhat each was measured to reach:\n\n");
        text.push_str(&peaks.markdown(sides));
    }
    section(&mut text, "By op");
    text.push_str(
        "The fastest right answer of each side, whatever kernel and thread count gave it.\n\n",
    );
    text.push_str(&means("op", sides, base, &by_op(&lines, base)));
    let models = by_model(&lines, base);
    if !models.is_empty() {
        section(&mut text, "By model");
        text.push_str("Over the products and attention that stand for a model, each once.\n\n");
        text.push_str(&means("model", sides, base, &models));
    }
    let kernels = by_kernel(sides, base);
    if !kernels.is_empty() {
        section(&mut text, "By kernel");
        text.push_str("The same kernel on the same case with as many threads.\n\n");
        text.push_str(&means("kernel", sides, base, &kernels));
    }
    section(&mut text, "Cases");
    for (heading, members) in matrix::by_group(&lines) {
        text.push_str(&format!("### {heading}\n\n{}\n", cases(sides, base, &members)));
    }
    not_compared(&mut text, sides, &lines);
    text
}

fn section(text: &mut String, title: &str) {
    text.push_str(&format!("\n## {title}\n\n"));
}

/// A row a name, a column a side.
fn means(what: &str, sides: &[Side], base: usize, rows: &[(String, Vec<Option<Mean>>)]) -> String {
    let others = || sides.iter().enumerate().filter(|(i, _)| *i != base);
    let mut header = vec![what.to_owned()];
    header.extend(others().map(|(_, side)| format!("{} ", cell(&side.name))));
    let row = |(name, means): &(String, Vec<Option<Mean>>)| {
        let mut row = vec![cell(name)];
        row.extend(others().map(|(i, _)| means[i].map_or_else(dash, |mean| mean.to_string())));
        row
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    if rows.is_empty() {
        return "Nothing was measured on both.\n".to_owned();
    }
    table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
}

/// A row a case; of each side its time, its kernel, its share of the peak and its ratio.
fn cases(sides: &[Side], base: usize, lines: &[&Line]) -> String {
    let mut header = vec!["case".to_owned()];
    header.extend(sides.iter().map(|side| format!("{} ", cell(&side.name))));
    let row = |line: &&Line| {
        let mut row = vec![cell(&line.case.sizes())];
        row.extend(line.best.iter().enumerate().map(|(i, best)| {
            let Some(record) = best else { return dash() };
            let ratio = line.best[base]
                .filter(|_| i != base)
                .map(|base| format!(" **{:.2}×**", matrix::median(base) / matrix::median(record)));
            format!("{}{}", answer(record), ratio.unwrap_or_default())
        }));
        row
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
}

/// `1.2 ms simd, 2 threads, 93 %`
fn answer(record: &Record) -> String {
    let time = record.timing().map_or_else(dash, |t| t.median.to_string());
    let share = record.share_of_peak().map(|s| format!(", {:.0} %", 100.0 * s));
    let on = match record.device.as_str() {
        "cpu" => format!(", {}", super::group::threads(record.case.threads)),
        _ => String::new(),
    };
    format!("{time} {}{on}{}", code(super::group::short(&record.kernel)), share.unwrap_or_default())
}

/// What some side measured and another did not, by name and reason.
fn not_compared(text: &mut String, sides: &[Side], lines: &[Line]) {
    section(text, "Not compared");
    let mut whole = true;
    for (i, side) in sides.iter().enumerate() {
        let lacks = missing(side, i, lines);
        if lacks.is_empty() {
            continue;
        }
        whole = false;
        text.push_str(&format!(
            "<details><summary>{} lacks {} of {} cases that others measured</summary>\n\n",
            cell(&side.name),
            lacks.len(),
            lines.len()
        ));
        for (case, reason) in lacks.iter().take(NAMED) {
            text.push_str(&format!("- {}: {}\n", code(case), cell(reason)));
        }
        if lacks.len() > NAMED {
            text.push_str(&format!("- and {} more\n", lacks.len() - NAMED));
        }
        text.push_str("\n</details>\n\n");
    }
    if whole {
        text.push_str("Every case was measured on every side.\n");
    }
}
