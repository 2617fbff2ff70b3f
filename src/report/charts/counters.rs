use super::super::axis::{Axis, Scale, Unit};
use super::super::chart::{Chart, Entry, Panel, Point, Subject, extent, joined};
use super::super::counted::{Row, Tally};
use super::super::group::Group;
use super::super::palette::Palette;
use super::{label, sort_legend, title};
use crate::ops::Family;

/// A quantity that kernels are counted by: its name in files and titles, the y axis, and how to read it.
type Quantity = (&'static str, &'static str, &'static str, fn(&Tally) -> f64);

const QUANTITIES: [Quantity; 2] = [
    (
        "instructions",
        "warp instructions (log scale)",
        "Warp instructions over all cases of a model",
        |tally| tally.instructions,
    ),
    (
        "sectors",
        "sectors of 32 bytes (log scale)",
        "Sectors of global memory that loads, stores and atomics ask for over all cases of a model; asynchronous copies \
         are not among them",
        |tally| tally.sectors,
    ),
];

/// What kernels execute by model size, a line a kernel, a chart a quantity; none for a group without models.
pub fn counters(group: &Group, rows: &[Row], palette: &Palette) -> Vec<Chart> {
    if !matches!(group.family, Family::Matmul | Family::Attention) {
        return Vec::new();
    }
    QUANTITIES.iter().filter_map(|quantity| one(group, rows, palette, quantity)).collect()
}

fn one(group: &Group, rows: &[Row], palette: &Palette, quantity: &Quantity) -> Option<Chart> {
    let (name, y_label, caption, value) = quantity;
    // A kernel that took fewer of a model's cases than others stands for less.
    let most = |of: &str| rows.iter().filter(|r| r.of == of).map(|r| r.cases).max();
    let (mut panel, mut legend) = (Panel::default(), Vec::new());
    let mut names: Vec<(f64, String)> = Vec::new();
    let mut kernels: Vec<&str> = Vec::new();
    for row in rows {
        if !kernels.contains(&row.kernel) {
            kernels.push(row.kernel);
        }
    }
    for kernel in kernels {
        let mut points = Vec::new();
        for row in rows.iter().filter(|r| r.kernel == kernel) {
            let Some(params) = row.params.filter(|p| *p > 0.0) else { continue };
            let count = value(&row.tally);
            if count > 0.0 {
                let partial = Some(row.cases) < most(&row.of);
                points.push(Point { partial, ..Point::new(params, count) });
            }
            if names.iter().all(|(_, known)| *known != row.of) {
                names.push((params, row.of.clone()));
            }
        }
        if points.is_empty() {
            continue;
        }
        let look = palette.look(kernel);
        let label = label(kernel, Some(group.family));
        legend.push(Entry { look: Some(look), label, detail: String::new() });
        panel.series.push(joined(look, points));
    }
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let partial = panel.series.iter().any(|s| s.points.iter().any(|p| p.partial));
    let (xs, ys) = extent(std::slice::from_ref(&panel));
    let x =
        Axis::fit("parameters of the whole model (count, log scale)", Scale::Log, Unit::Count, xs)?;
    let y = Axis::fit(*y_label, Scale::Log, Unit::Count, ys)?;
    sort_legend(&mut legend);
    let small =
        if partial { " A small point stands for a kernel that did only some of them." } else { "" };
    let reduced = if names.iter().any(|(_, name)| name.contains('/')) {
        " MODEL/16 has the model's proportions at a sixteenth of its widths; nothing is extrapolated."
    } else {
        ""
    };
    Some(Chart {
        name: format!("counters-{name}-{}", group.slug()),
        title: title(group, &format!("{name} by model size")),
        caption: format!("{caption}; fewer is better.{small}{reduced}"),
        x,
        y,
        panels: vec![panel],
        columns: 1,
        names,
        legend,
        subject: Subject::default(),
    })
}
