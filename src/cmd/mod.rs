//! The commands: one a file, with its options and its `run`.

pub mod browse;
pub mod completions;
pub mod conform;
pub mod effort;
pub mod export;
pub mod external;
pub mod gate;
pub mod git;
pub mod gpus;
pub mod interrupt;
pub mod kernels;
pub mod list;
pub mod machine;
pub mod man;
pub mod models;
pub mod peaks;
pub mod plan;
pub mod price;
pub mod profile;
pub mod progress;
pub mod prove;
pub mod report;
pub mod run;
pub mod run_gpu;
pub mod run_plan;
pub mod run_sim;
pub mod show;
pub mod sim;
pub mod simulate;
pub mod track;
pub mod verify;
pub mod welcome;
pub mod worker;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// Measures the kernels that large models are made of.
///
/// scalemark runs attention, matmul and optimizer kernels across model sizes, checks every answer before it trusts a
/// clock, and writes throughput, memory and scaling curves to CSV, charts and a report.
#[derive(Debug, Parser)]
#[command(name = "scalemark", version = VERSION, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SCALEMARK_GIT_COMMIT"), ")");

const EXAMPLES: &str = "Examples:
  scalemark                                        what there is on this machine, and what to do next
  scalemark run                                    every op, ladder and baseline in 90 seconds
  scalemark run --model llama-3-8b --dtype bf16    the products and attention of a model
  scalemark run -m 256..4096 --kernel 'matmul/*'   squares from 256 to 4096
  scalemark list --model gpt2 --estimate           what that would run, without running it
  scalemark plan --model gpt2 --tokens 10B         what training it takes on the machine of the latest run
  scalemark report results/runs/RUN                report and charts of a run again

Exit codes: 0 fine, 1 a wrong or failed record, 2 usage or input error, 3 undecided, 130 interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure kernels, and write a run folder with CSV, charts and a report
    Run(Box<run::Args>),
    /// Check answers only
    Verify(Box<verify::Args>),
    /// Show the cases, and which kernels take or refuse them; runs nothing
    List(Box<list::Args>),
    /// Run anybody's CUDA or PTX kernel on the simulator, with every check on
    Sim(Box<sim::Args>),
    /// Show where the work of a kernel is: by samples on the CPU, by line on the simulator, as CUPTI tells it on a GPU
    Profile(Box<profile::Args>),
    /// Compare the simulator with a GPU, instruction by instruction
    Conform(conform::Args),
    /// Show what CUDA kernels take of a multiprocessor, from their compilation
    Kernels(kernels::Args),
    /// Show the models
    Models(models::Args),
    /// Show this machine, its measured peaks, and what will make its numbers noisy
    Machine(machine::Args),
    /// Look at the records of a run in the terminal
    Show(show::Args),
    /// Make report and charts of a run folder again
    Report(report::Args),
    /// Write runs into one Parquet file, for tools that read large sets
    Export(export::Args),
    /// Say what training or serving a model costs, from a run's measured kernels
    Plan(Box<plan::Args>),
    /// Say whether a build is slower than another, with an error rate that is proved
    Gate(gate::Args),
    /// Keep a history of runs, and find the commit that made a kernel slower
    Track(track::Args),
    /// Show how often gate and history err, what they find, and how far plans are off
    Prove(prove::Args),
    /// Print the manual's page, or write all
    Man(man::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Measure on command of another process (see workers/README.md)
    #[command(hide = true)]
    Worker(worker::Args),
}

/// Parses the command line and runs the command.
///
/// # Errors
/// Everything that is not a result of measuring: usage, input, output.
pub fn main() -> anyhow::Result<ExitCode> {
    interrupt::survive_file_limits();
    let Some(command) = Cli::parse().command else { return welcome::run() };
    match command {
        Command::Run(args) => run::run(*args),
        Command::Verify(args) => verify::run(*args),
        Command::List(args) => list::run(*args),
        Command::Sim(args) => sim::run(*args),
        Command::Profile(args) => profile::run(*args),
        Command::Conform(args) => conform::run(args),
        Command::Kernels(args) => kernels::run(args),
        Command::Models(args) => models::run(args),
        Command::Machine(args) => peaks::run(args),
        Command::Report(args) => report::run(args),
        Command::Plan(args) => plan::run(*args),
        Command::Gate(args) => gate::run(args),
        Command::Track(args) => track::run(args),
        Command::Prove(args) => prove::run(args),
        Command::Export(args) => export::run(args),
        Command::Show(args) => show::run(args),
        Command::Man(args) => man::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Worker(args) => worker::run(args),
    }
}

/// Prints `text` on standard output. A reader that has seen enough (`scalemark run | head`) is no error: the work and its
/// exit code stay what they are.
///
/// # Errors
/// When standard output cannot be written for another reason, such as a full disk.
pub fn show(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("failed to write to standard output")
        }
        _ => Ok(()),
    }
}

/// Prints a line on standard error; where nobody can read it any more, the work goes on all the same.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The width of the terminal in columns; 100 where there is none.
pub fn width() -> usize {
    #[cfg(unix)]
    {
        // SAFETY: a `winsize` of zeros is a valid value, and the call fills it or leaves it.
        let (rc, size) = unsafe {
            let mut size: libc::winsize = std::mem::zeroed();
            let rc = libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size);
            (rc, size)
        };
        if rc == 0 && size.ws_col > 0 {
            return usize::from(size.ws_col);
        }
    }
    100
}
