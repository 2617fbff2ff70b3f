//! `scalemark track`: the history of runs, and what became slower in it.

mod add;
mod bless;
mod check;
mod confirm;
mod export;
mod import;
mod page;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use glob::Pattern;

use crate::history::{History, Key};
use crate::store;

/// Options of `track`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark track add results/runs/RUN --reference results/runs/PINNED   one run, beside a pinned build measured in the same job
  scalemark track add results/runs/RUN --canary 'matmul/openblas'        beside kernels that no commit changes
  scalemark track check                                                  what became slower, and by which commit
  scalemark track check --confirm                                        builds the suspects, and runs the gate between them
  scalemark track bless 'matmul/simd*' --reason 'checks bounds now'        accept the level of a series
  scalemark track import criterion target/criterion --canary 'calibrate/*'
  scalemark track export bmf --out bmf.json
  scalemark track page --out history.html

A history is a folder of small CSV files that are only ever added: keep it in a git branch or an artifact.
Exit codes: 0 nothing slower, 1 an open slowdown, 2 usage or input error, 3 nothing could be judged, 130 interrupted")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Append runs to the history
    Add(add::Add),
    /// Find steps and drifts, and the commits that made them
    Check(check::Check),
    /// Accept the level that series have now
    Bless(bless::Bless),
    /// Append results of criterion, hyperfine, Google Benchmark, nvbench or pytest-benchmark
    Import(import::Import),
    /// Write the newest numbers for Bencher, Prometheus or github-action-benchmark
    Export(export::Export),
    /// Write the history as one HTML page with charts
    Page(page::Page),
}

/// Where the history is.
#[derive(Debug, clap::Args)]
struct Place {
    /// The folder of the history
    #[arg(long, value_name = "DIR", default_value = "history")]
    history: PathBuf,
}

impl Place {
    fn read(&self) -> anyhow::Result<History> {
        if !self.history.is_dir() {
            bail!(
                "there is no history in {}; `scalemark track add RUN` begins one, --history names another folder",
                self.history.display()
            );
        }
        Ok(store::history::read(&self.history)?)
    }
}

/// Runs a command of the history, and says by which code to exit.
///
/// # Errors
/// On usage errors, and when runs or the history cannot be read or written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Add(args) => add::run(&args),
        What::Check(args) => check::run(&args),
        What::Bless(args) => bless::run(&args),
        What::Import(args) => import::run(&args),
        What::Export(args) => export::run(&args),
        What::Page(args) => page::run(&args),
    }
}

fn pattern(text: &str) -> anyhow::Result<Pattern> {
    Pattern::new(text).with_context(|| format!("`{text}` is no pattern; * and ? match anything"))
}

/// Whether a series is meant: by its short name, or the beginning of it, or by a pattern of its kernel, or of kernel and case.
fn is_meant(text: &str, pattern: &Pattern, key: &Key) -> bool {
    let is_id = text.len() >= 4 && key.id().starts_with(text);
    is_id || pattern.matches(&key.kernel) || pattern.matches(&key.to_string())
}
