//! One step in a series: the rank scan, and how surprising its greatest value is.
//!
//! For every split of a series in two the standardized rank sum of its parts (Mann and Whitney 1947), and of these the
//! greatest: Pettitt (1979), "A non-parametric approach to the change-point problem", standardized as by Hawkins and Deng
//! (2010), "A nonparametric change-point control model". Ranks, because levels of processes have outliers and two modes.

use super::order::median;
use super::student::{normal_cdf, normal_quantile};

/// Points of the smaller part up to which its rank sum is judged by its exact distribution: so few never look surprising to the
/// normal approximation, however far away they lie.
const EXACT: usize = 12;
/// Standardized rank sums below this are judged by the normal distribution, which is nearly exact there.
const FAR: f64 = 2.5;
/// Steps of counting that an exact tail may take.
const COUNTED: usize = 12_000;

/// A series cut in two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// The first index of the right part.
    pub at: usize,
    /// Standardized rank sum: above 0 where the right part is higher.
    pub z: f64,
    /// The greatest size of a standard normal that is as surprising as the rank sum at any split.
    pub extreme: f64,
}

/// Ranks from 1, equal values sharing the mean of theirs.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    ranks_and_ties(values).0
}

/// Ranks, and whether any are shared.
fn ranks_and_ties(values: &[f64]) -> (Vec<f64>, bool) {
    let mut tied = false;
    let mut order: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for group in order.chunk_by(|a, b| a.0 == b.0) {
        tied |= group.len() > 1;
        let shared = first as f64 + 0.5 * (group.len() + 1) as f64;
        group.iter().for_each(|&(_, i)| ranks[i] = shared);
        first += group.len();
    }
    (ranks, tied)
}

/// The standardized rank sum at every split that leaves `least` points on both sides, from the split at `least` on.
///
/// The variance is that of a random order of these ranks, so ties are counted. Empty where there is no such split, or where all
/// values are equal.
pub fn rank_sums(values: &[f64], least: usize) -> Vec<f64> {
    rank_sums_of(&ranks(values), least)
}

fn rank_sums_of(ranks: &[f64], least: usize) -> Vec<f64> {
    let n = ranks.len();
    let least = least.max(1);
    if n < 2 * least {
        return Vec::new();
    }
    let mean = 0.5 * (n + 1) as f64;
    let square: f64 = ranks.iter().map(|r| (r - mean).powi(2)).sum();
    if square == 0.0 {
        return Vec::new();
    }
    let mut left = 0.0;
    let mut sums = Vec::with_capacity(n + 1 - 2 * least);
    for (k, rank) in (1..n).zip(ranks) {
        left += rank - mean;
        if k >= least && k <= n - least {
            let variance = (k * (n - k)) as f64 * square / (n * (n - 1)) as f64;
            sums.push(-left / variance.sqrt());
        }
    }
    sums
}

/// The split with the greatest rank sum. `None` as [`rank_sums`] is empty, or with a value that is not finite.
pub fn best_split(values: &[f64], least: usize) -> Option<Split> {
    if !values.iter().all(|x| x.is_finite()) {
        return None;
    }
    let n = values.len();
    let (ranks, tied) = ranks_and_ties(values);
    let sums = rank_sums_of(&ranks, least);
    let mut best: Option<Split> = None;
    let mut least_tail = 1.0f64;
    for (k, &z) in (least.max(1)..).zip(&sums) {
        let small = k.min(n - k);
        if small <= EXACT && z.abs() >= FAR && !tied {
            least_tail = least_tail.min(exact_tail(z.abs(), small, n).unwrap_or(1.0));
        }
        if best.is_none_or(|best| z.abs() > best.z.abs()) {
            best = Some(Split { at: k, z, extreme: z.abs() });
        }
    }
    let mut best = best?;
    // A standardized size is never made smaller: the approximation is on the safe side here.
    if least_tail < normal_cdf(-best.extreme) {
        best.extreme = normal_quantile(least_tail).map_or(best.extreme, |x| -x);
    }
    Some(best)
}

/// The probability that the rank sum of `small` among `n` untied values is as large as its standardized size `z` says; `None` where that
/// is long to count, for then it is not near its end, and the normal distribution will do.
fn exact_tail(z: f64, small: usize, n: usize) -> Option<f64> {
    let pairs = (small * (n - small)) as f64;
    let sd = (pairs * (n + 1) as f64 / 12.0).sqrt();
    let missing = (0.5 * pairs - z * sd).round().max(0.0) as usize;
    (missing * small <= COUNTED).then(|| rank_sum_tail(small, n - small, missing))
}

/// P(U ≥ m·n − `missing`) of the Mann–Whitney count of `m` among `n` others, exactly: the coefficients of a Gaussian binomial.
pub fn rank_sum_tail(m: usize, n: usize, missing: usize) -> f64 {
    let missing = missing.min(m * n);
    let mut ways = vec![0.0f64; missing + 1];
    ways[0] = 1.0;
    let mut all = 1.0;
    for i in 1..=m {
        for j in (n + i..=missing).rev() {
            ways[j] -= ways[j - n - i];
        }
        for j in i..=missing {
            ways[j] += ways[j - i];
        }
        all *= (n + i) as f64 / i as f64;
    }
    (ways.iter().sum::<f64>() / all).min(1.0)
}

/// The probability that the greatest of standardized rank sums of `n` values in random order, over splits with `least` points on both
/// sides, reaches `size`: an upper bound, close where it is small.
///
/// Bonferroni's inequality, improved by neighbouring pairs (Worsley 1982), as in Lausen, Sauerbrei and Schumacher (1994),
/// "Classification and regression trees (CART) used for the exploration of prognostic factors measured on different scales".
pub fn selection(size: f64, n: usize, least: usize) -> f64 {
    let least = least.max(1);
    if n < 2 * least {
        return 1.0;
    }
    let alone = 2.0 * normal_cdf(-size.abs());
    let square = size * size;
    let front = (-0.5 * square).exp() / std::f64::consts::PI;
    let mut p = alone;
    for k in least..n - least {
        let (left, right) = (k as f64, (n - k) as f64);
        let t = (1.0 - left * (right - 1.0) / (right * (left + 1.0))).sqrt();
        p += (front * (t - (0.25 * square - 1.0) * t.powi(3) / 6.0)).clamp(0.0, alone);
    }
    p.min(1.0)
}

/// Medians left and right of `at`. `None` if a side is empty or holds a NaN.
pub fn levels(values: &[f64], at: usize) -> Option<(f64, f64)> {
    let (left, right) = values.split_at_checked(at)?;
    Some((median(&mut left.to_vec())?, median(&mut right.to_vec())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{self, close, numbers};
    use crate::stats::random::Random;

    #[test]
    fn rank_sums_at_every_split_agree_with_scipy() {
        for case in golden::cases("rank_scan") {
            let x = numbers(&case["x"]);
            let sums = rank_sums(&x, 1);
            let want = case["z"].as_array().unwrap();
            assert_eq!(sums.len(), want.len());
            sums.iter().zip(want).for_each(|(got, want)| close(*got, want, "z"));
            assert_eq!(best_split(&x, 1).unwrap().at as u64, case["at"].as_u64().unwrap());
        }
    }

    #[test]
    fn exact_tails_agree_with_scipy() {
        for case in golden::cases("mann_whitney") {
            let count = |name: &str| case[name].as_u64().unwrap() as usize;
            let tail = rank_sum_tail(count("m"), count("n"), count("missing"));
            close(tail, &case["tail"], "tail");
        }
    }

    /// Annual flow of the Nile at Aswan, 1871 to 1970: Cobb (1978), "The problem of the Nile", puts the change at 1898 to 1899.
    #[test]
    fn the_nile_changes_after_1898() {
        let nile = numbers(&golden::cases("nile")[0]["flow"]);
        let split = best_split(&nile, 5).unwrap();
        assert_eq!((1871 + split.at, nile.len()), (1899, 100));
        assert!(split.z < -6.0 && selection(split.extreme, nile.len(), 5) < 1e-7);
        assert_eq!(levels(&nile, split.at), Some((1130.0, 842.5)));
    }

    #[test]
    fn the_bound_on_the_greatest_rank_sum_is_one_and_is_close() {
        let mut random = Random::new(4);
        for (n, least) in [(20, 3), (80, 5), (200, 5)] {
            let mut hits = [0u32; 3];
            let sizes = [2.8, 3.2, 3.6];
            for _ in 0..8000 {
                let x: Vec<f64> = (0..n).map(|_| random.uniform()).collect();
                let got = best_split(&x, least).unwrap().extreme;
                hits.iter_mut().zip(sizes).for_each(|(h, s)| *h += u32::from(got >= s));
            }
            for (hits, size) in hits.into_iter().zip(sizes) {
                let (seen, bound) = (f64::from(hits) / 8000.0, selection(size, n, least));
                assert!(
                    seen <= bound + 3.0 * (bound / 8000.0).sqrt(),
                    "{n} {size}: {seen} {bound}"
                );
                assert!(seen >= 0.4 * bound, "{n} {size}: {seen} is far below {bound}");
            }
        }
    }

    #[test]
    fn five_values_above_all_others_are_surprising_although_their_rank_sum_is_small() {
        let mut x: Vec<f64> = (0..75).map(|i| f64::from((i * 37) % 75)).collect();
        x.extend([80.0, 81.5, 80.5, 83.0, 82.0]);
        let split = best_split(&x, 3).unwrap();
        assert!(split.at == 75 && split.z < 4.0 && split.extreme > 5.3, "{split:?}");
    }

    #[test]
    fn what_cannot_be_split_is_none() {
        assert_eq!(best_split(&[1.0, 2.0, 3.0], 2), None);
        assert_eq!(best_split(&[1.0; 20], 3), None);
        assert_eq!(best_split(&[1.0, f64::NAN, 3.0, 4.0], 1), None);
        assert_eq!(selection(9.0, 3, 2), 1.0);
    }
}
