//! How a kernel's time grows with the work of a case, and how far its measured points lie from that.

use serde::Serialize;

use crate::stats::fit::{PowerLaw, power_law};
use crate::stats::student::t_quantile;

/// Beyond what was measured by this factor, a curve says nothing any more.
pub const FARTHEST: f64 = 1000.0;
/// How far from 1 the exponent of time in work may be outside of what was measured: 10 times the work is 10^0.9 to 10^1.1
/// times the time. An assumption: larger cases come nearer to the roofs, or fall out of a cache.
pub const EXPONENT: f64 = 0.1;

/// A law t = a + b·wᵖ through the measured cases of one kernel, op, number format and pass.
///
/// The work w of a case is the least time that the machine's measured roofs allow for it (or its operations, where a run
/// measured no roofs), so that products that are limited by memory and those that are limited by arithmetic lie on one
/// curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    law: PowerLaw,
    /// The least and the most work that was measured.
    range: (f64, f64),
    /// Standard deviation of ln(t / law).
    residual: f64,
    /// Student's 97.5 % point for that.
    t: f64,
}

/// A time that a curve gives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reading {
    /// The law's time.
    pub median: f64,
    /// Lower end of the 95 % interval for one new case.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The factor by which the work lies outside what was measured; 1 within.
    pub outside: f64,
}

impl Curve {
    /// Through points (work, time); `None` where [`power_law`] finds no law.
    pub fn fit(points: &[(f64, f64)]) -> Option<Curve> {
        let law = power_law(points)?;
        let squares: f64 = points.iter().map(|&(w, t)| (t / law.predict(w)).ln().powi(2)).sum();
        let freedom = (points.len() - 3) as f64;
        let works = points.iter().map(|p| p.0);
        let range = (works.clone().fold(f64::INFINITY, f64::min), works.fold(0.0, f64::max));
        Some(Curve {
            law,
            range,
            residual: (squares / freedom).sqrt(),
            t: t_quantile(0.975, freedom)?,
        })
    }

    /// The points that it went through.
    pub fn points(&self) -> usize {
        self.law.points
    }

    /// The time at `work`; `None` further than [`FARTHEST`] from what was measured.
    ///
    /// The interval is that of one new case in log time: t·s·√(1 + 1/n), with s the residuals' standard deviation.
    ///
    /// - Beyond the largest case the law's exponent would run away; the share of the roofs that the law has there is kept,
    ///   and the interval grows as if the exponent were 1 ± [`EXPONENT`].
    /// - Below the least case the law goes on with its fixed cost, and the interval grows likewise, but not above the time of
    ///   the least case.
    /// - No time is expected below its roofs, where `roofs` says that work is the time that they allow.
    pub fn read(&self, work: f64, roofs: bool) -> Option<Reading> {
        let (least, most) = self.range;
        let outside = (least / work).max(work / most).max(1.0);
        if !(outside <= FARTHEST) {
            return None;
        }
        let noise = self.t * self.residual * (1.0 + 1.0 / self.law.points as f64).sqrt();
        let half = noise + EXPONENT * outside.ln();
        let mut median = match work > most {
            true => self.law.predict(most) * outside,
            false => self.law.predict(work),
        };
        let mut high = median * half.exp();
        if work < least {
            high = high.min(self.law.predict(least) * noise.exp());
        }
        let mut low = median * (-half).exp();
        if roofs {
            low = low.max(work);
            median = median.max(low);
            high = high.max(median);
        }
        (median > 0.0 && high.is_finite()).then_some(Reading { median, low, high, outside })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::Random;

    fn noisy(seed: u64, n: usize) -> Vec<(f64, f64)> {
        let mut random = Random::new(seed);
        let work = |i: usize| 1e4 * 2f64.powi(i as i32);
        (0..n)
            .map(|i| (work(i), (300.0 + 1.2 * work(i)) * (0.05 * random.normal()).exp()))
            .collect()
    }

    #[test]
    fn the_interval_holds_a_new_case_as_often_as_it_says() {
        let mut held = 0;
        for seed in 0..600 {
            let mut points = noisy(seed, 10);
            let (work, time) = points.remove(5);
            let reading = Curve::fit(&points).unwrap().read(work, false).unwrap();
            assert_eq!(reading.outside, 1.0);
            held += usize::from((reading.low..=reading.high).contains(&time));
        }
        // 95 % within three standard errors of 600 trials; the law's own error inside the range is left out.
        assert!((550..=592).contains(&held), "{held} of 600");
    }

    #[test]
    fn outside_what_was_measured_the_interval_widens_and_then_ends() {
        let curve = Curve::fit(&noisy(3, 9)).unwrap();
        let most = 1e4 * 2f64.powi(8);
        let width = |w: f64| curve.read(w, false).map(|r| r.high / r.low);
        assert!(width(10.0 * most).unwrap() > width(most).unwrap());
        assert!((curve.read(10.0 * most, false).unwrap().outside - 10.0).abs() < 1e-9);
        assert_eq!(curve.read(2.0 * FARTHEST * most, false), None);
        assert_eq!(curve.read(f64::NAN, false), None);
        assert_eq!(Curve::fit(&noisy(1, 4)), None);
    }

    #[test]
    fn no_reading_is_faster_than_the_roofs_and_a_smaller_case_takes_no_longer() {
        // Times at half of what the roofs allow, which no kernel reaches.
        let fast: Vec<_> = noisy(5, 8).iter().map(|&(w, t)| (w, 0.4 * t)).collect();
        let curve = Curve::fit(&fast).unwrap();
        for work in [1e2, 1e4, 1e6, 1e8] {
            let Reading { median, low, high, .. } = curve.read(work, true).unwrap();
            assert!(
                work <= low && low <= median && median <= high,
                "{work}: {low} {median} {high}"
            );
        }
        let curve = Curve::fit(&noisy(5, 8)).unwrap();
        let (tiny, least) = (curve.read(1e2, true).unwrap(), curve.read(1e4, true).unwrap());
        assert!(tiny.high <= least.high && tiny.outside > 99.0, "{tiny:?} {least:?}");
    }
}
