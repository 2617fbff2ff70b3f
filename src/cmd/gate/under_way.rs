//! A gate while it measures: its time limit, the samples that it keeps, and what it says meanwhile.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::Pair;
use crate::cmd::{interrupt, note};
use crate::device::machine::{DetectOptions, Machine};
use crate::error::Error;
use crate::gate::report::Report;
use crate::gate::rounds::{Arm, Broken, Builds, Rounds, Row};
use crate::gate::{Finding, Judge, Judgement, Verdict};
use crate::stats::random::Random;

/// What all gates share that run processes.
pub struct UnderWay<'a> {
    folder: &'a Path,
    start: Instant,
    limit: Option<Duration>,
}

impl<'a> UnderWay<'a> {
    /// A gate that began at `start` and keeps its samples in `folder`.
    ///
    /// # Errors
    /// When the budget is no time.
    pub fn start(args: &Pair, folder: &'a Path, start: Instant) -> anyhow::Result<Self> {
        Ok(UnderWay { folder, start, limit: args.time_limit()? })
    }

    /// Rounds until everything is decided, the budget is spent or the user interrupts: why it ended early, if it did, and what broke.
    ///
    /// # Errors
    /// When a process cannot be started, or samples cannot be written.
    pub fn go(
        &self,
        builds: &mut dyn Builds,
        judge: &mut Judge,
        seed: u64,
        subjects: &str,
    ) -> anyhow::Result<(Option<String>, Vec<Broken>)> {
        let stop = || match self.limit {
            _ if interrupt::is_asked() => Some("interrupted".to_owned()),
            Some(limit) if self.start.elapsed() > limit => {
                Some(format!("the budget of {} is spent", humantime::format_duration(limit)))
            }
            _ => None,
        };
        let path = self.folder.join("samples.csv.gz");
        let file =
            File::create(&path).with_context(|| format!("failed to write {}", path.display()))?;
        let mut samples = csv::Writer::from_writer(GzEncoder::new(file, Compression::default()));
        let mut keep = |row: &Row| {
            samples.serialize(row).map_err(|e| Error::io("write", &path)(std::io::Error::other(e)))
        };
        let mut rounds =
            Rounds { random: Random::new(seed), stop: &stop, keep: &mut keep, broken: Vec::new() };
        let all = judge.open().len();
        let mut between = |judge: &Judge, round: usize| {
            let (open, seconds) = (judge.open().len(), self.start.elapsed().as_secs_f64());
            note(&format!("{round} pairs, {seconds:.0} s: {open} of {all} {subjects} undecided"));
        };
        let cut_short = rounds.run(builds, judge, &mut between)?;
        let broken = rounds.broken;
        samples.into_inner().context("failed to write samples")?.finish()?;
        Ok((cut_short, broken))
    }
}

/// The finding on one subject: its judgement, or what broke it and in which build.
pub fn finding(
    kernel: &str,
    case: &str,
    metric: &str,
    evidence: Judgement,
    broken: Option<&Broken>,
) -> Finding {
    let Some(broken) = broken else {
        let verdict = evidence.verdict;
        return Finding { evidence: Some(evidence), ..Finding::new(kernel, case, metric, verdict) };
    };
    let (verdict, whose) = match broken.arm {
        Arm::Head => (Verdict::OnlyInBase, "head"),
        Arm::Base | Arm::Twin => (Verdict::OnlyInHead, "base"),
    };
    let reason = format!("the {whose} {}", broken.reason);
    Finding { reason, ..Finding::new(kernel, case, metric, verdict) }
}

/// The report as it was before thresholds and waivers, with the machine.
///
/// # Errors
/// When it cannot be written.
pub fn keep_report(folder: &Path, report: &Report) -> anyhow::Result<()> {
    let machine = Machine::detect(&DetectOptions::default());
    let text = serde_json::to_string_pretty(&json!({ "machine": machine, "report": report }))?;
    let path = folder.join("report.json");
    std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
}
