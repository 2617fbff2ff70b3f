//! Records for a terminal: sorted and searched, with the spread of their samples, and rates as bars.

use std::cmp::Ordering;
use std::collections::HashMap;

use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::group::{Group, rate};
use super::layout::shorten;
use crate::record::{Outcome, Record, Sample};

/// What rows are sorted by, the first as a reader wants it: the fastest, the nearest to the limit, the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// As they were measured
    Order,
    /// The shortest first
    Time,
    /// The highest share of the measured limit first
    Share,
    /// The least memory first
    Memory,
    /// The widest interval first
    Spread,
    /// By name
    Kernel,
    /// By case
    Case,
}

/// Steps of a sparkline.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Bins of a histogram of samples.
const BINS: usize = 8;
/// Cells of a bar.
const BAR: usize = 40;

/// Whether a record has all of these words, in any case, in its kernel, provider, device, models, case or status.
pub fn has(record: &Record, words: &[String]) -> bool {
    let text = [
        record.kernel.as_str(),
        &record.provider,
        &record.device,
        &record.model,
        &record.case.key(),
        record.outcome.status(),
    ];
    let text = text.join(" ").to_lowercase();
    words.iter().all(|word| text.contains(&word.to_lowercase()))
}

/// Sorts; what lacks the number comes last, and ties stay as they were.
pub fn sort(records: &mut [&Record], by: By, reverse: bool) {
    let number = |record: &Record| match by {
        By::Time => record.timing().map(|timing| timing.median.0),
        By::Share => record.share_of_peak().map(|share| -share),
        By::Memory => record.allocated.map(|bytes| bytes.0 as f64),
        By::Spread => record.timing().map(|timing| -timing.relative_half_width()),
        By::Order | By::Kernel | By::Case => None,
    };
    let turned = |order: Ordering| if reverse { order.reverse() } else { order };
    records.sort_by(|a, b| match by {
        By::Order => turned(a.record_id.cmp(&b.record_id)),
        By::Kernel => turned(a.kernel.cmp(&b.kernel)),
        By::Case => turned(a.case.key().cmp(&b.case.key())),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => turned(a.total_cmp(&b)),
            (a, b) => b.is_some().cmp(&a.is_some()),
        },
    });
}

/// A row a record, with a histogram of its samples: from the fastest to twice that, and beyond in the last bin.
pub fn table(records: &[&Record], samples: &[Sample], by: By, width: usize) -> String {
    let mut times: HashMap<u64, Vec<f64>> = HashMap::new();
    for sample in samples {
        times.entry(sample.record_id).or_default().push(time(sample));
    }
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    let weighed = by == By::Memory;
    let size = if weighed { "memory" } else { "of limit" };
    table.set_header(["id", "time", "±", "samples", "rate", size, "kernel", "case"]);
    for record in records {
        let dash = || "–".to_owned();
        let timing = record.timing();
        let share = || Some(format!("{:.0} %", 100.0 * record.share_of_peak()?));
        let memory = || Some(record.allocated?.to_string());
        table.add_row([
            record.record_id.to_string(),
            timing.map_or_else(|| record.outcome.status().to_owned(), |t| t.median.to_string()),
            timing.map_or_else(dash, |t| format!("{:.0} %", 100.0 * t.relative_half_width())),
            histogram(times.get(&record.record_id).map_or(&[], Vec::as_slice)),
            rate(record).unwrap_or_else(dash),
            if weighed { memory() } else { share() }.unwrap_or_else(dash),
            record.kernel.to_string(),
            case(record),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for column in [0, 1, 2, 4, 5] {
        let column = table.column_mut(column).expect("the header has eight columns");
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines = table.lines().map(|line| shorten(line.trim_end(), width) + "\n");
    lines.collect()
}

/// A case's key without what its kernel says already and what is usual, and the device where it is not the CPU.
fn case(record: &Record) -> String {
    let key = record.case.key();
    let family = format!("{}/", record.case.problem.family().name());
    let key = key.strip_prefix(&family).unwrap_or(&key);
    let key = key.strip_suffix("/warm/burst").unwrap_or(key);
    if record.device == "cpu" { key.to_owned() } else { format!("{key} {}", record.device) }
}

/// Of one launch, in nanoseconds.
fn time(sample: &Sample) -> f64 {
    sample.wall_ns as f64 / sample.iterations as f64
}

/// How many values lie where, from the least to twice that; empty where there are none.
fn histogram(values: &[f64]) -> String {
    let Some(least) = values.iter().copied().reduce(f64::min).filter(|least| *least > 0.0) else {
        return String::new();
    };
    let mut bins = [0usize; BINS];
    for value in values {
        let at = ((value / least - 1.0) * BINS as f64) as usize;
        bins[at.min(BINS - 1)] += 1;
    }
    let most = bins.iter().max().copied().unwrap_or(1).max(1);
    let step = |&count: &usize| match count {
        0 => ' ',
        _ => STEPS[(count * (STEPS.len() - 1)).div_ceil(most).min(STEPS.len() - 1)],
    };
    bins.iter().map(step).collect()
}

/// Values in their order, as steps between the least and the most of them.
fn sparkline(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let step = |value: &f64| {
        let part = if most > least { (value - least) / (most - least) } else { 0.0 };
        STEPS[(part * (STEPS.len() - 1) as f64).round() as usize]
    };
    values.iter().map(step).collect()
}

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
        text += &format!("{}\n", shorten(&title, width));
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

/// Everything about one record: what it is, what came of it, its samples process by process, and its counters.
pub fn details(record: &Record, samples: &[Sample], counters: &[(&str, f64)]) -> String {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut add = |what: &str, value: String| rows.push((what.to_owned(), value));
    add("case", record.case.key());
    add("kernel", format!("{} ({})", record.kernel, record.provider));
    add("device", record.device.to_string());
    add("status", record.outcome.status().to_owned());
    if !record.outcome.detail().is_empty() {
        add("detail", record.outcome.detail().to_owned());
    }
    if !record.model.is_empty() {
        add("model", record.model.to_string());
    }
    if let Some(timing) = record.timing() {
        add("time", format!("{} ({} to {})", timing.median, timing.low, timing.high));
        add("fastest, p95, p99", format!("{}, {}, {}", timing.min, timing.p95, timing.p99));
        add("stopped by", timing.stop.name().to_owned());
    }
    let rates = [rate(record), record.byte_rate().map(|rate| rate.to_string())];
    add("rate", rates.into_iter().flatten().collect::<Vec<_>>().join(", "));
    if let Some(share) = record.share_of_peak() {
        add("of the measured limit", format!("{:.1} %", 100.0 * share));
    }
    if let Some(check) = record.check {
        let extent = if check.full { "every entry" } else { "random entries" };
        add(
            "answer",
            format!("{extent} within {:.3e} of {:.3e}", check.deviation, check.tolerance),
        );
    }
    if let Some(bytes) = record.allocated {
        add("allocated", bytes.to_string());
    }
    if let Some(bytes) = record.peak_resident {
        add("peak resident", bytes.to_string());
    }
    let own = || samples.iter().filter(|sample| sample.record_id == record.record_id);
    let mut processes: Vec<usize> = own().map(|sample| sample.process).collect();
    processes.dedup();
    for process in processes {
        let of = own().filter(|sample| sample.process == process);
        let times: Vec<f64> = of.map(time).collect();
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        let first = crate::units::Nanos(least);
        add(&format!("process {process}"), format!("{} from {first}", sparkline(&times)));
    }
    for (name, value) in counters {
        add(name, value.to_string());
    }
    rows.retain(|(_, value)| !value.is_empty());
    let wide = rows.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    if let Outcome::Wrong(_) = record.outcome {
        text += "WRONG\n";
    }
    for (what, value) in rows {
        text += &format!("{what:<wide$}  {value}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    #[test]
    fn a_search_needs_every_word_and_sorting_puts_what_has_no_number_last() {
        let records = synthetic::records();
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let record = records.iter().find(|record| record.timing().is_some()).unwrap();
        let key = record.case.key().to_uppercase();
        assert!(
            has(record, &words(&key)) && !has(record, &words(&format!("{key} nothing-like-it")))
        );
        let mut rows: Vec<&Record> = records.iter().collect();
        for reverse in [false, true] {
            sort(&mut rows, By::Time, reverse);
            let first_without = rows.iter().position(|record| record.timing().is_none());
            let rest = &rows[first_without.unwrap_or(rows.len())..];
            assert!(rest.iter().all(|record| record.timing().is_none()));
            let times = rows.iter().filter_map(|record| Some(record.timing()?.median.0));
            let times: Vec<f64> = times.collect();
            assert!(if reverse { times.is_sorted_by(|a, b| a >= b) } else { times.is_sorted() });
        }
        sort(&mut rows, By::Kernel, false);
        assert!(rows.is_sorted_by_key(|record| &record.kernel));
    }

    #[test]
    fn a_histogram_shows_where_samples_are_and_a_sparkline_their_order() {
        assert_eq!(histogram(&[]), "");
        assert_eq!(
            histogram(&[1.0, 1.0, 1.0, 5.0]).trim_end_matches('▄').len(),
            "█".len() + BINS - 2
        );
        assert!(histogram(&[1.0, 1.0, 1.0, 5.0]).starts_with('█'));
        assert_eq!(sparkline(&[1.0, 2.0, 1.0]), "▁█▁");
        assert_eq!(sparkline(&[3.0, 3.0]), "▁▁");
        assert_eq!((bar(1.0), bar(0.0)), ("█".repeat(BAR), String::new()));
        assert_eq!(bar(1.0 / (8 * BAR) as f64), "▏");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_the_longest_bar_is_the_fastest() {
        let records = synthetic::records();
        let rows: Vec<&Record> = records.iter().collect();
        for text in [table(&rows, &[], By::Order, 80), bars(&rows, 80)] {
            assert!(text.lines().count() > 3, "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
        assert!(bars(&rows, 120).contains(&"█".repeat(BAR)));
    }
}
