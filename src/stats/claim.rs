//! Whether a claimed order of growth, such as O(n²), is what was measured, and from which size on.

use super::fit::{PowerLaw, power_law};

/// An exponent this near to the claimed one is taken for it: what caches and fixed parts of a loop do to a curve is no other order.
pub const MARGIN: f64 = 0.1;
/// The least number of sizes that a law is fitted to.
const LEAST: usize = 5;

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Claimed {
    /// The exponent's interval lies within [`MARGIN`] of the claim: it holds from this size on.
    From(f64),
    /// The interval over all sizes lies outside of it.
    Rejected,
    /// The interval reaches beyond it on some side, or the fixed cost still hides the growth at the largest size.
    Undecided,
}

/// Tests the claim that times grow as n to the power of `order`, by points (n, t). Returns what became of it and the law that says so.
///
/// The law t = a + b·nᵖ is fitted to all sizes, then without the least, without the two least, and so on down to five. The claim holds
/// from the first of these tails whose 95 % interval of p lies within [`MARGIN`] of `order`, if no later tail's lies outside: an
/// equivalence test, so that few or noisy points leave it undecided and never confirm it. The size from which it holds is no less than
/// that at which the law's local exponent comes within the margin, for until then the fixed cost `a` outweighs the growth.
///
/// `None` where [`power_law`] fits nothing to all points.
pub fn claim(points: &[(f64, f64)], order: f64) -> Option<(Claimed, PowerLaw)> {
    let mut points = points.to_vec();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let whole = power_law(&points)?;
    let largest = points[points.len() - 1].0;
    let later = (1..=points.len() - LEAST)
        .filter(|&i| points[i].0 > points[i - 1].0)
        .filter_map(|i| Some((points[i].0, power_law(&points[i..])?)));
    let tails: Vec<(f64, PowerLaw)> = std::iter::once((points[0].0, whole)).chain(later).collect();
    let holds = |law: &PowerLaw| law.p_low >= order - MARGIN && law.p_high <= order + MARGIN;
    let rejected = |law: &PowerLaw| law.p_low > order + MARGIN || law.p_high < order - MARGIN;
    for (i, (size, law)) in tails.iter().enumerate() {
        if holds(law) && !tails[i + 1..].iter().any(|(_, later)| rejected(later)) {
            let from = size.max(grown(law, order - MARGIN));
            let claimed = if from < largest { Claimed::From(from) } else { Claimed::Undecided };
            return Some((claimed, *law));
        }
    }
    Some((if rejected(&whole) { Claimed::Rejected } else { Claimed::Undecided }, whole))
}

/// The size from which the law's local exponent is at least `least`.
fn grown(law: &PowerLaw, least: f64) -> f64 {
    if law.a <= 0.0 {
        return 0.0;
    }
    // p·b·nᵖ / (a + b·nᵖ) = least, solved for n.
    let grown = law.a * least / (law.b * (law.p - least));
    if law.p > least { grown.max(0.0).powf(1.0 / law.p) } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::Random;

    /// Sizes from 128, a factor 2 apart, with normal relative errors.
    fn sweep(a: f64, p: f64, noise: f64, seed: u64) -> Vec<(f64, f64)> {
        let mut random = Random::new(seed);
        let sizes = (0..8).map(|i| 128.0 * 2f64.powi(i));
        sizes.map(|n| (n, (a + n.powf(p)) * (1.0 + noise * random.normal()))).collect()
    }

    #[test]
    fn a_true_claim_holds_and_a_wrong_one_is_never_confirmed() {
        for seed in 0..200 {
            let points = sweep(0.0, 2.0, 0.01, seed);
            assert!(matches!(claim(&points, 2.0), Some((Claimed::From(_), _))), "{seed}");
            for wrong in [1.0, 1.7, 2.3, 3.0] {
                let (said, law) = claim(&points, wrong).unwrap();
                assert!(!matches!(said, Claimed::From(_)), "{seed} {wrong}: {law:?}");
            }
            assert_eq!(claim(&points, 3.0).unwrap().0, Claimed::Rejected);
        }
    }

    #[test]
    fn noise_leaves_a_claim_undecided() {
        let points = sweep(0.0, 2.0, 0.2, 3);
        assert_eq!(claim(&points, 2.0).unwrap().0, Claimed::Undecided);
    }

    #[test]
    fn a_claim_holds_from_where_the_growth_outweighs_the_fixed_cost() {
        // At n = 1000 the fixed cost is as large as the growth, which halves the local exponent.
        let points: Vec<(f64, f64)> = sweep(1e6, 2.0, 0.0, 0);
        let (said, _) = claim(&points, 2.0).unwrap();
        let Claimed::From(size) = said else { panic!("{said:?}") };
        let local = 2.0 * size * size / (1e6 + size * size);
        assert!((local - 1.9).abs() < 0.01, "{size} {local}");
        // Within these sizes it is not to be seen yet.
        let hidden: Vec<(f64, f64)> = points.iter().map(|&(n, t)| (n, t + 1e9)).collect();
        assert_eq!(claim(&hidden, 2.0).unwrap().0, Claimed::Undecided);
    }

    #[test]
    fn another_order_at_small_sizes_only_moves_the_start() {
        // Linear up to 1024, quadratic from there on.
        let time = |n: f64| if n < 1024.0 { n } else { n * n / 1024.0 };
        let points: Vec<(f64, f64)> =
            (0..12).map(|i| 64.0 * 2f64.powi(i)).map(|n| (n, time(n))).collect();
        let (said, law) = claim(&points, 2.0).unwrap();
        let Claimed::From(size) = said else { panic!("{said:?} {law:?}") };
        assert!((512.0..=2048.0).contains(&size), "{size}");
        assert_eq!(claim(&points[..4], 2.0), None, "four points are no sweep");
    }
}
