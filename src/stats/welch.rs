//! Two groups of levels that were not measured in pairs.

use super::student::t_cdf;

/// The difference of the means of two groups, second less first, with what its errors follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Mean of the second less mean of the first.
    pub estimate: f64,
    /// Its standard error.
    pub error: f64,
    /// Degrees of freedom of Student's t, not whole.
    pub df: f64,
}

/// The difference of two groups whose variances may differ: Welch (1947), "The generalization of 'Student's' problem". It takes the
/// values of a group to be independent and nearly normal: logarithms of process levels, not samples of one process.
///
/// `None` if a group has fewer than 2 values or one that is not finite, or nothing varies.
pub fn difference(first: &[f64], second: &[f64]) -> Option<Difference> {
    let spread = |x: &[f64]| {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let squares: f64 = x.iter().map(|v| (v - mean).powi(2)).sum();
        (mean, squares / (n - 1.0) / n)
    };
    if first.len() < 2 || second.len() < 2 {
        return None;
    }
    let ((a, va), (b, vb)) = (spread(first), spread(second));
    let variance = va + vb;
    let df = variance * variance
        / (va * va / (first.len() - 1) as f64 + vb * vb / (second.len() - 1) as f64);
    let usable = (b - a).is_finite() && variance > 0.0 && df >= 1.0;
    usable.then(|| Difference { estimate: b - a, error: variance.sqrt(), df })
}

impl Difference {
    /// The p-value of "the difference is at most `bound`".
    pub fn at_most(&self, bound: f64) -> f64 {
        t_cdf((bound - self.estimate) / self.error, self.df)
    }

    /// The p-value of "the difference is at least `bound`".
    pub fn at_least(&self, bound: f64) -> f64 {
        t_cdf((self.estimate - bound) / self.error, self.df)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{self, close};

    #[test]
    fn tails_agree_with_scipy() {
        for case in golden::cases("welch") {
            let difference =
                difference(&golden::numbers(&case["a"]), &golden::numbers(&case["b"])).unwrap();
            close(difference.at_most(0.0), &case["greater"], "greater");
            close(difference.at_least(0.0), &case["less"], "less");
            close(difference.df, &case["df"], "df");
        }
    }

    #[test]
    fn groups_that_say_nothing_of_their_spread_have_no_difference() {
        assert_eq!(difference(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(difference(&[1.0, 1.0], &[2.0, 2.0]), None);
        assert_eq!(difference(&[1.0, f64::NAN], &[1.0, 2.0]), None);
    }
}
