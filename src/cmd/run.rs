//! `scalemark run`: the main job.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;

use super::effort::Effort;
use super::external::External;
use super::progress::Progress;
use super::run_plan::{Order, Plan};
use super::{interrupt, run_gpu, run_sim};
use crate::campaign::{Campaign, Entry, Peaks};
use crate::device::cpu::detect_capabilities;
use crate::device::lost::lost_share;
use crate::device::machine::{DetectOptions, Machine, Secrets};
use crate::device::pool::affinity;
use crate::device::{Capabilities, DeviceName, memory, placement};
use crate::kernels::{Registry, baseline};
use crate::plan::estimate::Estimator;
use crate::plan::select::Selection;
use crate::record::{Outcome, Record};
use crate::report;
use crate::store::{RUNS, Run, RunWriter};
use crate::worker::trace::Trace;
use crate::worker::{self, Processes, Spawn};

/// Options of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark run                                        suite quick: 90 seconds on two cores
  scalemark run --suite standard --op attention        one op of a larger suite
  scalemark run --model llama-3-8b --dtype bf16 --pass fwd,decode
  scalemark run --model path/to/config.json --seq 2048
  scalemark run -m 256..4096 --kernel 'matmul/*' --threads 1,2 --precision 1%
  scalemark run -m 512 -n 768,3072 -k 3072,768 --zip   tuples in place of a cross product
  scalemark run --seq 512..8192 --head-dim 128 --causal false
  scalemark run --device cuda                          CUDA kernels on a GPU; cuda:0,1 or cuda:all on several
  scalemark run --device sim                           CUDA kernels without a GPU: counters, no times
  scalemark run --op attention --baselines torch       a framework beside our kernels, in the same run
  scalemark run --worker 'python3 mine.py'             anybody's kernels beside ours (workers/README.md)
  scalemark run --cases mine.csv --dry-run             what it would do
  scalemark run --resume results/runs/RUN              go on with an interrupted run

Lists of sizes are crossed; with --zip the i-th sizes belong together.
Exit codes: 0 fine (refusals are fine), 1 a wrong or failed record, 2 usage or input error, 3 a GPU that is not there or
cannot be trusted with times, 130 interrupted")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    effort: Effort,
    #[command(flatten)]
    external: External,
    /// Folder of the run [default: a new one below results/runs]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Go on with an interrupted run: its options are taken from its machine.json, but for the folders of --worker and --python
    #[arg(long, value_name = "RUN", conflicts_with_all = ["Selection", "Effort", "out", "device", "nvrtc", "dry_run"])]
    resume: Option<PathBuf>,
    /// Where to run: cpu; cuda, cuda:0,1 or cuda:all (GPUs); sim or sim:sm_80 (the PTX simulator: counters, no times) [default: cpu]
    #[arg(long, default_value_t, hide_default_value = true, value_name = "DEVICE")]
    device: DeviceName,
    /// The library NVRTC, or the folder that it is in [default: searched for]
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
    /// Write what was done when, for Perfetto or chrome://tracing: workers, what they hold, clocks, power, temperature
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub(super) trace: Option<PathBuf>,
    /// Show the cases, kernels and budget, and measure nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Measures, writes the run folder, and prints the table.
///
/// # Errors
/// On usage errors, and when the folder cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let capabilities = detect_capabilities();
    match &args.resume {
        Some(folder) => resume(folder, &args, &capabilities),
        None => start(&args, &capabilities),
    }
}

fn start(args: &Args, capabilities: &Capabilities) -> anyhow::Result<ExitCode> {
    let (selection, effort) = (args.selection.clone(), args.effort.clone());
    let order = Order { selection, effort, device: args.device, external: args.external.clone() };
    if let DeviceName::Sim(architecture) = order.device {
        no_trace_of_the_simulator(args)?;
        let plan = {
            let nvrtc = args.nvrtc.as_deref();
            run_sim::Plan::new(&order.selection, order.effort.seed, architecture, nvrtc)?
        };
        if args.dry_run {
            super::show(&plan.text())?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut machine = Machine::detect(&DetectOptions::default());
        machine.software.libraries.insert("nvrtc".into(), plan.compiler());
        let mut value = serde_json::to_value(&machine)?;
        value["run"] = json!({ "order": order.redacted(), "suite": "sim" });
        let writer = open(args.out.as_deref(), &machine.hardware.id(), &value)?;
        return run_sim::go(&plan, writer, &[]);
    }
    if let DeviceName::Gpus(gpus) = order.device {
        let nvrtc = args.nvrtc.as_deref();
        return run_gpu::start(&order, gpus, nvrtc, args);
    }
    let joined = order.external.join(Registry::default(), "cpu")?;
    let plan = Plan::new(&order, joined.registry, capabilities)?;
    if args.dry_run {
        super::show(&plan.text(capabilities))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut machine = Machine::detect(&DetectOptions::default());
    let slug = machine.hardware.id();
    let own = processes(capabilities, order.effort.seed)?;
    let mut processes = joined.processes(own, capabilities, "cpu")?;
    let introduced = processes.introduce(plan.providers(capabilities));
    machine.software.libraries.extend(told(introduced));
    let mut value = serde_json::to_value(&machine)?;
    let lost = lost_share(Duration::from_millis(100));
    value["run"] = json!({ "order": order.redacted(), "goal": plan.goal, "suite": plan.suite, "lost_share": lost });
    let writer = open(args.out.as_deref(), &slug, &value)?;
    go(&plan, vec![cpu(capabilities, processes)], writer, &[], args.trace.as_deref())
}

fn no_trace_of_the_simulator(args: &Args) -> anyhow::Result<()> {
    if args.trace.is_some() {
        bail!("--trace is of times, and the simulator has none; leave it out");
    }
    Ok(())
}

/// What each provider said of its libraries, as `machine.json` has it.
pub(super) fn told(
    facts: BTreeMap<String, BTreeMap<String, String>>,
) -> impl Iterator<Item = (String, String)> {
    facts.into_iter().map(|(provider, facts)| {
        let facts: Vec<String> =
            facts.iter().map(|(name, value)| format!("{name} {value}")).collect();
        (provider, facts.join(", "))
    })
}

fn cpu(capabilities: &Capabilities, processes: Processes) -> Seat {
    Seat { device: "cpu".into(), capabilities: capabilities.clone(), processes }
}

/// The folder that was asked for, or a new one.
///
/// # Errors
/// When it cannot be used.
pub(super) fn open(
    out: Option<&std::path::Path>,
    slug: &str,
    machine: &serde_json::Value,
) -> anyhow::Result<RunWriter> {
    if let Some(folder) = out {
        return Ok(RunWriter::create_at(folder, machine)?);
    }
    let commit = env!("SCALEMARK_GIT_COMMIT");
    let commit = if commit.is_empty() { env!("CARGO_PKG_VERSION") } else { commit };
    Ok(RunWriter::create(std::path::Path::new(RUNS), slug, commit, machine)?)
}

fn resume(
    folder: &std::path::Path,
    args: &Args,
    capabilities: &Capabilities,
) -> anyhow::Result<ExitCode> {
    let (writer, before) = RunWriter::resume(folder)?;
    let value = Run::read(folder)?.machine;
    let machine: Machine = serde_json::from_value(value.clone())
        .with_context(|| format!("{}/machine.json is not one of this version", folder.display()))?;
    let here = Machine::detect(&DetectOptions::default());
    if machine.hardware.hardware_class_hash() != here.hardware.hardware_class_hash() {
        bail!(
            "{} was measured on another machine ({}); resume it there, or start a new run here",
            folder.display(),
            machine.differences(&here).join("; ")
        );
    }
    let mut order: Order =
        serde_json::from_value(value["run"]["order"].clone()).with_context(|| {
            format!("{}/machine.json does not say what the run was asked for", folder.display())
        })?;
    order.external = order.external.again(&args.external, &Secrets::of_this_process())?;
    if let DeviceName::Sim(architecture) = order.device {
        no_trace_of_the_simulator(args)?;
        let plan = run_sim::Plan::new(&order.selection, order.effort.seed, architecture, None)?;
        return run_sim::go(&plan, writer, &before);
    }
    if let DeviceName::Gpus(gpus) = order.device {
        return run_gpu::resume(&order, gpus, &value, writer, &before, args.trace.as_deref());
    }
    let joined = order.external.join(Registry::default(), "cpu")?;
    let plan = Plan::new(&order, joined.registry, capabilities)?;
    let own = processes(capabilities, order.effort.seed)?;
    let processes = joined.processes(own, capabilities, "cpu")?;
    go(&plan, vec![cpu(capabilities, processes)], writer, &before, args.trace.as_deref())
}

/// How workers of each provider are started: from this very binary.
///
/// # Errors
/// When the path of this binary cannot be found out.
pub fn spawns(capabilities: &Capabilities) -> anyhow::Result<HashMap<String, Spawn>> {
    let program = std::env::current_exe().context("failed to find the path of this program")?;
    let providers: HashSet<String> =
        Registry::default().kernels().map(|k| k.provider().to_owned()).collect();
    let spawn = |provider: String| {
        let environment = baseline::environment(&provider, capabilities);
        let spawn = Spawn::scalemark(program.clone(), &provider, environment);
        (provider, spawn)
    };
    Ok(providers.into_iter().map(spawn).collect())
}

/// The worker processes of a run, whose second Ctrl-C gives up what they are at.
fn processes(capabilities: &Capabilities, seed: u64) -> anyhow::Result<Processes> {
    Ok(Processes::new(spawns(capabilities)?, seed).given_up_when(interrupt::is_urgent))
}

/// A device with its workers.
pub struct Seat {
    /// Its name in records.
    pub device: String,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Who measures there.
    pub processes: Processes,
}

/// Measures what is not in `before`, device after device, and writes a trace where one is asked for; an error says where that is
/// which was measured until then.
///
/// # Errors
/// When the folder, or the trace, cannot be written any more.
pub fn go(
    plan: &Plan,
    mut seats: Vec<Seat>,
    writer: RunWriter,
    before: &[Record],
    trace: Option<&std::path::Path>,
) -> anyhow::Result<ExitCode> {
    let folder = writer.folder().to_owned();
    let events = Arc::new(Mutex::new(Trace::default()));
    if trace.is_some() {
        seats.iter_mut().for_each(|seat| seat.processes.tell(Arc::clone(&events), &seat.device));
    }
    let measured = measure(plan, seats, writer, before).with_context(|| {
        let folder = folder.display();
        format!("the run stopped; {folder} holds what it measured, and `scalemark run --resume {folder}` goes on")
    });
    if let Some(path) = trace {
        let text = events.lock().unwrap_or_else(|broken| broken.into_inner()).json();
        std::fs::write(path, text)
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    measured
}

fn measure(
    plan: &Plan,
    seats: Vec<Seat>,
    mut writer: RunWriter,
    before: &[Record],
) -> anyhow::Result<ExitCode> {
    interrupt::catch();
    warn_of_lost_time("before");
    memory::keep_large_blocks(detect_capabilities().memory);
    let cpus = affinity::allowed();
    let start = Instant::now();
    let placement =
        || (cpus.len() > 1).then(|| placement::probe(&cpus[..2]).placement.name().to_owned());
    let mut progress = Progress::new(plan.cases.len() * seats.len());
    let mut records = before.to_vec();
    let all = seats.len();
    for (number, Seat { device, capabilities, processes }) in seats.into_iter().enumerate() {
        let here = |r: &&Record| r.device == device;
        let done: HashSet<(String, String)> =
            before.iter().filter(here).map(|r| (r.case.key(), r.kernel.to_string())).collect();
        let share = |limit: Duration| start + limit * (number as u32 + 1) / all as u32;
        let mut campaign = Campaign {
            device: device.clone(),
            capabilities: &capabilities,
            registry: plan.registry,
            kernels: plan.kernels.clone(),
            roofs_only: plan.roofs_only,
            patterns: plan.patterns,
            processes,
            goal: plan.goal,
            deadline: plan.time_limit.map(share),
            seed: plan.seed,
            interrupted: &interrupt::is_asked,
            placement: &placement,
            peaks: Peaks::on(&capabilities),
            estimator: Estimator::nominal(&capabilities),
            next_record: writer.next_id(),
            scratch: worker::scratch()?,
        };
        for record in before.iter().filter(here) {
            campaign.peaks.learn(record);
            campaign.estimator.learn(record);
        }
        let counts: Vec<usize> =
            plan.cases.iter().map(|p| campaign.taking_part(p).count()).collect();
        let mut remaining: usize = counts.iter().sum();
        for (planned, count) in plan.cases.iter().zip(counts) {
            let key = planned.case.key();
            progress.now(&key);
            let entries = campaign.measure(planned, remaining, &|kernel| {
                done.contains(&(key.clone(), kernel.to_owned()))
            })?;
            let writing = interrupt::hold();
            for Entry { record, samples, counters } in entries {
                writer.append(&record, &samples, &counters)?;
                records.push(record);
            }
            drop(writing);
            remaining -= count;
            progress.step(&summary(&key, &records));
            if interrupt::is_asked() {
                break;
            }
        }
    }
    // From here to the end it only writes; an interrupt that comes now is late.
    let interrupted = interrupt::is_asked();
    let _writing = interrupt::hold();
    progress.finish();
    warn_of_lost_time("after");
    conclude(writer, &records, start, interrupted)
}

/// Seals a run, makes its report, prints its table, and says by which code to exit.
pub(super) fn conclude(
    writer: RunWriter,
    records: &[Record],
    start: Instant,
    interrupted: bool,
) -> anyhow::Result<ExitCode> {
    let folder = writer.folder().to_owned();
    writer.finish()?;
    super::report::make(&folder)?;
    let table = report::terminal(records, super::width());
    let (seconds, folder) = (start.elapsed().as_secs_f64(), folder.display());
    super::show(&format!("{table}\n{} records in {seconds:.0} s: {folder}\n", records.len()))?;
    if interrupted {
        super::show(&format!("interrupted; `scalemark run --resume {folder}` goes on\n"))?;
        return Ok(interrupt::exit_code());
    }
    let bad = records.iter().any(|r| matches!(r.outcome, Outcome::Wrong(_) | Outcome::Failed(_)));
    Ok(if bad { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Says so when the machine loses processor time to something that leaves no other trace: intervals will be wide.
fn warn_of_lost_time(when: &str) {
    let lost = lost_share(Duration::from_millis(100));
    if lost > 0.05 {
        super::note(&format!(
            "warning: {when} this run a busy thread did not run for {:.0} % of the time; `scalemark machine` says what to do",
            lost * 100.0
        ));
    }
}

/// A line on the case that was just measured, for logs.
fn summary(key: &str, records: &[Record]) -> String {
    let of_case = records.iter().rev().take_while(|r| r.case.key() == key);
    let mut parts: Vec<String> = of_case
        .map(|r| {
            let name = r.kernel.rsplit('/').next().unwrap_or(&r.kernel);
            match r.timing() {
                Some(t) => format!("{name} {} ±{:.1} %", t.median, t.relative_half_width() * 100.0),
                None => format!("{name} {}", r.outcome.status()),
            }
        })
        .collect();
    parts.reverse();
    format!("{key}: {}", parts.join(", "))
}
