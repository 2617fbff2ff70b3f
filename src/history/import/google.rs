//! Google Benchmark: `--benchmark_out=FILE --benchmark_out_format=json`.

use std::path::Path;

use serde::Deserialize;

use super::{Imported, Timed, json, when};
use crate::error::{Error, Result};
use crate::stats::median;

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    context: Context,
    benchmarks: Vec<Row>,
}

#[derive(Deserialize, Default)]
struct Context {
    date: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    /// The name that repetitions share; missing in old versions.
    run_name: Option<String>,
    run_type: Option<String>,
    aggregate_name: Option<String>,
    real_time: Option<f64>,
    time_unit: Option<String>,
    #[serde(default)]
    error_occurred: bool,
    error_message: Option<String>,
    #[serde(default)]
    skipped: bool,
    skip_message: Option<String>,
}

/// The real time: of repetitions, their median, whether the file has it, them, or both.
pub(super) fn parse(text: &str, path: &Path) -> Result<Imported> {
    let output: Output = json(text, path, "an output of Google Benchmark")?;
    let mut names: Vec<String> = Vec::new();
    let mut found: Vec<(Option<f64>, Vec<f64>)> = Vec::new();
    let mut left_out = Vec::new();
    for row in output.benchmarks {
        let name = row.run_name.unwrap_or_else(|| row.name.clone());
        if row.error_occurred || row.skipped {
            let why = row.error_message.or(row.skip_message).unwrap_or_default();
            left_out.push(format!("{name}: {why}"));
            continue;
        }
        let is_aggregate = row.run_type.as_deref() == Some("aggregate");
        if is_aggregate && row.aggregate_name.as_deref() != Some("median") {
            continue;
        }
        let bad = |reason: String| Error::format(path, None, format!("{}: {reason}", row.name));
        let unit = match row.time_unit.as_deref() {
            Some("ns") => 1.0,
            Some("us") => 1e3,
            Some("ms") => 1e6,
            Some("s") => 1e9,
            other => {
                let unit = other.unwrap_or("nothing");
                return Err(bad(format!("time_unit is {unit}; known are ns, us, ms, s")));
            }
        };
        let nanos = unit * row.real_time.ok_or_else(|| bad("no real_time".into()))?;
        let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name);
            found.push((None, Vec::new()));
            names.len() - 1
        });
        if is_aggregate {
            found[at].0 = Some(nanos);
        } else {
            found[at].1.push(nanos);
        }
    }
    let time = |(name, (given, mut repetitions)): (String, (Option<f64>, Vec<f64>))| Timed {
        name,
        case: String::new(),
        nanos: given.or_else(|| median(&mut repetitions)).unwrap_or(f64::NAN),
        device: String::new(),
    };
    let times = names.into_iter().zip(found).map(time).collect();
    let time = output.context.date.as_deref().and_then(when);
    Ok(Imported { times, time, left_out, commit: None })
}
