//! What a signed-rank test could have seen, and what it would take.

use std::f64::consts::PI;

use super::order::{MAD_TO_SD, mad};
use super::student::{normal_quantile, t_quantile};

/// Most values that are ever proposed.
const MOST: usize = 1_000_000;

/// The least shift that a one-sided signed-rank test of `pairs` values at `level` finds with probability `power`, for normal
/// values with standard deviation `sd` (the shift is in its unit).
///
/// n values are worth 3n/π to Student's test (Hodges and Lehmann 1956, "The efficiency of some nonparametric competitors of the
/// t-test"), whose shift is (t₁₋ₗ + t_power)·sd/√n. Simulated power lies within 0.05 of what was asked for. `None` where no shift
/// suffices (so few values never reach the level), or an argument makes no sense.
pub fn least_shift(pairs: usize, sd: f64, level: f64, power: f64) -> Option<f64> {
    let reachable = 0.5f64.powi(pairs.min(1000) as i32) <= level;
    let usable = reachable && sd >= 0.0 && sd.is_finite();
    if !usable {
        return None;
    }
    let worth = 3.0 * pairs as f64 / PI;
    let t = |p: f64| if worth > 1000.0 { normal_quantile(p) } else { t_quantile(p, worth - 1.0) };
    Some((t(1.0 - level)? + t(power)?).max(0.0) * sd / worth.sqrt())
}

/// The values it takes to find `shift` with probability `power`: [`least_shift`] the other way round.
///
/// `None` if `shift` is not above 0, more than a million would be needed, or an argument makes no sense.
pub fn pairs_needed(shift: f64, sd: f64, level: f64, power: f64) -> Option<usize> {
    let enough = |pairs| least_shift(pairs, sd, level, power).is_some_and(|least| least <= shift);
    if shift.is_nan() || shift <= 0.0 || !enough(MOST) {
        return None;
    }
    let (mut few, mut many) = (0, MOST);
    while many - few > 1 {
        let middle = few.midpoint(many);
        if enough(middle) { many = middle } else { few = middle }
    }
    Some(many)
}

/// The standard deviation of values, whatever a few outliers do: that of normal values with the same median absolute deviation.
///
/// `None` if there is no value or one is NaN.
pub fn robust_sd(values: &[f64]) -> Option<f64> {
    Some(MAD_TO_SD * mad(values)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::Random;
    use crate::stats::signed_rank::upper_tail;

    #[test]
    fn the_shift_is_found_as_often_as_was_asked_for() {
        let mut random = Random::new(4);
        for (pairs, level, power) in
            [(32, 0.01, 0.8), (32, 0.001, 0.95), (20, 0.01, 0.95), (24, 0.001, 0.8)]
        {
            let shift = least_shift(pairs, 1.0, level, power).unwrap();
            let found = (0..4000).filter(|_| {
                let x: Vec<f64> = (0..pairs).map(|_| shift + random.normal()).collect();
                upper_tail(&x).unwrap().exact <= level
            });
            let found = found.count() as f64 / 4000.0;
            assert!((found - power).abs() < 0.055, "{pairs} {level} {power}: {found}");
        }
    }

    #[test]
    fn shifts_and_pairs_are_each_others_inverse() {
        let shift = least_shift(24, 0.02, 0.001, 0.8).unwrap();
        assert_eq!(pairs_needed(shift * 1.000_001, 0.02, 0.001, 0.8), Some(24));
        assert_eq!(pairs_needed(0.01, 0.0, 0.001, 0.8), Some(10));
        assert_eq!(least_shift(8, 0.02, 0.001, 0.8), None);
        assert_eq!(pairs_needed(0.0, 0.02, 0.001, 0.8), None);
    }
}
