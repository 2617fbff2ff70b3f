//! nvbench: `--json FILE`.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{Imported, Timed, json};
use crate::error::Result;

/// Tags of what is taken, best first: single launches with a flushed cache, then many in a row.
const TAGS: [&str; 3] =
    ["nv/cold/time/gpu/median", "nv/cold/time/gpu/mean", "nv/batch/time/gpu/mean"];

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    devices: Vec<Device>,
    benchmarks: Vec<Benchmark>,
}

#[derive(Deserialize)]
struct Device {
    id: i64,
    name: String,
}

#[derive(Deserialize)]
struct Benchmark {
    name: String,
    states: Vec<State>,
}

#[derive(Deserialize)]
struct State {
    device: Option<i64>,
    #[serde(default)]
    axis_values: Option<Vec<AxisValue>>,
    #[serde(default)]
    summaries: Option<Vec<Summary>>,
    #[serde(default)]
    is_skipped: bool,
    skip_reason: Option<String>,
}

#[derive(Deserialize)]
struct AxisValue {
    name: String,
    /// A number or a text, by version.
    value: Value,
}

#[derive(Deserialize)]
struct Summary {
    tag: Option<String>,
    #[serde(default)]
    data: Vec<Datum>,
}

#[derive(Deserialize)]
struct Datum {
    name: String,
    /// Numbers are written as text, so that no digit is lost.
    value: Value,
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn seconds(summaries: &[Summary], tag: &str) -> Option<f64> {
    let summary = summaries.iter().find(|summary| summary.tag.as_deref() == Some(tag))?;
    let datum = summary.data.iter().find(|datum| datum.name == "value")?;
    plain(&datum.value).parse().ok()
}

/// A time a state: its axes are the case, its card the device.
pub(super) fn parse(text: &str, path: &Path) -> Result<Imported> {
    let output: Output = json(text, path, "an output of nvbench")?;
    let mut imported = Imported::default();
    for benchmark in output.benchmarks {
        for state in benchmark.states {
            let axes = state.axis_values.unwrap_or_default();
            let case: Vec<String> =
                axes.iter().map(|axis| format!("{}={}", axis.name, plain(&axis.value))).collect();
            let case = case.join(" ");
            let summaries = state.summaries.unwrap_or_default();
            let found = TAGS.iter().find_map(|tag| seconds(&summaries, tag));
            let Some(seconds) = found.filter(|_| !state.is_skipped) else {
                let why = state.skip_reason.unwrap_or_else(|| "no GPU time".into());
                imported.left_out.push(format!("{} {case}: {why}", benchmark.name));
                continue;
            };
            let device = state.device.and_then(|id| output.devices.iter().find(|d| d.id == id));
            imported.times.push(Timed {
                name: benchmark.name.clone(),
                case,
                nanos: 1e9 * seconds,
                device: device.map_or(String::new(), |device| device.name.clone()),
            });
        }
    }
    Ok(imported)
}
