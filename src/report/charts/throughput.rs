use super::super::axis::{Axis, Scale, Unit};
use super::super::chart::{Chart, Entry, Panel, Point, Subject, extent, joined};
use super::super::group::Group;
use super::super::palette::Palette;
use super::{label, sort_legend, title};
use crate::ops::Family;
use crate::record::Record;

/// What one kernel did on the cases of one model.
#[derive(Default)]
struct Sum {
    flops: f64,
    secs: f64,
    cases: Vec<String>,
}

/// How many parts of `model` a record stands for: `gpt2:qkv;gpt2:out;bert:qkv` has two of gpt2.
pub fn parts(record: &Record, model: &str) -> usize {
    models(record).filter(|name| *name == model).count()
}

/// The models that a record stands for, once for each of their parts.
pub fn models(record: &Record) -> impl Iterator<Item = &str> {
    let parts = record.model.split(';').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once(':').map_or(part, |(model, _)| model))
}

/// Throughput by model size, a line a kernel: all flops of the model's cases of this op over all their time.
///
/// `None` without a measured matmul or attention case of a model whose parameters are known.
pub fn throughput(
    group: &Group,
    records: &[&Record],
    params: &dyn Fn(&str) -> Option<f64>,
    palette: &Palette,
) -> Option<Chart> {
    if !matches!(group.family, Family::Matmul | Family::Attention) {
        return None;
    }
    let measured: Vec<&&Record> = records.iter().filter(|r| r.timing().is_some()).collect();
    let mut known: Vec<(&str, f64)> = Vec::new();
    let mut kernels: Vec<&str> = Vec::new();
    for record in &measured {
        for model in models(record) {
            if known.iter().all(|(name, _)| *name != model)
                && let Some(count) = params(model).filter(|c| c.is_finite() && *c > 0.0)
            {
                known.push((model, count));
            }
        }
        if !kernels.contains(&record.kernel.as_str()) {
            kernels.push(&record.kernel);
        }
    }
    known.sort_by(|a, b| a.1.total_cmp(&b.1));

    let sum = |kernel: Option<&str>, model: &str| -> Sum {
        let mut sum = Sum::default();
        for record in measured.iter().filter(|r| kernel.is_none_or(|k| r.kernel == k)) {
            let weight = parts(record, model) as f64;
            let key = record.case.key();
            if let Some(timing) = record.timing()
                && weight > 0.0
                && !sum.cases.contains(&key)
            {
                sum.flops += weight * record.case.cost().flops.0 as f64;
                sum.secs += weight * timing.median.secs();
                sum.cases.push(key);
            }
        }
        sum
    };
    let mut panel = Panel::default();
    let mut legend = Vec::new();
    let totals: Vec<usize> = known.iter().map(|(model, _)| sum(None, model).cases.len()).collect();
    for kernel in kernels {
        let mut points = Vec::new();
        for ((model, count), total) in known.iter().zip(&totals) {
            let sum = sum(Some(kernel), model);
            if sum.secs > 0.0 {
                let partial = sum.cases.len() < *total;
                points.push(Point { partial, ..Point::new(*count, sum.flops / sum.secs / 1e9) });
            }
        }
        if points.is_empty() {
            continue;
        }
        let look = palette.look(kernel);
        let name = label(kernel, Some(group.family));
        legend.push(Entry { look: Some(look), label: name, detail: String::new() });
        panel.series.push(joined(look, points));
    }
    let partial = panel.series.iter().any(|s| s.points.iter().any(|p| p.partial));

    let (xs, mut ys) = extent(std::slice::from_ref(&panel));
    let best = ys.iter().copied().fold(0.0, f64::max);
    let worst_best = known
        .iter()
        .map(|(_, count)| {
            let here = panel.series.iter().flat_map(|s| &s.points).filter(|p| p.x == *count);
            here.map(|p| p.y).fold(0.0, f64::max)
        })
        .fold(f64::INFINITY, f64::min);
    let scale = if best > 30.0 * worst_best { Scale::Log } else { Scale::Linear };
    let x = Axis::fit("parameters of the model (count, log scale)", Scale::Log, Unit::Count, xs)?;
    let peak = records.iter().find_map(|r| r.peak_flops).map(|p| p.0 / 1e9);
    if let Some(peak) = peak.filter(|p| *p <= best * 4.0) {
        ys.push(peak);
        panel.references.push(vec![(x.range.0, peak), (x.range.1, peak)]);
        let label = format!("{} GFLOP/s", Unit::Number.format(peak.round()));
        legend.push(Entry { look: None, label, detail: "arithmetic peak".to_owned() });
    }
    let suffix = if scale == Scale::Log { ", log scale" } else { "" };
    let y = Axis::fit(format!("throughput (GFLOP/s{suffix})"), scale, Unit::Number, ys)?;
    sort_legend(&mut legend);
    let small = if partial {
        " A small point stands for a kernel that did only some of the model's cases."
    } else {
        ""
    };
    Some(Chart {
        name: format!("throughput-{}", group.slug()),
        title: title(group, "throughput by model size"),
        caption: format!(
            "All flops of a model's {} cases over all the time that they took; higher is better.{small}",
            group.op
        ),
        x,
        y,
        panels: vec![panel],
        columns: 1,
        names: known.iter().map(|(name, count)| (*count, (*name).to_owned())).collect(),
        legend,
        subject: Subject::default(),
    })
}
