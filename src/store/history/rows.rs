//! The rows of a history's files: between text, cells and what they mean.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use csv::StringRecord;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::HISTORY_SCHEMA;
use crate::error::{Error, Result};
use crate::history::entry::{Blessing, COUNT, Entry, Key, NANOS};
use crate::store::table::{self, Columns, Unfit};

/// The columns of a file of entries; `results/README.md` says what they mean.
pub const ENTRY_COLUMNS: &[&str] = &[
    "schema",
    "time",
    "commit",
    "commit_time",
    "fingerprint",
    "kernel",
    "case_key",
    "metric",
    "unit",
    "value",
    "processes",
    "reference",
    "reference_value",
    "canary",
    "source",
];

/// The columns of a file of blessings.
pub const BLESSING_COLUMNS: &[&str] =
    &["schema", "time", "commit", "fingerprint", "kernel", "case_key", "metric", "reason"];

pub(super) const ENTRIES: Columns = Columns { names: ENTRY_COLUMNS, facts: ENTRY_COLUMNS.len() };
pub(super) const BLESSINGS: Columns =
    Columns { names: BLESSING_COLUMNS, facts: BLESSING_COLUMNS.len() };

#[derive(Serialize, Deserialize)]
pub(super) struct EntryRow {
    schema: u64,
    time: String,
    commit: String,
    commit_time: String,
    fingerprint: String,
    kernel: String,
    case_key: String,
    metric: String,
    unit: String,
    value: f64,
    processes: Option<u64>,
    reference: String,
    reference_value: Option<f64>,
    canary: bool,
    source: String,
}

#[derive(Serialize, Deserialize)]
struct BlessingRow {
    schema: u64,
    time: String,
    commit: String,
    fingerprint: String,
    kernel: String,
    case_key: String,
    metric: String,
    reason: String,
}

/// Texts and keys that were met before, so that a million rows fit into memory.
#[derive(Default)]
pub(super) struct Texts {
    texts: HashSet<Arc<str>>,
    keys: HashSet<Arc<Key>>,
}

impl Texts {
    fn text(&mut self, text: String) -> Arc<str> {
        if let Some(known) = self.texts.get(text.as_str()) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&new));
        new
    }

    fn key(&mut self, key: Key) -> Arc<Key> {
        if let Some(known) = self.keys.get(&key) {
            return Arc::clone(known);
        }
        let new = Arc::new(key);
        self.keys.insert(Arc::clone(&new));
        new
    }
}

fn whole(path: &Path, text: &[u8]) -> Result<()> {
    if text.last() == Some(&b'\n') {
        return Ok(());
    }
    let last = 1 + text.iter().filter(|&&b| b == b'\n').count() as u64;
    let reason = "cut off in the middle of a line; restore it from another copy of the history";
    Err(Error::format(path, Some(last), reason))
}

/// The rows of a file, at least one, and the line of each.
pub(super) fn read_entries(
    path: &Path,
    text: &[u8],
    texts: &mut Texts,
) -> Result<(Vec<Entry>, Vec<u64>)> {
    whole(path, text)?;
    let (mut entries, mut lines): (Vec<Entry>, Vec<u64>) = (Vec::new(), Vec::new());
    let mut seen: HashMap<Arc<Key>, u64> = HashMap::new();
    table::read(path, text, &ENTRIES, |place, cells| {
        let at = |unfit: Unfit| unfit.at(path, place.line);
        known_schema(path, place.line, cells)?;
        let row: EntryRow = table::typed(path, place.line, cells, &ENTRIES)?;
        let entry = entry(row, texts).map_err(at)?;
        check(&entry).map_err(at)?;
        if let Some(first) = entries.first() {
            let same = (entry.time, &entry.commit, &entry.source)
                == (first.time, &first.commit, &first.source);
            if !same {
                let reason = format!("of another run than line {}; a file is one run", lines[0]);
                return Err(at(Unfit::new("time", reason)));
            }
        }
        if let Some(first) = seen.insert(Arc::clone(&entry.key), place.line) {
            let reason = format!("{} stands on line {first} already", entry.key);
            return Err(at(Unfit::new("kernel", reason)));
        }
        entries.push(entry);
        lines.push(place.line);
        Ok(())
    })?;
    if entries.is_empty() {
        return Err(Error::format(path, Some(1), "no rows; remove the file"));
    }
    Ok((entries, lines))
}

pub(super) fn read_blessings(path: &Path, text: &[u8]) -> Result<Vec<Blessing>> {
    whole(path, text)?;
    let mut blessings = Vec::new();
    table::read(path, text, &BLESSINGS, |place, cells| {
        let at = |unfit: Unfit| unfit.at(path, place.line);
        known_schema(path, place.line, cells)?;
        let row: BlessingRow = table::typed(path, place.line, cells, &BLESSINGS)?;
        let key = key(&row.kernel, &row.case_key, &row.metric, &row.fingerprint).map_err(at)?;
        let reason = table::unescape("reason", &row.reason).map_err(at)?;
        if reason.trim().is_empty() {
            return Err(at(Unfit::new("reason", "empty; a blessing needs one")));
        }
        let time = time("time", &row.time).map_err(at)?;
        let commit = table::unescape("commit", &row.commit).map_err(at)?;
        blessings.push(Blessing { time, key, commit, reason });
        Ok(())
    })?;
    Ok(blessings)
}

/// Before the other cells are looked at, for they may be others in another version.
fn known_schema(path: &Path, line: u64, cells: &StringRecord) -> Result<()> {
    match cells.get(0).map(str::parse::<u64>) {
        Some(Ok(HISTORY_SCHEMA)) => Ok(()),
        Some(Ok(newer)) if newer > HISTORY_SCHEMA => {
            let reason = format!(
                "schema: version {newer} is newer than {HISTORY_SCHEMA}, the newest that this build reads; upgrade scalemark"
            );
            Err(Error::format(path, Some(line), reason))
        }
        _ => {
            let found = cells.get(0).unwrap_or_default().escape_debug().to_string();
            let reason =
                format!("schema: `{found}` is no version; this build reads {HISTORY_SCHEMA}");
            Err(Error::format(path, Some(line), reason))
        }
    }
}

fn time(column: &'static str, cell: &str) -> Result<Timestamp, Unfit> {
    cell.parse().map_err(|_| {
        Unfit::new(
            column,
            format!("`{}` is no time; write 2026-01-31T12:00:00Z", cell.escape_debug()),
        )
    })
}

fn key(kernel: &str, case: &str, metric: &str, fingerprint: &str) -> Result<Key, Unfit> {
    let key = Key {
        kernel: table::unescape("kernel", kernel)?,
        case: table::unescape("case_key", case)?,
        metric: table::unescape("metric", metric)?,
        fingerprint: table::unescape("fingerprint", fingerprint)?,
    };
    let needed =
        [("kernel", &key.kernel), ("metric", &key.metric), ("fingerprint", &key.fingerprint)];
    if let Some((column, _)) = needed.into_iter().find(|(_, text)| text.trim().is_empty()) {
        return Err(Unfit::new(column, "empty; every series has one"));
    }
    Ok(key)
}

pub(super) fn blessing_row(blessing: &Blessing) -> impl Serialize {
    let key = &blessing.key;
    BlessingRow {
        schema: HISTORY_SCHEMA,
        time: blessing.time.to_string(),
        commit: table::escape(&blessing.commit),
        fingerprint: table::escape(&key.fingerprint),
        kernel: table::escape(&key.kernel),
        case_key: table::escape(&key.case),
        metric: table::escape(&key.metric),
        reason: table::escape(&blessing.reason),
    }
}

pub(super) fn row(entry: &Entry) -> EntryRow {
    EntryRow {
        schema: HISTORY_SCHEMA,
        time: entry.time.to_string(),
        commit: table::escape(&entry.commit),
        commit_time: entry.commit_time.map_or(String::new(), |time| time.to_string()),
        fingerprint: table::escape(&entry.key.fingerprint),
        kernel: table::escape(&entry.key.kernel),
        case_key: table::escape(&entry.key.case),
        metric: table::escape(&entry.key.metric),
        unit: table::escape(&entry.unit),
        value: entry.value,
        processes: entry.processes,
        reference: table::escape(&entry.reference),
        reference_value: entry.reference_value,
        canary: entry.canary,
        source: table::escape(&entry.source),
    }
}

fn entry(row: EntryRow, texts: &mut Texts) -> Result<Entry, Unfit> {
    let key = key(&row.kernel, &row.case_key, &row.metric, &row.fingerprint)?;
    let mut shared = |column, cell: &str| Ok(texts.text(table::unescape(column, cell)?));
    Ok(Entry {
        time: time("time", &row.time)?,
        commit: shared("commit", &row.commit)?,
        commit_time: match row.commit_time.as_str() {
            "" => None,
            cell => Some(time("commit_time", cell)?),
        },
        unit: shared("unit", &row.unit)?,
        value: row.value,
        processes: row.processes,
        reference: shared("reference", &row.reference)?,
        reference_value: row.reference_value,
        canary: row.canary,
        source: shared("source", &row.source)?,
        key: texts.key(key),
    })
}

/// What must hold of every entry, whether it is written or read.
pub(super) fn check(entry: &Entry) -> Result<(), Unfit> {
    let fail = |column, reason: String| Err(Unfit::new(column, reason));
    let key = &entry.key;
    let texts: [(&str, &str); 6] = [
        ("commit", &entry.commit),
        ("unit", &entry.unit),
        ("source", &entry.source),
        ("kernel", &key.kernel),
        ("metric", &key.metric),
        ("fingerprint", &key.fingerprint),
    ];
    if let Some((column, _)) = texts.into_iter().find(|(_, text)| text.trim().is_empty()) {
        return fail(column, "empty; every row has one".into());
    }
    let usable =
        |value: f64| value.is_finite() && (value > 0.0 || (&*entry.unit == COUNT && value == 0.0));
    if !usable(entry.value) {
        return fail("value", format!("{} is no {} of anything", entry.value, entry.key.metric));
    }
    match entry.reference_value {
        Some(value) if !(value.is_finite() && value > 0.0) => {
            fail("reference_value", format!("{value} is no {} of anything", entry.key.metric))
        }
        Some(_) if entry.reference.trim().is_empty() => {
            fail("reference", "empty, though there is a reference_value".into())
        }
        None if !entry.reference.is_empty() => {
            fail("reference_value", "empty, though there is a reference".into())
        }
        _ if entry.canary && &*entry.unit != NANOS => {
            fail("canary", format!("true, though a canary is a time in {NANOS}"))
        }
        _ => Ok(()),
    }
}
