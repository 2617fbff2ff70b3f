//! `scalemark gate`: is a build slower than another?

pub(super) mod build;
mod counted;
pub(super) mod folders;
mod foreign;
mod gpu;
mod measure;
mod under_way;

pub(super) use measure::cpu_jobs as jobs;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use jiff::tz::TimeZone;

use super::interrupt;
use crate::device::DeviceName;
use crate::gate::config::Config;
use crate::gate::report::{Report, SCHEMA, Side};
use crate::gate::workers::Job;
use crate::gate::{Finding, Rule, render};
use crate::plan::select::Selection;

/// Options of `gate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Compare two builds by pairs of processes, or two run folders
    Pair(Box<Pair>),
}

/// Options of `gate pair`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark gate pair --base-ref main                     the working tree against a commit; builds both
  scalemark gate pair --base old/scalemark --head new/scalemark
  scalemark gate pair --base old/scalemark -m 64..1024 --max-pairs 64
  scalemark gate pair --base old/scalemark --head old/scalemark --slow-head 2    would a slowdown of 2 % be noticed here?
  scalemark gate pair --base results/runs/A --head results/runs/B     two runs of one machine, unpaired
  scalemark gate pair --command --base 'old/app in.txt' --head 'new/app in.txt'     any two programs
  scalemark gate pair --criterion --base old/mine-1f0c --head new/mine-9ab2         benchmarks of criterion
  scalemark gate pair --criterion --bench mine --base-ref main                      the same; builds both
  scalemark gate pair --base old/scalemark --device cuda:0        CUDA kernels, in time and in cycles
  scalemark gate pair --base-ref main --device sim                CUDA kernels without a GPU: counters and registers, exactly
  scalemark gate pair --base-ref main --markdown summary.md --junit gate.xml --github

Thresholds, what is gated and waivers stand in scalemark.toml.
Exit codes: 0 nothing slower, 1 a regression, 2 usage or input error, 3 undecided or environment unfit, 130 interrupted")]
struct Pair {
    /// The base: a scalemark binary, or a run folder; with --command a command line, with --criterion a binary of benchmarks
    #[arg(long, value_name = "BIN|RUN", required_unless_present = "base_ref")]
    base: Option<PathBuf>,
    /// The head, likewise [default: this binary; with --base-ref, a release build of the working tree]
    #[arg(long, value_name = "BIN|RUN")]
    head: Option<PathBuf>,
    /// Base and head are command lines of any program; their time and their peak memory are compared
    #[arg(long, requires = "head", conflicts_with_all = ["base_ref", "criterion", "counters", "Selection"])]
    command: bool,
    /// Base and head are binaries of criterion benchmarks (cargo bench --no-run names them); --kernel chooses among these
    #[arg(long, conflicts_with = "counters")]
    criterion: bool,
    /// With --criterion and --base-ref: the benchmark to build of both, as `cargo bench --bench` names it
    #[arg(
        long,
        value_name = "NAME",
        requires = "criterion",
        requires = "base_ref",
        conflicts_with = "head"
    )]
    bench: Option<String>,
    /// The base is this commit of the repository in the current folder: built once, in target/gate
    #[arg(long, value_name = "REF", conflicts_with = "base")]
    base_ref: Option<String>,
    /// Where kernels run: cpu, a GPU as cuda:0, or sim: counters and compile resources of CUDA kernels alone, and no times
    #[arg(long, value_name = "DEVICE", default_value = "cpu", conflicts_with_all = ["command", "criterion"])]
    device: DeviceName,
    #[command(flatten)]
    selection: Selection,
    /// What is compared, where it is not for options to say
    #[arg(skip)]
    jobs: Option<Vec<Job>>,
    /// Most pairs of processes [default: scalemark.toml's, or 32]
    #[arg(long, value_name = "N")]
    max_pairs: Option<usize>,
    /// Time after which undecided kernels stay so, e.g. 3m
    #[arg(long, value_name = "TIME")]
    budget: Option<String>,
    /// Seed of operands and of the order of processes [default: the clock's]
    #[arg(long)]
    seed: Option<u64>,
    /// Let the head's kernels do so many percent more work than they do: would this machine notice?
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(..=100), conflicts_with_all = ["command", "criterion"])]
    slow_head: Option<u32>,
    /// Compare the simulator's counters and the compile resources of CUDA kernels too: those of suite `sim` that --kernel and --op
    /// leave (needs NVRTC)
    #[arg(long)]
    counters: bool,
    /// Thresholds and waivers [default: scalemark.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for the report and every sample [default: a new one below target/gate]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the report as JSON; - is standard output, as below
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the report as SARIF
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Print GitHub annotations
    #[arg(long)]
    github: bool,
}

/// Compares, and says by which code to exit.
///
/// # Errors
/// On usage errors, runs of different machines, and builds that cannot be started.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let What::Pair(args) = args.what;
    let config = Config::read(args.config.as_deref())?;
    let pairs = args.max_pairs.unwrap_or(config.max_pairs);
    let rule = Rule::new(config.slower, config.same, pairs)?;
    let start = Instant::now();
    let is_folder = |path: &Option<PathBuf>| path.as_deref().is_some_and(Path::is_dir);
    let mut report = match (is_folder(&args.base), is_folder(&args.head)) {
        _ if args.command => foreign::commands(&args, &rule)?,
        _ if args.criterion => foreign::benchmarks(&args, &rule)?,
        (true, true) if args.slow_head.is_some() => {
            bail!("--slow-head slows a build that is measured now; compare two binaries")
        }
        (true, true) => {
            let (base, head) = (args.base.as_deref(), args.head.as_deref());
            folders::compare(base.expect("is a folder"), head.expect("is a folder"), &rule)?
        }
        (false, false) if matches!(args.device, DeviceName::Sim(_)) => {
            counted::compare(&args, &rule)?
        }
        (false, false) => match gpu::place(args.device)? {
            Ok(place) => measure::compare(&args, &rule, place.as_ref())?,
            Err(code) => return Ok(code),
        },
        _ => bail!(
            "one of --base and --head is a folder and the other is not; compare two binaries, or two runs"
        ),
    };
    report.seconds = start.elapsed().as_secs_f64();
    let today = jiff::Timestamp::now().to_zoned(TimeZone::UTC).date();
    config.apply(&mut report.findings, today);
    write(&args, &report)?;
    if interrupt::is_asked() {
        return Ok(interrupt::exit_code());
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// Compares two builds on `jobs`, in at most `pairs` pairs of processes; nothing is written but the folder of every gate.
///
/// # Errors
/// As [`run`].
pub(super) fn between(
    base: PathBuf,
    head: PathBuf,
    jobs: Vec<Job>,
    config: &Config,
    pairs: Option<usize>,
) -> anyhow::Result<Report> {
    let rule = Rule::new(config.slower, config.same, pairs.unwrap_or(config.max_pairs))?;
    let pair = Pair {
        base: Some(base),
        head: Some(head),
        command: false,
        criterion: false,
        bench: None,
        base_ref: None,
        device: DeviceName::Cpu,
        selection: Selection::default(),
        jobs: Some(jobs),
        max_pairs: pairs,
        budget: None,
        seed: None,
        slow_head: None,
        counters: false,
        config: None,
        out: None,
        json: None,
        markdown: None,
        junit: None,
        sarif: None,
        github: false,
    };
    measure::compare(&pair, &rule, None)
}

fn empty(rule: &Rule, base: Side, head: Side, paired: bool, findings: Vec<Finding>) -> Report {
    Report {
        schema: SCHEMA,
        base,
        head,
        paired,
        slack: rule.slack,
        same: rule.same,
        false_discovery: rule.false_discovery,
        seed: 0,
        seconds: 0.0,
        cut_short: String::new(),
        findings,
    }
}

impl Pair {
    fn seed(&self) -> u64 {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH);
        self.seed.unwrap_or_else(|| clock().map_or(1, |time| time.as_nanos() as u64))
    }

    fn time_limit(&self) -> anyhow::Result<Option<Duration>> {
        let Some(text) = &self.budget else { return Ok(None) };
        let limit = humantime::parse_duration(text)
            .with_context(|| format!("--budget {text} is not a time; write 90s or 3m"))?;
        Ok(Some(limit))
    }

    /// A folder for what is kept of a gate.
    fn folder(&self) -> anyhow::Result<PathBuf> {
        let folder = self.out.clone().unwrap_or_else(|| {
            let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
            Path::new("target/gate").join(format!("{now}-{}", std::process::id()))
        });
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
        Ok(folder)
    }
}

/// All outputs that were asked for; the table, unless standard output is another's.
fn write(args: &Pair, report: &Report) -> anyhow::Result<()> {
    type Render = fn(&Report) -> String;
    let outputs: [(&Option<PathBuf>, Render); 4] = [
        (&args.json, Report::json),
        (&args.markdown, render::markdown),
        (&args.junit, render::junit),
        (&args.sarif, render::sarif),
    ];
    let mut taken = false;
    for (path, render) in outputs {
        match path.as_deref() {
            None => {}
            Some(path) if path == Path::new("-") => {
                taken = true;
                super::show(&render(report))?;
            }
            Some(path) => std::fs::write(path, render(report))
                .with_context(|| format!("failed to write {}", path.display()))?,
        }
    }
    if !taken {
        super::show(&render::terminal(report, super::width()))?;
    }
    if args.github {
        super::show(&render::annotations(report))?;
    }
    Ok(())
}
