//! The table of a check on the terminal.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::report::{Judged, Report, State};

/// A row for each change, slowdowns that are open first; then what was not judged, and why. With `all`, series without a change have a
/// row too.
pub fn terminal(report: &Report, all: bool, width: usize) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width.clamp(60, 400) as u16)
        .set_header(["series", "kernel", "commits", "against", "change", "between", "verdict"]);
    for column in [2, 4] {
        let column = table.column_mut(column).expect("the header has seven columns");
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut rows: Vec<(u8, [String; 7])> = Vec::new();
    for series in &report.series {
        rows.extend(findings(series));
        if all && series.findings.is_empty() {
            let seen = series.detectable.filter(|r| r.0.is_finite());
            let would = seen.map_or(String::new(), |ratio| format!("{ratio} would be found"));
            rows.push((3, row(series, [String::new(), would, series.verdict().to_owned()])));
        }
    }
    let has_rows = !rows.is_empty();
    rows.sort_by_key(|(order, _)| *order);
    for (_, row) in rows {
        table.add_row(row);
    }
    let mut text = if has_rows { table.trim_fmt() + "\n\n" } else { String::new() };
    let mut reasons: BTreeMap<&str, Vec<&Judged>> = BTreeMap::new();
    for series in &report.series {
        if let Some(why) = &series.unjudged {
            reasons.entry(why).or_default().push(series);
        }
    }
    for (why, series) in reasons {
        let names: Vec<String> = series.iter().take(3).map(|s| s.key().to_string()).collect();
        let more = if series.len() > 3 {
            format!(" and {} more", series.len() - 3)
        } else {
            String::new()
        };
        text.push_str(&format!("not judged: {}{more}: {why}\n", names.join("; ")));
    }
    text.push_str(&report.headline());
    text.push('\n');
    text
}

fn findings(series: &Judged) -> impl Iterator<Item = (u8, [String; 7])> {
    series.findings.iter().map(move |finding| {
        let state = match &finding.state {
            State::Open => String::new(),
            State::Recovered => " (recovered)".into(),
            State::Blessed(reason) => format!(" (blessed: {reason})"),
        };
        let verdict = format!("{}{state}", finding.direction());
        let order =
            if finding.is_open_slowdown() { 0 } else { 1 + u8::from(finding.ratio.0 < 1.0) };
        (order, row(series, [finding.size(), finding.place(), verdict]))
    })
}

fn row(series: &Judged, [change, place, verdict]: [String; 3]) -> [String; 7] {
    [
        series.id.clone(),
        series.key().to_string(),
        series.series.points.len().to_string(),
        series.series.basis.as_ref().map_or("–".into(), |basis| basis.name()),
        change,
        place,
        verdict,
    ]
}
