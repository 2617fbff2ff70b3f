//! Cases against sides, and their means.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use foldhash::fast::RandomState;
use rayon::prelude::*;

use super::Side;
use crate::ops::{Case, Family, Regime};
use crate::record::Record;
use crate::report::axis::three_digits;
pub use crate::report::compare::median;
use crate::report::group::Group;
use crate::report::tables::{unthreaded, work};

/// A case, and the fastest right answer of each side.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// The case; its threads say nothing.
    pub case: Case,
    /// By side.
    pub best: Vec<Option<&'a Record>>,
}

/// Every case that some side measured, probes apart, by op and then by work.
pub fn lines<'a>(sides: &[Side<'a>]) -> Vec<Line<'a>> {
    let mut at: HashMap<Case, usize, RandomState> = HashMap::default();
    let mut lines: Vec<Line> = Vec::new();
    for (i, side) in sides.iter().enumerate() {
        let measured = side.records.iter().copied().filter(|r| r.timing().is_some());
        for record in measured.filter(|r| r.case.problem.family() != Family::Peak) {
            let line = *at.entry(unthreaded(record.case)).or_insert_with(|| {
                lines.push(Line { case: record.case, best: vec![None; sides.len()] });
                lines.len() - 1
            });
            let best = &mut lines[line].best[i];
            if best.is_none_or(|known| median(record) < median(known)) {
                *best = Some(record);
            }
        }
    }
    lines.sort_by_cached_key(|line| (line.case.problem.family(), work(line.case)));
    lines
}

/// A geometric mean of speeds over those of the base.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The mean.
    pub ratio: f64,
    /// Lower end of its 95 % interval, as the intervals of the times give it.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// Over so many cases.
    pub cases: usize,
}

impl fmt::Display for Mean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ratio, low, high] = [self.ratio, self.low, self.high].map(three_digits);
        write!(f, "{ratio}× [{low}, {high}] of {}", self.cases)
    }
}

/// A row of means: its name, and a mean a side.
pub type MeanRow = (String, Vec<Option<Mean>>);

/// Of pairs of the base's record and the side's. Errors of the logarithms add as those of independent measurements do.
pub fn mean<'a>(pairs: impl Iterator<Item = (&'a Record, &'a Record)>) -> Option<Mean> {
    // Half a 95 % interval, in logarithms.
    let half = |r: &Record| r.timing().map_or(0.0, |t| (t.high.0 / t.low.0).ln() / 2.0);
    let (mut sum, mut squares, mut cases) = (0.0, 0.0, 0);
    for (base, side) in pairs {
        sum += (median(base) / median(side)).ln();
        squares += half(base).powi(2) + half(side).powi(2);
        cases += 1;
    }
    let count = cases as f64;
    let (mean, half) = (sum / count, squares.sqrt() / count);
    let at = |shift: f64| (mean + shift).exp();
    (cases > 0).then(|| Mean { ratio: at(0.0), low: at(-half), high: at(half), cases })
}

/// The mean of each side over lines.
fn of_lines(lines: &[&Line], base: usize) -> Vec<Option<Mean>> {
    let sides = lines.first().map_or(0, |line| line.best.len());
    let pairs = |i: usize| lines.iter().filter_map(move |l| l.best[base].zip(l.best[i]));
    (0..sides).into_par_iter().map(|i| mean(pairs(i))).collect()
}

/// Whether there is anything beside the base's own 1.
fn says(means: &[Option<Mean>], base: usize) -> bool {
    means.iter().enumerate().any(|(i, mean)| i != base && mean.is_some())
}

/// Lines with the heading of their op, pass, formats, cache and regime.
pub fn by_group<'l, 'a>(lines: &'l [Line<'a>]) -> Vec<(String, Vec<&'l Line<'a>>)> {
    let mut groups: Vec<(String, Vec<&Line>)> = Vec::new();
    for line in lines {
        let Some(record) = line.best.iter().flatten().next() else { continue };
        let group = Group { threads: 1, device: "cpu".into(), ..Group::of(record) };
        let heading = group.heading();
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, members)) => members.push(line),
            None => groups.push((heading, vec![line])),
        }
    }
    groups
}

/// The means of each op.
pub fn by_op(lines: &[Line], base: usize) -> Vec<MeanRow> {
    let means = |(heading, members): (String, Vec<&Line>)| (heading, of_lines(&members, base));
    by_group(lines).into_iter().map(means).filter(|(_, means)| says(means, base)).collect()
}

/// A name, with the regime where it is not the usual one: burst and sustained are two different speeds of a machine.
fn under(name: &str, regime: Regime) -> String {
    match regime {
        Regime::Burst => name.to_owned(),
        Regime::Sustained => format!("{name}, {}", regime.name()),
    }
}

/// The means of each model, over its products and attention, burst and sustained apart.
pub fn by_model(lines: &[Line], base: usize) -> Vec<MeanRow> {
    let mut models: BTreeMap<(&str, Regime), Vec<&Line>> = BTreeMap::new();
    for line in lines {
        let parts = line.best.iter().flatten().flat_map(|record| record.model.split(';'));
        let mut names: Vec<&str> = parts.filter_map(|part| Some(part.split_once(':')?.0)).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            models.entry((name, line.case.regime)).or_default().push(line);
        }
    }
    let means = |((name, regime), members): ((&str, Regime), Vec<&Line>)| {
        (under(name, regime), of_lines(&members, base))
    };
    models.into_iter().map(means).filter(|(_, means)| says(means, base)).collect()
}

/// A kernel under a regime, and its rows: one for each case and thread count, by side.
type Rows<'a> = ((&'a str, Regime), Vec<Vec<Option<&'a Record>>>);

/// The means of each kernel over cases that it did with as many threads on both, burst and sustained apart.
pub fn by_kernel(sides: &[Side], base: usize) -> Vec<MeanRow> {
    let mut kernels: Vec<Rows> = Vec::new();
    let mut kernel_at: HashMap<(&str, Regime), usize> = HashMap::new();
    let mut row_at: HashMap<(&str, Case), usize, RandomState> = HashMap::default();
    for (i, side) in sides.iter().enumerate() {
        let measured = side.records.iter().copied().filter(|r| r.timing().is_some());
        for record in measured.filter(|r| r.case.problem.family() != Family::Peak) {
            let kernel = (record.kernel.as_str(), record.case.regime);
            let at = *kernel_at.entry(kernel).or_insert_with(|| {
                kernels.push((kernel, Vec::new()));
                kernels.len() - 1
            });
            let rows = &mut kernels[at].1;
            let row = *row_at.entry((kernel.0, record.case)).or_insert_with(|| {
                rows.push(vec![None; sides.len()]);
                rows.len() - 1
            });
            rows[row][i] = Some(record);
        }
    }
    let means = |((kernel, regime), rows): Rows| {
        let side = |i: usize| mean(rows.iter().filter_map(|row| row[base].zip(row[i])));
        (under(kernel, regime), (0..sides.len()).into_par_iter().map(side).collect::<Vec<_>>())
    };
    kernels.into_iter().map(means).filter(|(_, means)| says(means, base)).collect()
}

/// The cases that a side lacks, each with the reason.
pub fn missing(side: &Side, i: usize, lines: &[Line]) -> Vec<(String, String)> {
    let mut others: HashMap<Case, &Record, RandomState> = HashMap::default();
    for record in side.records.iter().filter(|r| r.timing().is_none()) {
        others.entry(unthreaded(record.case)).or_insert(record);
    }
    let said = |record: &&Record| {
        format!("{} {}: {}", record.kernel, record.outcome.status(), record.outcome.detail())
    };
    let lacking = lines.iter().filter(|line| line.best[i].is_none());
    lacking
        .map(|line| {
            let case = unthreaded(line.case);
            let reason = others.get(&case).map(said);
            (case.key(), reason.unwrap_or_else(|| "not in its run".to_owned()))
        })
        .collect()
}
