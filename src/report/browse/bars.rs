//! Rates as bars.

use super::super::group::{Group, rate};
use super::super::layout::shorten;
use super::super::plain::plain;
use crate::record::Record;

/// Cells of a bar.
const BAR: usize = 40;

/// Rates as bars, by kernel and thread count within each kind of work, sizes from small to large: a curve for each.
pub fn bars(records: &[&Record], width: usize) -> String {
    let mut groups: Vec<(String, Vec<&Record>)> = Vec::new();
    for record in records.iter().filter(|record| record.timing().is_some()) {
        let group = Group::of(record);
        let title = format!("{} · {} · {}", group.what(), group.conditions(), record.kernel);
        match groups.iter_mut().find(|(known, _)| *known == title) {
            Some((_, members)) => members.push(record),
            None => groups.push((title, vec![record])),
        }
    }
    let speed = |record: &Record| {
        let cost = record.case.cost();
        let work = if cost.flops.0 > 0 { cost.flops.0 } else { cost.bytes.0 };
        record.timing().map_or(0.0, |timing| work as f64 / timing.median.0)
    };
    let mut text = String::new();
    for (title, mut members) in groups {
        members.sort_by(|a, b| {
            let work = |record: &Record| (record.case.cost().flops.0, record.case.cost().bytes.0);
            work(a).cmp(&work(b))
        });
        let most = members.iter().map(|record| speed(record)).fold(0.0, f64::max);
        text += &format!("{}\n", shorten(&plain(&title), width));
        for record in members {
            let bar = bar(speed(record) / most);
            let rate = rate(record).unwrap_or_default();
            let line = format!("  {bar:<BAR$} {rate:>12}  {}", record.case.sizes());
            text += &format!("{}\n", shorten(&line, width));
        }
    }
    text
}

/// A share of [`BAR`] cells, to an eighth of one.
fn bar(share: f64) -> String {
    const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    let mut text = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        text.push(PARTS[eighths % 8]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    #[test]
    fn the_longest_bar_is_the_fastest_and_no_line_is_wider_than_the_terminal() {
        assert_eq!((bar(1.0), bar(0.0)), ("█".repeat(BAR), String::new()));
        assert_eq!(bar(1.0 / (8 * BAR) as f64), "▏");
        let records = synthetic::records();
        let rows: Vec<&Record> = records.iter().collect();
        let text = bars(&rows, 80);
        assert!(text.lines().count() > 3, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(bars(&rows, 120).contains(&"█".repeat(BAR)));
    }
}
