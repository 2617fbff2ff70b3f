//! How often runs of one build agree within their intervals: `cargo run --release --example agreement RUN RUN…`.
//!
//! Every record that two runs share is one comparison. Two estimates with 95 % intervals of half-widths h and g agree where
//! they differ by no more than √(h² + g²), the half-width of the interval of their difference; that should be so in 95 % of
//! comparisons. Runs on a machine that changes between them agree less often, and no interval within a run can know that.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use scalemark::record::{Record, Timing};
use scalemark::store::Run;

/// Comparisons, and how many of them agreed.
#[derive(Default)]
struct Count {
    pairs: usize,
    agreed: usize,
    /// Differences, relative.
    apart: Vec<f64>,
}

impl Count {
    fn add(&mut self, a: &Timing, b: &Timing) {
        let middle = (a.median.0 * b.median.0).sqrt();
        let half = |t: &Timing| (t.high.0 - t.low.0) / 2.0;
        let apart = (a.median.0 - b.median.0).abs();
        self.pairs += 1;
        self.agreed += usize::from(apart <= half(a).hypot(half(b)));
        self.apart.push(apart / middle);
    }

    fn print(&mut self, name: &str) {
        self.apart.sort_by(f64::total_cmp);
        let at = |q: f64| 100.0 * self.apart[((self.apart.len() - 1) as f64 * q).round() as usize];
        println!(
            "| {name} | {} | {:.1} % | {:.1} % | {:.1} % |",
            self.pairs,
            100.0 * self.agreed as f64 / self.pairs as f64,
            at(0.5),
            at(0.95)
        );
    }
}

fn key(record: &Record) -> (String, String) {
    (record.case.key(), record.kernel.to_string())
}

fn main() -> anyhow::Result<()> {
    let folders: Vec<String> = std::env::args().skip(1).collect();
    if folders.len() < 2 {
        bail!("name at least two run folders of one build: agreement RUN RUN…");
    }
    let mut runs = Vec::new();
    for folder in &folders {
        let run =
            Run::read(Path::new(folder)).with_context(|| format!("failed to read {folder}"))?;
        let timed = |record: &Record| Some((key(record), record.timing()?.clone()));
        runs.push(run.records.iter().filter_map(timed).collect::<BTreeMap<_, _>>());
    }
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut all = Count::default();
    for (i, a) in runs.iter().enumerate() {
        for b in &runs[i + 1..] {
            for (key, mine) in a {
                let Some(other) = b.get(key) else { continue };
                let threads = if key.0.contains("/t1/") { "one thread" } else { "all threads" };
                let family = key.1.split('/').next().unwrap_or_default();
                counts.entry(format!("{family}, {threads}")).or_default().add(mine, other);
                all.add(mine, other);
            }
        }
    }
    if all.pairs == 0 {
        bail!("these runs share no measured record");
    }
    println!("| records | comparisons | agree | median apart | 95 % apart by at most |");
    println!("|---|---|---|---|---|");
    for (name, count) in &mut counts {
        count.print(name);
    }
    all.print("all");
    Ok(())
}
