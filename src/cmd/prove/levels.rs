//! Levels that were recorded elsewhere, put through the gate: how it is compared with other tools on the same files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::cmd::show;
use crate::gate::{Judge, Levels as Round, Rule, Subject};

/// Options of `prove levels`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  scalemark prove levels levels.csv")]
pub struct Levels {
    /// CSV with the columns round,kernel,base,head,twin: what one process of the base took in each round, one of the head, and
    /// one of a copy of the base, in any unit
    file: PathBuf,
}

#[derive(Deserialize)]
struct Row {
    round: usize,
    kernel: String,
    base: f64,
    head: f64,
    twin: f64,
}

/// Judges by the default thresholds, with a last look after as many pairs as there are, at most 32; prints CSV.
///
/// # Errors
/// When the file is no such table, or not every round has every kernel once.
pub fn run(args: &Levels) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(&args.file)
        .with_context(|| format!("failed to read {}", args.file.display()))?;
    show(&judged(&text, &args.file)?)?;
    Ok(ExitCode::SUCCESS)
}

fn judged(text: &str, path: &Path) -> anyhow::Result<String> {
    let path = path.display();
    let mut kernels: Vec<String> = Vec::new();
    let mut rounds: BTreeMap<usize, BTreeMap<usize, Round>> = BTreeMap::new();
    for row in csv::Reader::from_reader(text.as_bytes()).deserialize() {
        let row: Row = row.with_context(|| format!("{path} is no table of levels"))?;
        let Row { round, kernel, base, head, twin } = row;
        if ![base, head, twin].iter().all(|level| *level > 0.0 && level.is_finite()) {
            bail!("{path}: round {round} of {kernel} has a level that is no positive number");
        }
        let at = kernels.iter().position(|known| *known == kernel).unwrap_or_else(|| {
            kernels.push(kernel);
            kernels.len() - 1
        });
        if rounds.entry(round).or_default().insert(at, Round { base, head, twin }).is_some() {
            bail!("{path}: round {round} has {} twice", kernels[at]);
        }
    }
    if rounds.is_empty() || rounds.values().any(|levels| levels.len() != kernels.len()) {
        bail!("{path}: give at least one round, and every kernel in each");
    }
    let default = Rule::default();
    let rule = Rule::new(default.slack, default.same, rounds.len().min(default.last()))?;
    let subject = |name: &String| Subject { name: name.clone(), curve: None };
    let mut judge = Judge::new(rule, &kernels.iter().map(subject).collect::<Vec<_>>());
    for (seen, levels) in rounds.into_values().enumerate() {
        judge.add(&levels.into_iter().collect::<Vec<_>>());
        if judge.rule().next_look(seen) == Some(seen + 1) {
            judge.look();
        }
    }
    let mut text = String::from("kernel,verdict,pairs,ratio\n");
    for (kernel, judgement) in kernels.iter().zip(judge.kernels()) {
        let ratio = judgement.estimate.map_or(f64::NAN, |ratio| ratio.0);
        let (verdict, pairs) = (judgement.verdict.name(), judgement.pairs);
        text.push_str(&format!("{kernel},{verdict},{pairs},{ratio:.5}\n"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rounds: usize, head: f64) -> String {
        let row = |i: usize| format!("{i},a,{0},{1},{0}\n{i},b,{0},{0},{0}\n", 100 + i % 7, head);
        "round,kernel,base,head,twin\n".to_owned() + &(0..rounds).map(row).collect::<String>()
    }

    #[test]
    fn levels_of_a_file_are_judged_as_those_of_processes_are() {
        let text = judged(&table(32, 120.0), Path::new("l.csv")).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows[1].starts_with("a,slower,16,1."), "{text}");
        assert_eq!(rows[2], "b,same,8,1.00000");
    }

    #[test]
    fn a_table_with_holes_or_other_columns_is_refused() {
        let refused = |text: &str| judged(text, Path::new("l.csv")).unwrap_err().to_string();
        let whole = table(9, 100.0);
        assert!(refused(whole.trim_end().rsplit_once('\n').unwrap().0).contains("every kernel"));
        assert!(refused(&format!("{whole}3,a,1,1,1\n")).contains("twice"));
        assert!(refused(&whole.replace("3,a,103", "3,a,-1")).contains("no positive number"));
        assert!(refused("a,b\n1,2\n").contains("no table of levels"));
        let few = judged(&table(3, 100.0), Path::new("l.csv")).unwrap_err().to_string();
        assert!(few.contains("3 pairs"), "{few}");
    }
}
