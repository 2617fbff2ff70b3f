//! What every stored record keeps to. Writer and reader ask the same questions, so that what was written can be read.

use super::table::Unfit;
use crate::ops::{Case, Problem};
use crate::record::{Outcome, Record, Timing};
use crate::units::Nanos;

/// Largest size that a column may hold; keeps every product of sizes within 128 bits.
const LARGEST: usize = 1 << 48;
/// Largest number of groups of a product: their rows are dealt out one by one.
const MOST_GROUPS: usize = 1 << 20;
/// Relative slack between statistics that are ordered in exact arithmetic: a geometric mean of equal numbers may come
/// out a rounding below them.
const SLACK: f64 = 1e-9;

/// Whether the work of a case can be computed at all, and its sizes make sense.
pub(super) fn check_case(case: &Case) -> Result<(), Unfit> {
    let sizes: Vec<(&'static str, usize)> = match &case.problem {
        Problem::Matmul(p) => {
            let groups = p.groups.map_or(1, |g| g.experts);
            if groups > MOST_GROUPS {
                let reason = format!("{groups} groups; a product has at most {MOST_GROUPS}");
                return Err(Unfit::new("groups", reason));
            }
            vec![("m", p.m), ("n", p.n), ("k", p.k), ("batch", p.batch), ("groups", groups)]
        }
        Problem::Attention(p) => vec![
            ("batch", p.batch),
            ("heads", p.heads),
            ("kv_heads", p.kv_heads),
            ("seq_q", p.seq_q),
            ("seq_kv", p.seq_kv),
            ("head_dim_qk", p.head_dim_qk),
            ("head_dim_v", p.head_dim_v),
        ],
        Problem::Update(p) => vec![("params", p.params)],
        Problem::Peak(p) => vec![("probe_size", p.size)],
    };
    if let Some((column, size)) = sizes.iter().find(|(_, size)| *size > LARGEST) {
        return Err(Unfit::new(column, format!("{size} is beyond 2⁴⁸, the largest size")));
    }
    let product = sizes.iter().fold(1u128, |p, (_, size)| p.saturating_mul((*size).max(1) as u128));
    if product >> 120 != 0 {
        return Err(Unfit::new(sizes[0].0, "the sizes together are too large to describe"));
    }
    if let Some(reason) = case.invalid() {
        return Err(Unfit::new(sizes[0].0, reason));
    }
    if !case.has_pass() && case.pass != crate::ops::Pass::Forward {
        let reason = format!("`{}` means nothing for {}", case.pass.name(), case.problem.op());
        return Err(Unfit::new("pass", reason));
    }
    let too_large = |shape: &[usize]| {
        shape.iter().fold(1u128, |p, &size| p.saturating_mul(size as u128)) > LARGEST as u128
    };
    if case.operands().iter().chain(&case.results()).any(|spec| too_large(&spec.shape)) {
        return Err(Unfit::new(sizes[0].0, "a tensor of these sizes is beyond 2⁴⁸ elements"));
    }
    Ok(())
}

/// Whether a record says what its outcome promises, in numbers that are numbers.
pub(super) fn check_record(record: &Record) -> Result<(), Unfit> {
    check_case(&record.case)?;
    check_facts(record)
}

/// The same for a record whose case is known to be sound.
pub(super) fn check_facts(record: &Record) -> Result<(), Unfit> {
    if record.record_id == 0 {
        return Err(Unfit::new("record_id", "records are numbered from 1"));
    }
    let family = record.case.problem.family().name();
    if !record
        .kernel
        .strip_prefix(family)
        .is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
    {
        let reason = format!("`{}` is not of the form `{family}/name`", record.kernel);
        return Err(Unfit::new("kernel", reason));
    }
    for (column, text) in [("provider", &record.provider), ("device", &record.device)] {
        if text.is_empty() {
            return Err(Unfit::new(column, "empty; every record has one"));
        }
    }
    if record.placement.as_deref() == Some("") {
        return Err(Unfit::new("placement", "empty text; leave out what is not known"));
    }
    match &record.outcome {
        Outcome::Measured(timing) => check_timing(timing)?,
        Outcome::Simulated => {}
        other if other.detail().is_empty() => {
            let reason = format!("empty; a record that is {} has its reason", other.status());
            return Err(Unfit::new("detail", reason));
        }
        _ => {}
    }
    check_answer(record)?;
    for (column, peak) in [
        ("peak_flop_per_s", record.peak_flops.map(|r| r.0)),
        ("peak_byte_per_s", record.peak_bytes.map(|r| r.0)),
    ] {
        match peak {
            Some(rate) if !rate.is_finite() || rate <= 0.0 => {
                return Err(Unfit::new(column, format!("{rate} is no rate; it must be above 0")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A wrong answer may deviate without bound; every other deviation is a number within its tolerance.
fn check_answer(record: &Record) -> Result<(), Unfit> {
    let Some(check) = &record.check else { return Ok(()) };
    let wrong = matches!(record.outcome, Outcome::Wrong(_));
    if !check.tolerance.is_finite() || check.tolerance.is_sign_negative() {
        return Err(Unfit::new("tolerance", format!("{} is no tolerance", check.tolerance)));
    }
    if check.deviation < 0.0 || (!wrong && !check.deviation.is_finite()) {
        return Err(Unfit::new("deviation", format!("{} is no deviation", check.deviation)));
    }
    let right = matches!(record.outcome, Outcome::Measured(_) | Outcome::Simulated);
    if right && check.deviation > check.tolerance {
        let reason = format!(
            "{} is beyond the tolerance {}, so that the record is wrong, not {}",
            check.deviation,
            check.tolerance,
            record.outcome.status()
        );
        return Err(Unfit::new("deviation", reason));
    }
    Ok(())
}

fn check_timing(timing: &Timing) -> Result<(), Unfit> {
    for (column, count) in [("processes", timing.processes), ("samples", timing.samples)] {
        if count == 0 {
            return Err(Unfit::new(column, "0; a measured record has at least one"));
        }
    }
    if timing.processes > timing.samples {
        let reason = format!("{} processes gave {} samples", timing.processes, timing.samples);
        return Err(Unfit::new("processes", reason));
    }
    for (column, Nanos(time)) in [
        ("time_median_ns", timing.median),
        ("time_low_ns", timing.low),
        ("time_high_ns", timing.high),
        ("time_min_ns", timing.min),
        ("time_p95_ns", timing.p95),
        ("time_p99_ns", timing.p99),
    ] {
        if !time.is_finite() || time.is_sign_negative() {
            return Err(Unfit::new(column, format!("{time} is no time")));
        }
    }
    if timing.median.0 == 0.0 {
        return Err(Unfit::new("time_median_ns", "0; nothing takes no time"));
    }
    for (column, small, than, large) in [
        ("time_low_ns", timing.low, "time_median_ns", timing.median),
        ("time_high_ns", timing.median, "time_high_ns", timing.high),
        ("time_min_ns", timing.min, "time_median_ns", timing.median),
        ("time_p95_ns", timing.min, "time_p95_ns", timing.p95),
        ("time_p99_ns", timing.p95, "time_p99_ns", timing.p99),
    ] {
        if small.0 > large.0 * (1.0 + SLACK) {
            let reason = if column == than {
                format!("{} is below {}, and cannot be", large.0, small.0)
            } else {
                format!("{} is above {than}, {}", small.0, large.0)
            };
            return Err(Unfit::new(column, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Groups, Matmul, Precision, Probe, ProbeKind, Transpose};

    fn unfit(problem: Problem) -> Option<&'static str> {
        check_case(&Case::new(problem, Precision::F32)).err().map(|unfit| unfit.column)
    }

    #[test]
    fn sizes_that_would_overflow_are_refused_before_anything_is_computed() {
        let product = Matmul::new(usize::MAX, usize::MAX, usize::MAX);
        assert_eq!(unfit(Problem::Matmul(product)), Some("m"));
        let product = Matmul { batch: 1 << 48, ..Matmul::new(1 << 48, 1 << 48, 1 << 48) };
        assert_eq!(unfit(Problem::Matmul(product)), Some("m"));
        let groups = Some(Groups { experts: 1 << 40, skew: 0.0 });
        let grouped = Matmul { groups, transpose: Transpose::Nt, ..Matmul::new(0, 1, 0) };
        assert_eq!(unfit(Problem::Matmul(grouped)), Some("groups"));
        let probe = Probe { kind: ProbeKind::Fma, size: usize::MAX };
        assert_eq!(unfit(Problem::Peak(probe)), Some("probe_size"));
        let heads = crate::ops::Attention::new(1, 1 << 26, 1, false);
        let heads = crate::ops::Attention { seq_q: 1 << 48, seq_kv: 1, ..heads };
        assert_eq!(unfit(Problem::Attention(heads)), None);
        assert_eq!(unfit(Problem::Matmul(Matmul::new(0, 5, 0))), None);
    }
}
