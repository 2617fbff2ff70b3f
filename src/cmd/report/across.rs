//! Several runs, read and named, for their comparison.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::{Args, facts};
use crate::cmd::show;
use crate::report;
use crate::report::across::{self, Side};
use crate::store::Run;

/// Reads several runs, and prints or writes what they come to side by side.
pub(super) fn compare(args: &Args) -> anyhow::Result<()> {
    let place = |folder: &PathBuf| {
        folder.canonicalize().with_context(|| format!("failed to read {}", folder.display()))
    };
    let folders = args.runs.iter().map(place).collect::<anyhow::Result<Vec<_>>>()?;
    for (i, folder) in folders.iter().enumerate() {
        if folders[..i].contains(folder) {
            bail!("{} is named twice; name each run once", args.runs[i].display());
        }
    }
    let base = match &args.base {
        None => 0,
        Some(base) => {
            let at = folders.iter().position(|folder| place(base).is_ok_and(|b| b == *folder));
            at.with_context(|| {
                format!("--base {} is none of the runs; name it among them", base.display())
            })?
        }
    };
    let runs = args.runs.iter().map(|f| Run::read(f)).collect::<Result<Vec<_>, _>>()?;
    let facts: Vec<_> = runs.iter().map(|run| facts(&run.machine)).collect();
    let names = names(&folders);
    let mut sides: Vec<Side> = Vec::new();
    let mut base_side = None;
    for (i, run) in runs.iter().enumerate() {
        let from = sides.len();
        for device in devices(run) {
            let records = run.records.iter().filter(|r| r.device == device).collect();
            let name = match device {
                "cpu" => names[i].clone(),
                gpu => format!("{} {gpu}", names[i]),
            };
            sides.push(Side { name, facts: &facts[i], records });
        }
        if i == base && sides.len() > from {
            base_side = Some(from);
        }
    }
    let base_side = base_side.with_context(|| {
        format!(
            "{} measured nothing to compare with; name another --base",
            args.runs[base].display()
        )
    })?;
    if sides.len() < 2 {
        bail!("only {} measured anything; there is nothing to compare it with", sides[0].name);
    }
    if let Some(path) = &args.html {
        report::whole(path, &across::page(&sides, base_side))?;
    }
    match &args.out {
        None if args.html.is_some() => Ok(()),
        None => show(&across::markdown(&sides, base_side)),
        Some(path) => Ok(report::whole(path, &across::markdown(&sides, base_side))?),
    }
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

/// A name for each run: the machine's, as its folder has it; the whole folder's where that tells two apart, and its path where even
/// these are alike.
fn names(folders: &[PathBuf]) -> Vec<String> {
    let whole = |folder: &PathBuf| {
        folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    let machine = |folder: &PathBuf| {
        let name = whole(folder);
        let parts = name.split_once('-').and_then(|(_, rest)| rest.rsplit_once('-'));
        parts.map_or(name.clone(), |(machine, _)| machine.to_owned())
    };
    let path = |folder: &PathBuf| folder.display().to_string();
    let unique = |name: &dyn Fn(&PathBuf) -> String, of: &PathBuf| {
        folders.iter().filter(|folder| name(folder) == name(of)).count() == 1
    };
    let name = |folder: &PathBuf| match folder {
        one if unique(&machine, one) => machine(one),
        one if unique(&whole, one) => whole(one),
        one => path(one),
    };
    folders.iter().map(name).collect()
}
