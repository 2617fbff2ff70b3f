//! The records of many runs in one Parquet file, for tools that read large sets.
//!
//! A row is a record. Its columns are the name of its run, when that began, and the columns of `records.csv`, typed; and its counters as
//! one JSON object. What is empty there is null here. The machines stand in the file's metadata, so that whole runs can be read back.

mod cells;
mod columns;
mod counters;
mod known;
mod values;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::parquet::basic::Compression;
use ::parquet::file::metadata::{KeyValue, ParquetMetaData};
use ::parquet::file::properties::{ReaderProperties, WriterProperties};
use ::parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use ::parquet::file::serialized_reader::SerializedRowGroupReader;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use foldhash::fast::RandomState;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::row::{RECORD_COLUMNS, Row};
use super::table::{Sum, Unfit};
use super::{Run, SCHEMA_VERSION, records};
use crate::error::{Error, Result};
use crate::record::{Counter, Record};
use columns::Column;
use counters::Names;
use known::Known;
use values::Rows;

/// Rows of a row group: few enough to be held, and enough to be scanned fast.
const GROUP: usize = 50_000;
/// Rows that are read at a time, whoever wrote how large groups.
const CHUNK: usize = 16_384;
/// Columns that follow from others: the metadata tells when a run began.
const UNREAD: [&str; 4] = ["started", "gflop_per_s", "gb_per_s", "share_of_peak"];
/// The columns before those of `records.csv`.
const BEFORE: [&str; 2] = ["run", "started"];
/// The column behind them.
const COUNTERS: &str = "counters";
/// Keys of the file's metadata.
const VERSION_KEY: &str = "scalemark.schema_version";
const RUNS_KEY: &str = "scalemark.runs";

/// Which counters are read: most of a large file is counters, and a comparison of many runs has a use for few.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// Every one.
    All,
    /// Those of these names. The others are held to the same rules, and not kept.
    Named(&'a [&'a str]),
}

impl Wanted<'_> {
    /// Whether those of a name are.
    pub fn has(self, name: &str) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Named(names) => names.contains(&name),
        }
    }
}

/// What the metadata says of a run.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    machine: Value,
    finished: bool,
}

/// Every column, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    BEFORE.into_iter().chain(RECORD_COLUMNS.iter().copied()).chain([COUNTERS])
}

fn failed(what: &'static str, path: &Path) -> impl Fn(::parquet::errors::ParquetError) -> Error {
    let path = path.to_owned();
    move |error| Error::format(&path, None, format!("failed to {what} it as Parquet: {error}"))
}

/// Writes runs, each under the name of its folder; returns how many records that were. The file is whole or not there.
///
/// # Errors
/// Two runs of one name; a file that cannot be written.
pub fn write(path: &Path, runs: &[Run]) -> Result<usize> {
    let mut told: Map<String, Value> = Map::new();
    for run in runs {
        let said = Told { machine: run.machine.clone(), finished: run.finished };
        let said = serde_json::to_value(said).expect("a value has a JSON form");
        if told.insert(name(run), said).is_some() {
            let name = name(run);
            return Err(Error::Usage(format!("two runs are called {name}; rename a folder")));
        }
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // As any file of the user's, and not for its owner alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let draft = builder.tempfile_in(folder).map_err(Error::io("write", path))?;
    let schema = parse_message_type(&columns::schema()).map_err(failed("describe", path))?;
    let version = KeyValue::new(VERSION_KEY.to_owned(), SCHEMA_VERSION.to_string());
    let told = KeyValue::new(RUNS_KEY.to_owned(), Value::Object(told).to_string());
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(vec![version, told]))
        .build();
    let fail = failed("write", path);
    let mut writer =
        SerializedFileWriter::new(draft.as_file(), Arc::new(schema), Arc::new(properties))
            .map_err(&fail)?;
    let mut columns: Vec<Column> = names().map(Column::new).collect();
    let (mut held, mut all) = (0, 0);
    for run in runs {
        let mut counters = by_record(&run.counters);
        let name = name(run);
        let before = [name.as_str(), run.machine["started"].as_str().unwrap_or_default()];
        for record in &run.records {
            add(&mut columns, before, record, counters.remove(&record.record_id));
            held += 1;
            all += 1;
            if held == GROUP {
                columns::flush(&mut writer, &mut columns).map_err(&fail)?;
                held = 0;
            }
        }
    }
    if held > 0 || all == 0 {
        columns::flush(&mut writer, &mut columns).map_err(&fail)?;
    }
    writer.close().map_err(&fail)?;
    draft.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    Ok(all)
}

fn name(run: &Run) -> String {
    run.folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn by_record(counters: &[Counter]) -> HashMap<u64, Map<String, Value>> {
    let mut by: HashMap<u64, Map<String, Value>> = HashMap::new();
    for counter in counters {
        by.entry(counter.record_id)
            .or_default()
            .insert(counter.name.to_string(), counter.value.into());
    }
    by
}

fn add(
    columns: &mut [Column],
    before: [&str; 2],
    record: &Record,
    counters: Option<Map<String, Value>>,
) {
    let counters = counters.map_or(String::new(), |counters| Value::Object(counters).to_string());
    let row = records::cells_of(&Row::from(record));
    let cells = before.into_iter().chain(row.iter()).chain([&*counters]);
    columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
}

/// Reads every run of a file that [`write()`] made, with the counters that are wanted; their folders are their names, and they have no
/// samples.
///
/// # Errors
/// [`Error::Format`] for a file that is none of ours or damaged, for a newer schema version, and for a row that `records.csv` could not
/// hold: it names the row, from 1, and its column.
pub fn read(path: &Path, wanted: Wanted) -> Result<Vec<Run>> {
    // Where a file contradicts itself, the library may panic.
    catch_unwind(|| checked(path, wanted)).unwrap_or_else(|_| {
        Err(Error::format(path, None, "damaged, for it contradicts itself; export it again"))
    })
}

fn checked(path: &Path, wanted: Wanted) -> Result<Vec<Run>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let fail = failed("read", path);
    let reader = SerializedFileReader::new(file).map_err(&fail)?;
    let chunks = reader.metadata().row_groups().iter().flat_map(|group| group.columns());
    for chunk in chunks {
        let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
        let range = u64::try_from(start).ok().zip(u64::try_from(chunk.compressed_size()).ok());
        let inside =
            |(start, size): (u64, u64)| start.checked_add(size).is_some_and(|e| e <= length);
        if !range.is_some_and(inside) {
            return Err(Error::format(path, None, "damaged: a column lies outside of the file"));
        }
    }
    let mut runs = told(path, &reader)?;
    let places: HashMap<Vec<u8>, usize> =
        runs.iter().enumerate().map(|(i, run)| (name(run).into_bytes(), i)).collect();
    let learnt = Mutex::default();
    let source = Source { path, metadata: reader.metadata(), places, wanted, learnt };
    let groups: Vec<Result<Vec<(usize, Part)>>> =
        (0..reader.num_row_groups()).into_par_iter().map(|group| source.group(group)).collect();
    let mut whole: Vec<Part> = runs.iter().map(|_| Part::default()).collect();
    for parts in groups {
        parts?.into_iter().for_each(|(place, part)| whole[place].append(part));
    }
    let twice = whole.par_iter().filter_map(Part::twice).min_by_key(|(line, _)| *line);
    if let Some((line, unfit)) = twice {
        return Err(unfit.at(path, line));
    }
    runs.par_iter_mut().zip(whole).for_each(|(run, part)| {
        (run.records, run.counters) = (part.records, part.counters);
        run.records.shrink_to_fit();
        run.counters.shrink_to_fit();
    });
    Ok(runs)
}

/// What some rows have of a run, in their order.
#[derive(Default)]
struct Part {
    records: Vec<Record>,
    /// Of each record.
    marks: Vec<Mark>,
    counters: Vec<Counter>,
}

/// Where a record stands, and what it is of.
struct Mark {
    /// The row, from 1.
    line: u64,
    /// The same for all records of one kernel, case and device.
    identity: [u64; 2],
}

impl Part {
    fn append(&mut self, mut later: Part) {
        if self.records.is_empty() {
            *self = later;
            return;
        }
        self.records.append(&mut later.records);
        self.marks.append(&mut later.marks);
        self.counters.append(&mut later.counters);
    }

    /// The first row that has what a row of the same run has already.
    fn twice(&self) -> Option<(u64, Unfit)> {
        let mut ids: HashSet<u64, RandomState> = HashSet::default();
        let mut identities: HashSet<[u64; 2], RandomState> = HashSet::default();
        self.records.iter().zip(&self.marks).find_map(|(record, mark)| {
            let id = record.record_id;
            if !ids.insert(id) {
                let reason = format!("{id} stands in its run twice");
                return Some((mark.line, Unfit::new("record_id", reason)));
            }
            let reason = "its kernel has a record on this case and device already, in the same run";
            let known = !identities.insert(mark.identity);
            known.then(|| (mark.line, Unfit::new("case_key", reason)))
        })
    }
}

/// What reading a group of rows needs.
struct Source<'a> {
    path: &'a Path,
    metadata: &'a ParquetMetaData,
    places: HashMap<Vec<u8>, usize>,
    wanted: Wanted<'a>,
    /// What groups before have left, for whoever reads the next.
    learnt: Mutex<Vec<Learnt>>,
}

/// What reading rows leaves for the next ones.
struct Learnt {
    rows: Rows,
    known: Known,
    names: Names,
}

impl Source<'_> {
    /// What a group of rows has of each run.
    fn group(&self, group: usize) -> Result<Vec<(usize, Part)>> {
        let free = self.learnt().pop();
        let mut learnt = free.unwrap_or_else(|| Learnt {
            rows: Rows::new(),
            known: Known::default(),
            names: Names::default(),
        });
        let found = self.parts(group, &mut learnt);
        self.learnt().push(learnt);
        found
    }

    fn learnt(&self) -> MutexGuard<'_, Vec<Learnt>> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parts(&self, group: usize, learnt: &mut Learnt) -> Result<Vec<(usize, Part)>> {
        let fail = failed("read", self.path);
        // A file of its own, for two that read one would move each other's place in it.
        let file = File::open(self.path).map_err(Error::io("read", self.path))?;
        let before = self.metadata.row_groups()[..group].iter();
        let mut line = 1 + before.map(|group| group.num_rows() as u64).sum::<u64>();
        let reader = SerializedRowGroupReader::new(
            Arc::new(file),
            self.metadata.row_group(group),
            self.metadata.page_index_for_row_group(group),
            Arc::new(ReaderProperties::builder().build()),
        );
        let reader = reader.map_err(&fail)?;
        let mut left = reader.metadata().num_rows() as usize;
        let columns = 0..names().count();
        let columns = columns.map(|i| reader.get_column_reader(i));
        let mut columns = columns.collect::<::parquet::errors::Result<Vec<_>>>().map_err(&fail)?;
        let mut parts: Vec<(usize, Part)> = Vec::new();
        let mut at: HashMap<usize, usize, RandomState> = HashMap::default();
        while left > 0 {
            let count = left.min(CHUNK);
            learnt.rows.read(&mut columns, count).map_err(&fail)?;
            let mut next = 0;
            while next < count {
                let rows = learnt.rows.stretch(next);
                let place = self.place(&learnt.rows, next).map_err(|e| e.at(self.path, line))?;
                let at = *at.entry(place).or_insert_with(|| {
                    parts.push((place, Part::default()));
                    parts.len() - 1
                });
                next = rows.end;
                let added = learnt.add(rows, &mut line, self.wanted, &mut parts[at].1);
                added.map_err(|unfit| unfit.at(self.path, line))?;
            }
            left -= count;
        }
        Ok(parts)
    }

    /// The index of a row's run.
    fn place(&self, rows: &Rows, row: usize) -> Result<usize, Unfit> {
        let name = rows.columns[0].bytes(row);
        self.places.get(name).copied().ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            Unfit::new("run", format!("`{name}` is not among the runs of the metadata"))
        })
    }
}

/// The runs that the metadata tells of, without records yet.
fn told(path: &Path, reader: &SerializedFileReader<File>) -> Result<Vec<Run>> {
    let metadata = reader.metadata().file_metadata();
    let value = |key: &str| {
        let all = metadata.key_value_metadata().into_iter().flatten();
        all.into_iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref())
    };
    let none = "not a file of `scalemark export`: its metadata tells of no runs";
    let (Some(version), Some(told)) = (value(VERSION_KEY), value(RUNS_KEY)) else {
        return Err(Error::format(path, None, none));
    };
    if version.parse() != Ok(SCHEMA_VERSION) {
        let reason = format!(
            "of schema version {version}; this build reads {SCHEMA_VERSION}: export it again"
        );
        return Err(Error::format(path, None, reason));
    }
    let schema = metadata.schema_descr();
    let found = schema.columns().iter().map(|column| column.name().to_owned());
    if !found.eq(names().map(str::to_owned)) {
        return Err(Error::format(path, None, "its columns are not those of results/README.md"));
    }
    let wrong =
        |error: serde_json::Error| Error::format(path, None, format!("{RUNS_KEY}: {error}"));
    // Machines are described at length, and each by itself.
    let texts: HashMap<String, &RawValue> = serde_json::from_str(told).map_err(wrong)?;
    let told = texts
        .into_par_iter()
        .map(|(name, text)| Ok((name, serde_json::from_str::<Told>(text.get()).map_err(wrong)?)));
    let mut told: Vec<(String, Told)> = told.collect::<Result<_>>()?;
    told.sort_by(|a, b| a.0.cmp(&b.0));
    let run = |(name, told): (String, Told)| Run {
        folder: PathBuf::from(name),
        machine: told.machine,
        records: Vec::new(),
        counters: Vec::new(),
        finished: told.finished,
        seal: None,
        sums: [Sum { rows: 0, crc32: 0 }; 2],
    };
    Ok(told.into_iter().map(run).collect())
}

impl Learnt {
    /// Adds some rows of one run to its part; `line` is the first one's, and is left behind the last or at the one that does not fit.
    fn add(
        &mut self,
        rows: Range<usize>,
        line: &mut u64,
        wanted: Wanted,
        part: &mut Part,
    ) -> Result<(), Unfit> {
        part.records.reserve(rows.len());
        part.marks.reserve(rows.len());
        for row in rows {
            let (record, identity) = self.known.record(&self.rows, row)?;
            let text = self.rows.columns[self.rows.columns.len() - 1].bytes(row);
            self.names.read(text, (*line, record.record_id), wanted, &mut part.counters)?;
            part.records.push(record);
            part.marks.push(Mark { line: *line, identity });
            *line += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
