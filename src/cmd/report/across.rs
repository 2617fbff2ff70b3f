//! Several runs, read and named, for their comparison.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rayon::prelude::*;

use super::price::assign;
use super::{Args, facts};
use crate::cmd::price::Price;
use crate::cmd::show;
use crate::report;
use crate::report::across::{self, Comparison, Kind, Side};
use crate::store::Run;
use crate::store::parquet::{self, Wanted};
use crate::units::Bytes;

/// The counter that comparisons have a use for.
const ENERGY: &str = "energy_mj_per_launch";

/// Runs and what is known of each: all of one index are of one run.
pub(super) struct Loaded {
    /// Where they lie, without links.
    pub(super) folders: Vec<PathBuf>,
    /// The runs.
    pub(super) runs: Vec<Run>,
    /// Their machines.
    pub(super) facts: Vec<Vec<(String, String)>>,
    /// The run that others are compared with.
    base: usize,
}

impl Loaded {
    /// Reads runs, of folders and of Parquet files of many, with the counters that are wanted; `base` is one of them, or the first.
    pub(super) fn read(
        paths: &[PathBuf],
        base: Option<&Path>,
        wanted: Wanted,
    ) -> anyhow::Result<Loaded> {
        let place = |path: &Path| {
            path.canonicalize().with_context(|| format!("failed to read {}", path.display()))
        };
        let places = paths.iter().map(|f| place(f)).collect::<anyhow::Result<Vec<_>>>()?;
        let (mut folders, mut runs): (Vec<PathBuf>, Vec<Run>) = (Vec::new(), Vec::new());
        let mut known = HashSet::new();
        for (i, (path, place)) in paths.iter().zip(&places).enumerate() {
            if places[..i].contains(place) {
                bail!("{} is named twice; name each run once", path.display());
            }
            let is_many = place.is_file();
            let read = match is_many {
                true => parquet::read(path, wanted)?,
                false => vec![folder(path, wanted)?],
            };
            for run in read {
                let folder = if is_many { run.folder.clone() } else { place.clone() };
                if !known.insert(folder.clone()) {
                    bail!(
                        "{} has a run that is read already: {}",
                        path.display(),
                        folder.display()
                    );
                }
                folders.push(folder);
                runs.push(run);
            }
        }
        if runs.is_empty() {
            bail!("{} holds no run", paths[0].display());
        }
        let base = match base {
            None => 0,
            Some(base) => {
                let is_it = |folder: &PathBuf| {
                    folder == base || place(base).is_ok_and(|base| base == *folder)
                };
                folders.iter().position(is_it).with_context(|| {
                    format!("--base {} is none of the runs; name it among them", base.display())
                })?
            }
        };
        let facts = runs.iter().map(|run| facts(&run.machine)).collect();
        Ok(Loaded { folders, runs, facts, base })
    }

    /// A side for each run and device that measured something, and the index of the base's first.
    pub(super) fn sides<'a>(&'a self, prices: &[Price]) -> anyhow::Result<(Vec<Side<'a>>, usize)> {
        let names = names(&self.folders);
        let (mut sides, mut aliases, mut base): (Vec<Side>, Vec<Vec<String>>, _) =
            (Vec::new(), Vec::new(), 0);
        let of_device = |run: &'a Run, device| {
            (device, run.records.iter().filter(|r| r.device == device).collect::<Vec<_>>())
        };
        let measured = self.runs.par_iter();
        let measured: Vec<Vec<_>> = measured
            .map(|run| devices(run).into_iter().map(|device| of_device(run, device)).collect())
            .collect();
        for ((i, run), measured) in self.runs.iter().enumerate().zip(measured) {
            if i == self.base {
                base = sides.len();
            }
            for (device, records) in measured {
                let name = match device {
                    "cpu" => names[i].clone(),
                    gpu => format!("{} {gpu}", names[i]),
                };
                aliases.push(vec![
                    name.clone(),
                    names[i].clone(),
                    machine(&self.folders[i]),
                    whole(&self.folders[i]),
                ]);
                sides.push(Side {
                    name,
                    facts: &self.facts[i],
                    records,
                    energy: energy(run),
                    capacity: capacity(run, device),
                    price: None,
                });
            }
        }
        for (side, price) in sides.iter_mut().zip(assign(prices, &aliases)?) {
            side.price = price;
        }
        if let (false, Some(side)) = (prices.is_empty(), sides.get(base))
            && side.price.is_none()
        {
            bail!(
                "--price has none for {}, which others are compared with; add its own",
                side.name
            );
        }
        Ok((sides, base))
    }
}

/// Reads the run of a folder, with the counters that are wanted.
fn folder(path: &Path, wanted: Wanted) -> anyhow::Result<Run> {
    let mut run = Run::read(path)?;
    run.counters.retain(|counter| wanted.has(&counter.name));
    run.counters.shrink_to_fit();
    Ok(run)
}

/// Reads several runs, and prints or writes what they come to side by side.
pub(super) fn compare(args: &Args) -> anyhow::Result<()> {
    let loaded = Loaded::read(&args.runs, args.base.as_deref(), Wanted::Named(&[ENERGY]))?;
    if devices(&loaded.runs[loaded.base]).is_empty() {
        bail!(
            "{} measured nothing to compare with; name another --base",
            loaded.folders[loaded.base].display()
        );
    }
    let (sides, base) = loaded.sides(&args.price)?;
    if sides.len() < 2 {
        bail!("only {} measured anything; there is nothing to compare it with", sides[0].name);
    }
    let all = Comparison::new(sides, base, &super::params);
    let pictures = match args.html.is_some() || args.out.is_some() {
        true => across::pictures(&all)?,
        false => Vec::new(),
    };
    if let Some(path) = &args.html {
        report::whole(path, &across::page(&all, &pictures))?;
    }
    match &args.out {
        None if args.html.is_some() => Ok(()),
        None => show(&across::markdown(&all, &[], "")),
        Some(path) => beside(path, &all, &pictures),
    }
}

/// Writes the comparison to `path`, and its pictures into a folder beside it that is named after it.
fn beside(path: &Path, all: &Comparison, kinds: &[Kind]) -> anyhow::Result<()> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let folder = path.with_file_name(format!("{stem}-charts"));
    report::pictures(&folder, kinds.iter().flat_map(|kind| &kind.pictures))?;
    let place = report::href(&format!("{stem}-charts"));
    Ok(report::whole(path, &across::markdown(all, kinds, &place))?)
}

/// What a run's device has to work in: its own memory, or the machine's.
fn capacity(run: &Run, device: &str) -> Option<Bytes> {
    if device == "cpu" {
        return run.machine["hardware"]["memory"].as_u64().map(Bytes);
    }
    let gpus = run.machine["gpus"].as_array()?;
    let gpu = gpus.iter().find(|gpu| gpu["device"] == device)?;
    gpu["attributes"]["memory"].as_u64().map(Bytes)
}

/// Joules of a launch, by record.
fn energy(run: &Run) -> HashMap<u64, f64> {
    let measured = run.counters.iter().filter(|c| c.name == ENERGY);
    measured.map(|c| (c.record_id, c.value / 1e3)).collect()
}

/// The devices that a run measured something on, in the order of its records.
fn devices(run: &Run) -> Vec<&str> {
    let mut devices = Vec::new();
    for record in run.records.iter().filter(|r| r.timing().is_some()) {
        if !devices.contains(&record.device.as_str()) {
            devices.push(record.device.as_str());
        }
    }
    devices
}

/// The name of a run's folder.
fn whole(folder: &Path) -> String {
    folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The machine in the name of a run's folder; the whole name where it has no such part.
fn machine(folder: &Path) -> String {
    let name = whole(folder);
    let parts = name.split_once('-').and_then(|(_, rest)| rest.rsplit_once('-'));
    parts.map_or(name.clone(), |(machine, _)| machine.to_owned())
}

/// A name for each run: the machine's, as its folder has it; the whole folder's where that tells two apart, and its path where even
/// these are alike.
fn names(folders: &[PathBuf]) -> Vec<String> {
    let counted = |name: fn(&Path) -> String| {
        folders.iter().fold(HashMap::new(), |mut counts: HashMap<String, usize>, folder| {
            *counts.entry(name(folder)).or_default() += 1;
            counts
        })
    };
    let (machines, wholes) = (counted(machine), counted(whole));
    let name = |folder: &PathBuf| match (machine(folder), whole(folder)) {
        (machine, _) if machines[&machine] == 1 => machine,
        (_, whole) if wholes[&whole] == 1 => whole,
        _ => folder.display().to_string(),
    };
    folders.iter().map(name).collect()
}
