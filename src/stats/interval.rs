//! The typical time of a kernel, with an interval that counts processes, not samples, as replications.
//!
//! The same binary sits at another level in every process (layout, page placement): two processes differ by more than a
//! thousand samples of one of them show. So the level is the geometric mean over processes of each process's median, and its
//! interval comes from a hierarchical bootstrap in the log domain that resamples processes first and samples within them second.

use super::random::Random;
use super::student::t_quantile;

/// The level of a kernel over several processes, with its interval; times in the unit of the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Geometric mean over processes of each process's median.
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Relative standard deviation between processes: that of the logarithms of their medians, with k − 1 in the
    /// denominator. `None` with one process: the interval then speaks of that process alone.
    pub between_sd: Option<f64>,
    /// Processes that contributed.
    pub processes: usize,
}

impl Level {
    /// Half the interval's width relative to the estimate.
    pub fn relative_half_width(&self) -> f64 {
        (self.high - self.low) / 2.0 / self.estimate
    }
}

/// The level of `processes` (a slice of sample times for each process, in any order) with a two-sided interval of
/// `confidence` (0.95) from `resamples` (500 gives its width to 3 %) bootstrap replications.
///
/// A replication draws k processes out of k with replacement, from each its number of samples with replacement, and takes the
/// mean of the logarithms of their medians; the standard deviation of the replications is the bootstrap's standard error SE.
/// With k processes it is too small by √((k − 1)/k), and a normal quantile is too small on top: the half-width is
/// t(k − 1) · √(k/(k − 1)) · SE (Hesterberg 2015, "What Teachers Should Know About the Bootstrap"). The scatter within
/// processes counts twice, in the medians and in the second stage: the interval errs on the wide side when that scatter
/// prevails. With one process, samples take the place of processes. Identical samples give an interval of width 0.
///
/// The result depends neither on the order of processes nor on that of samples.
///
/// `None` if there is no process, a process without samples, one process with one sample, a time that is not positive and
/// finite, a `confidence` outside 0..1, or fewer than 2 `resamples`.
pub fn process_interval(
    processes: &[Vec<f64>],
    confidence: f64,
    resamples: usize,
    seed: u64,
) -> Option<Level> {
    let usable = |x: &f64| x.is_finite() && *x > 0.0;
    if processes.iter().any(|p| p.is_empty() || !p.iter().all(usable)) || resamples < 2 {
        return None;
    }
    let units = match processes {
        [] => return None,
        [one] => one.len(),
        many => many.len(),
    };
    if units < 2 || !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let mut sorted: Vec<Vec<f64>> = processes.to_vec();
    for samples in &mut sorted {
        samples.sort_unstable_by(f64::total_cmp);
    }
    // A fixed order of processes, so that the same seed draws the same ones in whatever order they came.
    sorted.sort_by(|a, b| middle(a).total_cmp(&middle(b)).then_with(|| a.partial_cmp(b).unwrap()));

    let logs: Vec<f64> = sorted.iter().map(|samples| middle(samples).ln()).collect();
    let (mean, between) = mean_and_variance(logs.iter().copied());
    let error = bootstrap_error(&sorted, resamples, &mut Random::new(seed));
    let correction = (units as f64 / (units - 1) as f64).sqrt();
    let half = t_quantile(0.5 + 0.5 * confidence, (units - 1) as f64)? * correction * error;
    Some(Level {
        estimate: mean.exp(),
        low: (mean - half).exp(),
        high: (mean + half).exp(),
        between_sd: (sorted.len() > 1).then(|| between.sqrt()),
        processes: sorted.len(),
    })
}

/// Standard deviation of the replications. Samples are drawn by their rank: the median of a resample is the sample whose
/// rank is the median of the drawn ranks, which sort faster than times.
fn bootstrap_error(sorted: &[Vec<f64>], resamples: usize, random: &mut Random) -> f64 {
    let mut ranks: Vec<u32> = Vec::new();
    let k = sorted.len();
    let replications = (0..resamples).map(|_| {
        let sum: f64 = (0..k)
            .map(|_| {
                let samples = &sorted[random.below(k)];
                draw_ranks(&mut ranks, samples.len(), random);
                let at = samples.len() / 2;
                let (below, upper, _) = ranks.select_nth_unstable(at);
                let upper = samples[*upper as usize];
                let median = if samples.len() % 2 == 1 {
                    upper
                } else {
                    let lower = below.iter().max().map_or(upper, |&rank| samples[rank as usize]);
                    lower.midpoint(upper)
                };
                median.ln()
            })
            .sum();
        sum / k as f64
    });
    mean_and_variance(replications).1.sqrt()
}

/// Fills `ranks` with `n` uniform draws below `n`, two from each 64 random bits.
fn draw_ranks(ranks: &mut Vec<u32>, n: usize, random: &mut Random) {
    ranks.clear();
    let bound = n as u64;
    while ranks.len() < n {
        let bits = random.bits();
        ranks.push((((bits & 0xffff_ffff) * bound) >> 32) as u32);
        if ranks.len() < n {
            ranks.push((((bits >> 32) * bound) >> 32) as u32);
        }
    }
}

/// The median of sorted, finite values.
fn middle(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    if n % 2 == 1 { sorted[n / 2] } else { sorted[n / 2 - 1].midpoint(sorted[n / 2]) }
}

/// Mean, and variance with n − 1 in the denominator (0 for a single value), by Welford's updates: equal values give
/// exactly 0.
fn mean_and_variance(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut n, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for x in values {
        n += 1.0;
        let delta = x - mean;
        mean += delta / n;
        squares += delta * (x - mean);
    }
    (mean, if n > 1.0 { squares / (n - 1.0) } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::order::median;

    fn simulated(
        processes: usize,
        samples: usize,
        between: f64,
        within: f64,
        seed: u64,
    ) -> Vec<Vec<f64>> {
        let mut random = Random::new(seed);
        (0..processes)
            .map(|_| {
                let level = between * random.normal();
                (0..samples).map(|_| 1000.0 * (level + within * random.normal()).exp()).collect()
            })
            .collect()
    }

    #[test]
    fn the_estimate_is_the_geometric_mean_of_the_medians() {
        let level =
            process_interval(&[vec![1.0, 2.0, 50.0], vec![8.0], vec![3.0, 5.0]], 0.95, 500, 1)
                .unwrap();
        assert!((level.estimate - 4.0).abs() < 1e-12);
        assert_eq!(level.processes, 3);
        let sd = (2.0f64.ln().powi(2)).sqrt();
        assert!((level.between_sd.unwrap() - sd).abs() < 1e-12);
        assert!(level.low < 4.0 && 4.0 < level.high);
    }

    #[test]
    fn with_quiet_processes_the_interval_is_that_of_student() {
        let medians: [f64; 4] = [100.0, 102.0, 101.0, 104.0];
        let processes: Vec<Vec<f64>> = medians.iter().map(|&m| vec![m; 9]).collect();
        let level = process_interval(&processes, 0.95, 40_000, 3).unwrap();
        let half = t_quantile(0.975, 3.0).unwrap() * level.between_sd.unwrap() / 2.0;
        let got = (level.high / level.estimate).ln();
        assert!((got / half - 1.0).abs() < 0.02, "{got} is not {half}");
        assert!(((level.estimate / level.low).ln() / got - 1.0).abs() < 1e-12);
    }

    #[test]
    fn drawing_ranks_is_drawing_samples() {
        for samples in [1, 2, 7, 10] {
            let processes = simulated(4, samples, 0.02, 0.05, 8);
            let mut sorted = processes.clone();
            sorted.iter_mut().for_each(|s| s.sort_by(f64::total_cmp));
            let by_rank = bootstrap_error(&sorted, 60_000, &mut Random::new(1));
            let mut random = Random::new(2);
            let literal = mean_and_variance((0..60_000).map(|_| {
                (0..4)
                    .map(|_| {
                        let from = &processes[random.below(4)];
                        let mut drawn: Vec<f64> =
                            (0..samples).map(|_| from[random.below(samples)]).collect();
                        median(&mut drawn).unwrap().ln()
                    })
                    .sum::<f64>()
                    / 4.0
            }))
            .1
            .sqrt();
            assert!((by_rank / literal - 1.0).abs() < 0.02, "{samples}: {by_rank} {literal}");
        }
    }

    #[test]
    fn identical_samples_give_an_interval_of_width_0() {
        let level = process_interval(&vec![vec![123.4; 40]; 5], 0.95, 500, 1).unwrap();
        assert_eq!((level.low, level.high), (level.estimate, level.estimate));
        assert_eq!(level.between_sd, Some(0.0));
        let level = process_interval(&[vec![7.0; 3]], 0.95, 500, 1).unwrap();
        assert_eq!(level.relative_half_width(), 0.0);
    }

    #[test]
    fn one_process_is_flagged_and_its_interval_speaks_of_its_samples() {
        let one = simulated(1, 40, 0.0, 0.03, 4);
        let level = process_interval(&one, 0.95, 2000, 1).unwrap();
        assert_eq!((level.between_sd, level.processes), (None, 1));
        // Standard error of the median of 40 normal samples: 1.253 · 3 % / √40 = 0.6 %.
        let half = level.relative_half_width();
        assert!(half > 0.006 && half < 0.024, "{half}");
    }

    #[test]
    fn stragglers_within_processes_hardly_move_the_level() {
        let clean = simulated(5, 40, 0.01, 0.01, 9);
        let mut dirty = clean.clone();
        for process in &mut dirty {
            process[..4].fill(1e9);
        }
        let (a, b) = (
            process_interval(&clean, 0.95, 500, 1).unwrap(),
            process_interval(&dirty, 0.95, 500, 1).unwrap(),
        );
        assert!((b.estimate / a.estimate - 1.0).abs() < 0.005);
        assert!(b.relative_half_width() < 1.5 * a.relative_half_width());
    }

    #[test]
    fn what_has_no_interval_is_refused() {
        let ask = |p: &[Vec<f64>]| process_interval(p, 0.95, 500, 1);
        assert_eq!(ask(&[]), None);
        assert_eq!(ask(&[vec![1.0]]), None);
        assert_eq!(ask(&[vec![1.0], vec![]]), None);
        for bad in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            assert_eq!(ask(&[vec![1.0, 2.0], vec![1.0, bad]]), None);
        }
        let good = simulated(3, 5, 0.01, 0.01, 1);
        for confidence in [0.0, 1.0, f64::NAN] {
            assert_eq!(process_interval(&good, confidence, 500, 1), None);
        }
        assert_eq!(process_interval(&good, 0.95, 1, 1), None);
    }

    fn times() -> impl Strategy<Value = Vec<Vec<f64>>> {
        prop::collection::vec(prop::collection::vec(1.0..1e9f64, 1..20), 2..7)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_order_of_processes_and_samples_does_not_matter(mut processes in times(), seed: u64) {
            let before = process_interval(&processes, 0.95, 50, 7).unwrap();
            let mut random = Random::new(seed);
            for i in (1..processes.len()).rev() {
                processes.swap(i, random.below(i + 1));
            }
            for samples in &mut processes {
                for i in (1..samples.len()).rev() {
                    samples.swap(i, random.below(i + 1));
                }
            }
            prop_assert_eq!(process_interval(&processes, 0.95, 50, 7).unwrap(), before);
        }

        #[test]
        fn times_in_another_unit_give_the_same_level_in_that_unit(processes in times(), scale in 1e-3..1e3f64) {
            let a = process_interval(&processes, 0.95, 50, 7).unwrap();
            let scaled: Vec<Vec<f64>> =
                processes.iter().map(|p| p.iter().map(|x| x * scale).collect()).collect();
            let b = process_interval(&scaled, 0.95, 50, 7).unwrap();
            for (x, y) in [(a.estimate, b.estimate), (a.low, b.low), (a.high, b.high)] {
                prop_assert!((y / (x * scale) - 1.0).abs() < 1e-9, "{} {}", x * scale, y);
            }
        }

        #[test]
        fn no_sample_that_gets_slower_lowers_the_level(mut processes in times(), which in 0..1000usize, by in 1.0..10.0f64) {
            let before = process_interval(&processes, 0.95, 50, 7).unwrap().estimate;
            let at = which % processes.len();
            let sample = which % processes[at].len();
            processes[at][sample] *= by;
            prop_assert!(process_interval(&processes, 0.95, 50, 7).unwrap().estimate >= before * (1.0 - 1e-12));
        }

        #[test]
        fn the_interval_holds_the_estimate_and_grows_with_confidence(processes in times()) {
            let a = process_interval(&processes, 0.8, 50, 7).unwrap();
            let b = process_interval(&processes, 0.95, 50, 7).unwrap();
            prop_assert!(b.low <= a.low && a.low <= a.estimate && a.estimate <= a.high && a.high <= b.high);
        }
    }
}
