//! The comparison as Markdown.

use rayon::prelude::*;

use super::growth::{GROWTH, GROWTH_COLUMNS, growth_rows};
use super::matrix::{Line, MeanRow, by_group, by_model, by_op, median, missing};
use super::worth::{Worth, worth};
use super::{Comparison, Kind, Side, machines};
use crate::record::Record;
use crate::report::axis::three_digits;
use crate::report::group::{short, threads};
use crate::report::tables::{cell, code, dash, table};

/// Missing cases of a side that are named; the rest are counted.
const NAMED: usize = 30;

/// The comparison as Markdown, with pictures from the folder `place`, which a link leads to.
pub fn markdown(all: &Comparison, kinds: &[Kind], place: &str) -> String {
    let Comparison { sides, base, lines, .. } = all;
    let base = *base;
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
    text.push_str(&means("op", sides, base, &by_op(lines, base)));
    let models = by_model(lines, base);
    if !models.is_empty() {
        section(&mut text, "By model");
        text.push_str("Over the products and attention that stand for a model, each once.\n\n");
        text.push_str(&means("model", sides, base, &models));
    }
    if !all.by_kernel.is_empty() {
        section(&mut text, "By kernel");
        text.push_str("The same kernel on the same case with as many threads.\n\n");
        text.push_str(&means("kernel", sides, base, &all.by_kernel));
    }
    for worth in worth(all) {
        let per = worth.per;
        section(&mut text, &format!("Work per {}", per.name()));
        text.push_str(&format!(
            "{} The base's own column is its work, the others are ratios to it.\n\n",
            per.what()
        ));
        text.push_str(&worth_table(&worth, sides, base));
    }
    if let Some(table) = growth_table(all) {
        section(&mut text, "Growth");
        text.push_str(&format!("{GROWTH}\n\n{table}"));
    }
    if !kinds.is_empty() {
        section(&mut text, "Pictures");
    }
    for kind in kinds {
        text.push_str(&format!("### {}\n\n", kind.title));
        for picture in &kind.pictures {
            let alt = picture.alt.replace(['[', ']', '\n', '`'], " ").replace('<', "&lt;");
            text.push_str(&format!("![{alt}]({place}/{}.svg)\n\n", picture.name));
        }
    }
    section(&mut text, "Cases");
    for (heading, members) in by_group(lines) {
        text.push_str(&format!("### {heading}\n\n{}\n", cases(sides, base, &members)));
    }
    not_compared(&mut text, sides, lines);
    text
}

fn growth_table(all: &Comparison) -> Option<String> {
    let rows = growth_rows(all);
    let cells = |row: &Vec<String>| row.iter().map(|text| cell(text)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    (!rows.is_empty()).then(|| table(&GROWTH_COLUMNS, &rows))
}

/// A row an op: what the base does, and the ratio of each other side.
fn worth_table(worth: &Worth, sides: &[Side], base: usize) -> String {
    let others = || (0..sides.len()).filter(|i| *i != base);
    let mut header = vec!["op".to_owned(), format!("{} (base) ", cell(&sides[base].name))];
    header.extend(others().map(|i| format!("{} ", cell(&sides[i].name))));
    let row = |((name, means), own): (&MeanRow, &String)| {
        let mut row = vec![cell(name), own.clone()];
        row.extend(others().map(|i| means[i].map_or_else(dash, |mean| mean.to_string())));
        row
    };
    let rows: Vec<Vec<String>> = worth.rows.iter().zip(&worth.base).map(row).collect();
    table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
}

fn section(text: &mut String, title: &str) {
    text.push_str(&format!("\n## {title}\n\n"));
}

/// A row a name, a column a side.
fn means(what: &str, sides: &[Side], base: usize, rows: &[MeanRow]) -> String {
    let others = || sides.iter().enumerate().filter(|(i, _)| *i != base);
    let mut header = vec![what.to_owned()];
    header.extend(others().map(|(_, side)| format!("{} ", cell(&side.name))));
    let row = |(name, means): &MeanRow| {
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
                .map(|base| median(base) / median(record))
                .map(|ratio| format!(" **{}×**", three_digits(ratio)));
            format!("{}{}", answer(record), ratio.unwrap_or_default())
        }));
        row
    };
    let rows: Vec<Vec<String>> = lines.par_iter().map(row).collect();
    table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
}

/// `1.2 ms simd, 2 threads, 93 %`
fn answer(record: &Record) -> String {
    let time = record.timing().map_or_else(dash, |t| t.median.to_string());
    let share = record.share_of_peak().map(|s| format!(", {:.0} %", 100.0 * s));
    let on = match record.device.as_str() {
        "cpu" => format!(", {}", threads(record.case.threads)),
        _ => String::new(),
    };
    format!("{time} {}{on}{}", code(short(&record.kernel)), share.unwrap_or_default())
}

/// What some side measured and another did not, by name and reason.
fn not_compared(text: &mut String, sides: &[Side], lines: &[Line]) {
    section(text, "Not compared");
    let mut whole = true;
    let all: Vec<_> =
        sides.par_iter().enumerate().map(|(i, side)| missing(side, i, lines)).collect();
    for (side, lacks) in sides.iter().zip(all) {
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
