//! How long judging a large history takes: `cargo run --release --example history [SERIES] [COMMITS]`.
//!
//! Made-up series on one core, by default 1000 of 1000 commits: a third unchanged, a third with steps, a third that wander. Prints the seconds that judging
//! took, that reading the same history from disk does, and the peak of memory.

use std::time::Instant;

use scalemark::history::entry::NANOS;
use scalemark::history::{Entry, Key, Rule, judge};
use scalemark::stats::random::Random;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>());
    let series = args.next().transpose()?.unwrap_or(1000);
    let commits = args.next().transpose()?.unwrap_or(1000);
    let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse()?;
    let mut random = Random::new(1);
    let mut wander = vec![0.0; series];
    let folder = tempfile::tempdir()?;
    for i in 0..commits {
        let entry = |s: usize| {
            wander[s] = 0.7 * wander[s] + 0.01 * random.normal();
            let plain = 0.01 * random.normal();
            let log = match s % 3 {
                0 => plain,
                1 => plain + 0.02 * ((i + s) / 150 % 4) as f64,
                _ => wander[s],
            };
            Entry {
                time: start + jiff::SignedDuration::from_mins(i as i64),
                commit: format!("{i:010x}").into(),
                commit_time: None,
                key: Key {
                    kernel: format!("kernel/{s}"),
                    case: "case".into(),
                    metric: "time".into(),
                    fingerprint: "machine".into(),
                }
                .into(),
                unit: NANOS.into(),
                value: 1e6 * log.exp(),
                processes: Some(3),
                reference: "v1".into(),
                reference_value: Some(1e6),
                canary: false,
                source: "scalemark".into(),
            }
        };
        let run: Vec<Entry> = (0..series).map(entry).collect();
        scalemark::store::history::append(folder.path(), &run)?;
    }
    let clock = Instant::now();
    let read = scalemark::store::history::read(folder.path())?;
    let reading = clock.elapsed().as_secs_f64();
    println!("{} numbers read in {reading:.2} s", read.entries.len());
    let clock = Instant::now();
    let report = judge(&read, &Rule::default());
    let judging = clock.elapsed().as_secs_f64();
    let findings: usize = report.series.iter().map(|s| s.findings.len()).sum();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("peak unknown");
    println!(
        "{series} series of {commits} commits judged in {judging:.2} s on one core: {findings} findings; {peak}"
    );
    Ok(())
}
