//! `scalemark track import`: results of other tools into the history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use jiff::Timestamp;

use super::{Place, pattern};
use crate::cmd::{git, note, show};
use crate::device::machine::{DetectOptions, Machine};
use crate::history::entry::{Entry, Key, NANOS, TIME};
use crate::history::import::{Format, Imported, parse};
use crate::store;

/// Options of `track import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark track import criterion target/criterion --canary 'calibrate/*'
  scalemark track import hyperfine results.json")]
pub struct Import {
    /// The tool that wrote the results
    #[arg(value_enum)]
    format: Format,
    /// Its file; of criterion also the folder target/criterion
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// The commit that was measured [default: the file's, or HEAD of the repository in the current folder]
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// When it was measured [default: the file's, or when it was written]
    #[arg(long, value_name = "TIME")]
    time: Option<Timestamp>,
    /// Results of a pinned build, measured in the same job, in the same format
    #[arg(long, value_name = "FILE", requires = "reference_name")]
    reference: Option<PathBuf>,
    /// Name of the pinned build; series begin anew with another one
    #[arg(long, value_name = "NAME")]
    reference_name: Option<String>,
    /// Benchmarks that no commit changes, as yardsticks
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    canary: Vec<String>,
    /// The class of machine that it was measured on [default: this machine's]
    #[arg(long, value_name = "NAME")]
    fingerprint: Option<String>,
}

/// Appends the times of a file.
///
/// # Errors
/// When it is not of the format, its commit is not known, or the history cannot be written.
pub fn run(args: &Import) -> anyhow::Result<ExitCode> {
    let canaries = args.canary.iter().map(|text| pattern(text)).collect::<Result<Vec<_>, _>>()?;
    let imported = read(args.format, &args.file)?;
    for left_out in &imported.left_out {
        note(&format!("left out: {left_out}"));
    }
    if imported.times.is_empty() {
        bail!("{} has no times", args.file.display());
    }
    let named = args.commit.clone().or(imported.commit.clone()).unwrap_or_else(|| "HEAD".into());
    let (commit, commit_time) = match git::commit(&named) {
        Some((commit, time)) => (commit, Some(time)),
        None if named == "HEAD" => {
            bail!("there is no repository here to take the commit from; give --commit")
        }
        None => (named, None),
    };
    let written = || -> anyhow::Result<Timestamp> {
        let time = std::fs::metadata(&args.file).and_then(|file| file.modified());
        Ok(Timestamp::try_from(time.with_context(|| args.file.display().to_string())?)?)
    };
    let time = match args.time.or(imported.time) {
        Some(time) => time,
        None => written()?,
    };
    let mut beside: BTreeMap<(String, String, String), f64> = BTreeMap::new();
    if let Some(path) = &args.reference {
        let times = read(args.format, path)?.times;
        beside.extend(times.into_iter().map(|t| ((t.name, t.case, t.device), t.nanos)));
    }
    let fingerprint = args.fingerprint.clone().unwrap_or_else(|| {
        Machine::detect(&DetectOptions::default()).hardware.hardware_class_hash()
    });
    let entries: Vec<Entry> = imported
        .times
        .into_iter()
        .map(|timed| {
            let reference_value = beside
                .get(&(timed.name.clone(), timed.case.clone(), timed.device.clone()))
                .copied();
            let name = args.reference_name.clone().filter(|_| reference_value.is_some());
            let machine = match timed.device.as_str() {
                "" => fingerprint.clone(),
                device => format!("{fingerprint}-{device}"),
            };
            Entry {
                time,
                commit: commit.as_str().into(),
                commit_time,
                canary: canaries.iter().any(|canary| canary.matches(&timed.name)),
                key: Key {
                    kernel: timed.name,
                    case: timed.case,
                    metric: TIME.to_owned(),
                    fingerprint: machine,
                }
                .into(),
                unit: NANOS.into(),
                value: timed.nanos,
                processes: None,
                reference: name.unwrap_or_default().into(),
                reference_value,
                source: args.format.name().into(),
            }
        })
        .collect();
    let appended = store::history::append(&args.place.history, &entries)?;
    let how = if appended.is_new { "" } else { " (it was there already)" };
    let (file, path) = (args.file.display(), appended.path.display());
    show(&format!("{file}: {} times of {commit}: {path}{how}\n", entries.len()))?;
    Ok(ExitCode::SUCCESS)
}

fn read(format: Format, path: &Path) -> anyhow::Result<Imported> {
    if format != Format::Criterion {
        let text = text(path)?;
        return Ok(parse(format, &text, path, None)?);
    }
    let mut files = Vec::new();
    if path.is_dir() {
        find(path, &mut files)?;
        files.sort();
        if files.is_empty() {
            bail!("{} has no */new/estimates.json; give target/criterion", path.display());
        }
    } else {
        files.push(path.to_owned());
    }
    let mut all = Imported::default();
    for file in files {
        let beside = file.with_file_name("benchmark.json");
        let beside = if beside.is_file() { Some(text(&beside)?) } else { None };
        let one = parse(format, &text(&file)?, &file, beside.as_deref())?;
        all.times.extend(one.times);
    }
    Ok(all)
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

/// Every `new/estimates.json` below a folder; `base` and `change` are of other runs.
fn find(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let listing = std::fs::read_dir(folder)
        .with_context(|| format!("failed to list {}", folder.display()))?;
    for entry in listing {
        let entry = entry.with_context(|| format!("failed to list {}", folder.display()))?;
        // A link could lead back to where it comes from.
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let estimates = entry.path().join("estimates.json");
        if entry.file_name() == "new" && estimates.is_file() {
            files.push(estimates);
        } else {
            find(&entry.path(), files)?;
        }
    }
    Ok(())
}
