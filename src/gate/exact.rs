//! Numbers without noise: the simulator's counters, compile resources, bytes allocated.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::report::Finding;
use super::verdict::{Ratio, Verdict};

/// By how much a counter may grow before it is a finding: relative, or in whole units for the few that registers are counted in.
const GROWTH: f64 = 0.001;

/// The counters of one build: kernel, case, name → value.
pub type Table = BTreeMap<(String, String, String), f64>;

/// Which way a counter should go; `None` for one that says nothing of a kernel's cost (how a time was measured, what the
/// problem is).
fn better_is_less(name: &str) -> Option<bool> {
    let measured = ["_ns", "_s", "flop_per_s", "switches", "samples"];
    if measured.iter().any(|end| name.ends_with(end)) || name == "buffer_sets" {
        return None;
    }
    if name.ends_with("_ideal_sectors") {
        // What the same bytes would fill at best: of the problem, as long as it asks for no more bytes.
        return Some(true);
    }
    Some(!name.ends_with("occupancy") && !name.ends_with("resident_blocks"))
}

/// The counters that changed, each a finding. A counter that only one side has is none of either: another version counts other
/// things. One register more, or 0.1 % more of anything, is slower; less is faster.
pub fn compare(base: &Table, head: &Table) -> Vec<Finding> {
    let changed = |(key, &before): (&(String, String, String), &f64)| {
        let &after = head.get(key)?;
        let (kernel, case, name) = key;
        let change = change(name, before, after)?;
        let ratio = Ratio(if before == 0.0 { f64::MAX } else { after / before });
        let verdict = match change {
            Ordering::Greater => Verdict::Slower(ratio),
            _ => Verdict::Faster(ratio),
        };
        let finding = Finding::new(kernel, case, name, verdict);
        Some(Finding { values: Some((before, after)), ..finding })
    };
    base.iter().filter_map(changed).collect()
}

/// Whether the counter `name` became worse (`Greater`) or better (`Less`): by one register, or by 0.1 % of anything else. `None` if it
/// did neither, or says nothing of a kernel's cost.
pub fn change(name: &str, before: f64, after: f64) -> Option<Ordering> {
    let less = better_is_less(name)?;
    let counted_singly = name.ends_with("registers");
    let allowed = if counted_singly { 0.0 } else { GROWTH * before.abs() };
    let worse = if (after > before) == less { Ordering::Greater } else { Ordering::Less };
    ((after - before).abs() > allowed).then_some(worse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, f64)]) -> Table {
        let row = |&(name, value): &(&str, f64)| {
            (("matmul/mma".to_owned(), "case".to_owned(), name.to_owned()), value)
        };
        rows.iter().map(row).collect()
    }

    fn found(name: &str, before: f64, after: f64) -> Option<&'static str> {
        let findings = compare(&table(&[(name, before)]), &table(&[(name, after)]));
        assert!(findings.len() <= 1);
        findings.first().map(|finding| finding.verdict.name())
    }

    #[test]
    fn one_register_and_a_thousandth_of_sectors_are_findings() {
        assert_eq!(found("mma.registers", 168.0, 169.0), Some("slower"));
        assert_eq!(found("global_load_sectors", 100_000.0, 100_101.0), Some("slower"));
        assert_eq!(found("global_load_sectors", 100_000.0, 100_099.0), None);
        assert_eq!(found("mma.spill_bytes", 0.0, 4.0), Some("slower"));
        assert_eq!(found("mma.registers", 168.0, 160.0), Some("faster"));
        assert_eq!(found("mma.occupancy", 0.5, 0.25), Some("slower"));
        assert_eq!(found("mma.resident_blocks", 8.0, 6.0), Some("slower"));
    }

    #[test]
    fn what_only_one_side_counts_or_a_clock_measured_is_no_finding() {
        assert_eq!(found("prepare_ns", 10.0, 100.0), None);
        assert_eq!(found("anchor_flop_per_s", 10.0, 100.0), None);
        assert!(compare(&table(&[("a", 1.0)]), &table(&[("b", 2.0)])).is_empty());
    }
}
