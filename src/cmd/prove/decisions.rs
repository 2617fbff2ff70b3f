//! What gates decided on this machine, one after another: kept as rows, so that a proof of many hours can be interrupted.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::cmd::{interrupt, note};
use crate::device::pool::affinity;
use crate::gate::report::TIME;
use crate::gate::{Finding, Report};

/// One decision: a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The gate that it was part of; intervals are clustered by it.
    pub gate: usize,
    pub load: usize,
    /// What the head's kernels did more than the base's, where that was asked for.
    pub extra_percent: Option<u32>,
    pub kernel: String,
    pub case_key: String,
    pub verdict: String,
    pub pairs: usize,
    pub ratio: Option<f64>,
    pub spread: Option<f64>,
    pub gate_seconds: f64,
}

/// Under what a gate decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scene {
    /// As in [`Decision`].
    pub extra_percent: Option<u32>,
    /// Busy threads beside the gate: so many other gates.
    pub load: usize,
}

impl Decision {
    pub fn scene(&self) -> Scene {
        Scene { extra_percent: self.extra_percent, load: self.load }
    }
}

/// Gates of a base and a head, with the options of all of them.
pub struct Gates<'a> {
    pub base: &'a Path,
    pub head: &'a Path,
    pub options: &'a [String],
}

impl Gates<'_> {
    /// Runs gates until `path` has `wanted` decisions of each scene; each gate's rows are written when it ends. `None` when it
    /// was interrupted.
    ///
    /// # Errors
    /// When a gate cannot be run or the file is none of ours.
    pub fn until(
        &self,
        path: &Path,
        scenes: &[Scene],
        wanted: usize,
    ) -> anyhow::Result<Option<Vec<Decision>>> {
        let scratch = tempfile::tempdir().context("failed to create a temporary folder")?;
        let mut decisions: Vec<Decision> = read(path)?;
        loop {
            let count = |scene| decisions.iter().filter(|d| d.scene() == scene).count();
            // The scene with the fewest decisions: an interrupted proof has about as many of each.
            let open = scenes.iter().copied().filter(|&scene| count(scene) < wanted);
            let Some(scene) = open.min_by_key(|&scene| count(scene)) else {
                return Ok(Some(decisions));
            };
            if interrupt::is_asked() {
                note("interrupted; the same command goes on");
                return Ok(None);
            }
            let reports = together(scene.load, |i| {
                self.one(scene.extra_percent, &scratch.path().join(i.to_string()))
            });
            // Ctrl-C in a terminal ends the gates as well, which then decide nothing.
            if interrupt::is_asked() {
                continue;
            }
            for report in reports {
                let report = report?;
                let gate = decisions.iter().map(|d| d.gate).max().map_or(1, |last| last + 1);
                let rows = rows(gate, scene, &report);
                if rows.is_empty() {
                    bail!("a gate decided nothing; run `scalemark gate pair` to see why");
                }
                append(path, &rows)?;
                decisions.extend(rows);
                let extra = extra_percent_of(scene);
                note(&format!("gate {gate}, load {}{extra}: {}", scene.load, report.headline()));
            }
        }
    }

    fn one(&self, extra_percent: Option<u32>, scratch: &Path) -> anyhow::Result<Report> {
        let this = std::env::current_exe().context("failed to find the path of this program")?;
        let mut command = Command::new(this);
        command.args(["gate", "pair", "--json", "-", "--base"]).arg(self.base);
        command.arg("--head").arg(self.head).arg("--out").arg(scratch);
        if let Some(percent) = extra_percent {
            command.args(["--slow-head", &percent.to_string()]);
        }
        let out = command.args(self.options).output().context("failed to start this program")?;
        if !matches!(out.status.code(), Some(0 | 1 | 3)) {
            bail!("a gate failed: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        serde_json::from_slice(&out.stdout).context("a gate said something that is no report")
    }
}

fn extra_percent_of(scene: Scene) -> String {
    scene.extra_percent.map_or(String::new(), |percent| format!(", {percent} % more work"))
}

/// A copy of this program in `folder`: the same build under another name.
///
/// # Errors
/// When it cannot be copied.
pub fn copy_of_this(folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let this = std::env::current_exe().context("failed to find the path of this program")?;
    let copy = folder.join("head");
    fs::copy(&this, &copy).with_context(|| format!("failed to copy {}", this.display()))?;
    Ok((this, copy))
}

fn rows(gate: usize, scene: Scene, report: &Report) -> Vec<Decision> {
    let times = report.findings.iter().filter(|finding| finding.metric == TIME);
    let row = |finding: &Finding| Decision {
        gate,
        load: scene.load,
        extra_percent: scene.extra_percent,
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

/// Does `work` `load + 1` times at once, each on one CPU, in turns. Each has `load` busy threads beside it all the time: the
/// others, and what keeps their CPUs busy from when they are done until all are. Alone, it has all CPUs.
fn together<T: Send>(load: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (cpus, left) = (affinity::allowed(), AtomicUsize::new(load + 1));
    let one = |i: usize| {
        if load > 0 && !cpus.is_empty() {
            // What this thread starts stays on its CPU.
            affinity::pin(cpus[i % cpus.len()]);
        }
        let done = work(i);
        left.fetch_sub(1, Ordering::Relaxed);
        let mut x = 1u64;
        while left.load(Ordering::Relaxed) > 0 {
            x = std::hint::black_box(x.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (x >> 7));
        }
        done
    };
    std::thread::scope(|scope| {
        let one = &one;
        let all: Vec<_> = (0..=load).map(|i| scope.spawn(move || one(i))).collect();
        all.into_iter().map(|each| each.join().expect("no gate panics")).collect()
    })
}

/// The rows of a file; none where there is no file yet.
///
/// # Errors
/// When it is none of ours.
pub fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> anyhow::Result<Vec<T>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let mut reader = csv::Reader::from_path(path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    let rows: Result<Vec<T>, csv::Error> = reader.deserialize().collect();
    rows.with_context(|| format!("{} is no file of this proof; move it away", path.display()))
}

/// Adds rows to a file, which begins with their names.
///
/// # Errors
/// When it cannot be written.
pub fn append<T: Serialize>(path: &Path, rows: &[T]) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let has_header = path.is_file();
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let mut writer = csv::WriterBuilder::new().has_headers(!has_header).from_writer(file);
        rows.iter().try_for_each(|row| writer.serialize(row))?;
        Ok(writer.flush()?)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn decision(
        gate: usize,
        load: usize,
        extra_percent: Option<u32>,
        verdict: &str,
    ) -> Decision {
        Decision {
            gate,
            load,
            extra_percent,
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
    fn under_a_load_so_many_more_work_at_once() {
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let all_are_in = std::sync::Barrier::new(3);
        let seen = together(2, |i| {
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            all_are_in.wait();
            i
        });
        assert_eq!((seen, most.into_inner()), (vec![0, 1, 2], 3));
        assert_eq!(together(0, |i| i), [0]);
    }

    #[test]
    fn decisions_that_are_appended_read_back_and_a_foreign_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine.csv");
        assert_eq!(read::<Decision>(&path).unwrap(), []);
        let rows = [decision(1, 0, None, "same"), decision(2, 1, Some(3), "slower")];
        append(&path, &rows[..1]).unwrap();
        append(&path, &rows[1..]).unwrap();
        assert_eq!(read::<Decision>(&path).unwrap(), rows);
        fs::write(&path, "a,b\n1,2\n").unwrap();
        let error = read::<Decision>(&path).unwrap_err().to_string();
        assert!(error.contains("is no file of this proof"), "{error}");
    }
}
