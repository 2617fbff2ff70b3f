//! Charts with a line a machine: throughput by model size, time and memory against size, rooflines laid over each other.

use super::growth::{Curve, Growth};
use super::matrix::{Line, by_group};
use super::{Comparison, Drawn, Side};
use crate::ops::{Family, ProbeKind, Problem};
use crate::record::Record;
use crate::report::axis::{Axis, Scale, Unit};
use crate::report::chart::{Chart, Entry, Panel, Point, Series, Subject, extent, joined};
use crate::report::charts::{models, parts, ticks_at_sizes, time_series};
use crate::report::group::{Group, short, slug, threads};
use crate::report::palette::Look;
use crate::units::{ByteRate, FlopRate};

/// Throughput by model size: a chart an op, a line a side; of the fastest right answers, whatever kernel and thread count gave them.
pub fn throughput(all: &Comparison) -> Vec<Chart> {
    let of = |(heading, lines): (String, Vec<&Line>)| throughput_of(all, &heading, &lines);
    by_group(&all.lines).into_iter().filter_map(of).collect()
}

fn throughput_of(all: &Comparison, heading: &str, lines: &[&Line]) -> Option<Chart> {
    let family = lines.first()?.case.problem.family();
    if !matches!(family, Family::Matmul | Family::Attention) {
        return None;
    }
    let mut known: Vec<(&str, f64)> = Vec::new();
    for record in lines.iter().flat_map(|line| line.best.iter().flatten()) {
        for model in models(record) {
            if known.iter().all(|(name, _)| *name != model)
                && let Some(count) = (all.params)(model).filter(|c| c.is_finite() && *c > 0.0)
            {
                known.push((model, count));
            }
        }
    }
    known.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut chart = Parts::default();
    for drawn in &all.drawn {
        let mut points = Vec::new();
        for (model, count) in &known {
            let (mut flops, mut secs, mut done, mut most) = (0.0, 0.0, 0, 0);
            for line in lines {
                // Runs of several suites may tell a case's models in part.
                let weight = line.best.iter().flatten().map(|r| parts(r, model)).max().unwrap_or(0);
                most += usize::from(weight > 0);
                if let Some(record) = line.best[drawn.side].filter(|_| weight > 0)
                    && let Some(timing) = record.timing()
                {
                    flops += weight as f64 * record.case.cost().flops.0 as f64;
                    secs += weight as f64 * timing.median.secs();
                    done += 1;
                }
            }
            if secs > 0.0 {
                let partial = done < most;
                points.push(Point { partial, ..Point::new(*count, flops / secs / 1e9) });
            }
        }
        if !points.is_empty() {
            chart.add(all, drawn, String::new(), joined(drawn.look, points));
        }
    }
    let (xs, ys) = extent(std::slice::from_ref(&chart.panel));
    let partial = chart.panel.series.iter().flat_map(|s| &s.points).any(|p| p.partial);
    let (best, least) = ys.iter().fold((0.0, f64::INFINITY), |(b, l), y| (y.max(b), y.min(l)));
    let scale = if best > 30.0 * least { Scale::Log } else { Scale::Linear };
    let suffix = if scale == Scale::Log { ", log scale" } else { "" };
    let x = Axis::fit("parameters of the model (count, log scale)", Scale::Log, Unit::Count, xs)?;
    let y = Axis::fit(format!("throughput (GFLOP/s{suffix})"), scale, Unit::Number, ys)?;
    let small = if partial {
        " A small point stands for a machine that did only some of the model's cases."
    } else {
        ""
    };
    Some(Chart {
        name: format!("throughput-{}", slug_of(lines)),
        title: format!("{heading}: throughput by model size"),
        caption: format!(
            "All flops of a model's cases over all the time that they took, each case by the machine's fastest kernel and \
             thread count; higher is better.{small}{}",
            all.left_out()
        ),
        x,
        y,
        panels: vec![chart.panel],
        columns: 1,
        names: known.iter().map(|(name, count)| (*count, (*name).to_owned())).collect(),
        legend: chart.legend,
        subject: Subject::Machines,
    })
}

/// The stem of file names for the lines of one group.
pub fn slug_of(lines: &[&Line]) -> String {
    let record = lines.iter().flat_map(|line| line.best.iter().flatten()).next();
    record.map_or_else(String::new, |record| {
        let group = Group { threads: 1, device: "cpu".into(), ..Group::of(record) };
        group.slug().replacen("-t1", "", 1)
    })
}

/// A panel and its legend, as they grow.
#[derive(Default)]
struct Parts {
    panel: Panel,
    legend: Vec<Entry>,
}

impl Parts {
    fn add(&mut self, all: &Comparison, drawn: &Drawn, detail: String, series: Series) {
        self.legend.push(entry(all, drawn, detail));
        self.panel.series.push(series);
    }

    /// The axis of sizes, with ticks where anything is drawn.
    fn sizes(&self, growth: &Growth) -> Option<Axis> {
        let (xs, _) = extent(std::slice::from_ref(&self.panel));
        let label = format!("{} ({}, log scale)", growth.parameter, growth.unit);
        Some(ticks_at_sizes(Axis::fit(label, Scale::Log, Unit::Count, xs.iter().copied())?, &xs))
    }

    /// `what` ("time") against the size; `name` begins the file's name.
    fn chart(
        self,
        all: &Comparison,
        growth: &Growth,
        (name, what, caption): (&str, &str, &str),
        (x, y): (Axis, Axis),
    ) -> Chart {
        let fixed = match growth.fixed.is_empty() {
            true => String::new(),
            false => format!("Only {} grows; {} stays. ", growth.parameter, growth.fixed),
        };
        Chart {
            name: format!("{name}-{}", growth.slug),
            title: format!("{}: {what} against {}", growth.heading, growth.parameter),
            caption: format!("{fixed}{caption}{}", all.left_out()),
            x,
            y,
            panels: vec![self.panel],
            columns: 1,
            names: Vec::new(),
            legend: self.legend,
            subject: Subject::Machines,
        }
    }
}

fn entry(all: &Comparison, drawn: &Drawn, detail: String) -> Entry {
    let base = if drawn.side == all.base { " (base)" } else { "" };
    let label = format!("{}{base}", all.short(drawn.side));
    Entry { look: Some(drawn.look), label, detail }
}

/// The drawn sides of a growth, each with its curve.
fn curves<'c, 'a>(all: &'c Comparison, growth: &'c Growth<'a>) -> Vec<(&'c Drawn, &'c Curve<'a>)> {
    let curve = |drawn: &'c Drawn| {
        growth.curves.iter().find(|c| c.side == drawn.side).map(|curve| (drawn, curve))
    };
    all.drawn.iter().filter_map(curve).collect()
}

/// Time against size with the fitted laws, a line a side.
pub fn scaling(all: &Comparison, growth: &Growth) -> Option<Chart> {
    let mut chart = Parts::default();
    for (drawn, curve) in curves(all, growth) {
        let law = curve.law.map(|(_, law)| law);
        let what = format!("{}, {}", short(curve.line.kernel), threads(curve.threads));
        let detail = law.map_or(what.clone(), |law| format!("p = {}; {what}", law.exponent()));
        chart.add(all, drawn, detail, time_series(&curve.line, law.as_ref(), drawn.look));
    }
    let (_, ys) = extent(std::slice::from_ref(&chart.panel));
    let x = chart.sizes(growth)?;
    let y = Axis::fit("time per launch (seconds, log scale)", Scale::Log, Unit::Seconds, ys)?;
    let caption = "Each machine by the kernel and thread count that were fastest at its largest size. Points are medians with their 95 % \
                   intervals, lines fitted laws t = a + b·nᵖ, by the sizes that the legend's p was fitted to.";
    Some(chart.chart(all, growth, ("scaling", "time", caption), (x, y)))
}

/// Memory against size, a line a side, with what each machine has as a dashed line.
pub fn memory(all: &Comparison, growth: &Growth) -> Option<Chart> {
    let mut chart = Parts::default();
    let mut capacities = Vec::new();
    for (drawn, curve) in curves(all, growth) {
        let needs = curve.line.points.iter().filter_map(|(size, record)| {
            let bytes = record.allocated.filter(|bytes| bytes.0 > 0)?;
            Some(Point::new(*size, bytes.0 as f64))
        });
        let points: Vec<Point> = needs.collect();
        if points.is_empty() {
            continue;
        }
        let capacity = all.sides[drawn.side].capacity.filter(|bytes| bytes.0 > 0);
        let detail = capacity.map_or(String::new(), |bytes| format!("dashed: has {bytes}"));
        capacities.extend(capacity.map(|bytes| (drawn, bytes.0 as f64)));
        chart.add(all, drawn, detail, joined(drawn.look, points));
    }
    let (_, mut ys) = extent(std::slice::from_ref(&chart.panel));
    ys.extend(capacities.iter().map(|(_, bytes)| bytes));
    let x = chart.sizes(growth)?;
    let y = Axis::fit("memory (bytes, log scale)", Scale::Log, Unit::Bytes, ys)?;
    for (drawn, bytes) in capacities {
        let look = Look { own: false, ..drawn.look };
        let line = vec![(x.range.0, bytes), (x.range.1, bytes)];
        chart.panel.series.push(Series { look, points: Vec::new(), line });
    }
    let caption = "What the kernel allocated, one set of buffers and its workspace, against all memory of the machine or GPU. Where machines \
                   run the same kernel, their lines lie on one another.";
    Some(chart.chart(all, growth, ("memory", "memory", caption), (x, y)))
}

/// The measured limits of every drawn side laid over each other, a chart an input format, with a point a case.
pub fn rooflines(all: &Comparison) -> Vec<Chart> {
    let mut formats: Vec<_> = all.lines.iter().map(|line| line.case.precision.inputs).collect();
    formats.sort();
    formats.dedup();
    let of = |inputs| {
        let lines = all.lines.iter().filter(|line| line.case.precision.inputs == inputs);
        roofline(all, &inputs.to_string(), &lines.collect::<Vec<_>>())
    };
    formats.into_iter().filter_map(of).collect()
}

/// The bandwidth that a side was measured to reach: what its products and attention were held against, or else what its probes of
/// memory reached; 0 where neither is known.
fn bandwidth(side: &Side) -> f64 {
    let usable = |rate: &f64| rate.is_finite() && *rate > 0.0;
    let of = |record: &&Record| match record.case.problem {
        Problem::Matmul(_) | Problem::Attention(_) => record.peak_bytes.map(|rate| rate.0),
        Problem::Peak(probe) if probe.kind != ProbeKind::Fma => {
            record.reached().map(|(_, bytes)| bytes.0)
        }
        _ => None,
    };
    side.records.iter().filter_map(of).filter(usable).fold(0.0, f64::max)
}

fn roofline(all: &Comparison, format: &str, lines: &[&Line]) -> Option<Chart> {
    let lines: Vec<&Line> = lines
        .iter()
        .copied()
        .filter(|line| matches!(line.case.problem.family(), Family::Matmul | Family::Attention))
        .filter(|line| line.case.cost().flops.0 > 0 && line.case.cost().bytes.0 > 0)
        .collect();
    let mut chart = Parts::default();
    let mut roofs = Vec::new();
    for drawn in &all.drawn {
        let best = || lines.iter().filter_map(|line| line.best[drawn.side]);
        let most = |rate: f64, known: f64| if rate.is_finite() { rate.max(known) } else { known };
        let flops = best().filter_map(|r| r.peak_flops).fold(0.0, |known, r| most(r.0, known));
        let bytes = bandwidth(&all.sides[drawn.side]);
        if flops <= 0.0 {
            continue;
        }
        let point = |record: &Record| {
            let cost = record.case.cost();
            let rate = record.flop_rate()?.0 / 1e9;
            Some(Point::new(cost.flops.0 as f64 / cost.bytes.0 as f64, rate))
        };
        let points = best().filter_map(point).collect();
        let slope = if bytes > 0.0 { format!(", {}", ByteRate(bytes)) } else { String::new() };
        let detail = format!("{}{slope}", FlopRate(flops));
        roofs.push((drawn.look, flops / 1e9, bytes / 1e9));
        let own = Series { look: drawn.look, points, line: Vec::new() };
        chart.add(all, drawn, detail, own);
    }
    let (mut xs, mut ys) = extent(std::slice::from_ref(&chart.panel));
    ys.extend(roofs.iter().map(|(_, peak, _)| peak * 1.3));
    let ridges = roofs.iter().filter(|(_, _, slope)| *slope > 0.0);
    xs.extend(ridges.flat_map(|(_, peak, slope)| [peak / slope / 8.0, peak / slope * 1.5]));
    let x = Axis::fit("arithmetic intensity (flop/byte, log scale)", Scale::Log, Unit::Number, xs)?;
    let y = Axis::fit("throughput (GFLOP/s, log scale)", Scale::Log, Unit::Number, ys)?;
    for (look, peak, slope) in roofs {
        let mut line = vec![(x.range.0, peak), (x.range.1, peak)];
        if slope > 0.0 {
            let start = x.range.0.max(y.range.0 / slope);
            line.splice(..1, [(start, slope * start), (peak / slope, peak)]);
        }
        chart.panel.series.push(Series { look, points: Vec::new(), line });
    }
    Some(Chart {
        name: format!("roofline-{}", slug(format)),
        title: format!("rooflines ({format})"),
        caption: format!(
            "Lines are the limits that each machine was measured to reach, a point is a product or attention by its fastest kernel and \
             thread count; what finds its data in a cache can lie above them.{}",
            all.left_out()
        ),
        x,
        y,
        panels: vec![chart.panel],
        columns: 1,
        names: Vec::new(),
        legend: chart.legend,
        subject: Subject::Machines,
    })
}
