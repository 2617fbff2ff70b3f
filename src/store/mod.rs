//! Results on disk: a run's folder, written row by row and read strictly.
//!
//! A folder holds `machine.json` (the fingerprint, with the schema version), `records.csv`, `counters.csv`,
//! `samples.csv.gz`, and once the run is finished `seal.json`. [`RunWriter`] writes it, [`Run::read`] reads it; what a
//! column means stands in `results/README.md`.
//!
//! A record's samples and counters are on disk before its row in `records.csv` is. So the row is what makes a record
//! exist, and whatever a crash leaves behind it belongs to no record and is cut off by [`RunWriter::resume`].

mod counters;
mod folder;
pub mod history;
pub mod parquet;
mod records;
mod resume;
mod row;
mod rules;
mod samples;
mod seal;
mod table;
mod writer;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use counters::COUNTER_COLUMNS;
pub use folder::latest_run;
pub use row::RECORD_COLUMNS;
pub use samples::SAMPLE_COLUMNS;
pub use writer::RunWriter;

use crate::error::{Error, Result};
use crate::record::{Counter, Record, Sample};
use parquet::Wanted;
use seal::Seal;
use table::Sum;

/// The version of the file formats that this build writes; it reads this one and those before.
///
/// Version 2 added `core_share` to the samples, version 3 what GPUs tell of themselves: `sm_mhz`, `power_mw`, `temperature_c`,
/// `throttle`.
pub const SCHEMA_VERSION: u64 = 3;

/// The folder that runs go to and are looked for in, below the current one, where nobody names another.
pub const RUNS: &str = "results/runs";
/// The file that holds the machine's fingerprint and the schema version.
pub const MACHINE: &str = "machine.json";
/// The file that holds the records.
pub const RECORDS: &str = "records.csv";
/// The file that holds the counters.
pub const COUNTERS: &str = "counters.csv";
/// The file that holds the samples.
pub const SAMPLES: &str = "samples.csv.gz";
/// The file that says what the tables of a finished run come to.
pub const SEAL: &str = "seal.json";

/// A run as it was read from its folder.
#[derive(Debug, Clone)]
pub struct Run {
    /// Where it was read from.
    pub folder: PathBuf,
    /// `machine.json`, whose `schema_version` is one that this build reads.
    pub machine: Value,
    /// Every record, in the order of the file.
    pub records: Vec<Record>,
    /// Every counter, in the order of the file.
    pub counters: Vec<Counter>,
    /// Whether the run came to its end and was sealed; an interrupted one may lack records, and edits to it that keep to
    /// the rules go unseen.
    pub finished: bool,
    seal: Option<Seal>,
    /// What records and counters come to.
    sums: [Sum; 2],
}

impl Run {
    /// Reads all of a run but its samples.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that cannot be read; [`Error::Format`], which names file, line and column, for a schema
    /// version that this build does not know and for anything that a writer would not have written: there is no half run.
    pub fn read(folder: &Path) -> Result<Run> {
        let machine = read_machine(folder)?;
        let seal = Seal::read(folder)?;
        let path = folder.join(RECORDS);
        let (records, records_sum) = records::read(&path, &read_file(&path)?)?;
        if let Some(seal) = &seal {
            seal::check(&path, seal.records, records_sum)?;
        }
        let path = folder.join(COUNTERS);
        let (counters, counters_sum) = counters::read(&path, &read_file(&path)?)?;
        let ids: HashSet<u64> = records.iter().map(|r| r.record_id).collect();
        if let Some((place, counter)) = counters.iter().find(|(_, c)| !ids.contains(&c.record_id)) {
            let reason = format!("record_id: {}", orphan(counter.record_id));
            return Err(Error::format(&path, Some(place.line), reason));
        }
        if let Some(seal) = &seal {
            seal::check(&path, seal.counters, counters_sum)?;
        }
        let counters = counters.into_iter().map(|(_, counter)| counter).collect();
        let finished = seal.is_some();
        let (folder, sums) = (folder.to_owned(), [records_sum, counters_sum]);
        Ok(Run { folder, machine, records, counters, finished, seal, sums })
    }

    /// Reads runs from their folders and from Parquet files of many, in that order.
    ///
    /// # Errors
    /// As for [`Run::read`] and [`parquet::read`].
    pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        for path in paths {
            match path.is_file() {
                true => runs.extend(parquet::read(path, Wanted::All)?),
                false => runs.push(Run::read(path)?),
            }
        }
        Ok(runs)
    }

    /// Reads the samples, in the order of the file: every record's samples stand together, in the order of records.
    ///
    /// # Errors
    /// As for [`Run::read`]; also when a record has fewer samples than it was computed from.
    pub fn samples(&self) -> Result<Vec<Sample>> {
        let path = self.folder.join(SAMPLES);
        let text = samples::unpack(&path, &read_file(&path)?)?;
        let (samples, found) = samples::read(&path, &text, version(&self.machine), &self.records)?;
        if let Some(seal) = &self.seal {
            seal::check(&path, seal.samples, found)?;
        }
        Ok(samples)
    }

    /// The counters of one record.
    pub fn counters_of(&self, record_id: u64) -> impl Iterator<Item = &Counter> {
        self.counters.iter().filter(move |counter| counter.record_id == record_id)
    }
}

/// What to say of a row whose record is not in `records.csv`.
fn orphan(record_id: u64) -> String {
    format!(
        "{record_id} is not in {RECORDS}; if the run was interrupted, `--resume` mends it, otherwise restore both files \
         from a copy"
    )
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(Error::io("read", path))
}

/// The schema version of a run whose `machine.json` was accepted.
fn version(machine: &Value) -> u64 {
    machine["schema_version"].as_u64().unwrap_or(SCHEMA_VERSION)
}

/// Reads `machine.json` and refuses unknown schema versions, before anything else is looked at.
fn read_machine(folder: &Path) -> Result<Value> {
    let path = folder.join(MACHINE);
    if !path.exists() {
        return Err(Error::Usage(format!(
            "{} is not the folder of a run: it has no {MACHINE}; runs lie below results/runs, or where --out said",
            folder.display()
        )));
    }
    let machine: Value = serde_json::from_slice(&read_file(&path)?).map_err(|error| {
        let reason = format!("not JSON, or cut off: {error}; restore it from a copy");
        Error::format(&path, Some(error.line() as u64), reason)
    })?;
    let reason = match machine.get("schema_version").map(|version| (version, version.as_u64())) {
        Some((_, Some(1..=SCHEMA_VERSION))) => return Ok(machine),
        Some((_, Some(newer))) if newer > SCHEMA_VERSION => format!(
            "schema version {newer} is newer than {SCHEMA_VERSION}, the newest that this build reads; upgrade scalemark"
        ),
        Some((other, _)) => {
            format!("schema version {other} is unknown; this build reads 1 to {SCHEMA_VERSION}")
        }
        None => "it has no schema_version, so that this is not the folder of a run".into(),
    };
    Err(Error::format(path, None, reason))
}
