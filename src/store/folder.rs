//! The folders of runs: their names, and how one is claimed.

use std::cmp::Ordering;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{MACHINE, RECORDS};
use crate::error::{Error, Result};

/// Length of `YYYYMMDDTHHMMSSZ`.
const STAMP: usize = 16;

/// `YYYYMMDDTHHMMSSZ-<machine>-<commit>`, with only lower-case letters, digits and dashes in the words.
pub(super) fn name(time: jiff::Timestamp, machine: &str, commit: &str) -> String {
    let (machine, commit) = (word(machine, "machine"), word(commit, "unknown"));
    format!("{}-{machine}-{commit}", time.strftime("%Y%m%dT%H%M%SZ"))
}

fn word(text: &str, otherwise: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let parts: Vec<&str> = clean.split('-').filter(|part| !part.is_empty()).collect();
    let word: String = parts.join("-").chars().take(48).collect();
    if word.is_empty() { otherwise.to_owned() } else { word }
}

/// Creates a folder of this name, or with `-2`, `-3`, … behind it when others were faster.
pub(super) fn create(parent: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    let mut folder = parent.join(name);
    for number in 2.. {
        match fs::create_dir(&folder) {
            // One call both asks and creates, so that no other run can have got the same folder.
            Ok(()) => break,
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 1000 => {
                folder = parent.join(format!("{name}-{number}"));
            }
            Err(source) => return Err(Error::Io { what: "create", path: folder, source }),
        }
    }
    Ok(folder)
}

/// Claims a folder that the user named: it must be empty, or not be there yet. Says whether it was created.
pub(super) fn claim(folder: &Path) -> Result<bool> {
    let mut entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            return Ok(true);
        }
        entries => entries.map_err(Error::io("use as a folder", folder))?,
    };
    if folder.join(RECORDS).exists() || folder.join(MACHINE).exists() {
        return Err(holds_a_run(folder));
    }
    match entries.next() {
        None => Ok(false),
        Some(_) => Err(Error::Usage(format!(
            "{} is not empty; give a folder that is empty or not there yet",
            folder.display()
        ))),
    }
}

pub(super) fn holds_a_run(folder: &Path) -> Error {
    Error::Usage(format!(
        "{} already holds a run; go on with it by `--resume {}`, or give another folder",
        folder.display(),
        folder.display()
    ))
}

/// The newest run in a folder of runs, by the time in its name; `None` when there is none.
///
/// Only folders that are named as `scalemark run` names them and hold records count.
///
/// # Errors
/// [`Error::Io`] when `runs` exists and cannot be listed.
pub fn latest_run(runs: &Path) -> Result<Option<PathBuf>> {
    let entries = match fs::read_dir(runs) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(Error::io("list", runs))?,
    };
    let mut latest: Option<String> = None;
    for entry in entries {
        let name = entry.map_err(Error::io("list", runs))?.file_name();
        let Some(name) = name.to_str() else { continue };
        if is_run_name(name)
            && runs.join(name).join(RECORDS).is_file()
            && latest.as_deref().is_none_or(|best| by_age(best, name) == Ordering::Less)
        {
            latest = Some(name.to_owned());
        }
    }
    Ok(latest.map(|name| runs.join(name)))
}

fn is_run_name(name: &str) -> bool {
    let pattern = b"ddddddddTddddddZ-";
    name.len() > pattern.len()
        && name.bytes().zip(pattern).all(|(byte, &kind)| match kind {
            b'd' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

/// By time; within one second a later run has a greater number behind it, and so is longer or greater.
fn by_age(a: &str, b: &str) -> Ordering {
    a[..STAMP].cmp(&b[..STAMP]).then(a.len().cmp(&b.len())).then(a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_time_machine_and_commit() {
        let time: jiff::Timestamp = "2026-11-23T04:05:06.7Z".parse().unwrap();
        let named = name(time, "AMD EPYC 9B45 (2 cores)", "1f0c9ab");
        assert_eq!(named, "20261123T040506Z-amd-epyc-9b45-2-cores-1f0c9ab");
        assert_eq!(name(time, "../é", ""), "20261123T040506Z-machine-unknown");
        assert!(is_run_name(&named) && !is_run_name("20261123T040506Z-") && !is_run_name("notes"));
    }

    #[test]
    fn runs_of_one_second_get_folders_of_their_own_and_the_last_is_the_latest() {
        let dir = tempfile::tempdir().unwrap();
        let runs = dir.path().join("results/runs");
        assert_eq!(latest_run(&runs).unwrap(), None);
        let old = create(&runs, "20261122T000000Z-z-z").unwrap();
        let all: Vec<_> = (0..11).map(|_| create(&runs, "20261123T000000Z-a-b").unwrap()).collect();
        assert!(
            all[1].ends_with("20261123T000000Z-a-b-2")
                && all[10].ends_with("20261123T000000Z-a-b-11")
        );
        create(&runs, "20261124T000000Z-without-records").unwrap();
        fs::create_dir(runs.join("zzz")).unwrap();
        for folder in all.iter().chain([&old]) {
            fs::write(folder.join(RECORDS), "").unwrap();
        }
        assert_eq!(latest_run(&runs).unwrap().as_ref(), all.last());
    }

    #[test]
    fn a_folder_with_anything_in_it_is_not_claimed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(claim(&dir.path().join("new/one")).unwrap());
        assert!(!claim(&dir.path().join("new/one")).unwrap());
        let file = dir.path().join("file");
        fs::write(&file, "kept").unwrap();
        assert!(claim(dir.path()).unwrap_err().to_string().contains("is not empty"));
        assert!(matches!(claim(&file), Err(Error::Io { .. })));
        assert!(matches!(create(&file, "x"), Err(Error::Io { .. })));
        assert_eq!(fs::read(&file).unwrap(), b"kept");
        fs::write(dir.path().join(RECORDS), "").unwrap();
        assert!(claim(dir.path()).unwrap_err().to_string().contains("--resume"));
    }
}
