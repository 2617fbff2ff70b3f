//! hyperfine: `--export-json`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{Imported, Timed, json};
use crate::error::Result;
use crate::stats::median;

#[derive(Deserialize)]
struct Export {
    results: Vec<Command>,
}

#[derive(Deserialize)]
struct Command {
    command: String,
    /// Seconds, as below; missing in old versions.
    median: Option<f64>,
    mean: f64,
    /// Missing in exports that leave single times out.
    times: Option<Vec<f64>>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Imported> {
    let export: Export = json(text, path, "an export of hyperfine")?;
    let time = |command: Command| {
        let of_times = || median(&mut command.times.clone()?);
        let seconds = command.median.or_else(of_times).unwrap_or(command.mean);
        let case: Vec<String> =
            command.parameters.iter().map(|(k, v)| format!("{k}={v}")).collect();
        Timed {
            name: command.command,
            case: case.join(" "),
            nanos: 1e9 * seconds,
            device: String::new(),
        }
    };
    Ok(Imported { times: export.results.into_iter().map(time).collect(), ..Imported::default() })
}
