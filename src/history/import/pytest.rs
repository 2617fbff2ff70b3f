//! pytest-benchmark: `pytest --benchmark-json=FILE`.

use std::path::Path;

use serde::Deserialize;

use super::{Imported, Timed, json, when};
use crate::error::Result;

#[derive(Deserialize)]
struct Output {
    benchmarks: Vec<Benchmark>,
    commit_info: Option<Commit>,
    datetime: Option<String>,
}

#[derive(Deserialize)]
struct Commit {
    id: Option<String>,
}

#[derive(Deserialize)]
struct Benchmark {
    /// With the file, so that functions of two files differ; parameters stand in brackets.
    fullname: String,
    stats: Stats,
}

#[derive(Deserialize)]
struct Stats {
    /// Seconds.
    median: f64,
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Imported> {
    let output: Output = json(text, path, "an output of pytest-benchmark")?;
    let time = |one: Benchmark| Timed {
        name: one.fullname,
        case: String::new(),
        nanos: 1e9 * one.stats.median,
        device: String::new(),
    };
    Ok(Imported {
        times: output.benchmarks.into_iter().map(time).collect(),
        time: output.datetime.as_deref().and_then(when),
        commit: output.commit_info.and_then(|commit| commit.id),
        left_out: Vec::new(),
    })
}
