//! `seal.json`: what a finished run's tables come to. It is written last, so that a run without it was interrupted, and a
//! run whose tables differ from it was edited or lost rows.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::SEAL;
use super::table::Sum;
use crate::error::{Error, Result};

/// The sums of the three tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seal {
    #[serde(rename = "records.csv")]
    pub records: Sum,
    #[serde(rename = "counters.csv")]
    pub counters: Sum,
    #[serde(rename = "samples.csv.gz")]
    pub samples: Sum,
}

impl Seal {
    /// The seal of a run; `None` when the run was not finished.
    pub fn read(folder: &Path) -> Result<Option<Seal>> {
        let path = folder.join(SEAL);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(Error::io("read", &path))?,
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Error::format(&path, Some(error.line() as u64), format!("not a seal: {error}"))
        })
    }

    /// Writes the seal, whole or not at all.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("numbers are JSON") + "\n";
        replace(&folder.join(SEAL), text.as_bytes())
    }
}

/// Whether a table is what was sealed.
pub(super) fn check(path: &Path, sealed: Sum, found: Sum) -> Result<()> {
    if sealed == found {
        return Ok(());
    }
    let what = if sealed.rows == found.rows {
        format!("a cell of its {} rows is not what it was", sealed.rows)
    } else {
        format!("it has {} rows where the finished run had {}", found.rows, sealed.rows)
    };
    let reason = format!(
        "changed since the run was finished: {what} (checksum {:08x}, in {SEAL} {:08x}); restore it from a copy",
        found.crc32, sealed.crc32
    );
    Err(Error::format(path, Some(found.rows + 1), reason))
}

/// Writes a file through a temporary neighbour, so that `path` holds the old bytes or the new ones.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = Path::new(&name);
    let written = File::create(temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(temporary, path));
    written.map_err(|source| {
        // The write's own error is the one to tell; a left-over temporary file is removed on the next resume.
        let _ = fs::remove_file(temporary);
        Error::Io { what: "write", path: path.to_owned(), source }
    })
}
