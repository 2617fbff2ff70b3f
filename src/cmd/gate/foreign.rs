//! Builds of other projects: whole commands, and benchmarks of criterion.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use glob::Pattern;

use super::build::{self, Target};
use super::under_way::{UnderWay, finding, keep_report};
use super::{Pair, empty};
use crate::cmd::{interrupt, note};
use crate::gate::foreign::command::Commands;
use crate::gate::foreign::criterion::{self, Benchmarks};
use crate::gate::report::{Report, Side, TIME};
use crate::gate::{Finding, Judge, Rule, Subject, Verdict};
use crate::worker;

/// Compares two command lines by what their processes take.
///
/// # Errors
/// When one cannot be started or fails at first, or samples cannot be written.
pub fn commands(args: &Pair, rule: &Rule) -> anyhow::Result<Report> {
    interrupt::catch();
    let (base, head) = both(args, "--command", "'./app input'")?;
    let (base, head) = (base.to_string_lossy(), head.to_string_lossy());
    let (folder, scratch, start) = (args.folder()?, worker::scratch()?, Instant::now());
    let mut commands = Commands::try_out(&base, &head, scratch.path())?;
    let metrics: Vec<&str> = commands.quantities().iter().map(|q| q.metric()).collect();
    let subject = |metric: &&str| Subject { name: (*metric).to_owned(), curve: None };
    let mut judge = Judge::new(rule.clone(), &metrics.iter().map(subject).collect::<Vec<_>>());
    let seed = args.seed();
    let under_way = UnderWay::start(args, &folder, start)?;
    let (cut_short, broken) = under_way.go(&mut commands, &mut judge, seed, "metrics")?;
    let findings =
        metrics.iter().zip(judge.kernels()).enumerate().map(|(i, (metric, evidence))| {
            let broken = broken.iter().find(|broken| broken.subject == i);
            finding(commands.name(), "", metric, evidence, broken)
        });
    let side = |line: &str| Side { label: line.to_owned(), version: String::new() };
    let mut report = empty(rule, side(&base), side(&head), true, findings.collect());
    (report.seed, report.seconds) = (seed, start.elapsed().as_secs_f64());
    report.cut_short = cut_short.unwrap_or_default();
    keep(&folder, &report)?;
    Ok(report)
}

/// Compares two binaries of benchmarks, benchmark by benchmark.
///
/// # Errors
/// When one is no benchmark of criterion, nothing is in both, or samples cannot be written.
pub fn benchmarks(args: &Pair, rule: &Rule) -> anyhow::Result<Report> {
    interrupt::catch();
    let (base, head, labels) = binaries(args)?;
    let (folder, scratch, start) = (args.folder()?, worker::scratch()?, Instant::now());
    let wanted = wanted(&args.selection.kernel)?;
    let mut ids = [criterion::list(&base)?, criterion::list(&head)?];
    ids.iter_mut().for_each(|ids| ids.retain(|id| wanted(id)));
    let twin = scratch.path().join("twin");
    std::fs::copy(&base, &twin).with_context(|| format!("failed to copy {}", base.display()))?;
    let [in_base, in_head] = &ids;
    let (common, only): (Vec<&String>, Vec<&String>) =
        in_base.iter().partition(|id| in_head.contains(id));
    let missing = |id: &String, verdict, whose: &str| Finding {
        reason: format!("the {whose} has no such benchmark"),
        ..Finding::new(id, "", TIME, verdict)
    };
    let mut findings: Vec<Finding> =
        only.into_iter().map(|id| missing(id, Verdict::OnlyInBase, "head")).collect();
    let new = in_head.iter().filter(|id| !in_base.contains(id));
    findings.extend(new.map(|id| missing(id, Verdict::OnlyInHead, "base")));
    if common.is_empty() {
        bail!(
            "the binaries have no benchmark in common that --kernel leaves; `--bench --list` shows what each has"
        );
    }
    let subjects: Vec<Subject> =
        common.iter().map(|id| Subject { name: (*id).clone(), curve: None }).collect();
    let mut judge = Judge::new(rule.clone(), &subjects);
    let common = common.into_iter().cloned().collect();
    let programs = [base.clone(), head.clone(), twin];
    let mut benchmarks = Benchmarks::new(programs, common, scratch.path());
    let seed = args.seed();
    let under_way = UnderWay::start(args, &folder, start)?;
    let (cut_short, broken) = under_way.go(&mut benchmarks, &mut judge, seed, "benchmarks")?;
    let judged = benchmarks.ids().iter().zip(judge.kernels()).enumerate();
    findings.splice(
        0..0,
        judged.map(|(i, (id, evidence))| {
            let broken = broken.iter().find(|broken| broken.subject == i);
            finding(id, "", TIME, evidence, broken)
        }),
    );
    let [base, head] = labels.map(|label| Side { label, version: String::new() });
    let mut report = empty(rule, base, head, true, findings);
    (report.seed, report.seconds) = (seed, start.elapsed().as_secs_f64());
    report.cut_short = cut_short.unwrap_or_default();
    keep(&folder, &report)?;
    Ok(report)
}

/// The binaries of base and head, and what they are called.
fn binaries(args: &Pair) -> anyhow::Result<(PathBuf, PathBuf, [String; 2])> {
    if let Some(reference) = &args.base_ref {
        let Some(bench) = &args.bench else {
            bail!("--base-ref builds a benchmark of both: say which by --bench NAME");
        };
        let (base, commit) = build::of_reference(reference, Target::Bench(bench))?;
        let head = build::of_working_tree(Target::Bench(bench))?;
        let base_label = format!("{reference} ({})", &commit[..commit.len().min(10)]);
        return Ok((base, head, [base_label, "working tree".to_owned()]));
    }
    let (base, head) = both(args, "--criterion", "target/release/deps/NAME-HASH")?;
    let absolute = |path: &Path| {
        std::path::absolute(path).with_context(|| format!("failed to find {}", path.display()))
    };
    let label = |path: &Path| {
        path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
    };
    Ok((absolute(base)?, absolute(head)?, [label(base), label(head)]))
}

fn both<'a>(args: &'a Pair, option: &str, example: &str) -> anyhow::Result<(&'a Path, &'a Path)> {
    match (&args.base, &args.head) {
        (Some(base), Some(head)) => Ok((base, head)),
        _ => bail!("{option} compares two: give --base {example} and --head {example}"),
    }
}

/// Which benchmarks `--kernel` leaves.
fn wanted(patterns: &[String]) -> anyhow::Result<impl Fn(&str) -> bool> {
    let pattern = |text: &String| {
        Pattern::new(text).with_context(|| format!("--kernel {text} is no pattern"))
    };
    let patterns = patterns.iter().map(pattern).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(move |id: &str| patterns.is_empty() || patterns.iter().any(|p| p.matches(id)))
}

fn keep(folder: &Path, report: &Report) -> anyhow::Result<()> {
    keep_report(folder, report)?;
    note(&format!("samples and report: {}", folder.display()));
    Ok(())
}
