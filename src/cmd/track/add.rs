//! `scalemark track add`: runs into the history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use glob::Pattern;
use jiff::Timestamp;

use super::{Place, pattern};
use crate::cmd::gate::folders::{self, Key as Job};
use crate::cmd::{git, note, show};
use crate::device::machine::Machine;
use crate::history::entry::{COUNT, Entry, Key, NANOS, TIME};
use crate::record::{Outcome, Record};
use crate::stats::median;
use crate::stats::signed_rank::hodges_lehmann;
use crate::store::{self, Run};

/// Fingerprint of what the simulator counts, which is the same on every machine.
const SIMULATOR: &str = "simulator";

/// Options of `track add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark track add results/runs/RUN --reference results/runs/PINNED   beside a pinned build, measured in the same job
  scalemark track add results/runs/RUN --canary 'matmul/openblas'        beside kernels that no commit changes")]
pub struct Add {
    /// Folders of runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// The commit that was measured [default: the one that the runs name]
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// A run of a pinned build, measured in the same job; may be given several times
    #[arg(long, value_name = "RUN")]
    reference: Vec<PathBuf>,
    /// Name of the pinned build; series begin anew with another one [default: its commit]
    #[arg(long, value_name = "NAME", requires = "reference")]
    reference_name: Option<String>,
    /// Kernels that no commit changes, as yardsticks, e.g. 'matmul/openblas' or 'peak/*'
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    canary: Vec<String>,
}

/// A pinned build that was measured in the same job.
struct Reference {
    name: String,
    fingerprint: String,
    /// Nanoseconds by kernel and case.
    times: BTreeMap<Job, f64>,
}

/// Appends each run.
///
/// # Errors
/// When a folder is no run, its commit is not known, or the history cannot be written.
pub fn run(args: &Add) -> anyhow::Result<ExitCode> {
    let canaries = args.canary.iter().map(|text| pattern(text)).collect::<Result<Vec<_>, _>>()?;
    let reference = reference(args)?;
    // All of them are read before anything is written: an error leaves the history as it was.
    let mut batches = Vec::new();
    for folder in &args.runs {
        batches.push((folder, entries(args, folder, reference.as_ref(), &canaries)?));
    }
    for (folder, entries) in batches {
        let beside = entries.iter().filter(|e| e.reference_value.is_some()).count();
        let yardsticks = entries.iter().filter(|e| e.canary).count();
        let appended = store::history::append(&args.place.history, &entries)?;
        let what = match (beside, yardsticks) {
            (0, 0) => "no reference and no canary".to_owned(),
            (0, canaries) => format!("{canaries} canaries"),
            (beside, 0) => format!("{beside} beside the reference"),
            (beside, canaries) => format!("{beside} beside the reference, {canaries} canaries"),
        };
        let how = if appended.is_new { "" } else { " (it was there already)" };
        let (folder, path) = (folder.display(), appended.path.display());
        show(&format!("{folder}: {} numbers, {what}: {path}{how}\n", entries.len()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn machine(run: &Run) -> anyhow::Result<Machine> {
    serde_json::from_value(run.machine.clone()).with_context(|| {
        format!("{}/machine.json is not one of this version", run.folder.display())
    })
}

/// The level of each kernel of a run: the centre of its processes' logs (Hodges and Lehmann's), from which noise takes less than from their
/// median, and which one of five that something hit moves little.
fn times(run: &Run) -> anyhow::Result<BTreeMap<Job, (f64, u64)>> {
    let middle = |(job, logs): (Job, Vec<f64>)| {
        Some((job, (hodges_lehmann(&logs)?.exp(), logs.len() as u64)))
    };
    Ok(folders::levels(run)?.into_iter().filter_map(middle).collect())
}

fn reference(args: &Add) -> anyhow::Result<Option<Reference>> {
    let mut found: Option<Reference> = None;
    let mut logs: BTreeMap<Job, Vec<f64>> = BTreeMap::new();
    for folder in &args.reference {
        let run = Run::read(folder)?;
        let machine = machine(&run)?;
        let commit = machine.software.git_commit.clone();
        let name = args.reference_name.clone().or(commit).with_context(|| {
            format!("{} does not say its commit; give --reference-name", folder.display())
        })?;
        let fingerprint = machine.hardware.hardware_class_hash();
        let other = found.as_ref().filter(|r| r.name != name || r.fingerprint != fingerprint);
        if let Some(other) = other {
            bail!(
                "{} is of {name} on {fingerprint}, another reference of {} on {}; give runs of one build on one machine",
                folder.display(),
                other.name,
                other.fingerprint
            );
        }
        for (job, (time, _)) in times(&run)? {
            logs.entry(job).or_default().push(time.ln());
        }
        found.get_or_insert(Reference { name, fingerprint, times: BTreeMap::new() });
    }
    if let Some(reference) = &mut found {
        let middle = |(job, mut logs): (Job, Vec<f64>)| Some((job, median(&mut logs)?.exp()));
        reference.times = logs.into_iter().filter_map(middle).collect();
        if reference.times.is_empty() {
            bail!(
                "the reference has no measured record; give a run that measured the same kernels"
            );
        }
    }
    Ok(found)
}

fn entries(
    args: &Add,
    folder: &Path,
    reference: Option<&Reference>,
    canaries: &[Pattern],
) -> anyhow::Result<Vec<Entry>> {
    let run = Run::read(folder)?;
    let machine = machine(&run)?;
    let fingerprint = machine.hardware.hardware_class_hash();
    if let Some(reference) = reference.filter(|r| r.fingerprint != fingerprint) {
        bail!(
            "{} was measured on {fingerprint} and its reference on {}; a reference must come from the same machine",
            folder.display(),
            reference.fingerprint
        );
    }
    let named = args.commit.clone().or(machine.software.git_commit.clone());
    let named = named.with_context(|| {
        format!("{} does not say which commit it is of; give --commit", folder.display())
    })?;
    if machine.software.git_dirty == Some(true) {
        note(&format!("{}: the build had changes that {named} does not hold", folder.display()));
    }
    if !run.finished {
        note(&format!(
            "{}: the run was not finished; it is added as far as it came",
            folder.display()
        ));
    }
    let (commit, commit_time) = match git::commit(&named) {
        Some((commit, time)) => (commit, Some(time)),
        None => (named, None),
    };
    let time: Timestamp = machine.started.parse().with_context(|| {
        format!("{}/machine.json: started `{}` is no time", folder.display(), machine.started)
    })?;
    let entry = |record: &Record, metric: &str, unit: &str, value: f64| Entry {
        time,
        commit: commit.as_str().into(),
        commit_time,
        key: Key {
            kernel: record.kernel.to_string(),
            case: record.case.key(),
            metric: metric.to_owned(),
            fingerprint: match record.device.as_str() {
                "cpu" => fingerprint.clone(),
                "sim" => SIMULATOR.to_owned(),
                device => format!("{fingerprint}-{device}"),
            },
        }
        .into(),
        unit: unit.into(),
        value,
        processes: None,
        reference: "".into(),
        reference_value: None,
        canary: false,
        source: "scalemark".into(),
    };
    let times = times(&run)?;
    let mut entries = Vec::new();
    for record in &run.records {
        let job = (record.kernel.to_string(), record.case.key());
        if let Some(&(value, processes)) = times.get(&job).filter(|_| record.timing().is_some()) {
            let beside = reference.and_then(|r| Some((r.name.clone(), *r.times.get(&job)?)));
            entries.push(Entry {
                processes: Some(processes),
                reference: beside.as_ref().map_or("", |(name, _)| name).into(),
                reference_value: beside.map(|(_, value)| value),
                canary: canaries.iter().any(|canary| canary.matches(&record.kernel)),
                ..entry(record, TIME, NANOS, value)
            });
        }
        let is_right = matches!(record.outcome, Outcome::Measured(_) | Outcome::Simulated);
        if let Some(bytes) = record.allocated.filter(|_| is_right && record.provider == "own") {
            entries.push(entry(record, "allocated_bytes", COUNT, bytes.0 as f64));
        }
        if record.outcome == Outcome::Simulated {
            for counter in run.counters_of(record.record_id) {
                entries.push(entry(record, &counter.name, COUNT, counter.value));
            }
        }
    }
    if entries.is_empty() {
        bail!("{} has no right record; there is nothing to keep of it", folder.display());
    }
    if !canaries.is_empty() && !entries.iter().any(|entry| entry.canary) {
        bail!("{}: no measured kernel is a canary of {}", folder.display(), args.canary.join(", "));
    }
    Ok(entries)
}
