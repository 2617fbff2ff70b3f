//! What the records say, in sentences.

use super::ReportInput;
use super::charts::law_of;
use super::compare::{Shape, geomean, median, shapes};
use super::group::{Group, family_groups, memory_bound, threads};
use super::sweep::{Line, Sweep, sweeps};
use crate::ops::{Cache, Family};
use crate::record::{Record, StopReason};
use crate::units::Bytes;

/// Everything worth saying, most important first; each a Markdown sentence or two.
pub fn findings(input: &ReportInput) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(unfit(input));
    found.extend(pretended(input.records));
    found.extend(untrusted(input.records));
    found.extend(above_peak(input.records));
    found.extend(fastest_by_op(input.records));
    let sweeps = sweeps(input.records);
    for sweep in sweeps.iter().filter(|s| s.group.family != Family::Optimizer) {
        let fewer = |other: &Sweep| {
            let alike = Group { threads: sweep.group.threads, ..other.group.clone() };
            alike == sweep.group && other.suffix == sweep.suffix
        };
        // More threads shift a curve more than they bend it; the table of laws has them all.
        if !sweeps.iter().any(|o| fewer(o) && o.group.threads < sweep.group.threads) {
            found.extend(growth(sweep, input));
        }
    }
    found.extend(precision(input.records));
    found
}

/// What the calibration of a GPU found to be off: nothing that was timed there can be trusted.
fn unfit(input: &ReportInput) -> Vec<String> {
    let unfit = input.machine.iter().filter(|(label, _)| label.ends_with(" is unfit"));
    unfit.map(|(label, reason)| format!("**{label}**: {reason}.")).collect()
}

/// A fake driver's times mean nothing, however they look.
fn pretended(records: &[Record]) -> Option<String> {
    let fake = records.iter().find(|r| r.device.starts_with("fake:"))?;
    Some(format!("**The times of {} are made up**: it is no GPU.", fake.device))
}

/// Wrong and failed records come first: nothing else matters as much.
fn untrusted(records: &[Record]) -> Option<String> {
    let count = |status| records.iter().filter(|r| r.outcome.status() == status).count();
    let (wrong, failed) = (count("wrong"), count("failed"));
    (wrong + failed > 0).then(|| {
        format!(
            "**{wrong} wrong and {failed} failed**: their times are not in this report; the reasons stand at its end."
        )
    })
}

/// One finding an op, dtype and cache, with what holds at each thread count; the rules of an optimizer together.
fn fastest_by_op(records: &[Record]) -> Vec<String> {
    let mut found: Vec<(Group, String)> = Vec::new();
    for (group, members) in family_groups(records) {
        if group.family == Family::Peak {
            continue;
        }
        let Some(text) = fastest(&members) else { continue };
        let text = format!("On {}, {text}", threads(group.threads));
        let key = Group { threads: 1, ..group };
        match found.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = format!("{known} {text}"),
            None => found.push((key, text)),
        }
    }
    found.iter().map(|(group, text)| format!("**{}**: {text}", group.heading())).collect()
}

/// The fastest kernel of a group, ours against the best baseline, and the share of the peak.
fn fastest(records: &[&Record]) -> Option<String> {
    let shapes = shapes(records);
    let mut wins: Vec<(&str, usize)> = Vec::new();
    for winner in shapes.iter().filter_map(Shape::best) {
        match wins.iter_mut().find(|(kernel, _)| *kernel == winner.kernel) {
            Some((_, count)) => *count += 1,
            None => wins.push((&winner.kernel, 1)),
        }
    }
    wins.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let (kernel, count) = *wins.first()?;
    let mut text = match shapes.len() {
        1 => format!("`{kernel}` is the fastest"),
        all => format!("`{kernel}` is the fastest in {count} of {all} cases"),
    };
    let share = |op: Option<&str>| -> Vec<f64> {
        let of_op = |r: &&&Record| op.is_none_or(|op| r.case.problem.op() == op);
        let theirs = records.iter().filter(|r| r.kernel == kernel).filter(of_op);
        theirs.filter_map(|r| r.share_of_peak()).collect()
    };
    let shares = share(None);
    if let Some(mean) = geomean(shares.iter().copied()) {
        let best = shares.iter().copied().fold(0.0, f64::max);
        text.push_str(&format!(
            " and reaches {:.0} % of the measured limit (geomean; best {:.0} %)",
            100.0 * mean,
            100.0 * best
        ));
    }
    let mut ops: Vec<&str> = Vec::new();
    for record in records {
        if !ops.contains(&record.case.problem.op()) {
            ops.push(record.case.problem.op());
        }
    }
    if ops.len() > 1 {
        let of = |op: &&str| Some(format!("{op} {:.0} %", 100.0 * geomean(share(Some(op)))?));
        let each: Vec<String> = ops.iter().filter_map(of).collect();
        if !each.is_empty() {
            text.push_str(&format!(": {}", each.join(", ")));
        }
    }
    text.push('.');
    let ratios: Vec<f64> = shapes.iter().filter_map(Shape::ratio).collect();
    if let Some(mean) = geomean(ratios.iter().copied()) {
        let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ratios.iter().copied().fold(0.0, f64::max);
        text.push_str(&format!(
            " Our best runs at {mean:.2}× the best baseline (geomean of {}; {low:.2}× to {high:.2}×).",
            plural(ratios.len(), "case")
        ));
    }
    Some(text)
}

/// How time and memory grow along a sweep: of the kernel that is fastest at the largest size.
fn growth(sweep: &Sweep, input: &ReportInput) -> Option<String> {
    let last = |line: &&Line| line.points.last().map_or(0.0, |p| p.0);
    let largest = sweep.lines.iter().map(|l| last(&l)).fold(0.0, f64::max);
    let line = sweep
        .lines
        .iter()
        .filter(|l| last(l) == largest)
        .min_by(|a, b| end_time(a).total_cmp(&end_time(b)))?;
    let law = law_of(line, input.law)?;
    let fixed =
        if sweep.fixed.is_empty() { String::new() } else { format!(" ({} stays)", sweep.fixed) };
    let mut text = format!(
        "**{}**: along {}{fixed} the time of `{}` grows with the power {}",
        sweep.group.title(),
        sweep.parameter,
        line.kernel,
        law.exponent()
    );
    text.push_str(&format!(
        "; the law misses no point by more than {}",
        percent(law.max_relative_error)
    ));
    let bends = (input.bends)(&line.times());
    text.push_str(&match &bends[..] {
        [] => "; the curve does not bend.".to_owned(),
        bends => {
            let at: Vec<String> =
                bends.iter().map(|b| format!("between {}", stretch(b, " and "))).collect();
            format!("; the curve bends {}.", at.join(", "))
        }
    });
    let allocated: Vec<(f64, Bytes)> =
        line.points.iter().filter_map(|(n, r)| Some((*n, r.allocated?))).collect();
    if let [(n0, first), .., (n1, last)] = allocated[..]
        && first.0 > 0
        && n1 > n0
    {
        let power = (last.0 as f64 / first.0 as f64).ln() / (n1 / n0).ln();
        text.push_str(&format!(
            " Memory grows from {first} to {last}, with the power {power:.2} from end to end."
        ));
    }
    Some(text)
}

/// The time of a line's largest size.
fn end_time(line: &Line) -> f64 {
    line.points.last().map_or(f64::INFINITY, |(_, record)| median(record))
}

/// Whether a record is above its nearer limit by more than its interval.
pub fn is_above_peak(record: &Record) -> bool {
    let Some((share, timing)) = record.share_of_peak().zip(record.timing()) else { return false };
    record.case.problem.family() != Family::Peak && share * (timing.median.0 / timing.high.0) > 1.0
}

/// Above a limit: explained where a cache serves the data, else a finding about the method.
fn above_peak(records: &[Record]) -> Vec<String> {
    let cached = |r: &&&Record| memory_bound(r) && r.case.cache == Cache::Warm;
    let above: Vec<&Record> = records.iter().filter(|r| is_above_peak(r)).collect();
    let largest = |of: &[&Record]| {
        let top = of.iter().max_by(|a, b| share(a).total_cmp(&share(b)))?;
        Some(format!("`{}` on {} at {:.0} %", top.kernel, top.case.key(), 100.0 * share(top)))
    };
    let inexplicable: Vec<&Record> = above.iter().filter(|r| !cached(r)).copied().collect();
    let explained: Vec<&Record> = above.iter().filter(cached).copied().collect();
    let mut found = Vec::new();
    if let Some(top) = largest(&inexplicable) {
        found.push(format!(
            "**Above the measured peak**: {}, most of all {top}. This is a finding about the method (the peak, the \
             count of work or the clock), not a record to celebrate.",
            plural(inexplicable.len(), "record")
        ));
    }
    if let Some(top) = largest(&explained) {
        found.push(format!(
            "**Faster than memory**: {} that memory bounds ran warm above its bandwidth, most of all {top}: \
             their data came from a cache.",
            plural(explained.len(), "record")
        ));
    }
    found
}

fn share(record: &Record) -> f64 {
    record.share_of_peak().unwrap_or(0.0)
}

/// How many records met the precision that was asked for.
fn precision(records: &[Record]) -> Option<String> {
    let timings: Vec<_> = records.iter().filter_map(Record::timing).collect();
    let met = timings.iter().filter(|t| t.stop == StopReason::Precision).count();
    let widest = timings.iter().map(|t| t.relative_half_width()).fold(0.0, f64::max);
    (!timings.is_empty()).then(|| {
        format!(
            "**Precision**: {met} of {} measured records met the precision that was asked for ({:.0} %); the widest \
             interval is ±{}.",
            timings.len(),
            100.0 * met as f64 / timings.len() as f64,
            percent(widest)
        )
    })
}

/// `512–1024`: from one size to the next, with a word or a dash between.
pub fn stretch((from, to): &(f64, f64), between: &str) -> String {
    format!("{}{between}{}", from.round(), to.round())
}

/// `0.4 %`, `12 %`.
pub fn percent(share: f64) -> String {
    let value = 100.0 * share;
    if value < 9.95 { format!("{value:.1} %") } else { format!("{value:.0} %") }
}

/// `1 case`, `3 cases`.
fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{input, square};

    #[test]
    fn the_ratio_to_the_best_baseline_and_the_share_of_peak_are_right() {
        // 2·512³ flops at 272 GFLOP/s take 0.98690 ms: twice that is half of the peak.
        let floor = 2.0 * 512f64.powi(3) / 272e9;
        let records = [
            square(512, "matmul/simd", "own", 2.0 * floor),
            square(512, "matmul/gemm", "gemm", 2.5 * floor),
            square(512, "matmul/mkl", "mkl", 4.0 * floor),
        ];
        let all = findings(&input(&records, &[])).join("\n");
        assert!(
            all.contains("`matmul/simd` is the fastest and reaches 50 % of the measured limit"),
            "{all}"
        );
        assert!(all.contains("at 1.25× the best baseline (geomean of 1 case"), "{all}");
    }

    #[test]
    fn the_exponent_and_the_growth_of_memory_are_told() {
        let records: Vec<Record> = [128usize, 256, 512, 1024, 2048]
            .map(|n| square(n, "matmul/simd", "own", 1e-11 * (n as f64).powi(3)))
            .to_vec();
        let all = findings(&input(&records, &[])).join("\n");
        assert!(all.contains("grows with the power 3.00 ± 0.02"), "{all}");
        assert!(all.contains("the curve bends between 512 and 1024."), "{all}");
        assert!(all.contains("with the power 2.00 from end to end"), "{all}");
    }

    #[test]
    fn above_the_arithmetic_peak_is_a_finding_about_the_method() {
        let floor = 2.0 * 1024f64.powi(3) / 272e9;
        let records = [square(1024, "matmul/simd", "own", floor / 1.2)];
        let all = findings(&input(&records, &[])).join("\n");
        assert!(all.contains("**Above the measured peak**: 1 record"), "{all}");
        assert!(all.contains("at 120 %"), "{all}");
        let fine = [square(1024, "matmul/simd", "own", floor / 1.005)];
        assert!(!findings(&input(&fine, &[])).join("\n").contains("Above"), "within its interval");
    }
}
