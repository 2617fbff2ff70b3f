//! The normal distribution and Student's t.

use std::f64::consts::PI;

/// Probability that a standard normal is below `x`, with small relative error in the lower tail too.
///
/// The series of Marsaglia (2004), "Evaluating the Normal Distribution", near the middle, Laplace's continued fraction
/// in the tails.
pub fn normal_cdf(x: f64) -> f64 {
    if x.is_nan() {
        return f64::NAN;
    }
    let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
    if x.abs() < 3.0 {
        let (mut term, mut sum, mut i) = (x, x, 1.0);
        while term.abs() > 1e-18 {
            i += 2.0;
            term *= x * x / i;
            sum += term;
        }
        return 0.5 + density * sum;
    }
    if x.is_infinite() {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let z = x.abs();
    let mut fraction = z;
    for i in (1..=120).rev() {
        fraction = z + f64::from(i) / fraction;
    }
    let tail = density / fraction;
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// The `x` with [`normal_cdf`]`(x)` = `p`. `None` unless 0 < `p` < 1.
pub fn normal_quantile(p: f64) -> Option<f64> {
    quantile_of(p, normal_cdf)
}

/// Probability that Student's t with `df` degrees of freedom (at least 1, need not be whole) is below `x`.
pub fn t_cdf(x: f64, df: f64) -> f64 {
    if x.is_nan() || df.is_nan() {
        return f64::NAN;
    }
    let tail = 0.5 * incomplete_beta(df / (df + x * x), 0.5 * df, 0.5);
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// The quantile `p` of Student's t with `df` degrees of freedom (at least 1, need not be whole; infinity is the normal).
///
/// `None` unless 0 < `p` < 1 and `df` ≥ 1.
pub fn t_quantile(p: f64, df: f64) -> Option<f64> {
    if df.is_nan() || df < 1.0 {
        return None;
    }
    if df > 1e10 {
        return normal_quantile(p);
    }
    quantile_of(p, |x| t_cdf(x, df))
}

/// Inverts a distribution that is symmetric about 0, by bisection of its lower tail, where small probabilities keep their
/// digits: slow next to a rational approximation and right to the last bits.
fn quantile_of(p: f64, cdf: impl Fn(f64) -> f64) -> Option<f64> {
    if !(p > 0.0 && p < 1.0) {
        return None;
    }
    if p == 0.5 {
        return Some(0.0);
    }
    let tail = p.min(1.0 - p);
    let mut far = 1.0;
    while cdf(-far) > tail {
        far *= 2.0;
    }
    let (mut near, mut far) = (if far > 1.0 { far / 2.0 } else { 0.0 }, far);
    while far - near > 1e-15 * far {
        let middle = 0.5 * (near + far);
        if middle <= near || middle >= far {
            break;
        }
        if cdf(-middle) > tail { near = middle } else { far = middle }
    }
    let x = 0.5 * (near + far);
    Some(if p < 0.5 { -x } else { x })
}

/// ln Γ(x) for x > 0: Lanczos' approximation with g = 7 and 9 terms (coefficients by Paul Godfrey), good to 1e-14.
fn ln_gamma(x: f64) -> f64 {
    const C: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        return (PI / (PI * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let t = x + 7.5;
    let sum = C
        .iter()
        .enumerate()
        .fold(0.999_999_999_999_809_9, |sum, (i, c)| sum + c / (x + i as f64 + 1.0));
    0.5 * (2.0 * PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// The regularized incomplete beta function I_x(a, b), by its continued fraction (Abramowitz and Stegun 26.5.8) in the
/// form of Lentz; the symmetry I_x(a, b) = 1 − I_{1−x}(b, a) keeps it in the half where it converges fast.
pub(super) fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    const TINY: f64 = 1e-300;
    let guard = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for i in 1..500 {
        let m = f64::from(i);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    let ln_front =
        ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p() - a.ln();
    ln_front.exp() * h
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_quantiles_agree_with_the_tables_at_975_in_1000() {
        let table = [
            (1.0, 12.706_204_736),
            (2.0, 4.302_652_730),
            (3.0, 3.182_446_305),
            (4.0, 2.776_445_105),
            (5.0, 2.570_581_836),
            (6.0, 2.446_911_851),
            (7.0, 2.364_624_252),
            (8.0, 2.306_004_135),
            (9.0, 2.262_157_163),
            (10.0, 2.228_138_852),
            (15.0, 2.131_449_546),
            (20.0, 2.085_963_447),
            (30.0, 2.042_272_456),
            (100.0, 1.983_971_519),
        ];
        for (df, want) in table {
            let got = t_quantile(0.975, df).unwrap();
            assert!((got - want).abs() < 2e-9 * want, "df {df}: {got} is not {want}");
        }
    }

    #[test]
    fn t_quantiles_with_one_and_two_degrees_agree_with_their_closed_forms() {
        for p in [1e-9, 0.001, 0.025, 0.3, 0.5, 0.8, 0.95, 0.995, 0.9999] {
            let one = (PI * (p - 0.5)).tan();
            let two = (2.0 * p - 1.0) * (2.0 / (4.0 * p * (1.0 - p))).sqrt();
            for (df, want) in [(1.0, one), (2.0, two)] {
                let got = t_quantile(p, df).unwrap();
                assert!((got - want).abs() < 1e-6 * (1.0 + want.abs()), "{p} {df}: {got} {want}");
            }
        }
    }

    #[test]
    fn normal_values_agree_with_the_tables() {
        for (x, want) in [
            (-8.0, 6.220_960_574_271_78e-16),
            (-5.0, 2.866_515_718_791_94e-7),
            (-3.0, 1.349_898_031_630_09e-3),
            (-1.0, 0.158_655_253_931_457),
            (0.0, 0.5),
            (1.959_963_984_540_054, 0.975),
            (4.0, 0.999_968_328_758_167),
        ] {
            let got = normal_cdf(x);
            assert!((got / want - 1.0).abs() < 1e-12, "{x}: {got} is not {want}");
        }
        for (p, want) in [
            (0.975, 1.959_963_984_540_054),
            (0.95, 1.644_853_626_951_473),
            (1e-6, -4.753_424_308_822_899),
        ] {
            let got = normal_quantile(p).unwrap();
            assert!((got - want).abs() < 1e-9, "{p}: {got} is not {want}");
        }
    }

    #[test]
    fn many_degrees_of_freedom_come_near_the_normal() {
        for p in [0.001, 0.2, 0.975] {
            let z = normal_quantile(p).unwrap();
            // First term of the Cornish-Fisher expansion.
            let want = z + (z.powi(3) + z) / 4e6;
            assert!((t_quantile(p, 1e6).unwrap() - want).abs() < 1e-8);
            assert_eq!(t_quantile(p, f64::INFINITY), normal_quantile(p));
        }
    }

    #[test]
    fn quantiles_invert_the_distribution_also_between_whole_degrees() {
        for df in [1.0, 1.5, 3.7, 12.0, 29.0] {
            for p in [1e-4, 0.01, 0.2, 0.5, 0.6, 0.9, 0.999] {
                let back = t_cdf(t_quantile(p, df).unwrap(), df);
                assert!((back - p).abs() < 1e-12, "{df} {p} {back}");
            }
        }
    }

    #[test]
    fn what_has_no_quantile_is_refused() {
        for p in [0.0, 1.0, -0.1, 1.1, f64::NAN] {
            assert_eq!(t_quantile(p, 5.0), None);
            assert_eq!(normal_quantile(p), None);
        }
        assert_eq!(t_quantile(0.5, 0.5), None);
        assert_eq!(t_quantile(0.5, f64::NAN), None);
        assert!(normal_cdf(f64::NAN).is_nan());
        assert!(t_cdf(f64::NAN, 3.0).is_nan());
        assert_eq!(normal_cdf(f64::INFINITY), 1.0);
        assert_eq!(normal_cdf(f64::NEG_INFINITY), 0.0);
    }
}
