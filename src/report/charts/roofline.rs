use super::super::axis::{Axis, Scale, Unit};
use super::super::chart::{Chart, Entry, Panel, Point, Series, Subject, extent};
use super::super::group;
use super::super::palette::{Look, MARKERS, Palette};
use super::{label, sort_legend};
use crate::ops::{DType, Family};
use crate::record::Record;
use crate::units::ByteRate;

/// A bandwidth that was measured, and the ops that it bounds.
struct Roof {
    rate: f64,
    ops: Vec<&'static str>,
}

/// The measured bandwidths; those within 1 % of each other are one.
fn roofs(records: &[&Record]) -> Vec<Roof> {
    let mut found: Vec<Roof> = Vec::new();
    for record in records {
        let Some(ByteRate(rate)) = record.peak_bytes.filter(|r| r.0 > 0.0) else { continue };
        let op = record.case.problem.op();
        match found.iter_mut().find(|roof| (roof.rate / rate - 1.0).abs() < 0.01) {
            Some(roof) if roof.ops.contains(&op) => {}
            Some(roof) => roof.ops.push(op),
            None => found.push(Roof { rate, ops: vec![op] }),
        }
    }
    found.sort_by(|a, b| b.rate.total_cmp(&a.rate));
    found
}

/// The measured limits of one device, input dtype and thread count, and a point a case: colour by kernel, shape by family.
///
/// `None` without a measured case, or where no limit was measured at all.
pub fn roofline(
    device: &str,
    dtype: DType,
    threads: usize,
    records: &[&Record],
    palette: &Palette,
) -> Option<Chart> {
    let measured: Vec<&Record> = records
        .iter()
        .copied()
        .filter(|r| r.timing().is_some() && r.case.problem.family() != Family::Peak)
        .filter(|r| r.case.cost().flops.0 > 0 && r.case.cost().bytes.0 > 0)
        .collect();
    let peak = measured.iter().find_map(|r| r.peak_flops).map(|p| p.0 / 1e9).filter(|p| *p > 0.0);
    let roofs = roofs(&measured);
    if peak.is_none() && roofs.is_empty() {
        return None;
    }
    let mut panel = Panel::default();
    let mut legend: Vec<Entry> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for record in &measured {
        let cost = record.case.cost();
        let rate = record.flop_rate()?.0 / 1e9;
        let point = Point::new(cost.flops.0 as f64 / cost.bytes.0 as f64, rate);
        let family = record.case.problem.family();
        let at = names.iter().position(|n| *n == record.kernel).unwrap_or_else(|| {
            let marker = MARKERS[Family::ALL.iter().position(|f| *f == family).unwrap_or(0)];
            let look = Look { marker, ..palette.look(&record.kernel) };
            names.push(&record.kernel);
            let entry = Entry {
                look: Some(look),
                label: label(&record.kernel, None),
                detail: String::new(),
            };
            legend.push(entry);
            panel.series.push(Series { look, points: Vec::new(), line: Vec::new() });
            names.len() - 1
        });
        panel.series[at].points.push(point);
    }
    let (mut xs, mut ys) = extent(std::slice::from_ref(&panel));
    // The ridge, where the roofs meet, belongs in the picture.
    if let Some(peak) = peak {
        ys.push(peak * 1.3);
        xs.extend(roofs.iter().map(|roof| peak / (roof.rate / 1e9) * 1.5));
    }
    let x = Axis::fit("arithmetic intensity (flop/byte, log scale)", Scale::Log, Unit::Number, xs)?;
    let y = Axis::fit("throughput (GFLOP/s, log scale)", Scale::Log, Unit::Number, ys)?;
    for roof in &roofs {
        let slope = roof.rate / 1e9;
        let end = peak.map_or(x.range.1, |p| p / slope).min(y.range.1 / slope).min(x.range.1);
        let start = x.range.0.max(y.range.0 / slope);
        if start < end {
            panel.references.push(vec![(start, slope * start), (end, slope * end)]);
        }
        let detail = if roof.ops.len() > 3 {
            format!("{} and {} more", roof.ops[..2].join(", "), roof.ops.len() - 2)
        } else {
            roof.ops.join(", ")
        };
        legend.push(Entry { look: None, label: ByteRate(roof.rate).to_string(), detail });
    }
    if let Some(peak) = peak {
        let ridge = roofs.first().map_or(x.range.0, |roof| peak / (roof.rate / 1e9));
        panel.references.push(vec![(ridge.max(x.range.0), peak), (x.range.1, peak)]);
        let label = format!("{} GFLOP/s", Unit::Number.format(peak.round()));
        legend.push(Entry { look: None, label, detail: "arithmetic peak".to_owned() });
    }
    sort_legend(&mut legend);
    let on = if device == "cpu" { String::new() } else { format!(", {device}") };
    Some(Chart {
        name: format!("roofline-{dtype}-t{threads}{}", group::device_suffix(device)),
        title: format!("roofline ({dtype}, {}{on})", group::threads(threads)),
        caption: "A point a case: colour by kernel, shape by family. Grey lines are limits measured on this machine, \
                  from the upper left down as in the legend; what finds its data in a cache can lie above them."
            .to_owned(),
        x,
        y,
        panels: vec![panel],
        columns: 1,
        names: Vec::new(),
        legend,
        subject: Subject::default(),
    })
}
