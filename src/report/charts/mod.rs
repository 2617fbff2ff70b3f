//! The charts of a report, one function each: records in, a [`Chart`](super::chart::Chart) out, or nothing where there is
//! nothing to show.

mod counters;
mod memory;
mod optimizer;
mod roofline;
mod scaling;
mod throughput;

pub use counters::counters;
pub use memory::memory;
pub use optimizer::optimizer;
pub use roofline::roofline;
pub use scaling::scaling;
pub use throughput::{models, parts, throughput};

use super::axis::{Axis, Unit};
use super::chart::{Entry, Point, Series};
use super::group::{Group, short};
use super::palette::Look;
use super::sweep::{LEAST_SIZES, Line};
use super::{Fit, Law};
use crate::ops::Family;
use crate::record::Record;

/// The law of a line's times, where it has sizes enough.
pub fn law_of(line: &Line, fit: Fit) -> Option<Law> {
    let times = line.times();
    if times.len() < LEAST_SIZES { None } else { fit(&times).filter(Law::is_finite) }
}

/// Puts ours before baselines and both before reference lines, each in their own order.
fn sort_legend(legend: &mut [Entry]) {
    legend.sort_by_key(|e| e.look.map_or(2, |look| u8::from(!look.own)));
}

/// A median with its interval, in seconds.
fn time_point(size: f64, record: &Record) -> Option<Point> {
    let timing = record.timing()?;
    let interval = Some((timing.low.secs(), timing.high.secs()));
    Some(Point { interval, ..Point::new(size, timing.median.secs()) })
}

/// Times with their intervals, and the fitted law as the line (or straight lines from point to point without one).
pub fn time_series(line: &Line, law: Option<&Law>, look: Look) -> Series {
    let points: Vec<Point> =
        line.points.iter().filter_map(|(size, record)| time_point(*size, record)).collect();
    let curve = match (law, points.first(), points.last()) {
        (Some(law), Some(first), Some(last)) => {
            let step = (last.x / first.x).powf(1.0 / 16.0);
            let at = |i: i32| first.x * step.powi(i);
            (0..=16).map(|i| (at(i), law.predict(at(i)))).filter(|(_, t)| *t > 0.0).collect()
        }
        _ => points.iter().map(|p| (p.x, p.y)).collect(),
    };
    Series { look, points, line: curve }
}

/// Ticks at the sizes themselves where they are few, small and whole; else at round numbers.
pub fn ticks_at_sizes(axis: Axis, sizes: &[f64]) -> Axis {
    let mut distinct = sizes.to_vec();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    if distinct.len() <= 12 && distinct.iter().all(|s| *s < 1e5) {
        return Axis { unit: Unit::Number, ..axis.with_ticks(distinct) };
    }
    axis
}

/// A kernel's name in a chart: short where the title says the family.
fn label(kernel: &str, family: Option<Family>) -> String {
    match family {
        Some(family) if kernel.split('/').next() == Some(family.name()) => short(kernel).to_owned(),
        _ => kernel.to_owned(),
    }
}

/// `attention forward: time against seq (f32, 1 thread, warm)`.
fn title(group: &Group, what: &str) -> String {
    format!("{}: {what} ({})", group.what(), group.conditions())
}
