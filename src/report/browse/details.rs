//! All that is known of one record.

use super::super::plain::plain;
use super::{Times, histogram, sparkline};
use crate::record::{Counter, Outcome, Record};
use crate::units::Nanos;

/// The narrowest and the widest that samples are drawn.
const DRAWN: (usize, usize) = (16, 120);
/// What a process's line says behind its samples.
const BEHIND: usize = 32;

/// What is known of one record, each with its name, safe to be shown: what it is, what came of it, its samples process by
/// process, and its counters. Samples are drawn so that values fit `width` columns; a longer value (a reason, a key) is not broken.
pub fn facts(
    record: &Record,
    times: &Times,
    counters: &[&Counter],
    width: usize,
) -> Vec<(String, String)> {
    let mut facts = about(record);
    facts.extend(outcome(record));
    facts.retain(|(_, value)| !value.is_empty());
    facts.extend(drawn(record, times, width.saturating_sub(BEHIND).clamp(DRAWN.0, DRAWN.1)));
    facts.extend(counters.iter().map(|c| (c.name.to_string(), c.value.to_string())));
    let lines = facts.iter().flat_map(|(what, value)| {
        value.split('\n').enumerate().map(move |(i, line)| {
            let what = if i == 0 { plain(what).into_owned() } else { String::new() };
            (what, plain(line.trim_end()).into_owned())
        })
    });
    lines.collect()
}

/// What it is.
fn about(record: &Record) -> Vec<(String, String)> {
    let Record { record_id, case, kernel, provider, device, model, placement, .. } = record;
    let cost = case.cost();
    let least = match cost.flops.0 {
        0 => cost.bytes.to_string(),
        _ => format!("{}, {}", cost.flops, cost.bytes),
    };
    let facts = [
        ("record", record_id.to_string()),
        ("case", case.key()),
        ("kernel", format!("{kernel} ({provider})")),
        ("device", device.to_string()),
        ("model", model.to_string()),
        ("threads were", placement.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("least work", least),
        ("status", record.outcome.status().to_owned()),
        (if record.timing().is_some() { "note" } else { "reason" }, record.outcome.detail().into()),
    ];
    facts.map(|(what, value)| (what.to_owned(), value)).into()
}

/// What came of it.
fn outcome(record: &Record) -> Vec<(String, String)> {
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut add = |what: &str, value: String| facts.push((what.to_owned(), value));
    if let Some(timing) = record.timing() {
        let half = 100.0 * timing.relative_half_width();
        add(
            "time",
            format!("{} ({} to {}, ± {half:.1} %)", timing.median, timing.low, timing.high),
        );
        add("fastest, p95, p99", format!("{}, {}, {}", timing.min, timing.p95, timing.p99));
        let stop = timing.stop.name();
        add(
            "computed from",
            format!(
                "{} samples of {} processes, stopped by {stop}",
                timing.samples, timing.processes
            ),
        );
    }
    let rates = [
        record.flop_rate().filter(|rate| rate.0 > 0.0).map(|rate| rate.to_string()),
        record.byte_rate().map(|rate| rate.to_string()),
    ];
    add("rate", rates.into_iter().flatten().collect::<Vec<_>>().join(", "));
    let limits = [
        record.peak_flops.map(|rate| rate.to_string()),
        record.peak_bytes.map(|rate| rate.to_string()),
    ];
    add("measured limit", limits.into_iter().flatten().collect::<Vec<_>>().join(", "));
    if let Some(share) = record.share_of_peak() {
        add("of that limit", format!("{:.1} %", 100.0 * share));
    }
    if let Some(check) = record.check {
        let extent = if check.full { "every entry" } else { "random entries" };
        let within = if matches!(record.outcome, Outcome::Wrong(_)) {
            "WRONG: deviates"
        } else {
            "right: deviates"
        };
        add(
            "answer",
            format!(
                "{within} by {:.3e} where {:.3e} is allowed, {extent} checked",
                check.deviation, check.tolerance
            ),
        );
    }
    add("allocated", record.allocated.map(|bytes| bytes.to_string()).unwrap_or_default());
    add("peak resident", record.peak_resident.map(|bytes| bytes.to_string()).unwrap_or_default());
    add("source hash", record.source_hash.to_string());
    facts
}

/// Its samples: how many lie where, and process by process in their order, all on one scale.
fn drawn(record: &Record, times: &Times, width: usize) -> Vec<(String, String)> {
    let of = times.of(record.record_id);
    let least = of.clone().map(|(_, time)| time).fold(f64::INFINITY, f64::min);
    let most = of.clone().map(|(_, time)| time).fold(f64::NEG_INFINITY, f64::max);
    if !(least > 0.0 && most.is_finite()) {
        return Vec::new();
    }
    let top = most.min(2.0 * least);
    let beyond = if most > top { " or more" } else { "" };
    let mut lines = vec![
        ("samples".to_owned(), format!("▁ {} to █ {}{beyond}", Nanos(least), Nanos(top))),
        (
            "how often".to_owned(),
            format!(
                "▕{}▏ to {} or more",
                histogram(of.clone().map(|(_, time)| time), width),
                Nanos(2.0 * least)
            ),
        ),
    ];
    let mut processes: Vec<usize> = of.clone().map(|(process, _)| process).collect();
    processes.sort_unstable();
    processes.dedup();
    for process in processes {
        let own: Vec<f64> =
            of.clone().filter(|(one, _)| *one == process).map(|(_, time)| time).collect();
        let first = Nanos(own.iter().copied().fold(f64::INFINITY, f64::min));
        let line = sparkline(&own, (least, top), width);
        lines.push((format!("process {process}"), format!("{line} {} from {first}", own.len())));
    }
    lines
}

/// The facts of a record as text for a terminal of `width` columns.
pub fn details(record: &Record, times: &Times, counters: &[&Counter], width: usize) -> String {
    let facts = facts(record, times, counters, width);
    let wide = facts.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    if let Outcome::Wrong(_) = record.outcome {
        text += "WRONG\n";
    }
    for (what, value) in facts {
        text += format!("{what:<wide$}  {value}").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    fn value<'a>(facts: &'a [(String, String)], what: &str) -> Option<&'a str> {
        facts.iter().find(|(name, _)| name == what).map(|(_, value)| value.as_str())
    }

    #[test]
    fn every_field_that_a_record_has_is_told_and_what_it_lacks_is_not() {
        let mut record = synthetic::square(512, "matmul/simd", "own", 1e-3);
        record.placement = Some("one-core".into());
        let counter = Counter { record_id: 1, name: "prepare_ns".into(), value: 12.5 };
        let facts = facts(&record, &Times::default(), &[&counter], 100);
        assert_eq!(value(&facts, "threads were"), Some("one-core"));
        assert_eq!(value(&facts, "measured limit"), Some("272 GFLOP/s, 44.0 GB/s"));
        assert_eq!(value(&facts, "prepare_ns"), Some("12.5"));
        assert_eq!(
            value(&facts, "computed from"),
            Some("60 samples of 3 processes, stopped by precision")
        );
        assert_eq!((value(&facts, "model"), value(&facts, "samples")), (None, None));
        assert!(facts.iter().all(|(_, value)| !value.is_empty()));
    }

    #[test]
    fn a_reason_of_many_lines_stays_so_and_commands_no_terminal() {
        let mut record = synthetic::square(64, "matmul/simd", "own", 1e-3);
        record.outcome = Outcome::Wrong("entry (0, 0)\n\x1b]0;title\x07 is NaN".into());
        let text = details(&record, &Times::default(), &[], 100);
        assert!(text.starts_with("WRONG\n") && text.contains("reason "), "{text}");
        assert!(text.lines().any(|line| line.trim() == "␛]0;title␇ is NaN"), "{text}");
    }
}
