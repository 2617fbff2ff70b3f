//! criterion.rs: `target/criterion/<benchmark>/new/{estimates,benchmark}.json`.

use std::path::Path;

use serde::Deserialize;

use super::{Imported, Timed, json};
use crate::error::{Error, Result};

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    /// Nanoseconds, unless a custom measurement has another unit.
    point_estimate: f64,
}

#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
}

/// One benchmark. Its name is `full_id`; without `benchmark.json`, its folder's path below `criterion`.
pub(super) fn parse(text: &str, path: &Path, beside: Option<&str>) -> Result<Imported> {
    let estimates: Estimates = json(text, path, "estimates of criterion")?;
    let name = match beside {
        Some(beside) => {
            let place = path.with_file_name("benchmark.json");
            json::<Benchmark>(beside, &place, "a benchmark of criterion")?.full_id
        }
        None => from_path(path).ok_or_else(|| {
            let reason = "its benchmark has no name: keep benchmark.json beside it";
            Error::format(path, None, reason)
        })?,
    };
    let nanos = estimates.median.point_estimate;
    let times = vec![Timed { name, case: String::new(), nanos, device: String::new() }];
    Ok(Imported { times, ..Imported::default() })
}

/// `criterion/a/b/new/estimates.json` is `a/b`.
fn from_path(path: &Path) -> Option<String> {
    let parts: Vec<_> =
        path.parent()?.parent()?.iter().map(|part| part.to_string_lossy()).collect();
    let from = parts.iter().rposition(|part| part == "criterion")?;
    Some(parts[from + 1..].join("/")).filter(|name| !name.is_empty())
}
