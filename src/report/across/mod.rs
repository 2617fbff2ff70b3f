//! Several runs side by side: which machine is faster at what, by how much, and what cannot be said.
//!
//! A run takes part once for each device that it measured. A case is compared whatever its thread count, by the fastest right
//! answer of each side: what the machine gives, not what a kernel does on it; kernels are compared in a table of their own, at equal
//! thread counts. Only cases that both sides measured count; what one of them lacks is counted and named.

mod curves;
mod grid;
mod growth;
mod machines;
mod markdown;
mod matrix;
mod page;
mod pictures;
mod spread;
#[cfg(test)]
mod tests;
mod worth;

use std::collections::HashMap;

use rayon::prelude::*;

use super::layout::shorten;
use super::palette::Look;
use crate::record::Record;
use crate::units::Bytes;
use growth::{Growth, growths};
pub use markdown::markdown;
use matrix::{Line, MeanRow, by_kernel, lines};
pub use page::page;
pub use pictures::{Kind, pictures};

/// The records of a run on one of its devices.
#[derive(Debug, Clone, Default)]
pub struct Side<'a> {
    /// What it is called; no two are called alike.
    pub name: String,
    /// The machine, as (label, value).
    pub facts: &'a [(String, String)],
    /// All of its records on that device.
    pub records: Vec<&'a Record>,
    /// Joules of a launch by `record_id`, where they were measured.
    pub energy: HashMap<u64, f64>,
    /// Memory of the machine or the GPU.
    pub capacity: Option<Bytes>,
    /// What an hour of it costs, in a currency that is the same for all.
    pub price: Option<f64>,
}

/// The most sides that have a line in charts: more cannot be told apart.
const LINES: usize = 12;
/// The longest name of a side in a legend, in letters.
const SHORT: usize = 48;

/// A side that has a line in charts, and how it looks.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    side: usize,
    look: Look,
}

/// Several sides, and all that is said of them. Ratios are speeds over those of side `base`: above 1 is faster than it.
pub struct Comparison<'a> {
    sides: Vec<Side<'a>>,
    base: usize,
    params: &'a dyn Fn(&str) -> Option<f64>,
    lines: Vec<Line<'a>>,
    by_kernel: Vec<MeanRow>,
    growths: Vec<Growth<'a>>,
    drawn: Vec<Drawn>,
}

impl<'a> Comparison<'a> {
    /// Compares sides with that of index `base`; `params` leads from a model's name to its number of parameters.
    pub fn new(
        sides: Vec<Side<'a>>,
        base: usize,
        params: &'a dyn Fn(&str) -> Option<f64>,
    ) -> Comparison<'a> {
        let (growths, (lines, by_kernel)) = rayon::join(
            || growths(&sides),
            || rayon::join(|| lines(&sides), || by_kernel(&sides, base)),
        );
        let drawn = drawn(&lines, sides.len(), base);
        Comparison { sides, base, params, lines, by_kernel, growths, drawn }
    }

    /// A side's name, as short as a legend wants it.
    fn short(&self, side: usize) -> String {
        shorten(&self.sides[side].name, SHORT)
    }

    /// What a chart's caption says of sides that it leaves out.
    fn left_out(&self) -> String {
        match self.sides.len() {
            all if all > self.drawn.len() => {
                let others = self.drawn.len() - 1;
                format!(" Drawn are the base and the {others} fastest of {all}; tables have all.")
            }
            _ => String::new(),
        }
    }
}

/// The sides that charts have room for: the base and the fastest others by their mean over all that they share with it, in their order.
fn drawn(lines: &[Line], sides: usize, base: usize) -> Vec<Drawn> {
    let speed = |i: usize| {
        let mean = matrix::mean(lines.iter().filter_map(|l| l.best[base].zip(l.best[i])));
        mean.map_or(0.0, |mean| mean.ratio)
    };
    let mut others: Vec<(usize, f64)> =
        (0..sides).into_par_iter().filter(|i| *i != base).map(|i| (i, speed(i))).collect();
    others.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut chosen: Vec<usize> = others.iter().take(LINES - 1).map(|(i, _)| *i).collect();
    chosen.push(base);
    chosen.sort_unstable();
    let look = |(at, side): (usize, usize)| Drawn { side, look: Look::nth(at, true) };
    chosen.into_iter().enumerate().map(look).collect()
}
