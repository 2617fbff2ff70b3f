//! Going on with a run that was interrupted.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::writer::{RunWriter, Tables, Tail};
use super::{COUNTERS, RECORDS, Run, SAMPLES, SCHEMA_VERSION, SEAL};
use super::{counters, orphan, read_file, read_machine, records, row, samples, table, version};
use crate::error::{Error, Result};
use crate::record::Record;

impl RunWriter {
    /// Opens an interrupted or finished run to add to it, and returns what is recorded already.
    ///
    /// What a crash left behind the last whole record is cut off: half a line, and samples and counters of a record that
    /// has no row. All is checked before anything is cut, and the result is read as strictly as by [`Run::read`].
    ///
    /// # Errors
    /// [`Error::Usage`] when another process writes to the run, or the folder holds none; [`Error::Format`] for damage
    /// that a crash cannot have done; then no file is changed.
    pub fn resume(folder: &Path) -> Result<(RunWriter, Vec<Record>)> {
        let path = folder.join(RECORDS);
        let records = match Tail::open(path, 0) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Err(Error::Usage(format!(
                    "{} holds no run to resume: it has no {RECORDS}",
                    folder.display()
                )));
            }
            opened => opened?,
        };
        records.lock(folder)?;
        let begun_with = version(&read_machine(folder)?);
        if begun_with != SCHEMA_VERSION {
            return Err(Error::Usage(format!(
                "{} was begun with schema version {begun_with}, and this build writes {SCHEMA_VERSION}; start a new run",
                folder.display()
            )));
        }
        if folder.join(SEAL).exists() {
            // A finished run has no torn end: any fault in it is not of a crash.
            Run::read(folder)?.samples()?;
        }
        let mut tables = match good_lengths(folder)? {
            Some([records_len, counters_len, samples_len]) => Tables {
                records: Tail { good: records_len, ..records },
                counters: Tail::open(folder.join(COUNTERS), counters_len)?,
                samples: Tail::open(folder.join(SAMPLES), samples_len)?,
            },
            None => {
                for name in [COUNTERS, SAMPLES] {
                    // Only an interrupted start lacks them; opening for append leaves what is there.
                    let path = folder.join(name);
                    fs::OpenOptions::new()
                        .append(true)
                        .create(true)
                        .open(&path)
                        .map_err(Error::io("create", &path))?;
                }
                Tables {
                    records,
                    counters: Tail::open(folder.join(COUNTERS), 0)?,
                    samples: Tail::open(folder.join(SAMPLES), 0)?,
                }
            }
        };
        let fresh = tables.records.good == 0;
        tables.samples.cut()?;
        tables.counters.cut()?;
        tables.records.cut()?;
        if fresh {
            tables.begin()?;
        }
        let run = Run::read(folder)?;
        run.samples()?;
        for left_over in [SEAL, "samples.csv.gz.tmp", "seal.json.tmp", "machine.json.tmp"] {
            let path = folder.join(left_over);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::Io { what: "remove", path, source: error });
                }
                _ => {}
            }
        }
        let ids = run.records.iter().map(|r| r.record_id).collect();
        let identities = run.records.iter().map(records::identity).collect();
        Ok((RunWriter { folder: folder.to_owned(), tables, ids, identities }, run.records))
    }
}

/// The bytes of records, counters and samples that belong to whole records; `None` when the run was interrupted before
/// it had a single one, not even a header.
fn good_lengths(folder: &Path) -> Result<Option<[u64; 3]>> {
    let path = folder.join(RECORDS);
    let text = read_file(&path)?;
    let whole = whole_lines(&text);
    if whole.is_empty() {
        return if table::header(&row::COLUMNS).starts_with(&text) && nothing_recorded(folder)? {
            Ok(None)
        } else {
            Err(Error::format(path, Some(1), "it has no whole line; restore it from a copy"))
        };
    }
    let (known, _) = records::read(&path, whole)?;
    let ids: HashSet<u64> = known.iter().map(|r| r.record_id).collect();
    let records_len = whole.len() as u64;

    let path = folder.join(COUNTERS);
    let text = read_file(&path)?;
    let whole = whole_lines(&text);
    let (rows, _) = counters::read(&path, whole)?;
    let first = rows.iter().find(|(_, counter)| !ids.contains(&counter.record_id));
    if let Some((place, counter)) = first {
        let known_behind =
            rows.iter().any(|(p, c)| p.byte > place.byte && ids.contains(&c.record_id));
        if known_behind {
            let reason = format!("record_id: {}", orphan(counter.record_id));
            return Err(Error::format(path, Some(place.line), reason));
        }
    }
    let counters_len = first.map_or(whole.len() as u64, |(place, _)| place.byte);

    let path = folder.join(SAMPLES);
    let packed = read_file(&path)?;
    let samples_len = samples::kept(&path, &packed, &ids)?;
    // Every record keeps all of its samples, or nothing is cut.
    let text = samples::unpack(&path, &packed[..samples_len as usize])?;
    samples::read(&path, &text, SCHEMA_VERSION, &known)?;
    Ok(Some([records_len, counters_len, samples_len]))
}

/// All up to the last line end; a crash leaves at most one line without it.
fn whole_lines(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    &text[..end]
}

/// Whether counters and samples hold no row, so that records without a header cannot be the loss of any.
fn nothing_recorded(folder: &Path) -> Result<bool> {
    let length = |name: &str| match fs::metadata(folder.join(name)) {
        Ok(metadata) => Ok(metadata.len() as usize),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(source) => Err(Error::Io { what: "read", path: folder.join(name), source }),
    };
    let header = table::header(&samples::COLUMNS);
    Ok(length(COUNTERS)? <= table::header(&counters::COLUMNS).len()
        && length(SAMPLES)? <= samples::member(&header).len())
}
