//! `scalemark report --site DIR`: all runs as pages with stable links.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::across::Loaded;
use super::{Args, with_input};
use crate::cmd::show;
use crate::error::Error;
use crate::report::across::{self, Comparison};
use crate::report::site::{self, Entry, Page};
use crate::store::parquet::Wanted;
use crate::store::{MACHINE, RUNS, Run};

/// Writes the site of the runs that were named, or of all below results/runs.
pub(super) fn publish(args: &Args, folder: &Path) -> anyhow::Result<()> {
    let folders = if args.runs.is_empty() { below(Path::new(RUNS))? } else { args.runs.clone() };
    let loaded = Loaded::read(&folders, args.base.as_deref(), Wanted::All)?;
    let (mut pages, mut entries) = (Vec::new(), Vec::new());
    for ((run, place), facts) in loaded.runs.iter().zip(&loaded.folders).zip(&loaded.facts) {
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entries.iter().any(|known: &Entry| known.name == name) {
            bail!("two runs are called {name}, and would have one link; rename a folder");
        }
        let (report, pictures) = with_input(run, facts, crate::report::document)?;
        pages.push(site::run(&name, &report, &pictures));
        entries.push(entry(run, name));
    }
    let sides = loaded.sides(&args.price)?;
    let compared = sides.0.len() > 1;
    pages.push(site::index(&entries, compared));
    if compared {
        let all = Comparison::new(sides.0, sides.1, &super::params);
        let text = across::page(&all, &across::pictures(&all)?);
        pages.push(Page { path: site::COMPARE.to_owned(), text });
    }
    let (fresh, removed) = site::publish(folder, &pages)?;
    let index = folder.join("index.html");
    show(&format!(
        "{}: {} runs, {fresh} of {} pages written, {removed} removed\n",
        index.display(),
        entries.len(),
        pages.len()
    ))
}

/// The folders of runs within a folder, by name.
fn below(runs: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(runs).map_err(Error::io("list", runs)).with_context(|| {
        "without runs named, those in results/runs of the current folder are taken".to_owned()
    })?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("list", runs))?.path();
        if path.join(MACHINE).is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    if folders.is_empty() {
        bail!("{} holds no run; name some, or measure one with `scalemark run`", runs.display());
    }
    Ok(folders)
}

/// What the index says of a run.
fn entry(run: &Run, name: String) -> Entry {
    let (hardware, software) = (&run.machine["hardware"], &run.machine["software"]);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let gpus = run.machine["gpus"].as_array().into_iter().flatten();
    let gpus = gpus.map(|gpu| text(&gpu["attributes"]["name"])).filter(|name| !name.is_empty());
    let machine: Vec<String> = std::iter::once(text(&hardware["model_name"])).chain(gpus).collect();
    let count = |status| run.records.iter().filter(|r| r.outcome.status() == status).count();
    let counts = ["measured", "simulated", "wrong", "failed", "refused"]
        .map(|status| (count(status), status));
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let records: Vec<String> = counts.map(|(count, status)| format!("{count} {status}")).collect();
    Entry {
        name,
        started: text(&run.machine["started"]),
        machine: machine.join(", "),
        version: text(&software["scalemark"]),
        records: records.join(", "),
    }
}
