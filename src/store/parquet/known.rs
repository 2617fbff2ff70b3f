//! Rows that differ in nothing but what was measured: in large sets most rows do, and only the first of each kind is taken apart.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};

use foldhash::fast::RandomState;

use super::super::records::{self, identity};
use super::super::row::RECORD_COLUMNS;
use super::super::rules;
use super::super::table::Unfit;
use super::BEFORE;
use super::cells::{self, Cell};
use super::values::{Kept, Rows};
use crate::record::{Outcome, Record, Words};
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
    /// The values that are not measured, each with its column.
    fixed: Vec<(usize, Kept)>,
    record: Record,
    /// The same for all records of one kernel, case and device.
    identity: [u64; 2],
    /// The kind of the row behind the last one of this kind.
    next: usize,
}

impl Kind {
    fn is(&self, rows: &Rows, row: usize, there: u64) -> bool {
        let same = |(column, kept): &(usize, Kept)| rows.columns[*column].is(row, kept);
        self.there == there && self.fixed.iter().all(same)
    }
}

/// No kind.
const NONE: usize = usize::MAX;

/// The kinds of rows so far.
#[derive(Debug)]
pub struct Known {
    hash: RandomState,
    kinds: Vec<Kind>,
    at: HashMap<u64, Vec<usize>, RandomState>,
    /// That of the row before. Machines run one plan in one order, so that what came behind it the last time mostly comes again.
    last: usize,
    columns: Columns,
    words: Words,
}

impl Default for Known {
    fn default() -> Known {
        Known {
            hash: RandomState::default(),
            kinds: Vec::new(),
            at: HashMap::default(),
            last: NONE,
            columns: Columns::default(),
            words: Words::default(),
        }
    }
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
    pub fn record(&mut self, rows: &Rows, row: usize) -> Result<(Record, [u64; 2]), Unfit> {
        // Counters are no part of a record, and differ like what is measured.
        let there = rows.there(row) & !(1 << (rows.columns.len() - 1));
        let expected = self.kinds.get(self.last).map_or(NONE, |last| last.next);
        let (at, fresh) = match self.kinds.get(expected) {
            Some(kind) if kind.is(rows, row, there) => (expected, false),
            _ => self.found(rows, row, there)?,
        };
        if let Some(last) = self.kinds.get_mut(self.last) {
            last.next = at;
        }
        self.last = at;
        let kind = &self.kinds[at];
        let mut record = kind.record.clone();
        if !fresh {
            measured(&mut record, rows, &self.columns.measured, row);
            rules::check_facts(&record)?;
        }
        Ok((record, kind.identity))
    }

    /// The kind of a row, and whether it is new and the row taken apart for it.
    fn found(&mut self, rows: &Rows, row: usize, there: u64) -> Result<(usize, bool), Unfit> {
        let mut hash = self.hash.build_hasher();
        there.hash(&mut hash);
        self.columns.telling.iter().for_each(|&i| rows.columns[i].bytes(row).hash(&mut hash));
        let alike = self.at.entry(hash.finish()).or_default();
        if let Some(at) = alike.iter().find(|&&at| self.kinds[at].is(rows, row, there)) {
            return Ok((*at, false));
        }
        let record = taken_apart(rows, row, &mut self.words)?;
        let identity = hashed(&record);
        let fixed = self.columns.fixed.iter();
        let fixed = fixed.filter_map(|&i| Some((i, rows.columns[i].keep(row)?))).collect();
        alike.push(self.kinds.len());
        self.kinds.push(Kind { there, fixed, record, identity, next: NONE });
        Ok((self.kinds.len() - 1, true))
    }
}

/// 128 bits of kernel, case and device, the same wherever they are taken.
fn hashed(record: &Record) -> [u64; 2] {
    let identity = identity(record);
    [0u64, 1].map(|salt| {
        let mut hasher = DefaultHasher::new();
        (salt, &identity).hash(&mut hasher);
        hasher.finish()
    })
}

/// Puts what was measured in a row into a record of its kind, which has all that the row has.
fn measured(record: &mut Record, rows: &Rows, at: &[usize; MEASURED.len()], row: usize) {
    let [id, processes, samples, median, low, high, min, p95, p99, rest @ ..] = *at;
    let [allocated, resident, deviation, tolerance, peak_flops, peak_bytes] = rest;
    let count = |column: usize| rows.columns[column].count(row);
    let number = |column: usize| rows.columns[column].number(row);
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
fn taken_apart(rows: &Rows, row: usize, words: &mut Words) -> Result<Record, Unfit> {
    let own = &rows.columns[BEFORE.len()..rows.columns.len() - 1];
    let cells = own.iter().map(|column| column.cell(row)).collect::<Result<Vec<Cell>, Unfit>>()?;
    let row = cells::row(cells)?;
    let record = row.record(words)?;
    rules::check_record(&record)?;
    records::check_row(row, &record)?;
    Ok(record)
}
