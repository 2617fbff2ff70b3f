use super::super::Fit;
use super::super::axis::{Axis, Scale, Unit};
use super::super::chart::{Chart, Entry, Panel, Subject, extent};
use super::super::group::Group;
use super::super::palette::Palette;
use super::super::sweep::Line;
use super::{label, law_of, sort_legend, time_series, title};
use crate::ops::{Family, Problem, Rule};
use crate::record::Record;

/// The records of one rule as a line a kernel; of two of one size the faster.
fn lines<'a>(records: &[&'a Record], rule: Rule) -> Vec<Line<'a>> {
    let mut lines: Vec<Line> = Vec::new();
    for &record in records {
        let Problem::Update(update) = record.case.problem else { continue };
        let Some(timing) = record.timing() else { continue };
        if update.rule != rule || update.params == 0 {
            continue;
        }
        let at = lines.iter().position(|l| l.kernel == record.kernel).unwrap_or_else(|| {
            lines.push(Line { kernel: &record.kernel, points: Vec::new() });
            lines.len() - 1
        });
        let points = &mut lines[at].points;
        let size = update.params as f64;
        match points.binary_search_by(|(known, _)| known.total_cmp(&size)) {
            Ok(i) if points[i].1.timing().is_some_and(|t| t.median > timing.median) => {
                points[i].1 = record;
            }
            Ok(_) => {}
            Err(i) => points.insert(i, (size, record)),
        }
    }
    lines
}

/// Optimizer time against parameters: a panel a rule, a line a kernel, on shared axes; `None` without a measured update.
///
/// `group` and `records` are of the whole family (see [`super::super::group::family_groups`]).
pub fn optimizer(group: &Group, records: &[&Record], fit: Fit, palette: &Palette) -> Option<Chart> {
    if group.family != Family::Optimizer {
        return None;
    }
    let mut panels = Vec::new();
    let mut legend: Vec<Entry> = Vec::new();
    for rule in Rule::ALL {
        let mut panel = Panel { title: rule.name().to_owned(), ..Panel::default() };
        for line in lines(records, rule) {
            let look = palette.look(line.kernel);
            let name = label(line.kernel, Some(Family::Optimizer));
            if legend.iter().all(|e| e.label != name) {
                legend.push(Entry { look: Some(look), label: name, detail: String::new() });
            }
            panel.series.push(time_series(&line, law_of(&line, fit).as_ref(), look));
        }
        if !panel.series.is_empty() {
            panels.push(panel);
        }
    }
    let (xs, ys) = extent(&panels);
    let x =
        Axis::fit("parameters (count, log scale)", Scale::Log, Unit::Count, xs)?.with_at_most(4);
    let y = Axis::fit("time per step (seconds, log scale)", Scale::Log, Unit::Seconds, ys)?
        .with_at_most(6);
    sort_legend(&mut legend);
    Some(Chart {
        name: format!("optimizer-{}", group.slug().trim_start_matches("optimizer-")),
        title: title(group, "time against parameters"),
        caption: "Points are medians with their 95 % intervals, lines fitted laws t = a + b·nᵖ where there are sizes \
                  enough; all panels have the same axes."
            .to_owned(),
        x,
        y,
        columns: panels.len().min(4),
        panels,
        names: Vec::new(),
        legend,
        subject: Subject::default(),
    })
}
