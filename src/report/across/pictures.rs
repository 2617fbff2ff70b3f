//! The pictures of a comparison, in the order of its pages.

use super::matrix::{Line, MeanRow, by_group};
use super::{Comparison, curves, spread, worth};
use crate::error::Result;
use crate::report::canvas::Picture;
use crate::report::chart::Chart;
use crate::report::compare::median;
use crate::report::draw::picture;
use crate::report::heat::Heat;

/// The most rows of a heat map of cases.
const ROWS: usize = 40;

/// The pictures of one kind.
pub struct Kind {
    /// What they show.
    pub title: &'static str,
    /// At least one.
    pub pictures: Vec<Picture>,
}

/// Every picture that there is data for.
///
/// # Errors
/// Only if the drawing library fails, which it has no reason to when it writes to memory.
pub fn pictures(all: &Comparison) -> Result<Vec<Kind>> {
    let drawn = |charts: Vec<Chart>| charts.iter().map(picture).collect::<Result<Vec<_>>>();
    let growths = || all.growths.iter();
    let kinds = [
        ("Ratios of kernels and cases", heats(all)?),
        ("Throughput by model size", drawn(curves::throughput(all))?),
        ("Time against size", drawn(growths().filter_map(|g| curves::scaling(all, g)).collect())?),
        ("Memory against size", drawn(growths().filter_map(|g| curves::memory(all, g)).collect())?),
        ("Rooflines", drawn(curves::rooflines(all))?),
        ("Variability", drawn(spread::spread(all).into_iter().collect())?),
        ("Price and energy", {
            let bars = worth::bars(all);
            let mut pictures = bars.iter().map(|b| b.picture()).collect::<Result<Vec<_>>>()?;
            pictures.extend(drawn(worth::energy(all).into_iter().collect())?);
            pictures
        }),
    ];
    let kinds = kinds.into_iter().filter(|(_, pictures)| !pictures.is_empty());
    Ok(kinds.map(|(title, pictures)| Kind { title, pictures }).collect())
}

/// Kernels against machines, and the cases of each op against machines.
fn heats(all: &Comparison) -> Result<Vec<Picture>> {
    let others: Vec<usize> = (0..all.sides.len()).filter(|i| *i != all.base).collect();
    let name = |i: &usize| all.sides[*i].name.clone();
    let base = &all.sides[all.base].name;
    let mut found = Vec::new();
    let row = |(name, means): &MeanRow| {
        (name.clone(), others.iter().map(|i| means[*i].map(|mean| mean.ratio)).collect())
    };
    if !all.by_kernel.is_empty() {
        found.push(Heat {
            name: "ratios-kernels".to_owned(),
            title: "speed of kernels against the base".to_owned(),
            caption: format!(
                "Geometric means over the cases that {base} measured too, with the same kernel and as many threads; above 1 is faster."
            ),
            columns: others.iter().map(name).collect(),
            rows: all.by_kernel.iter().map(row).collect(),
        });
    }
    for (heading, lines) in by_group(&all.lines) {
        let compared = |line: &&&Line| {
            line.best[all.base].is_some() && others.iter().any(|i| line.best[*i].is_some())
        };
        let lines: Vec<&Line> = lines.iter().filter(compared).copied().collect();
        if lines.is_empty() {
            continue;
        }
        // A machine that measured none of these is left out: its column would be empty.
        let measured = |i: &&usize| lines.iter().any(|line| line.best[**i].is_some());
        let columns: Vec<usize> = others.iter().filter(measured).copied().collect();
        // Evenly from the least work to the most, both ends among them.
        let count = lines.len().min(ROWS);
        let at = |i: usize| if count < 2 { 0 } else { i * (lines.len() - 1) / (count - 1) };
        let row = |line: &Line| {
            let base = line.best[all.base].map(median);
            let ratio = |i: &usize| Some(base? / median(line.best[*i]?));
            (line.case.sizes(), columns.iter().map(ratio).collect())
        };
        let some = match lines.len() > ROWS {
            true => {
                format!(" {ROWS} of {} cases, evenly from the least work to the most.", lines.len())
            }
            false => String::new(),
        };
        found.push(Heat {
            name: format!("ratios-{}", curves::slug_of(&lines)),
            title: format!("{heading}: speed against the base"),
            caption: format!(
                "The fastest right answer of each machine over that of {base}, whatever kernel and thread count gave it; above 1 is faster.{some}"
            ),
            columns: columns.iter().map(name).collect(),
            rows: (0..count).map(|i| row(lines[at(i)])).collect(),
        });
    }
    found.iter().map(Heat::picture).collect()
}
