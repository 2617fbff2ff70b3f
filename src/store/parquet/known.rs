//! Rows that differ in nothing but what was measured: in large sets most rows do, and only the first of each kind is taken apart.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};

use foldhash::fast::RandomState;

use super::super::records::{self, identity};
use super::super::row::RECORD_COLUMNS;
use super::super::rules;
use super::super::table::Unfit;
use super::BEFORE;
use super::cells;
use super::columns::{Kept, Values};
use crate::record::{Outcome, Record};
use crate::units::{ByteRate, Bytes, FlopRate, Nanos};

/// The columns that measuring again would change; all others make the kind of a row, with which of these are empty.
const MEASURED: [&str; 15] = [
    "record_id",
    "processes",
    "samples",
    "time_median_ns",
    "time_low_ns",
    "time_high_ns",
    "time_min_ns",
    "time_p95_ns",
    "time_p99_ns",
    "allocated_bytes",
    "peak_resident_bytes",
    "deviation",
    "tolerance",
    "peak_flop_per_s",
    "peak_byte_per_s",
];

/// A row that was held to all rules.
#[derive(Debug)]
struct Kind {
    /// Which columns had a value.
    there: u64,
    /// The values of the columns that are not measured, in their order.
    fixed: Vec<Kept>,
    record: Record,
    /// The same for all records of one kernel, case and device.
    identity: u128,
}

/// The kinds of rows so far.
#[derive(Debug, Default)]
pub struct Known {
    hash: RandomState,
    kinds: HashMap<u64, Vec<Kind>, RandomState>,
    columns: Columns,
}

/// Where columns stand in a row.
#[derive(Debug)]
struct Columns {
    /// Those that make a kind.
    fixed: Vec<usize>,
    /// [`MEASURED`].
    measured: [usize; MEASURED.len()],
    /// Those that tell most rows of different kinds apart.
    telling: [usize; 3],
}

impl Default for Columns {
    fn default() -> Columns {
        let place = |name: &str| {
            let found = RECORD_COLUMNS.iter().position(|column| *column == name);
            BEFORE.len() + found.expect("a column of records.csv")
        };
        let fixed = RECORD_COLUMNS.iter().filter(|name| !MEASURED.contains(name));
        Columns {
            fixed: fixed.map(|name| place(name)).collect(),
            measured: MEASURED.map(place),
            telling: ["case_key", "kernel", "device"].map(place),
        }
    }
}

impl Known {
    /// The record of a row, held to the rules of `records.csv`, and a hash of its kernel, case and device.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn record(&mut self, values: &[Values], row: usize) -> Result<(Record, u128), Unfit> {
        let columns = &self.columns;
        let there = values.iter().enumerate();
        let there = there.fold(0, |all, (i, column)| all | u64::from(column.is_there(row)) << i);
        // Counters are no part of a record, and differ like what is measured.
        let there = there & !(1 << (values.len() - 1));
        let mut hash = self.hash.build_hasher();
        there.hash(&mut hash);
        columns.telling.iter().for_each(|&i| values[i].bytes(row).hash(&mut hash));
        let hash = hash.finish();
        let same = |kind: &&Kind| {
            kind.there == there
                && columns.fixed.iter().zip(&kind.fixed).all(|(&i, kept)| values[i].is(row, kept))
        };
        if let Some(kind) = self.kinds.get(&hash).and_then(|kinds| kinds.iter().find(same)) {
            let mut record = kind.record.clone();
            measured(&mut record, values, &columns.measured, row);
            rules::check_facts(&record)?;
            return Ok((record, kind.identity));
        }
        let record = taken_apart(values, row)?;
        let identity = hashed(&record);
        let fixed = columns.fixed.iter().map(|&i| values[i].keep(row)).collect();
        let kind = Kind { there, fixed, record: record.clone(), identity };
        self.kinds.entry(hash).or_default().push(kind);
        Ok((record, identity))
    }
}

/// 128 bits of kernel, case and device, the same wherever they are taken.
fn hashed(record: &Record) -> u128 {
    let identity = identity(record);
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, &identity).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// Puts what was measured in a row into a record of its kind, which has all that the row has.
fn measured(record: &mut Record, values: &[Values], at: &[usize; MEASURED.len()], row: usize) {
    let [id, processes, samples, median, low, high, min, p95, p99, rest @ ..] = *at;
    let [allocated, resident, deviation, tolerance, peak_flops, peak_bytes] = rest;
    let count = |column: usize| values[column].count(row);
    let number = |column: usize| values[column].number(row);
    record.record_id = count(id).unwrap_or(record.record_id);
    if let Outcome::Measured(timing) = &mut record.outcome {
        let whole = |column, or| count(column).map_or(or, |count| count as usize);
        timing.processes = whole(processes, timing.processes);
        timing.samples = whole(samples, timing.samples);
        let times = [
            (median, &mut timing.median),
            (low, &mut timing.low),
            (high, &mut timing.high),
            (min, &mut timing.min),
            (p95, &mut timing.p95),
            (p99, &mut timing.p99),
        ];
        for (column, time) in times {
            *time = number(column).map_or(*time, Nanos);
        }
    }
    record.allocated = count(allocated).map(Bytes);
    record.peak_resident = count(resident).map(Bytes);
    record.peak_flops = number(peak_flops).map(FlopRate);
    record.peak_bytes = number(peak_bytes).map(ByteRate);
    if let Some(check) = &mut record.check {
        check.deviation = number(deviation).unwrap_or(check.deviation);
        check.tolerance = number(tolerance).unwrap_or(check.tolerance);
    }
}

/// The record of a row of a kind that is new.
fn taken_apart(values: &[Values], row: usize) -> Result<Record, Unfit> {
    let own = &values[BEFORE.len()..values.len() - 1];
    let cells = own.iter().map(|column| column.cell(row)).collect();
    let row = cells::row(cells)?;
    let record = row.record()?;
    rules::check_record(&record)?;
    records::check_row(row, &record)?;
    Ok(record)
}
