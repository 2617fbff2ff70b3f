//! Medians and quantiles. NaN anywhere, or nothing at all, gives `None`.

/// What a median absolute deviation is multiplied by to estimate the standard deviation of normal data: 1 / Φ⁻¹(3/4).
pub const MAD_TO_SD: f64 = 1.482_602_218_505_602;

/// The median; of an even number, the mean of the middle two. Reorders `values`, in linear time.
///
/// `None` if `values` is empty or holds a NaN.
pub fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() || values.iter().any(|x| x.is_nan()) {
        return None;
    }
    let odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable_by(values.len() / 2, f64::total_cmp);
    let upper = *upper;
    if odd {
        return Some(upper);
    }
    let lower = below.iter().copied().max_by(f64::total_cmp)?;
    between(lower, upper, 0.5)
}

/// The quantile `q` in 0..=1 of values in ascending order, by linear interpolation between order statistics: type 7 of
/// Hyndman and Fan (1996), "Sample Quantiles in Statistical Packages", the default of R and numpy.
///
/// `None` if `sorted` is empty, not in ascending order or holds a NaN, or if `q` is outside 0..=1.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    if sorted.is_empty() || !(0.0..=1.0).contains(&q) {
        return None;
    }
    // One NaN makes a comparison with its neighbour false; a lone one has no neighbour.
    if sorted[0].is_nan() || !sorted.is_sorted() {
        return None;
    }
    let position = q * (sorted.len() - 1) as f64;
    let index = position.floor() as usize;
    let next = (index + 1).min(sorted.len() - 1);
    between(sorted[index], sorted[next], position - index as f64)
}

/// The median absolute deviation from the median, in the unit of `values`; times [`MAD_TO_SD`] it estimates the standard
/// deviation of normal data, whatever a few outliers do.
///
/// `None` if `values` is empty or holds a NaN.
pub fn mad(values: &[f64]) -> Option<f64> {
    let mut work = values.to_vec();
    let center = median(&mut work)?;
    for x in &mut work {
        *x = (*x - center).abs();
    }
    median(&mut work)
}

/// `low` and `high` mixed in the proportion 1 − `t` to `t`; `None` where that is undefined (between two infinities).
fn between(low: f64, high: f64, t: f64) -> Option<f64> {
    if low == high || t == 0.0 {
        return Some(low);
    }
    let mixed = low * (1.0 - t) + high * t;
    (!mixed.is_nan()).then_some(mixed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn medians_of_known_samples_are_right() {
        assert_eq!(median(&mut [3.0]), Some(3.0));
        assert_eq!(median(&mut [4.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&mut [7.0; 6]), Some(7.0));
        assert_eq!(median(&mut [1.0, 2.0, f64::INFINITY]), Some(2.0));
    }

    #[test]
    fn quantiles_agree_with_the_type_7_of_r() {
        let x = [1.0, 2.0, 4.0, 8.0, 16.0];
        // quantile(c(1, 2, 4, 8, 16), c(0, .1, .25, .5, .95, 1), type = 7)
        for (q, want) in
            [(0.0, 1.0), (0.1, 1.4), (0.25, 2.0), (0.5, 4.0), (0.95, 14.4), (1.0, 16.0)]
        {
            let got = quantile(&x, q).unwrap();
            assert!((got - want).abs() < 1e-12, "{q}: {got} is not {want}");
        }
        assert_eq!(quantile(&[5.0], 0.99), Some(5.0));
    }

    #[test]
    fn nan_never_passes_and_nothing_has_no_median() {
        for i in 0..4 {
            let mut x = [1.0, 2.0, 3.0, 4.0];
            x[i] = f64::NAN;
            assert_eq!(mad(&x), None);
            assert_eq!(quantile(&x, 0.1), None);
            assert_eq!(quantile(&x, 0.9), None);
            assert_eq!(median(&mut x), None);
        }
        assert_eq!(median(&mut [-f64::NAN]), None);
        assert_eq!(quantile(&[f64::NAN], 0.5), None);
        assert_eq!(median(&mut []), None);
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(mad(&[]), None);
        assert_eq!(median(&mut [f64::NEG_INFINITY, f64::INFINITY]), None);
    }

    #[test]
    fn a_quantile_of_unsorted_values_or_outside_0_to_1_is_refused() {
        assert_eq!(quantile(&[2.0, 1.0], 0.5), None);
        for q in [-0.01, 1.01, f64::NAN] {
            assert_eq!(quantile(&[1.0, 2.0], q), None);
        }
    }

    #[test]
    fn the_deviation_ignores_an_outlier() {
        assert_eq!(mad(&[1.0, 2.0, 3.0, 4.0, 1e9]), Some(1.0));
    }

    proptest! {
        #[test]
        fn the_median_is_the_middle_quantile_in_any_order(mut x in prop::collection::vec(-1e6..1e6f64, 1..60)) {
            let got = median(&mut x.clone()).unwrap();
            x.sort_by(f64::total_cmp);
            let want = quantile(&x, 0.5).unwrap();
            prop_assert!((got - want).abs() <= 1e-12 * want.abs());
        }

        #[test]
        fn quantiles_rise_with_q_and_stay_in_range(mut x in prop::collection::vec(-1e6..1e6f64, 1..60), a in 0.0..=1.0f64, b in 0.0..=1.0f64) {
            x.sort_by(f64::total_cmp);
            let (low, high) = (quantile(&x, a.min(b)).unwrap(), quantile(&x, a.max(b)).unwrap());
            prop_assert!(low <= high + 1e-9);
            prop_assert!(x[0] <= low && high <= x[x.len() - 1]);
        }
    }
}
