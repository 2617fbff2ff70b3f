//! A series that drifts: Mann (1945) and Kendall's (1975) test, for values that depend on each other, and Theil's line.

use super::order::median;
use super::scan::ranks;
use super::steps::{ENOUGH, MARGIN, lag_one, without_bias};
use super::student::normal_cdf;

/// What came of looking for a drift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Change from one value to the next: the median of slopes over half the series (Theil 1950, incomplete method).
    pub slope: f64,
    /// Value of the line at the first index.
    pub start: f64,
    /// Two-sided probability of so steady a rise or fall, or a steadier one, if there were none.
    pub p: f64,
}

/// Tests a series for a monotone drift. `None` with fewer than [`ENOUGH`] values, or with one that is not finite.
///
/// The variance of Kendall's sum is that of Hamed and Rao (1998), "A modified Mann–Kendall trend test for autocorrelated data", with
/// an autoregression of first order in place of every lag's estimate: its correlation is that of the ranks, without their line.
pub fn drift(values: &[f64]) -> Option<Drift> {
    let n = values.len();
    if n < ENOUGH || !values.iter().all(|x| x.is_finite()) {
        return None;
    }
    let (sum, variance) = kendall(values);
    let variance = variance * stretch(correlation(values), n);
    // Continuity: the sum moves in steps of two.
    let size = (sum.abs() - 1.0).max(0.0);
    let p = if variance > 0.0 { 2.0 * normal_cdf(-size / variance.sqrt()) } else { 1.0 };
    let half = n / 2;
    let mut slopes: Vec<f64> =
        (0..n - half).map(|i| (values[i + half] - values[i]) / half as f64).collect();
    let slope = median(&mut slopes)?;
    let mut starts: Vec<f64> =
        values.iter().enumerate().map(|(i, x)| x - slope * i as f64).collect();
    Some(Drift { slope, start: median(&mut starts)?, p: p.min(1.0) })
}

/// Kendall's sum, rises less falls over all pairs, and its variance in random order; ties count as neither. In n log n.
pub fn kendall(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mut sorted = values.to_vec();
    let falls = sort_counting(&mut sorted, &mut vec![0.0; values.len()]) as f64;
    let ties = || sorted.chunk_by(|a, b| a == b).map(|group| group.len() as f64);
    let equal: f64 = ties().map(|t| 0.5 * t * (t - 1.0)).sum();
    let sum = 0.5 * n * (n - 1.0) - equal - 2.0 * falls;
    let term = |t: f64| t * (t - 1.0) * (2.0 * t + 5.0);
    (sum, (term(n) - ties().map(term).sum::<f64>()) / 18.0)
}

/// Sorts, and counts the pairs that stood the wrong way round.
fn sort_counting(values: &mut [f64], room: &mut [f64]) -> u64 {
    let n = values.len();
    if n < 2 {
        return 0;
    }
    let (left, right) = values.split_at_mut(n / 2);
    let mut count = sort_counting(left, room) + sort_counting(right, room);
    let (mut i, mut j) = (0, 0);
    for place in room[..n].iter_mut() {
        if j == right.len() || (i < left.len() && left[i] <= right[j]) {
            *place = left[i];
            i += 1;
        } else {
            *place = right[j];
            j += 1;
            count += (left.len() - i) as u64;
        }
    }
    values.copy_from_slice(&room[..n]);
    count
}

/// The lag-1 correlation of the ranks about their least-squares line.
fn correlation(values: &[f64]) -> f64 {
    let n = values.len();
    let ranks = ranks(values);
    let middle = 0.5 * (n - 1) as f64;
    let across = |i: usize| i as f64 - middle;
    let square: f64 = (0..n).map(|i| across(i).powi(2)).sum();
    let slope = ranks.iter().enumerate().map(|(i, r)| across(i) * r).sum::<f64>() / square;
    let rest: Vec<f64> = ranks.iter().enumerate().map(|(i, r)| r - slope * across(i)).collect();
    (MARGIN * without_bias(lag_one(&rest), 2, n)).clamp(0.0, 0.95)
}

/// n/n* of Hamed and Rao (1998), equation 5, with ρ^i as the correlation at lag i.
fn stretch(rho: f64, n: usize) -> f64 {
    let count = n as f64;
    let mut power = 1.0;
    let mut sum = 0.0;
    for i in 1..n.saturating_sub(2) {
        power *= rho;
        if power < 1e-6 {
            break;
        }
        let left = count - i as f64;
        sum += left * (left - 1.0) * (left - 2.0) * power;
    }
    1.0 + 2.0 * sum / (count * (count - 1.0) * (count - 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{self, close, numbers};
    use crate::stats::random::Random;

    #[test]
    fn kendalls_sum_and_variance_agree_with_scipy() {
        for case in golden::cases("kendall") {
            let (sum, variance) = kendall(&numbers(&case["x"]));
            close(sum, &case["sum"], "sum");
            close(2.0 * normal_cdf(-sum.abs() / variance.sqrt()), &case["p"], "p");
        }
    }

    #[test]
    fn a_slow_drift_is_found_with_its_slope_and_noise_is_not() {
        let series = |seed, slope: f64| -> Vec<f64> {
            let mut random = Random::new(seed);
            (0..80).map(|i| 0.01 * random.normal() + slope * f64::from(i)).collect()
        };
        let found = drift(&series(1, 0.0005)).unwrap();
        assert!(found.p < 1e-5 && (found.slope - 0.0005).abs() < 0.0002, "{found:?}");
        let alarms =
            (0..1000).filter(|&seed| drift(&series(seed, 0.0)).unwrap().p <= 0.005).count();
        assert!(alarms <= 13, "{alarms} of 1000");
    }

    #[test]
    fn equal_values_and_short_series_have_no_drift() {
        assert_eq!(drift(&[2.0; 12]).unwrap().p, 1.0);
        assert_eq!(drift(&[1.0, 2.0, 3.0]), None);
        assert_eq!(drift(&[f64::INFINITY; 12]), None);
    }
}
