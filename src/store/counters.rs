//! `counters.csv`: named numbers that belong to records.

use std::collections::HashSet;
use std::path::Path;

use super::table::{self, Columns, Place, Sum, Unfit};
use crate::error::{Error, Result};
use crate::record::{Counter, Words};

/// The columns of `counters.csv`; `results/README.md` says what they mean.
pub const COUNTER_COLUMNS: &[&str] = &["record_id", "name", "value"];

pub(super) const COLUMNS: Columns = Columns { names: COUNTER_COLUMNS, facts: 3 };

fn check(counter: &Counter) -> Result<(), Unfit> {
    if counter.name.is_empty() {
        return Err(Unfit::new("name", "empty; every counter has one"));
    }
    if !counter.value.is_finite() {
        return Err(Unfit::new("value", format!("{} of {}", counter.value, counter.name)));
    }
    Ok(())
}

/// The lines of a record's counters.
pub(super) fn encode(record_id: u64, counters: &[Counter]) -> Result<Vec<u8>> {
    let fail = |reason: String| {
        Error::Usage(format!("counters of record {record_id} cannot be stored: {reason}"))
    };
    let mut names = HashSet::new();
    let mut lines = Vec::new();
    for counter in counters {
        check(counter).map_err(|unfit| fail(format!("{}: {}", unfit.column, unfit.reason)))?;
        if counter.record_id != record_id {
            return Err(fail(format!("one belongs to record {}", counter.record_id)));
        }
        if !names.insert(&counter.name) {
            return Err(fail(format!("{} stands twice", counter.name)));
        }
        let name = table::escape(&counter.name);
        lines.extend(table::line(&(record_id, name, counter.value)));
    }
    Ok(lines)
}

/// Reads every counter, with the place of its row.
pub(super) fn read(path: &Path, text: &[u8]) -> Result<(Vec<(Place, Counter)>, Sum)> {
    let mut counters = Vec::new();
    let mut seen = HashSet::new();
    let mut words = Words::default();
    let sum = table::read(path, text, &COLUMNS, |place, cells| {
        let at = |unfit: Unfit| unfit.at(path, place.line);
        let (record_id, name, value): (u64, String, f64) =
            table::typed(path, place.line, cells, &COLUMNS)?;
        let name = words.share(&table::unescape("name", &name).map_err(at)?);
        let counter = Counter { record_id, name, value };
        check(&counter).map_err(at)?;
        if !seen.insert((record_id, counter.name.clone())) {
            let reason = format!("`{}` of record {record_id} stands twice", counter.name);
            return Err(at(Unfit::new("name", reason)));
        }
        counters.push((place, counter));
        Ok(())
    })?;
    Ok((counters, sum))
}
