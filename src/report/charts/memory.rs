use super::super::axis::{Axis, Scale, Unit};
use super::super::chart::{Chart, Entry, Panel, Point, Subject, extent, joined};
use super::super::palette::Palette;
use super::super::sweep::Sweep;
use super::{label, sort_legend, ticks_at_sizes, title};
use crate::record::Record;
use crate::units::Bytes;

/// Memory against size: what the kernel allocated, and the process's peak resident set, side by side; `None` where
/// neither was recorded.
pub fn memory(sweep: &Sweep, palette: &Palette) -> Option<Chart> {
    type Get = fn(&Record) -> Option<Bytes>;
    let kinds: [(&str, Get); 2] = [
        ("allocated by the kernel", |r| r.allocated),
        ("peak resident set of the process", |r| r.peak_resident),
    ];
    let mut panels = Vec::new();
    let mut legend: Vec<Entry> = Vec::new();
    let mut names: Vec<(usize, String, Vec<Point>)> = Vec::new();
    for (what, get) in kinds {
        let mut panel = Panel { title: what.to_owned(), ..Panel::default() };
        for line in &sweep.lines {
            let point = |(size, record): &(f64, &Record)| {
                let bytes = get(record).filter(|b| b.0 > 0)?;
                Some(Point::new(*size, bytes.0 as f64))
            };
            let points: Vec<Point> = line.points.iter().filter_map(point).collect();
            if points.is_empty() {
                continue;
            }
            let look = palette.look(line.kernel);
            let name = label(line.kernel, Some(sweep.group.family));
            if legend.iter().all(|e| e.label != name) {
                legend.push(Entry { look: Some(look), label: name.clone(), detail: String::new() });
            }
            names.push((panels.len(), name, points.clone()));
            panel.series.push(joined(look, points));
        }
        if !panel.series.is_empty() {
            panels.push(panel);
        }
    }
    for entry in &mut legend {
        entry.detail =
            twin(&entry.label, &names).map_or(String::new(), |twin| format!("same as {twin}"));
    }
    let (xs, ys) = extent(&panels);
    let x_label = format!("{} ({}, log scale)", sweep.parameter, sweep.unit);
    let x = Axis::fit(x_label, Scale::Log, Unit::Count, xs.iter().copied())?;
    let y = Axis::fit("memory (bytes, log scale)", Scale::Log, Unit::Bytes, ys)?;
    sort_legend(&mut legend);
    Some(Chart {
        name: format!("memory-{}", sweep.slug()),
        title: title(&sweep.group, &format!("memory against {}", sweep.parameter)),
        caption: "Allocated is one set of buffers and the workspace; the resident set also holds the program, the \
                  inputs as they were made, and the copies that keep caches cold."
            .to_owned(),
        x: ticks_at_sizes(x, &xs),
        y,
        columns: panels.len(),
        panels,
        names: Vec::new(),
        legend,
        subject: Subject::default(),
    })
}

/// The first kernel before `name` whose points are the same in every panel: the two hide each other.
fn twin<'a>(name: &str, lines: &'a [(usize, String, Vec<Point>)]) -> Option<&'a str> {
    let of = |wanted: &str| -> Vec<(usize, &Vec<Point>)> {
        lines.iter().filter(|l| l.1 == wanted).map(|l| (l.0, &l.2)).collect()
    };
    let mine = of(name);
    let earlier = lines.iter().map(|l| l.1.as_str()).take_while(|other| *other != name);
    earlier.into_iter().find(|other| of(other) == mine)
}
