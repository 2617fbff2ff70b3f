//! Results of other tools, as numbers of a history.

mod criterion;
mod google;
mod hyperfine;
mod nvbench;
mod pytest;

use std::path::Path;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// A tool whose results can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// criterion.rs: an `estimates.json`, or the folder target/criterion
    Criterion,
    /// hyperfine --export-json
    Hyperfine,
    /// Google Benchmark: --benchmark_out_format=json
    GoogleBenchmark,
    /// nvbench --json
    Nvbench,
    /// pytest --benchmark-json
    PytestBenchmark,
}

impl Format {
    /// As in options, and as the source of entries.
    pub fn name(self) -> &'static str {
        match self {
            Format::Criterion => "criterion",
            Format::Hyperfine => "hyperfine",
            Format::GoogleBenchmark => "google-benchmark",
            Format::Nvbench => "nvbench",
            Format::PytestBenchmark => "pytest-benchmark",
        }
    }
}

/// One time.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// The benchmark's name.
    pub name: String,
    /// Its parameters; empty where it has none, or has them in its name.
    pub case: String,
    /// Nanoseconds: the median where the tool has one.
    pub nanos: f64,
    /// The graphics card, where it ran on one.
    pub device: String,
}

/// What a file held.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Imported {
    /// The times, in the order of the file.
    pub times: Vec<Timed>,
    /// When it was measured, where the file says.
    pub time: Option<Timestamp>,
    /// The commit that was measured, where the file says.
    pub commit: Option<String>,
    /// Benchmarks without a time: those that failed or were skipped, with the tool's reason.
    pub left_out: Vec<String>,
}

/// Reads the text of the file at `path`; of criterion, `beside` is the text of the `benchmark.json` next to it, where there is one.
///
/// # Errors
/// [`Error::Format`] when it is not of this format, or a time makes no sense.
pub fn parse(format: Format, text: &str, path: &Path, beside: Option<&str>) -> Result<Imported> {
    let imported = match format {
        Format::Criterion => criterion::parse(text, path, beside)?,
        Format::Hyperfine => hyperfine::parse(text, path)?,
        Format::GoogleBenchmark => google::parse(text, path)?,
        Format::Nvbench => nvbench::parse(text, path)?,
        Format::PytestBenchmark => pytest::parse(text, path)?,
    };
    for one in &imported.times {
        if one.name.trim().is_empty() {
            return Err(Error::format(path, None, "a benchmark has no name"));
        }
        if !(one.nanos.is_finite() && one.nanos > 0.0) {
            let reason = format!("{}: {} ns is no time", one.name, one.nanos);
            return Err(Error::format(path, None, reason));
        }
    }
    Ok(imported)
}

fn json<T: DeserializeOwned>(text: &str, path: &Path, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let reason = format!("not {what}: {error}");
        Error::format(path, Some(error.line() as u64).filter(|&line| line > 0), reason)
    })
}

/// A time as tools write it: with an offset, with `Z`, or without either, which is taken for UTC.
fn when(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| format!("{}Z", text.replacen(' ', "T", 1)).parse().ok())
}

#[cfg(test)]
mod tests;
