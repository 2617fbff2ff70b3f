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
    Some(ends(hits as f64, trials as f64, confidence))
}

/// Both ends for `x` of `n`, which need not be whole.
fn ends(x: f64, n: f64, confidence: f64) -> (f64, f64) {
    let level = 0.5 * (1.0 - confidence);
    let low = if x == 0.0 { 0.0 } else { beta_quantile(level, x, n - x + 1.0) };
    // By symmetry, so that the smaller tail keeps its digits.
    let high = if x == n { 1.0 } else { 1.0 - beta_quantile(level, n - x, x + 1.0) };
    (low, high)
}

/// The upper bound of a rate that holds with `confidence`: one end of [`clopper_pearson`]. `None` as there.
pub fn upper_bound(hits: u64, trials: u64, confidence: f64) -> Option<f64> {
    clopper_pearson(hits, trials, 2.0 * confidence - 1.0).map(|(_, high)| high)
}

/// The interval of a rate that was counted in clusters of (hits, trials), whose members are alike: Clopper and Pearson's with
/// as many trials as independent ones would need for the variance that is seen between clusters (Korn and Graubard 1998), at
/// most as many as there were, nor fewer than clusters; so many, where all trials came out alike, for then nothing is seen.
///
/// `None` as in [`clopper_pearson`], and for a single cluster of several trials, between which there is nothing to see.
pub fn clustered(clusters: &[(u64, u64)], confidence: f64) -> Option<(f64, f64)> {
    let clusters: Vec<_> = clusters.iter().filter(|cluster| cluster.1 > 0).collect();
    let (hits, trials) = clusters.iter().fold((0, 0), |sum, c| (sum.0 + c.0, sum.1 + c.1));
    let (many, n) = (clusters.len() as f64, trials as f64);
    if trials == 0 || (clusters.len() < 2 && trials > 1) || !(confidence > 0.0 && confidence < 1.0)
    {
        return None;
    }
    if clusters.iter().any(|cluster| cluster.0 > cluster.1) {
        return None;
    }
    let rate = hits as f64 / n;
    let residual = |c: &&(u64, u64)| (c.0 as f64 - rate * c.1 as f64).powi(2);
    let variance = many / (many - 1.0) * clusters.iter().map(residual).sum::<f64>() / (n * n);
    let seen = rate * (1.0 - rate) / variance;
    let effective = if seen.is_finite() { seen.clamp(many, n) } else { many };
    if hits == trials || hits == 0 {
        // Exactly, where a product of rounded numbers is not.
        return clopper_pearson(
            if hits == 0 { 0 } else { effective as u64 },
            effective as u64,
            confidence,
        );
    }
    Some(ends(rate * effective, effective, confidence))
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
    fn clusters_whose_members_come_out_alike_count_as_one_trial_each() {
        let alike = [(10, 10), (0, 10), (10, 10), (10, 10), (0, 10), (10, 10)];
        let (low, high) = clustered(&alike, 0.95).unwrap();
        let (least, most) = clopper_pearson(4, 6, 0.95).unwrap();
        assert!((low - least).abs() < 1e-9 && (high - most).abs() < 1e-9, "{low} {high}");
        // Independent ones: as good as no clusters at all.
        let apart: Vec<(u64, u64)> = (0..20).map(|i| (8 + i % 2, 10)).collect();
        assert_eq!(clustered(&apart, 0.95), clopper_pearson(170, 200, 0.95));
        // Nothing is seen of how alike they are where all came out alike.
        assert_eq!(clustered(&[(10, 10); 5], 0.95), clopper_pearson(5, 5, 0.95));
        assert_eq!(clustered(&[(0, 10); 5], 0.95), clopper_pearson(0, 5, 0.95));
        assert_eq!((clustered(&[], 0.95), clustered(&[(3, 4)], 0.95)), (None, None));
        assert_eq!(clustered(&[(5, 4), (1, 4)], 0.95), None);
    }

    #[test]
    fn nothing_seen_in_n_bounds_the_rate_by_three_over_n() {
        assert!((upper_bound(0, 10_000, 0.95).unwrap() - (1.0 - 0.05f64.powf(1e-4))).abs() < 1e-12);
        assert_eq!(clopper_pearson(0, 0, 0.95), None);
        assert_eq!(clopper_pearson(3, 2, 0.95), None);
    }
}
