//! Many tests at once.

/// The false discovery rate at which each hypothesis would just be rejected, by Benjamini and Hochberg (1995): those with at
/// most q are rejected, and of these at most a share q is wrong on average.
///
/// That holds where the p-values of true null hypotheses are independent, or depend positively on each other (PRDS: Benjamini
/// and Yekutieli 2001), as those of kernels that share a machine's noise do; where any dependence must be feared, multiply by
/// 1 + 1/2 + … + 1/n. Where all null hypotheses are true it is the rate of any false rejection.
///
/// A family smaller than `least` counts as one of `least` hypotheses, so that a test alone is no laxer than one in company.
/// Values above 1 come back as 1; the order is that of `p`.
pub fn benjamini_hochberg(p: &[f64], least: usize) -> Vec<f64> {
    let family = p.len().max(least) as f64;
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    let mut adjusted = vec![1.0; p.len()];
    let mut least_above = 1.0f64;
    for (rank, &i) in order.iter().enumerate().rev() {
        // NaN sorts last and must not reject, nor be overlooked.
        let one = p[i] * family / (rank + 1) as f64;
        least_above = if one.is_nan() { least_above } else { least_above.min(one) };
        adjusted[i] = if one.is_nan() { 1.0 } else { least_above };
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden::{self, close};

    #[test]
    fn the_example_of_benjamini_and_hochberg_rejects_four_of_fifteen() {
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
            0.5719, 0.6528, 0.7590, 1.0,
        ];
        assert_eq!(benjamini_hochberg(&p, 1).iter().filter(|&&q| q <= 0.05).count(), 4);
    }

    #[test]
    fn adjusted_values_agree_with_scipy() {
        for case in golden::cases("benjamini_hochberg") {
            let got = benjamini_hochberg(&golden::numbers(&case["p"]), 1);
            for (got, want) in got.iter().zip(case["adjusted"].as_array().unwrap()) {
                close(*got, want, "adjusted");
            }
        }
    }

    #[test]
    fn a_test_alone_is_judged_as_one_of_many() {
        assert_eq!(benjamini_hochberg(&[0.001], 8), [0.008]);
        assert_eq!(benjamini_hochberg(&[f64::NAN, 0.001], 2), [1.0, 0.002]);
        assert!(benjamini_hochberg(&[], 8).is_empty());
    }
}
