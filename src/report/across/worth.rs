//! Work per unit of currency and per joule, against the base.

use super::matrix::{Line, Mean, MeanRow, by_group, mean};
use super::{Comparison, Side};
use crate::ops::Regime;
use crate::record::Record;
use crate::report::axis::{Axis, Scale, Unit};
use crate::report::bars::{Bar, Bars};
use crate::report::chart::{Chart, Entry, Panel, Point, Series, Subject, extent};
use crate::report::compare::geomean;
use crate::report::group::memory_bound;
use crate::units::{Bytes, Flops};

/// What work is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// A unit of the currency of `--price`.
    Currency,
    /// A joule, as a GPU counted them.
    Joule,
}

impl Per {
    /// Both.
    pub const ALL: [Per; 2] = [Per::Currency, Per::Joule];

    /// `unit of currency` or `joule`.
    pub fn name(self) -> &'static str {
        match self {
            Per::Currency => "unit of currency",
            Per::Joule => "joule",
        }
    }

    /// How it is come by.
    pub fn what(self) -> &'static str {
        match self {
            Per::Currency => {
                "Speeds over prices: what a machine costs for the time that a case takes it."
            }
            Per::Joule => {
                "The energy of a launch as the GPU itself counts it, over seconds of the same work; of records in which it was measured."
            }
        }
    }

    /// What one launch of the record takes of it.
    fn of(self, side: &Side, record: &Record) -> Option<f64> {
        let taken = match self {
            Per::Currency => side.price? / 3600.0 * record.timing()?.median.secs(),
            Per::Joule => *side.energy.get(&record.record_id)?,
        };
        (taken.is_finite() && taken > 0.0).then_some(taken)
    }

    /// The lines in which the base and another side have it.
    fn lines<'l, 'a>(
        self,
        all: &Comparison,
        lines: &[&'l Line<'a>],
        side: usize,
    ) -> Vec<&'l Line<'a>> {
        let of = |line: &Line, i: usize| self.of(&all.sides[i], line.best[i]?);
        let both = |line: &&&Line| of(line, all.base).is_some() && of(line, side).is_some();
        lines.iter().filter(both).copied().collect()
    }

    /// The mean of what the base takes over what a side takes.
    fn mean(self, all: &Comparison, lines: &[&Line], side: usize) -> Option<Mean> {
        let lines = self.lines(all, lines, side);
        let speed = mean(lines.iter().filter_map(|l| l.best[all.base].zip(l.best[side])))?;
        let of = |line: &&Line, i: usize| line.best[i].and_then(|r| self.of(&all.sides[i], r));
        let ratio = geomean(lines.iter().filter_map(|l| Some(of(l, all.base)? / of(l, side)?)))?;
        let width = match self {
            // A price is exact: the interval is that of the speeds.
            Per::Currency => (speed.low / speed.ratio, speed.high / speed.ratio),
            // A counter of energy tells no interval.
            Per::Joule => (1.0, 1.0),
        };
        Some(Mean { ratio, low: ratio * width.0, high: ratio * width.1, cases: speed.cases })
    }

    /// The geometric mean of the work of a launch over what it takes, on one side.
    fn work(self, all: &Comparison, lines: &[&Line], side: usize) -> Option<String> {
        let records: Vec<&Record> = lines.iter().filter_map(|line| line.best[side]).collect();
        let bytes = memory_bound(records.first()?);
        let rate = |record: &&Record| {
            let cost = record.case.cost();
            let work = if bytes { cost.bytes.0 } else { cost.flops.0 };
            Some(work as f64 / self.of(&all.sides[side], record)?)
        };
        let mean = geomean(records.iter().filter_map(rate)).filter(|x| *x < u64::MAX as f64)?;
        Some(if bytes { Bytes(mean as u64).to_string() } else { Flops(mean as u64).to_string() })
    }
}

/// A table of work: a row an op, with the base's own work and the ratio of each side to it.
pub struct Worth {
    /// What work is held against.
    pub per: Per,
    /// The op, and what the base does.
    pub base: Vec<String>,
    /// The op, and the means, by side.
    pub rows: Vec<MeanRow>,
}

/// What there is to say on prices and on energy.
pub fn worth(all: &Comparison) -> Vec<Worth> {
    let of = |per: Per| {
        let (mut base, mut rows): (Vec<String>, Vec<MeanRow>) = (Vec::new(), Vec::new());
        for (heading, lines) in by_group(&all.lines) {
            let Some(work) = per.work(all, &lines, all.base) else { continue };
            let means = (0..all.sides.len()).map(|i| per.mean(all, &lines, i)).collect();
            base.push(work);
            rows.push((heading, means));
        }
        (!rows.is_empty()).then_some(Worth { per, base, rows })
    };
    Per::ALL.into_iter().filter_map(of).collect()
}

/// A picture of bars for each of prices and energy and each regime: all cases together.
pub fn bars(all: &Comparison) -> Vec<Bars> {
    let mut found = Vec::new();
    for per in Per::ALL {
        for regime in [Regime::Burst, Regime::Sustained] {
            let lines: Vec<&Line> =
                all.lines.iter().filter(|line| line.case.regime == regime).collect();
            let bar = |i: usize| {
                let mean = per.mean(all, &lines, i)?;
                let name = all.sides[i].name.clone();
                let text = if i == all.base { "1 (base)".to_owned() } else { mean.to_string() };
                Some(Bar { name, value: mean.ratio, interval: (mean.low, mean.high), text })
            };
            let bars: Vec<Bar> = (0..all.sides.len()).filter_map(bar).collect();
            if bars.len() < 2 {
                continue;
            }
            let slug = per.name().replace(' ', "-");
            found.push(Bars {
                name: format!("work-per-{slug}-{}", regime.name()),
                title: format!("work per {} against the base ({})", per.name(), regime.name()),
                caption: format!(
                    "Geometric means over all cases that both measured; longer is better. The lines are 95 % intervals, the dashed one is \
                     the base. {}",
                    per.what()
                ),
                mark: 1.0,
                bars,
            });
        }
    }
    found
}

/// Work per joule against the work of a launch, a point a case: a chart where energy was measured.
pub fn energy(all: &Comparison) -> Option<Chart> {
    let (mut panel, mut legend) = (Panel::default(), Vec::new());
    for drawn in &all.drawn {
        let side = &all.sides[drawn.side];
        let point = |line: &Line| {
            let record = line.best[drawn.side].filter(|r| !memory_bound(r))?;
            let flops = record.case.cost().flops.0 as f64;
            let joules = Per::Joule.of(side, record)?;
            Some(Point::new(flops, flops / joules / 1e9))
        };
        let points: Vec<Point> = all.lines.iter().filter_map(point).collect();
        if !points.is_empty() {
            let label = all.short(drawn.side);
            legend.push(Entry { look: Some(drawn.look), label, detail: String::new() });
            panel.series.push(Series { look: drawn.look, points, line: Vec::new() });
        }
    }
    let (xs, ys) = extent(std::slice::from_ref(&panel));
    let x = Axis::fit("work of a launch (flop, log scale)", Scale::Log, Unit::Count, xs)?;
    let y = Axis::fit("work per joule (Gflop, log scale)", Scale::Log, Unit::Number, ys)?;
    Some(Chart {
        name: "energy".to_owned(),
        title: "work per joule".to_owned(),
        caption: format!(
            "A point a product or attention by the machine's fastest kernel, from energy that the GPU itself counted.{}",
            all.left_out()
        ),
        x,
        y,
        panels: vec![panel],
        columns: 1,
        names: Vec::new(),
        legend,
        subject: Subject::Machines,
    })
}
