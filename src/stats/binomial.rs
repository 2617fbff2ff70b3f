//! Rates from counts.

use super::student::incomplete_beta;

/// The exact interval of a rate after `hits` in `trials`: Clopper and Pearson (1934). It covers with at least `confidence`,
/// which is split evenly between its ends; for a bound at 95 % ask for 0.90 and take one end.
///
/// `None` if there was no trial, more hits than trials, or a `confidence` outside 0..1.
pub fn clopper_pearson(hits: u64, trials: u64, confidence: f64) -> Option<(f64, f64)> {
    if trials == 0 || hits > trials || !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let level = 0.5 * (1.0 - confidence);
    let (x, n) = (hits as f64, trials as f64);
    let low = if hits == 0 { 0.0 } else { beta_quantile(level, x, n - x + 1.0) };
    // By symmetry, so that the smaller tail keeps its digits.
    let high = if hits == trials { 1.0 } else { 1.0 - beta_quantile(level, n - x, x + 1.0) };
    Some((low, high))
}

/// The upper bound of a rate that holds with `confidence`: one end of [`clopper_pearson`]. `None` as there.
pub fn upper_bound(hits: u64, trials: u64, confidence: f64) -> Option<f64> {
    clopper_pearson(hits, trials, 2.0 * confidence - 1.0).map(|(_, high)| high)
}

/// The quantile `p` of the beta distribution, by bisection.
fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if incomplete_beta(middle, a, b) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{self, close};

    #[test]
    fn intervals_agree_with_scipy() {
        for case in golden::cases("clopper_pearson") {
            let count = |name: &str| case[name].as_u64().unwrap();
            let confidence = case["confidence"].as_f64().unwrap();
            let (low, high) = clopper_pearson(count("hits"), count("trials"), confidence).unwrap();
            close(low, &case["low"], "low");
            close(high, &case["high"], "high");
        }
    }

    #[test]
    fn nothing_seen_in_n_bounds_the_rate_by_three_over_n() {
        assert!((upper_bound(0, 10_000, 0.95).unwrap() - (1.0 - 0.05f64.powf(1e-4))).abs() < 1e-12);
        assert_eq!(clopper_pearson(0, 0, 0.95), None);
        assert_eq!(clopper_pearson(3, 2, 0.95), None);
    }
}
