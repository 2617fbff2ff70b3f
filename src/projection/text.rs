//! A plan as text for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, TableComponent, presets};

use super::report::Plan;
use super::step::{Line, Span, Step};
use super::times::Basis;
use super::totals::{Decoding, Training};
use crate::units::{Bytes, FlopRate, Nanos};

/// Lines of a step's table that are shown before the small ones are summed up.
const SHOWN: usize = 24;

/// The plan, in lines.
pub fn render(plan: &Plan) -> String {
    let mut text = String::new();
    let threads =
        if plan.device == "cpu" { format!(", {} threads", plan.threads) } else { String::new() };
    let _ = writeln!(
        text,
        "{} ({} parameters) by {}, measured on {}{threads}",
        plan.model,
        short(plan.parameters as f64),
        plan.run,
        plan.device
    );
    let words: Vec<String> =
        plan.setup.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let _ = writeln!(text, "{}\n", words.join(", "));
    if let Some((step, totals)) = &plan.training {
        section(&mut text, "training step", step);
        of_training(&mut text, step, totals);
        memory(&mut text, plan, step);
    }
    if let Some((step, totals)) = &plan.decoding {
        section(&mut text, "decode step", step);
        of_decoding(&mut text, step, totals);
        memory(&mut text, plan, step);
    }
    missing(&mut text, plan);
    text.push_str("assumed, not measured:\n");
    for line in &plan.assumptions {
        let _ = writeln!(text, "  - {line}");
    }
    text
}

fn section(text: &mut String, name: &str, step: &Step) {
    let stage = match step.stages {
        1 => String::new(),
        all => format!(", stage {} of {all} (the slowest)", step.stage + 1),
    };
    let _ = writeln!(text, "{name} on one device{stage}");
    let _ = writeln!(text, "{}", table(step));
    for exchange in &step.exchanges {
        let _ = writeln!(
            text,
            "  {} × {} of {}: {} (assumed)",
            exchange.count,
            exchange.name,
            Bytes(exchange.bytes as u64),
            seconds(exchange.seconds)
        );
    }
    let all = step.total.median;
    let share = |s: f64| format!("{:.1} %", 100.0 * s / all);
    let mut parts: Vec<String> =
        [Basis::Measured, Basis::Interpolated, Basis::Extrapolated, Basis::Assumed]
            .into_iter()
            .map(|basis| (basis, step.seconds_of(basis)))
            .filter(|(_, s)| *s > 0.0)
            .map(|(basis, s)| format!("{} {}", basis.name(), share(s)))
            .collect();
    if step.exchanging > 0.0 {
        parts.push(format!("exchanges (assumed) {}", share(step.exchanging)));
    }
    if step.idle.median > 0.0 {
        parts.push(format!("waiting for other stages {}", share(step.idle.median)));
    }
    let _ = writeln!(text, "  where the time comes from: {}", parts.join(", "));
}

fn table(step: &Step) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_header(["phase", "what", "times", "time", "± %", "share", "from", "by"]);
    let total = step.total.median;
    let mut order: Vec<&Line> = step.lines.iter().collect();
    let size = |line: &Line| line.seconds.map_or(f64::INFINITY, |s| s.median);
    order.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let (shown, small) = order.split_at(order.len().min(SHOWN));
    let mut shown: Vec<&Line> = shown.to_vec();
    // In the order of a step.
    shown.sort_by_key(|line| step.lines.iter().position(|l| std::ptr::eq(l, *line)));
    for line in shown {
        let span = line.seconds;
        let by = match (&line.kernel, line.note.as_str()) {
            (Some(kernel), "") => kernel.clone(),
            (Some(kernel), note) => format!("{kernel}, {note}"),
            (None, note) if line.basis == Basis::Assumed => note.to_owned(),
            _ => line.case.clone().unwrap_or_default(),
        };
        table.add_row([
            line.phase.name().to_owned(),
            line.name.to_owned(),
            format!("{}", line.count),
            span.map_or("?".to_owned(), |s| seconds(s.median)),
            span.filter(|s| s.high > s.low)
                .map_or(String::new(), |s| format!("{:.0}", 50.0 * (s.high - s.low) / s.median)),
            span.map_or(String::new(), |s| format!("{:.1} %", 100.0 * s.median / total)),
            line.basis.name().to_owned(),
            by,
        ]);
    }
    if !small.is_empty() {
        let sum: f64 = small.iter().filter_map(|l| l.seconds).map(|s| s.median).sum();
        let share = format!("{:.1} %", 100.0 * sum / total);
        let row =
            [String::new(), format!("{} smaller ones", small.len()), String::new(), seconds(sum)];
        table.add_row(row.into_iter().chain([String::new(), share, String::new(), String::new()]));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for column in table.column_iter_mut().skip(2).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

fn of_training(text: &mut String, step: &Step, totals: &Training) {
    step_time(text, step);
    let t = totals;
    let _ = writeln!(text, "  {} tokens/s", range(t.tokens_per_second, short, step.missing > 0));
    match (t.model_flops_utilization, t.peak) {
        (Some(mfu), Some(peak)) => {
            let percent = |x: f64| format!("{:.1}", 100.0 * x);
            let _ = writeln!(
                text,
                "  model flops utilization {} % (6·N + 12·L·H·Q·T a token) of the measured {} a device; {:.1} % of all operations done",
                range(mfu, percent, step.missing > 0),
                FlopRate(peak),
                100.0 * t.hardware_flops_utilization.unwrap_or_default()
            );
        }
        _ => text.push_str("  no model flops utilization: the run measured no peak of this dtype and number of threads\n"),
    }
    if let (Some(steps), Some(span)) = (t.steps, t.seconds) {
        let checkpoints = t.checkpoints.filter(|s| *s > 0.0);
        let with = checkpoints
            .map_or(String::new(), |s| format!(", of which {} writing checkpoints", seconds(s)));
        let lower = if step.missing > 0 { "at least " } else { "" };
        let _ = writeln!(
            text,
            "  {} steps: {lower}{}{with}",
            short(steps),
            range(span, seconds, false)
        );
    }
    if let Some(cost) = t.cost {
        let lower = if step.missing > 0 { "at least " } else { "" };
        let _ = writeln!(text, "  cost {lower}{}", range(cost, money, false));
    }
    if let (Some(joules), Some((_, share))) = (t.joules, step.joules) {
        let _ = writeln!(
            text,
            "  energy {:.3e} kWh of the devices alone, counted for {:.0} % of their busy time and scaled up",
            joules / 3.6e6,
            100.0 * share
        );
    }
}

fn of_decoding(text: &mut String, step: &Step, totals: &Decoding) {
    step_time(text, step);
    let t = totals;
    let missing = step.missing > 0;
    let _ = writeln!(
        text,
        "  {} tokens/s a copy of the model",
        range(t.tokens_per_second, short, missing)
    );
    if t.tokens_per_second_of_all.median > 1.5 * t.tokens_per_second.median {
        let _ = writeln!(
            text,
            "  {} tokens/s of all copies",
            range(t.tokens_per_second_of_all, short, missing)
        );
    }
    if let Some(used) = t.bandwidth_utilization {
        let _ = writeln!(
            text,
            "  {:.0} % of the measured bandwidth, for what its kernels move at least",
            100.0 * used
        );
    }
    if let Some(cost) = t.cost_of_a_million_tokens {
        let _ = writeln!(text, "  cost of a million tokens {}", range(cost, money, false));
    }
    if let Some(joules) = t.joules_a_token {
        let _ = writeln!(text, "  {joules:.3} J a token");
    }
}

fn step_time(text: &mut String, step: &Step) {
    let lower = if step.missing > 0 { "at least " } else { "" };
    let _ = writeln!(text, "  a step takes {lower}{}", range(step.total, seconds, false));
    if step.missing > 0 {
        let _ = writeln!(
            text,
            "  of {} lines, {} not measured and left out",
            step.lines.len(),
            step.missing
        );
    }
}

/// `x (low to high)`; a lower bound of time is an upper bound of a rate.
fn range(span: Span, show: impl Fn(f64) -> String, at_most: bool) -> String {
    let most = if at_most { "at most " } else { "" };
    match span.low == span.high {
        true => format!("{most}{}", show(span.median)),
        false => format!("{most}{} ({} to {})", show(span.median), show(span.low), show(span.high)),
    }
}

fn memory(text: &mut String, plan: &Plan, step: &Step) {
    let memory = &step.memory;
    let parts: Vec<String> =
        memory.parts.iter().map(|p| format!("{} {}", p.name, Bytes(p.bytes as u64))).collect();
    let _ = writeln!(
        text,
        "  memory of a device {}: {}",
        Bytes(memory.total() as u64),
        parts.join(", ")
    );
    match plan.capacity {
        Some((capacity, by)) => {
            let share = 100.0 * memory.total() / capacity;
            let fits = if share <= 100.0 { "fits into" } else { "DOES NOT FIT into" };
            let _ = writeln!(text, "  {fits} {} {by} ({share:.0} %)\n", Bytes(capacity as u64));
        }
        None => {
            text.push_str("  the run does not tell the memory of this device; --memory does\n\n")
        }
    }
}

/// The gaps, each with what would fill it.
fn missing(text: &mut String, plan: &Plan) {
    let mut commands: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in plan.steps().flat_map(|step| &step.lines) {
        if let Some(command) = &line.command {
            let names = commands.entry(command).or_default();
            let name = format!("{} {}", line.phase.name(), line.name);
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    if commands.is_empty() {
        return;
    }
    text.push_str("not measured, and nothing put in its place; to measure:\n");
    for (command, names) in &commands {
        let _ = writeln!(text, "  {command}   # {}", names.join(", "));
    }
    text.push_str(
        "  (or all at once: --missing CASES.csv, then scalemark run --cases CASES.csv)\n\n",
    );
}

/// Seconds in a unit that fits, up to days and years.
pub fn seconds(s: f64) -> String {
    const DAY: f64 = 86_400.0;
    match s {
        s if s < 120.0 => Nanos::from_secs(s).to_string(),
        s if s < 2.0 * 3600.0 => format!("{:.1} min", s / 60.0),
        s if s < 2.0 * DAY => format!("{:.1} h", s / 3600.0),
        s if s < 730.0 * DAY => format!("{:.1} days", s / DAY),
        s if s < 1e6 * 365.25 * DAY => format!("{:.1} years", s / (365.25 * DAY)),
        s => format!("{:.1e} years", s / (365.25 * DAY)),
    }
}

/// A number with a unit of a thousand: `8.03B`.
pub fn short(x: f64) -> String {
    let (value, unit) = match x.abs() {
        a if a >= 1e15 => return format!("{x:.3e}"),
        a if a >= 1e12 => (x / 1e12, "T"),
        a if a >= 1e9 => (x / 1e9, "B"),
        a if a >= 1e6 => (x / 1e6, "M"),
        a if a >= 1e4 => (x / 1e3, "k"),
        _ => (x, ""),
    };
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}{unit}")
}

fn money(x: f64) -> String {
    if x < 1000.0 { format!("{x:.2}") } else { short(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_have_units_that_people_think_in() {
        assert_eq!(seconds(0.0123), "12.3 ms");
        assert_eq!(seconds(86_400.0 * 54.0), "54.0 days");
        assert_eq!(seconds(86_400.0 * 3652.5), "10.0 years");
        assert_eq!(short(8_030_261_248.0), "8.03B");
        assert_eq!(short(1234.0), "1234");
        assert_eq!(short(238_300.0), "238k");
        assert_eq!(money(2.5), "2.50");
    }
}
