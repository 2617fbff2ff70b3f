//! How time and memory grow with a size on each side, and whether they grow as theory claims.

use rayon::prelude::*;

use super::{Comparison, Side};
use crate::ops::{Pass, Problem};
use crate::record::Record;
use crate::report::Law;
use crate::report::group::{Group, threads};
use crate::report::sweep::{Line, sweeps};
use crate::report::tables::dash;
use crate::stats::claim::{Claimed, claim};

/// One size that grows, on every side that measured enough of it.
#[derive(Debug, Clone)]
pub struct Growth<'a> {
    /// The op, pass, formats, cache and regime.
    pub heading: String,
    /// The stem of file names.
    pub slug: String,
    /// The size that grows, e.g. `m = n = k`.
    pub parameter: &'static str,
    /// What it counts.
    pub unit: &'static str,
    /// The sizes that stay.
    pub fixed: String,
    /// The exponent that theory claims for the work.
    pub claimed: f64,
    /// A curve a side, by side.
    pub curves: Vec<Curve<'a>>,
}

/// The growth on one side: of the kernel and the thread count that were fastest at the largest size, so that no change of kernels bends it.
#[derive(Debug, Clone)]
pub struct Curve<'a> {
    /// The side.
    pub side: usize,
    /// Its threads.
    pub threads: usize,
    /// Kernel and points.
    pub line: Line<'a>,
    /// What became of the claim, and the law that says so.
    pub law: Option<(Claimed, Law)>,
}

impl Curve<'_> {
    /// The record of the largest size, and the size.
    pub fn last(&self) -> (f64, &Record) {
        self.line.points[self.line.points.len() - 1]
    }

    /// What became of the claim, in words.
    pub fn verdict(&self) -> Option<String> {
        let (claimed, _) = self.law.as_ref()?;
        let least = self.line.points[0].0;
        Some(match claimed {
            Claimed::From(size) if *size <= least => "holds at all sizes".to_owned(),
            Claimed::From(size) => format!("holds from {size:.0} on"),
            Claimed::Rejected => "does not hold over these sizes".to_owned(),
            Claimed::Undecided => "undecided".to_owned(),
        })
    }
}

/// The exponent of the size in the least work of the op: 3 for a square product, 2 for attention over the length of a sequence, else 1.
fn order(record: &Record, parameter: &str) -> f64 {
    match record.case.problem {
        Problem::Matmul(_) if parameter == "m = n = k" => 3.0,
        Problem::Attention(_) if record.case.pass != Pass::Decode && parameter == "seq" => 2.0,
        _ => 1.0,
    }
}

/// `O(n²)`.
pub fn big_o(order: f64) -> &'static str {
    match order {
        3.0 => "O(n³)",
        2.0 => "O(n²)",
        _ => "O(n)",
    }
}

/// The sweeps of all sides; those of one op, pass, formats, cache, regime and fixed sizes together.
pub fn growths<'a>(sides: &[Side<'a>]) -> Vec<Growth<'a>> {
    let mut found: Vec<Growth> = Vec::new();
    let swept: Vec<_> = sides.par_iter().map(|of| sweeps(of.records.iter().copied())).collect();
    for (side, of) in swept.into_iter().enumerate() {
        for sweep in of {
            let group = Group { threads: 1, device: "cpu".into(), ..sweep.group.clone() };
            let heading = group.heading();
            for line in sweep.lines.into_iter().filter(Line::is_sweep) {
                let same = |g: &Growth| {
                    (&g.heading, g.parameter, &g.fixed) == (&heading, sweep.parameter, &sweep.fixed)
                };
                let at = found.iter().position(same).unwrap_or_else(|| {
                    found.push(Growth {
                        heading: heading.clone(),
                        slug: format!("{}{}", group.slug().replacen("-t1", "", 1), sweep.suffix),
                        parameter: sweep.parameter,
                        unit: sweep.unit,
                        fixed: sweep.fixed.clone(),
                        claimed: order(line.points[0].1, sweep.parameter),
                        curves: Vec::new(),
                    });
                    found.len() - 1
                });
                let curve = Curve { side, threads: sweep.group.threads, line, law: None };
                let curves = &mut found[at].curves;
                match curves.last_mut().filter(|known| known.side == side) {
                    Some(known) if further(&curve, known) => *known = curve,
                    Some(_) => {}
                    None => curves.push(curve),
                }
            }
        }
    }
    let curves = found.par_iter_mut().flat_map(|growth| {
        let claimed = growth.claimed;
        growth.curves.par_iter_mut().map(move |curve| (claimed, curve))
    });
    curves.for_each(|(order, curve)| {
        let tested = claim(&curve.line.times(), order);
        curve.law = tested.map(|(claimed, law)| (claimed, law.into()));
    });
    // Two sweeps of one name (as of other fixed sizes) must not write one file.
    for i in 1..found.len() {
        let alike = found[..i].iter().filter(|g| g.slug == found[i].slug).count();
        if alike > 0 {
            found[i].slug = format!("{}-{}", found[i].slug, alike + 1);
        }
    }
    found
}

/// Whether a curve reaches a larger size than another, or is faster at the same.
fn further(new: &Curve, known: &Curve) -> bool {
    let (new, known) = (new.last(), known.last());
    let time = |record: &Record| record.timing().map_or(f64::INFINITY, |t| t.median.0);
    new.0 > known.0 || new.0 == known.0 && time(new.1) < time(known.1)
}

/// What stands above the table of growth.
pub const GROWTH: &str = "Exponent p of t = a + b·nᵖ with its 95 % interval, by the kernel and thread count that were fastest at a machine's largest \
    size. A claimed order holds where the interval lies within 0.1 of it, from the size on at which the growth outweighs the fixed cost; it \
    does not where the interval lies outside, and is undecided otherwise.";

/// A row a size that grows and a side: the cells of [`growth_table`].
pub fn growth_rows(all: &Comparison) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for growth in &all.growths {
        for (i, curve) in growth.curves.iter().enumerate() {
            let (largest, record) = curve.last();
            let memory = match (record.allocated, all.sides[curve.side].capacity) {
                (Some(needs), Some(has)) if has.0 > 0 => {
                    format!("{needs} of {has}")
                }
                (Some(needs), _) => needs.to_string(),
                _ => dash(),
            };
            let of = format!("{}, {}", growth.heading, growth.parameter);
            rows.push(vec![
                if i == 0 { of } else { String::new() },
                if i == 0 { big_o(growth.claimed).to_owned() } else { String::new() },
                all.sides[curve.side].name.clone(),
                format!("{}, {}", curve.line.kernel, threads(curve.threads)),
                curve.line.points.len().to_string(),
                curve.law.map_or_else(dash, |(_, law)| law.exponent()),
                curve.verdict().unwrap_or_else(dash),
                format!("{largest:.0}"),
                memory,
            ]);
        }
    }
    rows
}

/// The columns of [`growth_rows`]; a space at the end aligns right.
pub const GROWTH_COLUMNS: [&str; 9] = [
    "what grows",
    "claim",
    "machine",
    "kernel",
    "sizes ",
    "exponent ",
    "claim holds",
    "largest ",
    "memory there ",
];
