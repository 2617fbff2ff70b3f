//! A file of a million records, to see what a report of it takes: `cargo run --release --example million RUN… FILE`.
//!
//! Runs, of folders or files of `scalemark export`, are repeated as machines of other speeds until there are that many. Each record has
//! times of its own, 1 % around its machine's, so that no column is shorter than it would be.

use std::path::{Path, PathBuf};

use anyhow::bail;
use scalemark::record::Outcome;
use scalemark::stats::random::Random;
use scalemark::store::{Run, parquet};

/// So many, and what the last machine has beyond them.
const RECORDS: usize = 1_000_000;

/// The run as machine number `i` would have measured it.
fn machine(run: &Run, i: usize, random: &mut Random) -> Run {
    let mut run = run.clone();
    run.folder = PathBuf::from(format!("machine-{i:05}"));
    let speed = 1.0 + 0.002 * (i % 500) as f64;
    for record in &mut run.records {
        if let Outcome::Measured(timing) = &mut record.outcome {
            let factor = speed * (0.01 * random.normal()).exp();
            let times = [&mut timing.median, &mut timing.low, &mut timing.high];
            let rest = [&mut timing.min, &mut timing.p95, &mut timing.p99];
            times.into_iter().chain(rest).for_each(|time| time.0 *= factor);
        }
    }
    run
}

fn main() -> anyhow::Result<()> {
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let Some(file) = paths.pop().filter(|_| !paths.is_empty()) else {
        bail!("name runs to repeat, and the file to write: million RUN… FILE");
    };
    let (runs, path) = (Run::read_all(&paths)?, Path::new(&file));
    if runs.iter().all(|run| run.records.is_empty()) {
        bail!("these runs have no records; name others");
    }
    let mut random = Random::new(1);
    let (mut machines, mut count) = (Vec::new(), 0);
    for run in runs.iter().cycle() {
        if count >= RECORDS {
            break;
        }
        machines.push(machine(run, machines.len(), &mut random));
        count += run.records.len();
    }
    let written = parquet::write(path, &machines)?;
    println!("{written} records of {} machines: {}", machines.len(), path.display());
    Ok(())
}
