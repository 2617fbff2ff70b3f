//! Two run folders.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};

use super::empty;
use crate::device::machine::Machine;
use crate::gate::exact::{self, Table};
use crate::gate::report::{Finding, Report, Side, TIME};
use crate::gate::unpaired::{self, Pairless};
use crate::gate::{Rule, Verdict, rounds};
use crate::record::{Outcome, Record};
use crate::store::Run;
use crate::worker::protocol::Timed;

/// Compares two runs: times by the spread between their processes, counters exactly.
///
/// # Errors
/// When a folder is no run, or they are of different machines.
pub fn compare(base: &Path, head: &Path, rule: &Rule) -> anyhow::Result<Report> {
    let (before, after) = (Run::read(base)?, Run::read(head)?);
    let machine = |run: &Run| -> anyhow::Result<Machine> {
        serde_json::from_value(run.machine.clone()).with_context(|| {
            format!("{}/machine.json is not one of this version", run.folder.display())
        })
    };
    let (here, there) = (machine(&before)?, machine(&after)?);
    if here.hardware.hardware_class_hash() != there.hardware.hardware_class_hash() {
        let hardware: Vec<String> = here
            .differences(&there)
            .iter()
            .filter_map(|difference| difference.strip_prefix("hardware."))
            // Lists of caches or instructions by their name alone.
            .map(|difference| match difference.split_once(':') {
                Some((field, _)) if difference.len() > 100 => field.to_owned(),
                _ => difference.to_owned(),
            })
            .collect();
        bail!(
            "{} and {} are of different machines ({}); a gate compares builds on one machine, `scalemark report` shows runs",
            base.display(),
            head.display(),
            hardware.join("; ")
        );
    }
    let (levels_before, levels_after) = (levels(&before)?, levels(&after)?);
    let mut findings = Vec::new();
    let mut kernels = Vec::new();
    for (key, base) in &levels_before {
        if let Some(head) = levels_after.get(key) {
            let (kernel, case) = key.clone();
            kernels.push(Pairless { kernel, case, base: base.clone(), head: head.clone() });
        }
    }
    findings.extend(unpaired::judge(rule, &kernels));
    findings.extend(missing(&before, &after, Verdict::OnlyInBase));
    findings.extend(missing(&after, &before, Verdict::OnlyInHead));
    findings.extend(exact::compare(&counters(&before), &counters(&after)));
    if findings.is_empty() && counters(&before).is_empty() {
        bail!(
            "{} and {} have no kernel and case in common; compare runs of the same cases",
            base.display(),
            head.display()
        );
    }
    let side = |path: &Path, machine: Machine| Side {
        label: path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned()),
        version: machine.software.git_commit.unwrap_or_default(),
    };
    Ok(empty(rule, side(base, here), side(head, there), false, findings))
}

/// Kernel and case.
pub type Key = (String, String);

fn key(record: &Record) -> Key {
    (record.kernel.to_string(), record.case.key())
}

/// The logarithm of the level of each process, for every measured kernel.
///
/// # Errors
/// When the samples cannot be read.
pub fn levels(run: &Run) -> anyhow::Result<BTreeMap<Key, Vec<f64>>> {
    let measured: BTreeMap<u64, &Record> =
        run.records.iter().filter(|r| r.timing().is_some()).map(|r| (r.record_id, r)).collect();
    if measured.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut processes: BTreeMap<(u64, usize), Vec<Timed>> = BTreeMap::new();
    for sample in run.samples()? {
        processes.entry((sample.record_id, sample.process)).or_default().push(Timed {
            wall_ns: sample.wall_ns,
            cpu_ns: sample.cpu_ns,
            run_queue_ns: sample.run_queue_ns,
            iterations: sample.iterations,
            core_share: sample.core_share,
            ..Timed::default()
        });
    }
    let mut levels: BTreeMap<Key, Vec<f64>> = BTreeMap::new();
    for ((record, _), samples) in processes {
        let Some(record) = measured.get(&record) else { continue };
        if let Some(level) = rounds::level(&samples, record.case.threads) {
            levels.entry(key(record)).or_default().push(level.ln());
        }
    }
    Ok(levels)
}

/// What one run did right and the other did wrong, refused or lacks.
fn missing(has: &Run, lacks: &Run, verdict: Verdict) -> Vec<Finding> {
    let fine =
        |record: &Record| matches!(record.outcome, Outcome::Measured(_) | Outcome::Simulated);
    let there: BTreeMap<Key, &Record> = lacks.records.iter().map(|r| (key(r), r)).collect();
    let finding = |record: &Record| {
        let reason = match there.get(&key(record)) {
            Some(other) if fine(other) => return None,
            Some(other) => format!("{}: {}", other.outcome.status(), other.outcome.detail()),
            None => "the run has no such record".to_owned(),
        };
        let (kernel, case) = key(record);
        Some(Finding { reason, ..Finding::new(&kernel, &case, TIME, verdict) })
    };
    has.records.iter().filter(|record| fine(record)).filter_map(finding).collect()
}

/// The counters of a run, and the bytes that its kernels allocate.
pub fn counters(run: &Run) -> Table {
    let records: BTreeMap<u64, &Record> = run.records.iter().map(|r| (r.record_id, r)).collect();
    let mut table = Table::new();
    for counter in &run.counters {
        if let Some(record) = records.get(&counter.record_id) {
            let (kernel, case) = key(record);
            table.insert((kernel, case, counter.name.to_string()), counter.value);
        }
    }
    for record in &run.records {
        if let Some(bytes) = record.allocated {
            let (kernel, case) = key(record);
            table.insert((kernel, case, "allocated_bytes".into()), bytes.0 as f64);
        }
    }
    table
}
