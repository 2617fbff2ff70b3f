//! The tables of `report.md`.

use super::ReportInput;
use super::charts::law_of;
use super::compare::{Shape, geomean, median, shapes};
use super::findings::{is_above_peak, percent, stretch};
use super::group::{Group, groups, rate, short, threads};
use super::sweep::sweeps;
use crate::ops::{Case, Family, ProbeKind, Problem};
use crate::record::{Outcome, Record};
use crate::units::ByteRate;

/// A cell's text, safe within a table: no pipes, no line breaks, no markup.
pub fn cell(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('`', "'")
}

/// A name in code type; in a table even code needs its pipes escaped.
pub fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|").replace(['\n', '\r', '`'], " "))
}

/// Rows with a header; columns from the second on are aligned right where the header ends in a space.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|", header.join(" | "));
    for name in header {
        text.push_str(if name.ends_with(' ') { " ---: |" } else { " --- |" });
    }
    text.push('\n');
    for row in rows {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text
}

pub fn dash() -> String {
    "–".to_owned()
}

fn share(record: &Record) -> String {
    record.share_of_peak().map_or_else(dash, |s| format!("{:.0} %", 100.0 * s))
}

/// Every measured and wrong record of a group: by case, the fastest first.
pub fn records_table(records: &[&Record]) -> String {
    let mut cases: Vec<(String, Vec<&Record>)> = Vec::new();
    for &record in records {
        if !matches!(record.outcome, Outcome::Measured(_) | Outcome::Simulated | Outcome::Wrong(_))
        {
            continue;
        }
        let key = record.case.key();
        match cases.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(record),
            None => cases.push((key, vec![record])),
        }
    }
    cases.sort_by_key(|(_, members)| members.first().map(|r| work(r.case)));
    let mut rows = Vec::new();
    for (_, members) in &mut cases {
        members.sort_by(|a, b| median(a).total_cmp(&median(b)));
        for (i, record) in members.iter().enumerate() {
            rows.push(record_row(record, i == 0));
        }
    }
    table(&["case", "kernel", "time ", "± ", "rate ", "of peak ", "memory ", "check"], &rows)
}

/// What cases are sorted by: work, then the sizes as text.
pub fn work(case: Case) -> (u64, String) {
    let cost = case.cost();
    (cost.flops.0.max(cost.bytes.0), case.sizes())
}

fn record_row(record: &Record, first: bool) -> Vec<String> {
    let timing = record.timing();
    let check = match (&record.outcome, record.check) {
        (Outcome::Wrong(_), _) => "**wrong**".to_owned(),
        (_, Some(check)) => format!("ok {}", if check.full { "full" } else { "sampled" }),
        (_, None) => dash(),
    };
    let above = if is_above_peak(record) { " ▲" } else { "" };
    vec![
        if first { cell(&record.case.sizes()) } else { String::new() },
        code(&record.kernel),
        timing.map_or_else(dash, |t| t.median.to_string()),
        timing.map_or_else(dash, |t| percent(t.relative_half_width())),
        rate(record).unwrap_or_else(dash),
        format!("{}{above}", share(record)),
        record.allocated.map_or_else(dash, |b| b.to_string()),
        check,
    ]
}

/// The fastest probe of each kind, dtype and thread count, named by these.
pub fn probes<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<([String; 3], &'a Record)> {
    let mut best: Vec<([String; 3], &Record)> = Vec::new();
    let speed = |r: &Record| r.reached().map_or(0.0, |(flops, bytes)| flops.0.max(bytes.0));
    for record in records {
        if record.case.problem.family() != Family::Peak || speed(record) <= 0.0 {
            continue;
        }
        let sizes = record.case.sizes();
        let kind = sizes.split('/').next().unwrap_or_default().to_owned();
        let key = [kind, record.case.precision.to_string(), record.case.threads.to_string()];
        match best.iter_mut().find(|(known, _)| *known == key) {
            Some((_, held)) if speed(record) > speed(held) => *held = record,
            Some(_) => {}
            None => best.push((key, record)),
        }
    }
    best
}

/// What a probe reached, by what it is for: one of arithmetic moves nothing that counts, one of memory computes nothing that does.
pub fn reached(probe: &Record) -> Option<String> {
    let (flops, bytes) = probe.reached()?;
    Some(match probe.case.problem {
        Problem::Peak(probe) if probe.kind == ProbeKind::Fma => flops.to_string(),
        _ => bytes.to_string(),
    })
}

/// The probes of what the machine can reach: the best of each kind, dtype and thread count.
pub fn peaks_table(records: &[Record]) -> Option<String> {
    let row = |([kind, dtype, threads], record): &([String; 3], &Record)| {
        let rate = reached(record).unwrap_or_else(dash);
        vec![cell(kind), cell(dtype), threads.clone(), rate, code(&record.kernel)]
    };
    let mut rows: Vec<Vec<String>> = probes(records).iter().map(row).collect();
    rows.extend(patterns(records));
    (!rows.is_empty()).then(|| table(&["limit", "dtype", "threads ", "reached ", "kernel"], &rows))
}

/// The limits of the optimizers' access patterns, which were measured beside each update: the fastest of a pattern.
fn patterns(records: &[Record]) -> Vec<Vec<String>> {
    let mut best: Vec<((&str, usize), ByteRate)> = Vec::new();
    for record in records {
        let (Problem::Update(update), Some(rate)) = (&record.case.problem, record.peak_bytes)
        else {
            continue;
        };
        let key = (ProbeKind::of_update(update).name(), record.case.threads);
        match best.iter_mut().find(|(known, _)| *known == key) {
            Some((_, held)) => held.0 = held.0.max(rate.0),
            None => best.push((key, rate)),
        }
    }
    let row = |((kind, threads), rate): &((&str, usize), ByteRate)| {
        let beside = "beside each update; the fastest";
        vec![cell(kind), cell("f32"), threads.to_string(), rate.to_string(), cell(beside)]
    };
    best.iter().map(row).collect()
}

/// The fitted law of every kernel on every sweep.
pub fn scaling_table(input: &ReportInput) -> Option<String> {
    let mut rows = Vec::new();
    for sweep in sweeps(input.records) {
        for (i, line) in sweep.lines.iter().enumerate() {
            let law = law_of(line, input.law);
            let bends: Vec<String> = match law {
                Some(_) => (input.bends)(&line.times()).iter().map(|b| stretch(b, "–")).collect(),
                None => Vec::new(),
            };
            let title = format!("{}, {}", sweep.group.title(), sweep.parameter);
            rows.push(vec![
                if i == 0 { cell(&title) } else { String::new() },
                code(line.kernel),
                line.points.len().to_string(),
                law.map_or_else(dash, |l| l.exponent()),
                law.map_or_else(dash, |l| percent(l.max_relative_error)),
                if bends.is_empty() { dash() } else { bends.join(", ") },
            ]);
        }
    }
    let header = ["sweep", "kernel", "sizes ", "exponent ", "worst miss ", "bends at "];
    (!rows.is_empty()).then(|| table(&header, &rows))
}

/// What identifies a case apart from its thread count.
pub fn unthreaded(case: Case) -> Case {
    Case { threads: 1, ..case }
}

/// The four cells of one thread count: ours, best baseline, ratio, share of peak.
fn side(shape: Option<&Shape>) -> Vec<String> {
    let name = |r: &Record| format!("{} {}", rate(r).unwrap_or_else(dash), code(short(&r.kernel)));
    let Some(shape) = shape else { return vec![dash(), dash(), dash(), dash()] };
    vec![
        shape.own.map_or_else(dash, name),
        shape.baseline.map_or_else(dash, name),
        shape.ratio().map_or_else(dash, |r| format!("{r:.2}×")),
        shape.own.map_or_else(dash, share),
    ]
}

/// The geometric means over the shapes of one thread count: of the ratios, and of our shares of peak.
fn mean(shapes: &[Shape]) -> [String; 2] {
    let ratio = geomean(shapes.iter().filter_map(Shape::ratio));
    let peak = geomean(shapes.iter().filter_map(|s| s.own?.share_of_peak()));
    [
        ratio.map_or_else(dash, |r| format!("**{r:.2}×**")),
        peak.map_or_else(dash, |p| format!("**{:.0} %**", 100.0 * p)),
    ]
}

/// Ours against baselines and peak for one op, dtype and cache: the shapes of the least and of the most threads.
pub struct Comparison<'a> {
    group: Group,
    sides: Vec<(usize, Vec<Shape<'a>>)>,
}

/// A comparison for every op, dtype and cache of which a kernel of ours was measured.
pub fn comparisons(records: &[Record]) -> Vec<Comparison<'_>> {
    let mut found: Vec<Comparison> = Vec::new();
    for (group, members) in groups(records) {
        let mut shapes = shapes(&members);
        if group.family == Family::Peak || shapes.iter().all(|s| s.own.is_none()) {
            continue;
        }
        shapes.sort_by_key(|s| work(s.case));
        let key = Group { threads: 1, ..group.clone() };
        match found.iter_mut().find(|known| known.group == key) {
            Some(known) => known.sides.push((group.threads, shapes)),
            None => found.push(Comparison { group: key, sides: vec![(group.threads, shapes)] }),
        }
    }
    for comparison in &mut found {
        let counts = comparison.sides.iter().map(|(threads, _)| *threads);
        let (least, most) = (counts.clone().min(), counts.max());
        comparison.sides.retain(|(t, _)| Some(*t) == least || Some(*t) == most);
    }
    found
}

/// The geometric means of every comparison: a row each, a pair of columns a thread count.
pub fn summary(comparisons: &[Comparison]) -> String {
    let mut counts: Vec<usize> =
        comparisons.iter().flat_map(|c| c.sides.iter().map(|(threads, _)| *threads)).collect();
    counts.sort_unstable();
    counts.dedup();
    let mut header = vec!["op".to_owned(), "cases ".to_owned()];
    for count in &counts {
        let on = threads(*count);
        header.extend([format!("ours / best baseline, {on} "), format!("ours / peak, {on} ")]);
    }
    let row = |comparison: &Comparison| {
        let cases = comparison.sides.iter().map(|(_, shapes)| shapes.len()).max().unwrap_or(0);
        let mut row = vec![cell(&comparison.group.heading()), cases.to_string()];
        for count in &counts {
            let side = comparison.sides.iter().find(|(threads, _)| threads == count);
            row.extend(side.map_or([dash(), dash()], |(_, shapes)| mean(shapes)));
        }
        row
    };
    let rows: Vec<Vec<String>> = comparisons.iter().map(row).collect();
    table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
}

impl Comparison<'_> {
    /// `matmul forward (f32, warm)`.
    pub fn heading(&self) -> String {
        self.group.heading()
    }

    /// Whether a baseline took part.
    pub fn has_baseline(&self) -> bool {
        self.sides.iter().any(|(_, shapes)| shapes.iter().any(|s| s.baseline.is_some()))
    }

    /// A row a shape, four columns a thread count.
    pub fn by_shape(&self) -> String {
        let mut header = vec!["case".to_owned()];
        for (count, _) in &self.sides {
            header.push(format!("ours, {} ", threads(*count)));
            header.extend(["best baseline ", "ratio ", "of peak "].map(str::to_owned));
        }
        let mut cases: Vec<Case> = Vec::new();
        for shape in self.sides.iter().flat_map(|(_, shapes)| shapes) {
            if cases.iter().all(|known| unthreaded(*known) != unthreaded(shape.case)) {
                cases.push(shape.case);
            }
        }
        let row = |case: &Case| {
            let mut row = vec![cell(&case.sizes())];
            for (_, shapes) in &self.sides {
                let here = shapes.iter().find(|s| unthreaded(s.case) == unthreaded(*case));
                row.extend(side(here));
            }
            row
        };
        let rows: Vec<Vec<String>> = cases.iter().map(row).collect();
        table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
    }
}
