//! `records.csv`: one row a record, flat, under a fixed header.

use std::collections::HashMap;
use std::path::Path;

use csv::StringRecord;

use super::row::{COLUMNS, RECORD_COLUMNS, Row};
use super::rules;
use super::table::{self, Place, Sum, Unfit};
use crate::error::{Error, Result};
use crate::record::{Record, Text, Words};

/// The line of a record.
pub(super) fn encode(record: &Record) -> Result<Vec<u8>> {
    let fail = |unfit: Unfit| {
        let (id, kernel) = (record.record_id, &record.kernel);
        Error::Usage(format!(
            "record {id} ({kernel}) cannot be stored: {}: {}",
            unfit.column, unfit.reason
        ))
    };
    rules::check_record(record).map_err(fail)?;
    Ok(table::line(&Row::from(record)))
}

/// Reads every record of a table, with the line that each stands on.
pub(super) fn read(path: &Path, text: &[u8]) -> Result<(Vec<Record>, Sum)> {
    let mut records: Vec<Record> = Vec::new();
    let mut ids: HashMap<u64, u64> = HashMap::new();
    let mut identities: HashMap<(String, Text, Text), u64> = HashMap::new();
    let mut words = Words::default();
    let sum = table::read(path, text, &COLUMNS, |place, cells| {
        let record = decode(path, place, cells, &mut words)?;
        if let Some(first) = ids.insert(record.record_id, place.line) {
            let reason = format!("{} stands on line {first} already", record.record_id);
            return Err(Unfit::new("record_id", reason).at(path, place.line));
        }
        if let Some(first) = identities.insert(identity(&record), place.line) {
            let reason = format!(
                "`{}` has a record of {} on {} on line {first} already",
                cells.get(1).unwrap_or_default(),
                record.kernel,
                record.device
            );
            return Err(Unfit::new("case_key", reason).at(path, place.line));
        }
        records.push(record);
        Ok(())
    })?;
    Ok((records, sum))
}

/// What a run holds at most one record of: case, kernel and device.
pub(super) fn identity(record: &Record) -> (String, Text, Text) {
    (record.case.key(), record.kernel.clone(), record.device.clone())
}

fn decode(path: &Path, place: Place, cells: &StringRecord, words: &mut Words) -> Result<Record> {
    let at = |unfit: Unfit| unfit.at(path, place.line);
    let row: Row = table::typed(path, place.line, cells, &COLUMNS)?;
    let record = row.record(words).map_err(at)?;
    rules::check_record(&record).map_err(at)?;
    check_row(row, &record).map_err(at)?;
    Ok(record)
}

/// Whether a row is what its record is written as: that covers the case key, the sizes' flops and bytes, and cells that do not apply.
pub(super) fn check_row(mut row: Row, record: &Record) -> Result<(), Unfit> {
    let mut wanted = Row::from(record);
    row.forget_derived();
    wanted.forget_derived();
    if row == wanted {
        return Ok(());
    }
    // A number that is none does not equal itself.
    let (found, wanted) = (cells_of(&row), cells_of(&wanted));
    let mut facts = RECORD_COLUMNS.iter().zip(found.iter().zip(wanted.iter())).take(COLUMNS.facts);
    match facts.find(|(_, (found, wanted))| found != wanted) {
        None => Ok(()),
        Some((column, (found, wanted))) => {
            let reason = match (found, wanted) {
                (found, "") => format!("`{found}` where nothing applies; the cell must be empty"),
                (found, wanted) => {
                    format!("`{found}` does not match the other cells, which give `{wanted}`")
                }
            };
            Err(Unfit::new(column, reason))
        }
    }
}

/// The cells of a row in canonical spelling.
pub(super) fn cells_of(row: &Row) -> StringRecord {
    let line = table::line(row);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&line[..]);
    let mut cells = StringRecord::new();
    reader.read_record(&mut cells).expect("a row that was just written reads");
    cells
}
