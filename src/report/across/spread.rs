//! How much times vary on each machine.

use super::Comparison;
use crate::ops::Family;
use crate::record::{Record, Timing};
use crate::report::axis::{Axis, Scale, Unit};
use crate::report::chart::{Chart, Entry, Panel, Series, Subject};
use crate::stats::quantile;

/// Less than this is drawn as this, in per cent: clocks tell no more.
const LEAST: f64 = 0.01;
/// Points of a curve.
const STEPS: usize = 50;

/// What is asked of a record's times, in per cent.
type Ask = fn(&Timing) -> f64;

const ASKED: [(&str, Ask); 2] = [
    ("slowest 5 % of samples over the median", |t| 100.0 * (t.p95.0 / t.median.0 - 1.0)),
    ("half of the 95 % interval over processes", |t| 100.0 * t.relative_half_width()),
];

/// The shares of records that vary by no more than so much, a curve a side; `None` where nothing was measured.
pub fn spread(all: &Comparison) -> Option<Chart> {
    let mut panels = Vec::new();
    let mut legend: Vec<Entry> = Vec::new();
    let mut ends = Vec::new();
    for (title, ask) in ASKED {
        let mut panel = Panel { title: title.to_owned(), ..Panel::default() };
        for drawn in &all.drawn {
            let records = all.sides[drawn.side].records.iter();
            let shares: Vec<f64> = values(records.copied(), ask);
            let Some(line) = curve(&shares) else { continue };
            ends.extend(line.iter().map(|point| point.0));
            panel.series.push(Series { look: drawn.look, points: Vec::new(), line });
            let label = all.short(drawn.side);
            if legend.iter().all(|entry| entry.label != label) {
                let median = quantile(&shares, 0.5).unwrap_or(0.0);
                let detail = format!("half are within {median:.1} %");
                legend.push(Entry { look: Some(drawn.look), label, detail });
            }
        }
        panels.push(panel);
    }
    let x = Axis::fit("variation (per cent, log scale)", Scale::Log, Unit::Number, ends)?;
    let y = Axis::fit("records within it (per cent)", Scale::Linear, Unit::Number, [100.0])?;
    Some(Chart {
        name: "variability".to_owned(),
        title: "variability of times".to_owned(),
        caption: format!(
            "The share of a machine's records whose times vary by no more than so much; further left is steadier. Times are medians of the \
             faster half of samples, so that the left panel can begin above nothing.{}",
            all.left_out()
        ),
        x: x.with_at_most(6),
        y,
        columns: panels.len(),
        panels,
        names: Vec::new(),
        legend,
        subject: Subject::Machines,
    })
}

fn values<'a>(records: impl Iterator<Item = &'a Record>, ask: Ask) -> Vec<f64> {
    let kernels = records.filter(|r| r.case.problem.family() != Family::Peak);
    let mut values: Vec<f64> =
        kernels.filter_map(|r| r.timing()).map(ask).filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Values against the share of those that are no greater, at steps of even shares.
fn curve(values: &[f64]) -> Option<Vec<(f64, f64)>> {
    let at = |i: usize| {
        let share = i as f64 / STEPS as f64;
        Some((quantile(values, share)?.max(LEAST), 100.0 * share))
    };
    (0..=STEPS).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_runs_from_the_least_to_the_greatest_value() {
        let line = curve(&[0.001, 1.0, 2.0, 3.0, 9.0]).unwrap();
        assert_eq!((line[0], line[STEPS]), ((LEAST, 0.0), (9.0, 100.0)));
        assert!(line.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 < w[1].1));
        assert_eq!(curve(&[]), None);
    }
}
