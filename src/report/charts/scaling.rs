use super::super::Fit;
use super::super::axis::{Axis, Scale, Unit};
use super::super::chart::{Chart, Entry, Panel, Subject, extent};
use super::super::palette::Palette;
use super::super::sweep::Sweep;
use super::{label, law_of, sort_legend, ticks_at_sizes, time_series, title};

/// Time against size, log–log, with intervals and the fitted laws; `None` for a sweep without a measured point.
pub fn scaling(sweep: &Sweep, fit: Fit, palette: &Palette) -> Option<Chart> {
    let mut panel = Panel::default();
    let mut legend = Vec::new();
    let mut fitted = false;
    for line in &sweep.lines {
        let law = law_of(line, fit);
        let look = palette.look(line.kernel);
        let series = time_series(line, law.as_ref(), look);
        if series.points.is_empty() {
            continue;
        }
        fitted |= law.is_some();
        let detail = law.map_or(String::new(), |l| format!("p = {}", l.exponent()));
        let name = label(line.kernel, Some(sweep.group.family));
        legend.push(Entry { look: Some(look), label: name, detail });
        panel.series.push(series);
    }
    let (xs, ys) = extent(std::slice::from_ref(&panel));
    let x_label = format!("{} ({}, log scale)", sweep.parameter, sweep.unit);
    let x = Axis::fit(x_label, Scale::Log, Unit::Count, xs.iter().copied())?;
    let y = Axis::fit("time per launch (seconds, log scale)", Scale::Log, Unit::Seconds, ys)?;
    sort_legend(&mut legend);
    let law = if fitted {
        " Lines are fitted laws t = a + b·nᵖ; p with its 95 % interval stands in the legend."
    } else {
        ""
    };
    let fixed = if sweep.fixed.is_empty() {
        String::new()
    } else {
        format!("Only {} grows; {} stays. ", sweep.parameter, sweep.fixed)
    };
    Some(Chart {
        name: format!("scaling-{}", sweep.slug()),
        title: title(&sweep.group, &format!("time against {}", sweep.parameter)),
        caption: format!("{fixed}Points are medians with their 95 % intervals.{law}"),
        x: ticks_at_sizes(x, &xs),
        y,
        panels: vec![panel],
        columns: 1,
        names: Vec::new(),
        legend,
        subject: Subject::default(),
    })
}
