//! `scalemark track check`: what became slower, and by which commit.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::{Place, confirm, is_meant, pattern};
use crate::cmd::{interrupt, note, show, width};
use crate::gate::config::Config;
use crate::history::{Report, Rule, judge, table};

/// Options of `track check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark track check
  scalemark track check --confirm     builds the suspects, and runs the gate between them")]
pub struct Check {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    judging: Judging,
    /// Write the report as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Build the suspects of each open slowdown (in the repository in the current folder), run the pair gate between them, and bisect
    #[arg(long)]
    confirm: bool,
    /// Most pairs of processes of a gate [default: scalemark.toml's, or 32]
    #[arg(long, value_name = "N", requires = "confirm")]
    max_pairs: Option<usize>,
    /// Show every series, also those in which nothing changed
    #[arg(long)]
    all: bool,
}

/// How a history is judged.
#[derive(Debug, clap::Args)]
pub struct Judging {
    /// Rate of false discoveries over all series
    #[arg(long, value_name = "SHARE", default_value = "0.5%")]
    false_discovery: String,
    /// Judge times that have no reference too: what the machine did is then blamed on commits
    #[arg(long)]
    raw: bool,
    /// Thresholds [default: scalemark.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only these series, by short name or by a pattern of kernels, or of `kernel on case`
    #[arg(long, value_name = "SERIES")]
    series: Vec<String>,
}

impl Judging {
    /// Reads and judges the history in `place`.
    pub(super) fn judge(&self, place: &Place) -> anyhow::Result<Report> {
        let config = Config::read(self.config.as_deref())?;
        let rule = Rule {
            false_discovery: share(&self.false_discovery)?,
            slack: config.slower,
            raw: self.raw,
        };
        let mut history = place.read()?;
        for text in &self.series {
            pattern(text)?;
        }
        if !self.series.is_empty() {
            let patterns: Vec<_> =
                self.series.iter().filter_map(|text| Some((text, pattern(text).ok()?))).collect();
            // Canaries stay: others are judged by them.
            history.entries.retain(|entry| {
                entry.canary || patterns.iter().any(|(text, p)| is_meant(text, p, &entry.key))
            });
            if history.entries.is_empty() {
                bail!(
                    "no series is called {}; `scalemark track check --all` lists them",
                    self.series.join(", ")
                );
            }
        }
        Ok(judge(&history, &rule))
    }
}

/// Judges, and says by which code to exit.
///
/// # Errors
/// When the history cannot be read, or the report not be written.
pub fn run(args: &Check) -> anyhow::Result<ExitCode> {
    let report = args.judging.judge(&args.place)?;
    let to_output = args.json.as_deref() == Some(Path::new("-"));
    match args.json.as_deref() {
        Some(_) if to_output => show(&report.json())?,
        Some(path) => std::fs::write(path, report.json())
            .with_context(|| format!("failed to write {}", path.display()))?,
        None => {}
    }
    if !to_output {
        show(&table::terminal(&report, args.all, width()))?;
    }
    if args.confirm {
        let config = Config::read(args.judging.config.as_deref())?;
        for line in confirm::confirm(&report, &config, args.max_pairs)? {
            // Where JSON is read from standard output, people read the other one.
            if to_output { note(&line) } else { show(&(line + "\n"))? }
        }
        if interrupt::is_asked() {
            return Ok(interrupt::exit_code());
        }
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// `0.5%` or `0.005`.
fn share(text: &str) -> anyhow::Result<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let value = match text.strip_suffix('%') {
        Some(percent) => number(percent).map(|p| p / 100.0),
        None => number(text),
    };
    value
        .filter(|value| *value > 0.0 && *value < 0.5)
        .with_context(|| format!("--false-discovery {text} makes no sense; write 0.5%"))
}
