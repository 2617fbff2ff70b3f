//! `samples.csv.gz`: every sample of every record, so that any statistic can be computed again.
//!
//! While a run is written, the file is a series of gzip members, one a record, each appended whole: it is valid up to the
//! last complete member at any time ([RFC 1952](https://www.rfc-editor.org/rfc/rfc1952) section 2.2 makes a series of
//! members one file). When the run ends they are packed into one member, which is smaller.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::bufread::{GzDecoder, MultiGzDecoder};
use flate2::write::GzEncoder;

use super::table::{self, Columns, Sum, Unfit};
use crate::error::{Error, Result};
use crate::record::{Record, Sample};

/// The columns of `samples.csv.gz`; `results/README.md` says what they mean.
pub const SAMPLE_COLUMNS: &[&str] = &[
    "record_id",
    "process",
    "index",
    "wall_ns",
    "cpu_ns",
    "run_queue_ns",
    "iterations",
    "core_share",
    "sm_mhz",
    "power_mw",
    "temperature_c",
    "throttle",
];

pub(super) const COLUMNS: Columns = Columns { names: SAMPLE_COLUMNS, facts: SAMPLE_COLUMNS.len() };

/// The columns of a run of this schema version: each version added some at the end.
const fn columns_of(version: u64) -> Columns {
    match version {
        1 => Columns { names: SAMPLE_COLUMNS.split_at(7).0, facts: 7 },
        2 => Columns { names: SAMPLE_COLUMNS.split_at(8).0, facts: 8 },
        _ => COLUMNS,
    }
}

/// The most text that is unpacked from one file: a small foreign file must not fill the memory.
const MOST_TEXT: u64 = 1 << 30;

/// One gzip member that holds `text`.
pub(super) fn member(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).and_then(|()| encoder.finish()).expect("a vector takes all")
}

/// The lines of a record's samples.
pub(super) fn encode(record: &Record, samples: &[Sample]) -> Result<Vec<u8>> {
    let fail = |reason: String| {
        let (id, kernel) = (record.record_id, &record.kernel);
        Error::Usage(format!("samples of record {id} ({kernel}) cannot be stored: {reason}"))
    };
    let mut tally = Tally::default();
    let mut lines = Vec::new();
    for sample in samples {
        if sample.record_id != record.record_id {
            return Err(fail(format!("one belongs to record {}", sample.record_id)));
        }
        tally.add(sample).map_err(|unfit| fail(format!("{}: {}", unfit.column, unfit.reason)))?;
        lines.extend(table::line(sample));
    }
    tally.matches(record).map_err(fail)?;
    Ok(lines)
}

/// The whole text of the file.
pub(super) fn unpack(path: &Path, packed: &[u8]) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    MultiGzDecoder::new(packed).take(MOST_TEXT + 1).read_to_end(&mut text).map_err(|error| {
        let reason = format!("cut off or damaged ({error}); restore it from a copy");
        Error::format(path, None, reason)
    })?;
    if text.len() as u64 > MOST_TEXT {
        return Err(Error::format(path, None, "holds over 1 GiB of text, more than any run"));
    }
    Ok(text)
}

/// Reads every sample of a run of schema version `version`, and checks that `records` have all of theirs.
pub(super) fn read(
    path: &Path,
    text: &[u8],
    version: u64,
    records: &[Record],
) -> Result<(Vec<Sample>, Sum)> {
    let columns = columns_of(version);
    let mut tallies: HashMap<u64, Tally> =
        records.iter().map(|record| (record.record_id, Tally::default())).collect();
    let mut samples = Vec::new();
    let sum = table::read(path, text, &columns, |place, cells| {
        let at = |unfit: Unfit| unfit.at(path, place.line);
        let sample: Sample = table::typed(path, place.line, cells, &columns)?;
        let tally = tallies
            .get_mut(&sample.record_id)
            .ok_or_else(|| at(Unfit::new("record_id", super::orphan(sample.record_id))))?;
        tally.add(&sample).map_err(at)?;
        samples.push(sample);
        Ok(())
    })?;
    for record in records {
        if let Err(reason) = tallies[&record.record_id].matches(record) {
            return Err(Error::format(
                path,
                None,
                format!("record {} ({}): {reason}", record.record_id, record.kernel),
            ));
        }
    }
    Ok((samples, sum))
}

/// The length of the members, from the first, that are whole and belong to a record in `ids`.
///
/// # Errors
/// Damage that a crash cannot have done: a broken member that is not the last, or one that holds rows of known and of
/// unknown records.
pub(super) fn kept(path: &Path, packed: &[u8], ids: &HashSet<u64>) -> Result<u64> {
    let (mut rest, mut keep) = (packed, 0);
    let mut first = true;
    while !rest.is_empty() {
        let mut text = String::new();
        let mut decoder = GzDecoder::new(rest);
        match (&mut decoder).take(MOST_TEXT).read_to_string(&mut text) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => {
                let reason = format!("damaged at byte {keep} ({error}); restore it from a copy");
                return Err(Error::format(path, None, reason));
            }
        }
        rest = decoder.into_inner();
        let rows = text.lines().skip(usize::from(first));
        first = false;
        let id = |row: &str| row.split(',').next().and_then(|id| id.parse::<u64>().ok());
        let known: HashSet<bool> =
            rows.map(|row| id(row).is_some_and(|id| ids.contains(&id))).collect();
        if known.contains(&false) {
            if known.contains(&true) || !rest.is_empty() && kept_any(rest, ids) {
                let reason = "holds samples of records that are not in records.csv, in between \
                              others; restore both from a copy";
                return Err(Error::format(path, None, reason));
            }
            break;
        }
        keep = (packed.len() - rest.len()) as u64;
    }
    Ok(keep)
}

/// Whether anything that can be unpacked from here on belongs to a known record.
fn kept_any(packed: &[u8], ids: &HashSet<u64>) -> bool {
    let mut text = Vec::new();
    // What cannot be unpacked is the torn end that is about to be cut; the text up to it is judged.
    let _ = MultiGzDecoder::new(packed).take(MOST_TEXT).read_to_end(&mut text);
    String::from_utf8_lossy(&text).lines().any(|row| {
        row.split(',')
            .next()
            .and_then(|id| id.parse::<u64>().ok())
            .is_some_and(|id| ids.contains(&id))
    })
}

/// What the samples of one record come to.
#[derive(Default)]
struct Tally {
    seen: HashSet<(usize, usize)>,
    processes: HashSet<usize>,
}

impl Tally {
    fn add(&mut self, sample: &Sample) -> Result<(), Unfit> {
        if sample.iterations == 0 {
            return Err(Unfit::new("iterations", "0; a sample times at least one launch"));
        }
        if sample.core_share.is_some_and(|share| !(share > 0.0 && share.is_finite())) {
            return Err(Unfit::new("core_share", "not a share of a core"));
        }
        if sample.sm_mhz.is_some_and(|mhz| !(mhz > 0.0 && mhz.is_finite())) {
            return Err(Unfit::new("sm_mhz", "not a clock"));
        }
        self.processes.insert(sample.process);
        if !self.seen.insert((sample.process, sample.index)) {
            let reason = format!(
                "sample {} of process {} of record {} stands twice",
                sample.index, sample.process, sample.record_id
            );
            return Err(Unfit::new("index", reason));
        }
        Ok(())
    }

    /// A measured record has at least the samples and processes that it was computed from.
    fn matches(&self, record: &Record) -> Result<(), String> {
        let Some(timing) = record.timing() else { return Ok(()) };
        for (what, has, says) in [
            ("samples", self.seen.len(), timing.samples),
            ("processes", self.processes.len(), timing.processes),
        ] {
            if has < says {
                return Err(format!("{has} {what} where the record was computed from {says}"));
            }
        }
        Ok(())
    }
}
