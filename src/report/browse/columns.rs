//! The columns of a table of records, and the table as it is printed.

use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::super::group::rate;
use super::super::layout::shorten;
use super::super::plain::plain;
use super::{By, Times, histogram};
use crate::record::Record;

/// Letters of a histogram of samples.
const BINS: usize = 8;

/// What can be told of a record in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The record's number.
    Id,
    /// The time of a launch, or the status where there is none.
    Time,
    /// Half the interval of the time, in percent.
    Spread,
    /// A histogram of its samples.
    Samples,
    /// Arithmetic or traffic over time.
    Rate,
    /// Of what the machine was measured to reach.
    Share,
    /// What its buffers take.
    Memory,
    /// Its name.
    Kernel,
    /// Sizes, precision, pass, threads.
    Case,
}

impl Column {
    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Column::Id => "id",
            Column::Time => "time",
            Column::Spread => "±",
            Column::Samples => "samples",
            Column::Rate => "rate",
            Column::Share => "of limit",
            Column::Memory => "memory",
            Column::Kernel => "kernel",
            Column::Case => "case",
        }
    }

    /// Whether it holds numbers, which stand below each other by their last digit.
    pub fn is_number(self) -> bool {
        !matches!(self, Column::Samples | Column::Kernel | Column::Case)
    }

    /// What a record has in it, safe to be shown; a dash where that does not apply.
    pub fn cell(self, record: &Record, times: &Times) -> String {
        let dash = || "–".to_owned();
        let timing = record.timing();
        match self {
            Column::Id => record.record_id.to_string(),
            Column::Time => {
                timing.map_or_else(|| record.outcome.status().to_owned(), |t| t.median.to_string())
            }
            Column::Spread => {
                timing.map_or_else(dash, |t| format!("{:.0} %", 100.0 * t.relative_half_width()))
            }
            Column::Samples => histogram(times.of(record.record_id).map(|(_, time)| time), BINS),
            Column::Rate => rate(record).unwrap_or_else(dash),
            Column::Share => {
                record.share_of_peak().map_or_else(dash, |share| format!("{:.0} %", 100.0 * share))
            }
            Column::Memory => record.allocated.map_or_else(dash, |bytes| bytes.to_string()),
            Column::Kernel => plain(&record.kernel).into_owned(),
            Column::Case => case(record),
        }
    }
}

/// A case's key without what its kernel says already and what is usual, and the device where it is not the CPU.
fn case(record: &Record) -> String {
    let key = record.case.key();
    let family = format!("{}/", record.case.problem.family().name());
    let key = key.strip_prefix(&family).unwrap_or(&key);
    let key = key.strip_suffix("/warm/burst").unwrap_or(key);
    match record.device == "cpu" {
        true => key.to_owned(),
        false => format!("{key} {}", plain(&record.device)),
    }
}

/// A row a record, with a histogram of its samples: from the fastest to twice that, and beyond in the last bin.
pub fn table(records: &[&Record], times: &Times, by: By, width: usize) -> String {
    let size = if by == By::Memory { Column::Memory } else { Column::Share };
    let columns = [
        Column::Id,
        Column::Time,
        Column::Spread,
        Column::Samples,
        Column::Rate,
        size,
        Column::Kernel,
        Column::Case,
    ];
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.map(Column::title));
    for record in records {
        table.add_row(columns.map(|column| column.cell(record, times)));
    }
    for (column, what) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        if what.is_number() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.lines().map(|line| shorten(line.trim_end(), width) + "\n");
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let records = synthetic::records();
        let rows: Vec<&Record> = records.iter().collect();
        let text = table(&rows, &Times::default(), By::Order, 80);
        assert_eq!(text.lines().count(), 1 + records.len());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_kernel_that_is_called_after_an_escape_sequence_is_shown_and_not_obeyed() {
        let mut record = synthetic::square(64, "matmul/\x1b[2Jsimd", "own", 1e-3);
        record.device = "cuda:\x07".into();
        let text = table(&[&record], &Times::default(), By::Order, 200);
        assert!(text.contains("matmul/␛[2Jsimd") && text.contains("cuda:␇"), "{text}");
    }
}
