//! Putting a report into a run's folder.

use std::fs;
use std::path::{Path, PathBuf};

use super::canvas::{Picture, SIGNATURE};
use super::chart::Chart;
use super::counted::counted;
use super::draw::picture;
use super::group::{dtype, family_groups, groups};
use super::palette::Palette;
use super::sweep::{LEAST_SIZES, sweeps};
use super::{ReportInput, charts, markdown};
use crate::error::{Error, Result};
use crate::ops::{DType, Family};
use crate::record::Record;

/// What a report consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// `report.md`.
    pub report: PathBuf,
    /// The charts, in the order of the report.
    pub charts: Vec<PathBuf>,
    /// Charts of an earlier report that no longer have data.
    pub removed: Vec<PathBuf>,
    /// A sentence for every kind of chart that there was no data for.
    pub left_out: Vec<String>,
}

/// Every chart that there is data for, and a sentence for every kind that there is none for.
pub(super) fn all_charts(input: &ReportInput) -> (Vec<Chart>, Vec<String>) {
    let palette = Palette::of(input.records);
    let groups = groups(input.records);
    let sweeps = sweeps(input.records);
    // An update has its own chart, with a panel a rule.
    let sized: Vec<_> = sweeps.iter().filter(|s| s.group.family != Family::Optimizer).collect();
    let kinds: [(&str, Vec<Chart>); 5] = [
        (
            "throughput by model size: no matmul or attention case of a known model was measured",
            groups
                .iter()
                .filter_map(|(g, r)| charts::throughput(g, r, input.params, &palette))
                .collect(),
        ),
        (
            "time against size: no sweep of one size",
            sized.iter().filter_map(|s| charts::scaling(s, input.law, &palette)).collect(),
        ),
        (
            "memory against size: no sweep of one size with its memory recorded",
            sized.iter().filter_map(|s| charts::memory(s, &palette)).collect(),
        ),
        (
            "roofline: no measured case has a measured limit",
            rooflines(input.records)
                .iter()
                .filter_map(|((on, d, t), r)| charts::roofline(on, *d, *t, r, &palette))
                .collect(),
        ),
        (
            "optimizer time against parameters: no update was measured",
            family_groups(input.records)
                .iter()
                .filter_map(|(g, r)| charts::optimizer(g, r, input.law, &palette))
                .collect(),
        ),
    ];
    let (mut all, mut left_out) = (Vec::new(), Vec::new());
    for (why, charts) in kinds {
        if charts.is_empty() {
            let sizes = if why.contains("sweep") {
                format!(" (at least {LEAST_SIZES} sizes by one kernel)")
            } else {
                String::new()
            };
            left_out.push(format!("No chart of {why}{sizes}."));
        }
        all.extend(charts);
    }
    // Only a simulated run has counters, so that their absence is no loss to speak of.
    for (group, rows) in counted(input) {
        all.extend(charts::counters(&group, &rows, &palette));
    }
    (all, left_out)
}

/// Device, input dtype and threads, and the records that have them.
type Roof<'a> = ((&'a str, DType, usize), Vec<&'a Record>);

/// Records by device, input dtype and thread count.
fn rooflines(records: &[Record]) -> Vec<Roof<'_>> {
    let mut found: Vec<Roof> = Vec::new();
    for record in records {
        let key = (record.device.as_str(), dtype(record), record.case.threads);
        match found.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(record),
            None => found.push((key, vec![record])),
        }
    }
    found.sort_by_key(|(key, _)| *key);
    found
}

/// Writes `report.md` and `charts/*.svg` into `folder`, each file whole or not at all, and removes charts of an earlier
/// report that this one does not have. Other files in `charts/` are left alone.
///
/// # Errors
/// The first file or folder that could not be read, written or removed.
pub fn write(folder: &Path, input: &ReportInput) -> Result<Written> {
    let (text, drawn, left_out) = made(input)?;
    let report = folder.join("report.md");
    let (paths, removed) = pictures(&folder.join("charts"), &drawn)?;
    whole(&report, &text)?;
    Ok(Written { report, charts: paths, removed, left_out })
}

/// The text of a report, its pictures, and a sentence for every kind of chart that there was no data for.
fn made(input: &ReportInput) -> Result<(String, Vec<Picture>, Vec<String>)> {
    let (charts, left_out) = all_charts(input);
    let drawn = charts.iter().map(picture).collect::<Result<Vec<_>>>()?;
    Ok((markdown::markdown(input, &charts, &left_out), drawn, left_out))
}

/// A report as Markdown, and the pictures that it refers to as `charts/NAME.svg`.
///
/// # Errors
/// Only if the drawing library fails, which it has no reason to when it writes to memory.
pub fn document(input: &ReportInput) -> Result<(String, Vec<Picture>)> {
    made(input).map(|(text, pictures, _)| (text, pictures))
}

/// Writes pictures into a folder, each file whole or not at all, and removes those of an earlier time that are not among them; other
/// files are left alone. Returns what was written and what was removed.
///
/// # Errors
/// The first file or folder that could not be read, written or removed.
pub(crate) fn pictures<'a>(
    folder: &Path,
    pictures: impl IntoIterator<Item = &'a Picture>,
) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut paths = Vec::new();
    for picture in pictures {
        let path = folder.join(format!("{}.svg", picture.name));
        whole(&path, &picture.file())?;
        paths.push(path);
    }
    let removed = remove_stale(folder, &paths)?;
    Ok((paths, removed))
}

/// Writes beside the file and renames, so that a reader never sees half of it.
pub(crate) fn whole(path: &Path, text: &str) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let done = fs::write(&draft, text).and_then(|()| fs::rename(&draft, path));
    done.map_err(|reason| {
        // The draft may not exist; the reason that matters is the first one.
        let _ = fs::remove_file(&draft);
        Error::io("write", path)(reason)
    })
}

/// Removes SVG files that carry our signature and are not among `keep`.
fn remove_stale(folder: &Path, keep: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let ours = || fs::read_to_string(&path).is_ok_and(|text| text.contains(SIGNATURE));
        if path.extension().is_some_and(|e| e == "svg") && !keep.contains(&path) && ours() {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            removed.push(path);
        }
    }
    removed.sort();
    Ok(removed)
}
