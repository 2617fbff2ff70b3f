//! Two builds, measured in pairs of processes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};

use super::build::{self, Target};
use super::gpu::{Place, together};
use super::under_way::{UnderWay, finding, keep_report};
use super::{Pair, counted, empty};
use crate::cmd::{interrupt, note};
use crate::device::cpu::detect_capabilities;
use crate::gate::exact::{self, Table};
use crate::gate::report::{Finding, Report, Side, TIME};
use crate::gate::rounds::{Arm, Broken};
use crate::gate::workers::{self, Job, Workers};
use crate::gate::{Judge, Rule, Subject, Verdict};
use crate::kernels::{Registry, baseline};
use crate::ops::Pass;
use crate::plan::select::Selection;
use crate::worker;
use crate::worker::extra::granule;

/// Whose kernels are compared: our own, for baselines are not of a build.
const PROVIDER: &str = "own";
/// Metric of a curve.
const CURVE: &str = "time of all sizes";

/// Measures rounds until every kernel is decided, and compares.
///
/// # Errors
/// When a build cannot be started, or nothing is left to measure.
pub fn compare(args: &Pair, rule: &Rule, gpu: Option<&Place>) -> anyhow::Result<Report> {
    interrupt::catch();
    let mut timed = args.selection.clone();
    let mut simulated = timed.clone();
    if args.counters {
        // Before anything is built or measured.
        counted::ready()?;
        if gpu.is_none() {
            (timed, simulated) = counted::split(&args.selection)?;
        }
    }
    let (base, head, mut sides) = programs(args)?;
    let (folder, start) = (args.folder()?, Instant::now());
    let scratch = worker::scratch()?;
    let capabilities = detect_capabilities();
    let spawn = |program: &Path| {
        let environment = baseline::environment(PROVIDER, &capabilities);
        let spawn = workers::spawn(program.to_owned(), PROVIDER, environment);
        match gpu {
            Some(gpu) => spawn.on(&gpu.device),
            None => spawn,
        }
    };
    let mut spawns = [spawn(&base), spawn(&head), spawn(&base)];
    if let Some(percent) = args.slow_head {
        for (spawn, percent) in spawns.iter_mut().zip([0, percent, 0]) {
            spawn.args.extend(["--extra", &percent.to_string()].map(OsString::from));
        }
        sides[1].label.push_str(&format!(", {percent} % more work"));
    }
    let (version, has_base) = workers::introduce(&spawns[0])?;
    sides[0].version = version;
    let (version, has_head) = workers::introduce(&spawns[1])?;
    sides[1].version = version;

    let mut findings = Vec::new();
    let mut jobs = match &args.jobs {
        Some(jobs) => jobs.clone(),
        None => jobs(&timed, gpu)?,
    };
    let wanted: Vec<String> = jobs.iter().map(|job| job.kernel.clone()).collect();
    jobs.retain(|job| {
        let (base, head) = (has_base.contains(&job.kernel), has_head.contains(&job.kernel));
        let verdict = match (base, head) {
            (true, true) => return true,
            (true, false) => Verdict::OnlyInBase,
            (false, true) => Verdict::OnlyInHead,
            (false, false) => return false,
        };
        let finding = Finding::new(&job.kernel, &job.case.key(), TIME, verdict);
        findings.push(Finding { reason: "the other build has no such kernel".into(), ..finding });
        false
    });
    // What this build does not know it has no cases for either.
    let all = args.selection.kernel.is_empty() && args.jobs.is_none();
    let asked = |kernel: &&String| all && !wanted.contains(kernel);
    for kernel in has_base.iter().filter(asked).filter(|kernel| !has_head.contains(kernel)) {
        let finding = Finding::new(kernel, "", TIME, Verdict::OnlyInBase);
        findings.push(Finding { reason: "the head has no such kernel".into(), ..finding });
    }

    // First, so that a build that cannot simulate costs no measurements.
    if args.counters {
        findings.extend(counted::beside(&base, &head, &simulated, rule)?);
    }
    let seed = args.seed();
    let mut judge = Judge::new(rule.clone(), &subjects(&jobs, gpu.is_some()));
    let mut workers = Workers::new(spawns, scratch.path().to_owned(), jobs.clone(), seed);
    workers.on_gpu = gpu.is_some();
    workers.granule = granule(args.slow_head.unwrap_or(0));
    let under_way = UnderWay::start(args, &folder, start)?;
    let (cut_short, broken) = under_way.go(&mut workers, &mut judge, seed, "kernels")?;
    findings.extend(times(&judge, &jobs, &broken));
    findings
        .extend(exact::compare(&allocated(&workers, Arm::Base), &allocated(&workers, Arm::Head)));
    let [base, head] = sides;
    let mut report = empty(rule, base, head, true, findings);
    report.seed = seed;
    report.cut_short = cut_short.unwrap_or_default();
    report.seconds = start.elapsed().as_secs_f64();
    keep_report(&folder, &report)?;
    note(&format!("samples and report: {}", folder.display()));
    Ok(report)
}

/// The programs of both builds, built where `--base-ref` asks for it, and what they are called.
///
/// # Errors
/// When one is not there, or does not build.
pub(super) fn programs(args: &Pair) -> anyhow::Result<(PathBuf, PathBuf, [Side; 2])> {
    let side = |label: String| Side { label, version: String::new() };
    let name = |path: &Path| {
        path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
    };
    let this = || std::env::current_exe().context("failed to find the path of this program");
    let (base, base_label) = match (&args.base, &args.base_ref) {
        (_, Some(reference)) => {
            let (program, commit) = build::of_reference(reference, Target::Scalemark)?;
            (program, format!("{reference} ({})", &commit[..commit.len().min(10)]))
        }
        (Some(base), None) => (base.clone(), name(base)),
        (None, None) => bail!("say what to compare with: --base BIN or --base-ref REF"),
    };
    let (head, head_label) = match (&args.head, &args.base_ref) {
        (Some(head), _) => (head.clone(), name(head)),
        (None, Some(_)) => (build::of_working_tree(Target::Scalemark)?, "working tree".to_owned()),
        (None, None) => (this()?, "this build".to_owned()),
    };
    for program in [&base, &head] {
        if !program.is_file() {
            bail!("there is no program {}; give the path of a scalemark binary", program.display());
        }
    }
    Ok((base, head, [side(base_label), side(head_label)]))
}

/// Our own kernels on this machine's processor.
pub fn cpu_jobs(selection: &Selection) -> anyhow::Result<Vec<Job>> {
    jobs(selection, None)
}

/// Our own kernels on the cases that were asked for; on ten small ones of one thread where none were, and on a GPU on ten that fill it.
fn jobs(selection: &Selection, gpu: Option<&Place>) -> anyhow::Result<Vec<Job>> {
    let capabilities = gpu.map_or_else(detect_capabilities, |gpu| gpu.capabilities.clone());
    let registry = if gpu.is_some() { Registry::cuda() } else { Registry::default() };
    let cases = if selection.names_a_source() {
        selection.cases(capabilities.threads)?
    } else {
        let mut cases = Vec::new();
        for source in if gpu.is_some() { gpu_defaults() } else { defaults() } {
            cases.extend(source.cases(capabilities.threads)?);
        }
        selection.filtered(cases, "the default cases")?
    };
    let kernels = selection.kernels(&registry)?;
    let by_name = !selection.kernel.is_empty();
    let mut jobs = Vec::new();
    for planned in &cases {
        for kernel in registry.for_case(&planned.case) {
            let id = kernel.id();
            let asked = kernels.iter().any(|wanted| wanted.id() == id)
                && planned.wants(&id)
                && (by_name || !id.is_lower_rung());
            let takes = || kernel.refuses(&capabilities, &planned.case).is_none();
            if asked && kernel.provider() == PROVIDER && takes() {
                jobs.push(Job { kernel: id.0, case: planned.case });
            }
        }
    }
    if jobs.is_empty() {
        bail!(
            "no kernel of our own takes any of these cases; `scalemark list` shows who takes what"
        );
    }
    Ok(jobs)
}

fn gpu_defaults() -> [Selection; 5] {
    let one = Selection { threads: vec![1], ..Selection::default() };
    let sizes = |text: &str| Some(text.to_owned());
    let bf16 = || vec!["bf16".to_owned()];
    [
        Selection { m: sizes("1024,2048"), ..one.clone() },
        Selection { m: sizes("2048,4096"), dtype: bf16(), ..one.clone() },
        Selection { seq: sizes("1024,4096"), heads: Some(16), dtype: bf16(), ..one.clone() },
        Selection { seq: sizes("8192"), heads: Some(32), pass: vec![Pass::Decode], ..one.clone() },
        Selection { params: sizes("16777216,67108864"), op: vec!["adamw".into()], ..one },
    ]
}

fn defaults() -> [Selection; 5] {
    let one = Selection { threads: vec![1], ..Selection::default() };
    let sizes = |text: &str| Some(text.to_owned());
    [
        Selection { m: sizes("96,192,384"), ..one.clone() },
        Selection { m: sizes("256"), dtype: vec!["bf16".into()], ..one.clone() },
        Selection { seq: sizes("128,256,512"), heads: Some(4), ..one.clone() },
        Selection { seq: sizes("2048"), heads: Some(8), pass: vec![Pass::Decode], ..one.clone() },
        Selection { params: sizes("65536,1048576"), op: vec!["adamw".into()], ..one },
    ]
}

/// A kernel's sizes are one curve: cases whose keys differ in nothing else. On a GPU the same follows in cycles.
fn subjects(jobs: &[Job], on_gpu: bool) -> Vec<Subject> {
    let subject = |job: &Job, unit: &str| Subject {
        name: format!("{} on {}{unit}", job.kernel, job.case.key()),
        curve: Some(format!("{} {}{unit}", job.kernel, curve(job))),
    };
    let in_time = jobs.iter().map(|job| subject(job, ""));
    let in_cycles = jobs.iter().filter(|_| on_gpu).map(|job| subject(job, ", in cycles"));
    in_time.chain(in_cycles).collect()
}

fn curve(job: &Job) -> String {
    job.case.key().replacen(&job.case.sizes(), "*", 1)
}

/// What times say; on a GPU, what times and cycles say together.
fn times(judge: &Judge, jobs: &[Job], broken: &[Broken]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let all = judge.kernels();
    let (in_time, in_cycles) = all.split_at(jobs.len());
    for ((i, job), evidence) in jobs.iter().enumerate().zip(in_time) {
        let case = job.case.key();
        let broken = broken.iter().find(|broken| broken.subject == i);
        let (evidence, reason) = together(evidence.clone(), in_cycles.get(i));
        let finding = finding(&job.kernel, &case, TIME, evidence, broken);
        findings.push(match broken {
            Some(_) => finding,
            None => Finding { reason, ..finding },
        });
    }
    let curves = judge.curves();
    for (_, members, evidence) in &curves {
        if members[0] >= jobs.len() {
            continue;
        }
        let same =
            |others: &&[usize]| others.iter().map(|i| i - jobs.len()).eq(members.iter().copied());
        let in_cycles =
            curves.iter().find(|(_, others, _)| others[0] >= jobs.len() && same(others));
        let (evidence, reason) = together(evidence.clone(), in_cycles.map(|(.., cycles)| cycles));
        // Sizes are judged one by one already: a curve that proves nothing adds nothing.
        if evidence.verdict != Verdict::Undecided {
            let job = &jobs[members[0]];
            let finding = Finding::new(&job.kernel, &curve(job), CURVE, evidence.verdict);
            findings.push(Finding { evidence: Some(evidence), reason, ..finding });
        }
    }
    findings
}

fn allocated(workers: &Workers, arm: Arm) -> Table {
    let row = |(job, bytes): (&Job, &[Option<u64>; 3])| {
        let name = (job.kernel.clone(), job.case.key(), "allocated_bytes".to_owned());
        bytes[arm as usize].map(|bytes| (name, bytes as f64))
    };
    workers.jobs.iter().zip(&workers.allocated).filter_map(row).collect()
}
