//! `scalemark run`: the main job.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::effort::Effort;
use super::external::External;
use super::progress::Progress;
use super::{interrupt, run_sim};
use crate::campaign::{Campaign, Entry, Peaks, probes_for};
use crate::device::cpu::detect_capabilities;
use crate::device::lost::lost_share;
use crate::device::machine::{DetectOptions, Machine};
use crate::device::pool::affinity;
use crate::device::{Capabilities, DeviceName, memory, placement};
use crate::kernels::{Registry, baseline};
use crate::measure::Goal;
use crate::plan::Planned;
use crate::plan::estimate::Estimator;
use crate::plan::select::Selection;
use crate::record::{Outcome, Record};
use crate::report;
use crate::store::{Run, RunWriter};
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
  scalemark run --device sim                           CUDA kernels without a GPU: counters, no times
  scalemark run --op attention --baselines torch       a framework beside our kernels, in the same run
  scalemark run --worker 'python3 mine.py'             anybody's kernels beside ours (workers/README.md)
  scalemark run --cases mine.csv --dry-run             what it would do
  scalemark run --resume results/runs/RUN              go on with an interrupted run

Lists of sizes are crossed; with --zip the i-th sizes belong together.
Exit codes: 0 fine (refusals are fine), 1 a wrong or failed record, 2 usage or input error, 130 interrupted")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    effort: Effort,
    #[command(flatten)]
    external: External,
    /// Folder of the run [default: a new one below results/runs]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with an interrupted run: its options are taken from its machine.json
    #[arg(long, value_name = "RUN", exclusive = true)]
    resume: Option<PathBuf>,
    /// Where to run: cpu, or sim (the PTX simulator: counters, no times), with an architecture as in sim:sm_80 [default: cpu]
    #[arg(long, default_value_t, hide_default_value = true, value_name = "DEVICE")]
    device: DeviceName,
    /// The library NVRTC, or the folder that it is in [default: searched for]
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
    /// Show the cases, kernels and budget, and measure nothing
    #[arg(long)]
    dry_run: bool,
}

/// What a run was asked for; kept in machine.json so that `--resume` can go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    selection: Selection,
    effort: Effort,
    #[serde(default)]
    device: DeviceName,
    #[serde(default)]
    external: External,
}

/// Measures, writes the run folder, and prints the table.
///
/// # Errors
/// On usage errors, and when the folder cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let capabilities = detect_capabilities();
    match &args.resume {
        Some(folder) => resume(folder, &capabilities),
        None => start(&args, &capabilities),
    }
}

fn start(args: &Args, capabilities: &Capabilities) -> anyhow::Result<ExitCode> {
    let (selection, effort) = (args.selection.clone(), args.effort.clone());
    let order = Order { selection, effort, device: args.device, external: args.external.clone() };
    if let DeviceName::Sim(architecture) = order.device {
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
        value["run"] = json!({ "order": order, "suite": "sim" });
        let writer = open(args.out.as_deref(), &machine.hardware.id(), &value)?;
        return run_sim::go(&plan, writer, &[]);
    }
    let joined = order.external.join(Registry::default())?;
    let plan = Plan::new(&order, joined.registry, capabilities)?;
    if args.dry_run {
        super::show(&plan.text(capabilities))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut machine = Machine::detect(&DetectOptions::default());
    let slug = machine.hardware.id();
    let own = processes(capabilities, order.effort.seed)?;
    let mut processes = joined.processes(own, capabilities)?;
    for (provider, facts) in processes.introduce(plan.providers(capabilities)) {
        let facts: Vec<String> =
            facts.iter().map(|(name, value)| format!("{name} {value}")).collect();
        machine.software.libraries.insert(provider, facts.join(", "));
    }
    let mut value = serde_json::to_value(&machine)?;
    let lost = lost_share(Duration::from_millis(100));
    value["run"] =
        json!({ "order": order, "goal": plan.goal, "suite": plan.suite, "lost_share": lost });
    let writer = open(args.out.as_deref(), &slug, &value)?;
    go(plan, capabilities, processes, writer, &[])
}

/// The folder that was asked for, or a new one.
fn open(
    out: Option<&std::path::Path>,
    slug: &str,
    machine: &serde_json::Value,
) -> anyhow::Result<RunWriter> {
    if let Some(folder) = out {
        return Ok(RunWriter::create_at(folder, machine)?);
    }
    let commit = env!("SCALEMARK_GIT_COMMIT");
    let commit = if commit.is_empty() { env!("CARGO_PKG_VERSION") } else { commit };
    Ok(RunWriter::create(std::path::Path::new("results/runs"), slug, commit, machine)?)
}

fn resume(folder: &std::path::Path, capabilities: &Capabilities) -> anyhow::Result<ExitCode> {
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
    let order: Order =
        serde_json::from_value(value["run"]["order"].clone()).with_context(|| {
            format!("{}/machine.json does not say what the run was asked for", folder.display())
        })?;
    if let DeviceName::Sim(architecture) = order.device {
        let plan = run_sim::Plan::new(&order.selection, order.effort.seed, architecture, None)?;
        return run_sim::go(&plan, writer, &before);
    }
    let joined = order.external.join(Registry::default())?;
    let plan = Plan::new(&order, joined.registry, capabilities)?;
    let own = processes(capabilities, order.effort.seed)?;
    let processes = joined.processes(own, capabilities)?;
    go(plan, capabilities, processes, writer, &before)
}

/// What is to be measured, and how.
struct Plan {
    cases: Vec<Planned>,
    probes: usize,
    registry: Registry,
    kernels: Vec<&'static dyn crate::kernels::Kernel>,
    goal: Goal,
    suite: String,
    time_limit: Option<Duration>,
    seed: u64,
    roofs_only: bool,
    patterns: bool,
}

impl Plan {
    fn new(order: &Order, registry: Registry, capabilities: &Capabilities) -> anyhow::Result<Self> {
        let suite = order.selection.suite.unwrap_or_default();
        let asked = order.selection.cases(capabilities.threads)?;
        let kernels = order.selection.kernels(&registry)?;
        let probes = if order.effort.no_peaks {
            Vec::new()
        } else {
            probes_for(&asked, capabilities.last_level_cache)
        };
        let whole_suite = !order.selection.names_a_source() || order.selection.suite.is_some();
        let time_limit =
            suite.time_limit().filter(|_| whole_suite && !order.effort.asks_for_care());
        // Sizes, models and lists of the user's own deserve more than quick's haste.
        let base =
            if whole_suite { suite.goal() } else { crate::plan::suite::Suite::Standard.goal() };
        Ok(Plan {
            probes: probes.len(),
            cases: crate::plan::merge(probes.into_iter().chain(asked)),
            registry,
            kernels,
            goal: order.effort.goal(base)?,
            suite: if whole_suite { suite.name().to_owned() } else { "custom".to_owned() },
            time_limit,
            seed: order.effort.seed,
            patterns: !order.effort.no_peaks,
            roofs_only: !order.selection.op.iter().any(|op| op == "peak"),
        })
    }

    /// Providers that have something to do: those with a kernel that takes one of the cases.
    fn providers(&self, capabilities: &Capabilities) -> Vec<String> {
        let mut seen = HashSet::new();
        let mut providers = Vec::new();
        for kernel in
            self.kernels.iter().filter(|k| !seen.contains(k.provider())).collect::<Vec<_>>()
        {
            let family = kernel.id().0.split('/').next().unwrap_or_default().to_owned();
            let takes = self.cases.iter().any(|p| {
                p.case.problem.family().name() == family
                    && kernel.refuses(capabilities, &p.case).is_none()
            });
            if takes && seen.insert(kernel.provider()) {
                providers.push(kernel.provider().to_owned());
            }
        }
        providers
    }

    /// What would be measured, for `--dry-run`.
    fn text(&self, capabilities: &Capabilities) -> String {
        let mut text = String::new();
        let estimator = Estimator::nominal(capabilities);
        let mut launches = 0.0;
        let mut takers = 0;
        for planned in &self.cases {
            let family = planned.case.problem.family().name();
            let kernels: Vec<String> = self
                .kernels
                .iter()
                .filter(|k| {
                    k.id().0.starts_with(family)
                        && planned.wants(&k.id())
                        && k.refuses(capabilities, &planned.case).is_none()
                })
                .map(|k| k.id().0)
                .collect();
            takers += kernels.len();
            let guess = |k: &String| {
                estimator.predict(k, &planned.case).launch.0 * 4.0 * self.goal.min_processes as f64
            };
            launches += kernels.iter().map(|k| guess(k).min(self.goal.budget.0)).sum::<f64>();
            text += &format!("{}  {}\n", planned.case, kernels.join(" "));
        }
        text += &format!(
            "\n{} cases ({} of them probes of the machine), {takers} kernels on them; to {:.1} % or {} each, at least {} \
             processes; between {:.0} s and {:.0} s\n",
            self.cases.len(),
            self.probes,
            self.goal.precision * 100.0,
            self.goal.budget,
            self.goal.min_processes,
            launches / 1e9,
            self.time_limit
                .map_or(takers as f64 * self.goal.budget.secs(), |limit| limit.as_secs_f64())
        );
        text
    }
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

/// Measures what is not in `before`; an error says where that is which was measured until then.
fn go(
    plan: Plan,
    capabilities: &Capabilities,
    processes: Processes,
    writer: RunWriter,
    before: &[Record],
) -> anyhow::Result<ExitCode> {
    let folder = writer.folder().to_owned();
    measure(plan, capabilities, processes, writer, before).with_context(|| {
        let folder = folder.display();
        format!("the run stopped; {folder} holds what it measured, and `scalemark run --resume {folder}` goes on")
    })
}

fn measure(
    plan: Plan,
    capabilities: &Capabilities,
    processes: Processes,
    mut writer: RunWriter,
    before: &[Record],
) -> anyhow::Result<ExitCode> {
    interrupt::catch();
    warn_of_lost_time("before");
    memory::keep_large_blocks(capabilities.memory);
    let done: HashSet<(String, String)> =
        before.iter().map(|r| (r.case.key(), r.kernel.clone())).collect();
    let cpus = affinity::allowed();
    let start = Instant::now();
    let placement =
        || (cpus.len() > 1).then(|| placement::probe(&cpus[..2]).placement.name().to_owned());
    let mut campaign = Campaign {
        capabilities,
        registry: plan.registry,
        kernels: plan.kernels.clone(),
        roofs_only: plan.roofs_only,
        patterns: plan.patterns,
        processes,
        goal: plan.goal,
        deadline: plan.time_limit.map(|limit| start + limit),
        seed: plan.seed,
        interrupted: &interrupt::is_asked,
        placement: &placement,
        peaks: Peaks::default(),
        estimator: Estimator::nominal(capabilities),
        next_record: writer.next_id(),
        scratch: worker::scratch()?,
    };
    for record in before {
        campaign.peaks.learn(record);
        campaign.estimator.learn(record);
    }
    let counts: Vec<usize> = plan.cases.iter().map(|p| campaign.taking_part(p).count()).collect();
    let mut remaining: usize = counts.iter().sum();
    let mut progress = Progress::new(plan.cases.len());
    let mut records = before.to_vec();
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
    // From here to the end it only writes; an interrupt that comes now is late.
    let interrupted = interrupt::is_asked();
    let _writing = interrupt::hold();
    progress.finish();
    drop(campaign);
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
