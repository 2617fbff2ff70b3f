//! Writing a run, row by row.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::seal::{self, Seal};
use super::{COUNTERS, MACHINE, RECORDS, Run, SAMPLES, SCHEMA_VERSION};
use super::{counters, folder, read_file, records, row, samples, table};
use crate::error::{Error, Result};
use crate::record::{Counter, Record, Sample, Text};

/// A file that only grows, and shrinks back to its last good length when a write fails.
#[derive(Debug)]
pub(super) struct Tail {
    pub path: PathBuf,
    pub file: File,
    /// The bytes that belong to whole records.
    pub good: u64,
}

impl Tail {
    fn create(path: PathBuf) -> Result<Tail> {
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Ok(file) => Ok(Tail { path, file, good: 0 }),
            Err(source) => Err(Error::Io { what: "create", path, source }),
        }
    }

    /// Opens a file that is there, to go on behind its first `good` bytes; nothing is cut yet.
    pub fn open(path: PathBuf, good: u64) -> Result<Tail> {
        let file = OpenOptions::new().append(true).open(&path).map_err(Error::io("open", &path))?;
        Ok(Tail { path, file, good })
    }

    /// Cuts off what stands behind the good bytes.
    pub fn cut(&mut self) -> Result<()> {
        self.file.set_len(self.good).map_err(Error::io("cut", &self.path))
    }

    /// Puts all the bytes behind the good ones, or fails; they count as good only after [`Tail::keep`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.good += bytes.len() as u64;
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(Error::io("write", &self.path))
    }

    /// Locks the file against other writers, for as long as it is open.
    pub fn lock(&self, folder: &Path) -> Result<()> {
        self.file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::Usage(format!(
                "{} is being written by another scalemark; wait for its end, or give another folder",
                folder.display()
            )),
            TryLockError::Error(source) => Error::Io { what: "lock", path: self.path.clone(), source },
        })
    }
}

/// The three tables of an open run. `records.csv` carries the lock.
#[derive(Debug)]
pub(super) struct Tables {
    pub records: Tail,
    pub counters: Tail,
    pub samples: Tail,
}

impl Tables {
    /// Puts a record's three parts down, its row last, or leaves the files as they were.
    fn append(&mut self, samples: &[u8], counters: &[u8], row: &[u8]) -> Result<()> {
        let written = self
            .samples
            .write(samples)
            .and_then(|()| self.counters.write(counters))
            .and_then(|()| self.records.write(row));
        if let Err(error) = written {
            // The write's own error is the one to tell; what cannot be cut now, a resume will cut.
            let _ = (self.records.cut(), self.counters.cut(), self.samples.cut());
            return Err(error);
        }
        self.samples.keep(samples);
        self.counters.keep(counters);
        self.records.keep(row);
        Ok(())
    }

    /// Writes the headers of empty tables, that of `records.csv` last.
    pub fn begin(&mut self) -> Result<()> {
        self.append(
            &samples::member(&table::header(&samples::COLUMNS)),
            &table::header(&counters::COLUMNS),
            &table::header(&row::COLUMNS),
        )
    }
}

/// Writes a run's folder. Each record is on disk, whole, when [`RunWriter::append`] returns; a crash loses at most the
/// record that was being appended.
///
/// The folder is locked against other writers until the writer is dropped. A writer that is dropped without
/// [`RunWriter::finish`] leaves a run that can be read and resumed.
#[derive(Debug)]
pub struct RunWriter {
    pub(super) folder: PathBuf,
    pub(super) tables: Tables,
    pub(super) ids: HashSet<u64>,
    pub(super) identities: HashSet<(String, Text, Text)>,
}

impl RunWriter {
    /// Starts a run in a new folder `<runs>/<UTC time to the second>-<machine>-<commit>`; runs that start in the same
    /// second get `-2`, `-3`, … behind it. `machine` is an object, to which the schema version is added.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder or its files cannot be made; then nothing is left of them.
    pub fn create(runs: &Path, slug: &str, commit: &str, machine: &Value) -> Result<RunWriter> {
        let machine = versioned(machine)?;
        let name = folder::name(jiff::Timestamp::now(), slug, commit);
        RunWriter::start(folder::create(runs, &name)?, true, &machine)
    }

    /// Starts a run in the very folder that the user named, which must be empty or not there yet.
    ///
    /// # Errors
    /// [`Error::Usage`] when anything is in the folder; [`Error::Io`] when it cannot be used. Nothing that was there is
    /// touched.
    pub fn create_at(folder: &Path, machine: &Value) -> Result<RunWriter> {
        let machine = versioned(machine)?;
        let created = folder::claim(folder)?;
        RunWriter::start(folder.to_owned(), created, &machine)
    }

    fn start(folder: PathBuf, created: bool, machine: &Value) -> Result<RunWriter> {
        // Of two runs that found the folder empty, one creates this file.
        let records = match Tail::create(folder.join(RECORDS)) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
                return Err(folder::holds_a_run(&folder));
            }
            Err(error) => {
                if created {
                    let _ = fs::remove_dir(&folder);
                }
                return Err(error);
            }
            Ok(records) => records,
        };
        let begun = records.lock(&folder).and_then(|()| {
            let text = serde_json::to_string_pretty(machine).expect("a JSON value is JSON") + "\n";
            seal::replace(&folder.join(MACHINE), text.as_bytes())?;
            let counters = Tail::create(folder.join(COUNTERS))?;
            let samples = Tail::create(folder.join(SAMPLES))?;
            let mut tables = Tables { records, counters, samples };
            tables.begin()?;
            Ok(tables)
        });
        match begun {
            Ok(tables) => {
                Ok(RunWriter { folder, tables, ids: HashSet::new(), identities: HashSet::new() })
            }
            Err(error) => {
                for name in [SAMPLES, COUNTERS, MACHINE, RECORDS] {
                    let _ = fs::remove_file(folder.join(name));
                }
                if created {
                    let _ = fs::remove_dir(&folder);
                }
                Err(error)
            }
        }
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A number for the next record that no record has.
    pub fn next_id(&self) -> u64 {
        self.ids.iter().max().map_or(1, |last| last + 1)
    }

    /// Whether there is a record of this kernel on this case and device, be it measured or not.
    pub fn has(&self, case_key: &str, kernel: &str, device: &str) -> bool {
        self.identities.contains(&(case_key.to_owned(), kernel.into(), device.into()))
    }

    /// Adds a record with all its samples and counters.
    ///
    /// # Errors
    /// [`Error::Usage`] for what a reader would refuse: a number or case that the run holds already, numbers that are not
    /// finite, fewer samples than the record was computed from, samples of another record. [`Error::Io`] when the disk is
    /// full or gone. Either way the files are as they were, and the writer can go on.
    pub fn append(
        &mut self,
        record: &Record,
        samples: &[Sample],
        counters: &[Counter],
    ) -> Result<()> {
        let row = records::encode(record)?;
        let mut packed = samples::encode(record, samples)?;
        let counters = counters::encode(record.record_id, counters)?;
        let identity = records::identity(record);
        if self.ids.contains(&record.record_id) || self.identities.contains(&identity) {
            return Err(Error::Usage(format!(
                "record {} ({} of {} on {}) is in {} already",
                record.record_id,
                record.kernel,
                identity.0,
                record.device,
                self.folder.display()
            )));
        }
        if !packed.is_empty() {
            packed = samples::member(&packed);
        }
        self.tables.append(&packed, &counters, &row)?;
        self.ids.insert(record.record_id);
        self.identities.insert(identity);
        Ok(())
    }

    /// Reads back and checks all that was written, packs the samples into one member, and seals the run.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be written; the run can then be read and resumed as it is.
    pub fn finish(self) -> Result<PathBuf> {
        let RunWriter { folder, tables, .. } = self;
        let run = Run::read(&folder)?;
        let path = folder.join(SAMPLES);
        let text = samples::unpack(&path, &read_file(&path)?)?;
        let (_, samples) = samples::read(&path, &text, SCHEMA_VERSION, &run.records)?;
        seal::replace(&path, &samples::member(&text))?;
        tables.records.sync()?;
        tables.counters.sync()?;
        Seal { records: run.sums[0], counters: run.sums[1], samples }.write(&folder)?;
        Ok(folder)
    }
}

/// The fingerprint with the schema version in front.
fn versioned(machine: &Value) -> Result<Value> {
    let Value::Object(facts) = machine else {
        return Err(Error::Usage("the machine's fingerprint is not a JSON object".into()));
    };
    let version = Value::from(SCHEMA_VERSION);
    if facts.get("schema_version").is_some_and(|given| *given != version) {
        return Err(Error::Usage(format!(
            "the machine's fingerprint has another schema version than {SCHEMA_VERSION}"
        )));
    }
    let mut all = Map::from_iter([("schema_version".to_owned(), version)]);
    all.extend(facts.clone());
    Ok(Value::Object(all))
}
