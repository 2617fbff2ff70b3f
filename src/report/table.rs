//! The table that a run prints.

use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::compare::median;
use super::group::{Group, rate};
use super::layout::shorten;
use super::reasons::merged;
use crate::record::{Outcome, Record};

/// The longest kernel name that is printed whole.
const NAME: usize = 30;

/// Records as a table for a terminal of `width` columns (at least 60): grouped by case, the fastest of a case first and
/// marked with `*`, the share of the measured peak, memory and check beside it; below it what was not measured, with
/// reasons.
pub fn terminal(records: &[Record], width: usize) -> String {
    let width = width.max(60);
    let mut cases: Vec<(String, Vec<&Record>)> = Vec::new();
    for record in records.iter().filter(|r| shown(r)) {
        let key = format!("{} {}", record.device, record.case.key());
        match cases.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(record),
            None => cases.push((key, vec![record])),
        }
    }
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["  kernel", "time", "±", "rate", "of peak", "memory", "check"]);
    let mut titles: Vec<(usize, String)> = Vec::new();
    let mut rows = 0;
    for (_, members) in &mut cases {
        members.sort_by(|a, b| median(a).total_cmp(&median(b)));
        titles.push((rows, heading(members)));
        for (i, record) in members.iter().enumerate() {
            table.add_row(row(record, i == 0 && members.len() > 1));
            rows += 1;
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for column in 1..=5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = String::new();
    if rows > 0 {
        let mut lines = table.lines();
        push(&mut text, &lines.next().unwrap_or_default(), width);
        for (i, line) in lines.enumerate() {
            if let Some((_, title)) = titles.iter().find(|(at, _)| *at == i) {
                push(&mut text, title, width);
            }
            push(&mut text, &line, width);
        }
    }
    text.push_str(&below(records, width));
    text
}

/// Whether a record has a row of its own; refusals and failures are only counted.
fn shown(record: &Record) -> bool {
    matches!(record.outcome, Outcome::Measured(_) | Outcome::Simulated | Outcome::Wrong(_))
}

/// The line above the rows of a case.
fn heading(members: &[&Record]) -> String {
    let Some(first) = members.first() else { return String::new() };
    let group = Group::of(first);
    let mut title = format!("{} {} · {}", group.what(), first.case.sizes(), group.conditions());
    let mut models: Vec<&str> = first.model.split(';').filter(|m| !m.is_empty()).collect();
    let more = models.len().saturating_sub(2);
    models.truncate(2);
    if !models.is_empty() {
        title.push_str(&format!(" · {}", models.join(", ")));
    }
    if more > 0 {
        title.push_str(&format!(" and {more} more"));
    }
    title
}

fn row(record: &Record, best: bool) -> Vec<String> {
    let dash = || "–".to_owned();
    let mark = if best { "* " } else { "  " };
    let timing = record.timing();
    let check = match (&record.outcome, record.check) {
        (Outcome::Wrong(_), _) => "WRONG".to_owned(),
        (_, Some(check)) => format!("ok {}", if check.full { "full" } else { "sampled" }),
        (_, None) => dash(),
    };
    vec![
        format!("{mark}{}", shorten(&record.kernel, NAME)),
        timing.map_or_else(dash, |t| t.median.to_string()),
        timing.map_or_else(dash, |t| format!("{:.1} %", 100.0 * t.relative_half_width())),
        rate(record).unwrap_or_else(dash),
        record.share_of_peak().map_or_else(dash, |share| format!("{:.0} %", 100.0 * share)),
        record.allocated.map_or_else(dash, |bytes| bytes.to_string()),
        check,
    ]
}

/// What was not measured, and why.
fn below(records: &[Record], width: usize) -> String {
    let mut text = String::new();
    for reason in merged(records) {
        let like = if reason.varies { " (and like it)" } else { "" };
        let line = format!(
            "{} {}: {}{like} [{}]",
            reason.count,
            reason.status,
            reason.text.replace('\n', " "),
            reason.kernels.join(", ")
        );
        if text.is_empty() && records.iter().any(shown) {
            text.push('\n');
        }
        push(&mut text, &line, width);
    }
    let measured = records.iter().filter(|r| r.timing().is_some()).count();
    let count = |status| records.iter().filter(|r| r.outcome.status() == status).count();
    let summary = format!(
        "{measured} measured, {} simulated, {} wrong, {} failed, {} refused",
        count("simulated"),
        count("wrong"),
        count("failed"),
        count("refused")
    );
    push(&mut text, &summary, width);
    text
}

fn push(text: &mut String, line: &str, width: usize) {
    text.push_str(shorten(line.trim_end(), width).as_str());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    #[test]
    fn every_line_fits_into_100_columns_and_the_fastest_is_marked() {
        let text = terminal(&synthetic::records(), 100);
        assert!(text.lines().all(|l| l.chars().count() <= 100));
        let lines: Vec<&str> = text.lines().collect();
        let title = "matmul forward nn/m1024-n1024-k1024 · f32, 1 thread, warm";
        let at = lines.iter().position(|l| l.starts_with(title)).expect("the case has a title");
        assert!(lines[at + 1].starts_with("* matmul/"), "{}", lines[at + 1]);
        assert!(lines[at + 1].contains("GFLOP/s") && lines[at + 1].ends_with("ok full"));
        assert!(lines[at + 8].contains("matmul/naive"), "{}", lines[at + 8]);
        let adamw = lines.iter().position(|l| l.starts_with("adamw p16777216")).unwrap();
        assert!(lines[adamw + 1].contains("GB/s"), "{}", lines[adamw + 1]);
    }

    #[test]
    fn refusals_are_counted_below_with_their_reason_merged() {
        let text = terminal(&synthetic::records(), 100);
        assert!(
            text.contains("88 refused: would take 4.5 s, over the budget of 5 s (and like it)")
        );
        assert!(text.ends_with("0 wrong, 0 failed, 88 refused\n"), "{text}");
    }

    #[test]
    fn a_wrong_answer_has_a_row_without_a_time() {
        let mut record = synthetic::square(64, "matmul/bad", "own", 1e-3);
        record.outcome = Outcome::Wrong("entry 3 is NaN".into());
        let text = terminal(&[record], 100);
        assert!(text.lines().any(|l| l.contains("matmul/bad") && l.ends_with("WRONG")), "{text}");
        assert!(text.contains("1 wrong: entry 3 is NaN"), "{text}");
    }

    #[test]
    fn nothing_measured_prints_a_sentence_and_no_empty_table() {
        assert_eq!(terminal(&[], 100), "0 measured, 0 simulated, 0 wrong, 0 failed, 0 refused\n");
    }
}
