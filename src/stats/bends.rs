//! Where a scaling curve leaves its law: a cache level that ends, a threshold that switches algorithms.

use super::fit::power_law;
use super::order::quantile;

/// Least change of the exponent, against that of the fitted law, that counts as a bend.
const MARKED: f64 = 0.25;
/// Changes from which the curve's own noise can be told.
const ENOUGH_CHANGES: usize = 8;

/// A stretch of a curve in which its exponent changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bend {
    /// The size at which the stretch begins.
    pub n_left: f64,
    /// The size at which it ends.
    pub n_right: f64,
    /// Local exponent (slope of ln t over ln n) of the segment that ends at or in the stretch.
    pub before: f64,
    /// Exponent across the stretch: above its neighbours where a cache level ends.
    pub within: f64,
    /// Local exponent of the segment that begins at or in the stretch.
    pub after: f64,
}

/// The bends of a curve of `points` (n, t), by size.
///
/// Each segment between neighbouring sizes has a local exponent; what the law of [`power_law`] has there (no more than a
/// constant, where none fits) is taken off, so that the smooth turn from fixed cost to growth is no bend. Neither the exponent
/// nor the rest should change from segment to segment. Where both do by 0.25 or more (and, from 10 sizes on, by 3 times the noise that the quieter
/// changes show) the curve bends. A change that the next one undoes is a step, as from one cache level to the next: the bend is
/// the stretch between them. Any other is a kink: the bend is the two segments that meet there.
///
/// Times of the same size are averaged (geometrically). Empty with fewer than 4 different sizes, or where a size or time is
/// not positive and finite.
pub fn bends(points: &[(f64, f64)]) -> Vec<Bend> {
    let curve = averaged(points);
    if curve.len() < 4 || !points.iter().all(|&(n, t)| usable(n) && usable(t)) {
        return Vec::new();
    }
    let law = power_law(points);
    let slope =
        |i: usize, j: usize| (curve[j].1 / curve[i].1).ln() / (curve[j].0 / curve[i].0).ln();
    let expected = |left: f64, right: f64| {
        law.map_or(0.0, |law| (law.predict(right) / law.predict(left)).ln() / (right / left).ln())
    };
    // The change at inner point i + 1: that of the curve and that of its rest over the law, whichever is less. The law bends
    // where the curve does not if a step has misled it, and the curve where the law explains it.
    let changes: Vec<f64> = (0..curve.len() - 2)
        .map(|i| {
            let raw = slope(i + 1, i + 2) - slope(i, i + 1);
            let (left, middle, right) = (curve[i].0, curve[i + 1].0, curve[i + 2].0);
            let rest = raw - (expected(middle, right) - expected(left, middle));
            if raw * rest <= 0.0 {
                0.0
            } else if raw.abs() < rest.abs() {
                raw
            } else {
                rest
            }
        })
        .collect();
    let marked = MARKED.max(3.0 * noise(&changes));

    let turns: Vec<usize> = (0..changes.len()).filter(|&i| changes[i].abs() >= marked).collect();
    let mut bends = Vec::new();
    let mut turns = turns.into_iter().peekable();
    while let Some(i) = turns.next() {
        let point = i + 1;
        let undone = turns.next_if(|&j| {
            let back = changes[i] + changes[j];
            back.abs() < 0.5 * changes[i].abs().max(changes[j].abs())
        });
        let (from, to) = match undone {
            Some(j) => (point, j + 1),
            None => (point - 1, point + 1),
        };
        let (before, after) = match undone {
            Some(_) => (slope(from - 1, from), slope(to, to + 1)),
            None => (slope(from, point), slope(point, to)),
        };
        bends.push(Bend {
            n_left: curve[from].0,
            n_right: curve[to].0,
            before,
            within: slope(from, to),
            after,
        });
    }
    bends
}

/// Standard deviation of the changes, from the lower quartile of their sizes: half of them may be bends. 0 with too few.
fn noise(changes: &[f64]) -> f64 {
    /// Φ⁻¹(5/8): a quarter of normal values are nearer to 0.
    const QUARTER: f64 = 0.318_639_363_964_375;
    if changes.len() < ENOUGH_CHANGES {
        return 0.0;
    }
    let mut sizes: Vec<f64> = changes.iter().map(|x| x.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    quantile(&sizes, 0.25).map_or(0.0, |q| q / QUARTER)
}

fn usable(x: f64) -> bool {
    x.is_finite() && x > 0.0
}

/// One point a size, in ascending order, with the geometric mean of its times.
fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|x, y| x.0.total_cmp(&y.0));
    sorted
        .chunk_by(|x, y| x.0 == y.0)
        .map(|same| {
            let logs: f64 = same.iter().map(|point| point.1.ln()).sum();
            (same[0].0, (logs / same.len() as f64).exp())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::Random;

    fn curve(sizes: i32, time: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..sizes).map(|i| 2f64.powi(i)).map(|n| (n, time(n))).collect()
    }

    #[test]
    fn a_law_with_a_fixed_cost_does_not_bend() {
        for p in [0.7, 1.0, 2.0, 3.0] {
            assert_eq!(bends(&curve(9, |n| 50.0 + n.powf(p))), []);
            assert_eq!(bends(&curve(5, |n| n.powf(p))), []);
        }
    }

    #[test]
    fn a_cache_level_that_ends_is_one_bend_at_its_size() {
        for sizes in [7, 8, 12] {
            // Half the bandwidth beyond 20.
            let found = bends(&curve(sizes, |n| if n < 20.0 { n } else { 2.0 * n }));
            assert_eq!(found.len(), 1, "{found:?}");
            let bend = found[0];
            assert_eq!((bend.n_left, bend.n_right), (16.0, 32.0));
            for (got, want) in [(bend.before, 1.0), (bend.within, 2.0), (bend.after, 1.0)] {
                assert!((got - want).abs() < 1e-9, "{bend:?}");
            }
        }
    }

    #[test]
    fn two_cache_levels_are_two_bends() {
        let found = bends(&curve(12, |n| {
            n * if n < 6.0 {
                1.0
            } else if n < 200.0 {
                1.8
            } else {
                3.2
            }
        }));
        let places: Vec<_> = found.iter().map(|b| (b.n_left, b.n_right)).collect();
        assert_eq!(places, [(4.0, 8.0), (128.0, 256.0)]);
    }

    #[test]
    fn a_step_that_takes_two_segments_is_one_bend() {
        let found = bends(&curve(9, |n| n * (n / 8.0).clamp(1.0, 4.0).powf(0.7)));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].n_left, found[0].n_right), (8.0, 32.0));
    }

    #[test]
    fn a_lasting_change_of_the_exponent_is_a_kink() {
        // From n³ to n: no fixed cost explains that.
        let found = bends(&curve(8, |n| if n <= 8.0 { n.powi(3) } else { 64.0 * n }));
        assert_eq!(found.len(), 1, "{found:?}");
        let bend = found[0];
        assert_eq!((bend.n_left, bend.n_right), (4.0, 16.0));
        assert!((bend.before - 3.0).abs() < 1e-9 && (bend.after - 1.0).abs() < 1e-9, "{bend:?}");
    }

    #[test]
    fn noise_of_two_percent_is_no_bend_and_hides_none() {
        let mut random = Random::new(21);
        for sizes in [6, 12] {
            let (mut alarms, mut missed) = (0, 0);
            for _ in 0..200 {
                let noise: Vec<f64> = (0..sizes).map(|_| (0.02 * random.normal()).exp()).collect();
                let plain = curve(sizes, |n| 3.0 + n * n);
                let stepped = curve(sizes, |n| if n < 10.0 { n } else { 2.0 * n });
                let noisy = |c: &[(f64, f64)]| -> Vec<_> {
                    c.iter().zip(&noise).map(|(&(n, t), e)| (n, t * e)).collect()
                };
                alarms += usize::from(!bends(&noisy(&plain)).is_empty());
                let found = bends(&noisy(&stepped));
                missed += usize::from(!found.iter().any(|b| (b.n_left, b.n_right) == (8.0, 16.0)));
            }

            assert!(
                alarms <= 2 && missed <= 10,
                "{sizes} sizes: {alarms} false alarms, {missed} missed of 200"
            );
        }
    }

    #[test]
    fn repeated_sizes_are_averaged_and_order_does_not_matter() {
        let plain = curve(8, |n| if n < 20.0 { n } else { 2.0 * n });
        let mut mixed: Vec<_> =
            plain.iter().flat_map(|&(n, t)| [(n, t * 1.01), (n, t / 1.01)]).collect();
        mixed.reverse();
        let (a, b) = (bends(&plain), bends(&mixed));
        assert_eq!((a.len(), b.len()), (1, 1));
        assert_eq!((a[0].n_left, a[0].n_right), (b[0].n_left, b[0].n_right));
        assert!((a[0].within - b[0].within).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_curve_has_no_bends() {
        assert_eq!(bends(&[]), []);
        assert_eq!(bends(&curve(3, |n| n * n)), []);
        assert_eq!(bends(&curve(8, |n| if n == 4.0 { f64::NAN } else { n })), []);
        assert_eq!(bends(&curve(8, |n| if n == 4.0 { 0.0 } else { n })), []);
        assert_eq!(bends(&curve(8, |_| 5.0)), []);
    }
}
