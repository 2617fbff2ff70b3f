//! A history on disk: a folder of small CSV files, one an append, none ever changed.
//!
//! A file's name is its time, its commit and a hash of its text: two machines that append at once write two files, merging two
//! branches is keeping both their files, and a file that lost a line no longer fits its name. A file appears whole or not at
//! all (written elsewhere in the folder, then renamed). What a column means stands in `results/README.md`.

mod rows;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

pub use rows::{BLESSING_COLUMNS, ENTRY_COLUMNS};

use super::table::{self, Unfit};
use crate::error::{Error, Result};
use crate::history::entry::{Blessing, Entry, Fnv, History, Key};
use rows::{BLESSINGS, ENTRIES, Texts, blessing_row, check, read_blessings, read_entries, row};

/// The version of the file format.
pub const HISTORY_SCHEMA: u64 = 1;

const ENTRY_END: &str = ".csv";
const BLESSING_END: &str = ".blessing.csv";

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
        text.extend(table::line(&blessing_row(blessing)));
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
