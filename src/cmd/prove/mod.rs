//! `scalemark prove`: how often gate and history err, and what they find; and how far plans are off.

pub(super) mod callgrind;
mod decisions;
mod history;
mod layer;
mod levels;
mod machine;
mod slowdown;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};

use super::interrupt;
use crate::gate::simulate::{plan, summary};
use crate::report::draw;

/// Options of `prove`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark prove simulate                  10 000 gates for each of five kinds of noise, and the power
  scalemark prove simulate --series 500     a smaller one
  scalemark prove history                   10 000 histories without a change for each kind of noise, and the power
  scalemark prove machine                   3000 decisions on this machine, idle and under load: hours
  scalemark prove machine --decisions 40 --load 0 -- -m 64..256
  scalemark prove machine --head other/scalemark --name link-order     another build of the same source
  scalemark prove slowdown                  slowdowns of 1, 2, 3 and 5 %, counted by callgrind: hours
  scalemark prove layer --run RUN           a transformer layer as planned from a run of results/cases/layer.csv, and as run: a minute

Interrupted, simulate, machine and slowdown go on where they were; history begins anew. Exit codes: 0 every promised bound is kept, 1 one is not, 2 usage or input error, 130 interrupted")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Put whole gates through simulated machines whose noise is known
    #[command(after_help = "Examples:
  scalemark prove simulate                  10 000 gates for each of five kinds of noise, and the power
  scalemark prove simulate --series 500     a smaller one")]
    Simulate(Simulation),
    /// Put histories through simulated machines whose noise is known
    #[command(after_help = "Example:
  scalemark prove history")]
    History(Simulation),
    /// Put a build and its copy through gates on this machine, idle and under load
    Machine(machine::Machine),
    /// Put kernels that do a known share of their work twice through gates on this machine
    Slowdown(slowdown::Slowdown),
    /// Run a transformer layer end to end, and compare it with what a plan said of it before
    Layer(layer::Args),
    /// Put levels that were recorded elsewhere through the gate
    Levels(levels::Levels),
}

/// Options of `prove simulate` and `prove history`.
#[derive(Debug, clap::Args)]
struct Simulation {
    /// Gates or histories for each kind of noise, where nothing changed; a tenth of them for each point of power
    #[arg(long, default_value_t = 10_000)]
    series: u64,
    /// Seed: the same gives the same files
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder that the results go to
    #[arg(long, default_value = "results/proof", value_name = "DIR")]
    out: PathBuf,
    /// Threads [default: all]
    #[arg(long)]
    threads: Option<usize>,
}

/// Simulates, and writes what came of it.
///
/// # Errors
/// On usage errors, and when the folder cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Simulate(args) => simulate(&args),
        What::History(args) => history::run(&args),
        What::Machine(args) => machine::run(&args),
        What::Slowdown(args) => slowdown::run(&args),
        What::Layer(args) => layer::run(&args),
        What::Levels(args) => levels::run(&args),
    }
}

impl Simulation {
    /// The folder, made if it is not there yet; from here on an interrupt is heeded.
    fn begin(&self) -> anyhow::Result<&Path> {
        if !(1..=10_000_000).contains(&self.series) {
            bail!("--series {} makes no sense; use 1 to 10000000", self.series);
        }
        interrupt::catch();
        let out = &self.out;
        std::fs::create_dir_all(out)
            .with_context(|| format!("failed to create {}", out.display()))?;
        Ok(out)
    }

    fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(all)
    }

    /// The command that gives the same files again.
    fn command(&self, what: &str) -> String {
        format!("scalemark prove {what} --series {} --seed {}", self.series, self.seed)
    }

    /// Writes files by name, the page first; says whether the promise `holds`, and where to read on.
    fn conclude(&self, holds: bool, files: &[(&str, String)]) -> anyhow::Result<ExitCode> {
        for (name, text) in files {
            let path = self.out.join(name);
            std::fs::write(&path, text)
                .with_context(|| format!("failed to write {}", path.display()))?;
        }
        let said =
            if holds { "every promised bound is kept" } else { "not every promised bound is kept" };
        let page = files.first().map_or("", |(name, _)| name);
        super::show(&format!("{said}: {}\n", self.out.join(page).display()))?;
        Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

fn simulate(args: &Simulation) -> anyhow::Result<ExitCode> {
    let (out, start) = (args.begin()?, Instant::now());
    let plan = plan::Plan::new(args.series, args.seed);
    let progress = |done: usize, of: usize| {
        if done.is_multiple_of(100) {
            super::note(&format!("{done} of {of} shards, {:.0} s", start.elapsed().as_secs_f64()));
        }
    };
    let counts = plan.run(out, args.threads(), &interrupt::is_asked, &progress)?;
    let Some(counts) = counts else {
        super::note("interrupted; the same command goes on");
        return Ok(interrupt::exit_code());
    };
    let results: Vec<_> = plan.scenes.iter().map(|scene| scene.0).zip(counts).collect();
    let mut files = vec![
        ("simulation.md", summary::markdown(&results, &args.command("simulate"))),
        ("null.csv", summary::null_csv(&results)),
        ("p-values.csv", summary::p_values_csv(&results)),
        ("power.csv", summary::power_csv(&results)),
    ];
    if let Some(chart) = summary::chart(&results) {
        files.push(("power.svg", draw::render(&chart)?));
    }
    let code = args.conclude(summary::holds(&results), &files)?;
    plan::forget(out)?;
    Ok(code)
}
