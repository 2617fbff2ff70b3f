//! The gate on this machine, of a build with a copy of itself, idle and under load.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::cmd::interrupt;
use crate::gate::Report;
use crate::gate::report::TIME;
use crate::stats::binomial::clopper_pearson;

/// Options of `prove machine`.
#[derive(Debug, clap::Args)]
pub struct Machine {
    /// Decisions on kernels in all; those that the file has already count
    #[arg(long, default_value_t = 3000)]
    decisions: usize,
    /// Busy threads beside the gate; decisions are spread evenly over these loads
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 2, 4])]
    load: Vec<usize>,
    /// Folder that the results go to
    #[arg(long, default_value = "results/proof", value_name = "DIR")]
    out: PathBuf,
    /// Options of `gate pair` for every gate, after --
    #[arg(last = true)]
    gate: Vec<String>,
}

/// One decision: a row of `machine.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Decision {
    /// The gate that it was part of; intervals are clustered by it.
    gate: usize,
    load: usize,
    kernel: String,
    case_key: String,
    verdict: String,
    pairs: usize,
    ratio: Option<f64>,
    spread: Option<f64>,
    gate_seconds: f64,
}

/// Runs gates until there are as many decisions as were asked for, each gate's rows being written when it ends.
///
/// # Errors
/// On usage errors, and when a gate cannot be run or the file is none of ours.
pub fn run(args: &Machine) -> anyhow::Result<ExitCode> {
    if args.load.is_empty() || args.decisions == 0 {
        bail!("nothing to do; use --decisions 3000 --load 0,1,2,4");
    }
    interrupt::catch();
    fs::create_dir_all(&args.out)
        .with_context(|| format!("failed to create {}", args.out.display()))?;
    let path = args.out.join("machine.csv");
    let scratch = tempfile::tempdir().context("failed to create a temporary folder")?;
    let this = std::env::current_exe().context("failed to find the path of this program")?;
    let copy = scratch.path().join("head");
    fs::copy(&this, &copy).with_context(|| format!("failed to copy {}", this.display()))?;
    let mut decisions = read(&path)?;
    let wanted = args.decisions.div_ceil(args.load.len());
    loop {
        let count = |load| decisions.iter().filter(|d| d.load == load).count();
        // The load with the fewest decisions: an interrupted proof has about as many of each.
        let Some(&load) =
            args.load.iter().filter(|&&load| count(load) < wanted).min_by_key(|&&load| count(load))
        else {
            break;
        };
        if interrupt::is_asked() {
            super::super::note("interrupted; the same command goes on");
            return Ok(interrupt::exit_code());
        }
        let gate = decisions.iter().map(|d| d.gate).max().map_or(1, |last| last + 1);
        let report = under_load(load, || one(&this, &copy, scratch.path(), &args.gate))?;
        let rows: Vec<Decision> = rows(gate, load, &report);
        if rows.is_empty() {
            bail!("a gate decided nothing; run `scalemark gate pair` to see why");
        }
        append(&path, &rows)?;
        decisions.extend(rows);
        super::super::note(&format!("gate {gate}, load {load}: {}", report.headline()));
    }
    let text = summary(&decisions);
    let page = args.out.join("machine.md");
    fs::write(&page, &text).with_context(|| format!("failed to write {}", page.display()))?;
    super::super::show(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn rows(gate: usize, load: usize, report: &Report) -> Vec<Decision> {
    let times = report.findings.iter().filter(|finding| finding.metric == TIME);
    let row = |finding: &crate::gate::Finding| Decision {
        gate,
        load,
        kernel: finding.kernel.clone(),
        case_key: finding.case.clone(),
        verdict: finding.verdict.name().to_owned(),
        pairs: finding.evidence.as_ref().map_or(0, |e| e.pairs),
        ratio: finding.evidence.as_ref().and_then(|e| Some(e.estimate?.0)),
        spread: finding.evidence.as_ref().and_then(|e| e.spread),
        gate_seconds: report.seconds,
    };
    times.map(row).collect()
}

/// A gate of a build and its copy.
fn one(base: &Path, head: &Path, scratch: &Path, options: &[String]) -> anyhow::Result<Report> {
    let mut command = Command::new(base);
    command.args(["gate", "pair", "--json", "-", "--base"]).arg(base).arg("--head").arg(head);
    let out = command.arg("--out").arg(scratch.join("gate")).args(options).output();
    let out = out.context("failed to start this program")?;
    if !matches!(out.status.code(), Some(0 | 1 | 3)) {
        bail!("a gate failed: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    serde_json::from_slice(&out.stdout).context("a gate said something that is no report")
}

/// Does `work` while `threads` threads keep the machine busy.
fn under_load<T>(threads: usize, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut x = 1u64;
                while !stop.load(Ordering::Relaxed) {
                    x = std::hint::black_box(x.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (x >> 7));
                }
            });
        }
        let done = work();
        stop.store(true, Ordering::Relaxed);
        done
    })
}

fn read(path: &Path) -> anyhow::Result<Vec<Decision>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let mut reader = csv::Reader::from_path(path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    let rows: Result<Vec<Decision>, csv::Error> = reader.deserialize().collect();
    rows.with_context(|| format!("{} is no file of decisions; move it away", path.display()))
}

fn append(path: &Path, rows: &[Decision]) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let has_header = path.is_file();
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let mut writer = csv::WriterBuilder::new().has_headers(!has_header).from_writer(file);
        rows.iter().try_for_each(|row| writer.serialize(row))?;
        Ok(writer.flush()?)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}

/// A table by load. Kernels of one gate share its hour, so the interval of the rate of alarms is that of gates.
fn summary(decisions: &[Decision]) -> String {
    let mut text = String::from(
        "# The gate on a machine, of a build with its copy\n\nMade by `scalemark prove machine`; every decision stands in \
         [machine.csv](machine.csv). Nothing changed, so `slower` is a false alarm; its interval is of gates (Clopper–Pearson, 95 %).\n\n\
         | load | gates | decisions | same | undecided | unfit | faster | slower | gates with an alarm | seconds a gate |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut loads: BTreeMap<usize, Vec<&Decision>> = BTreeMap::new();
    for decision in decisions {
        loads.entry(decision.load).or_default().push(decision);
    }
    for (load, rows) in loads {
        let count = |verdict: &str| rows.iter().filter(|d| d.verdict == verdict).count();
        let mut gates: BTreeMap<usize, (bool, f64)> = BTreeMap::new();
        for row in &rows {
            let gate = gates.entry(row.gate).or_insert((false, row.gate_seconds));
            gate.0 |= row.verdict == "slower";
        }
        let alarms = gates.values().filter(|gate| gate.0).count();
        let (low, high) =
            clopper_pearson(alarms as u64, gates.len() as u64, 0.95).unwrap_or((0.0, 1.0));
        let seconds = gates.values().map(|gate| gate.1).sum::<f64>() / gates.len() as f64;
        text.push_str(&format!(
            "| {load} | {} | {} | {:.1} % | {} | {} | {} | {} | {alarms} ({:.1} to {:.1} %) | {seconds:.0} |\n",
            gates.len(),
            rows.len(),
            100.0 * count("same") as f64 / rows.len() as f64,
            count("undecided"),
            count("unfit"),
            count("faster"),
            count("slower"),
            100.0 * low,
            100.0 * high
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(gate: usize, load: usize, verdict: &str) -> Decision {
        Decision {
            gate,
            load,
            kernel: "matmul/simd".into(),
            case_key: "c".into(),
            verdict: verdict.into(),
            pairs: 8,
            ratio: Some(1.0),
            spread: None,
            gate_seconds: 20.0,
        }
    }

    #[test]
    fn decisions_that_are_appended_read_back_and_a_foreign_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine.csv");
        assert_eq!(read(&path).unwrap(), []);
        let rows = [decision(1, 0, "same"), decision(2, 1, "slower")];
        append(&path, &rows[..1]).unwrap();
        append(&path, &rows[1..]).unwrap();
        assert_eq!(read(&path).unwrap(), rows);
        fs::write(&path, "a,b\n1,2\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("is no file of decisions"));
    }

    #[test]
    fn alarms_are_counted_by_gate() {
        let rows = [
            decision(1, 0, "slower"),
            decision(1, 0, "slower"),
            decision(2, 0, "same"),
            decision(3, 4, "same"),
        ];
        let text = summary(&rows);
        assert!(
            text.contains("| 0 | 2 | 3 | 33.3 % | 0 | 0 | 0 | 2 | 1 (1.3 to 98.7 %) | 20 |"),
            "{text}"
        );
        assert!(text.contains("| 4 | 1 | 1 | 100.0 % |"), "{text}");
    }
}
