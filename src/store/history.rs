//! A history on disk: a folder of small CSV files, one an append, none ever changed.
//!
//! A file's name is its time, its commit and a hash of its text: two machines that append at once write two files, merging two
//! branches is keeping both their files, and a file that lost a line no longer fits its name. A file appears whole or not at
//! all (written elsewhere in the folder, then renamed). What a column means stands in `results/README.md`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::StringRecord;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::table::{self, Columns, Unfit};
use crate::error::{Error, Result};
use crate::history::entry::{Blessing, COUNT, Entry, Fnv, History, Key, NANOS};

/// The version of the file format.
pub const HISTORY_SCHEMA: u64 = 1;

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

const ENTRIES: Columns = Columns { names: ENTRY_COLUMNS, facts: ENTRY_COLUMNS.len() };
const BLESSINGS: Columns = Columns { names: BLESSING_COLUMNS, facts: BLESSING_COLUMNS.len() };

const ENTRY_END: &str = ".csv";
const BLESSING_END: &str = ".blessing.csv";

#[derive(Serialize, Deserialize)]
struct EntryRow {
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

/// What came of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The file.
    pub path: PathBuf,
    /// Whether it is new; the same entries again change nothing.
    pub is_new: bool,
}

/// Appends the entries of one run; creates the folder.
///
/// # Errors
/// [`Error::Usage`] when there are none, or one does not make sense or stands twice; [`Error::Io`] when the folder cannot be written.
pub fn append(folder: &Path, entries: &[Entry]) -> Result<Appended> {
    let Some(first) = entries.first() else {
        return Err(Error::Usage("there is nothing to append to the history".into()));
    };
    let mut seen = HashSet::new();
    let mut text = table::header(&ENTRIES);
    for entry in entries {
        let of_run = |e: &Entry| (e.time, Arc::clone(&e.commit), Arc::clone(&e.source));
        if of_run(entry) != of_run(first) {
            return Err(Error::Usage("an append is of one run; append each run by itself".into()));
        }
        let fail = |unfit: Unfit| {
            Error::Usage(format!(
                "{} cannot be kept: {}: {}",
                entry.key, unfit.column, unfit.reason
            ))
        };
        check(entry).map_err(fail)?;
        if !seen.insert(&*entry.key) {
            return Err(Error::Usage(format!(
                "{} stands twice in one append; give each benchmark a name of its own",
                entry.key
            )));
        }
        text.extend(table::line(&row(entry)));
    }
    keep(folder, first.time, &first.commit, &text, ENTRY_END)
}

/// Appends blessings.
///
/// # Errors
/// As [`append`].
pub fn bless(folder: &Path, blessings: &[Blessing]) -> Result<Appended> {
    let Some(first) = blessings.first() else {
        return Err(Error::Usage("there is nothing to bless".into()));
    };
    let mut text = table::header(&BLESSINGS);
    for blessing in blessings {
        if blessing.reason.trim().is_empty() {
            return Err(Error::Usage("a blessing needs a reason; say why with --reason".into()));
        }
        let key = &blessing.key;
        text.extend(table::line(&BlessingRow {
            schema: HISTORY_SCHEMA,
            time: blessing.time.to_string(),
            commit: table::escape(&blessing.commit),
            fingerprint: table::escape(&key.fingerprint),
            kernel: table::escape(&key.kernel),
            case_key: table::escape(&key.case),
            metric: table::escape(&key.metric),
            reason: table::escape(&blessing.reason),
        }));
    }
    keep(folder, first.time, &first.commit, &text, BLESSING_END)
}

fn keep(folder: &Path, time: Timestamp, commit: &str, text: &[u8], end: &str) -> Result<Appended> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let stamp = time.strftime("%Y%m%dT%H%M%SZ");
    let commit: String = commit.chars().filter(char::is_ascii_alphanumeric).take(10).collect();
    let commit = if commit.is_empty() { "unnamed".to_owned() } else { commit };
    let path = folder.join(format!("{stamp}-{commit}-{:016x}{end}", hash(text)));
    if path.is_file() {
        return Ok(Appended { path, is_new: false });
    }
    let mut file = readable(&mut tempfile::Builder::new())
        .prefix(".append-")
        .suffix(".tmp")
        .tempfile_in(folder)
        .map_err(Error::io("write in", folder))?;
    file.write_all(text)
        .and_then(|()| file.as_file().sync_all())
        .map_err(Error::io("write", file.path()))?;
    file.persist(&path).map_err(|error| Error::io("create", &path)(error.error))?;
    Ok(Appended { path, is_new: true })
}

/// Temporary files are their owner's alone; this one is for everybody whom the umask does not exclude.
fn readable<'a, 'b>(
    builder: &'a mut tempfile::Builder<'b, 'b>,
) -> &'a mut tempfile::Builder<'b, 'b> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}

/// Of the text with line feeds alone, for git may write others on checkout.
fn hash(text: &[u8]) -> u64 {
    let mut hash = Fnv::default();
    text.split(|byte| *byte == b'\r').for_each(|part| hash.write(part));
    hash.0
}

/// Reads every file of a history. Files that are not named `*.csv` are not the history's and left alone.
///
/// # Errors
/// [`Error::Io`] when the folder or a file cannot be read; [`Error::Format`], which names file and line, for anything that an append
/// would not have written: there is no half history.
pub fn read(folder: &Path) -> Result<History> {
    let listing = fs::read_dir(folder).map_err(Error::io("read the history in", folder))?;
    let mut paths = Vec::new();
    for entry in listing {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.ends_with(ENTRY_END)) {
            paths.push(path);
        }
    }
    paths.sort();
    let mut history = History::default();
    let mut texts = Texts::default();
    let mut runs: HashMap<Run, Vec<Rows>> = HashMap::new();
    for path in &paths {
        let text = fs::read(path).map_err(Error::io("read", path))?;
        if path.to_string_lossy().ends_with(BLESSING_END) {
            history.blessings.extend(read_blessings(path, &text)?);
            check_name(path, &text)?;
            continue;
        }
        let (entries, lines) = read_entries(path, &text, &mut texts)?;
        let run = (entries[0].time, Arc::clone(&entries[0].commit), Arc::clone(&entries[0].source));
        let others = runs.entry(run).or_default();
        for other in others.iter() {
            let before = &history.entries[other.from..other.from + other.lines.len()];
            let first: HashMap<&Key, u64> =
                before.iter().map(|entry| &*entry.key).zip(other.lines.iter().copied()).collect();
            for (entry, line) in entries.iter().zip(&lines) {
                if let Some(first) = first.get(&*entry.key) {
                    let reason = format!(
                        "{} of this run stands in {}, line {first}, already; remove one of them",
                        entry.key,
                        other.path.display()
                    );
                    return Err(Error::format(path, Some(*line), reason));
                }
            }
        }
        others.push(Rows { path: path.clone(), from: history.entries.len(), lines });
        history.entries.extend(entries);
        check_name(path, &text)?;
    }
    history.blessings.sort_by_key(|blessing| blessing.time);
    Ok(history)
}

/// What the rows of a file share: a number of a run stands in a history once.
type Run = (Timestamp, Arc<str>, Arc<str>);

/// Where the rows of a file are.
struct Rows {
    path: PathBuf,
    /// The first of them among all.
    from: usize,
    /// The line of each.
    lines: Vec<u64>,
}

/// Texts and keys that were met before, so that a million rows fit into memory.
#[derive(Default)]
struct Texts {
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

/// A file's name ends in the hash of its text.
fn check_name(path: &Path, text: &[u8]) -> Result<()> {
    let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    let stem = name.strip_suffix(BLESSING_END).or(name.strip_suffix(ENTRY_END)).unwrap_or(&name);
    let found = hash(text);
    let named = stem.rsplit_once('-').map(|(_, hash)| hash);
    if named == Some(format!("{found:016x}").as_str()) {
        return Ok(());
    }
    let last = text.iter().filter(|&&byte| byte == b'\n').count() as u64;
    let reason = format!(
        "its text is not the one it was appended with (its name does not end in -{found:016x}): lines were lost, added or edited; \
         restore it from another copy of the history"
    );
    Err(Error::format(path, Some(last.max(1)), reason))
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
fn read_entries(path: &Path, text: &[u8], texts: &mut Texts) -> Result<(Vec<Entry>, Vec<u64>)> {
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

fn read_blessings(path: &Path, text: &[u8]) -> Result<Vec<Blessing>> {
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

fn row(entry: &Entry) -> EntryRow {
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
fn check(entry: &Entry) -> Result<(), Unfit> {
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
