//! Tests that look several times, and err no more often for it.

use super::signed_rank;

/// The looks of a sequential test: after how many pairs, and what share of the error may be spent there.
///
/// The error is spent by weights that sum to 1: at look j a p-value p counts as p / wⱼ, and the least so far is the test's. By
/// the union bound P(minⱼ pⱼ/wⱼ ≤ u) ≤ Σ P(pⱼ ≤ wⱼ·u) ≤ u, however the looks depend on each other and wherever one stops: the
/// result is a p-value at any stopping time. (Alpha spending after Lan and DeMets 1983, with weights fixed beforehand in place of a
/// joint distribution, which ranks of dependent sizes do not have.) Against a test that looks once, the last look loses the rest:
/// at half the weight, 3.35 in place of 3.16 standard errors at a level of 0.0008.
#[derive(Debug, Clone, PartialEq)]
pub struct Looks(Vec<(usize, f64)>);

impl Looks {
    /// Looks after so many pairs (rising) with these weights. `None` if there is none, they do not rise, or the weights are
    /// negative or sum to more than 1.
    pub fn new(looks: &[(usize, f64)]) -> Option<Self> {
        let rising = looks.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let weights = looks.iter().all(|&(_, weight)| weight >= 0.0);
        let sum: f64 = looks.iter().map(|look| look.1).sum();
        (!looks.is_empty() && rising && weights && sum <= 1.0 + 1e-12)
            .then(|| Looks(looks.to_vec()))
    }

    /// A first look with the weight `first`, then one every `step` pairs to `last`, the last with the weight `end` and those
    /// between with equal shares of the rest.
    pub fn spread(from: usize, step: usize, last: usize, first: f64, end: f64) -> Option<Self> {
        let mut at: Vec<usize> = (from..last).step_by(step.max(1)).collect();
        at.push(last);
        let between = at.len().saturating_sub(2);
        let rest = if between == 0 { 0.0 } else { (1.0 - first - end) / between as f64 };
        let n = at.len();
        let weight = |i: usize| match i {
            _ if n == 1 => 1.0,
            0 => first,
            i if i == n - 1 => 1.0 - first - rest * between as f64,
            _ => rest,
        };
        Self::new(&at.iter().enumerate().map(|(i, &pairs)| (pairs, weight(i))).collect::<Vec<_>>())
    }

    /// The pairs after which it looks, rising.
    pub fn pairs(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|look| look.0)
    }

    /// The share of the error that may be spent after `pairs` pairs; 0 where it does not look.
    pub fn weight(&self, pairs: usize) -> f64 {
        self.0.iter().find(|look| look.0 == pairs).map_or(0.0, |look| look.1)
    }

    /// The pairs at the last look.
    pub fn last(&self) -> usize {
        self.0[self.0.len() - 1].0
    }
}

/// The p-value of a test that has looked so far: 1 before the first look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anytime(f64);

impl Default for Anytime {
    fn default() -> Self {
        Anytime(1.0)
    }
}

impl Anytime {
    /// Takes in the p-value of a look with this weight.
    pub fn look(&mut self, p: f64, weight: f64) {
        if weight > 0.0 && p / weight < self.0 {
            self.0 = p / weight;
        }
    }

    /// The least p / weight so far, at most 1.
    pub fn p(self) -> f64 {
        self.0
    }
}

/// The one-sided tests of a centre against two bounds, at one look: twice one-sided (TOST, Schuirmann 1987) for equivalence,
/// by signed ranks.
///
/// Returns the p-values of "the centre is at most `low`" and "the centre is at least `high`"; both small says that it lies
/// between. Each is exact by itself, and equivalence is claimed only where both are rejected, so its error is that of one
/// of them (Berger 1982: an intersection-union test needs no correction). `None` if a value is not finite.
pub fn outside(values: &[f64], low: f64, high: f64) -> Option<(f64, f64)> {
    let shifted = |bound: f64| values.iter().map(|x| x - bound).collect::<Vec<_>>();
    let above_low = signed_rank::upper_tail(&shifted(low))?.exact;
    let below_high = signed_rank::lower_tail(&shifted(high))?.exact;
    Some((above_low, below_high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::Random;

    #[test]
    fn spread_weights_sum_to_one() {
        let looks = Looks::spread(8, 4, 32, 0.0, 0.5).unwrap();
        assert_eq!(looks.pairs().collect::<Vec<_>>(), [8, 12, 16, 20, 24, 28, 32]);
        assert_eq!((looks.weight(8), looks.weight(32), looks.last()), (0.0, 0.5, 32));
        assert!((looks.pairs().map(|n| looks.weight(n)).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((looks.weight(16) - 0.1).abs() < 1e-12);
        assert_eq!(looks.weight(13), 0.0);
        assert_eq!(Looks::spread(8, 4, 8, 0.4, 0.5).unwrap().weight(8), 1.0);
        assert_eq!(Looks::new(&[(8, 0.6), (12, 0.6)]), None);
        assert_eq!(Looks::new(&[(12, 0.1), (8, 0.1)]), None);
    }

    #[test]
    fn peeking_at_every_look_errs_no_more_often_than_said() {
        let looks = Looks::spread(8, 4, 32, 0.1, 0.3).unwrap();
        let mut random = Random::new(9);
        let trials = 20_000;
        let mut naive = 0;
        let mut hits = [0; 3];
        let levels = [0.01, 0.05, 0.2];
        for _ in 0..trials {
            let mut x = Vec::new();
            let (mut p, mut least) = (Anytime::default(), 1.0f64);
            for n in looks.pairs() {
                // Sizes that grow with time: ranks and looks depend on each other.
                while x.len() < n {
                    x.push(random.normal() * (1.0 + x.len() as f64));
                }
                let now = signed_rank::upper_tail(&x).unwrap().exact;
                p.look(now, looks.weight(n));
                least = least.min(now);
            }
            naive += usize::from(least <= 0.05);
            for (hit, level) in hits.iter_mut().zip(levels) {
                *hit += usize::from(p.p() <= level);
            }
        }
        for (hit, level) in hits.into_iter().zip(levels) {
            assert!((hit as f64) < level * trials as f64, "{hit} at {level}");
            assert!(
                (hit as f64) > 0.25 * level * trials as f64,
                "{hit} at {level}: far too strict"
            );
        }
        // What peeking does to who does not pay for it.
        assert!(naive as f64 > 0.1 * trials as f64, "{naive}");
    }

    #[test]
    fn what_lies_between_the_bounds_is_rejected_on_both_sides() {
        let x: Vec<f64> = (0..8).map(|i| 0.001 * f64::from(i - 4)).collect();
        let (low, high) = outside(&x, -0.02, 0.02).unwrap();
        assert_eq!((low, high), (1.0 / 256.0, 1.0 / 256.0));
        assert_eq!(outside(&x, 0.02, 0.04).unwrap().0, 1.0);
    }
}
