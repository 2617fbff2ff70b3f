//! Kernels that do a known share of their work twice, put through gates on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::callgrind::{self, Counted};
use super::decisions::{Decision, Gates, Scene, append, copy_of_this, read};
use crate::cmd::{gate, interrupt, note, show};
use crate::gate::workers::Job;
use crate::plan::select::Selection;
use crate::stats::binomial::clustered;
use crate::stats::order;

/// The cases: launches so short that a hundred of them are a sample.
const CASES: &str = include_str!("../../../results/cases/slowdown.csv");

/// Options of `prove slowdown`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark prove slowdown                           1, 2, 3 and 5 %, counted by callgrind: hours
  scalemark prove slowdown --extra 2 --decisions 50")]
pub struct Slowdown {
    /// Slowdowns, in percent; 0 is a control
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 2, 3, 5], value_parser = clap::value_parser!(u32).range(..=100))]
    extra: Vec<u32>,
    /// Decisions on kernels for each slowdown and load; those that the file has already count
    #[arg(long, default_value_t = 300)]
    decisions: usize,
    /// Other gates at the same time, each on one CPU
    #[arg(long, value_delimiter = ',', default_values_t = [0])]
    load: Vec<usize>,
    /// Cases [default: ten small ones, results/cases/slowdown.csv]
    #[arg(long, value_name = "FILE.csv")]
    cases: Option<PathBuf>,
    /// Folder that the results go to
    #[arg(long, default_value = "results/proof", value_name = "DIR")]
    out: PathBuf,
    /// Options of `gate pair` for every gate, after --
    #[arg(last = true)]
    gate: Vec<String>,
}

/// Counts the instructions of every slowdown that is not counted yet, then runs gates until there are enough decisions.
///
/// # Errors
/// On usage errors, without valgrind, and when a gate cannot be run or a file is none of ours.
pub fn run(args: &Slowdown) -> anyhow::Result<ExitCode> {
    if args.load.is_empty() || args.extra.is_empty() || args.decisions == 0 {
        bail!("nothing to do; use --extra 0,1,2,3,5 --decisions 300 --load 0");
    }
    interrupt::catch();
    fs::create_dir_all(&args.out)
        .with_context(|| format!("failed to create {}", args.out.display()))?;
    let scratch = tempfile::tempdir().context("failed to create a temporary folder")?;
    let cases = args.cases.clone().unwrap_or_else(|| scratch.path().join("cases.csv"));
    if args.cases.is_none() {
        fs::write(&cases, CASES).context("failed to write the list of cases")?;
    }
    let jobs = gate::jobs(&Selection { cases: Some(cases.clone()), ..Selection::default() })?;
    let counts = args.out.join("slowdown-instructions.csv");
    let Some(counted) = instructions(&jobs, &args.extra, &counts, scratch.path())? else {
        return Ok(interrupt::exit_code());
    };
    let (this, copy) = copy_of_this(scratch.path())?;
    let mut options = args.gate.clone();
    options.extend(["--cases".to_owned(), cases.to_string_lossy().into_owned()]);
    let gates = Gates { base: &this, head: &copy, options: &options };
    let of = |&load: &usize| {
        args.extra.iter().map(move |&extra| Scene { extra_percent: Some(extra), load })
    };
    let scenes: Vec<Scene> = args.load.iter().flat_map(of).collect();
    let gathered = gates.until(&args.out.join("slowdown.csv"), &scenes, args.decisions)?;
    let Some(decisions) = gathered else { return Ok(interrupt::exit_code()) };
    let text = summary(&decisions, &counted);
    let page = args.out.join("slowdown.md");
    fs::write(&page, &text).with_context(|| format!("failed to write {}", page.display()))?;
    show(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What callgrind counts of each job at each slowdown, and at none; `None` when interrupted.
fn instructions(
    jobs: &[Job],
    extra: &[u32],
    path: &Path,
    scratch: &Path,
) -> anyhow::Result<Option<Vec<Counted>>> {
    let mut counted: Vec<Counted> = read(path)?;
    let mut wanted = extra.to_vec();
    wanted.push(0);
    wanted.sort_unstable();
    wanted.dedup();
    for job in jobs {
        for &percent in &wanted {
            let is_it = |row: &Counted| {
                (&row.kernel, &row.case_key, row.extra_percent)
                    == (&job.kernel, &job.case.key(), percent)
            };
            if counted.iter().any(is_it) {
                continue;
            }
            if interrupt::is_asked() {
                note("interrupted; the same command goes on");
                return Ok(None);
            }
            let row = callgrind::count(job, percent, scratch)?;
            note(&format!(
                "{} on {}, {percent} % more work: {} instructions",
                job.kernel,
                job.case.key(),
                row.instructions
            ));
            append(path, std::slice::from_ref(&row))?;
            counted.push(row);
        }
    }
    Ok(Some(counted))
}

/// By how many percent the instructions of each kernel grew at a slowdown: the least and the most.
fn grown(counted: &[Counted], percent: u32) -> Option<(f64, f64)> {
    let of = |row: &&Counted| {
        let same = |base: &&Counted| {
            (&base.kernel, &base.case_key, base.extra_percent) == (&row.kernel, &row.case_key, 0)
        };
        let base = counted.iter().find(same)?;
        Some(100.0 * (row.instructions as f64 / base.instructions as f64 - 1.0))
    };
    let rows = counted.iter().filter(|row| row.extra_percent == percent);
    let grown: Vec<f64> = rows.filter_map(|row| of(&row)).collect();
    grown.iter().copied().reduce(f64::min).zip(grown.iter().copied().reduce(f64::max))
}

/// A table by slowdown and load.
fn summary(decisions: &[Decision], counted: &[Counted]) -> String {
    let mut text = String::from(
        "# Known slowdowns on a machine\n\nMade by `scalemark prove slowdown`: the head is the base's build, of whose launches a share \
         is done twice. Every decision stands in [slowdown.csv](slowdown.csv), what callgrind counts of each kernel in \
         [slowdown-instructions.csv](slowdown-instructions.csv) (on AVX2 paths, for valgrind has no AVX-512). Intervals are at 95 % \
         (Clopper–Pearson, with as many trials as the spread between gates leaves: Korn and Graubard 1998). `pairs` is how many \
         those took that were found slower: median and most. At 0 % `slower` is a false alarm. The gate calls the same what lies \
         within 2 %, so that at 1 % `same` is right.\n\n\
         | slowdown | instructions | load | gates | decisions | found slower | same | undecided | faster | unfit | ratio measured | pairs |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut scenes: BTreeMap<Scene, Vec<&Decision>> = BTreeMap::new();
    for decision in decisions {
        scenes.entry(decision.scene()).or_default().push(decision);
    }
    for (Scene { extra_percent, load }, rows) in scenes {
        let extra_percent = extra_percent.unwrap_or(0);
        let count = |verdict: &str| rows.iter().filter(|d| d.verdict == verdict).count();
        let mut gates: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for row in &rows {
            let gate = gates.entry(row.gate).or_default();
            gate.0 += u64::from(row.verdict == "slower");
            gate.1 += 1;
        }
        let clusters: Vec<(u64, u64)> = gates.into_values().collect();
        let interval = clustered(&clusters, 0.95)
            .map_or("–".to_owned(), |(low, high)| format!("{low:.3} to {high:.3}"));
        let grown = grown(counted, extra_percent)
            .map_or("–".to_owned(), |(least, most)| format!("{least:+.3} to {most:+.3} %"));
        let median = |mut values: Vec<f64>| order::median(&mut values);
        let ratio = median(rows.iter().filter_map(|d| d.ratio).collect())
            .map_or("–".to_owned(), |ratio| format!("{ratio:.4}"));
        let found: Vec<f64> =
            rows.iter().filter(|d| d.verdict == "slower").map(|d| d.pairs as f64).collect();
        let most = found.iter().copied().fold(0.0, f64::max);
        let pairs =
            median(found).map_or("–".to_owned(), |pairs| format!("{pairs:.0}, {most:.0}"));
        text.push_str(&format!(
            "| {extra_percent} % | {grown} | {load} | {} | {} | {:.3} ({interval}) | {} | {} | {} | {} | {ratio} | {pairs} |\n",
            clusters.len(),
            rows.len(),
            count("slower") as f64 / rows.len() as f64,
            count("same"),
            count("undecided"),
            count("faster"),
            count("unfit"),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::decisions::tests::decision;
    use super::*;

    #[test]
    fn a_slowdown_is_shown_with_what_its_instructions_grew_by_and_how_often_it_was_found() {
        let counted = |kernel: &str, extra_percent, instructions| Counted {
            kernel: kernel.into(),
            case_key: "c".into(),
            extra_percent,
            launches: 100,
            instructions,
        };
        let counts = [
            counted("a", 0, 1000),
            counted("a", 2, 1020),
            counted("b", 0, 500),
            counted("b", 2, 511),
        ];
        assert_eq!(grown(&counts, 3), None);
        let rows = [
            decision(1, 0, Some(2), "slower"),
            decision(1, 0, Some(2), "slower"),
            decision(2, 0, Some(2), "slower"),
            decision(2, 0, Some(2), "same"),
            decision(3, 0, Some(0), "same"),
        ];
        let text = summary(&rows, &counts);
        let row = text.lines().find(|line| line.starts_with("| 2 %")).unwrap();
        assert!(row.starts_with("| 2 % | +2.000 to +2.200 % | 0 | 2 | 4 | 0.750 ("), "{row}");
        assert!(row.ends_with(" | 1 | 0 | 0 | 0 | 1.0000 | 8, 8 |"), "{row}");
    }
}
