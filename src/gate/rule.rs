//! What counts as slower, as the same, and how often the gate may err.

use crate::error::{Error, Result};
use crate::stats::sequential::Looks;

/// The thresholds of a gate, and the looks at which it decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// A head is slower where its time is more than 1 + this times the base's, and faster where it is less than 1 / (1 + this).
    pub slack: f64,
    /// Times within this of each other are the same.
    pub same: f64,
    /// False discovery rate over all kernels and curves, in each direction: where nothing changed, the rate of any alarm.
    pub false_discovery: f64,
    /// How often a kernel that lies just outside `same` may be called the same, on each side.
    pub false_same: f64,
    /// When "slower" and "faster" are tested, and at what weight.
    pub changed_looks: Looks,
    /// When "the same" is tested, and at what weight.
    pub same_looks: Looks,
}

/// A gate of fewer kernels is as strict as one of so many: at a rate of 0.5 % for all, one alone errs at 0.0625 %.
pub const LEAST_FAMILY: usize = 8;
/// Pairs before the first look.
pub const FIRST_PAIRS: usize = 8;
/// Pairs from one look to the next.
pub const STEP: usize = 4;
/// Pairs at the last look, unless asked otherwise.
pub const LAST_PAIRS: usize = 32;

impl Rule {
    /// The rule with these bounds, its last look after `pairs` pairs.
    ///
    /// No 12 pairs reach the level of one kernel of eight (2⁻¹² is above a share of 0.0625 %), so no error is spent on "slower"
    /// before 16, and half of it at the end. "The same" is cheaper, and wanted early: two fifths of its error go to the first look,
    /// which 8 pairs reach with at most one small exception.
    ///
    /// # Errors
    /// When a bound makes no sense or `pairs` are fewer than 8.
    pub fn new(slack: f64, same: f64, pairs: usize) -> Result<Self> {
        let usage = |text: String| Err(Error::Usage(text));
        if !(slack >= 0.0 && slack < same && same <= 0.5) {
            return usage(format!(
                "thresholds make no sense: slower begins at {slack} and the same ends at {same}; use 0 ≤ slower < same ≤ 0.5"
            ));
        }
        if !(FIRST_PAIRS..=4096).contains(&pairs) {
            return usage(format!("{pairs} pairs make no sense; use {FIRST_PAIRS} to 4096"));
        }
        let first = 16.min(pairs);
        let looks = |from, first, end| {
            Looks::spread(from, STEP, pairs, first, end)
                .expect("weights are fractions that sum to 1")
        };
        Ok(Rule {
            slack,
            same,
            false_discovery: 0.005,
            false_same: 0.02,
            changed_looks: looks(first, 0.1, 0.5),
            same_looks: looks(FIRST_PAIRS, 0.4, 0.1),
        })
    }

    /// Pairs after which it looks next, having seen `pairs`; `None` after the last look.
    pub fn next_look(&self, pairs: usize) -> Option<usize> {
        self.same_looks.pairs().chain(self.changed_looks.pairs()).filter(|&look| look > pairs).min()
    }

    /// The most pairs that it takes.
    pub fn last(&self) -> usize {
        self.same_looks.last().max(self.changed_looks.last())
    }

    /// The level at which the last look tests one of `family` kernels and curves, if no other is found.
    pub fn level(&self, family: usize) -> f64 {
        let weight = self.changed_looks.weight(self.changed_looks.last());
        self.false_discovery / family.max(LEAST_FAMILY) as f64 * weight
    }
}

impl Default for Rule {
    fn default() -> Self {
        Rule::new(0.005, 0.02, LAST_PAIRS).expect("the default bounds make sense")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_after_8_pairs_and_every_four_to_the_last() {
        let rule = Rule::default();
        let mut looks = vec![];
        let mut pairs = 0;
        while let Some(next) = rule.next_look(pairs) {
            looks.push(next);
            pairs = next;
        }
        assert_eq!(looks, [8, 12, 16, 20, 24, 28, 32]);
        assert_eq!(Rule::new(0.005, 0.02, 8).unwrap().next_look(8), None);
        assert_eq!(Rule::new(0.005, 0.02, 64).unwrap().last(), 64);
    }

    #[test]
    fn every_look_that_may_spend_can_be_reached() {
        let rule = Rule::default();
        for pairs in rule.same_looks.pairs() {
            let least = 0.5f64.powi(pairs as i32);
            assert!(least <= rule.false_same * rule.same_looks.weight(pairs), "{pairs}");
        }
        for pairs in rule.changed_looks.pairs() {
            let level = rule.false_discovery / 10.0 * rule.changed_looks.weight(pairs);
            assert!(0.5f64.powi(pairs as i32) <= level, "{pairs}");
        }
    }

    #[test]
    fn bounds_that_make_no_sense_are_refused() {
        for (slack, same, pairs) in [
            (0.02, 0.02, 32),
            (-0.1, 0.02, 32),
            (f64::NAN, 0.02, 32),
            (0.0, 0.9, 32),
            (0.0, 0.02, 7),
        ] {
            assert!(Rule::new(slack, same, pairs).is_err());
        }
    }
}
