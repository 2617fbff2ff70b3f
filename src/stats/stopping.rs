//! When enough processes have been measured, and what the interval is then still worth.
//!
//! A rule that looks after every process and stops at the first narrow interval stops when the processes happen to agree: the
//! intervals it leaves cover less often than they claim. Looks before the last one therefore use a slightly wider
//! interval, for the decision and for the report alike.

use super::interval::{Level, process_interval};

/// Why to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The interval is as narrow as was asked for.
    Precision,
    /// The last allowed process has been measured.
    Exhausted,
}

/// Measure `min_processes`, then one more at a time until the interval is narrow enough or `max_processes` is reached.
///
/// Simulated coverage of the true level (4000 runs each, 40 samples a process in `standard` and 6 in `quick`, 300
/// resamples, the rule active). Processes are
/// log-normal with the relative standard deviation of the column, samples within them with 0.5 % / 5 %; in brackets the mean number of
/// processes:
///
/// | rule | between 1 % | between 2 % | between 3 % |
/// |---|---|---|---|
/// | `quick(0.05)` | 0.991 (3.1) / 1.000 (5.6) | 0.975 (3.6) / 0.999 (6.1) | 0.965 (4.5) / 0.996 (6.8) |
/// | `standard(0.02)` | 0.967 (5.1) / 0.999 (6.6) | 0.958 (7.2) / 0.985 (9.2) | 0.939 (10.2) / 0.959 (11.1) |
/// | `standard(0.01)` | 0.960 (7.3) / 0.987 (11.9) | 0.939 (11.4) / 0.973 (12.0) | 0.940 (11.9) / 0.960 (12.0) |
///
/// Without the wider early looks the least of these is 0.925. The intervals of two runs of one build overlap in 0.987–1.000 of
/// pairs; one holds the other's estimate in 0.830–0.999 (two estimates differ by √2 times what one misses the truth by, so
/// 0.83 is what a right 95 % interval of many processes gives). Where a tenth of the processes sit 5–8 % higher and the others
/// differ by 2–3 %, coverage of the geometric mean is 0.932–0.996; where the others differ by 1 %, 0.994 for
/// `quick(0.05)`, 0.918–0.989 for `standard(0.02)` and 0.861–0.957 for `standard(0.01)`: a few processes cannot rule out a rare
/// slow one that none of them was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stopping {
    /// Largest accepted half-width of the interval, relative to the estimate.
    pub precision: f64,
    /// Processes before the first look; at least 2.
    pub min_processes: usize,
    /// Processes at which to stop in any case.
    pub max_processes: usize,
}

impl Stopping {
    /// What the intervals are to cover, the rule being active.
    pub const CONFIDENCE: f64 = 0.95;
    /// What looks before the last one claim, so that the rule as a whole keeps [`Self::CONFIDENCE`].
    pub const EARLY_CONFIDENCE: f64 = 0.965;

    /// Suite `quick`: 3 to 9 processes.
    pub const fn quick(precision: f64) -> Self {
        Stopping { precision, min_processes: 3, max_processes: 9 }
    }

    /// Every other suite: 5 to 12 processes.
    pub const fn standard(precision: f64) -> Self {
        Stopping { precision, min_processes: 5, max_processes: 12 }
    }

    /// The confidence to compute an interval of so many processes with.
    pub fn confidence_at(&self, processes: usize) -> f64 {
        if processes < self.max_processes { Self::EARLY_CONFIDENCE } else { Self::CONFIDENCE }
    }

    /// [`process_interval`] at the confidence of this look: the interval to decide by and to report. `None` as there.
    pub fn interval(&self, processes: &[Vec<f64>], resamples: usize, seed: u64) -> Option<Level> {
        process_interval(processes, self.confidence_at(processes.len()), resamples, seed)
    }

    /// Whether to stop at `level`, an interval from [`Self::interval`], and why; `None` to go on.
    ///
    /// A level of a single process never meets the precision: it says nothing about the next process.
    pub fn should_stop(&self, level: &Level) -> Option<Stop> {
        let enough = level.processes >= self.min_processes && level.between_sd.is_some();
        if enough && level.relative_half_width() <= self.precision {
            Some(Stop::Precision)
        } else if level.processes >= self.max_processes {
            Some(Stop::Exhausted)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::Random;

    /// One simulated machine: processes log-normal around 1, samples log-normal around their process.
    #[derive(Debug, Clone, Copy)]
    struct Noise {
        between: f64,
        within: f64,
        /// Whether a tenth of the processes sit another 5 to 8 % higher.
        shifted: bool,
    }

    impl Noise {
        fn process(&self, samples: usize, random: &mut Random) -> Vec<f64> {
            let mut level = self.between * random.normal();
            if self.shifted && random.uniform() < 0.1 {
                level += (0.05 + 0.03 * random.uniform()).ln_1p();
            }
            (0..samples).map(|_| (level + self.within * random.normal()).exp()).collect()
        }

        /// The geometric mean of the processes that it draws.
        fn truth(&self) -> f64 {
            if !self.shifted {
                return 1.0;
            }
            // Mean of ln(1 + x) for x uniform in 0.05..0.08.
            let integral = |x: f64| (1.0 + x) * x.ln_1p() - x;
            (0.1 * (integral(0.08) - integral(0.05)) / 0.03).exp()
        }
    }

    #[derive(Debug)]
    struct Coverage {
        /// Share of intervals that hold the true level.
        truth: f64,
        /// Share of pairs of runs whose intervals overlap.
        overlap: f64,
        /// Share of intervals that hold the estimate of another run.
        other: f64,
        /// Mean number of processes.
        processes: f64,
        /// Share of runs that met the precision.
        met: f64,
    }

    /// Runs the whole rule `runs` times with fresh processes, and counts.
    fn simulate(
        rule: Stopping,
        noise: Noise,
        samples: usize,
        resamples: usize,
        runs: usize,
        seed: u64,
    ) -> Coverage {
        let mut random = Random::new(seed);
        let ends: Vec<(Level, Stop)> = (0..runs)
            .map(|_| {
                let mut processes = Vec::new();
                loop {
                    processes.push(noise.process(samples, &mut random));
                    if processes.len() < rule.min_processes {
                        continue;
                    }
                    let level = rule.interval(&processes, resamples, random.bits()).unwrap();
                    if let Some(stop) = rule.should_stop(&level) {
                        return (level, stop);
                    }
                }
            })
            .collect();
        let share = |n: usize, of: usize| n as f64 / of as f64;
        let holds = |level: &Level, x: f64| level.low <= x && x <= level.high;
        let pairs = || ends.chunks_exact(2).map(|pair| (&pair[0].0, &pair[1].0));
        Coverage {
            truth: share(ends.iter().filter(|(l, _)| holds(l, noise.truth())).count(), runs),
            overlap: share(
                pairs().filter(|(a, b)| a.low <= b.high && b.low <= a.high).count(),
                runs / 2,
            ),
            other: share(
                pairs()
                    .map(|(a, b)| {
                        usize::from(holds(a, b.estimate)) + usize::from(holds(b, a.estimate))
                    })
                    .sum(),
                runs / 2 * 2,
            ),
            processes: ends.iter().map(|(l, _)| l.processes as f64).sum::<f64>() / runs as f64,
            met: share(ends.iter().filter(|(_, stop)| *stop == Stop::Precision).count(), runs),
        }
    }

    #[test]
    fn intervals_keep_their_coverage_although_narrow_ones_end_the_run() {
        // The hardest cases: the precision is within reach of luck.
        let cases = [
            (Stopping::quick(0.05), 0.02),
            (Stopping::quick(0.05), 0.03),
            (Stopping::standard(0.02), 0.02),
            (Stopping::standard(0.01), 0.01),
        ];
        for (rule, between) in cases {
            let noise = Noise { between, within: 0.005, shifted: false };
            let c = simulate(rule, noise, 9, 150, 1000, 11);
            assert!(c.truth >= 0.93, "{rule:?} {noise:?} {c:?}");
            assert!(c.overlap >= 0.97 && c.other >= 0.80, "{rule:?} {noise:?} {c:?}");
            assert!(c.met > 0.9, "{rule:?} {noise:?} {c:?}");
            assert!(c.processes < rule.max_processes as f64 - 1.0, "{rule:?} {noise:?} {c:?}");
        }
    }

    #[test]
    fn processes_that_now_and_then_are_slower_still_leave_most_intervals_right() {
        for (rule, between) in [(Stopping::quick(0.05), 0.01), (Stopping::standard(0.02), 0.02)] {
            let noise = Noise { between, within: 0.01, shifted: true };
            let c = simulate(rule, noise, 9, 150, 1000, 12);
            assert!(c.truth >= 0.92 && c.overlap >= 0.97, "{rule:?} {noise:?} {c:?}");
        }
    }

    fn level(processes: usize, half: f64) -> Level {
        let between_sd = (processes > 1).then_some(0.01);
        Level { estimate: 100.0, low: 100.0 - half, high: 100.0 + half, between_sd, processes }
    }

    #[test]
    fn a_run_goes_on_until_it_is_precise_or_out_of_processes() {
        let rule = Stopping::quick(0.05);
        assert_eq!(rule.should_stop(&level(2, 0.1)), None);
        assert_eq!(rule.should_stop(&level(3, 6.0)), None);
        assert_eq!(rule.should_stop(&level(3, 5.0)), Some(Stop::Precision));
        assert_eq!(rule.should_stop(&level(9, 4.0)), Some(Stop::Precision));
        assert_eq!(rule.should_stop(&level(9, 6.0)), Some(Stop::Exhausted));
        assert_eq!(rule.should_stop(&level(9, f64::NAN)), Some(Stop::Exhausted));
        assert_eq!(rule.should_stop(&level(4, f64::NAN)), None);
    }

    #[test]
    fn one_process_is_never_precise() {
        let rule = Stopping { precision: 0.05, min_processes: 1, max_processes: 1 };
        assert_eq!(rule.should_stop(&level(1, 0.0)), Some(Stop::Exhausted));
        assert_eq!(Stopping { max_processes: 3, ..rule }.should_stop(&level(1, 0.0)), None);
    }

    #[test]
    fn looks_before_the_last_use_a_wider_interval() {
        let rule = Stopping::quick(0.05);
        let processes: Vec<Vec<f64>> = (0..5).map(|i| vec![100.0 + f64::from(i); 5]).collect();
        let early = rule.interval(&processes, 200, 1).unwrap();
        let last = Stopping { max_processes: 5, ..rule }.interval(&processes, 200, 1).unwrap();
        assert!(early.relative_half_width() > 1.05 * last.relative_half_width());
        assert_eq!(Some(last), process_interval(&processes, Stopping::CONFIDENCE, 200, 1));
    }
}
